/* Chunks, checked by several threads, and what they come to in order. */
#include "evidence/verify_inside.h"

#include <pthread.h>
#include <stdio.h>

#include "chain/tree.h"

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
	/* guarded by mx: */
	size_t known; /* chunks that were found in the file so far */
	size_t next;  /* chunk to be taken up */
	size_t taken; /* chunks that the reader is through with */
	bool all_known, stop;
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
		while (!crew->stop &&
		       (crew->next == crew->known ? !crew->all_known
						  : crew->next >= crew->taken + SLOTS))
			(void)pthread_cond_wait(&crew->cond, &crew->mx);
		size_t i = crew->next;
		bool over = crew->stop || i == crew->known;
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

/* --- what there is to check --- */

static enum err_code count_chunks(struct verify *v, size_t *ret, struct err *e)
{
	size_t total = 0;

	for (size_t i = 0; i < v->node_count; i++)
		total += json_array_size(json_object_get(v->nodes[i].manifest, "chunks"));
	if (total > CHUNKS_MAX)
		return err_set(e, ERR_PARSE, "manifest.json names %zu chunks", total);
	v->jobs = calloc(total + 1, sizeof *v->jobs);
	*ret = total;
	return v->jobs ? ERR_OK : err_set(e, ERR_NOMEM, "chunks of the bundle");
}

/* The next frame is chunk @k of node @i, which the manifest describes. */
static enum err_code find_chunk(struct verify *v, size_t i, size_t k, const json_t *chunk,
				struct job *j, struct err *e)
{
	const struct proven_node *n = &v->nodes[i];

	j->node = i;
	(void)snprintf(j->dir, sizeof j->dir, "%s/%06zu", n->dir, k + 1);
	j->chunk = (struct chunk){
		.dir = j->dir, .pins = n->pins, .pin_count = n->pin_count, .mtime_s = v->mtime_s
	};
	if (!str_is(text_of(chunk, "dir"), j->dir) ||
	    !number_of(chunk, "first_entry", &j->chunk.first_entry) ||
	    !hex_parse(text_of(chunk, "before"), j->chunk.before.v, sizeof j->chunk.before.v))
		return err_set(e, ERR_PARSE,
			       "manifest.json does not match: chunk %zu of '%s' is not described "
			       "as chunks are",
			       k + 1, n->name);
	return frame_next(&v->rest, &j->frame, e) == ERR_OK ? ERR_OK : err_in(e, "%s", j->dir);
}

/* The crew takes up each as soon as it is found. */
static enum err_code find_chunks(struct crew *crew, struct err *e)
{
	struct verify *v = crew->v;
	enum err_code code = ERR_OK;
	size_t known = 0;

	for (size_t i = 0; i < v->node_count && code == ERR_OK; i++) {
		const json_t *chunks = json_object_get(v->nodes[i].manifest, "chunks");
		size_t count = json_array_size(chunks);
		for (size_t k = 0; k < count && code == ERR_OK; k++) {
			code = find_chunk(v, i, k, json_array_get(chunks, k), &v->jobs[known], e);
			(void)pthread_mutex_lock(&crew->mx);
			crew->known += code == ERR_OK;
			known = crew->known;
			(void)pthread_cond_broadcast(&crew->cond);
			(void)pthread_mutex_unlock(&crew->mx);
		}
		v->nodes[i].chunk_count = count;
	}
	(void)pthread_mutex_lock(&crew->mx);
	crew->all_known = true;
	(void)pthread_cond_broadcast(&crew->cond);
	(void)pthread_mutex_unlock(&crew->mx);
	return code;
}

/* --- what they come to --- */

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
	archive_sum_add(&v->read, j->frame);
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

/* The crew is at work: what else there is to do meanwhile, and its outcomes. */
static enum err_code lead(struct crew *crew, struct err *e)
{
	struct err of_last;
	enum err_code last = ERR_OK, code = find_chunks(crew, e);

	if (code == ERR_OK)
		last = verify_read_last(crew->v, &of_last);
	if (code == ERR_OK)
		code = take_outcomes(crew, e);
	/* Not before: the first thing wrong is what stands first in the file. */
	if (code == ERR_OK && last != ERR_OK && e)
		*e = of_last;
	return code == ERR_OK ? last : code;
}

static size_t threads_for(const struct verify *v, size_t chunks)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = v->config->threads ? v->config->threads
		   : processors > 0   ? (size_t)processors
				      : 1;

	n = n < VERIFY_THREADS ? n : VERIFY_THREADS;
	return n < chunks ? n : chunks;
}

enum err_code verify_chunks(struct verify *v, struct err *e)
{
	AUTO(own_free) struct crew *crew = calloc(1, sizeof *crew);
	pthread_t threads[VERIFY_THREADS];
	size_t chunks = 0, started = 0;
	enum err_code code = count_chunks(v, &chunks, e);

	if (code != ERR_OK)
		return code;
	if (!crew)
		return err_set(e, ERR_NOMEM, "verification");
	crew->v = v;
	(void)pthread_mutex_init(&crew->mx, NULL);
	(void)pthread_cond_init(&crew->cond, NULL);
	for (size_t i = 0; i < SLOTS; i++)
		chunk_result_init(&crew->slots[i].result);
	for (size_t wanted = threads_for(v, chunks); started < wanted; started++) {
		int os = pthread_create(&threads[started], NULL, work, crew);
		if (os) {
			if (!started)
				code = err_errno(e, os, "verification");
			break;
		}
	}
	if (code == ERR_OK)
		code = lead(crew, e);
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
