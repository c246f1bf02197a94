#include "evidence/chunk.h"

#include <stdio.h>

#include "evidence/archive.h"
#include "evidence/lines.h"
#include "evidence/proof.h"
#include "evidence/text.h"
#include "flow/wire.h"

enum { RESULT_MAX = 256 << 20 };

/* A block of the chunk's entries. */
struct block_note {
	uint64_t entry, first_seq, last_seq, count;
	struct chain_hash root;
};

struct chunk_checker {
	struct frame_reader *frames;
	struct lines_checker *lines;
	struct buf bytes;
	struct block_note *blocks;
	size_t block_count, block_cap;
	struct evidence_proof proof;
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
	enum err_code code = frame_reader_new(&c->frames, e);
	if (code == ERR_OK)
		code = lines_checker_new(&c->lines, e);
	if (code == ERR_OK)
		*ret = TAKE(c);
	return code;
}

void chunk_checker_free(struct chunk_checker *c)
{
	if (!c)
		return;
	frame_reader_free(c->frames);
	lines_checker_free(c->lines);
	buf_done(&c->bytes);
	free(c->blocks);
	evidence_proof_done(&c->proof);
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

/* --- blocks --- */

static enum err_code check_block(struct chunk_checker *c, size_t *at, struct lines_files *files,
				 struct chunk_result *r, struct err *e)
{
	const struct evidence_proof *p = &c->proof;
	struct chain_hash root, items;

	while (*at < c->block_count && c->blocks[*at].entry < p->entry)
		++*at;
	if (*at == c->block_count || c->blocks[*at].entry != p->entry)
		return err_set(e, ERR_PARSE, "block %llu is not in this part of the chain",
			       (unsigned long long)p->entry);
	const struct block_note *n = &c->blocks[(*at)++];
	if (p->seqs[0] < n->first_seq || p->seqs[p->count - 1] > n->last_seq)
		return err_set(e, ERR_PARSE, "block %llu has records that are not its own",
			       (unsigned long long)p->entry);
	if (lines_check(c->lines, p, n->count, files, &root, &items, e) != ERR_OK)
		return err_in(e, "block %llu", (unsigned long long)p->entry);
	if (memcmp(root.v, n->root.v, sizeof root.v) != 0)
		return err_set(
			e, ERR_PARSE,
			"block %llu: its records are not those that the chain holds: one was "
			"changed, added or moved",
			(unsigned long long)p->entry);
	buf_put(&r->item_roots, items.v, sizeof items.v);
	r->flows += p->count;
	r->blocks++;
	return ERR_OK;
}

/* A proof behind its length. */
static bool next_proof(struct wire_reader *r, struct str *ret)
{
	uint64_t len = 0;

	if (!wire_next_varint(r, &len) || len > (size_t)(r->end - r->p))
		return false;
	*ret = str_n(r->p, (size_t)len);
	r->p += len;
	return true;
}

static enum err_code check_blocks(struct chunk_checker *c, struct str proofs,
				  struct lines_files *files, struct chunk_result *r, struct err *e)
{
	struct wire_reader reader = wire_reader_of(proofs);
	struct str proof, more;
	size_t at = 0;

	while (reader.p < reader.end) {
		if (!next_proof(&reader, &proof))
			return err_set(e, ERR_PARSE, "%s/proofs.pb is cut off", files->dir);
		if (evidence_proof_read(&c->proof, proof, e) != ERR_OK)
			return err_in(e, "%s/proofs.pb: a block", files->dir);
		enum err_code code = check_block(c, &at, files, r, e);
		if (code != ERR_OK)
			return code;
	}
	if (files->json.rest.len) {
		(void)lines_next(&files->json, &more);
		return err_set(e, ERR_PARSE,
			       "%s/flows.jsonl, line %llu: a flow was added (no record says it)",
			       files->dir, (unsigned long long)files->json.read);
	}
	if (files->csv.rest.len)
		return err_set(e, ERR_PARSE, "%s/flows.csv has rows that no record says",
			       files->dir);
	if (r->item_roots.failed || r->gaps.failed)
		return err_set(e, ERR_NOMEM, "what a chunk says");
	return ERR_OK;
}

/* --- files --- */

enum { CHAIN, PROOFS, FLOWS, CSV, FILES_ };

static enum err_code read_files(const struct chunk *chunk, struct str bytes,
				struct tar_file files[FILES_], size_t *ret_count, struct err *e)
{
	static const char *const names[FILES_] = { "chain.jsonl", "proofs.pb", "flows.jsonl",
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
	if (code == ERR_OK) {
		struct lines_files lines = { .dir = chunk->dir,
					     .json = { files[FLOWS].content, 0 },
					     .csv = { count > CSV ? files[CSV].content : STR(""),
						      0 },
					     .has_csv = count > CSV };
		code = check_blocks(c, files[PROOFS].content, &lines, ret, e);
	}
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
