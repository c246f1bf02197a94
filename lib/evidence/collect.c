#include "evidence/collect_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "evidence/filters.h"
#include "evidence/key.h"
#include "evidence/redact.h"
#include "flow/fields.h"
#include "flow/wire.h"

static void pieces_free(struct answer *n)
{
	for (struct piece *next; n->pieces; n->pieces = next) {
		next = n->pieces->next;
		free(n->pieces);
	}
	n->pieces_end = &n->pieces;
}

static void answer_done(struct answer *n)
{
	struct buf *const bufs[] = { &n->chain,      &n->proofs, &n->proof,
				     &n->flows,      &n->csv,    &n->policies,
				     &n->statement,  &n->wholes, &n->statement_text,
				     &n->checkpoints };

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
	line_parser_free(c->lines);
	report_free(c->report);
	buf_done(&c->tar);
	buf_done(&c->frame);
	buf_done(&c->core);
	if (c->request)
		tycho__v1__export_request__free_unpacked(c->request, NULL);
	free(c->path);
	free(c);
}

enum err_code evidence_collect_new(const struct evidence_collect_config *config,
				   struct evidence_collect **ret, struct err *e)
{
	AUTO(evidence_collect_free) struct evidence_collect *c = calloc(1, sizeof *c);
	struct stat there;

	if (!c)
		return err_set(e, ERR_NOMEM, "a bundle");
	/* The finished bundle takes the name's place: a device must not go that way. */
	if (stat(config->path, &there) == 0 && !S_ISREG(there.st_mode))
		return err_set(e, ERR_INVALID, "'%s' is there and is no file", config->path);
	c->config = *config;
	if (!c->config.chunk_bytes)
		c->config.chunk_bytes = COLLECT_CHUNK_BYTES;
	c->tar = buf_init(FILE_MAX);
	c->frame = c->core = buf_init(FILE_MAX);
	c->path = str_dup(str_of(config->path));
	c->nodes = calloc(COLLECT_NODES, sizeof *c->nodes);
	c->request = tycho__v1__export_request__unpack(NULL, config->request.len,
						       (const uint8_t *)config->request.p);
	if (!c->path || !c->nodes || !c->request)
		return err_set(e, ERR_NOMEM, "a bundle");
	enum err_code code = renderer_new(&c->renderer, e);
	if (code == ERR_OK)
		code = line_parser_new(&c->lines, e);
	if (code == ERR_OK)
		code = report_new(&c->report, e);
	if (code == ERR_OK)
		*ret = TAKE(c);
	return code;
}

/* --- nodes --- */

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
	*n = (struct answer){ .name = str_dup(name),
			      .number = c->count + 1,
			      .pieces_end = &n->pieces };
	if (!n->name || report_new(&n->report, e) != ERR_OK) {
		free(n->name);
		return err_set(e, ERR_NOMEM, "a node of the bundle");
	}
	n->chain = n->proofs = n->proof = n->flows = n->csv = n->wholes = buf_init(FILE_MAX);
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
	n->flow_count = n->http_count = 0;
}

/* --- chunks --- */

static enum err_code end_chunk(struct evidence_collect *c, struct answer *n, struct err *e)
{
	char name[104];
	const struct {
		const char *name;
		struct buf *content;
	} files[] = { { "chain.jsonl", &n->chain },
		      { "proofs.pb", &n->proofs },
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
		bundle_add_file(c, name, buf_str(files[i].content));
		code = manifest_files_note(&n->files, name, files[i].content->len, e);
		buf_reset(files[i].content);
	}
	if (code == ERR_OK)
		code = bundle_end_frame(c, n->spool, e);
	n->chunk_entries = 0;
	return code;
}

/* --- what comes --- */

static enum err_code on_entries(struct evidence_collect *c, struct answer *n, struct str message,
				struct err *e)
{
	struct wire_reader r = wire_reader_of(message);
	struct chunk_note note = { 0 };
	bool is_whole = true;

	if (n->chunk_entries >= COLLECT_CHUNK_ENTRIES || n->flows.len >= c->config.chunk_bytes) {
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

/* The line at the end of n->flows, from @at on, says its record to the byte. */
static bool says_all(const struct evidence_collect *c, const struct answer *n, size_t at,
		     const struct str parts[CHAIN_PARTS_])
{
	struct line_record said;
	bool same = line_parse(c->lines, str_from(buf_str(&n->flows), at), &said);

	for (size_t p = 0; p < CHAIN_PARTS_ && same; p++)
		same = str_eq(said.parts[p], parts[p]);
	return same;
}

static bool is_http(struct str core)
{
	struct str l7, http;

	return wire_find(core, FLOW_FIELD_L7, &l7) && wire_find(l7, L7_FIELD_HTTP, &http);
}

/* Renders what the newest piece brought, from record @from on. */
static enum err_code render_records(struct evidence_collect *c, struct answer *n, size_t from,
				    struct err *e)
{
	for (uint32_t i = (uint32_t)from; i < n->block.record_count; i++) {
		struct str parts[CHAIN_PARTS_];
		struct err why;
		size_t at = n->flows.len;
		if (!evidence_block_parts(&n->block, i, &c->core, parts))
			return err_set(e, ERR_NOMEM, "a record of the bundle");
		if (renderer_take(c->renderer, parts, &why) != ERR_OK ||
		    renderer_read(c->renderer, &why) != ERR_OK ||
		    render_json(c->renderer, &n->flows, &why) != ERR_OK) {
			fail_node(n, str_of(why.msg));
			return ERR_OK;
		}
		if (n->flows.failed)
			return err_set(e, ERR_NOMEM, "a part of the bundle is too large");
		if (!says_all(c, n, at, parts))
			buf_put(&n->wholes, &i, sizeof i);
		if (c->config.csv) {
			if (!n->csv.len)
				buf_str_put(&n->csv, render_csv_head());
			render_csv(c->renderer, &n->csv);
		}
		enum err_code code = report_add(n->report, c->renderer, e);
		if (code != ERR_OK)
			return code;
		n->flow_count++;
		n->http_count += is_http(parts[CHAIN_CORE]);
	}
	return ERR_OK;
}

/* The block at work is complete. */
static void end_block(struct answer *n)
{
	buf_reset(&n->proof);
	evidence_proof_put(&n->proof, &n->block, (const uint32_t *)(const void *)n->wholes.p,
			   n->wholes.len / sizeof(uint32_t));
	wire_put_varint(&n->proofs, n->proof.len);
	buf_str_put(&n->proofs, buf_str(&n->proof));
	n->proofs.failed |= n->proof.failed || n->wholes.failed;
	buf_reset(&n->wholes);
	evidence_block_reset(&n->block);
	pieces_free(n);
}

static enum err_code on_block(struct evidence_collect *c, struct answer *n, struct str message,
			      struct err *e)
{
	struct piece *p = malloc(sizeof *p + message.len);
	struct err why;

	if (!p)
		return err_set(e, ERR_NOMEM, "a piece of a block");
	*p = (struct piece){ .len = message.len };
	memcpy(p->bytes, message.p, message.len);
	*n->pieces_end = p;
	n->pieces_end = &p->next;
	size_t from = n->block.record_count;
	if (evidence_block_take(&n->block, str_n(p->bytes, p->len), &why) != ERR_OK) {
		fail_node(n, str_of(why.msg));
		return ERR_OK;
	}
	enum err_code code = render_records(c, n, from, e);
	if (code == ERR_OK && !n->error && n->block.is_complete)
		end_block(n);
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
	struct answer *n = NULL; /* for compilers that do not see that a code comes with it */

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

/* --- the end --- */

enum err_code evidence_collect_finish(struct evidence_collect *c, struct err *e)
{
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
	return bundle_write(c, e);
}

struct evidence_collect_counts evidence_collect_counts(const struct evidence_collect *c)
{
	const Tycho__V1__ExportRequest *r = c->request;
	unsigned classes = bundle_classes(c);
	struct evidence_collect_counts counts = {
		.named = filters_naming(r->whitelist, r->n_whitelist, classes) |
			 filters_naming(r->blacklist, r->n_blacklist, classes)
	};

	for (size_t i = 0; i < c->count; i++) {
		counts.flows += c->nodes[i].flow_count;
		if (classes & (REDACT_IP | REDACT_DNS))
			counts.plain_http += c->nodes[i].http_count;
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
