#include "evidence/verify_inside.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "chain/tree.h"
#include "evidence/archive.h"
#include "evidence/manifest.h"

const char *const verify_small_names[SMALL_FILES] = { "key.pem", "statement.jsonl",
						      "checkpoints.jsonl", "policies.jsonl" };

static void verify_done(struct verify *v)
{
	for (size_t i = 0; i < v->node_count; i++) {
		struct proven_node *n = &v->nodes[i];
		buf_done(&n->statement_text);
		buf_done(&n->first_checkpoint);
		buf_done(&n->last_checkpoint);
		json_decref(n->said);
		evidence_key_free(n->key);
		free(n->pins);
	}
	free(v->nodes);
	free(v->jobs);
	manifest_files_done(&v->files);
	json_decref(v->manifest);
	buf_done(&v->first);
}

/* --- the first frame --- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Nodes are there once, each in a folder of its own, "nodes/N": what unpacks to the same place would
 * hide the other, and what unpacks elsewhere is no part of a bundle. */
static enum err_code check_names(const struct verify *v, struct err *e)
{
	AUTO(own_free) const char **names = calloc(v->node_count + 1, sizeof *names);
	uint64_t last = 0;

	if (!names)
		return err_set(e, ERR_NOMEM, "nodes of the bundle");
	if (!v->node_count)
		return err_set(e, ERR_PARSE, "no node is in the bundle: it proves nothing");
	for (size_t i = 0; i < v->node_count; i++) {
		const struct proven_node *n = &v->nodes[i];
		uint64_t number = 0;
		char want[40];
		if (str_has_prefix(str_of(n->dir), STR("nodes/")))
			(void)parse_u64(str_from(str_of(n->dir), strlen("nodes/")), UINT32_MAX,
					&number);
		(void)snprintf(want, sizeof want, "nodes/%llu", (unsigned long long)number);
		if (number <= last || strcmp(n->dir, want) != 0)
			return err_set(e, ERR_PARSE,
				       "manifest.json names a folder '%.100s', which is not that "
				       "of the next node",
				       n->dir);
		last = number;
		names[i] = n->name;
	}
	qsort(names, v->node_count, sizeof *names, compare_names);
	for (size_t i = 1; i < v->node_count; i++)
		if (strcmp(names[i], names[i - 1]) == 0)
			return err_set(e, ERR_PARSE, "node '%.100s' is in the bundle twice",
				       names[i]);
	return ERR_OK;
}

static enum err_code read_manifest(struct verify *v, struct str text, struct err *e)
{
	json_error_t at;
	struct wall_ns created;

	v->manifest = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &at);
	const json_t *m = v->manifest;
	if (!m)
		return err_set(e, ERR_PARSE, "manifest.json is no JSON: %s", at.text);
	if (!str_eq(text_of(m, "tycho"), STR("evidence")))
		return err_set(e, ERR_PARSE, "manifest.json is not that of a bundle");
	if (json_integer_value(json_object_get(m, "format")) != EVIDENCE_FORMAT)
		return err_set(e, ERR_UNSUPPORTED,
			       "the bundle has format %lld; this program reads %d",
			       (long long)json_integer_value(json_object_get(m, "format")),
			       EVIDENCE_FORMAT);
	const json_t *nodes = json_object_get(m, "nodes");
	if (!time_parse(text_of(m, "created"), &created) || !json_is_array(nodes) ||
	    !json_is_object(json_object_get(m, "scope")) ||
	    !json_is_array(json_object_get(m, "unanswered")) ||
	    !json_is_array(json_object_get(m, "files")))
		return err_set(e, ERR_PARSE, "manifest.json lacks what every manifest has");
	if (created.v / NS_PER_S != v->mtime_s)
		return err_set(e, ERR_PARSE,
			       "manifest.json was made at another time than the archive's files");
	v->nodes = calloc(json_array_size(nodes) + 1, sizeof *v->nodes);
	if (!v->nodes)
		return err_set(e, ERR_NOMEM, "nodes of the bundle");
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *n = json_array_get(nodes, i);
		v->nodes[i] = (struct proven_node){ .manifest = n,
						    .name = text_of(n, "name").p,
						    .dir = text_of(n, "dir").p,
						    .statement_text = buf_init(FRAME0_MAX),
						    .first_checkpoint = buf_init(128),
						    .last_checkpoint = buf_init(128) };
		v->node_count++;
	}
	return check_names(v, e);
}

/* The time of the archive's files, from the first header. */
static uint64_t mtime_of(struct str tar)
{
	uint64_t v = 0;

	for (size_t i = 136; i < 147 && i < tar.len; i++)
		v = v << 3 | (uint64_t)(tar.p[i] & 7);
	return v;
}

static enum err_code read_first_frame(struct verify *v, struct err *e)
{
	AUTO(frame_reader_free) struct frame_reader *reader = NULL;
	struct str frame, tar;
	struct tar_file f;
	bool end = false;
	size_t n = 0;

	v->rest = v->bytes;
	v->first = buf_init(ARCHIVE_FRAME_MAX + 1);
	enum err_code code = frame_reader_new(&reader, e);
	if (code == ERR_OK)
		code = frame_next(&v->rest, &frame, e);
	if (code == ERR_OK)
		code = frame_read(reader, frame, &v->first, e);
	if (code != ERR_OK)
		return code;
	sha256_put(&v->read, frame);
	tar = buf_str(&v->first);
	v->mtime_s = mtime_of(tar);
	if (!tar_next(&tar, v->mtime_s, &f, &end, &code, e))
		return code != ERR_OK ? code : err_set(e, ERR_PARSE, "the bundle is empty");
	if (!str_eq(f.name, STR("manifest.json")))
		return err_set(e, ERR_PARSE, "the bundle does not begin with manifest.json");
	code = read_manifest(v, f.content, e);
	for (; code == ERR_OK && tar_next(&tar, v->mtime_s, &f, &end, &code, e); n++) {
		char want[TAR_NAME_MAX + 64];
		if (n / SMALL_FILES >= v->node_count)
			return err_set(e, ERR_PARSE, "'%.*s' is not where it belongs",
				       STR_FMT(f.name));
		struct proven_node *node = &v->nodes[n / SMALL_FILES];
		(void)snprintf(want, sizeof want, "%s/%s", node->dir,
			       verify_small_names[n % SMALL_FILES]);
		if (!str_is(f.name, want))
			return err_set(e, ERR_PARSE, "'%.*s' is where '%.100s' belongs",
				       STR_FMT(f.name), want);
		node->files[n % SMALL_FILES] = f.content;
		code = manifest_files_add(&v->files, want, f.content, e);
	}
	if (code == ERR_OK && (end || n != v->node_count * SMALL_FILES))
		code = err_set(e, ERR_PARSE, "files of a node are missing behind manifest.json");
	return code;
}

/* --- chunks --- */

static enum err_code plan_chunks(struct verify *v, struct err *e)
{
	size_t total = 0;

	for (size_t i = 0; i < v->node_count; i++)
		total += json_array_size(json_object_get(v->nodes[i].manifest, "chunks"));
	if (total > CHUNKS_MAX)
		return err_set(e, ERR_PARSE, "manifest.json names %zu chunks", total);
	v->jobs = calloc(total + 1, sizeof *v->jobs);
	if (!v->jobs)
		return err_set(e, ERR_NOMEM, "chunks of the bundle");
	for (size_t i = 0; i < v->node_count; i++) {
		struct proven_node *n = &v->nodes[i];
		const json_t *chunks = json_object_get(n->manifest, "chunks"), *chunk;
		size_t k;
		n->chunk_from = v->job_count;
		json_array_foreach(chunks, k, chunk)
		{
			struct job *j = &v->jobs[v->job_count];
			j->node = i;
			(void)snprintf(j->dir, sizeof j->dir, "%s/%06zu", n->dir, k + 1);
			j->chunk = (struct chunk){ .dir = j->dir,
						   .pins = n->pins,
						   .pin_count = n->pin_count,
						   .mtime_s = v->mtime_s };
			if (!str_is(text_of(chunk, "dir"), j->dir) ||
			    !number_of(chunk, "first_entry", &j->chunk.first_entry) ||
			    !hex_parse(text_of(chunk, "before"), j->chunk.before.v,
				       sizeof j->chunk.before.v))
				return err_set(e, ERR_PARSE,
					       "manifest.json does not match: chunk %zu of '%s' is "
					       "not described as chunks are",
					       k + 1, n->name);
			if (frame_next(&v->rest, &j->frame, e) != ERR_OK)
				return err_in(e, "%s", j->dir);
			v->job_count++;
			n->chunk_count++;
		}
	}
	return ERR_OK;
}

/* A chunk's result, handed over in order: slot i % SLOTS waits until the reader has taken it. */
enum { SLOTS = 2 * VERIFY_THREADS };
struct outcome {
	enum err_code code;
	struct err e;
	struct chunk_result result;
	size_t chunk; /* 1 + its number; 0: none yet. guarded by mx */
};
struct crew {
	struct verify *v;
	pthread_mutex_t mx;
	pthread_cond_t cond;
	size_t next;  /* chunk to be taken up; guarded by mx */
	size_t taken; /* chunks that the reader is through with; guarded by mx */
	bool stop;    /* guarded by mx */
	struct outcome slots[SLOTS];
};

static void *work(void *arg)
{
	struct crew *crew = arg;
	AUTO(chunk_checker_free) struct chunk_checker *checker = NULL;
	struct err e;
	enum err_code made = chunk_checker_new(&checker, &e);

	for (;;) {
		(void)pthread_mutex_lock(&crew->mx);
		while (!crew->stop && crew->next < crew->v->job_count &&
		       crew->next >= crew->taken + SLOTS)
			(void)pthread_cond_wait(&crew->cond, &crew->mx);
		size_t i = crew->next;
		bool over = crew->stop || i >= crew->v->job_count;
		if (!over)
			crew->next++;
		(void)pthread_mutex_unlock(&crew->mx);
		if (over)
			return NULL;
		struct outcome *o = &crew->slots[i % SLOTS];
		const struct job *j = &crew->v->jobs[i];
		o->e = e;
		o->code = made == ERR_OK
				  ? chunk_check(checker, &j->chunk, j->frame, &o->result, &o->e)
				  : made;
		(void)pthread_mutex_lock(&crew->mx);
		o->chunk = i + 1;
		(void)pthread_cond_broadcast(&crew->cond);
		(void)pthread_mutex_unlock(&crew->mx);
	}
}

/* What a node's chunks have come to so far. */
struct sums {
	struct chain_tree root;
	uint64_t next_entry;
	struct chain_hash head;
	struct buf gaps;
};

static enum err_code merge(struct verify *v, struct proven_node *n, const struct job *j,
			   const struct outcome *o, struct sums *s, struct err *e)
{
	const struct chunk_result *r = &o->result;

	if (o->code != ERR_OK) {
		if (e)
			*e = o->e;
		return o->code;
	}
	if (s->next_entry && (j->chunk.first_entry != s->next_entry ||
			      memcmp(j->chunk.before.v, s->head.v, sizeof s->head.v) != 0))
		return err_set(e, ERR_PARSE, "the chain of '%s' is broken before %s", n->name,
			       j->dir);
	uint64_t first = 0;
	if (!s->next_entry &&
	    (!number_of(n->said, "first_entry", &first) || j->chunk.first_entry != first))
		return err_set(e, ERR_PARSE,
			       "the chain of '%s' begins with another entry than it stated",
			       n->name);
	s->next_entry = r->last_entry + 1;
	s->head = r->head;
	const struct chain_hash *roots = (const struct chain_hash *)(const void *)r->item_roots.p;
	for (size_t i = 0; i < r->item_roots.len / sizeof *roots; i++)
		chain_tree_add(&s->root, &roots[i]);
	buf_str_put(&s->gaps, buf_str(&r->gaps));
	n->flows += r->flows;
	n->blocks += r->blocks;
	n->pins_met += r->pins_met - r->external_met;
	n->external_met += r->external_met;
	for (size_t i = 0; i < r->files.count; i++) {
		if (manifest_files_note(&v->files, r->files.list[i].name, r->files.list[i].bytes,
					e) != ERR_OK)
			return ERR_NOMEM;
	}
	sha256_put(&v->read, j->frame);
	return s->gaps.failed ? err_set(e, ERR_NOMEM, "gaps of the bundle") : ERR_OK;
}

/* Gaps of the chain that touch the range are in the statement. */
static enum err_code check_gaps(const struct proven_node *n, struct str bodies, struct err *e)
{
	static const char *const members[] = { "cause",     "from",     "to",   "lost",
					       "first_seq", "last_seq", "node", "detail" };
	struct wall_ns since = { 0 }, until = { UINT64_MAX };
	json_t *stated = json_object_get(n->said, "gaps");
	enum err_code code = ERR_OK;

	(void)time_parse(text_of(n->said, "since"), &since);
	(void)time_parse(text_of(n->said, "until"), &until);
	while (bodies.len && code == ERR_OK) {
		struct str line = first_line(bodies);
		struct wall_ns from, to;
		json_t *gap = json_loadb(line.p, line.len, 0, NULL), *one;
		bool found = false;
		size_t i;
		bodies = str_from(bodies, line.len + 1);
		if (!time_parse(text_of(gap, "from"), &from) ||
		    !time_parse(text_of(gap, "to"), &to))
			code = err_set(e, ERR_PARSE, "a gap in the chain of '%s' cannot be read",
				       n->name);
		bool touches = code == ERR_OK && to.v >= since.v && from.v <= until.v;
		json_array_foreach(stated, i, one)
		{
			bool same = true;
			for (size_t k = 0; k < ARRAY_LEN(members) && same; k++)
				same = same_member(gap, one, members[k]);
			found |= same;
		}
		if (touches && !found)
			code = err_set(e, ERR_PARSE,
				       "node '%s' hides a gap: %s from %s to %s is in its chain, "
				       "but not in its statement",
				       n->name, text_of(gap, "cause").p, text_of(gap, "from").p,
				       text_of(gap, "to").p);
		json_decref(gap);
	}
	return code;
}

/* The chunks together are what was stated. */
static enum err_code check_sums(const struct proven_node *n, const struct sums *s, struct err *e)
{
	uint64_t flows = 0, blocks = 0, last = 0;
	struct chain_hash root = chain_tree_root(&s->root), want, head;

	if (!number_of(n->said, "flows", &flows) || !number_of(n->said, "blocks", &blocks) ||
	    !number_of(n->said, "last_entry", &last) ||
	    !hex_parse(text_of(n->said, "root"), want.v, sizeof want.v) ||
	    !hex_parse(text_of(n->said, "head"), head.v, sizeof head.v))
		return err_set(e, ERR_PARSE, "the statement of '%s' lacks what every one has",
			       n->name);
	if ((n->chunk_count ? s->next_entry - 1 : 0) != last)
		return err_set(e, ERR_PARSE,
			       "the tail of the chain of '%s' is cut off: it ends with entry %llu, "
			       "%llu was stated",
			       n->name,
			       (unsigned long long)(n->chunk_count ? s->next_entry - 1 : 0),
			       (unsigned long long)last);
	if (n->chunk_count && memcmp(head.v, s->head.v, sizeof head.v) != 0)
		return err_set(e, ERR_PARSE,
			       "the chain of '%s' is broken: its entries do not lead to the head "
			       "that was signed",
			       n->name);
	if (n->flows != flows || n->blocks != blocks)
		return err_set(e, ERR_PARSE,
			       "node '%s' stated %llu flows in %llu blocks, the bundle has %llu in "
			       "%llu: flows were %s",
			       n->name, (unsigned long long)flows, (unsigned long long)blocks,
			       (unsigned long long)n->flows, (unsigned long long)n->blocks,
			       n->flows < flows ? "removed" : "added");
	if (memcmp(root.v, want.v, sizeof root.v) != 0)
		return err_set(e, ERR_PARSE,
			       "the flows of '%s' are not those that it stated: one was exchanged, "
			       "or what is shown of a withheld part was changed",
			       n->name);
	return check_gaps(n, buf_str(&s->gaps), e);
}

static enum err_code take_outcomes(struct crew *crew, struct err *e)
{
	struct verify *v = crew->v;
	enum err_code code = ERR_OK;
	size_t at = 0;

	for (size_t i = 0; i < v->node_count && code == ERR_OK; i++) {
		struct proven_node *n = &v->nodes[i];
		struct sums s = { .gaps = buf_init(FRAME0_MAX) };
		for (size_t k = 0; k < n->chunk_count && code == ERR_OK; k++, at++) {
			struct outcome *o = &crew->slots[at % SLOTS];
			(void)pthread_mutex_lock(&crew->mx);
			while (o->chunk != at + 1)
				(void)pthread_cond_wait(&crew->cond, &crew->mx);
			(void)pthread_mutex_unlock(&crew->mx);
			code = merge(v, n, &v->jobs[at], o, &s, e);
			(void)pthread_mutex_lock(&crew->mx);
			crew->taken++;
			(void)pthread_cond_broadcast(&crew->cond);
			(void)pthread_mutex_unlock(&crew->mx);
		}
		if (code == ERR_OK)
			code = check_sums(n, &s, e);
		buf_done(&s.gaps);
	}
	return code;
}

static enum err_code check_chunks(struct verify *v, struct err *e)
{
	AUTO(own_free) struct crew *crew = calloc(1, sizeof *crew);
	pthread_t threads[VERIFY_THREADS];
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t wanted = v->config->threads ? v->config->threads
			: processors > 0   ? (size_t)processors
					   : 1,
	       started = 0;
	enum err_code code = ERR_OK;

	if (!crew)
		return err_set(e, ERR_NOMEM, "verification");
	crew->v = v;
	(void)pthread_mutex_init(&crew->mx, NULL);
	(void)pthread_cond_init(&crew->cond, NULL);
	for (size_t i = 0; i < SLOTS; i++)
		chunk_result_init(&crew->slots[i].result);
	wanted = wanted < VERIFY_THREADS ? wanted : VERIFY_THREADS;
	wanted = wanted < v->job_count ? wanted : v->job_count;
	for (; started < wanted; started++) {
		int os = pthread_create(&threads[started], NULL, work, crew);
		if (os) {
			if (!started)
				code = err_errno(e, os, "verification");
			break;
		}
	}
	if (code == ERR_OK)
		code = take_outcomes(crew, e);
	(void)pthread_mutex_lock(&crew->mx);
	crew->stop = true;
	(void)pthread_cond_broadcast(&crew->cond);
	(void)pthread_mutex_unlock(&crew->mx);
	for (size_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	for (size_t i = 0; i < SLOTS; i++)
		chunk_result_done(&crew->slots[i].result);
	(void)pthread_cond_destroy(&crew->cond);
	(void)pthread_mutex_destroy(&crew->mx);
	return code;
}

/* --- the end --- */

static enum err_code read_last_frame(struct verify *v, struct err *e)
{
	AUTO(frame_reader_free) struct frame_reader *reader = NULL;
	AUTO_BUF struct buf bytes = buf_init(ARCHIVE_FRAME_MAX + 1);
	struct str frame, tar;
	struct tar_file f;
	bool end = false;
	enum err_code code = frame_reader_new(&reader, e);

	if (code == ERR_OK)
		code = frame_next(&v->rest, &frame, e);
	if (code == ERR_OK)
		code = frame_read(reader, frame, &bytes, e);
	if (code != ERR_OK)
		return err_in(e, "report.html");
	sha256_put(&v->read, frame);
	tar = buf_str(&bytes);
	if (!tar_next(&tar, v->mtime_s, &f, &end, &code, e) || !str_eq(f.name, STR("report.html")))
		return code != ERR_OK
			       ? code
			       : err_set(e, ERR_PARSE, "report.html is not where it belongs");
	code = manifest_files_add(&v->files, "report.html", f.content, e);
	if (code == ERR_OK && (tar_next(&tar, v->mtime_s, &f, &end, &code, e) || !end))
		code = code != ERR_OK ? code
				      : err_set(e, ERR_PARSE,
						"the archive does not end where it "
						"should: it is cut off or added to");
	if (code == ERR_OK && v->rest.len)
		code = err_set(e, ERR_PARSE, "there is something behind the archive's end");
	return code;
}

/* @sum NULL: none is listed. */
static bool is_listed(const json_t *j, uint64_t bytes, const uint8_t *sum)
{
	uint8_t listed[SHA256_BYTES];
	uint64_t n = 0;

	if (!number_of(j, "bytes", &n) || n != bytes)
		return false;
	if (!sum)
		return !json_object_get(j, "sha256");
	return hex_parse(text_of(j, "sha256"), listed, sizeof listed) &&
	       memcmp(listed, sum, sizeof listed) == 0;
}

static enum err_code check_files(const struct verify *v, struct err *e)
{
	const json_t *files = json_object_get(v->manifest, "files");
	size_t listed = json_array_size(files);

	for (size_t i = 0; i < listed || i < v->files.count; i++) {
		const json_t *j = json_array_get(files, i);
		const struct manifest_file *f = &v->files.list[i];
		if (i >= v->files.count)
			return err_set(
				e, ERR_PARSE,
				"manifest.json does not match: it lists '%s', which is missing",
				text_of(j, "name").p);
		if (i >= listed || !str_is(text_of(j, "name"), f->name))
			return err_set(e, ERR_PARSE,
				       "manifest.json does not match: it does not list '%s'",
				       f->name);
		if (!is_listed(j, f->bytes, f->has_sum ? f->sha256 : NULL))
			return err_set(e, ERR_PARSE,
				       "'%s' is not the file that manifest.json lists: its %s is "
				       "another",
				       f->name, f->has_sum ? "sum" : "size");
	}
	return ERR_OK;
}

static enum err_code check_sum(struct verify *v, struct err *e)
{
	uint8_t sum[SHA256_BYTES];

	sha256_end(&v->read, sum);
	return memcmp(sum, v->sum, sizeof sum) == 0
		       ? ERR_OK
		       : err_set(e, ERR_PARSE,
				 "the sum at the bundle's end is not that of what is before it");
}

/* What was kept elsewhere must have said something, or it was held against nothing. */
static enum err_code check_kept(const struct verify *v, struct err *e)
{
	uint64_t met = 0;
	size_t of_nodes = 0;

	if (!v->config->checkpoints.p)
		return ERR_OK;
	for (size_t i = 0; i < v->node_count; i++) {
		met += v->nodes[i].external_met;
		of_nodes += v->nodes[i].pin_count - v->nodes[i].own_pins;
	}
	if (met)
		return ERR_OK;
	return of_nodes ? err_set(e, ERR_PARSE,
				  "the separately kept checkpoints speak of other parts of the "
				  "chain than the bundle has: it is held against none")
			: err_set(e, ERR_PARSE,
				  "none of the separately kept checkpoints is signed by a key of "
				  "the bundle's nodes: it is held against none");
}

static enum err_code check_all(struct verify *v, struct err *e)
{
	enum err_code code = archive_sum_split(&v->bytes, v->sum, e);

	sha256_init(&v->read);
	if (code == ERR_OK)
		code = read_first_frame(v, e);
	for (size_t i = 0; i < v->node_count && code == ERR_OK; i++)
		code = verify_node(v, &v->nodes[i], e);
	if (code == ERR_OK)
		code = plan_chunks(v, e);
	if (code == ERR_OK)
		code = check_chunks(v, e);
	if (code == ERR_OK)
		code = read_last_frame(v, e);
	if (code == ERR_OK)
		code = check_files(v, e);
	if (code == ERR_OK)
		code = check_kept(v, e);
	/* Last: what is wrong inside says more than that something is. */
	return code == ERR_OK ? check_sum(v, e) : code;
}

enum err_code evidence_verify_bytes(const struct evidence_verify_config *config, struct str bytes,
				    struct buf *summary, struct err *e)
{
	struct verify v = { .config = config, .bytes = bytes };
	enum err_code code = check_all(&v, e);

	if (code == ERR_OK)
		verify_put_summary(&v, summary);
	verify_done(&v);
	return code;
}

enum err_code evidence_verify(const struct evidence_verify_config *config, struct buf *summary,
			      struct err *e)
{
	/* Not waiting for whoever might write into a pipe. */
	AUTO_FD int fd = open(config->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "open '%s'", config->path);
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return err_set(e, ERR_PARSE, "'%s' is no bundle", config->path);
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_os(e, "read '%s'", config->path);
	enum err_code code =
		evidence_verify_bytes(config, str_n(p, (size_t)st.st_size), summary, e);
	(void)munmap(p, (size_t)st.st_size);
	return code == ERR_OK ? ERR_OK : err_in(e, "%s", config->path);
}
