/* Bundles that lie, each in one way: every one is found out, and the fault is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bundle_edit.h"
#include "chain/tree.h"
#include "evidence/block.h"
#include "evidence/redact.h"
#include "evidence/text.h"
#include "evidence_world.h"
#include "flow/wire.h"
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

/* --- records: the lines say what they say --- */

/* The first block, unpacked, handed to @change, and packed again; of @n the record at work. */
static void edit_first_block(struct edit_file *f, void (*change)(Tycho__V1__EvidenceBlock *m))
{
	AUTO_BUF struct buf b = buf_init(1 << 20);
	struct str rest = str_n(f->content, f->len);
	size_t len = (uint8_t)rest.p[0], head = 1;

	if (len >= 0x80) {
		len = (len & 0x7f) | (size_t)(uint8_t)rest.p[1] << 7;
		head = 2;
	}
	Tycho__V1__EvidenceBlock *m =
		tycho__v1__evidence_block__unpack(NULL, len, (const uint8_t *)rest.p + head);
	assert_non_null(m);
	change(m);
	size_t size = tycho__v1__evidence_block__get_packed_size(m);
	wire_put_varint(&b, size);
	b.len += tycho__v1__evidence_block__pack(m, (uint8_t *)buf_reserve(&b, size));
	tycho__v1__evidence_block__free_unpacked(m, NULL);
	buf_str_put(&b, str_from(rest, head + len));
	edit_set(f, buf_str(&b));
}

static void change_port(Tycho__V1__EvidenceBlock *m)
{
	ProtobufCBinaryData *head = &m->records[0]->head;
	/* destination port 443 of l4.TCP: field 2, varint bb 03 */
	uint8_t *at = memmem(head->data, head->len, "\x10\xbb\x03", 3);

	assert_non_null(at);
	at[1] = 0xbc;
}
static void change_seq(Tycho__V1__EvidenceBlock *m)
{
	m->records[0]->seq++;
	m->records[1]->seq++;
	m->records[2]->seq++;
}
static void change_address(Tycho__V1__EvidenceBlock *m)
{
	for (size_t i = 0; i < m->n_parts; i++)
		if (m->parts[i]->part == 1) {
			uint8_t *at = memmem(m->parts[i]->content.data, m->parts[i]->content.len,
					     "192.0.2.1", 9);
			assert_non_null(at);
			at[8] = '7';
			return;
		}
	fail_msg("no address");
}
static void swap_records(Tycho__V1__EvidenceBlock *m)
{
	Tycho__V1__EvidenceRecord *a = m->records[0], *b = m->records[1];
	ProtobufCBinaryData head = a->head, tail = a->tail;

	a->head = b->head;
	a->tail = b->tail;
	b->head = head;
	b->tail = tail;
}
static void change_endpoint(Tycho__V1__EvidenceBlock *m)
{
	for (size_t i = 0; i < m->n_shared; i++) {
		uint8_t *at = memmem(m->shared[i].data, m->shared[i].len, "cart-0", 6);
		if (at)
			at[5] = '1';
	}
}
/* The same flow for everyone who reads it: protobuf's fields stand in any order. */
static void swap_endpoints(Tycho__V1__EvidenceBlock *m)
{
	for (size_t i = 0; i < m->n_records; i++) {
		uint32_t *shared = m->records[i]->shared;
		if (m->records[i]->n_shared < 2)
			continue;
		uint32_t first = shared[0];
		shared[0] = shared[1];
		shared[1] = first;
		return;
	}
	fail_msg("no record has two endpoints");
}
/* What is shared is written out: the same core, put together otherwise. */
static void write_endpoints_out(Tycho__V1__EvidenceBlock *m)
{
	for (size_t i = 0; i < m->n_records; i++) {
		Tycho__V1__EvidenceRecord *r = m->records[i];
		AUTO_BUF struct buf b = buf_init(1 << 16);
		buf_put(&b, r->head.data, r->head.len);
		for (size_t k = 0; k < r->n_shared; k++)
			buf_put(&b, m->shared[r->shared[k] - 1].data,
				m->shared[r->shared[k] - 1].len);
		buf_put(&b, r->tail.data, r->tail.len);
		r->head.data = realloc(r->head.data, b.len);
		assert_non_null(r->head.data);
		memcpy(r->head.data, b.p, b.len);
		r->head.len = b.len;
		r->n_shared = r->tail.len = 0;
	}
}
static void name_a_fragment_that_is_not_there(Tycho__V1__EvidenceBlock *m)
{
	m->records[0]->shared[0] = (uint32_t)m->n_shared + 1;
}
static void drop_first_record(Tycho__V1__EvidenceBlock *m)
{
	tycho__v1__evidence_record__free_unpacked(m->records[0], NULL);
	memmove(m->records, m->records + 1, --m->n_records * sizeof *m->records);
}
static void change_secret(Tycho__V1__EvidenceBlock *m)
{
	m->secrets[0].data[5] ^= 1;
}
static void change_proof(Tycho__V1__EvidenceBlock *m)
{
	assert_true(m->proof.len > 0);
	m->proof.data[3] ^= 4;
}
static void change_place(Tycho__V1__EvidenceBlock *m)
{
	m->records[0]->index++;
}
static void change_entry(Tycho__V1__EvidenceBlock *m)
{
	m->entry += 2;
}

static void assert_record_change_is_found(struct world *w, const struct ask *ask, const char *name,
					  void (*change)(Tycho__V1__EvidenceBlock *m),
					  const char *old, const char *new, const char *words)
{
	struct bundle_edit b;

	world_bundle(w, ask);
	bundle_edit_open(&b, w->ef.bundle_path);
	edit_first_block(bundle_edit_file(&b, "records.pb"), change);
	if (old)
		edit_replace(bundle_edit_file(&b, "flows.jsonl"), old, new);
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_bad(w, name, words);
}

static void changed_records_are_found_though_the_lines_agree(void **state)
{
	struct world *w = *state;
	const struct ask all = { .csv = false }, some = { .verdict = "DROPPED" };

	world_bundle(w, &some);
	assert_good(w, "filtered");
	assert_record_change_is_found(w, &all, "record-port", change_port,
				      "\"destination_port\":443", "\"destination_port\":444",
				      "its records are not those that the chain holds");
	assert_record_change_is_found(w, &all, "record-address", change_address, NULL, NULL,
				      "a flow was changed");
	assert_record_change_is_found(w, &all, "record-seq", change_seq, NULL, NULL,
				      "not in order");
	assert_record_change_is_found(w, &all, "records-swapped", swap_records, NULL, NULL,
				      "a flow was");
	assert_record_change_is_found(w, &all, "endpoint", change_endpoint, NULL, NULL,
				      "a flow was changed");
	assert_record_change_is_found(w, &all, "endpoints-swapped", swap_endpoints, NULL, NULL,
				      "its records are not those that the chain holds");
	assert_record_change_is_found(w, &all, "no-fragment", name_a_fragment_that_is_not_there,
				      NULL, NULL, "names a fragment that is not there");
	assert_record_change_is_found(w, &all, "secret", change_secret, NULL, NULL,
				      "its records are not those that the chain holds");
	assert_record_change_is_found(w, &all, "entry", change_entry, NULL, NULL, "block");
	assert_record_change_is_found(w, &some, "proof", change_proof, NULL, NULL,
				      "its records are not those that the chain holds");
	assert_record_change_is_found(w, &some, "place", change_place, NULL, NULL, "block");
}

static void a_core_may_be_written_out(void **state)
{
	struct world *w = *state;
	struct bundle_edit b;

	world_bundle(w, &(struct ask){ .csv = true });
	bundle_edit_open(&b, w->ef.bundle_path);
	edit_first_block(bundle_edit_file(&b, "records.pb"), write_endpoints_out);
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_good(w, "written-out");
}

/* A flow left out of a filtered export, by somebody who makes the proof anew and adjusts all that
 * is not signed. */
static void drop_line(struct bundle_edit *b, size_t n)
{
	edit_line_remove(bundle_edit_file(b, "flows.jsonl"), n);
	(void)json_object_set_new(json_object_get(bundle_edit_node(b), "statement"), "flows",
				  json_string("29"));
}

static struct chain_hash dropped_leaf;

static void drop_with_proof(Tycho__V1__EvidenceBlock *m)
{
	/* All nine records of the block are there: the first one's leaf is the whole new proof. */
	AUTO(own_free) uint8_t *proof = malloc(sizeof dropped_leaf);

	drop_first_record(m);
	memcpy(proof, dropped_leaf.v, sizeof dropped_leaf.v);
	free(m->proof.data);
	m->proof.data = TAKE(proof);
	m->proof.len = sizeof dropped_leaf.v;
}

static void a_flow_left_out_is_found_though_proof_and_manifest_agree(void **state)
{
	struct world *w = *state;
	struct bundle_edit b;
	struct evidence_block block = { 0 };
	struct chain_hash root, items;
	struct err e;

	world_bundle(w, &(struct ask){ .csv = false });
	bundle_edit_open(&b, w->ef.bundle_path);
	struct edit_file *f = bundle_edit_file(&b, "records.pb");
	size_t len = ((size_t)(uint8_t)f->content[0] & 0x7f) | (size_t)(uint8_t)f->content[1] << 7;
	assert_int_equal(evidence_block_take(&block, str_n(f->content + 2, len), &e), ERR_OK);
	assert_int_equal(evidence_block_hash(&block, 9, &root, &items, &e), ERR_OK);
	/* leaves are overwritten by the tree: hash one record alone */
	evidence_block_done(&block);
	assert_int_equal(evidence_block_take(&block, str_n(f->content + 2, len), &e), ERR_OK);
	block.record_count = 1;
	assert_true(evidence_block_hash(&block, 1, &root, &items, &e) == ERR_OK);
	dropped_leaf = root; /* of a tree of one leaf */
	evidence_block_done(&block);
	edit_first_block(f, drop_with_proof);
	drop_line(&b, 0);
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

static void change_commitment(Tycho__V1__EvidenceBlock *m)
{
	for (size_t i = 0; i < m->n_parts; i++)
		if (m->parts[i]->commitment.len)
			m->parts[i]->commitment.data[9] ^= 1;
}

static char first_token[20];

static void change_shown(Tycho__V1__EvidenceBlock *m)
{
	for (size_t i = 0; i < m->n_parts; i++) {
		ProtobufCBinaryData *c = &m->parts[i]->content;
		uint8_t *at = c->len ? memmem(c->data, c->len, first_token, 17) : NULL;
		if (at)
			at[1] = at[1] == '0' ? '1' : '0';
	}
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
	assert_null(memmem(bundle_edit_file(&b, "records.pb")->content,
			   bundle_edit_file(&b, "records.pb")->len, "192.0.2.1", 9));
	assert_null(strstr(bundle_edit_file(&b, "policies.jsonl")->content, "podSelector"));
	char *at = strstr(lines->content, "\"~");
	assert_non_null(at);
	(void)snprintf(first_token, sizeof first_token, "%.17s", at + 1);
	/* the same change everywhere */
	edit_first_block(bundle_edit_file(&b, "records.pb"), change_shown);
	char other[20];
	memcpy(other, first_token, sizeof other);
	other[1] = other[1] == '0' ? '1' : '0';
	for (struct edit_file *f = bundle_edit_file(&b, "flows.jsonl");
	     strstr(f->content, first_token);) {
		/* only in the first block's nine lines */
		char *where = strstr(f->content, first_token);
		size_t line = 0;
		for (const char *p = f->content; p < where; p++)
			line += *p == '\n';
		if (line >= 9)
			break;
		edit_replace(f, first_token, other);
	}
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	assert_bad(w, "shown-changed", "what is shown of a withheld part was changed");
	assert_record_change_is_found(w, &redacted, "commitment", change_commitment, NULL, NULL,
				      "its records are not those that the chain holds");
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
		T(changed_records_are_found_though_the_lines_agree),
		T(a_core_may_be_written_out),
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
