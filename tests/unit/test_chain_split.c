/* A record's parts, joined, are the record: protobuf-c reads the same message in them as in
 * flow_encode's bytes. Over random made flows and all recorded ones. (That they are it by
 * protobuf's own merging, too, is for tests/evidence to say: protobuf-c cannot.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "chain/chain.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "flow_random.h"
#include "observer/observer.pb-c.h"
#include "recorded.h"

enum { MAX_BYTES = 1 << 24, MAX_NAMES = 1 << 17 };

struct pieces {
	struct buf parts[CHAIN_PARTS_];
};

static struct pieces pieces_of(const struct flow *f, const struct flow_dict *d)
{
	struct pieces p;

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		p.parts[i] = buf_init(MAX_BYTES);
	chain_split(f, d, p.parts);
	return p;
}

static void pieces_done(struct pieces *p)
{
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&p->parts[i]);
}

/* What protobuf-c makes of the bytes, written out again: equal messages have equal bytes. */
static void normal_form(struct str bytes, struct buf *out)
{
	Flow__Flow *m = flow__flow__unpack(NULL, bytes.len, (const uint8_t *)bytes.p);

	assert_non_null(m);
	size_t len = flow__flow__get_packed_size(m);
	uint8_t *to = (uint8_t *)buf_reserve(out, len + 1);
	assert_non_null(to);
	out->len += flow__flow__pack(m, to);
	flow__flow__free_unpacked(m, NULL);
}

/* Where the redaction classes must not leak: no address outside the address part, and so
 * on. */
static void assert_kept_apart(const struct pieces *p)
{
	static const uint32_t never_in_core[] = { FLOW_FIELD_ETHERNET, FLOW_FIELD_IP,
						  FLOW_FIELD_TUNNEL, FLOW_FIELD_SOURCE_NAMES,
						  FLOW_FIELD_DESTINATION_NAMES };
	static const uint32_t endpoints[] = { FLOW_FIELD_SOURCE, FLOW_FIELD_DESTINATION };
	struct wire_reader r = wire_reader_of(buf_str(&p->parts[CHAIN_CORE]));

	for (struct wire_field x; wire_next(&r, &x);) {
		for (size_t i = 0; i < ARRAY_LEN(never_in_core); i++)
			assert_int_not_equal(x.number, never_in_core[i]);
		for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
			struct str label;
			if (x.number == endpoints[i])
				assert_false(wire_find(x.bytes, ENDPOINT_FIELD_LABELS, &label));
		}
		struct str dns;
		if (x.number == FLOW_FIELD_L7)
			assert_false(wire_find(x.bytes, L7_FIELD_DNS, &dns));
		if (x.number == FLOW_FIELD_SUMMARY)
			assert_false(str_has_prefix(x.bytes, STR("DNS ")));
	}
	assert_false(r.bad);
}

static void assert_parts_are_the_flow(const struct flow *f, const struct flow_dict *d)
{
	AUTO_BUF struct buf all = buf_init(MAX_BYTES), whole = buf_init(MAX_BYTES),
			    got = buf_init(MAX_BYTES), want = buf_init(MAX_BYTES);
	struct pieces p = pieces_of(f, d);

	struct str bytes[CHAIN_PARTS_];
	for (size_t i = 0; i < CHAIN_PARTS_; i++) {
		assert_false(p.parts[i].failed);
		bytes[i] = buf_str(&p.parts[i]);
	}
	chain_join(bytes, &all);
	flow_encode(&whole, f, d);
	normal_form(buf_str(&all), &got);
	normal_form(buf_str(&whole), &want);
	assert_bytes_equal(buf_str(&got), buf_str(&want));
	assert_kept_apart(&p);
	pieces_done(&p);
}

static void parts_of_made_flows_are_the_flow(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(4096);
	struct random r = random_of(__func__, 1);

	for (int i = 0; i < 5000; i++) {
		struct flow f = random_made(&r, d);
		assert_parts_are_the_flow(&f, d);
		pool_reset();
	}
}

/* The same flow as if it had been made here: its members, and in ext only what has no member. */
static struct flow made_of(const struct flow *f, struct buf *ext)
{
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	struct flow made = *f;

	for (struct wire_field x; wire_next(&r, &x);)
		switch (x.number) {
		case FLOW_FIELD_SOURCE_NAMES:
		case FLOW_FIELD_DESTINATION_NAMES:
		case FLOW_FIELD_L7:
		case FLOW_FIELD_TRACE_CONTEXT:
		case FLOW_FIELD_FILE:
		case FLOW_FIELD_TUNNEL:
		case FLOW_FIELD_EGRESS_ALLOWED_BY:
		case FLOW_FIELD_INGRESS_ALLOWED_BY:
		case FLOW_FIELD_EGRESS_DENIED_BY:
		case FLOW_FIELD_INGRESS_DENIED_BY:
		case FLOW_FIELD_POLICY_LOG:
		case FLOW_FIELD_AGGREGATE:
		case FLOW_FIELD_EXTENSIONS:
			buf_str_put(ext, x.raw);
			break;
		default:
			break;
		}
	made.bits &= ~(uint32_t)(FLOW_WHOLE | FLOW_HAS_SUMMARY);
	made.ext = (const uint8_t *)ext->p;
	made.ext_len = (uint32_t)ext->len;
	return made;
}

static size_t compare_file(FILE *in)
{
	const uint32_t odd = FLOW_ODD_TIME | FLOW_ODD_IP | FLOW_ODD_MAC | FLOW_ODD_UUID |
			     FLOW_ODD_L4 | FLOW_ODD_IFACE;
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	assert_int_equal(flow_dict_new(MAX_NAMES, &d, NULL), ERR_OK);
	AUTO(own_free) char *line = NULL;
	AUTO_BUF struct buf wire = buf_init(MAX_BYTES), ext = buf_init(MAX_BYTES);
	size_t room = 0, compared = 0;

	for (ssize_t len; (len = getline(&line, &room, in)) > 0;) {
		const struct json_options options = { 0 };
		struct flow_response response;
		struct flow f;
		buf_reset(&wire);
		buf_reset(&ext);
		if (json_read_message(str_n(line, (size_t)len), &observer__export_event__descriptor,
				      &options, &wire, NULL, NULL) != ERR_OK)
			continue; /* not JSON, by intent */
		assert_int_equal(flow_response_split(buf_str(&wire), &response, NULL), ERR_OK);
		if (!response.has_message)
			continue;
		if (response.kind != FLOW_KIND_FLOW) {
			f = (struct flow){ .kind = (uint8_t)response.kind,
					   .ext = (const uint8_t *)response.message.p,
					   .ext_len = (uint32_t)response.message.len };
			struct pieces p = pieces_of(&f, d);
			assert_bytes_equal(buf_str(&p.parts[CHAIN_CORE]), response.message);
			for (size_t i = CHAIN_ADDRESSES; i < CHAIN_PARTS_; i++)
				assert_int_equal(p.parts[i].len, 0);
			pieces_done(&p);
			continue;
		}
		assert_int_equal(flow_decode(response.message, d, &f, NULL), ERR_OK);
		assert_parts_are_the_flow(&f, d);
		if (!(f.bits & odd)) {
			struct flow made = made_of(&f, &ext);
			assert_parts_are_the_flow(&made, d);
		}
		compared++;
	}
	return compared;
}

static void parts_of_recorded_flows_are_the_flow(void **state)
{
	(void)state;
	assert_true(recorded_each("golden/flows", ".jsonl", compare_file) > 3000);
}

/* Two l7 fields merge, the last record wins: both go where DNS goes, so that the last stays last.
 */
static void l7_twice_with_dns_stays_in_order(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(16);
	static const char message[] = "\x7a\x06\xa2\x06\x03\x0a\x01" /* l7.dns.query: "x" */
				      "x"
				      "\x7a\x06\xaa\x06\x03\x12\x01" /* l7.http.method: "G" */
				      "G";
	struct flow f;

	assert_int_equal(flow_decode(str_n(message, sizeof message - 1), d, &f, NULL), ERR_OK);
	assert_parts_are_the_flow(&f, d);
	struct pieces p = pieces_of(&f, d);
	assert_int_equal(p.parts[CHAIN_CORE].len, 0);
	assert_int_equal(p.parts[CHAIN_DNS].len, sizeof message - 1);
	pieces_done(&p);
}

static void an_endpoint_of_labels_only_is_still_there_without_them(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(16);
	static const char message[] = "\x42\x03\x22\x01"
				      "a"; /* source.labels: "a" */
	struct flow f;

	assert_int_equal(flow_decode(str_n(message, sizeof message - 1), d, &f, NULL), ERR_OK);
	struct pieces p = pieces_of(&f, d);
	assert_bytes_equal(buf_str(&p.parts[CHAIN_CORE]), STR("\x42\x00"));
	assert_bytes_equal(buf_str(&p.parts[CHAIN_SOURCE_LABELS]),
			   str_n(message, sizeof message - 1));
	pieces_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_of_made_flows_are_the_flow),
		cmocka_unit_test(parts_of_recorded_flows_are_the_flow),
		cmocka_unit_test(l7_twice_with_dns_stays_in_order),
		cmocka_unit_test(an_endpoint_of_labels_only_is_still_there_without_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
