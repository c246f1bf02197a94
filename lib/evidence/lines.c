#include "evidence/lines.h"

#include "chain/sha256.h"
#include "chain/tree.h"
#include "evidence/leaf.h"
#include "evidence/redact.h"
#include "record/line.h"
#include "record/render.h"

enum { LINE_MAX = 256 << 20 };

struct lines_checker {
	struct line_parser *reader;
	struct leaf_hasher *hasher;
	struct renderer *renderer;
	struct buf line;
	struct chain_hash *leaves, *items; /* of the block's records */
	size_t cap;
};

enum err_code lines_checker_new(struct lines_checker **ret, struct err *e)
{
	AUTO(lines_checker_free) struct lines_checker *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "verification");
	c->line = buf_init(LINE_MAX);
	enum err_code code = line_parser_new(&c->reader, e);
	if (code == ERR_OK)
		code = leaf_hasher_new(&c->hasher, e);
	if (code == ERR_OK)
		code = renderer_new(&c->renderer, e);
	if (code == ERR_OK)
		*ret = TAKE(c);
	return code;
}

void lines_checker_free(struct lines_checker *c)
{
	if (!c)
		return;
	line_parser_free(c->reader);
	leaf_hasher_free(c->hasher);
	renderer_free(c->renderer);
	buf_done(&c->line);
	free(c->leaves);
	free(c->items);
	free(c);
}

bool lines_next(struct lines *l, struct str *ret)
{
	size_t end = str_find(l->rest, '\n');

	if (end == l->rest.len)
		return false;
	*ret = str_upto(l->rest, end + 1);
	l->rest = str_from(l->rest, end + 1);
	l->read++;
	return true;
}

/* --- one record --- */

/* What the line at the front of @text says, as record @i; borrowed until the next. False: nothing,
 * or something else than the bundle has of the whole record. */
static bool read_record(struct lines_checker *c, const struct evidence_proof *proof, size_t i,
			struct str text, struct line_record *ret)
{
	const struct proof_whole *whole = evidence_proof_whole(proof, i);

	if (!whole)
		return line_parse_to(c->reader, text, leaf_core(c->hasher), LEAF_CORE_BYTES, ret);
	*ret = (struct line_record){ .len = 0 };
	memcpy(ret->parts, whole->parts, sizeof ret->parts);
	buf_reset(&c->line);
	if (renderer_take(c->renderer, whole->parts, NULL) != ERR_OK ||
	    render_json(c->renderer, &c->line, NULL) != ERR_OK || c->line.failed ||
	    !str_has_prefix(text, buf_str(&c->line)))
		return false;
	ret->len = c->line.len;
	return true;
}

static void add_leaf(struct lines_checker *c, const struct evidence_proof *proof, size_t i,
		     const struct line_record *record, struct chain_hash *to)
{
	const struct chain_hash *commitments[CHAIN_PARTS_];

	evidence_proof_commitments(proof, i, commitments);
	leaf_add(c->hasher, proof->seqs[i], record->parts, commitments, record->labels_key, to);
}

/* What is shown of the record's withheld parts. */
static struct chain_hash shown_of(const struct evidence_proof *proof,
				  const struct line_record *record)
{
	struct chain_hash shown;
	struct sha256 sum;

	redact_shown_init(&sum);
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		if (!proof->has_secret[p])
			redact_shown_put(&sum, p, record->parts[p]);
	sha256_end(&sum, shown.v);
	return shown;
}

static bool is_marked(const struct evidence_proof *proof, size_t i, const struct chain_hash *leaf)
{
	return memcmp(leaf->v, proof->marks.p + i * RECORD_MARK_BYTES, RECORD_MARK_BYTES) == 0;
}

/* --- what is wrong --- */

/* @line is that of record @i. */
static bool is_line_of(struct lines_checker *c, const struct evidence_proof *proof, size_t i,
		       struct str line)
{
	struct line_record record;
	struct chain_hash leaf;

	if (i >= proof->count || !read_record(c, proof, i, line, &record))
		return false;
	add_leaf(c, proof, i, &record, &leaf);
	leaf_flush(c->hasher);
	return is_marked(proof, i, &leaf);
}

/* The line of record @i is not it; @at is where the block's lines begin. What happened? */
static enum err_code name_difference(struct lines_checker *c, const struct evidence_proof *proof,
				     size_t i, const struct lines_files *files, struct lines at,
				     struct err *e)
{
	struct str got, then;
	bool has_got = false;

	for (size_t k = 0; k <= i; k++)
		has_got = lines_next(&at, &got);
	if (!has_got)
		return err_set(e, ERR_PARSE,
			       "%s/flows.jsonl lacks the line of record %llu: a flow was removed, "
			       "or the end is cut off",
			       files->dir, (unsigned long long)proof->seqs[i]);
	uint64_t number = at.read;
	bool is_next = is_line_of(c, proof, i + 1, got);
	bool comes_later = lines_next(&at, &then) && is_line_of(c, proof, i, then);
	const char *what = is_next && comes_later ? "a flow was moved"
			   : is_next              ? "a flow was removed"
			   : comes_later          ? "a flow was added"
						  : "a flow was changed";
	return err_set(e, ERR_PARSE, "%s/flows.jsonl, line %llu: %s (it is not record %llu)",
		       files->dir, (unsigned long long)number, what,
		       (unsigned long long)proof->seqs[i]);
}

/* --- a block --- */

/* Not for more records than there can be lines, whatever a proof claims. */
static enum err_code make_room(struct lines_checker *c, size_t count,
			       const struct lines_files *files, struct err *e)
{
	enum { LINE_LEAST = sizeof "{\"flow\":{}}\n" - 1 };

	if (count > files->json.rest.len / LINE_LEAST)
		return err_set(
			e, ERR_PARSE,
			"%s/flows.jsonl lacks lines of %zu records: flows were removed, or the "
			"end is cut off",
			files->dir, count);
	if (count <= c->cap)
		return ERR_OK;
	free(c->leaves);
	free(c->items);
	c->leaves = malloc(count * sizeof *c->leaves);
	c->items = malloc(count * sizeof *c->items);
	c->cap = c->leaves && c->items ? count : 0;
	return c->cap ? ERR_OK : err_set(e, ERR_NOMEM, "records of a block");
}

static enum err_code check_json(struct lines_checker *c, const struct evidence_proof *proof,
				struct lines_files *files, struct err *e)
{
	const struct lines begin = files->json;
	struct line_record record;
	size_t n = 0, marked = 0;

	for (; n < proof->count && read_record(c, proof, n, files->json.rest, &record); n++) {
		add_leaf(c, proof, n, &record, &c->leaves[n]);
		if (proof->withheld_parts)
			c->items[n] = shown_of(proof, &record);
		files->json.rest = str_from(files->json.rest, record.len);
		files->json.read++;
	}
	leaf_flush(c->hasher);
	while (marked < n && is_marked(proof, marked, &c->leaves[marked]))
		marked++;
	return marked == proof->count ? ERR_OK : name_difference(c, proof, marked, files, begin, e);
}

/* Rows say what the lines say, which are right: @json is where they begin. */
static enum err_code check_csv(struct lines_checker *c, const struct evidence_proof *proof,
			       struct str json, struct lines_files *files, struct err *e)
{
	struct line_record record;
	struct str head;

	if (!files->csv.read &&
	    (!lines_next(&files->csv, &head) || !str_eq(head, render_csv_head())))
		return err_set(e, ERR_PARSE, "%s/flows.csv has other columns", files->dir);
	for (size_t i = 0; i < proof->count; i++) {
		if (!read_record(c, proof, i, json, &record) ||
		    renderer_take(c->renderer, record.parts, e) != ERR_OK ||
		    renderer_read(c->renderer, e) != ERR_OK)
			return err_set(e, ERR_PARSE, "record %llu cannot be read",
				       (unsigned long long)proof->seqs[i]);
		json = str_from(json, record.len);
		buf_reset(&c->line);
		render_csv(c->renderer, &c->line);
		/* a quoted cell may hold newlines: compared by length, not by line */
		if (c->line.failed || !str_has_prefix(files->csv.rest, buf_str(&c->line)))
			return err_set(e, ERR_PARSE,
				       "%s/flows.csv does not say what record %llu says",
				       files->dir, (unsigned long long)proof->seqs[i]);
		files->csv.rest = str_from(files->csv.rest, c->line.len);
	}
	return ERR_OK;
}

enum err_code lines_check(struct lines_checker *c, const struct evidence_proof *proof,
			  uint64_t count, struct lines_files *files, struct chain_hash *ret_root,
			  struct chain_hash *ret_items, struct err *e)
{
	const struct chain_secret *secrets[CHAIN_PARTS_] = { NULL };
	struct str begin = files->json.rest;

	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		secrets[p] = proof->has_secret[p] ? &proof->secrets[p] : NULL;
	leaf_begin(c->hasher, secrets);
	enum err_code code = make_room(c, proof->count, files, e);
	if (code == ERR_OK)
		code = check_json(c, proof, files, e);
	if (code == ERR_OK && files->has_csv)
		code = check_csv(c, proof, begin, files, e);
	if (code != ERR_OK)
		return code;
	/* A whole block with nothing withheld: its items are its leaves, and the tree the same. */
	bool is_whole = !proof->withheld_parts && proof->count == count;
	if (!is_whole) {
		for (size_t i = 0; i < proof->count; i++)
			c->items[i] = proof->withheld_parts
					      ? redact_item(&c->leaves[i], &c->items[i])
					      : c->leaves[i];
		*ret_items = chain_root_in_place(c->items, proof->count);
	}
	const struct chain_places places = { proof->places, proof->count };
	if (count > UINT32_MAX ||
	    !chain_proof_root(c->leaves, places, count, proof->proof, ret_root))
		return err_set(e, ERR_PARSE, "its proof does not fit its records");
	if (is_whole)
		*ret_items = *ret_root;
	return ERR_OK;
}
