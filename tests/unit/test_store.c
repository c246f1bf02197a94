/* lib/store: what goes in comes out, in order, and the chain holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store/inside.h"
#include "store_fixture.h"

static void records_come_back_as_they_were_put(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 5; i++)
		fixture_block(fx, 700);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 3500);
	assert_int_equal(seen.first, FIRST_SEQ);
	assert_int_equal(seen.last, FIRST_SEQ + 3499);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
	assert_int_equal(store_sealed(fx->store), FIRST_SEQ + 3500);
	assert_int_equal(store_counts(fx->store).records, 3500);
	assert_int_equal(store_counts(fx->store).blocks, 5);
}

static void records_come_back_newest_first_when_asked_backward(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;

	fixture_open(fx);
	for (int i = 0; i < 5; i++)
		fixture_block(fx, 700);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	config.backward = true;
	config.range.from_seq = FIRST_SEQ + 3;
	config.range.to_seq = FIRST_SEQ + 3000;
	struct seen seen = fixture_scan(fx, r, &config);
	assert_int_equal(seen.count, 2997);
	assert_int_equal(seen.first, FIRST_SEQ + 2999);
	assert_int_equal(seen.last, FIRST_SEQ + 3);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
}

static void what_is_not_sealed_cannot_be_read_yet(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	assert_int_equal(fixture_put(fx, 10, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 0);
	assert_int_equal(store_sealed(fx->store), FIRST_SEQ);
	assert_int_equal(store_taken(fx->store), FIRST_SEQ + 10);
	fx->now = after(fx->now, 0.999);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 0);
	fx->now = after(fx->now, 0.001);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 10);
}

static void a_full_block_is_sealed_at_once(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.seal_flows = 100;
	fixture_open(fx);
	assert_int_equal(fixture_put(fx, 99, &e), ERR_OK);
	assert_int_equal(store_counts(fx->store).blocks, 0);
	assert_int_equal(fixture_put(fx, 1, &e), ERR_OK);
	assert_int_equal(store_counts(fx->store).blocks, 1);
	assert_int_equal(fixture_put(fx, 250, &e), ERR_OK);
	assert_int_equal(store_counts(fx->store).blocks, 3);
	assert_int_equal(store_sealed(fx->store), FIRST_SEQ + 300);
}

static void a_block_of_many_texts_is_sealed_before_its_time(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_bulk(fx, 3000); /* 3 MiB */
	assert_int_equal(store_counts(fx->store).blocks, 1);
	fixture_bulk(fx, 5000);
	assert_int_equal(store_counts(fx->store).blocks, 3);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 8000);
}

/* What comes at once may be more than fits behind what is there: 64 MiB of texts are in a block. */
static void records_that_do_not_fit_begin_a_block_of_their_own(void **state)
{
	enum { FEW = 7, MANY = 126, BYTES = 1 << 19 };
	struct fixture *fx = *state;
	struct flow flows[FEW + MANY];
	struct err e = { 0 };
	AUTO(own_free) uint8_t *texts = calloc(ARRAY_LEN(flows), BYTES);

	assert_non_null(texts);
	for (size_t i = 0; i < ARRAY_LEN(flows); i++) {
		/* field 100, as long as all that is behind its head; no two are the same */
		const uint8_t head[] = { 0xa2, 0x06, 0xfb, 0xff, 0x1f, (uint8_t)i };
		memcpy(texts + i * BYTES, head, sizeof head);
		flows[i] = fixture_flow(fx, fx->next_seq++, fx->now);
		flows[i].ext = texts + i * BYTES;
		flows[i].ext_len = BYTES;
	}
	fixture_open(fx);
	assert_int_equal(store_put(fx->store, flows, FEW, fx->now, &e), ERR_OK);
	assert_int_equal(store_counts(fx->store).blocks, 0);
	assert_int_equal(store_put(fx->store, flows + FEW, MANY, fx->now, &e), ERR_OK);
	assert_int_equal(store_counts(fx->store).blocks, 2);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, FEW + MANY);
}

static void every_range_of_numbers_holds_exactly_its_records(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;

	fixture_open(fx);
	fixture_block(fx, 1);
	fixture_block(fx, 1500);
	fixture_block(fx, 2);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	const uint64_t edges[] = { 0,
				   FIRST_SEQ - 1,
				   FIRST_SEQ,
				   FIRST_SEQ + 1,
				   FIRST_SEQ + 2,
				   FIRST_SEQ + 1025,
				   FIRST_SEQ + 1501,
				   FIRST_SEQ + 1503,
				   FIRST_SEQ + 2000,
				   UINT64_MAX };
	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		for (size_t j = i; j < ARRAY_LEN(edges); j++) {
			config.range.from_seq = edges[i];
			config.range.to_seq = edges[j];
			uint64_t from = edges[i] > FIRST_SEQ ? edges[i] : FIRST_SEQ;
			uint64_t to = edges[j] < FIRST_SEQ + 1503 ? edges[j] : FIRST_SEQ + 1503;
			uint64_t want = to > from ? to - from : 0;
			config.backward = false;
			assert_int_equal(fixture_scan(fx, r, &config).count, want);
			config.backward = true;
			assert_int_equal(fixture_scan(fx, r, &config).count, want);
		}
}

static void a_range_of_time_holds_its_ends(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;
	struct err e = { 0 };
	struct flow flows[5];

	fixture_open(fx);
	for (uint64_t i = 0; i < 5; i++)
		flows[i] = fixture_flow(fx, FIRST_SEQ + i, after(NOON, (double)i));
	flows[4].bits &= ~(uint32_t)FLOW_HAS_TIME; /* in every range */
	assert_int_equal(store_put(fx->store, flows, 5, fx->now, &e), ERR_OK);
	assert_int_equal(store_tick(fx->store, after(NOON, 5), &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	config.range.since = after(NOON, 1);
	config.range.until = after(NOON, 2);
	assert_int_equal(fixture_scan(fx, r, &config).count, 3);
	config.range.since = config.range.until = after(NOON, 3);
	assert_int_equal(fixture_scan(fx, r, &config).count, 2);
	config.range.since = config.range.until = after(NOON, 30);
	assert_int_equal(fixture_scan(fx, r, &config).count, 1);
}

static void the_chain_holds_from_the_first_entry(void **state)
{
	struct fixture *fx = *state;
	const struct chain_hash zeros = { 0 };

	fixture_open(fx);
	fixture_block(fx, 10);
	fixture_block(fx, 10);
	fixture_close(fx);
	fx->now = after(fx->now, 60);
	fixture_open(fx);
	fixture_block(fx, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_chain seen = fixture_chain(r);
	assert_int_equal(seen.first, 1);
	assert_memory_equal(seen.first_before.v, zeros.v, sizeof zeros.v);
	assert_int_equal(seen.blocks, 3);
	assert_string_equal(seen.kinds, "ssgs"); /* start, stop, gap, start */
	assert_int_equal(seen.entries, store_counts(fx->store).entries);
}

/* The root follows from the records that the segment gives back, as an auditor would compute it. */
static void roots_follow_from_what_is_read_back(void **state)
{
	struct fixture *fx = *state;
	AUTO(chain_block_free) struct chain_block *tree = NULL;
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct store_scan_config config = ALL_RECORDS;
	struct chain_secret secret;
	struct chain_hash root;
	const struct flow *flows;
	struct err e = { 0 };
	size_t n;
	bool more;

	fixture_open(fx);
	fixture_block(fx, 900);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_secret(r, &secret, &e), ERR_OK);
	assert_int_equal(chain_block_new(&tree, &e), ERR_OK);
	chain_block_start(tree, &secret, 2); /* entry 1 is the start */
	assert_int_equal(store_scan_new(r, &config, &sc, &e), ERR_OK);
	assert_int_equal(store_scan_next(sc, 2000, &flows, &n, &more, &e), ERR_OK);
	assert_int_equal(n, 900);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(chain_block_add(tree, &flows[i], fx->dict, &e), ERR_OK);
	assert_int_equal(chain_block_root(tree, &root, &e), ERR_OK);
	char hex[65];
	for (size_t i = 0; i < sizeof root.v; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", root.v[i]);
	assert_non_null(strstr(fixture_chain(r).last_body, hex));
}

static void another_process_reads_the_file_with_its_own_dictionary(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(store_reader_free) struct store_reader *r = NULL;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 500);
	fixture_close(fx);
	assert_int_equal(flow_dict_new(100, &dict, &e), ERR_OK);
	/* Ids differ: something else was there first. */
	(void)flow_dict_service(dict, &(struct service){ .name = STR("other") });
	(void)flow_dict_node(dict, &(struct node){ .name = STR("other") });
	assert_int_equal(store_reader_open(fx->dir, dict, &r, &e), ERR_OK);
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct store_scan_config config = ALL_RECORDS;
	const struct flow *flows;
	size_t n;
	bool more;
	assert_int_equal(store_scan_new(r, &config, &sc, &e), ERR_OK);
	assert_int_equal(store_scan_next(sc, 2000, &flows, &n, &more, &e), ERR_OK);
	assert_int_equal(n, 500);
	assert_true(str_is(flow_dict_get_node(dict, flows[0].node)->name, "here"));
	assert_true(str_is(flow_dict_get_endpoint(dict, flows[2].src_ep)->pod, "front-0"));
	assert_true(str_is(flow_dict_get_kernel_reason(dict, flows[7].kernel_reason),
			   "NETFILTER_DROP"));
}

static void the_file_is_for_its_owner_only(void **state)
{
	struct fixture *fx = *state;
	char path[100];
	struct stat st;

	fixture_open(fx);
	fixture_block(fx, 1);
	for (size_t i = 0; i < 3; i++) {
		static const char *const parts[] = { "", "-wal", "-shm" };
		(void)snprintf(path, sizeof path, "%s/flows.db%s", fx->dir, parts[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(records_come_back_as_they_were_put),
		T(records_come_back_newest_first_when_asked_backward),
		T(what_is_not_sealed_cannot_be_read_yet),
		T(a_full_block_is_sealed_at_once),
		T(a_block_of_many_texts_is_sealed_before_its_time),
		T(records_that_do_not_fit_begin_a_block_of_their_own),
		T(every_range_of_numbers_holds_exactly_its_records),
		T(a_range_of_time_holds_its_ends),
		T(the_chain_holds_from_the_first_entry),
		T(roots_follow_from_what_is_read_back),
		T(another_process_reads_the_file_with_its_own_dictionary),
		T(the_file_is_for_its_owner_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
