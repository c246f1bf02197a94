/* The language: expressions without a flow. What they yield is from the language definition
 * (cel-spec, doc/langdef.md) and, where that leaves it open, from cel-go's documentation of the
 * function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cel/cel.h"

static const struct flow nothing = { .kind = FLOW_KIND_FLOW };

struct row {
	const char *text;
	enum cel_answer answer;
	const char *why; /* of a fault */
};

#define YES(text)                                                                                  \
	{                                                                                          \
		text, CEL_YES, NULL                                                                \
	}
#define NO(text)                                                                                   \
	{                                                                                          \
		text, CEL_NO, NULL                                                                 \
	}
#define FAULT(text, why)                                                                           \
	{                                                                                          \
		text, CEL_FAULT, why                                                               \
	}

static bool holds(const struct row *row)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(cel_free) struct cel_program *p = NULL;
	struct str why = STR("");
	struct err e = { .msg = "" };

	assert_int_equal(flow_dict_new(1, &dict, &e), ERR_OK);
	if (cel_compile(str_of(row->text), &p, &e) != ERR_OK) {
		print_error("%s: %s\n", row->text, e.msg);
		return false;
	}
	enum cel_answer answer = cel_eval(p, &nothing, dict, &why);
	if (answer == row->answer && (!row->why || str_is(why, row->why)))
		return true;
	print_error("%s: answer %d, expected %d; %.*s\n", row->text, (int)answer, (int)row->answer,
		    STR_FMT(why));
	return false;
}

static void check_rows(const struct row *rows, size_t n)
{
	size_t failed = 0;

	for (size_t i = 0; i < n; i++)
		failed += !holds(&rows[i]);
	assert_int_equal(failed, 0);
}
#define CHECK(...)                                                                                 \
	do {                                                                                       \
		static const struct row rows_[] = { __VA_ARGS__ };                                 \
		check_rows(rows_, ARRAY_LEN(rows_));                                               \
	} while (0)

static void literals_are_what_they_say(void **state)
{
	(void)state;
	CHECK(YES("true"), NO("false"), YES("0x1F == 31"), YES("0xffu == 255u"), YES("7U == 7u"),
	      YES("1e3 == 1000.0"), YES(".5 == 0.5"), YES("1.5E-1 == 0.15"), YES("-0x10 == -16"),
	      YES("-9223372036854775808 < 0"), YES("18446744073709551615u > 0u"),
	      YES("null == null"), YES("'a' == \"a\""), YES("'''a\n'b''' == 'a\\n\\'b'"),
	      YES("\"\"\"a\"b\"\"\" == 'a\"b'"), YES("'' == \"\""), YES("'''''' == ''"),
	      YES("r'\\n' == '\\\\n'"), YES("R\"\\d\".size() == 2"),
	      YES("'\\x41\\u00e9\\U0001F600\\101'.size() == 4"),
	      YES("'\\a\\b\\f\\n\\r\\t\\v\\\\\\?\\`'.size() == 10"), YES("b'abc' == bytes('abc')"),
	      YES("b'\\xff'.size() == 1"), YES("B'\\377' == b'\\xff'"),
	      YES("'\\xff' == '\xc3\xbf'"), YES("br'\\n'.size() == 2"), YES("true // a comment\n"),
	      YES("\n\ttrue\f"), YES("[1, 2, 3,].size() == 3"), YES("{'a': 1,}.size() == 1"),
	      YES("[].size() == 0 && {}.size() == 0"));
}

static void operators_bind_as_in_c(void **state)
{
	(void)state;
	CHECK(YES("1 + 2 * 3 == 7"), YES("(1 + 2) * 3 == 9"), YES("10 - 4 - 3 == 3"),
	      YES("100 / 10 / 2 == 5"), YES("7 % 4 * 2 == 6"), YES("true || false && false"),
	      YES("!false && true"), YES("!!true"), YES("- -1 == 1"), YES("--1 == 1"),
	      YES("-(1) == -1"), YES("1 < 2 == true"), YES("false ? false : true"),
	      YES("true ? true : false ? false : false"), YES("1 - -1 == 2"), YES("2-1 == 1"),
	      YES("[1,2][1] == 2"), YES("'a' in ['a'] && !('b' in ['a'])"), YES("1 in {1: 'x'}"),
	      /* cel-go common/types/map.go: keys are told apart by their kind, and found by their
	       * own kind first, then as an int, then as a uint */
	      YES("size({0: 1, 0u: 2}) == 2"), YES("{0u: 2, 0: 1}[0] == 1"),
	      YES("{0u: 2, 0: 1}[0u] == 2"), YES("{0u: 2, 0: 1}[0.0] == 1"),
	      YES("dyn({0u: 2})[0] == 2"), YES("size({0: 1, 0: 2}) == 1"));
}

static void arithmetic_faults_where_it_overflows(void **state)
{
	(void)state;
	CHECK(FAULT("9223372036854775807 + 1 > 0", "integer overflow"),
	      FAULT("-9223372036854775808 - 1 > 0", "integer overflow"),
	      FAULT("9223372036854775807 * 2 > 0", "integer overflow"),
	      FAULT("-9223372036854775808 / -1 > 0", "integer overflow"),
	      FAULT("-(-9223372036854775808) > 0", "integer overflow"),
	      FAULT("0u - 1u > 0u", "unsigned integer overflow"),
	      FAULT("18446744073709551615u + 1u > 0u", "unsigned integer overflow"),
	      FAULT("1 / 0 == 1", "division by zero"), FAULT("1u / 0u == 1u", "division by zero"),
	      FAULT("1 % 0 == 1", "modulus by zero"), YES("-7 / 2 == -3"), YES("-7 % 2 == -1"),
	      YES("1.0 / 0.0 > 1e308"), YES("0.0 / 0.0 != 0.0 / 0.0"),
	      FAULT("0.0 / 0.0 < 1.0", "NaN values cannot be ordered"), YES("2.5 * 2.0 == 5.0"));
}

static void logic_absorbs_errors_on_either_side(void **state)
{
	(void)state;
	CHECK(YES("true || 1 / 0 == 1"), YES("1 / 0 == 1 || true"), NO("false && 1 / 0 == 1"),
	      NO("1 / 0 == 1 && false"), FAULT("1 / 0 == 1 && true", "division by zero"),
	      FAULT("false || 1 / 0 == 1", "division by zero"),
	      FAULT("1 / 0 == 1 || 1 % 0 == 1", "division by zero"),
	      YES("true ? true : 1 / 0 == 1"),
	      FAULT("1 / 0 == 1 ? true : true", "division by zero"),
	      FAULT("dyn(1) && true", "no such overload"), NO("dyn(1) && false"));
}

static void equality_looks_at_worth_not_type(void **state)
{
	(void)state;
	CHECK(YES("dyn(1) == 1u"), YES("dyn(1) == 1.0"), YES("dyn(2u) == 2.0"), NO("dyn(1) == '1'"),
	      YES("dyn(1) != 'a'"), NO("dyn(-1) == 18446744073709551615u"), YES("dyn(1) < 1.5"),
	      YES("dyn(-1) < 1u"), YES("dyn(3u) > -4"),
	      YES("dyn(9223372036854775807) < 9223372036854775808u"),
	      FAULT("dyn(1) < '1'", "no such overload"), YES("[1, 2] == [1, 2]"),
	      NO("[1, 2] == [2, 1]"), YES("dyn([1]) == [1.0]"),
	      YES("{'a': 1, 'b': 2} == {'b': 2, 'a': 1}"), NO("{'a': 1} == {'a': 2}"),
	      YES("dyn({1: 'x'}) == {1u: 'x'}"), YES("dyn(null) != 0"), YES("false < true"),
	      YES("'a' < 'b' && 'a' < 'aa' && 'Z' < 'a'"), YES("b'a' < b'\\xff'"),
	      YES("1u in [1u, 2u]"), YES("dyn(1u) in [1, 2]"), YES("null in [null]"));
}

static void strings_are_counted_in_characters(void **state)
{
	(void)state;
	CHECK(YES("size('\xc3\xa9\xf0\x9f\x98\x80') == 2"), YES("size(b'\xc3\xa9') == 2"),
	      YES("'hello'.contains('ell') && 'a'.contains('') && ''.contains('')"),
	      NO("'hello'.contains('elo')"),
	      YES("'hello'.startsWith('he') && !'hello'.startsWith('hello!')"),
	      YES("'hello'.endsWith('lo') && 'x'.endsWith('')"), YES("'a' + 'b' == 'ab'"),
	      YES("b'a' + b'b' == b'ab'"), YES("'foobar'.matches('o+b')"),
	      YES("matches('foobar', '^foo.*r$')"), NO("'foobar'.matches('^bar')"),
	      YES("'x'.matches('x' + '|y')"), YES("['a', 'b'].all(c, 'ab'.matches(c))"),
	      FAULT("'x'.matches('(')", "error parsing regexp: missing closing ): `(`"));
}

static void conversions_say_when_they_cannot(void **state)
{
	(void)state;
	CHECK(YES("int('-42') == -42 && int('+1') == 1"), YES("int(3.9) == 3 && int(-3.9) == -3"),
	      YES("int(42u) == 42"), FAULT("int(9223372036854775808u) > 0", "integer overflow"),
	      FAULT("int(1e19) > 0", "integer overflow"),
	      FAULT("int('x') > 0", "type conversion error from 'string' to 'int'"),
	      FAULT("int('') > 0", "type conversion error from 'string' to 'int'"),
	      YES("uint('7') == 7u && uint(7) == 7u && uint(7.9) == 7u"),
	      FAULT("uint(-1) > 0u", "unsigned integer overflow"),
	      FAULT("uint('-1') > 0u", "type conversion error from 'string' to 'uint'"),
	      YES("double('1e3') == 1000.0 && double(1) == 1.0 && double(2u) == 2.0"),
	      YES("double('-Inf') < 0.0 && double('0x1p4') == 16.0"),
	      FAULT("double('0x10') > 0.0", "type conversion error from 'string' to 'double'"),
	      FAULT("double('1e999') > 0.0", "type conversion error from 'string' to 'double'"),
	      FAULT("double('1.x') > 0.0", "type conversion error from 'string' to 'double'"),
	      YES("string(1) == '1' && string(1u) == '1' && string(-5) == '-5'"),
	      YES("string(1.5) == '1.5' && string(100000.0) == '100000' && string(0.1) == '0.1'"),
	      YES("string(1e6) == '1e+06' && string(1.25e-7) == '1.25e-07' && string(0.0) == '0'"),
	      YES("string(true) == 'true' && string('x') == 'x' && string(b'abc') == 'abc'"),
	      FAULT("string(b'\\xff') == ''", "invalid UTF-8 in bytes, cannot convert to string"),
	      YES("bool('true') && bool('T') && bool('1') && !bool('FALSE') && bool(true)"),
	      FAULT("bool('yes')", "type conversion error from 'string' to 'bool'"),
	      YES("bytes('\xc3\xa9').size() == 2"), YES("dyn(1) == 1"));
}

static void types_are_values(void **state)
{
	(void)state;
	CHECK(YES("type(1) == int"), YES("type(1u) == uint"), YES("type(1.0) == double"),
	      YES("type('') == string"), YES("type(b'') == bytes"), YES("type(true) == bool"),
	      YES("type(null) == null_type"), YES("type([]) == list"), YES("type({}) == map"),
	      YES("type(int) == type"), YES("type(type(1)) == type"), NO("type(1) == type(1u)"),
	      YES("type(timestamp(0)) == google.protobuf.Timestamp"),
	      YES("type(duration('1s')) == google.protobuf.Duration"),
	      YES("type(_flow) == flow.Flow && type(_flow) == Flow"),
	      YES("type(_flow.verdict) == int"), YES("type(_flow.source.identity) == uint"));
}

static void macros_walk_lists_and_keys(void **state)
{
	(void)state;
	CHECK(YES("[1, 2].all(x, x > 0)"), NO("[1, 0].all(x, x > 0)"), YES("[].all(x, false)"),
	      YES("[1, 2].exists(x, x == 2)"), NO("[].exists(x, true)"),
	      YES("[1, 2, 3].exists_one(x, x > 2)"), NO("[1, 2, 3].exists_one(x, x > 1)"),
	      YES("[1, 2].existsOne(x, x == 1)"), YES("[1, 2].map(x, x * 2) == [2, 4]"),
	      YES("[1, 2, 3].map(x, x > 1, x * x) == [4, 9]"),
	      YES("[1, 2, 3].filter(x, x % 2 == 1) == [1, 3]"),
	      YES("{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])"),
	      YES("{'a': 1}.map(k, k + '!') == ['a!']"), YES("{1: 2}.exists(k, k == 1)"),
	      YES("[[1], [2, 3]].exists(l, l.exists(x, x == 3))"),
	      YES("[1, 2].all(x, [3, 4].all(y, y > x))"),
	      YES("[1].all(x, [2].all(x, x == 2) && x == 1)"),
	      /* a variable stands before all that has its name */
	      YES("[{'DROPPED': 7}].all(Verdict, Verdict.DROPPED == 7)"),
	      YES("[{'DROPPED': 7}].all(Verdict, .flow.Verdict.DROPPED == 2)"),
	      YES("[5].all(_flow, _flow == 5)"), YES("[1].all(int, int(int) == 1)"),
	      /* as && and || do */
	      YES("[1, 0].exists(x, 1 / x > 5 || x == 1)"), YES("[0, 1].exists(x, 1 / x == 1)"),
	      NO("[0, 1].all(x, 1 / x > 1)"),
	      FAULT("[0, 1].all(x, 1 / x == 1)", "division by zero"),
	      FAULT("[0, 1].all(x, x == 0 ? 1 / 0 == 1 : 1 % 0 == 1)", "division by zero"),
	      /* these do not */
	      FAULT("[0, 1].exists_one(x, 1 / x == 1)", "division by zero"),
	      FAULT("[1, 0].filter(x, 1 / x == 1) == [1]", "division by zero"),
	      FAULT("[0].map(x, 1 / x) == []", "division by zero"),
	      FAULT("dyn(1).all(x, true)", "no such overload"),
	      YES("has({'a': 1}.a) && !has({'a': 1}.b)"), YES("{'a': {'b': 1}}.a.b == 1"));
}

static void elements_that_are_not_there_are_faults(void **state)
{
	(void)state;
	CHECK(FAULT("[1][1] == 1", "index out of bounds: 1"),
	      FAULT("[1][-1] == 1", "index out of bounds: -1"),
	      FAULT("[][0] == 1", "index out of bounds: 0"), YES("[1, 2][dyn(1.0)] == 2"),
	      YES("[1, 2][dyn(1u)] == 2"),
	      FAULT("[1][dyn(0.5)] == 1", "unsupported index value in list"),
	      FAULT("{'a': 1}['b'] == 1", "no such key: b"),
	      FAULT("{1: 1}[2] == 1", "no such key: 2"), FAULT("{'a': 1}.b == 1", "no such key: b"),
	      YES("{'a': 1}['a'] == 1"), YES("{true: 'x'}[true] == 'x'"),
	      FAULT("{dyn([]): 1}.size() == 1", "unsupported key type"),
	      YES("{'a': 1, 'a': 2}['a'] == 2"));
}

static void times_and_durations_have_arithmetic_and_parts(void **state)
{
	(void)state;
	CHECK(YES("timestamp('2024-02-29T12:34:56.789Z').getFullYear() == 2024"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getMonth() == 1"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getDate() == 29"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getDayOfMonth() == 28"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getDayOfYear() == 59"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getDayOfWeek() == 4"), /* a Thursday */
	      YES("timestamp('2024-02-29T12:34:56.789Z').getHours() == 12"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getMinutes() == 34"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getSeconds() == 56"),
	      YES("timestamp('2024-02-29T12:34:56.789Z').getMilliseconds() == 789"),
	      YES("timestamp('2024-02-29T23:00:00Z').getDate('+02:00') == 1"),
	      YES("timestamp('2024-02-29T01:00:00Z').getHours('-02:30') == 22"),
	      YES("timestamp('2024-02-29T01:00:00Z').getHours('05:30') == 6"),
	      YES("timestamp('2024-02-29T01:00:00Z').getHours('UTC') == 1"),
	      YES("timestamp('2024-01-15T12:00:00Z').getHours('America/New_York') == 7"),
	      YES("timestamp('2024-07-15T12:00:00Z').getHours('America/New_York') == 8"),
	      YES("['Europe/Berlin'].all(z, timestamp('2024-07-15T12:00:00Z').getHours(z) == 14)"),
	      FAULT("timestamp(0).getHours('Mars/Base') == 0", "unknown time zone Mars/Base"),
	      FAULT("timestamp(0).getHours('../../etc/passwd') == 0",
		    "unknown time zone ../../etc/passwd"),
	      FAULT("timestamp(0).getHours('01:77') == 0",
		    "timezone offset minutes out of range [0, 59]: 01:77"),
	      YES("timestamp('2024-01-01T02:00:00+02:00') == timestamp('2024-01-01T00:00:00Z')"),
	      YES("int(timestamp('1970-01-01T00:01:00Z')) == 60"),
	      YES("timestamp(60) > timestamp(59)"),
	      YES("string(timestamp('2024-01-01T00:00:00.120Z')) == '2024-01-01T00:00:00.12Z'"),
	      YES("timestamp('2024-01-01T00:00:00Z') + duration('90m') == "
		  "timestamp('2024-01-01T01:30:00Z')"),
	      YES("duration('1s') + timestamp(1) == timestamp(2)"),
	      YES("timestamp(0) - duration('1ns') < timestamp(0)"),
	      YES("timestamp(100) - timestamp(40) == duration('1m')"),
	      YES("duration('1h') - duration('1m') == duration('59m')"),
	      YES("duration('1h30m').getHours() == 1 && duration('1h30m').getMinutes() == 90"),
	      YES("duration('1m').getSeconds() == 60 && duration('1.5s').getMilliseconds() == "
		  "1500"),
	      YES("string(duration('1h')) == '3600s' && string(duration('1500ms')) == '1.5s'"),
	      YES("int(duration('1s')) == 1000000000"),
	      FAULT("timestamp('9999-12-31T23:59:59Z') + duration('1s') > timestamp(0)",
		    "timestamp overflow"),
	      FAULT("timestamp(253402300800) > timestamp(0)", "timestamp overflow"),
	      FAULT("timestamp('9999-01-01T00:00:00Z') - timestamp('0001-01-01T00:00:00Z') > "
		    "duration('0')",
		    "duration overflow"),
	      FAULT("duration('9000000000s') + duration('9000000000s') > duration('0')",
		    "duration overflow"),
	      FAULT("timestamp('yesterday') > timestamp(0)",
		    "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
	      FAULT("duration('1 hour') > duration('0')",
		    "type conversion error from 'string' to 'google.protobuf.Duration'"),
	      FAULT("duration(1) > duration('0')",
		    "type conversion error from 'int' to 'google.protobuf.Duration'"));
}

static void messages_are_made_and_compared(void **state)
{
	(void)state;
	CHECK(YES("Endpoint{namespace: 'a', labels: ['x', 'y']}.labels[1] == 'y'"),
	      YES("flow.Endpoint{identity: 7u} == Endpoint{identity: 7u}"),
	      NO("Endpoint{identity: 7u} == Endpoint{}"),
	      YES("Endpoint{identity: 0u} == Endpoint{}"), YES(".flow.Endpoint{}.pod_name == ''"),
	      NO("dyn(Endpoint{}) == Workload{}"),
	      YES("has(Endpoint{identity: 1u}.identity) && !has(Endpoint{identity: 0u}.identity)"),
	      YES("has(Layer4{TCP: TCP{}}.TCP) && !has(Layer4{TCP: TCP{}}.UDP)"),
	      NO("Layer4{TCP: TCP{}} == Layer4{UDP: UDP{}}"),
	      YES("Flow{verdict: Verdict.DROPPED}.verdict == 2"),
	      YES("Flow{is_reply: true}.is_reply && Flow{}.is_reply == null"),
	      YES("Flow{is_reply: null}.is_reply == null"),
	      YES("Flow{is_reply: google.protobuf.BoolValue{value: true}}.is_reply == true"),
	      YES("google.protobuf.UInt32Value{value: 3u} == 3u"),
	      YES("google.protobuf.Timestamp{seconds: 60} == timestamp(60)"),
	      YES("google.protobuf.Duration{seconds: 1, nanos: 5} == duration('1.000000005s')"),
	      YES("Flow{time: timestamp(5)}.time == timestamp(5)"),
	      YES("Flow{source: Endpoint{workloads: [Workload{kind: "
		  "'Job'}]}}.source.workloads.exists(w, w.kind == 'Job')"),
	      YES("LostEvent{cpu: 2}.cpu == 2 && LostEvent{}.cpu == null"),
	      YES("CiliumEventType{type: -5}.type == -5"),
	      YES("Endpoint{}.labels == [] && !has(Endpoint{}.labels)"),
	      FAULT("Endpoint{identity: dyn('x')} == Endpoint{}",
		    "unsupported type conversion of a field"),
	      FAULT("Endpoint{identity: uint(4294967296)} == Endpoint{}",
		    "unsupported type conversion of a field"),
	      YES("Flow{extensions: Endpoint{identity: 3u}}.extensions.identity == 3u"),
	      /* an Any that is not set is null, as Hubble 1.19.4 answers */
	      YES("Flow{}.extensions == null && !has(Flow{}.extensions)"),
	      YES("Tunnel.Protocol.GENEVE == 2 && flow.Tunnel.Protocol.VXLAN == 1"),
	      YES("Verdict.DROPPED == flow.Verdict.DROPPED && .flow.Verdict.DROPPED == 2"));
}

/* --- what does not compile ----------------------------------------------------------------- */

static const char *const starts =
	"{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, "
	"STRING, BYTES, IDENTIFIER}";

static void expect_refusal(const char *text, const char *sentence)
{
	AUTO(cel_free) struct cel_program *p = NULL;
	struct err e = { .msg = "" };

	assert_int_equal(cel_compile(str_of(text), &p, &e), ERR_INVALID);
	assert_null(p);
	if (!strstr(e.msg, sentence))
		fail_msg("%s:\n%s\nexpected: %s", text, e.msg, sentence);
}

static void what_does_not_parse_is_marked(void **state)
{
	char text[512];

	(void)state;
	expect_refusal("1 + ",
		       "ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting ");
	(void)snprintf(text, sizeof text, "1:5: Syntax error: mismatched input '+' expecting %s",
		       starts);
	expect_refusal("1 + +", text);
	expect_refusal("", "1:0: Syntax error: mismatched input '<EOF>'");
	expect_refusal("(true", "1:6: Syntax error: missing ')' at '<EOF>'\n | (true\n | .....^");
	expect_refusal("[1, 2", "1:6: Syntax error: mismatched input '<EOF>' expecting {']', ','}");
	expect_refusal("a[1", "1:4: Syntax error: missing ']' at '<EOF>'");
	expect_refusal("true true", "1:6: Syntax error: extraneous input 'true' expecting <EOF>");
	expect_refusal("a ? b", "1:6: Syntax error: mismatched input '<EOF>' expecting ':'");
	expect_refusal("a @ b", "1:3: Syntax error: token recognition error at: '@'");
	expect_refusal("a | b", "1:3: Syntax error: token recognition error at: '| '");
	expect_refusal("a = b", "1:3: Syntax error: token recognition error at: '= '");
	expect_refusal("'abc", "1:1: Syntax error: token recognition error at: ''abc'");
	expect_refusal("'ab\n'", "1:1: Syntax error: token recognition error at: ''ab\\n'");
	expect_refusal("'\\q'", "token recognition error at: ''\\q'");
	expect_refusal("a.", "1:3: Syntax error: no viable alternative at input '.'");
	expect_refusal("a.true", "1:3: Syntax error: mismatched input 'true' expecting IDENTIFIER");
	expect_refusal("while", "1:1: reserved identifier: while\n | while\n | ^");
	expect_refusal("if(1)", "1:1: reserved identifier: if");
	expect_refusal("9223372036854775808 > 0", "1:1: invalid int literal");
	expect_refusal("18446744073709551616u > 0u", "1:1: invalid uint literal");
	expect_refusal("1e999 > 0.0", "1:1: invalid double literal");
	expect_refusal("'\\ud800' == ''", "1:1: invalid unicode code point");
	expect_refusal("b'\\u0041' == b''", "1:1: unable to unescape string");
	expect_refusal("a.?b", "1:2: unsupported syntax '.?'");
	expect_refusal("a.`b`", "1:3: unsupported syntax: '`'");
	expect_refusal("has(a)", "1:5: invalid argument to has() macro");
	expect_refusal("has(has(a))", "1:9: invalid argument to has() macro");
	expect_refusal("[1].all(1, true)", "1:9: argument must be a simple name");
	expect_refusal("[1].map(a.b, true)", "1:10: argument is not an identifier");
	expect_refusal("[1].all(__result__, true)",
		       "1:9: iteration variable overwrites accumulator variable");
}

/* Source: cel-go parser/parser_test.go. */
static void mistakes_are_mended_as_the_generated_parser_does(void **state)
{
	char text[512];

	(void)state;
	(void)snprintf(text, sizeof text, "1:1: Syntax error: extraneous input '*' expecting %s",
		       starts);
	expect_refusal("*@a | b", text);
	expect_refusal("*@a", "ERROR: <input>:1:2: Syntax error: token recognition error at: '@'");
	expect_refusal(
		"{",
		"1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '}', '(', '.', "
		"',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, "
		"STRING, BYTES, IDENTIFIER}");
	expect_refusal("TestAllTypes(){}",
		       "1:15: Syntax error: mismatched input '{' expecting <EOF>");
	expect_refusal("TestAllTypes{}()",
		       "1:15: Syntax error: mismatched input '(' expecting <EOF>");
	expect_refusal("1 + 2\n3 +",
		       "2:1: Syntax error: mismatched input '3' expecting <EOF>\n | 3 +\n | ^");
	expect_refusal("{\"a\": 1}.\"a\"",
		       "1:10: Syntax error: no viable alternative at input '.\"a\"'");
	expect_refusal("self.true == 1",
		       "1:6: Syntax error: mismatched input 'true' expecting IDENTIFIER");
	expect_refusal("\"\\xFh\"", "1:1: Syntax error: token recognition error at: '\"\\xFh'");
	expect_refusal("\"\\xFh\"", "1:6: Syntax error: token recognition error at: '\"'");
	expect_refusal("func{{a}}",
		       "1:6: Syntax error: extraneous input '{' expecting {'}', ',', '?', "
		       "IDENTIFIER, ESC_IDENTIFIER}");
	expect_refusal("func{{a}}", "1:8: Syntax error: mismatched input '}' expecting ':'");
	expect_refusal("msg{:a}",
		       "1:5: Syntax error: extraneous input ':' expecting {'}', ',', '?', "
		       "IDENTIFIER, ESC_IDENTIFIER}");
	expect_refusal("msg{:a}", "1:7: Syntax error: mismatched input '}' expecting ':'");
	expect_refusal("x{.", "1:3: Syntax error: mismatched input '.' expecting {'}', ',', '?', "
			      "IDENTIFIER, ESC_IDENTIFIER}");
	expect_refusal("{a}", "1:3: Syntax error: mismatched input '}' expecting ':'");
	expect_refusal("ind[a{b}]", "1:8: Syntax error: mismatched input '}' expecting ':'");
	expect_refusal("--", "1:3: Syntax error: no viable alternative at input '-'");
	expect_refusal("-!a", "1:2: Syntax error: no viable alternative at input '-!'");
	expect_refusal("{} || true", "expected type 'bool' but found 'map(_var0, _var1)'");
	expect_refusal("?", "1:1: Syntax error: mismatched input '?' expecting ");
	expect_refusal("in", "1:1: Syntax error: mismatched input 'in' expecting ");
	expect_refusal("[?a, ?b]", "1:2: unsupported syntax '?'\n | [?a, ?b]\n | .^\n"
				   "ERROR: <input>:1:6: unsupported syntax '?'");
	expect_refusal("a.?b && a[?b]", "1:10: unsupported syntax '[?'");
	expect_refusal("Msg{?field: value} && {?'key': value}", "1:24: unsupported syntax '?'");
	expect_refusal("[1, 2, 3].map(var, var * var)",
		       "1:15: reserved identifier: var\n"
		       " | [1, 2, 3].map(var, var * var)\n"
		       " | ..............^\n"
		       "ERROR: <input>:1:15: argument is not an identifier\n"
		       " | [1, 2, 3].map(var, var * var)\n"
		       " | ..............^\n"
		       "ERROR: <input>:1:20: reserved identifier: var");
	expect_refusal("'\xf0\x9f\x98\x81' in [] && in.\xf0\x9f\x98\x81",
		       "1:17: Syntax error: token recognition error at: '\xf0\x9f\x98\x81'\n"
		       " | '\xf0\x9f\x98\x81' in [] && in.\xf0\x9f\x98\x81\n"
		       " | .\xef\xbc\x8e..............\xef\xbc\xbe\n"
		       "ERROR: <input>:1:18: Syntax error: no viable alternative at input '.'");
}

static void what_has_no_type_is_marked(void **state)
{
	(void)state;
	expect_refusal("foo",
		       "ERROR: <input>:1:1: undeclared reference to 'foo' (in container 'flow')\n"
		       " | foo\n"
		       " | ^");
	expect_refusal("foo(1)", "1:4: undeclared reference to 'foo' (in container 'flow')");
	expect_refusal("foo(x)", "1:4: undeclared reference to 'foo' (in container 'flow')\n"
				 " | foo(x)\n"
				 " | ...^\n"
				 "ERROR: <input>:1:5: undeclared reference to 'x'");
	expect_refusal("'a'.foo()", "1:8: undeclared reference to 'foo' (in container 'flow')");
	expect_refusal("Nope{}", "1:5: undeclared reference to 'Nope' (in container 'flow')");
	expect_refusal("Endpoint{nope: 1} == Endpoint{}", "1:14: undefined field 'nope'");
	expect_refusal(
		"Endpoint{identity: 1} == Endpoint{}",
		"1:18: expected type of field 'identity' is 'uint' but provided type is 'int'");
	expect_refusal("_flow.nodeName == ''", "1:6: undefined field 'nodeName'");
	expect_refusal("1 + 'a' == 2",
		       "1:3: found no matching overload for '_+_' applied to '(int, string)'");
	expect_refusal("1 + 1u == 2",
		       "found no matching overload for '_+_' applied to '(int, uint)'");
	expect_refusal("1 < 1u", "found no matching overload for '_<_' applied to '(int, uint)'");
	expect_refusal("1 == 1u", "found no matching overload for '_==_' applied to '(int, uint)'");
	expect_refusal("1 && true", "1:1: expected type 'bool' but found 'int'");
	expect_refusal("true || 'a' && 1u",
		       "1:9: expected type 'bool' but found 'string'\n"
		       " | true || 'a' && 1u\n"
		       " | ........^\n"
		       "ERROR: <input>:1:16: expected type 'bool' but found 'uint'");
	expect_refusal("!1", "1:1: found no matching overload for '!_' applied to '(int)'");
	expect_refusal("1 in [true]", "applied to '(int, list(bool))'");
	expect_refusal("'a'.contains(1)",
		       "1:13: found no matching overload for 'contains' applied to 'string.(int)'");
	expect_refusal("size(1) == 1", "'size' applied to '(int)'");
	expect_refusal("size('a', 'b', 'c', 'd') == 1",
		       "applied to '(string, string, string, string)'");
	expect_refusal("1 ? true : false", "'_?_:_' applied to '(int, bool, bool)'");
	expect_refusal("true ? 1 : 'a'", "'_?_:_' applied to '(bool, int, string)'");
	expect_refusal("[1].all(x, x)", "1:12: expected type 'bool' but found 'int'");
	/* Source of these: cel-go checker/checker_test.go */
	expect_refusal(
		"Flow{}.all(e, 0)",
		"1:5: expression of type 'flow.Flow' cannot be range of a comprehension (must be "
		"list, map, or dynamic)\n"
		" | Flow{}.all(e, 0)\n"
		" | ....^\n"
		"ERROR: <input>:1:15: expected type 'bool' but found 'int'");
	expect_refusal("[].map(x, [].map(y, x in y && y in x))",
		       "1:33: found no matching overload for '@in' applied to '(list(dyn), dyn)'");
	expect_refusal("[].length", "1:3: type 'list(_var0)' does not support field selection");
	expect_refusal("_flow.socket_cookie != null",
		       "1:21: found no matching overload for '_!=_' applied to '(uint, null)'");
	expect_refusal(
		"[Flow{}][1u] == 1",
		"1:9: found no matching overload for '_[_]' applied to '(list(flow.Flow), uint)'");
	expect_refusal("[1].filter(x, x) == []",
		       "'_?_:_' applied to '(int, list(int), list(int))'");
	expect_refusal(
		"'abc'.all(x, true)",
		"1:1: expression of type 'string' cannot be range of a comprehension (must be "
		"list, map, or dynamic)");
	expect_refusal("'a'.b == 'c'", "1:4: type 'string' does not support field selection");
	expect_refusal("_flow == null && _flow.time < 1", "applied to '(timestamp, int)'");
	expect_refusal("int{} == 1", "1:4: 'int' is not a message type");
	expect_refusal("x +\n\ty",
		       "ERROR: <input>:1:1: undeclared reference to 'x' (in container 'flow')\n"
		       " | x +\n"
		       " | ^\n"
		       "ERROR: <input>:2:2: undeclared reference to 'y' (in container 'flow')\n"
		       " |  y\n"
		       " | .^");
	/* marks are as wide as what stands above them */
	expect_refusal("'\xe5\xa4\xa7' == x", " | '\xe5\xa4\xa7' == x\n | .\xef\xbc\x8e.....^");
}

static void a_result_must_be_a_bool(void **state)
{
	static const char *const rows[][2] = {
		{ "1", "int" },
		{ "_flow", "flow.Flow" },
		{ "[1]", "list(int)" },
		{ "{'a': dyn(1)}", "map(string, dyn)" },
		{ "_flow.time", "google.protobuf.Timestamp" },
		{ "_flow.is_reply", "wrapper(bool)" },
		{ "dyn(true)", "dyn" },
		{ "dyn(1) + dyn(2)", "dyn" },
		{ "dyn(1) + 2", "int" },
		{ "null", "null_type" },
		{ "[]", "list(dyn)" },
		{ "[1, 'a']", "list(dyn)" },
		{ "type(1)", "type(int)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char sentence[128];

		(void)snprintf(sentence, sizeof sentence, "got \"%s\", wanted \"bool\" result type",
			       rows[i][1]);
		expect_refusal(rows[i][0], sentence);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_are_what_they_say),
		cmocka_unit_test(operators_bind_as_in_c),
		cmocka_unit_test(arithmetic_faults_where_it_overflows),
		cmocka_unit_test(logic_absorbs_errors_on_either_side),
		cmocka_unit_test(equality_looks_at_worth_not_type),
		cmocka_unit_test(strings_are_counted_in_characters),
		cmocka_unit_test(conversions_say_when_they_cannot),
		cmocka_unit_test(types_are_values),
		cmocka_unit_test(macros_walk_lists_and_keys),
		cmocka_unit_test(elements_that_are_not_there_are_faults),
		cmocka_unit_test(times_and_durations_have_arithmetic_and_parts),
		cmocka_unit_test(messages_are_made_and_compared),
		cmocka_unit_test(what_does_not_parse_is_marked),
		cmocka_unit_test(mistakes_are_mended_as_the_generated_parser_does),
		cmocka_unit_test(what_has_no_type_is_marked),
		cmocka_unit_test(a_result_must_be_a_bool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
