#include "evidence/proof.h"

#include "flow/wire.h"

/* EvidenceProof, EvidenceWhole of tycho/v1/evidence.proto */
enum {
	PROOF_ENTRY = 1,
	PROOF_SECRETS,
	PROOF_PLACES,
	PROOF_SEQS,
	PROOF_MARKS,
	PROOF_COMMITMENTS,
	PROOF_WITHHELD,
	PROOF_WHOLES,
	PROOF_PROOF,
};
enum { WHOLE_RECORD = 1, WHOLE_PARTS };

void evidence_proof_done(struct evidence_proof *p)
{
	free(p->places);
	free(p->seqs);
	free(p->withheld);
	free(p->commitments);
	free(p->wholes);
	*p = (struct evidence_proof){ 0 };
}

static enum err_code malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_PARSE, "%s", what);
}

/* --- reading --- */

/* Room for @count in all. */
static bool grow(void **p, size_t *cap, size_t count, size_t size)
{
	if (count <= *cap)
		return true;
	size_t more = count > *cap * 2 ? count : *cap * 2;
	void *bigger = more <= SIZE_MAX / size ? realloc(*p, more * size) : NULL;
	if (!bigger)
		return false;
	*p = bigger;
	*cap = more;
	return true;
}

/* What the fields are, before it is known that they fit together. */
struct raw {
	struct str places, seqs, withheld;
	size_t secrets;
};

static enum err_code read_secret(struct evidence_proof *p, size_t part, struct str bytes,
				 struct err *e)
{
	if (part >= CHAIN_PARTS_ || (bytes.len && bytes.len != sizeof p->secrets[0].v))
		return malformed(e, "its secrets are malformed");
	p->has_secret[part] = bytes.len != 0;
	p->withheld_parts += !bytes.len;
	if (bytes.len)
		memcpy(p->secrets[part].v, bytes.p, sizeof p->secrets[part].v);
	return ERR_OK;
}

static enum err_code read_commitment(struct evidence_proof *p, struct str bytes, struct err *e)
{
	if (bytes.len != sizeof p->commitments->v)
		return malformed(e, "a commitment has not 32 bytes");
	if (!grow((void **)&p->commitments, &p->commitment_cap, p->commitment_count + 1,
		  sizeof *p->commitments))
		return err_set(e, ERR_NOMEM, "a block");
	memcpy(p->commitments[p->commitment_count++].v, bytes.p, bytes.len);
	return ERR_OK;
}

static enum err_code read_whole(struct evidence_proof *p, struct str message, struct err *e)
{
	struct wire_reader r = wire_reader_of(message);
	struct proof_whole whole = { .record = 0 };
	uint64_t record = 0;
	size_t parts = 0;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == WHOLE_RECORD && x.type == WIRE_VARINT)
			record = x.value;
		else if (x.number == WHOLE_PARTS && x.type == WIRE_LEN && parts < CHAIN_PARTS_)
			whole.parts[parts++] = x.bytes;
		else
			return malformed(e, "a whole record has a field that nobody knows");
	if (r.bad || parts != CHAIN_PARTS_ || record > UINT32_MAX)
		return malformed(e, "a whole record is malformed");
	whole.record = (uint32_t)record;
	if (p->whole_count && p->wholes[p->whole_count - 1].record >= whole.record)
		return malformed(e, "its whole records are not in order");
	if (!grow((void **)&p->wholes, &p->whole_cap, p->whole_count + 1, sizeof *p->wholes))
		return err_set(e, ERR_NOMEM, "a block");
	p->wholes[p->whole_count++] = whole;
	return ERR_OK;
}

static enum err_code read_fields(struct evidence_proof *p, struct str message, struct raw *raw,
				 struct err *e)
{
	struct wire_reader r = wire_reader_of(message);
	enum err_code code = ERR_OK;

	for (struct wire_field x; code == ERR_OK && wire_next(&r, &x);)
		if (x.number == PROOF_ENTRY && x.type == WIRE_VARINT)
			p->entry = x.value;
		else if (x.number == PROOF_SECRETS && x.type == WIRE_LEN)
			code = read_secret(p, ++raw->secrets, x.bytes, e);
		else if (x.number == PROOF_PLACES && x.type == WIRE_LEN)
			raw->places = x.bytes;
		else if (x.number == PROOF_SEQS && x.type == WIRE_LEN)
			raw->seqs = x.bytes;
		else if (x.number == PROOF_MARKS && x.type == WIRE_LEN)
			p->marks = x.bytes;
		else if (x.number == PROOF_COMMITMENTS && x.type == WIRE_LEN)
			code = read_commitment(p, x.bytes, e);
		else if (x.number == PROOF_WITHHELD && x.type == WIRE_LEN)
			raw->withheld = x.bytes;
		else if (x.number == PROOF_WHOLES && x.type == WIRE_LEN)
			code = read_whole(p, x.bytes, e);
		else if (x.number == PROOF_PROOF && x.type == WIRE_LEN)
			p->proof = x.bytes;
		else
			code = malformed(e, "it has a field that nobody knows");
	if (code == ERR_OK && (r.bad || raw->secrets != CHAIN_PARTS_ - 1))
		code = malformed(e, "it is malformed");
	return code;
}

/* Numbers of a packed field. */
static size_t count_packed(struct str packed)
{
	size_t n = 0;

	for (size_t i = 0; i < packed.len; i++)
		n += (uint8_t)packed.p[i] < 0x80;
	return n;
}

/* Places and numbers of records, from steps. */
static enum err_code read_steps(struct evidence_proof *p, const struct raw *raw, struct err *e)
{
	struct wire_reader places = wire_reader_of(raw->places), seqs = wire_reader_of(raw->seqs);
	uint64_t place = 0, seq = 0, step;

	p->count = count_packed(raw->places);
	if (!p->count || count_packed(raw->seqs) != p->count ||
	    p->marks.len != p->count * RECORD_MARK_BYTES)
		return malformed(e, "it has not as many of everything as it has records");
	if (!grow((void **)&p->places, &p->place_cap, p->count, sizeof *p->places) ||
	    !grow((void **)&p->seqs, &p->seq_cap, p->count, sizeof *p->seqs))
		return err_set(e, ERR_NOMEM, "records of a block");
	for (size_t i = 0; i < p->count; i++) {
		if (!wire_next_varint(&places, &step) || !step || step > UINT32_MAX - place)
			return malformed(e, "its records are not in order");
		place += step;
		p->places[i] = (uint32_t)(place - 1);
		if (!wire_next_varint(&seqs, &step) || (i && !step) || step > UINT64_MAX - seq)
			return malformed(e, "its records are not in order");
		seq += step;
		p->seqs[i] = seq;
	}
	return ERR_OK;
}

static enum err_code read_withheld(struct evidence_proof *p, const struct raw *raw, struct err *e)
{
	struct wire_reader r = wire_reader_of(raw->withheld);
	size_t count = count_packed(raw->withheld);
	uint64_t v;

	if (count / (p->withheld_parts ? p->withheld_parts : 1) !=
		    (p->withheld_parts ? p->count : 0) ||
	    (p->withheld_parts && count % p->withheld_parts))
		return malformed(e, "it has not as many of everything as it has records");
	if (!grow((void **)&p->withheld, &p->withheld_cap, count, sizeof *p->withheld))
		return err_set(e, ERR_NOMEM, "records of a block");
	for (size_t i = 0; i < count; i++) {
		if (!wire_next_varint(&r, &v) || !v || v > p->commitment_count)
			return malformed(e, "a record names a commitment that is not there");
		p->withheld[i] = (uint32_t)(v - 1);
	}
	return ERR_OK;
}

enum err_code evidence_proof_read(struct evidence_proof *p, struct str message, struct err *e)
{
	struct raw raw = { { "", 0 }, { "", 0 }, { "", 0 }, 0 };

	p->entry = 0;
	p->commitment_count = p->whole_count = p->withheld_parts = 0;
	p->marks = p->proof = STR("");
	enum err_code code = read_fields(p, message, &raw, e);
	if (code == ERR_OK)
		code = read_steps(p, &raw, e);
	if (code == ERR_OK)
		code = read_withheld(p, &raw, e);
	if (code == ERR_OK && p->whole_count && p->wholes[p->whole_count - 1].record >= p->count)
		code = malformed(e, "a whole record is none of its records");
	return code;
}

void evidence_proof_commitments(const struct evidence_proof *p, size_t i,
				const struct chain_hash *ret[CHAIN_PARTS_])
{
	const uint32_t *number = p->withheld_parts ? &p->withheld[i * p->withheld_parts] : NULL;

	ret[CHAIN_CORE] = NULL;
	for (enum chain_part part = CHAIN_ADDRESSES; part < CHAIN_PARTS_; part++)
		ret[part] = p->has_secret[part] ? NULL : &p->commitments[*number++];
}

static int compare_record(const void *record, const void *whole)
{
	const uint32_t *a = record;
	const struct proof_whole *b = whole;

	return *a < b->record ? -1 : *a > b->record;
}

const struct proof_whole *evidence_proof_whole(const struct evidence_proof *p, size_t i)
{
	uint32_t record = (uint32_t)i;

	return p->whole_count ? bsearch(&record, p->wholes, p->whole_count, sizeof *p->wholes,
					compare_record)
			      : NULL;
}

/* --- writing --- */

static void put_secrets(struct buf *b, const struct evidence_block *block)
{
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		wire_put_len(b, PROOF_SECRETS,
			     block->has_secret[p]
				     ? str_n(block->secrets[p].v, sizeof block->secrets[p].v)
				     : STR(""));
}

static void put_steps(struct buf *b, const struct evidence_block *block)
{
	uint64_t place = 0, seq = 0;
	size_t mark = wire_begin(b, PROOF_PLACES);

	for (size_t i = 0; i < block->record_count; i++) {
		wire_put_varint(b, block->places[i] + UINT64_C(1) - place);
		place = block->places[i] + UINT64_C(1);
	}
	wire_end(b, mark);
	mark = wire_begin(b, PROOF_SEQS);
	for (size_t i = 0; i < block->record_count; i++) {
		wire_put_varint(b, block->records[i].seq - seq);
		seq = block->records[i].seq;
	}
	wire_end(b, mark);
}

/* Of parts that are withheld only the commitments are kept; they are numbered among themselves. */
static void put_withheld(struct buf *b, const struct evidence_block *block)
{
	AUTO_BUF struct buf numbers = buf_init(SIZE_MAX); /* of each part */
	uint32_t count = 0;

	for (size_t i = 0; i < block->part_count; i++) {
		const struct evidence_part *part = &block->parts[i];
		if (part->withheld) {
			wire_put_len(b, PROOF_COMMITMENTS,
				     str_n(part->commitment.v, sizeof part->commitment.v));
			count++;
		}
		buf_put(&numbers, &count, sizeof count);
	}
	if (!count)
		return;
	b->failed |= numbers.failed;
	const uint32_t *number = (const uint32_t *)(const void *)numbers.p;
	size_t mark = wire_begin(b, PROOF_WITHHELD);
	for (size_t i = 0; i < block->record_count && !numbers.failed; i++)
		for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
			if (!block->has_secret[p])
				wire_put_varint(b, number[block->records[i].parts[p] - 1]);
	wire_end(b, mark);
}

void evidence_proof_put(struct buf *b, const struct evidence_block *block, const uint32_t *wholes,
			size_t whole_count)
{
	AUTO_BUF struct buf core = buf_init(SIZE_MAX);

	wire_put_u64(b, PROOF_ENTRY, block->entry);
	put_secrets(b, block);
	put_steps(b, block);
	wire_put_str(b, PROOF_MARKS, block->marks);
	put_withheld(b, block);
	for (size_t i = 0; i < whole_count; i++) {
		struct str parts[CHAIN_PARTS_];
		b->failed |= !evidence_block_parts(block, wholes[i], &core, parts);
		size_t mark = wire_begin(b, PROOF_WHOLES);
		wire_put_u64(b, WHOLE_RECORD, wholes[i]);
		for (size_t p = 0; p < CHAIN_PARTS_; p++)
			wire_put_len(b, WHOLE_PARTS, parts[p]);
		wire_end(b, mark);
	}
	wire_put_str(b, PROOF_PROOF, block->proof);
}
