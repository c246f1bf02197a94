#include "evidence/collect_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>

#include "chain/sha256.h"
#include "evidence/filters.h"
#include "evidence/key.h"
#include "evidence/redact.h"

void bundle_add_file(struct evidence_collect *c, const char *name, struct str content)
{
	tar_put(&c->tar, name, content, c->config.now.v / NS_PER_S);
}

/* The frame at work, compressed, in c->frame. */
static enum err_code make_frame(struct evidence_collect *c, struct err *e)
{
	buf_reset(&c->frame);
	if (c->tar.failed)
		return err_set(e, ERR_NOMEM, "a part of the bundle is too large");
	enum err_code code = frame_put(&c->frame, buf_str(&c->tar), e);
	buf_reset(&c->tar);
	return code;
}

static enum err_code write_bytes(const struct evidence_collect *c, struct str bytes, FILE *to,
				 struct err *e)
{
	return fwrite(bytes.p, 1, bytes.len, to) == bytes.len
		       ? ERR_OK
		       : err_os(e, "write the bundle '%s'", c->path);
}

enum err_code bundle_end_frame(struct evidence_collect *c, FILE *to, struct err *e)
{
	enum err_code code = make_frame(c, e);

	return code == ERR_OK ? write_bytes(c, buf_str(&c->frame), to, e) : code;
}

static void put_time(struct buf *b, const char *name, const Google__Protobuf__Timestamp *t)
{
	struct wall_ns w;

	if (t && timestamp_to_wall((struct timestamp){ t->seconds, t->nanos }, &w))
		put_member_time(b, name, w);
}

unsigned bundle_classes(const struct evidence_collect *c)
{
	const Tycho__V1__ExportRequest *r = c->request;
	unsigned classes = 0;

	for (size_t i = 0; i < r->n_redact; i++)
		classes |= (1u << r->redact[i]) & REDACT_ALL;
	return classes;
}

static enum err_code put_scope(const struct evidence_collect *c, struct buf *b, struct err *e)
{
	const Tycho__V1__ExportRequest *r = c->request;

	buf_char(b, '{');
	put_time(b, "since", r->since);
	put_time(b, "until", r->until);
	put_member_text(b, "words", str_of(r->words));
	enum err_code code = put_member_filters(b, "allow", r->whitelist, r->n_whitelist, e);
	if (code == ERR_OK)
		code = put_member_filters(b, "deny", r->blacklist, r->n_blacklist, e);
	put_member_name(b, "redact");
	redact_put_json(b, bundle_classes(c));
	put_member_hex(b, "nonce", str_n(r->nonce.data, r->nonce.len));
	buf_char(b, '}');
	return code;
}

static enum err_code put_node(const struct answer *n, struct buf *b, struct err *e)
{
	json_t *statement = json_loadb(n->statement_text.p, n->statement_text.len,
				       JSON_REJECT_DUPLICATES, NULL);
	char dir[64];

	if (!statement)
		return err_set(e, ERR_PARSE, "the statement of '%s' is no JSON", n->name);
	json_decref(statement);
	buf_lit(b, "{");
	put_member_text(b, "name", str_of(n->name));
	(void)snprintf(dir, sizeof dir, "nodes/%zu", n->number);
	put_member_text(b, "dir", str_of(dir));
	put_member_name(b, "chunks");
	buf_char(b, '[');
	for (size_t i = 0; i < n->chunk_count; i++) {
		(void)snprintf(dir, sizeof dir, "nodes/%zu/%06zu", n->number, i + 1);
		buf_str_put(b, i ? STR(",{") : STR("{"));
		put_member_text(b, "dir", str_of(dir));
		put_member_u64(b, "first_entry", n->notes[i].first_entry);
		put_member_hex(b, "before",
			       str_n(n->notes[i].before.v, sizeof n->notes[i].before.v));
		buf_char(b, '}');
	}
	buf_char(b, ']');
	put_member_name(b, "statement");
	buf_str_put(b, buf_str(&n->statement_text));
	buf_char(b, '}');
	return ERR_OK;
}

static void put_files(struct buf *b, const struct manifest_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		const struct manifest_file *f = &files->list[i];
		buf_str_put(b, b->p[b->len - 1] == '[' ? STR("\n{") : STR(",\n{"));
		put_member_text(b, "name", str_of(f->name));
		put_member_u64(b, "bytes", f->bytes);
		if (f->has_sum)
			put_member_hex(b, "sha256", str_n(f->sha256, sizeof f->sha256));
		buf_char(b, '}');
	}
}

/* What lies before and behind the nodes' chunks. */
struct ends {
	struct manifest_files small, last;
};

static enum err_code put_manifest(const struct evidence_collect *c, const struct ends *ends,
				  struct buf *b, struct err *e)
{
	bool first = true;

	buf_printf(b, "{\"tycho\":\"evidence\",\"format\":%d", EVIDENCE_FORMAT);
	put_member_time(b, "created", (struct wall_ns){ c->config.now.v / NS_PER_S * NS_PER_S });
	put_member_text(b, "tool", str_of(c->config.tool));
	buf_lit(b, ",\n\"scope\":");
	enum err_code code = put_scope(c, b, e);
	buf_lit(b, ",\n\"nodes\":[");
	for (size_t i = 0; i < c->count && code == ERR_OK; i++) {
		if (c->nodes[i].error)
			continue;
		buf_str_put(b, first ? STR("\n") : STR(",\n"));
		first = false;
		code = put_node(&c->nodes[i], b, e);
	}
	buf_lit(b, "],\n\"unanswered\":[");
	for (size_t i = 0; i < c->count; i++) {
		if (!c->nodes[i].error)
			continue;
		buf_str_put(b, b->p[b->len - 1] == '[' ? STR("\n{") : STR(",\n{"));
		put_member_text(b, "name", str_of(c->nodes[i].name));
		put_member_text(b, "error", str_of(c->nodes[i].error));
		buf_char(b, '}');
	}
	buf_lit(b, "],\n\"files\":[");
	put_files(b, &ends->small);
	for (size_t i = 0; i < c->count; i++)
		if (!c->nodes[i].error)
			put_files(b, &c->nodes[i].files);
	put_files(b, &ends->last);
	buf_lit(b, "]}\n");
	return code;
}

/* What is redacted, and where it stays all the same. */
static void put_redacted(const struct evidence_collect *c, struct buf *b)
{
	struct evidence_collect_counts n = evidence_collect_counts(c);

	redact_put_words(b, bundle_classes(c));
	if (n.named) {
		buf_lit(b, "; the filters above name ");
		redact_put_words(b, n.named);
		buf_lit(b, " as they were given");
	}
	if (n.plain_http) {
		buf_lit(b, "; not in URLs and headers of ");
		buf_grouped(b, n.plain_http);
		buf_str_put(b, n.plain_http == 1 ? STR(" HTTP record") : STR(" HTTP records"));
	}
}

static enum err_code put_report(struct evidence_collect *c, struct buf *b, struct err *e)
{
	AUTO(own_free) struct report_node *nodes = calloc(c->count + 1, sizeof *nodes);
	AUTO(own_free) char *fingerprints = calloc(c->count + 1, KEY_FINGERPRINT_CHARS + 1);
	AUTO_BUF struct buf times = buf_init(1024), redacted = buf_init(512), until = buf_init(128),
			    since = buf_init(128);
	const Tycho__V1__ExportRequest *r = c->request;

	if (!nodes || !fingerprints)
		return err_set(e, ERR_NOMEM, "the report");
	for (size_t i = 0; i < c->count; i++) {
		const struct answer *n = &c->nodes[i];
		AUTO(evidence_key_free) struct evidence_key *key = NULL;
		if (n->report && report_merge(c->report, n->report, e) != ERR_OK)
			return ERR_NOMEM;
		char *fingerprint = fingerprints + i * (KEY_FINGERPRINT_CHARS + 1);
		if (!n->error &&
		    evidence_key_of_public(str_n(n->signed_.key, sizeof n->signed_.key), &key,
					   NULL) == ERR_OK)
			(void)snprintf(fingerprint, KEY_FINGERPRINT_CHARS + 1, "%s",
				       evidence_key_fingerprint(key));
		nodes[i] = (struct report_node){ .name = str_of(n->name),
						 .fingerprint = str_of(fingerprint),
						 .statement = buf_str(&n->statement_text),
						 .error = str_of(n->error),
						 .policies = buf_str(&n->policies),
						 .flows = n->flow_count };
		if (n->error)
			nodes[i].statement = nodes[i].policies = STR("");
	}
	timestamp_put(&times,
		      timestamp_of((struct wall_ns){ c->config.now.v / NS_PER_S * NS_PER_S }));
	if (r->since)
		timestamp_put(&since, (struct timestamp){ r->since->seconds, r->since->nanos });
	if (r->until)
		timestamp_put(&until, (struct timestamp){ r->until->seconds, r->until->nanos });
	put_redacted(c, &redacted);
	const struct report_scope scope = { .words = str_of(r->words),
					    .since = buf_str(&since),
					    .until = until.len ? buf_str(&until) : buf_str(&times),
					    .created = buf_str(&times),
					    .redacted = buf_str(&redacted),
					    .tool = str_of(c->config.tool) };
	report_put_html(c->report, &scope, nodes, c->count, b);
	return b->failed ? err_set(e, ERR_NOMEM, "the report") : ERR_OK;
}

/* The files that lie before the chunks: manifest.json goes before them all. */
static enum err_code put_small(struct evidence_collect *c, struct manifest_files *files,
			       struct err *e)
{
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < c->count && code == ERR_OK; i++) {
		struct answer *n = &c->nodes[i];
		AUTO(evidence_key_free) struct evidence_key *key = NULL;
		AUTO_BUF struct buf pem = buf_init(4096);
		char name[104];
		if (n->error)
			continue;
		code = evidence_key_of_public(str_n(n->signed_.key, sizeof n->signed_.key), &key,
					      e);
		if (code != ERR_OK)
			return code;
		evidence_key_put_pem(key, &pem);
		const struct {
			const char *name;
			const struct buf *content;
		} all[] = { { "key.pem", &pem },
			    { "statement.jsonl", &n->statement },
			    { "checkpoints.jsonl", &n->checkpoints },
			    { "policies.jsonl", &n->policies } };
		for (size_t k = 0; k < ARRAY_LEN(all) && code == ERR_OK; k++) {
			(void)snprintf(name, sizeof name, "nodes/%zu/%s", n->number, all[k].name);
			bundle_add_file(c, name, buf_str(all[k].content));
			code = manifest_files_add(files, name, buf_str(all[k].content), e);
		}
	}
	return code;
}

/* The bundle's file, and the sum over what is in it. */
struct out {
	const struct evidence_collect *c;
	FILE *file;
	struct archive_sum sum;
};

static enum err_code out_put(struct out *o, struct str bytes, struct err *e)
{
	archive_sum_add(&o->sum, bytes);
	return write_bytes(o->c, bytes, o->file, e);
}

static enum err_code copy_spool(struct out *o, FILE *from, struct err *e)
{
	AUTO(own_free) char *bytes = malloc(COPY_BYTES);
	enum err_code code = ERR_OK;

	if (!bytes)
		return err_set(e, ERR_NOMEM, "write the bundle");
	rewind(from);
	for (size_t n; code == ERR_OK && (n = fread(bytes, 1, COPY_BYTES, from)) > 0;)
		code = out_put(o, str_n(bytes, n), e);
	return code == ERR_OK && ferror(from) ? err_os(e, "read a part of the bundle") : code;
}

/* The first frame, which lists all files, in c->frame. */
static enum err_code make_first(struct evidence_collect *c, struct ends *ends, struct err *e)
{
	AUTO_BUF struct buf manifest = buf_init(TEXT_MAX), small = buf_init(FILE_MAX);

	buf_reset(&c->tar);
	enum err_code code = put_small(c, &ends->small, e);
	if (code == ERR_OK)
		code = put_manifest(c, ends, &manifest, e);
	if (code != ERR_OK)
		return code;
	buf_str_put(&small, buf_str(&c->tar));
	small.failed |= c->tar.failed;
	buf_reset(&c->tar);
	bundle_add_file(c, "manifest.json", buf_str(&manifest));
	buf_str_put(&c->tar, buf_str(&small));
	c->tar.failed |= small.failed | manifest.failed;
	return make_frame(c, e);
}

static enum err_code make_last(struct evidence_collect *c, struct ends *ends, struct buf *ret,
			       struct err *e)
{
	AUTO_BUF struct buf report = buf_init(TEXT_MAX);
	enum err_code code = put_report(c, &report, e);

	buf_reset(&c->tar);
	bundle_add_file(c, "report.html", buf_str(&report));
	tar_end(&c->tar);
	if (code == ERR_OK)
		code = manifest_files_add(&ends->last, "report.html", buf_str(&report), e);
	if (code == ERR_OK)
		code = make_frame(c, e);
	buf_str_put(ret, buf_str(&c->frame));
	return code == ERR_OK && ret->failed ? err_set(e, ERR_NOMEM, "the report") : code;
}

static enum err_code write_frames(struct evidence_collect *c, FILE *to, struct err *e)
{
	AUTO_BUF struct buf last = buf_init(FILE_MAX);
	struct ends ends = { .small = { 0 } };
	struct out out = { .c = c, .file = to };
	uint8_t sum[SHA256_BYTES];
	char space[ARCHIVE_SUM_BYTES];
	struct buf end = buf_fixed(space, sizeof space);
	enum err_code code = make_last(c, &ends, &last, e);

	archive_sum_init(&out.sum);
	if (code == ERR_OK)
		code = make_first(c, &ends, e);
	if (code == ERR_OK)
		code = out_put(&out, buf_str(&c->frame), e);
	for (size_t i = 0; i < c->count && code == ERR_OK; i++)
		if (!c->nodes[i].error && c->nodes[i].spool)
			code = copy_spool(&out, c->nodes[i].spool, e);
	if (code == ERR_OK)
		code = out_put(&out, buf_str(&last), e);
	if (code == ERR_OK) {
		archive_sum_end(&out.sum, sum);
		archive_sum_put(&end, sum);
		code = write_bytes(c, buf_str(&end), to, e);
	}
	if (code == ERR_OK && (fflush(to) != 0 || fsync(fileno(to)) != 0))
		code = err_os(e, "write the bundle '%s'", c->path);
	manifest_files_done(&ends.small);
	manifest_files_done(&ends.last);
	return code;
}

/* The finished file takes its name; with config.keep only if nobody has it. */
static enum err_code take_name(const struct evidence_collect *c, const char *fresh, struct err *e)
{
	unsigned flags = c->config.keep ? RENAME_NOREPLACE : 0;

	if (renameat2(AT_FDCWD, fresh, AT_FDCWD, c->path, flags) == 0)
		return ERR_OK;
	if (errno == EEXIST)
		return err_set(e, ERR_EXISTS, "'%s' is there now, and stays: the bundle is '%s'",
			       c->path, fresh);
	/* a file system that cannot tell */
	if (flags && errno == EINVAL && access(c->path, F_OK) != 0 && rename(fresh, c->path) == 0)
		return ERR_OK;
	return err_os(e, "make the bundle '%s'", c->path);
}

enum err_code bundle_write(struct evidence_collect *c, struct err *e)
{
	char fresh[PATH_BYTES];

	if ((size_t)snprintf(fresh, sizeof fresh, "%s.new-XXXXXX", c->path) >= sizeof fresh)
		return err_set(e, ERR_INVALID, "the name of the bundle is too long");
	int fd = mkostemp(fresh, O_CLOEXEC); /* mode 0600 */
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");
	if (!f) {
		enum err_code code = err_os(e, "make the bundle '%s'", c->path);
		if (fd >= 0)
			(void)close(fd);
		return code;
	}
	enum err_code code = write_frames(c, f, e);
	if (fclose(f) != 0 && code == ERR_OK)
		code = err_os(e, "write the bundle '%s'", c->path);
	if (code == ERR_OK)
		code = take_name(c, fresh, e);
	if (code != ERR_OK && code != ERR_EXISTS)
		(void)unlink(fresh);
	return code;
}
