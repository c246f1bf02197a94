#include "evidence/chunk.h"

#include <stdio.h>

#include "evidence/archive.h"
#include "evidence/block.h"
#include "evidence/line.h"
#include "evidence/render.h"
#include "evidence/text.h"
#include "flow/wire.h"

enum { LINE_MAX = 256 << 20, RESULT_MAX = 256 << 20, PREFETCH = 4 /* records ahead */ };

/* A block of the chunk's entries. */
struct block_note {
	uint64_t entry, first_seq, last_seq, count;
	struct chain_hash root;
};

struct chunk_checker {
	struct frame_reader *frames;
	struct renderer *renderer;
	struct line_matcher *line_matcher;
	struct buf bytes, line, core;
	struct block_note *blocks;
	size_t block_count, block_cap;
	struct evidence_block block;
};

void chunk_result_init(struct chunk_result *r)
{
	*r = (struct chunk_result){ .item_roots = buf_init(RESULT_MAX),
				    .gaps = buf_init(RESULT_MAX) };
}

void chunk_result_done(struct chunk_result *r)
{
	buf_done(&r->item_roots);
	buf_done(&r->gaps);
	manifest_files_done(&r->files);
}

enum err_code chunk_checker_new(struct chunk_checker **ret, struct err *e)
{
	AUTO(chunk_checker_free) struct chunk_checker *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "verification");
	c->bytes = buf_init(ARCHIVE_FRAME_MAX + 1);
	c->line = c->core = buf_init(LINE_MAX);
	enum err_code code = frame_reader_new(&c->frames, e);
	if (code == ERR_OK)
		code = renderer_new(&c->renderer, e);
	if (code == ERR_OK)
		code = line_matcher_new(&c->line_matcher, e);
	if (code == ERR_OK)
		*ret = TAKE(c);
	return code;
}

void chunk_checker_free(struct chunk_checker *c)
{
	if (!c)
		return;
	frame_reader_free(c->frames);
	renderer_free(c->renderer);
	line_matcher_free(c->line_matcher);
	buf_done(&c->bytes);
	buf_done(&c->line);
	buf_done(&c->core);
	free(c->blocks);
	evidence_block_done(&c->block);
	free(c);
}

/* --- entries --- */

static enum err_code note_block(struct chunk_checker *c, uint64_t entry, struct str body,
				struct err *e)
{
	struct block_note n = { .entry = entry };

	if (!flat_u64(body, "first_seq", &n.first_seq) ||
	    !flat_u64(body, "last_seq", &n.last_seq) || !flat_u64(body, "count", &n.count) ||
	    !flat_hex(body, "root", n.root.v, sizeof n.root.v))
		return err_set(e, ERR_PARSE, "entry %llu of the chain is no block that can be read",
			       (unsigned long long)entry);
	if (c->block_count == c->block_cap) {
		size_t cap = c->block_cap ? c->block_cap * 2 : 256;
		struct block_note *blocks = realloc(c->blocks, cap * sizeof *blocks);
		if (!blocks)
			return err_set(e, ERR_NOMEM, "blocks of a chunk");
		c->blocks = blocks;
		c->block_cap = cap;
	}
	c->blocks[c->block_count++] = n;
	return ERR_OK;
}

/* The signatures over the head after @entry. */
static enum err_code check_pins(const struct chunk *chunk, uint64_t entry,
				const struct chain_hash *head, size_t *at, struct chunk_result *r,
				struct err *e)
{
	while (*at < chunk->pin_count && chunk->pins[*at].entry < entry)
		++*at;
	for (; *at < chunk->pin_count && chunk->pins[*at].entry == entry; ++*at) {
		const struct chunk_pin *pin = &chunk->pins[*at];
		if (memcmp(pin->head.v, head->v, sizeof head->v) != 0)
			return err_set(e, ERR_PARSE,
				       "the chain is not the one that was signed: %scheckpoint of "
				       "entry %llu has another hash",
				       pin->is_external ? "a separately kept " : "the ",
				       (unsigned long long)entry);
		r->pins_met++;
		r->external_met += pin->is_external;
	}
	return ERR_OK;
}

static enum err_code check_entries(struct chunk_checker *c, const struct chunk *chunk,
				   struct str text, struct chunk_result *r, struct err *e)
{
	uint64_t number = chunk->first_entry;
	struct chain_hash head = chunk->before;
	size_t pin = 0;
	enum err_code code = ERR_OK;

	c->block_count = 0;
	if (!number || !text.len)
		return err_set(e, ERR_PARSE, "it has no entries");
	/* The head before: of the first chunk nobody else asks for it. */
	code = check_pins(chunk, number - 1, &head, &pin, r, e);
	for (; text.len && code == ERR_OK; number++) {
		size_t end = str_find(text, '\n');
		struct str body = str_upto(text, end), kind;
		if (end == text.len)
			return err_set(e, ERR_PARSE, "its last entry is cut off");
		text = str_from(text, end + 1);
		head = chain_entry(number, &head, body);
		if (!flat_get(body, "kind", &kind))
			return err_set(e, ERR_PARSE, "entry %llu of the chain cannot be read",
				       (unsigned long long)number);
		if (str_eq(kind, STR("block"))) {
			code = note_block(c, number, body, e);
		} else if (str_eq(kind, STR("gap"))) {
			buf_str_put(&r->gaps, body);
			buf_char(&r->gaps, '\n');
		}
		if (code == ERR_OK)
			code = check_pins(chunk, number, &head, &pin, r, e);
	}
	r->last_entry = number - 1;
	r->head = head;
	return code;
}

/* --- lines --- */

struct lines {
	struct str rest;
	uint64_t read;
};

static bool next_line(struct lines *l, struct str *ret)
{
	size_t end = str_find(l->rest, '\n');

	if (end == l->rest.len)
		return false;
	*ret = str_upto(l->rest, end + 1);
	l->rest = str_from(l->rest, end + 1);
	l->read++;
	return true;
}

static bool render_one(struct chunk_checker *c, size_t i, struct buf *to)
{
	struct str parts[CHAIN_PARTS_];

	buf_reset(to);
	return i < c->block.record_count && evidence_block_parts(&c->block, i, &c->core, parts) &&
	       renderer_take(c->renderer, parts, NULL) == ERR_OK &&
	       render_json(c->renderer, to, NULL) == ERR_OK && !to->failed;
}

/* Line @got stands where record @i of the block should: what happened? */
static enum err_code name_difference(struct chunk_checker *c, const struct chunk *chunk, size_t i,
				     struct str got, struct lines after, struct err *e)
{
	AUTO_BUF struct buf want = buf_init(LINE_MAX), next = buf_init(LINE_MAX);
	struct str then = { "", 0 };
	bool has_want = render_one(c, i, &want), has_next = render_one(c, i + 1, &next);
	uint64_t at = after.read;
	bool has_then = next_line(&after, &then);
	bool is_next = has_next && str_eq(got, buf_str(&next));
	bool comes_later = has_want && has_then && str_eq(then, buf_str(&want));
	const char *what = is_next && comes_later ? "a flow was moved"
			   : is_next              ? "a flow was removed"
			   : comes_later          ? "a flow was added"
						  : "a flow was changed";

	return err_set(e, ERR_PARSE,
		       "%s/flows.jsonl, line %llu: %s (record %llu says something else)",
		       chunk->dir, (unsigned long long)at, what,
		       (unsigned long long)c->block.records[i].seq);
}

static enum err_code check_lines(struct chunk_checker *c, const struct chunk *chunk,
				 struct lines *json, struct lines *csv, struct err *e)
{
	for (size_t i = 0; i < c->block.record_count; i++) {
		struct str parts[CHAIN_PARTS_], got;
		line_prefetch(&c->block, i + PREFETCH);
		size_t matched = line_match(c->line_matcher, &c->block, i, json->rest);
		if (matched) {
			json->rest = str_from(json->rest, matched);
			json->read++;
			if (!csv)
				continue;
		}
		buf_reset(&c->line);
		if (!evidence_block_parts(&c->block, i, &c->core, parts))
			return err_set(e, ERR_PARSE, "record %llu is too large",
				       (unsigned long long)c->block.records[i].seq);
		if (renderer_take(c->renderer, parts, e) != ERR_OK ||
		    (!matched && render_json(c->renderer, &c->line, e) != ERR_OK))
			return err_in(e, "record %llu",
				      (unsigned long long)c->block.records[i].seq);
		/* What is as it should be need not be looked through for its end. */
		if (matched) {
			;
		} else if (str_has_prefix(json->rest, buf_str(&c->line))) {
			json->rest = str_from(json->rest, c->line.len);
			json->read++;
		} else if (!next_line(json, &got)) {
			return err_set(e, ERR_PARSE,
				       "%s/flows.jsonl lacks the line of record %llu: a flow was "
				       "removed, or the end is cut off",
				       chunk->dir, (unsigned long long)c->block.records[i].seq);
		} else {
			return name_difference(c, chunk, i, got, *json, e);
		}
		if (!csv)
			continue;
		buf_reset(&c->line);
		if (renderer_read(c->renderer, e) != ERR_OK)
			return err_in(e, "record %llu",
				      (unsigned long long)c->block.records[i].seq);
		render_csv(c->renderer, &c->line);
		if (csv->read == 0 && (!next_line(csv, &got) || !str_eq(got, render_csv_head())))
			return err_set(e, ERR_PARSE, "%s/flows.csv has other columns", chunk->dir);
		/* a quoted cell may hold newlines: compared by length, not by line */
		if (!str_has_prefix(csv->rest, buf_str(&c->line)))
			return err_set(e, ERR_PARSE,
				       "%s/flows.csv does not say what record %llu says",
				       chunk->dir, (unsigned long long)c->block.records[i].seq);
		csv->rest = str_from(csv->rest, c->line.len);
	}
	return ERR_OK;
}

/* --- records --- */

static enum err_code finish_block(struct chunk_checker *c, const struct chunk *chunk, size_t *at,
				  struct lines *json, struct lines *csv, struct chunk_result *r,
				  struct err *e)
{
	struct evidence_block *b = &c->block;
	struct chain_hash root, items;

	while (*at < c->block_count && c->blocks[*at].entry < b->entry)
		++*at;
	if (*at == c->block_count || c->blocks[*at].entry != b->entry)
		return err_set(e, ERR_PARSE, "block %llu is not in this part of the chain",
			       (unsigned long long)b->entry);
	const struct block_note *n = &c->blocks[(*at)++];
	if (!b->record_count || b->records[0].seq < n->first_seq ||
	    b->records[b->record_count - 1].seq > n->last_seq)
		return err_set(e, ERR_PARSE, "block %llu has records that are not its own",
			       (unsigned long long)b->entry);
	if (evidence_block_hash(b, n->count, &root, &items, e) != ERR_OK)
		return err_in(e, "block %llu", (unsigned long long)b->entry);
	/* The lines first: they say more exactly what was changed, if they were. */
	if (check_lines(c, chunk, json, csv, e) != ERR_OK)
		return e ? e->code : ERR_PARSE;
	if (memcmp(root.v, n->root.v, sizeof root.v) != 0)
		return err_set(
			e, ERR_PARSE,
			"block %llu: its records are not those that the chain holds: one was "
			"changed, added or moved",
			(unsigned long long)b->entry);
	buf_put(&r->item_roots, items.v, sizeof items.v);
	r->flows += b->record_count;
	r->blocks++;
	return ERR_OK;
}

/* A block behind its length. */
static bool next_block(struct wire_reader *r, struct str *ret)
{
	uint64_t len = 0;

	if (!wire_next_varint(r, &len) || len > (size_t)(r->end - r->p))
		return false;
	*ret = str_n(r->p, (size_t)len);
	r->p += len;
	return true;
}

static enum err_code check_records(struct chunk_checker *c, const struct chunk *chunk,
				   struct str records, struct str flows, const struct str *csv_text,
				   struct chunk_result *r, struct err *e)
{
	struct wire_reader reader = wire_reader_of(records);
	struct lines json = { flows, 0 }, csv = { csv_text ? *csv_text : STR(""), 0 };
	struct str block, more;
	size_t at = 0;

	while (reader.p < reader.end) {
		if (!next_block(&reader, &block))
			return err_set(e, ERR_PARSE, "%s/records.pb is cut off", chunk->dir);
		evidence_block_reset(&c->block);
		if (evidence_block_take(&c->block, block, e) != ERR_OK)
			return err_in(e, "%s/records.pb: a block", chunk->dir);
		if (!c->block.is_complete)
			return err_set(e, ERR_PARSE, "%s/records.pb: block %llu is cut off",
				       chunk->dir, (unsigned long long)c->block.entry);
		enum err_code code =
			finish_block(c, chunk, &at, &json, csv_text ? &csv : NULL, r, e);
		if (code != ERR_OK)
			return code;
	}
	if (json.rest.len) {
		(void)next_line(&json, &more);
		return err_set(e, ERR_PARSE,
			       "%s/flows.jsonl, line %llu: a flow was added (no record says it)",
			       chunk->dir, (unsigned long long)json.read);
	}
	if (csv.rest.len)
		return err_set(e, ERR_PARSE, "%s/flows.csv has rows that no record says",
			       chunk->dir);
	if (r->item_roots.failed || r->gaps.failed)
		return err_set(e, ERR_NOMEM, "what a chunk says");
	return ERR_OK;
}

/* --- files --- */

enum { CHAIN, RECORDS, FLOWS, CSV, FILES_ };

static enum err_code read_files(const struct chunk *chunk, struct str bytes,
				struct tar_file files[FILES_], size_t *ret_count, struct err *e)
{
	static const char *const names[FILES_] = { "chain.jsonl", "records.pb", "flows.jsonl",
						   "flows.csv" };
	size_t n = 0;
	bool end = false;
	enum err_code code = ERR_OK;

	for (struct tar_file f; tar_next(&bytes, chunk->mtime_s, &f, &end, &code, e); n++) {
		char want[104];
		if (n < FILES_)
			(void)snprintf(want, sizeof want, "%s/%s", chunk->dir, names[n]);
		if (n == FILES_ || !str_is(f.name, want))
			return err_set(e, ERR_PARSE, "'%.*s' is not where it belongs",
				       STR_FMT(f.name));
		files[n] = f;
	}
	if (code != ERR_OK)
		return code;
	if (end || n < CSV)
		return err_set(e, ERR_PARSE, "'%s/%s' is missing", chunk->dir,
			       names[n < FILES_ ? n : CHAIN]);
	*ret_count = n;
	return ERR_OK;
}

enum err_code chunk_check_bytes(struct chunk_checker *c, const struct chunk *chunk,
				struct str bytes, struct chunk_result *ret, struct err *e)
{
	struct tar_file files[FILES_];
	size_t count = 0;

	chunk_result_done(ret);
	chunk_result_init(ret);
	enum err_code code = read_files(chunk, bytes, files, &count, e);
	if (code == ERR_OK)
		code = check_entries(c, chunk, files[CHAIN].content, ret, e);
	if (code == ERR_OK)
		code = check_records(c, chunk, files[RECORDS].content, files[FLOWS].content,
				     count > CSV ? &files[CSV].content : NULL, ret, e);
	for (size_t i = 0; i < count && code == ERR_OK; i++) {
		char name[TAR_NAME_MAX + 1];
		(void)snprintf(name, sizeof name, "%.*s", STR_FMT(files[i].name));
		code = manifest_files_note(&ret->files, name, files[i].content.len, e);
	}
	return code;
}

enum err_code chunk_check(struct chunk_checker *c, const struct chunk *chunk, struct str frame,
			  struct chunk_result *ret, struct err *e)
{
	enum err_code code = frame_read(c->frames, frame, &c->bytes, e);

	if (code == ERR_OK)
		code = chunk_check_bytes(c, chunk, buf_str(&c->bytes), ret, e);
	return code == ERR_OK ? ERR_OK : err_in(e, "%s", chunk->dir);
}
