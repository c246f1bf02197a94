/* lib/flow/unbatch: responses and streams of records, mixed, come out in their order; one node's
 * bad bytes are that node's failure; and no server makes us hold more than we offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/node_status.h"
#include "flow/unbatch.h"
#include "flow/wire.h"
#include "tests/unit/flow_random.h"

enum { MAX_BYTES = 1 << 22, TABLE = FLOW_TABLE_MIN, TABLES = 4 * FLOW_TABLE_MIN };

static struct flow_unbatch *unbatch_of(void)
{
	const struct flow_unbatch_limits limits = { 1 << 20, TABLE, TABLES };
	struct flow_unbatch *u = NULL;

	assert_int_equal(flow_unbatch_new(&limits, &u, NULL), ERR_OK);
	return u;
}

static struct flow_packer *packer_of(void)
{
	struct flow_packer *p = NULL;

	assert_int_equal(flow_packer_new(TABLE, &p, NULL), ERR_OK);
	return p;
}

/* --- messages, as flows.proto describes them */

static void put_stream(struct buf *b, uint64_t number, uint64_t table, const char *node)
{
	size_t mark = wire_begin(b, 3);
	wire_put_u64(b, 1, number);
	wire_put_u64(b, 2, table);
	wire_put_str(b, 3, str_of(node));
	wire_end(b, mark);
}

static void put_run(struct buf *b, uint64_t number, const struct str *records, size_t count)
{
	size_t mark = wire_begin(b, 4);
	wire_put_varint(b, number);
	for (size_t i = 0; i < count; i++) {
		wire_put_varint(b, records[i].len);
		buf_str_put(b, records[i]);
	}
	wire_end(b, mark);
}

/* A response with a flow of which all but one byte is in all other flows, too. */
static struct str response_of(struct buf *b, char which)
{
	buf_reset(b);
	size_t flow = wire_begin(b, 1);
	wire_put_len(b, 8, STR("an endpoint with a name and with labels"));
	wire_put_len(b, 34, str_n(&which, 1));
	wire_end(b, flow);
	return buf_str(b);
}

static void assert_next(struct flow_unbatch *u, struct str want)
{
	struct str got;
	struct err e;

	assert_int_equal(flow_unbatch_next(u, &got, &e), ERR_OK);
	assert_bytes_equal(got, want);
}

static void assert_end(struct flow_unbatch *u, enum err_code want)
{
	struct str got;
	struct err e;

	assert_int_equal(flow_unbatch_next(u, &got, &e), want);
}

static enum err_code end_of(struct str message)
{
	AUTO(flow_unbatch_free) struct flow_unbatch *u = unbatch_of();
	enum err_code code;
	struct str got;
	struct err e;

	flow_unbatch_message(u, message);
	while ((code = flow_unbatch_next(u, &got, &e)) == ERR_OK)
		;
	return code;
}

static void streams_and_responses_come_in_the_order_of_the_wire(void **state)
{
	(void)state;
	AUTO(flow_unbatch_free) struct flow_unbatch *u = unbatch_of();
	AUTO_BUF struct buf b = buf_init(MAX_BYTES), message = buf_init(MAX_BYTES),
			    record = buf_init(MAX_BYTES);
	struct flow_packer *packers[3] = { packer_of(), packer_of(), packer_of() };
	/* which packer's flow; 3: unpacked. Packer 0 is the server's own. */
	static const char order[] = "0123012301231122330";

	for (int round = 0; round < 3; round++) {
		buf_reset(&message);
		if (round == 0) {
			put_stream(&message, 0, TABLE, "one");
			put_stream(&message, 3, TABLE, "two");
		}
		for (size_t i = 0; order[i]; i++) {
			size_t who = (size_t)(order[i] - '0');
			struct str response = response_of(&b, (char)('a' + i));
			if (who == 3) {
				wire_put_len(&message, 1, response);
				continue;
			}
			buf_reset(&record);
			flow_packer_put(packers[who], response, &record);
			struct str bytes = buf_str(&record);
			if (who == 0)
				wire_put_len(&message, 2, bytes);
			else
				put_run(&message, who == 1 ? 0 : 3, &bytes, 1);
		}
		flow_unbatch_message(u, buf_str(&message));
		for (size_t i = 0; order[i]; i++)
			assert_next(u, response_of(&b, (char)('a' + i)));
		assert_end(u, ERR_CLOSED);
	}
	for (size_t i = 0; i < 3; i++)
		flow_packer_free(packers[i]);
}

static void a_run_holds_many_records_and_voids_are_stepped_over(void **state)
{
	(void)state;
	AUTO(flow_unbatch_free) struct flow_unbatch *u = unbatch_of();
	AUTO_BUF struct buf message = buf_init(MAX_BYTES);
	char voided[] = "\0\x09\x0a\0"; /* an empty flow, kept */
	flow_pack_void(voided);
	const struct str records[] = { str_n(voided, 4), STR("\0\x02"), STR("\0"),
				       STR("\0\x02\x02") };

	put_stream(&message, 0, TABLE, "one");
	put_run(&message, 0, records, 3);
	put_run(&message, 0, NULL, 0);
	put_run(&message, 0, records + 3, 1);
	flow_unbatch_message(u, buf_str(&message));
	assert_next(u, STR("\x0a\0"));
	assert_next(u, STR(""));
	assert_next(u, STR("\x0a\0\x0a\0"));
	assert_end(u, ERR_CLOSED);
}

static void a_number_that_is_given_again_begins_without_a_table(void **state)
{
	(void)state;
	AUTO(flow_unbatch_free) struct flow_unbatch *u = unbatch_of();
	AUTO_BUF struct buf b = buf_init(MAX_BYTES), message = buf_init(MAX_BYTES),
			    record = buf_init(MAX_BYTES);

	/* more often than there is room for as many tables at once */
	for (int i = 0; i < 20; i++) {
		AUTO(flow_packer_free) struct flow_packer *p = packer_of();
		buf_reset(&message);
		put_stream(&message, 1, 2 * TABLE, "one");
		for (int n = 0; n < 3; n++) {
			buf_reset(&record);
			flow_packer_put(p, response_of(&b, 'x'), &record);
			put_run(&message, 1, &(struct str){ record.p, record.len }, 1);
		}
		flow_unbatch_message(u, buf_str(&message));
		for (int n = 0; n < 3; n++)
			assert_next(u, response_of(&b, 'x'));
		assert_end(u, ERR_CLOSED);
	}
}

static void a_node_whose_records_cannot_be_read_has_failed_and_no_other(void **state)
{
	(void)state;
	static const struct str bad[] = {
		STR(""),                  /* no record */
		STR("\0\x02"),            /* names what was never kept */
		STR("\0\x0c\xff\xff\xff") /* no response */
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(flow_unbatch_free) struct flow_unbatch *u = unbatch_of();
		AUTO_BUF struct buf message = buf_init(MAX_BYTES);
		struct flow_response response;
		struct str got, status;
		struct err e;
		put_stream(&message, 0, TABLE, "honest");
		put_stream(&message, 1, TABLE, "liar");
		put_run(&message, 1, &bad[i], 1);
		put_run(&message, 1, &STR("\0\x08\x0a\0"), 1);
		put_run(&message, 0, &STR("\0\x08\x0a\0"), 1);
		flow_unbatch_message(u, buf_str(&message));
		assert_int_equal(flow_unbatch_next(u, &got, &e), ERR_OK);
		assert_int_equal(flow_response_split(got, &response, &e), ERR_OK);
		assert_int_equal(response.kind, FLOW_KIND_NODE_STATUS);
		assert_true(wire_find(response.message, 2, &status));
		assert_bytes_equal(status, STR("liar"));
		assert_true(wire_find(response.message, 3, &status));
		assert_bytes_equal(status, STR(NODE_SENT_NO_FLOW));
		assert_next(u, STR("\x0a\0")); /* what the liar says then nobody hears */
		assert_end(u, ERR_CLOSED);
	}
}

static void what_a_server_packs_itself_must_be_readable(void **state)
{
	(void)state;
	AUTO_BUF struct buf message = buf_init(MAX_BYTES);

	wire_put_len(&message, 2, STR("\0\x02"));
	assert_int_equal(end_of(buf_str(&message)), ERR_PARSE);
}

static void nobody_makes_us_hold_more_than_we_offered(void **state)
{
	(void)state;
	const struct {
		uint64_t number, tables[3];
		enum err_code want;
	} cases[] = {
		{ 0, { TABLE }, ERR_CLOSED },
		{ 3, { TABLE }, ERR_CLOSED },
		{ 4, { TABLE }, ERR_PARSE }, /* so many have no room */
		{ UINT64_MAX, { TABLE }, ERR_PARSE },
		{ 0, { TABLE - 1 }, ERR_PARSE },
		{ 0, { TABLES }, ERR_CLOSED },
		{ 0, { TABLES + 1 }, ERR_PARSE },
		{ 0, { TABLES - TABLE, TABLE }, ERR_CLOSED },
		{ 0, { TABLES - TABLE, TABLE, TABLE }, ERR_PARSE },
		{ 0, { (uint64_t)1 << 63 }, ERR_PARSE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf message = buf_init(MAX_BYTES);
		for (size_t k = 0; k < 3 && cases[i].tables[k]; k++)
			put_stream(&message, cases[i].number + k, cases[i].tables[k], "n");
		assert_int_equal(end_of(buf_str(&message)), cases[i].want);
	}
}

static void what_is_no_batch_is_an_error(void **state)
{
	(void)state;
	static const struct str messages[] = {
		STR("\xff"),                                 /* no field */
		STR("\x1a\x01\xff"),                         /* no stream */
		STR("\x22\x00"),                             /* a run of nobody's */
		STR("\x22\x02\x07\x00"),                     /* … of an unknown stream's */
		STR("\x1a\x03\x10\x80\x40\x22\x02\x00\x05"), /* a record that is cut off */
		STR("\x1a\x03\x10\x80\x40\x22\x02\x00\x80"), /* a length that is */
	};

	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		assert_int_equal(end_of(messages[i]), ERR_PARSE);
	/* a stream with a table of 8 KiB, an empty run, a field of the future */
	assert_int_equal(end_of(STR("\x1a\x03\x10\x80\x40\x22\x01\x00\x2a\x01\x05\x30\x01")),
			 ERR_CLOSED);
}

static void items_are_left_as_they_are(void **state)
{
	(void)state;
	AUTO(flow_unbatch_free) struct flow_unbatch *u = unbatch_of();
	AUTO_BUF struct buf message = buf_init(MAX_BYTES), out = buf_init(MAX_BYTES);
	struct flow_unbatch_item item;
	bool is_void = true;
	struct err e;

	put_stream(&message, 2, TABLE, "one");
	put_run(&message, 2,
		&STR("\0\x09"
		     "ab"),
		1);
	put_stream(&message, 2, TABLE, "again");
	wire_put_len(&message, 1, STR("plain"));
	wire_put_len(&message, 2, STR("own"));
	flow_unbatch_message(u, buf_str(&message));
	assert_int_equal(flow_unbatch_item(u, &item, &e), ERR_OK);
	struct packed_stream *one = item.stream;
	assert_bytes_equal(item.bytes, STR("\0\x09"
					   "ab"));
	assert_bytes_equal(one->node_name, STR("one"));
	assert_true(one->number == 2 && one->table_bytes == TABLE && !one->is_own);
	one->uses++;
	assert_int_equal(flow_unbatch_item(u, &item, &e), ERR_OK);
	assert_null(item.stream);
	assert_bytes_equal(item.bytes, STR("plain"));
	assert_int_equal(flow_unbatch_item(u, &item, &e), ERR_OK);
	assert_true(item.stream->is_own);
	assert_bytes_equal(item.bytes, STR("own"));
	assert_int_equal(flow_unbatch_item(u, &item, &e), ERR_CLOSED);
	/* who keeps a stream has it, whatever has its number now */
	assert_int_equal(packed_stream_unpack(one,
					      STR("\0\x09"
						  "ab"),
					      &out, &is_void, &e),
			 ERR_OK);
	assert_bytes_equal(buf_str(&out), STR("ab"));
	packed_stream_unref(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_and_responses_come_in_the_order_of_the_wire),
		cmocka_unit_test(a_run_holds_many_records_and_voids_are_stepped_over),
		cmocka_unit_test(a_number_that_is_given_again_begins_without_a_table),
		cmocka_unit_test(a_node_whose_records_cannot_be_read_has_failed_and_no_other),
		cmocka_unit_test(what_a_server_packs_itself_must_be_readable),
		cmocka_unit_test(nobody_makes_us_hold_more_than_we_offered),
		cmocka_unit_test(what_is_no_batch_is_an_error),
		cmocka_unit_test(items_are_left_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
