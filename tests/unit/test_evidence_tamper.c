/* Bundles that lie, each in one way: every one is found out, and the fault is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bundle_edit.h"
#include "evidence/redact.h"
#include "evidence/text.h"
#include "evidence_world.h"
#include "flow/fields.h"
#include "flow/wire.h"
#include "record/line.h"
#include "tycho/v1/evidence.pb-c.h"

/* One change to one file of a fresh bundle of everything. */
static void assert_change_is_found(struct world *w, const struct ask *ask, const char *name,
				   const char *file, void (*change)(struct edit_file *f),
				   const char *words)
{
	struct bundle_edit b;

	world_bundle(w, ask);
	bundle_edit_open(&b, w->ef.bundle_path);
	change(bundle_edit_file(&b, file));
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_bad(w, name, words);
}

/* --- flows --- */

static void lines_change_verdict(struct edit_file *f)
{
	edit_replace(f, "\"verdict\":\"DROPPED\"", "\"verdict\":\"FORWARDED\"");
}
static void lines_lose_second(struct edit_file *f)
{
	edit_line_remove(f, 1);
}
static void lines_lose_last(struct edit_file *f)
{
	edit_line_remove(f, 29);
}
static void lines_repeat_second(struct edit_file *f)
{
	edit_line_repeat(f, 1);
}
static void lines_swap(struct edit_file *f)
{
	edit_line_move(f, 2, 1);
}
static void lines_add_at_end(struct edit_file *f)
{
	AUTO_BUF struct buf b = buf_init(1 << 20);

	buf_put(&b, f->content, f->len);
	buf_str_put(&b, str_upto(str_n(f->content, f->len),
				 str_find(str_n(f->content, f->len), '\n') + 1));
	edit_set(f, buf_str(&b));
}
static void csv_change(struct edit_file *f)
{
	edit_replace(f, "cart-0", "cart-9");
}
static void csv_head(struct edit_file *f)
{
	edit_replace(f, "verdict", "verdikt");
}

static void changed_lines_are_found(void **state)
{
	struct world *w = *state;

	world_bundle(w, &everything);
	assert_good(w, "everything");
	assert_change_is_found(w, &everything, "flow-changed", "flows.jsonl", lines_change_verdict,
			       "line 8: a flow was changed");
	assert_change_is_found(w, &everything, "flow-removed", "flows.jsonl", lines_lose_second,
			       "line 2: a flow was removed");
	assert_change_is_found(w, &everything, "last-flow-removed", "flows.jsonl", lines_lose_last,
			       "a flow was removed");
	assert_change_is_found(w, &everything, "flow-repeated", "flows.jsonl", lines_repeat_second,
			       "line 3: a flow was added");
	assert_change_is_found(w, &everything, "flows-swapped", "flows.jsonl", lines_swap,
			       "line 2: a flow was moved");
	assert_change_is_found(w, &everything, "flow-added", "flows.jsonl", lines_add_at_end,
			       "line 31: a flow was added");
	assert_change_is_found(w, &everything, "csv-changed", "flows.csv", csv_change, "flows.csv");
	assert_change_is_found(w, &everything, "csv-head", "flows.csv", csv_head,
			       "flows.csv has other columns");
}

/* --- proofs --- */

/* Of the edit at work: the lines of the bundle's first chunk. */
static struct str all_lines;

static struct str line_at(size_t n)
{
	struct str rest = all_lines;

	while (n--)
		rest = str_from(rest, str_find(rest, '\n') + 1);
	return str_upto(rest, str_find(rest, '\n') + 1);
}

/* The first block's proof, unpacked, handed to @change, and packed again. */
static void edit_first_proof(struct bundle_edit *b, void (*change)(Tycho__V1__EvidenceProof *m))
{
	AUTO_BUF struct buf out = buf_init(1 << 20);
	struct edit_file *f = bundle_edit_file(b, "proofs.pb"),
			 *lines = bundle_edit_file(b, "flows.jsonl");
	struct wire_reader r = wire_reader_of(str_n(f->content, f->len));
	uint64_t len;

	all_lines = str_n(lines->content, lines->len);
	assert_true(wire_next_varint(&r, &len));
	Tycho__V1__EvidenceProof *m = tycho__v1__evidence_proof__unpack(NULL, len, r.p);
	assert_non_null(m);
	change(m);
	size_t size = tycho__v1__evidence_proof__get_packed_size(m);
	wire_put_varint(&out, size);
	out.len += tycho__v1__evidence_proof__pack(m, (uint8_t *)buf_reserve(&out, size));
	tycho__v1__evidence_proof__free_unpacked(m, NULL);
	buf_put(&out, r.p + len, (size_t)(r.end - r.p) - len);
	edit_set(f, buf_str(&out));
}

/* The leaf that @line comes to as record @i, nothing of which is withheld. */
static struct chain_hash leaf_of(const Tycho__V1__EvidenceProof *m, size_t i, struct str line)
{
	AUTO(line_parser_free) struct line_parser *reader = NULL;
	struct line_record said;
	struct chain_hash commitments[CHAIN_PARTS_ - 1];
	uint64_t seq = 0;

	assert_int_equal(line_parser_new(&reader, NULL), ERR_OK);
	assert_true(line_parse(reader, line, &said));
	for (size_t k = 0; k <= i; k++)
		seq += m->seqs[k];
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++) {
		struct chain_secret secret;
		assert_int_equal(m->secrets[p - 1].len, sizeof secret.v);
		memcpy(secret.v, m->secrets[p - 1].data, sizeof secret.v);
		commitments[p - 1] = chain_commit(p, &secret, said.parts[p]);
	}
	return chain_leaf(0, seq, said.parts[CHAIN_CORE], commitments);
}

/* Marks that are right for the lines as they stand. */
static void make_marks(Tycho__V1__EvidenceProof *m)
{
	for (size_t i = 0; i < m->n_places; i++) {
		struct chain_hash leaf = leaf_of(m, i, line_at(i));
		memcpy(m->marks.data + 2 * i, leaf.v, 2);
	}
}

static void change_seq(Tycho__V1__EvidenceProof *m)
{
	/* one record of nine: there is room for it to have another number */
	assert_int_equal(m->n_seqs, 1);
	m->seqs[0] += m->places[0] > 1 ? UINT64_MAX : 1;
}
static void repeat_seq(Tycho__V1__EvidenceProof *m)
{
	m->seqs[2] += m->seqs[1];
	m->seqs[1] = 0;
}
static void change_mark(Tycho__V1__EvidenceProof *m)
{
	m->marks.data[5] ^= 1;
}
static void lose_mark(Tycho__V1__EvidenceProof *m)
{
	m->marks.len -= 2;
}
static void lose_place(Tycho__V1__EvidenceProof *m)
{
	m->n_places--;
}
static void stay_in_place(Tycho__V1__EvidenceProof *m)
{
	m->places[1] = 0;
}
static void change_secret(Tycho__V1__EvidenceProof *m)
{
	m->secrets[0].data[5] ^= 1;
}
/* … by somebody who makes the marks fit. */
static void change_secret_well(Tycho__V1__EvidenceProof *m)
{
	change_secret(m);
	make_marks(m);
}
static void lose_secret(Tycho__V1__EvidenceProof *m)
{
	m->secrets[0].len = 0;
}
static void change_proof(Tycho__V1__EvidenceProof *m)
{
	assert_true(m->proof.len > 0);
	m->proof.data[3] ^= 4;
}
static void change_place(Tycho__V1__EvidenceProof *m)
{
	m->places[0]++;
}
static void change_entry(Tycho__V1__EvidenceProof *m)
{
	m->entry += 2;
}

/* Before the proof's change @old in the lines becomes @new. */
static void assert_proof_change_is_found(struct world *w, const struct ask *ask, const char *name,
					 void (*change)(Tycho__V1__EvidenceProof *m),
					 const char *old, const char *new, const char *words)
{
	struct bundle_edit b;

	world_bundle(w, ask);
	bundle_edit_open(&b, w->ef.bundle_path);
	if (old)
		edit_replace(bundle_edit_file(&b, "flows.jsonl"), old, new);
	edit_first_proof(&b, change);
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_bad(w, name, words);
}

static void a_changed_proof_is_found(void **state)
{
	static const char in_order[] = "its records are not in order",
			  as_many[] = "not as many of everything as it has records",
			  not_held[] = "its records are not those that the chain holds";
	struct world *w = *state;
	const struct ask all = { .csv = false }, some = { .verdict = "DROPPED" };

	world_bundle(w, &some);
	assert_good(w, "filtered");
	assert_proof_change_is_found(w, &all, "line-and-mark", make_marks,
				     "\"destination_port\":443", "\"destination_port\":444",
				     not_held);
	assert_proof_change_is_found(w, &all, "address-and-mark", make_marks, "192.0.2.1",
				     "192.0.2.7", not_held);
	assert_proof_change_is_found(w, &all, "pod-and-mark", make_marks, "cart-0", "cart-1",
				     not_held);
	assert_proof_change_is_found(w, &some, "seq", change_seq, NULL, NULL, "a flow was changed");
	assert_proof_change_is_found(w, &all, "seq-repeated", repeat_seq, NULL, NULL, in_order);
	assert_proof_change_is_found(w, &all, "mark", change_mark, NULL, NULL,
				     "line 3: a flow was changed");
	assert_proof_change_is_found(w, &all, "mark-lost", lose_mark, NULL, NULL, as_many);
	assert_proof_change_is_found(w, &all, "place-lost", lose_place, NULL, NULL, as_many);
	assert_proof_change_is_found(w, &all, "place-twice", stay_in_place, NULL, NULL, in_order);
	assert_proof_change_is_found(w, &all, "secret", change_secret, NULL, NULL,
				     "a flow was changed");
	assert_proof_change_is_found(w, &all, "secret-and-marks", change_secret_well, NULL, NULL,
				     not_held);
	assert_proof_change_is_found(w, &all, "secret-lost", lose_secret, NULL, NULL, as_many);
	assert_proof_change_is_found(w, &all, "entry", change_entry, NULL, NULL, "block");
	assert_proof_change_is_found(w, &some, "proof", change_proof, NULL, NULL, not_held);
	assert_proof_change_is_found(w, &some, "place", change_place, NULL, NULL, "block");
}

/* --- whole records --- */

/* Gives record 1 with all parts, @swapped: with its endpoints the other way round, which is the same
 * flow for everyone who reads it. */
static void give_whole(Tycho__V1__EvidenceProof *m, bool swapped)
{
	AUTO(line_parser_free) struct line_parser *reader = NULL;
	AUTO_BUF struct buf core = buf_init(1 << 16);
	struct line_record said;
	Tycho__V1__EvidenceWhole *whole = malloc(sizeof *whole), **list = malloc(sizeof *list);

	assert_true(whole && list);
	assert_int_equal(m->n_wholes, 0);
	assert_int_equal(line_parser_new(&reader, NULL), ERR_OK);
	assert_true(line_parse(reader, line_at(1), &said));
	struct str source, destination;
	assert_true(wire_find(said.parts[CHAIN_CORE], FLOW_FIELD_SOURCE, &source));
	assert_true(wire_find(said.parts[CHAIN_CORE], FLOW_FIELD_DESTINATION, &destination));
	struct wire_reader r = wire_reader_of(said.parts[CHAIN_CORE]);
	for (struct wire_field x; wire_next(&r, &x);) {
		bool is_source = x.number == FLOW_FIELD_SOURCE;
		if (swapped && (is_source || x.number == FLOW_FIELD_DESTINATION))
			wire_put_len(&core, is_source ? FLOW_FIELD_DESTINATION : FLOW_FIELD_SOURCE,
				     is_source ? destination : source);
		else
			buf_str_put(&core, x.raw);
	}
	tycho__v1__evidence_whole__init(whole);
	whole->record = 1;
	whole->n_parts = CHAIN_PARTS_;
	whole->parts = calloc(CHAIN_PARTS_, sizeof *whole->parts);
	assert_non_null(whole->parts);
	for (size_t p = 0; p < CHAIN_PARTS_; p++) {
		struct str part = p == CHAIN_CORE ? buf_str(&core) : said.parts[p];
		whole->parts[p].data = malloc(part.len + 1);
		assert_non_null(whole->parts[p].data);
		memcpy(whole->parts[p].data, part.p, part.len);
		whole->parts[p].len = part.len;
	}
	list[0] = whole;
	m->wholes = list;
	m->n_wholes = 1;
}
static void give_same(Tycho__V1__EvidenceProof *m)
{
	give_whole(m, false);
}
static void give_swapped(Tycho__V1__EvidenceProof *m)
{
	give_whole(m, true);
}
static void give_another(Tycho__V1__EvidenceProof *m)
{
	give_whole(m, false);
	uint8_t *at =
		memmem(m->wholes[0]->parts[1].data, m->wholes[0]->parts[1].len, "192.0.2.1", 9);
	assert_non_null(at);
	at[8] = '7';
}
static void give_of_nobody(Tycho__V1__EvidenceProof *m)
{
	give_whole(m, false);
	m->wholes[0]->record = (uint32_t)m->n_places;
}
static void give_four(Tycho__V1__EvidenceProof *m)
{
	give_whole(m, false);
	free(m->wholes[0]->parts[--m->wholes[0]->n_parts].data);
}

static void a_record_may_be_there_whole(void **state)
{
	struct world *w = *state;
	const struct ask all = { .csv = true };
	struct bundle_edit b;

	world_bundle(w, &all);
	bundle_edit_open(&b, w->ef.bundle_path);
	edit_first_proof(&b, give_same);
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_good(w, "whole");
	assert_proof_change_is_found(w, &all, "whole-swapped", give_swapped, NULL, NULL,
				     "line 2: a flow was changed");
	assert_proof_change_is_found(w, &all, "whole-other", give_another, NULL, NULL,
				     "line 2: a flow was changed");
	assert_proof_change_is_found(w, &all, "whole-of-nobody", give_of_nobody, NULL, NULL,
				     "a whole record is none of its records");
	assert_proof_change_is_found(w, &all, "whole-of-four", give_four, NULL, NULL,
				     "a whole record is malformed");
}

/* --- a flow left out --- */

/* By somebody who makes the proof anew and adjusts all that is not signed: all nine records of the
 * block are there, and the first one's leaf is the whole new proof. */
static void drop_first(Tycho__V1__EvidenceProof *m)
{
	const struct chain_hash leaf = leaf_of(m, 0, line_at(0));

	m->places[1] += m->places[0];
	m->seqs[1] += m->seqs[0];
	memmove(m->places, m->places + 1, --m->n_places * sizeof *m->places);
	memmove(m->seqs, m->seqs + 1, --m->n_seqs * sizeof *m->seqs);
	m->marks.len -= 2;
	memmove(m->marks.data, m->marks.data + 2, m->marks.len);
	assert_int_equal(m->proof.len, 0);
	free(m->proof.data);
	m->proof.data = malloc(sizeof leaf.v);
	assert_non_null(m->proof.data);
	memcpy(m->proof.data, leaf.v, sizeof leaf.v);
	m->proof.len = sizeof leaf.v;
}

static void a_flow_left_out_is_found_though_proof_and_manifest_agree(void **state)
{
	struct world *w = *state;
	struct bundle_edit b;

	world_bundle(w, &(struct ask){ .csv = false });
	bundle_edit_open(&b, w->ef.bundle_path);
	edit_first_proof(&b, drop_first);
	edit_line_remove(bundle_edit_file(&b, "flows.jsonl"), 0);
	(void)json_object_set_new(json_object_get(bundle_edit_node(&b), "statement"), "flows",
				  json_string("29"));
	bundle_edit_write(&b, w->ef.bundle_path, false);
	assert_bad(w, "left-out", "manifest.json does not match: it has another statement");
	(void)json_object_set_new(json_object_get(bundle_edit_node(&b), "statement"), "flows",
				  json_string("30"));
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_bad(w, "left-out-quietly", "the bundle has 29 in 4: flows were removed");
}

/* --- the chain --- */

static void chain_change(struct edit_file *f)
{
	edit_replace(f, "\"lost\":\"17\"", "\"lost\":\"1\"");
}
static void chain_lose_gap(struct edit_file *f)
{
	struct str rest = str_n(f->content, f->len);

	for (size_t i = 0; rest.len; i++) {
		struct str line = str_upto(rest, str_find(rest, '\n') + 1);
		if (str_has_prefix(line, STR("{\"kind\":\"gap\""))) {
			edit_line_remove(f, i);
			return;
		}
		rest = str_from(rest, line.len);
	}
	fail_msg("no gap");
}
static void chain_swap(struct edit_file *f)
{
	edit_line_move(f, 2, 1);
}
static void chain_cut(struct edit_file *f)
{
	size_t lines = 0;

	for (size_t i = 0; i < f->len; i++)
		lines += f->content[i] == '\n';
	edit_line_remove(f, lines - 1);
}
static void chain_root_change(struct edit_file *f)
{
	char *at = strstr(f->content, "\"root\":\"");

	assert_non_null(at);
	at[8] = at[8] == 'a' ? 'b' : 'a';
}
static void chain_add(struct edit_file *f)
{
	AUTO_BUF struct buf b = buf_init(1 << 20);

	buf_put(&b, f->content, f->len);
	buf_lit(&b, "{\"kind\":\"stop\"}\n");
	edit_set(f, buf_str(&b));
}

static void a_broken_chain_is_found(void **state)
{
	struct world *w = *state;

	assert_change_is_found(w, &everything, "entry-changed", "chain.jsonl", chain_change,
			       "the chain is not the one that was signed");
	assert_change_is_found(w, &everything, "gap-removed", "chain.jsonl", chain_lose_gap,
			       "the chain is not the one that was signed");
	assert_change_is_found(w, &everything, "entries-swapped", "chain.jsonl", chain_swap,
			       "the chain is not the one that was signed");
	assert_change_is_found(w, &everything, "root-changed", "chain.jsonl", chain_root_change,
			       "the chain is not the one that was signed");
	assert_change_is_found(w, &(struct ask){ .port = 9 }, "tail-cut", "chain.jsonl", chain_cut,
			       "the tail of the chain");
	assert_change_is_found(w, &everything, "entry-added", "chain.jsonl", chain_add,
			       "the tail of the chain");
}

/* --- what is signed --- */

static void statement_change(struct edit_file *f)
{
	edit_replace(f, "\\\"flows\\\":\\\"30\\\"", "\\\"flows\\\":\\\"29\\\"");
}
static void statement_hide_gap(struct edit_file *f)
{
	edit_replace(f, "\\\"lost\\\":\\\"17\\\"", "\\\"lost\\\":\\\"0\\\"");
}
static void signature_change(struct edit_file *f)
{
	char *at = strstr(f->content, "\"signature\":\"");

	assert_non_null(at);
	at[20] = at[20] == '0' ? '1' : '0';
}
static void key_change(struct edit_file *f)
{
	edit_replace(f, "MCowBQYDK2Vw", "MCowBQYDK2Vv");
}
static void lose_first(struct edit_file *f)
{
	edit_line_remove(f, 0);
}
static void policy_change(struct edit_file *f)
{
	edit_replace(f, "podSelector", "podSelectah");
}
static void time_change(struct edit_file *f)
{
	edit_replace(f, "\\\"records\\\":\\\"9\\\"", "\\\"records\\\":\\\"8\\\"");
}

static void changes_of_what_is_signed_are_found(void **state)
{
	struct world *w = *state;

	assert_change_is_found(w, &everything, "statement", "statement.jsonl", statement_change,
			       "the signature of the statement of 'here' is wrong");
	assert_change_is_found(w, &everything, "statement-gap", "statement.jsonl",
			       statement_hide_gap,
			       "the signature of the statement of 'here' is wrong");
	assert_change_is_found(w, &everything, "statement-signature", "statement.jsonl",
			       signature_change,
			       "the signature of the statement of 'here' is wrong");
	assert_change_is_found(w, &everything, "key", "key.pem", key_change, "key.pem");
	assert_change_is_found(w, &everything, "checkpoint-removed", "checkpoints.jsonl",
			       lose_first, "checkpoints.jsonl is not what the node signed");
	assert_change_is_found(w, &everything, "checkpoint-changed", "checkpoints.jsonl",
			       time_change, "checkpoints.jsonl is not what the node signed");
	assert_change_is_found(w, &everything, "policy-changed", "policies.jsonl", policy_change,
			       "policies.jsonl is not what the node signed");
	assert_change_is_found(w, &everything, "policy-removed", "policies.jsonl", lose_first,
			       "policies.jsonl is not what the node signed");
}

/* The node itself lies: it signs a statement without the gap that its chain has. */
static void a_gap_that_the_node_hides_is_found(void **state)
{
	struct world *w = *state;
	struct bundle_edit b;
	AUTO_BUF struct buf text = buf_init(1 << 16), line = buf_init(1 << 16);
	struct signed_text s;
	struct err e;

	world_bundle(w, &everything);
	bundle_edit_open(&b, w->ef.bundle_path);
	json_t *said = json_object_get(bundle_edit_node(&b), "statement");
	assert_int_equal(json_array_size(json_object_get(said, "gaps")), 1);
	(void)json_array_clear(json_object_get(said, "gaps"));
	char *dump = json_dumps(said, JSON_COMPACT);
	buf_str_put(&text, str_of(dump));
	free(dump);
	assert_int_equal(signed_text_make(w->ef.key, buf_str(&text), &s, &e), ERR_OK);
	signed_text_put(&line, &s);
	buf_char(&line, '\n');
	edit_set(bundle_edit_file(&b, "statement.jsonl"), buf_str(&line));
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_bad(w, "gap-hidden", "node 'here' hides a gap: kernel-lost");
}

/* --- the manifest --- */

static void scope_words(struct bundle_edit *b)
{
	(void)json_object_set_new(json_object_get(b->manifest, "scope"), "words",
				  json_string("all there is"));
}
static void scope_filter(struct bundle_edit *b)
{
	(void)json_object_set_new(json_object_get(b->manifest, "scope"), "allow",
				  json_pack("[{s:[s]}]", "verdict", "DROPPED"));
}
static json_t *said_by(struct bundle_edit *b)
{
	return json_object_get(bundle_edit_node(b), "statement");
}
static void no_loss(struct bundle_edit *b)
{
	(void)json_object_set_new(said_by(b), "loss", json_object());
}
static void complete(struct bundle_edit *b)
{
	(void)json_object_set_new(said_by(b), "complete", json_true());
}
static void fewer(struct bundle_edit *b)
{
	(void)json_object_set_new(said_by(b), "flows", json_string("3"));
}
static void renamed(struct bundle_edit *b)
{
	(void)json_object_set_new(bundle_edit_node(b), "name", json_string("there"));
}
static void said_otherwise(struct bundle_edit *b)
{
	(void)json_object_set_new(json_object_get(bundle_edit_node(b), "statement"), "version",
				  json_string("9"));
}
static void begins_later(struct bundle_edit *b)
{
	json_t *chunk = json_array_get(json_object_get(bundle_edit_node(b), "chunks"), 0);

	(void)json_object_set_new(chunk, "first_entry", json_string("2"));
}
static void other_before(struct bundle_edit *b)
{
	json_t *chunk = json_array_get(json_object_get(bundle_edit_node(b), "chunks"), 0);
	char hex[65];

	memset(hex, '1', 64);
	hex[64] = 0;
	(void)json_object_set_new(chunk, "before", json_string(hex));
}

/* A copy of the bundle's node, its files in @dir, behind it; the manifest says the same of both. */
static void copy_node(struct bundle_edit *b, const char *dir)
{
	json_t *copy = json_deep_copy(bundle_edit_node(b)), *chunk;
	struct edit_file files[EDIT_FILES];
	size_t count = b->count, i;
	char name[40];

	(void)json_object_set_new(copy, "dir", json_string(dir));
	json_array_foreach(json_object_get(copy, "chunks"), i, chunk)
	{
		(void)snprintf(name, sizeof name, "%s/%06zu", dir, i + 1);
		(void)json_object_set_new(chunk, "dir", json_string(name));
	}
	(void)json_array_append_new(json_object_get(b->manifest, "nodes"), copy);
	memcpy(files, b->files, sizeof files);
	b->count = 0;
	for (int is_chunk = 0; is_chunk < 2; is_chunk++) /* small files of all nodes come first */
		for (int is_copy = 0; is_copy < 2; is_copy++)
			for (i = 0; i + 1 < count; i++) { /* the last is the report */
				const char *rest = strchr(files[i].name + strlen("nodes/"), '/');
				struct edit_file *to = &b->files[b->count];
				assert_true(rest && b->count + 1 < EDIT_FILES);
				if ((strchr(rest + 1, '/') != NULL) != is_chunk)
					continue;
				*to = files[i];
				b->count++;
				if (!is_copy)
					continue;
				to->content = NULL;
				(void)snprintf(to->name, sizeof to->name, "%s%s", dir, rest);
				edit_set(to, str_n(files[i].content, files[i].len));
			}
	b->files[b->count++] = files[count - 1];
}
static void node_again(struct bundle_edit *b)
{
	copy_node(b, "nodes/2");
}
static void node_over_another(struct bundle_edit *b)
{
	copy_node(b, "nodes/1");
	(void)json_object_set_new(bundle_edit_node(b), "name", json_string("there"));
}
/* Of the only node. */
static void move_to(struct bundle_edit *b, const char *dir)
{
	json_t *chunk;
	char name[104];
	size_t i;

	(void)json_object_set_new(bundle_edit_node(b), "dir", json_string(dir));
	json_array_foreach(json_object_get(bundle_edit_node(b), "chunks"), i, chunk)
	{
		(void)snprintf(name, sizeof name, "%s/%06zu", dir, i + 1);
		(void)json_object_set_new(chunk, "dir", json_string(name));
	}
	for (i = 0; i + 1 < b->count; i++) {
		const char *rest = strchr(b->files[i].name + strlen("nodes/"), '/');
		assert_non_null(rest);
		(void)snprintf(name, sizeof name, "%s%s", dir, rest);
		memcpy(b->files[i].name, name, sizeof name);
	}
}
static void node_above(struct bundle_edit *b)
{
	move_to(b, "nodes/..");
}
static void node_of_another_number(struct bundle_edit *b)
{
	move_to(b, "nodes/01");
}
static void no_node(struct bundle_edit *b)
{
	(void)json_array_clear(json_object_get(b->manifest, "nodes"));
	for (size_t i = 0; i + 1 < b->count; i++)
		free(b->files[i].content);
	b->files[0] = b->files[b->count - 1];
	b->count = 1;
}

static void a_manifest_that_does_not_match_is_found(void **state)
{
	static const struct {
		const char *name, *words;
		void (*change)(struct bundle_edit *b);
	} cases[] = {
		{ "scope-words", "its scope has another 'words'", scope_words },
		{ "scope-filter", "its scope has another 'allow'", scope_filter },
		{ "no-loss", "another statement of 'here'", no_loss },
		{ "complete", "another statement of 'here'", complete },
		{ "fewer", "another statement of 'here'", fewer },
		{ "renamed", "calls itself 'here'", renamed },
		{ "said-otherwise", "another statement of 'here'", said_otherwise },
		{ "begins-later", "the chain", begins_later },
		{ "other-before", "the chain", other_before },
		{ "node-twice", "node 'here' is in the bundle twice", node_again },
		{ "node-over-another", "a folder 'nodes/1', which is not that of the next",
		  node_over_another },
		{ "node-above", "a folder 'nodes/..', which is not that of", node_above },
		{ "node-number", "a folder 'nodes/01', which is not that of",
		  node_of_another_number },
		{ "no-node", "no node is in the bundle: it proves nothing", no_node },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bundle_edit b;
		world_bundle(w, &everything);
		bundle_edit_open(&b, w->ef.bundle_path);
		cases[i].change(&b);
		bundle_edit_write(&b, w->ef.bundle_path, false);
		bundle_edit_done(&b);
		assert_bad(w, cases[i].name, cases[i].words);
	}
}

static void a_file_that_the_manifest_does_not_list_so_is_found(void **state)
{
	struct world *w = *state;
	struct bundle_edit b;

	world_bundle(w, &everything);
	bundle_edit_open(&b, w->ef.bundle_path);
	edit_replace(bundle_edit_file(&b, "report.html"), "evidence", "proof");
	bundle_edit_write(&b, w->ef.bundle_path, true);
	bundle_edit_done(&b);
	assert_bad(w, "report", "'report.html' is not the file that manifest.json lists");
}

/* --- redaction --- */

static void change_commitment(Tycho__V1__EvidenceProof *m)
{
	assert_true(m->n_commitments > 0);
	for (size_t i = 0; i < m->n_commitments; i++)
		m->commitments[i].data[9] ^= 1;
}
static void name_another_commitment(Tycho__V1__EvidenceProof *m)
{
	m->withheld[1] = (uint32_t)m->n_commitments + 1;
}
static void lose_withheld(Tycho__V1__EvidenceProof *m)
{
	m->n_withheld--;
}

static void what_is_shown_instead_is_vouched_for(void **state)
{
	struct world *w = *state;
	const struct ask redacted = { .redact = REDACT_ALL };
	struct bundle_edit b;

	world_bundle(w, &redacted);
	assert_good(w, "redacted");
	bundle_edit_open(&b, w->ef.bundle_path);
	const struct edit_file *lines = bundle_edit_file(&b, "flows.jsonl");
	assert_null(strstr(lines->content, "192.0.2.1"));
	assert_null(strstr(lines->content, "10.0.0."));
	assert_null(strstr(lines->content, "app=shop"));
	assert_non_null(strstr(lines->content, "reserved:world"));
	assert_null(memmem(bundle_edit_file(&b, "proofs.pb")->content,
			   bundle_edit_file(&b, "proofs.pb")->len, "192.0.2.1", 9));
	assert_null(strstr(bundle_edit_file(&b, "policies.jsonl")->content, "podSelector"));
	char *at = strstr(lines->content, "\"~");
	assert_non_null(at);
	/* leaf and mark know nothing of it */
	at[2] = at[2] == '0' ? '1' : '0';
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_bad(w, "shown-changed", "what is shown of a withheld part was changed");
	assert_proof_change_is_found(w, &redacted, "commitment", change_commitment, NULL, NULL,
				     "line 1: a flow was changed");
	assert_proof_change_is_found(w, &redacted, "no-commitment", name_another_commitment, NULL,
				     NULL, "names a commitment that is not there");
	assert_proof_change_is_found(w, &redacted, "withheld-lost", lose_withheld, NULL, NULL,
				     "not as many of everything as it has records");
}

/* --- chunks --- */

/* Takes chunk @n (from 0) out of archive and manifest, as if it had never been. */
static void lose_chunk(struct bundle_edit *b, size_t n)
{
	json_t *chunks = json_object_get(bundle_edit_node(b), "chunks");
	char dir[40], old[40];
	size_t kept = 0, count = json_array_size(chunks);

	(void)snprintf(dir, sizeof dir, "nodes/1/%06zu/", n + 1);
	for (size_t i = 0; i < b->count; i++) {
		struct edit_file *f = &b->files[i];
		if (str_has_prefix(str_of(f->name), str_of(dir))) {
			free(f->content);
			continue;
		}
		for (size_t k = n + 1; k < count; k++) {
			(void)snprintf(old, sizeof old, "nodes/1/%06zu/", k + 1);
			if (!str_has_prefix(str_of(f->name), str_of(old)))
				continue;
			(void)snprintf(old, sizeof old, "nodes/1/%06zu/", k);
			memcpy(f->name, old, strlen(old));
			break;
		}
		b->files[kept++] = *f;
	}
	b->count = kept;
	(void)json_array_remove(chunks, n);
	for (size_t k = n; k + 1 < count; k++) {
		(void)snprintf(old, sizeof old, "nodes/1/%06zu", k + 1);
		(void)json_object_set_new(json_array_get(chunks, k), "dir", json_string(old));
	}
}

static void a_chunk_that_is_missing_is_found(void **state)
{
	static const char *const words[] = { "begins with another entry than it stated",
					     "the chain of 'here' is broken before",
					     "the tail of the chain of 'here' is cut off" };
	struct world *w = *state;
	const struct ask ask = { .chunk_bytes = 1, .csv = true };
	struct bundle_edit b;

	world_bundle(w, &ask);
	assert_good(w, "chunks");
	bundle_edit_open(&b, w->ef.bundle_path);
	size_t count = json_array_size(json_object_get(bundle_edit_node(&b), "chunks"));
	bundle_edit_done(&b);
	assert_true(count >= 3);
	const size_t lost[] = { 0, 1, count - 1 };
	for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
		char name[40];
		world_bundle(w, &ask);
		bundle_edit_open(&b, w->ef.bundle_path);
		lose_chunk(&b, lost[i]);
		bundle_edit_write(&b, w->ef.bundle_path, false);
		bundle_edit_done(&b);
		(void)snprintf(name, sizeof name, "chunk-%zu-lost", lost[i]);
		assert_bad(w, name, words[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)
		T(changed_lines_are_found),
		T(a_changed_proof_is_found),
		T(a_record_may_be_there_whole),
		T(a_flow_left_out_is_found_though_proof_and_manifest_agree),
		T(a_broken_chain_is_found),
		T(changes_of_what_is_signed_are_found),
		T(a_gap_that_the_node_hides_is_found),
		T(a_manifest_that_does_not_match_is_found),
		T(a_file_that_the_manifest_does_not_list_so_is_found),
		T(what_is_shown_instead_is_vouched_for),
		T(a_chunk_that_is_missing_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
