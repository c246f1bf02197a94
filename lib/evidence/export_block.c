/* Blocks: all their records are hashed, those that match are sent with the proof. */
#include "evidence/export_inside.h"

#include "evidence/block.h"
#include "flow/fields.h"
#include "flow/wire.h"

static enum err_code begin_block(struct evidence_export *x, struct err *e)
{
	const struct store_scan_config scan = {
		.range = { { 0 }, { UINT64_MAX }, x->block.first_seq, UINT64_MAX },
		.kinds = UINT32_MAX,
	};
	/* The scan that is open goes on if this block is not far ahead of it. */
	uint64_t at = x->portion_at < x->portion_count ? x->portion[x->portion_at].seq
		      : x->all                         ? store_scan_at(x->all)
						       : UINT64_MAX;
	bool goes_on = x->all && !(x->all_ended && x->portion_at == x->portion_count) &&
		       at <= x->block.first_seq && x->block.first_seq - at < 4 * WORK;

	x->block_has_begun = true;
	chain_block_start(x->chain, &x->secret, x->block.number);
	map_reset(x->parts_known);
	map_reset(x->shared_known);
	x->parts_count = x->shared_count = 0;
	x->item_count = 0;
	if (goes_on)
		return ERR_OK;
	store_scan_free(TAKE(x->all));
	x->portion_at = x->portion_count = 0;
	x->all_ended = false;
	return store_scan_new(x->config.reader, &scan, &x->all, e);
}

/* The part's number in this block's table; content that is new is added. */
static uint32_t part_number(struct evidence_export *x, enum chain_part part, struct str bytes)
{
	bool withheld = redact_withholds(x->redact, part);
	struct chain_secret secret;
	uint32_t number;

	if (!bytes.len && !withheld)
		return 0;
	buf_reset(&x->key);
	buf_char(&x->key, (char)part);
	buf_str_put(&x->key, bytes);
	if (x->key.failed) {
		x->piece_parts.failed = true;
		return 0;
	}
	if (map_get(x->parts_known, buf_str(&x->key), &number))
		return number;
	number = ++x->parts_count;
	if (map_put(x->parts_known, buf_str(&x->key), number, NULL, NULL) != ERR_OK) {
		x->piece_parts.failed = true;
		return 0;
	}
	size_t mark = wire_begin(&x->piece_parts, 3);
	wire_put_u64(&x->piece_parts, 1, part);
	if (withheld) {
		secret = chain_part_secret(&x->secret, x->block.number, part);
		struct chain_hash c = chain_commit(part, &secret, bytes);
		buf_reset(&x->shown);
		redact_part(&x->shown, &x->redact_key, x->redact, bytes);
		x->piece_parts.failed |= x->shown.failed;
		wire_put_str(&x->piece_parts, 2, buf_str(&x->shown));
		wire_put_len(&x->piece_parts, 3, str_n(c.v, sizeof c.v));
	} else {
		wire_put_str(&x->piece_parts, 2, bytes);
	}
	wire_end(&x->piece_parts, mark);
	return number;
}

/* The same of a fragment that cores have in common. */
static uint32_t shared_number(struct evidence_export *x, struct str bytes)
{
	uint32_t number;

	if (map_get(x->shared_known, bytes, &number))
		return number;
	number = ++x->shared_count;
	if (map_put(x->shared_known, bytes, number, NULL, NULL) != ERR_OK) {
		x->piece_parts.failed = true;
		return 0;
	}
	wire_put_len(&x->piece_parts, 4, bytes);
	return number;
}

/* A core without its endpoints, which many flows have: they stand beside each other, since fields
 * are in order. */
static void put_core(struct evidence_export *x, struct buf *b, struct str core)
{
	struct wire_reader r = wire_reader_of(core);
	uint32_t numbers[RECORD_SHARED_MAX];
	size_t count = 0, from = core.len, to = core.len; /* of the endpoints */

	for (struct wire_field f; count < RECORD_SHARED_MAX && wire_next(&r, &f);) {
		size_t at = (size_t)(f.raw.p - core.p);
		if (f.number > FLOW_FIELD_DESTINATION || (count && at != to))
			break;
		if (f.number != FLOW_FIELD_SOURCE && f.number != FLOW_FIELD_DESTINATION)
			continue;
		from = count ? from : at;
		to = at + f.raw.len;
		numbers[count++] = shared_number(x, f.raw);
	}
	wire_put_str(b, 3, str_upto(core, from));
	if (count) {
		size_t packed = wire_begin(b, 4);
		for (size_t i = 0; i < count; i++)
			wire_put_varint(b, numbers[i]);
		wire_end(b, packed);
	}
	wire_put_str(b, 5, str_from(core, to));
}

static bool grow_items(struct evidence_export *x)
{
	if (x->item_count < x->item_cap)
		return true;
	size_t cap = x->item_cap ? x->item_cap * 2 : 1024;
	struct chain_hash *items = realloc(x->items, cap * sizeof *items);
	if (items)
		x->items = items;
	uint32_t *places = realloc(x->places, cap * sizeof *places);
	if (places)
		x->places = places;
	if (!items || !places)
		return false;
	x->item_cap = cap;
	return true;
}

/* Adds the record to the piece. Of what is withheld, the item is made from what is shown. */
static void add_record(struct evidence_export *x, const struct flow *f, size_t index)
{
	struct sha256 sum;
	uint32_t numbers[CHAIN_PARTS_];
	struct buf *b = &x->piece_records;

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_reset(&x->parts[i]);
	chain_split(f, x->config.dict, x->parts);
	size_t mark = wire_begin(b, 5);
	wire_put_u64(b, 1, index);
	wire_put_u64(b, 2, f->seq);
	put_core(x, b, buf_str(&x->parts[CHAIN_CORE]));
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		numbers[p] = part_number(x, p, buf_str(&x->parts[p]));
	size_t packed = wire_begin(b, 6);
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		wire_put_varint(b, numbers[p]);
	wire_end(b, packed);
	wire_end(b, mark);

	x->places[x->item_count] = (uint32_t)index;
	if (x->redact) {
		/* the leaf comes first, once it is known: finish_block */
		redact_shown_init(&sum);
		for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++) {
			if (!redact_withholds(x->redact, p))
				continue;
			buf_reset(&x->shown);
			redact_part(&x->shown, &x->redact_key, x->redact, buf_str(&x->parts[p]));
			redact_shown_put(&sum, p, buf_str(&x->shown));
		}
		sha256_end(&sum, x->items[x->item_count].v);
	}
	x->item_count++;
}

/* @marks: of the last piece; else NULL. */
static void send_piece(struct evidence_export *x, struct buf *out, struct str proof,
		       const struct buf *marks)
{
	size_t mark = export_begin_response(x, out, RESPONSE_BLOCK);

	wire_put_u64(out, 1, x->block.number);
	for (enum chain_part p = CHAIN_ADDRESSES; !x->block_is_sent && p < CHAIN_PARTS_; p++) {
		struct chain_secret s = chain_part_secret(&x->secret, x->block.number, p);
		wire_put_len(out, 2,
			     redact_withholds(x->redact, p) ? STR("") : str_n(s.v, sizeof s.v));
	}
	buf_str_put(out, buf_str(&x->piece_parts));
	buf_str_put(out, buf_str(&x->piece_records));
	wire_put_str(out, 6, proof);
	wire_put_u64(out, 7, marks != NULL);
	if (marks)
		wire_put_str(out, 8, buf_str(marks));
	wire_end(out, mark);
	x->block_is_sent = true;
	buf_reset(&x->piece_parts);
	buf_reset(&x->piece_records);
}

static enum err_code finish_block(struct evidence_export *x, struct buf *out, struct err *e)
{
	struct chain_hash root;
	size_t count = chain_block_count(x->chain);
	AUTO_BUF struct buf proof = buf_init(TEXT_BYTES), marks = buf_init(TEXT_BYTES);
	enum err_code code = chain_block_root(x->chain, &root, e);

	if (code != ERR_OK)
		return code;
	bool differs = memcmp(root.v, x->block.root.v, sizeof root.v) != 0;
	if (differs)
		code = export_check_held(x, 0, x->block.first_seq, e);
	if (code != ERR_OK)
		return code;
	if (differs)
		return err_set(e, ERR_PARSE,
			       "block %llu of the store holds other records than its chain says",
			       (unsigned long long)x->block.number);
	const struct chain_hash *leaves = chain_block_leaves(x->chain);
	chain_proof_put(leaves, count, (struct chain_places){ x->places, x->item_count }, &proof);
	for (size_t i = 0; i < x->item_count; i++)
		buf_put(&marks, leaves[x->places[i]].v, RECORD_MARK_BYTES);
	for (size_t i = 0; i < x->item_count; i++)
		x->items[i] = x->redact ? redact_item(&leaves[x->places[i]], &x->items[i])
					: leaves[x->places[i]];
	struct chain_hash items = chain_root_in_place(x->items, x->item_count);
	chain_tree_add(&x->root, &items);
	x->flows += x->item_count;
	x->blocks++;
	send_piece(x, out, buf_str(&proof), &marks);
	if (proof.failed || marks.failed || out->failed)
		return err_set(e, ERR_NOMEM, "a block of the export");
	x->phase = ENTRIES;
	return ERR_OK;
}

static enum err_code next_portion(struct evidence_export *x, struct err *e)
{
	bool more = false;
	enum err_code code =
		store_scan_next(x->all, WORK, &x->portion, &x->portion_count, &more, e);

	x->portion_at = 0;
	if (code != ERR_OK)
		x->portion_count = 0;
	x->all_ended = !more;
	return code;
}

enum err_code export_step_block(struct evidence_export *x, struct buf *out, struct err *e)
{
	enum err_code code = ERR_OK;

	if (!x->block_has_begun)
		code = begin_block(x, e);
	while (code == ERR_OK) {
		/* Each record asks: is it one of the matches? */
		code = export_find_matches(x, e);
		if (code != ERR_OK || !export_knows_matches(x))
			return code;
		if (x->portion_at == x->portion_count) {
			if (x->all_ended)
				return finish_block(x, out, e);
			code = next_portion(x, e);
			if (code != ERR_OK || !x->portion_count)
				return code;
		}
		const struct flow *f = &x->portion[x->portion_at];
		if (f->seq > x->block.last_seq)
			return finish_block(x, out, e);
		x->portion_at++;
		if (f->seq < x->block.first_seq)
			continue;
		size_t index = chain_block_count(x->chain);
		code = chain_block_add(x->chain, f, x->config.dict, e);
		if (code == ERR_OK && export_has_match(x) && x->matches[x->match_at] == f->seq) {
			x->match_at++;
			if (!grow_items(x))
				return err_set(e, ERR_NOMEM, "records of an export");
			add_record(x, f, index);
			if (x->piece_records.failed || x->piece_parts.failed)
				return err_set(e, ERR_NOMEM, "a record of the export");
		}
		if (x->piece_records.len + x->piece_parts.len >= EXPORT_PIECE_BYTES) {
			send_piece(x, out, STR(""), NULL);
			return code;
		}
		if (x->portion_at == x->portion_count)
			return code; /* a portion's work is done */
	}
	return code;
}
