#include "evidence/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "evidence/archive.h"
#include "evidence/block.h"
#include "evidence/key.h"
#include "evidence/manifest.h"
#include "evidence/redact.h"
#include "evidence/report.h"
#include "evidence/text.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "tycho/v1/evidence.pb-c.h"

enum {
	FILE_MAX = 1 << 30, /* of a frame and its files */
	TEXT_MAX = 256 << 20,
	COPY_BYTES = 1 << 20,
	PATH_BYTES = 4096,
};

/* ExportResponse */
enum {
	RESPONSE_NODE = 1,
	RESPONSE_ENTRIES,
	RESPONSE_BLOCK,
	RESPONSE_CHECKPOINT,
	RESPONSE_POLICY,
	RESPONSE_STATEMENT,
	RESPONSE_ERROR
};

/* A piece of the block at work, kept until it ends. */
struct piece {
	struct piece *next;
	size_t len;
	char bytes[];
};

/* What the manifest says of a chunk. */
struct chunk_note {
	uint64_t first_entry;
	struct chain_hash before;
};

struct answer {
	char *name, *error;                    /* own; error NULL: none */
	size_t number;                         /* of its folder, from 1 */
	FILE *spool;                           /* finished frames */
	struct buf chain, records, flows, csv; /* of the chunk at work */
	uint64_t chunk_entries, next_entry;
	struct chunk_note note; /* of it */
	struct chunk_note *notes;
	size_t chunk_count, chunk_cap;
	struct evidence_block block;
	struct piece *pieces;
	struct buf checkpoints, policies, statement, statement_text;
	struct signed_text signed_;
	uint64_t flow_count;
	struct manifest_files files; /* of its chunks */
	struct report *report;       /* of its flows */
};

struct evidence_collect {
	struct evidence_collect_config config;
	char *path;
	Tycho__V1__ExportRequest *request;
	struct answer *nodes;
	size_t count;
	struct renderer *renderer;
	struct report *report;
	struct buf tar, frame;
};

static void pieces_free(struct answer *n)
{
	for (struct piece *next; n->pieces; n->pieces = next) {
		next = n->pieces->next;
		free(n->pieces);
	}
}

static void answer_done(struct answer *n)
{
	struct buf *const bufs[] = { &n->chain,          &n->records,
				     &n->flows,          &n->csv,
				     &n->policies,       &n->statement,
				     &n->statement_text, &n->checkpoints };

	for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
		buf_done(bufs[i]);
	pieces_free(n);
	evidence_block_done(&n->block);
	manifest_files_done(&n->files);
	if (n->spool)
		(void)fclose(n->spool);
	n->spool = NULL;
	free(n->notes);
	n->notes = NULL;
	report_free(TAKE(n->report));
}

void evidence_collect_free(struct evidence_collect *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++) {
		answer_done(&c->nodes[i]);
		free(c->nodes[i].name);
		free(c->nodes[i].error);
	}
	free(c->nodes);
	renderer_free(c->renderer);
	report_free(c->report);
	buf_done(&c->tar);
	buf_done(&c->frame);
	if (c->request)
		tycho__v1__export_request__free_unpacked(c->request, NULL);
	free(c->path);
	free(c);
}

enum err_code evidence_collect_new(const struct evidence_collect_config *config,
				   struct evidence_collect **ret, struct err *e)
{
	AUTO(evidence_collect_free) struct evidence_collect *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "a bundle");
	c->config = *config;
	c->tar = buf_init(FILE_MAX);
	c->frame = buf_init(FILE_MAX);
	c->path = str_dup(str_of(config->path));
	c->nodes = calloc(COLLECT_NODES, sizeof *c->nodes);
	c->request = tycho__v1__export_request__unpack(NULL, config->request.len,
						       (const uint8_t *)config->request.p);
	if (!c->path || !c->nodes || !c->request)
		return err_set(e, ERR_NOMEM, "a bundle");
	enum err_code code = renderer_new(&c->renderer, e);
	if (code == ERR_OK)
		code = report_new(&c->report, e);
	if (code == ERR_OK)
		*ret = TAKE(c);
	return code;
}

/* --- nodes --------------------------------------------------------------------------------------
 */

static enum err_code spool_open(const struct evidence_collect *c, FILE **ret, struct err *e)
{
	char dir[PATH_BYTES];
	struct str path = str_of(c->path);
	size_t slash = str_find_last(path, '/');

	(void)snprintf(dir, sizeof dir, "%.*s", slash < path.len ? (int)(slash ? slash : 1) : 1,
		       slash < path.len ? c->path : ".");
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		char name[PATH_BYTES + 32];
		(void)snprintf(name, sizeof name, "%s/.tycho-evidence-XXXXXX", dir);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			(void)unlink(name);
	}
	if (fd < 0)
		return err_os(e, "make a file in '%s'", dir);
	*ret = fdopen(fd, "w+");
	if (!*ret) {
		(void)close(fd);
		return err_os(e, "make a file in '%s'", dir);
	}
	return ERR_OK;
}

static enum err_code node_of(struct evidence_collect *c, struct str name, struct answer **ret,
			     struct err *e)
{
	for (size_t i = 0; i < c->count; i++)
		if (str_is(name, c->nodes[i].name)) {
			*ret = &c->nodes[i];
			return ERR_OK;
		}
	if (c->count == COLLECT_NODES)
		return err_set(e, ERR_NOMEM, "a bundle holds at most %d nodes", COLLECT_NODES);
	struct answer *n = &c->nodes[c->count];
	*n = (struct answer){ .name = str_dup(name), .number = c->count + 1 };
	if (!n->name || report_new(&n->report, e) != ERR_OK) {
		free(n->name);
		return err_set(e, ERR_NOMEM, "a node of the bundle");
	}
	n->chain = n->records = n->flows = n->csv = buf_init(FILE_MAX);
	n->checkpoints = n->policies = n->statement = n->statement_text = buf_init(TEXT_MAX);
	c->count++;
	*ret = n;
	return ERR_OK;
}

/* The node's answer ends here and is nothing. */
static void fail_node(struct answer *n, struct str why)
{
	if (!n->error)
		n->error = str_dup(why.len ? why : STR("it gave up"));
	answer_done(n);
	n->flow_count = 0;
}

/* --- chunks -------------------------------------------------------------------------------------
 */

static enum err_code add_file(struct evidence_collect *c, struct manifest_files *files,
			      const char *name, struct str content, struct err *e)
{
	tar_put(&c->tar, name, content, c->config.now.v / NS_PER_S);
	return manifest_files_add(files, name, content, e);
}

static enum err_code end_frame(struct evidence_collect *c, FILE *to, struct err *e)
{
	buf_reset(&c->frame);
	if (c->tar.failed)
		return err_set(e, ERR_NOMEM, "a part of the bundle is too large");
	enum err_code code = frame_put(&c->frame, buf_str(&c->tar), e);
	buf_reset(&c->tar);
	if (code == ERR_OK && fwrite(c->frame.p, 1, c->frame.len, to) != c->frame.len)
		code = err_os(e, "write the bundle '%s'", c->path);
	return code;
}

static enum err_code end_chunk(struct evidence_collect *c, struct answer *n, struct err *e)
{
	char name[104];
	const struct {
		const char *name;
		struct buf *content;
	} files[] = { { "chain.jsonl", &n->chain },
		      { "records.pb", &n->records },
		      { "flows.jsonl", &n->flows },
		      { "flows.csv", &n->csv } };
	enum err_code code = ERR_OK;

	if (!n->chunk_entries)
		return ERR_OK;
	if (!n->spool)
		code = spool_open(c, &n->spool, e);
	if (n->chunk_count == n->chunk_cap) {
		size_t cap = n->chunk_cap ? n->chunk_cap * 2 : 16;
		struct chunk_note *notes = realloc(n->notes, cap * sizeof *notes);
		if (!notes)
			return err_set(e, ERR_NOMEM, "chunks of a bundle");
		n->notes = notes;
		n->chunk_cap = cap;
	}
	buf_reset(&c->tar);
	n->notes[n->chunk_count++] = n->note;
	for (size_t i = 0; i < ARRAY_LEN(files) - !c->config.csv && code == ERR_OK; i++) {
		if (files[i].content->failed)
			return err_set(e, ERR_NOMEM, "a part of the bundle is too large");
		(void)snprintf(name, sizeof name, "nodes/%zu/%06zu/%s", n->number, n->chunk_count,
			       files[i].name);
		code = add_file(c, &n->files, name, buf_str(files[i].content), e);
		buf_reset(files[i].content);
	}
	if (code == ERR_OK)
		code = end_frame(c, n->spool, e);
	n->chunk_entries = 0;
	return code;
}

/* --- what comes ---------------------------------------------------------------------------------
 */

static enum err_code on_entries(struct evidence_collect *c, struct answer *n, struct str message,
				struct err *e)
{
	struct wire_reader r = wire_reader_of(message);
	struct chunk_note note = { 0 };
	bool is_whole = true;

	if (n->chunk_entries >= COLLECT_CHUNK_ENTRIES || n->flows.len >= COLLECT_CHUNK_BYTES) {
		enum err_code code = end_chunk(c, n, e);
		if (code != ERR_OK)
			return code;
	}
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == 1 && x.type == WIRE_VARINT) {
			note.first_entry = x.value;
		} else if (x.number == 2 && x.type == WIRE_LEN) {
			is_whole = x.bytes.len == sizeof note.before.v;
			if (is_whole)
				memcpy(note.before.v, x.bytes.p, x.bytes.len);
		}
	if (r.bad || !is_whole || (n->next_entry && note.first_entry != n->next_entry)) {
		fail_node(n, STR("its entries of the chain do not follow each other"));
		return ERR_OK;
	}
	if (!n->chunk_entries)
		n->note = note;
	if (!n->next_entry)
		n->next_entry = note.first_entry;
	r = wire_reader_of(message);
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == 3 && x.type == WIRE_LEN) {
			buf_str_put(&n->chain, x.bytes);
			buf_char(&n->chain, '\n');
			n->chunk_entries++;
			n->next_entry++;
		}
	return ERR_OK;
}

/* Renders what the newest piece brought, from record @from on. */
static enum err_code render_records(struct evidence_collect *c, struct answer *n, size_t from,
				    struct err *e)
{
	for (size_t i = from; i < n->block.record_count; i++) {
		struct str parts[CHAIN_PARTS_];
		struct err why;
		evidence_block_parts(&n->block, i, parts);
		if (renderer_take(c->renderer, parts, &why) != ERR_OK ||
		    render_json(c->renderer, &n->flows, &why) != ERR_OK) {
			fail_node(n, str_of(why.msg));
			return ERR_OK;
		}
		if (c->config.csv) {
			if (!n->csv.len)
				buf_str_put(&n->csv, render_csv_head());
			render_csv(c->renderer, &n->csv);
		}
		enum err_code code = report_add(n->report, c->renderer, e);
		if (code != ERR_OK)
			return code;
		n->flow_count++;
	}
	return ERR_OK;
}

static enum err_code on_block(struct evidence_collect *c, struct answer *n, struct str message,
			      struct err *e)
{
	struct piece *p = malloc(sizeof *p + message.len);
	struct err why;

	if (!p)
		return err_set(e, ERR_NOMEM, "a piece of a block");
	*p = (struct piece){ .next = n->pieces, .len = message.len };
	memcpy(p->bytes, message.p, message.len);
	n->pieces = p;
	size_t from = n->block.record_count;
	if (evidence_block_take(&n->block, str_n(p->bytes, p->len), &why) != ERR_OK) {
		fail_node(n, str_of(why.msg));
		return ERR_OK;
	}
	wire_put_varint(&n->records, message.len);
	buf_str_put(&n->records, message);
	enum err_code code = render_records(c, n, from, e);
	if (code == ERR_OK && !n->error && n->block.is_complete) {
		evidence_block_reset(&n->block);
		pieces_free(n);
	}
	return code;
}

static bool read_signed(struct str message, struct signed_text *ret)
{
	struct wire_reader r = wire_reader_of(message);
	struct signed_text s = { .text = { "", 0 } };
	unsigned has = 0;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == 1 && x.type == WIRE_LEN) {
			s.text = x.bytes;
			has |= 1;
		} else if (x.number == 2 && x.bytes.len == sizeof s.signature) {
			memcpy(s.signature, x.bytes.p, sizeof s.signature);
			has |= 2;
		} else if (x.number == 3 && x.bytes.len == sizeof s.key) {
			memcpy(s.key, x.bytes.p, sizeof s.key);
			has |= 4;
		}
	*ret = s;
	return !r.bad && has == 7 && !memchr(s.text.p, '\n', s.text.len);
}

static void on_signed(struct answer *n, uint32_t member, struct str message)
{
	struct buf *b = member == RESPONSE_STATEMENT ? &n->statement : &n->checkpoints;
	struct signed_text s;

	if (!read_signed(message, &s)) {
		fail_node(n, STR("it signed something that cannot be read"));
		return;
	}
	signed_text_put(b, &s);
	buf_char(b, '\n');
	if (member == RESPONSE_STATEMENT) {
		buf_str_put(&n->statement_text, s.text);
		n->signed_ = s;
		n->signed_.text = buf_str(&n->statement_text);
	}
}

static void on_policy(struct answer *n, struct str message)
{
	struct str line;

	if (wire_find(message, 1, &line)) {
		buf_str_put(&n->policies, line);
		buf_char(&n->policies, '\n');
	}
}

enum err_code evidence_collect_put(struct evidence_collect *c, struct str response, struct err *e)
{
	struct wire_reader r = wire_reader_of(response);
	struct str name = { "", 0 }, message = { "", 0 };
	uint32_t member = 0;
	struct answer *n;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_LEN && x.number == RESPONSE_NODE) {
			name = x.bytes;
		} else if (x.type == WIRE_LEN) {
			member = x.number;
			message = x.bytes;
		}
	enum err_code code = node_of(c, name, &n, e);
	if (code != ERR_OK || n->error || n->statement.len)
		return code; /* nothing counts behind an end */
	if (r.bad) {
		fail_node(n, STR("its answer cannot be read"));
		return ERR_OK;
	}
	switch (member) {
	case RESPONSE_ENTRIES:
		return on_entries(c, n, message, e);
	case RESPONSE_BLOCK:
		return on_block(c, n, message, e);
	case RESPONSE_CHECKPOINT:
	case RESPONSE_STATEMENT:
		on_signed(n, member, message);
		return ERR_OK;
	case RESPONSE_POLICY:
		on_policy(n, message);
		return ERR_OK;
	case RESPONSE_ERROR:
		fail_node(n, message);
		return ERR_OK;
	default: /* of a later version: not needed for what this one proves */
		return ERR_OK;
	}
}

/* --- the end
 * --------------------------------------------------------------------------------------- */

static enum err_code put_filters(struct buf *b, const char *name, Flow__FlowFilter **list, size_t n,
				 struct err *e)
{
	put_member_name(b, name);
	buf_char(b, '[');
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF struct buf wire = buf_init(TEXT_MAX);
		uint8_t *to = (uint8_t *)buf_reserve(
			&wire, flow__flow_filter__get_packed_size(list[i]) + 1);
		if (!to)
			return err_set(e, ERR_NOMEM, "filters");
		wire.len += flow__flow_filter__pack(list[i], to);
		if (i)
			buf_char(b, ',');
		if (json_put_message(b, &flow__flow_filter__descriptor, buf_str(&wire), e) !=
		    ERR_OK)
			return ERR_PARSE;
	}
	buf_char(b, ']');
	return ERR_OK;
}

static void put_time(struct buf *b, const char *name, const Google__Protobuf__Timestamp *t)
{
	struct wall_ns w;

	if (t && timestamp_to_wall((struct timestamp){ t->seconds, t->nanos }, &w))
		put_member_time(b, name, w);
}

static unsigned classes_of(const Tycho__V1__ExportRequest *r)
{
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
	enum err_code code = put_filters(b, "allow", r->whitelist, r->n_whitelist, e);
	if (code == ERR_OK)
		code = put_filters(b, "deny", r->blacklist, r->n_blacklist, e);
	put_member_name(b, "redact");
	redact_put_json(b, classes_of(r));
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
	buf_lit(b, "{");
	put_member_text(b, "name", str_of(n->name));
	(void)snprintf(dir, sizeof dir, "nodes/%zu", n->number);
	put_member_text(b, "dir", str_of(dir));
	put_member_u64(b, "flows", n->flow_count);
	manifest_put_derived(b, statement);
	json_decref(statement);
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
		put_member_hex(b, "sha256", str_n(f->sha256, sizeof f->sha256));
		buf_char(b, '}');
	}
}

static enum err_code put_manifest(const struct evidence_collect *c,
				  const struct manifest_files *small,
				  const struct manifest_files *last, struct buf *b, struct err *e)
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
	put_files(b, small);
	for (size_t i = 0; i < c->count; i++)
		if (!c->nodes[i].error)
			put_files(b, &c->nodes[i].files);
	put_files(b, last);
	buf_lit(b, "]}\n");
	return code;
}

static enum err_code put_report(struct evidence_collect *c, struct buf *b, struct err *e)
{
	AUTO(own_free) struct report_node *nodes = calloc(c->count + 1, sizeof *nodes);
	AUTO(own_free) char *fingerprints = calloc(c->count + 1, KEY_FINGERPRINT_CHARS + 1);
	AUTO_BUF struct buf policies = buf_init(TEXT_MAX), times = buf_init(1024),
			    redacted = buf_init(64), until = buf_init(128), since = buf_init(128);
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
						 .flows = n->flow_count };
		if (n->error)
			nodes[i].statement = STR("");
		buf_str_put(&policies, n->error ? STR("") : buf_str(&n->policies));
	}
	timestamp_put(&times,
		      timestamp_of((struct wall_ns){ c->config.now.v / NS_PER_S * NS_PER_S }));
	if (r->since)
		timestamp_put(&since, (struct timestamp){ r->since->seconds, r->since->nanos });
	if (r->until)
		timestamp_put(&until, (struct timestamp){ r->until->seconds, r->until->nanos });
	for (unsigned bit = 1; bit < 4; bit++)
		if (classes_of(r) & 1u << bit) {
			static const char *const names[] = { "", "addresses", "labels",
							     "DNS names" };
			buf_str_put(&redacted, redacted.len ? STR(", ") : STR(""));
			buf_str_put(&redacted, str_of(names[bit]));
		}
	const struct report_scope scope = { .words = str_of(r->words),
					    .since = buf_str(&since),
					    .until = until.len ? buf_str(&until) : buf_str(&times),
					    .created = buf_str(&times),
					    .redacted = buf_str(&redacted),
					    .tool = str_of(c->config.tool) };
	report_put_html(c->report, &scope, nodes, c->count, buf_str(&policies), b);
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
			code = add_file(c, files, name, buf_str(all[k].content), e);
		}
	}
	return code;
}

static enum err_code copy_spool(struct evidence_collect *c, FILE *from, FILE *to, struct err *e)
{
	AUTO(own_free) char *bytes = malloc(COPY_BYTES);

	if (!bytes)
		return err_set(e, ERR_NOMEM, "write the bundle");
	rewind(from);
	for (size_t n; (n = fread(bytes, 1, COPY_BYTES, from)) > 0;)
		if (fwrite(bytes, 1, n, to) != n)
			return err_os(e, "write the bundle '%s'", c->path);
	return ferror(from) ? err_os(e, "read a part of the bundle") : ERR_OK;
}

static enum err_code write_frames(struct evidence_collect *c, FILE *to, struct err *e)
{
	AUTO_BUF struct buf report = buf_init(TEXT_MAX), manifest = buf_init(TEXT_MAX),
			    small_tar = buf_init(FILE_MAX);
	struct manifest_files small = { 0 }, last = { 0 };
	uint64_t mtime_s = c->config.now.v / NS_PER_S;
	enum err_code code = put_report(c, &report, e);

	buf_reset(&c->tar);
	if (code == ERR_OK)
		code = put_small(c, &small, e);
	if (code == ERR_OK)
		code = manifest_files_add(&last, "report.html", buf_str(&report), e);
	if (code == ERR_OK)
		code = put_manifest(c, &small, &last, &manifest, e);
	if (code == ERR_OK) {
		tar_put(&small_tar, "manifest.json", buf_str(&manifest), mtime_s);
		buf_str_put(&small_tar, buf_str(&c->tar));
		buf_reset(&c->tar);
		buf_str_put(&c->tar, buf_str(&small_tar));
		c->tar.failed |= small_tar.failed | manifest.failed;
		code = end_frame(c, to, e);
	}
	for (size_t i = 0; i < c->count && code == ERR_OK; i++)
		if (!c->nodes[i].error && c->nodes[i].spool)
			code = copy_spool(c, c->nodes[i].spool, to, e);
	if (code == ERR_OK) {
		tar_put(&c->tar, "report.html", buf_str(&report), mtime_s);
		tar_end(&c->tar);
		code = end_frame(c, to, e);
	}
	manifest_files_done(&small);
	manifest_files_done(&last);
	return code;
}

static enum err_code put_sum(struct evidence_collect *c, FILE *f, struct err *e)
{
	AUTO(own_free) char *bytes = malloc(COPY_BYTES);
	struct sha256 s;
	uint8_t sum[SHA256_BYTES];
	char space[ARCHIVE_SUM_BYTES];
	struct buf b = buf_fixed(space, sizeof space);

	if (!bytes)
		return err_set(e, ERR_NOMEM, "write the bundle");
	sha256_init(&s);
	if (fflush(f) != 0)
		return err_os(e, "write the bundle '%s'", c->path);
	rewind(f);
	for (size_t n; (n = fread(bytes, 1, COPY_BYTES, f)) > 0;)
		sha256_put(&s, str_n(bytes, n));
	sha256_end(&s, sum);
	archive_sum_put(&b, sum);
	if (ferror(f) || fseek(f, 0, SEEK_END) != 0 || fwrite(space, 1, b.len, f) != b.len ||
	    fflush(f) != 0 || fsync(fileno(f)) != 0)
		return err_os(e, "write the bundle '%s'", c->path);
	return ERR_OK;
}

enum err_code evidence_collect_finish(struct evidence_collect *c, struct err *e)
{
	char fresh[PATH_BYTES];
	size_t answered = 0;
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < c->count && code == ERR_OK; i++) {
		struct answer *n = &c->nodes[i];
		if (!n->error && (!n->statement.len || n->block.has_begun))
			fail_node(n, STR("its answer ended before its statement"));
		if (!n->error)
			code = end_chunk(c, n, e);
		answered += !n->error;
	}
	if (code != ERR_OK)
		return code;
	if (!answered)
		return err_set(e, ERR_UNAVAILABLE, "no node answered%s%s", c->count ? ": " : "",
			       c->count ? c->nodes[0].error : "");
	if ((size_t)snprintf(fresh, sizeof fresh, "%s.new", c->path) >= sizeof fresh)
		return err_set(e, ERR_INVALID, "the name of the bundle is too long");
	(void)unlink(fresh);
	int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");
	if (!f) {
		code = err_os(e, "make the bundle '%s'", c->path);
		if (fd >= 0)
			(void)close(fd);
		return code;
	}
	code = write_frames(c, f, e);
	if (code == ERR_OK)
		code = put_sum(c, f, e);
	if (fclose(f) != 0 && code == ERR_OK)
		code = err_os(e, "write the bundle '%s'", c->path);
	if (code == ERR_OK && rename(fresh, c->path) != 0)
		code = err_os(e, "make the bundle '%s'", c->path);
	if (code != ERR_OK)
		(void)unlink(fresh);
	return code;
}

struct evidence_collect_counts evidence_collect_counts(const struct evidence_collect *c)
{
	struct evidence_collect_counts counts = { 0 };

	for (size_t i = 0; i < c->count; i++) {
		counts.flows += c->nodes[i].flow_count;
		counts.nodes += !c->nodes[i].error;
		counts.unanswered += c->nodes[i].error != NULL;
	}
	return counts;
}

void evidence_collect_unanswered(const struct evidence_collect *c, size_t i, struct str *ret_name,
				 struct str *ret_error)
{
	for (size_t k = 0; k < c->count; k++)
		if (c->nodes[k].error && !i--) {
			*ret_name = str_of(c->nodes[k].name);
			*ret_error = str_of(c->nodes[k].error);
			return;
		}
}
