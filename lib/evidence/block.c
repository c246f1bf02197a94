#include "evidence/block.h"

#include "flow/wire.h"

/* EvidenceBlock, EvidencePart, EvidenceRecord of tycho/v1/evidence.proto */
enum {
	BLOCK_ENTRY = 1,
	BLOCK_SECRETS,
	BLOCK_PARTS,
	BLOCK_SHARED,
	BLOCK_RECORDS,
	BLOCK_PROOF,
	BLOCK_LAST,
	BLOCK_MARKS,
};
enum { PART_PART = 1, PART_CONTENT, PART_COMMITMENT };
enum { RECORD_INDEX = 1, RECORD_SEQ, RECORD_HEAD, RECORD_SHARED, RECORD_TAIL, RECORD_PARTS };

void evidence_block_done(struct evidence_block *b)
{
	free(b->parts);
	free(b->shared);
	free(b->records);
	free(b->places);
	*b = (struct evidence_block){ 0 };
}

void evidence_block_reset(struct evidence_block *b)
{
	b->has_begun = b->is_complete = false;
	b->part_count = b->shared_count = b->record_count = 0;
	b->cores_bytes = 0;
	b->proof = b->marks = STR("");
	memset(b->has_secret, 0, sizeof b->has_secret);
}

static bool grow(void **p, size_t *cap, size_t count, size_t size)
{
	if (count < *cap)
		return true;
	size_t more = *cap ? *cap * 2 : 64;
	void *bigger = realloc(*p, more * size);
	if (!bigger)
		return false;
	*p = bigger;
	*cap = more;
	return true;
}

static enum err_code malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_PARSE, "%s", what);
}

static enum err_code take_part(struct evidence_block *b, struct str message, struct err *e)
{
	struct wire_reader r = wire_reader_of(message);
	struct evidence_part part = { .content = STR("") };
	uint64_t number = 0;
	struct str commitment = { "", 0 };

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == PART_PART && x.type == WIRE_VARINT)
			number = x.value;
		else if (x.number == PART_CONTENT && x.type == WIRE_LEN)
			part.content = x.bytes;
		else if (x.number == PART_COMMITMENT && x.type == WIRE_LEN)
			commitment = x.bytes;
		else
			return malformed(e, "a part has a field that nobody knows");
	if (r.bad || number < CHAIN_ADDRESSES || number >= CHAIN_PARTS_)
		return malformed(e, "a part is malformed");
	part.part = (enum chain_part)number;
	part.withheld = commitment.len != 0;
	if (part.withheld && commitment.len != sizeof part.commitment.v)
		return malformed(e, "a commitment has not 32 bytes");
	if (part.withheld)
		memcpy(part.commitment.v, commitment.p, sizeof part.commitment.v);
	if (part.withheld == b->has_secret[part.part])
		return malformed(e, part.withheld ? "a part is withheld, but its secret is there"
						  : "a part is shown, but its secret is not there");
	if (!grow((void **)&b->parts, &b->part_cap, b->part_count, sizeof *b->parts))
		return err_set(e, ERR_NOMEM, "parts of a block");
	b->parts[b->part_count++] = part;
	return ERR_OK;
}

static enum err_code take_shared(struct evidence_block *b, struct str bytes, struct err *e)
{
	if (!grow((void **)&b->shared, &b->shared_cap, b->shared_count, sizeof *b->shared))
		return err_set(e, ERR_NOMEM, "fragments of a block");
	b->shared[b->shared_count++] = bytes;
	return ERR_OK;
}

/* A number of a packed field. */
static bool next_number(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned shift = 0;

	while (*p < end && **p >= 0x80 && shift < 28) {
		v |= (uint64_t)(*(*p)++ & 0x7f) << shift;
		shift += 7;
	}
	if (*p == end || **p >= 0x80)
		return false;
	*ret = v | (uint64_t) * (*p)++ << shift;
	return true;
}

static enum err_code take_parts(const struct evidence_block *b, struct str packed,
				struct evidence_record *to, struct err *e)
{
	const uint8_t *p = (const uint8_t *)packed.p, *end = p + packed.len;
	uint64_t v = 0;

	for (enum chain_part part = CHAIN_ADDRESSES; part < CHAIN_PARTS_; part++) {
		if (!next_number(&p, end, &v))
			return malformed(e, "a record does not name its four parts");
		if (v > b->part_count || (v && b->parts[v - 1].part != part))
			return malformed(e, "a record names a part that is not there");
		if (!v && !b->has_secret[part])
			return malformed(e, "a withheld part is missing");
		to->parts[part] = (uint32_t)v;
	}
	return p == end ? ERR_OK : malformed(e, "a record names more than four parts");
}

/* What the record's core has in common with others. */
static enum err_code take_common(struct evidence_block *b, struct str packed,
				 struct evidence_record *to, struct err *e)
{
	const uint8_t *p = (const uint8_t *)packed.p, *end = p + packed.len;

	b->cores_bytes += to->head.len + to->tail.len;
	for (size_t i = 0; p < end; i++) {
		uint64_t v = 0;
		if (i == RECORD_SHARED_MAX || !next_number(&p, end, &v) || !v ||
		    v > b->shared_count)
			return malformed(e, "a record names a fragment that is not there");
		to->shared[i] = (uint32_t)v;
		b->cores_bytes += b->shared[v - 1].len;
	}
	return b->cores_bytes <= BLOCK_CORES_MAX ? ERR_OK
						 : malformed(e, "its records are too large");
}

static enum err_code take_record(struct evidence_block *b, struct str message, struct err *e)
{
	struct wire_reader r = wire_reader_of(message);
	struct evidence_record record = { .head = { "", 0 }, .tail = { "", 0 } };
	struct str parts = { "", 0 }, shared = { "", 0 };
	uint64_t index = 0;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == RECORD_INDEX && x.type == WIRE_VARINT)
			index = x.value;
		else if (x.number == RECORD_SEQ && x.type == WIRE_VARINT)
			record.seq = x.value;
		else if (x.number == RECORD_HEAD && x.type == WIRE_LEN)
			record.head = x.bytes;
		else if (x.number == RECORD_PARTS && x.type == WIRE_LEN)
			parts = x.bytes;
		else if (x.number == RECORD_SHARED && x.type == WIRE_LEN)
			shared = x.bytes;
		else if (x.number == RECORD_TAIL && x.type == WIRE_LEN)
			record.tail = x.bytes;
		else
			return malformed(e, "a record has a field that nobody knows");
	if (r.bad || index >= UINT32_MAX)
		return malformed(e, "a record is malformed");
	size_t n = b->record_count;
	if (n && (index <= b->places[n - 1] || record.seq <= b->records[n - 1].seq))
		return malformed(e, "its records are not in order");
	enum err_code code = take_parts(b, parts, &record, e);
	if (code == ERR_OK)
		code = take_common(b, shared, &record, e);
	if (code != ERR_OK)
		return code;
	if (!grow((void **)&b->records, &b->record_cap, n, sizeof *b->records) ||
	    !grow((void **)&b->places, &b->place_cap, n, sizeof *b->places))
		return err_set(e, ERR_NOMEM, "records of a block");
	b->records[n] = record;
	b->places[n] = (uint32_t)index;
	b->record_count++;
	return ERR_OK;
}

static enum err_code take_secret(struct evidence_block *b, size_t n, struct str bytes,
				 struct err *e)
{
	if (n >= CHAIN_PARTS_ || (bytes.len && bytes.len != sizeof b->secrets[0].v))
		return malformed(e, "its secrets are malformed");
	b->has_secret[n] = bytes.len != 0;
	if (bytes.len)
		memcpy(b->secrets[n].v, bytes.p, sizeof b->secrets[n].v);
	return ERR_OK;
}

/* Each piece says which block it is of. */
static enum err_code take_entry(struct evidence_block *b, uint64_t entry, struct err *e)
{
	if (b->has_begun && entry != b->entry)
		return malformed(e, "its pieces do not follow each other");
	b->entry = entry;
	b->has_begun = true;
	return ERR_OK;
}

enum err_code evidence_block_take(struct evidence_block *b, struct str piece, struct err *e)
{
	struct wire_reader r = wire_reader_of(piece);
	size_t secrets = 0;
	bool is_first = !b->has_begun;
	enum err_code code = ERR_OK;

	if (b->is_complete)
		return malformed(e, "there is a piece behind the last one");
	for (struct wire_field x; code == ERR_OK && wire_next(&r, &x);)
		if (x.number == BLOCK_ENTRY && x.type == WIRE_VARINT) {
			code = take_entry(b, x.value, e);
		} else if (x.number == BLOCK_SECRETS && x.type == WIRE_LEN && is_first) {
			code = take_secret(b, ++secrets, x.bytes, e);
		} else if (x.number == BLOCK_PARTS && x.type == WIRE_LEN) {
			code = take_part(b, x.bytes, e);
		} else if (x.number == BLOCK_SHARED && x.type == WIRE_LEN) {
			code = take_shared(b, x.bytes, e);
		} else if (x.number == BLOCK_RECORDS && x.type == WIRE_LEN) {
			code = take_record(b, x.bytes, e);
		} else if (x.number == BLOCK_PROOF && x.type == WIRE_LEN) {
			b->proof = x.bytes;
		} else if (x.number == BLOCK_MARKS && x.type == WIRE_LEN) {
			b->marks = x.bytes;
		} else if (x.number == BLOCK_LAST && x.type == WIRE_VARINT) {
			b->is_complete = x.value != 0;
		} else {
			code = malformed(e, "it has a field that nobody knows");
		}
	if (code != ERR_OK)
		return code;
	if (r.bad || (is_first && secrets != CHAIN_PARTS_ - 1))
		return malformed(e, "it is malformed");
	if (!b->has_begun)
		return malformed(e, "it does not say which");
	if (!b->is_complete && (b->proof.len || b->marks.len))
		return malformed(e, "its proof comes before its end");
	if (b->is_complete && b->marks.len != b->record_count * RECORD_MARK_BYTES)
		return malformed(e, "it has not a mark for each record");
	return ERR_OK;
}

bool evidence_block_parts(const struct evidence_block *b, size_t i, struct buf *core,
			  struct str ret[CHAIN_PARTS_])
{
	const struct evidence_record *record = &b->records[i];

	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		ret[p] = record->parts[p] ? b->parts[record->parts[p] - 1].content : STR("");
	ret[CHAIN_CORE] = record->head;
	if (!record->shared[0] && !record->tail.len)
		return true;
	buf_reset(core);
	buf_str_put(core, record->head);
	for (size_t k = 0; k < RECORD_SHARED_MAX && record->shared[k]; k++)
		buf_str_put(core, b->shared[record->shared[k] - 1]);
	buf_str_put(core, record->tail);
	ret[CHAIN_CORE] = buf_str(core);
	return !core->failed;
}
