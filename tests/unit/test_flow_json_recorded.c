/* JSON read and written, against recordings: the reference's output for flow files, to the byte, and
 * protobuf-c as an oracle for what lies between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/json.h"
#include "observer/observer.pb-c.h"
#include "recorded.h"

#define RESPONSE (&observer__get_flows_response__descriptor)

static const struct json_options strict = { .reject_unknown = true };
static const struct json_options lax = { .reject_unknown = false };

/* As the reference reads a file: strictly, until a line is fine but for what is unknown. */
static bool read_line(struct str line, bool *reading_lax, struct buf *wire)
{
	bool unknown = false;

	if (line.len && line.p[line.len - 1] == '\r')
		line.len--;
	buf_reset(wire);
	if (json_read_message(line, RESPONSE, *reading_lax ? &lax : &strict, wire, &unknown,
			      NULL) == ERR_OK)
		return true;
	if (*reading_lax || !unknown ||
	    json_read_message(line, RESPONSE, &lax, wire, NULL, NULL) != ERR_OK)
		return false;
	*reading_lax = true;
	return true;
}

static void json_is_the_references_to_the_byte(void **state)
{
	static const char *const cases[][2] = {
		{ "flows/kinds.jsonl", "print/print-0004" },
		{ "flows/hosts.jsonl", "print/print-0017" },
		{ "flows/terminal.jsonl", "print/print-0035" },
		{ "flows/l4.jsonl", "print/print-0065" },
		{ "flows/lost.jsonl", "print/print-0071" },
		{ "flows/types.jsonl", "print/print-0084" },
		{ "flows/variants.jsonl", "print/print-0100" },
		{ "flows/misc.jsonl", "print/print-0109" },
		{ "flows/ext.jsonl", "print/print-0125" },
		{ "flows/labels.jsonl", "print/print-0140" },
		{ "flows/time.jsonl", "print/print-0153" },
		{ "flows/small.jsonl", "print/print-0168" },
		{ "flows/policy.jsonl", "color/color-0021" },
		{ "flows/export-events.jsonl", "events/events-0013" },
		{ "flows/malformed.jsonl", "malformed/malformed-0066" },
		{ "flows/bad/any.jsonl", "malformed/malformed-0002" },
		{ "flows/bad/bad-enum.jsonl", "malformed/malformed-0004" },
		{ "flows/bad/blank.jsonl", "malformed/malformed-0008" },
		{ "flows/bad/crlf.jsonl", "malformed/malformed-0012" },
		{ "flows/bad/deep-nesting.jsonl", "malformed/malformed-0014" },
		{ "flows/bad/duplicate.jsonl", "malformed/malformed-0008" },
		{ "flows/bad/not-json.jsonl", "malformed/malformed-0008" },
		{ "flows/bad/oneof.jsonl", "malformed/malformed-0034" },
		{ "flows/bad/pretty.jsonl", "malformed/malformed-0036" },
		{ "flows/bad/strings.jsonl", "malformed/malformed-0040" },
		{ "flows/bad/syntax.jsonl", "malformed/malformed-0008" },
		{ "flows/bad/truncated.jsonl", "malformed/malformed-0008" },
		{ "flows/bad/unknown-field.jsonl", "malformed/malformed-0050" },
		{ "flows/bad/wrong-type-flow.jsonl", "malformed/malformed-0008" },
		{ "flows/bad/wrong-type-scalar.jsonl", "malformed/malformed-0054" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf in = recorded_read("golden/%s", cases[i][0]);
		AUTO_BUF struct buf out = buf_init(SIZE_MAX);
		AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
		AUTO_BUF struct buf expected =
			recorded_read("golden/expected/%s.stdout", cases[i][1]);
		bool reading_lax = false;
		struct str line, rest = str_trim(buf_str(&in));
		while (str_split(&rest, '\n', &line)) {
			/* what is neither flow nor loss is not printed on standard output */
			if (!read_line(line, &reading_lax, &wire))
				continue;
			Observer__GetFlowsResponse *r = observer__get_flows_response__unpack(
				NULL, wire.len, (const uint8_t *)wire.p);
			assert_non_null(r);
			bool shown =
				r->response_types_case ==
					OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_FLOW ||
				r->response_types_case ==
					OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_LOST_EVENTS;
			observer__get_flows_response__free_unpacked(r, NULL);
			if (!shown)
				continue;
			assert_int_equal(json_put_message(&out, RESPONSE, buf_str(&wire), NULL),
					 ERR_OK);
			buf_char(&out, '\n');
		}
		if (!str_eq(buf_str(&out), buf_str(&expected)))
			fail_msg("%s is not %s", cases[i][0], cases[i][1]);
	}
}

static void bytes_are_those_protobuf_c_would_understand(void **state)
{
	static const char *const files[] = { "flows/real.jsonl", "flows/synthetic.jsonl",
					     "flows/export-events.jsonl" };
	(void)state;

	/* read, unpacked and packed by protobuf-c, written: the same as written at once */
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_BUF struct buf in = recorded_read("golden/%s", files[i]);
		AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
		AUTO_BUF struct buf again = buf_init(SIZE_MAX);
		AUTO_BUF struct buf direct = buf_init(SIZE_MAX);
		AUTO_BUF struct buf packed = buf_init(SIZE_MAX);
		struct str line, rest = str_trim(buf_str(&in));
		while (str_split(&rest, '\n', &line)) {
			const ProtobufCMessageDescriptor *desc =
				&observer__export_event__descriptor;
			if (memmem(line.p, line.len, "\\u0000", 6))
				continue; /* protobuf-c's strings end at a NUL */
			buf_reset(&wire);
			buf_reset(&again);
			buf_reset(&direct);
			buf_reset(&packed);
			assert_int_equal(json_read_message(line, desc, &strict, &wire, NULL, NULL),
					 ERR_OK);
			assert_int_equal(json_put_message(&direct, desc, buf_str(&wire), NULL),
					 ERR_OK);
			ProtobufCMessage *m = protobuf_c_message_unpack(desc, NULL, wire.len,
									(const uint8_t *)wire.p);
			assert_non_null(m);
			size_t length = protobuf_c_message_get_packed_size(m);
			char *to = buf_reserve(&packed, length);
			assert_non_null(to);
			packed.len = protobuf_c_message_pack(m, (uint8_t *)to);
			protobuf_c_message_free_unpacked(m, NULL);
			assert_int_equal(json_put_message(&again, desc, buf_str(&packed), NULL),
					 ERR_OK);
			assert_string_equal(buf_cstr(&again), buf_cstr(&direct));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_the_references_to_the_byte),
		cmocka_unit_test(bytes_are_those_protobuf_c_would_understand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
