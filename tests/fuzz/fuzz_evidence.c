/*
 * What verifiers and collectors read of others. The first byte chooses: a bundle; a chunk's
 * archive; a chunk made of three texts, so that the archive's sums are no hurdle; a block; signed
 * and flat texts; an answer to an export; a proof; lines, read in both ways.
 */
#include <stdio.h>

#include "evidence/archive.h"
#include "evidence/block.h"
#include "evidence/checkpoint.h"
#include "evidence/chunk.h"
#include "evidence/collect.h"
#include "evidence/proof.h"
#include "evidence/redact.h"
#include "evidence/text.h"
#include "evidence/verify.h"
#include "record/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chunk(struct str tar)
{
	static struct chunk_checker *checker;
	const struct chunk chunk = { .dir = "nodes/1/000001", .first_entry = 1 };
	struct chunk_result r;

	if (!checker && chunk_checker_new(&checker, NULL) != ERR_OK)
		return;
	chunk_result_init(&r);
	(void)!chunk_check_bytes(checker, &chunk, tar, &r, NULL);
	chunk_result_done(&r);
}

/* Chain and proofs take two bytes for their length each, the lines are the rest. */
static void make_chunk(struct str s)
{
	static const char *const names[] = { "nodes/1/000001/chain.jsonl",
					     "nodes/1/000001/proofs.pb",
					     "nodes/1/000001/flows.jsonl" };
	AUTO_BUF struct buf tar = buf_init(1 << 22);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = s.len;
		if (i < 2) {
			if (s.len < 2)
				return;
			n = (size_t)(uint8_t)s.p[0] | (size_t)(uint8_t)s.p[1] << 8;
			s = str_from(s, 2);
		}
		tar_put(&tar, names[i], str_upto(s, n), 0);
		s = str_from(s, n);
	}
	check_chunk(buf_str(&tar));
}

static void read_block(struct str s)
{
	struct evidence_block b = { 0 };
	AUTO_BUF struct buf core = buf_init(1 << 22);
	struct str parts[CHAIN_PARTS_];

	if (evidence_block_take(&b, s, NULL) == ERR_OK) {
		for (size_t i = 0; i < b.record_count; i++)
			(void)!evidence_block_parts(&b, i, &core, parts);
	}
	evidence_block_done(&b);
}

static void read_proof(struct str s)
{
	struct evidence_proof p = { 0 };
	const struct chain_hash *commitments[CHAIN_PARTS_];

	if (evidence_proof_read(&p, s, NULL) == ERR_OK)
		for (size_t i = 0; i < p.count; i++) {
			evidence_proof_commitments(&p, i, commitments);
			(void)evidence_proof_whole(&p, i);
		}
	evidence_proof_done(&p);
}

/* Both ways say the same, or the quick one is wrong. */
static void read_lines(struct str s)
{
	static struct line_parser *usual, *general;
	struct line_record a, b;

	if ((!usual && line_parser_new(&usual, NULL) != ERR_OK) ||
	    (!general && line_parser_new(&general, NULL) != ERR_OK))
		return;
	while (s.len) {
		bool is_read = line_parse(usual, s, &a);
		if (line_parse_generally(general, s, &b) != is_read || (is_read && a.len != b.len))
			abort();
		for (size_t p = 0; p < CHAIN_PARTS_ && is_read; p++)
			if (!str_eq(a.parts[p], b.parts[p]))
				abort();
		size_t end = is_read ? a.len : str_find(s, '\n') + 1;
		s = str_from(s, end < s.len ? end : s.len);
	}
}

static void read_texts(struct str s)
{
	AUTO_BUF struct buf scratch = buf_init(1 << 20), out = buf_init(1 << 22);
	struct signed_text text;
	struct checkpoint_text checkpoint;
	struct redact_key key = { { 1 } };
	struct wall_ns t;
	struct str v;

	(void)!signed_text_parse(s, &scratch, &text, NULL);
	(void)checkpoint_text_parse(s, &checkpoint);
	(void)flat_get(s, "root", &v);
	(void)flat_time(s, "from", &t);
	for (unsigned classes = 0; classes <= REDACT_ALL; classes += 2)
		redact_part(&out, &key, classes, s);
}

static void collect(struct str s)
{
	const struct evidence_collect_config config = {
		.path = "/nonexistent/b", .request = STR(""), .tool = "fuzz", .csv = true
	};
	struct evidence_collect *c = NULL;

	if (evidence_collect_new(&config, &c, NULL) != ERR_OK)
		return;
	while (s.len >= 2) {
		size_t n = (size_t)(uint8_t)s.p[0] | (size_t)(uint8_t)s.p[1] << 8;
		s = str_from(s, 2);
		(void)!evidence_collect_put(c, str_upto(s, n), NULL);
		s = str_from(s, n);
	}
	(void)evidence_collect_counts(c);
	evidence_collect_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF struct buf summary = buf_init(1 << 20);
	const struct evidence_verify_config config = { .path = "bundle", .threads = 1 };

	if (!size)
		return 0;
	struct str s = str_n(data + 1, size - 1);
	switch (data[0]) {
	case 0:
		(void)!evidence_verify_bytes(&config, s, &summary, NULL);
		break;
	case 1:
		check_chunk(s);
		break;
	case 2:
		make_chunk(s);
		break;
	case 3:
		read_block(s);
		break;
	case 4:
		read_texts(s);
		break;
	case 5:
		collect(s);
		break;
	case 6:
		read_proof(s);
		break;
	default:
		read_lines(s);
	}
	return 0;
}
