#include "evidence/verify_inside.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

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
	manifest_files_done(&v->last_files);
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
	archive_sum_add(&v->read, frame);
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

/* --- the last frame --- */

enum err_code verify_read_last(struct verify *v, struct err *e)
{
	AUTO(frame_reader_free) struct frame_reader *reader = NULL;
	AUTO_BUF struct buf bytes = buf_init(ARCHIVE_FRAME_MAX + 1);
	struct str tar;
	struct tar_file f;
	bool end = false;
	enum err_code code = frame_reader_new(&reader, e);

	if (code == ERR_OK)
		code = frame_next(&v->rest, &v->last, e);
	if (code == ERR_OK)
		code = frame_read(reader, v->last, &bytes, e);
	if (code != ERR_OK)
		return err_in(e, "report.html");
	tar = buf_str(&bytes);
	if (!tar_next(&tar, v->mtime_s, &f, &end, &code, e) || !str_eq(f.name, STR("report.html")))
		return code != ERR_OK
			       ? code
			       : err_set(e, ERR_PARSE, "report.html is not where it belongs");
	code = manifest_files_add(&v->last_files, "report.html", f.content, e);
	if (code == ERR_OK && (tar_next(&tar, v->mtime_s, &f, &end, &code, e) || !end))
		code = code != ERR_OK ? code
				      : err_set(e, ERR_PARSE,
						"the archive does not end where it "
						"should: it is cut off or added to");
	if (code == ERR_OK && v->rest.len)
		code = err_set(e, ERR_PARSE, "there is something behind the archive's end");
	return code;
}

/* --- the end --- */

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

	archive_sum_add(&v->read, v->last);
	archive_sum_end(&v->read, sum);
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

	archive_sum_init(&v->read);
	if (code == ERR_OK)
		code = read_first_frame(v, e);
	for (size_t i = 0; i < v->node_count && code == ERR_OK; i++)
		code = verify_node(v, &v->nodes[i], e);
	if (code == ERR_OK)
		code = verify_chunks(v, e);
	if (code == ERR_OK)
		code = manifest_files_append(&v->files, &v->last_files, e);
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
