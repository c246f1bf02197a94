/* Records read from their lines, in the quick way and in the general one: never another record, and
 * never from a line that would not be written so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/fields.h"
#include "flow/wire.h"
#include "flow_random.h"
#include "record/line.h"
#include "record/render.h"

enum { MAX_BYTES = 1 << 24, FLOWS = 1500, FLIPS = 8 };

/* One record. */
struct one {
	struct buf parts[CHAIN_PARTS_];
};

static void one_done(struct one *o)
{
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&o->parts[i]);
}

static struct one one_of(const struct flow *f, const struct flow_dict *d)
{
	struct one o;

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		o.parts[i] = buf_init(MAX_BYTES);
	chain_split(f, d, o.parts);
	return o;
}

/* Parts as render.h writes them; false if they are no flow. */
static bool write_parts(struct renderer *r, const struct str parts[CHAIN_PARTS_], struct buf *line)
{
	buf_reset(line);
	return renderer_take(r, parts, NULL) == ERR_OK && render_json(r, line, NULL) == ERR_OK;
}

static bool written(struct renderer *r, const struct one *o, struct buf *line)
{
	struct str parts[CHAIN_PARTS_];

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		parts[i] = buf_str(&o->parts[i]);
	return write_parts(r, parts, line);
}

struct world {
	struct renderer *renderer;
	struct line_parser *usual, *general;
	struct flow_dict *dict;
	struct buf line, other;
	char *core; /* room for one */
	size_t core_bytes, cores_put;
};

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	assert_int_equal(renderer_new(&w->renderer, NULL), ERR_OK);
	assert_int_equal(line_parser_new(&w->usual, NULL), ERR_OK);
	assert_int_equal(line_parser_new(&w->general, NULL), ERR_OK);
	w->dict = dict_of(1 << 16);
	w->line = w->other = buf_init(MAX_BYTES);
	*state = w;
	return 0;
}

static int world_remove(void **state)
{
	struct world *w = *state;

	renderer_free(w->renderer);
	line_parser_free(w->usual);
	line_parser_free(w->general);
	flow_dict_free(w->dict);
	buf_done(&w->line);
	buf_done(&w->other);
	free(w->core);
	free(w);
	return 0;
}

/* Both ways read the same of @text, and it is what would be written of that; whether or not there is
 * room for the core where the caller wants it. */
static bool read_both(struct world *w, struct str text, struct line_record *ret)
{
	enum { ROOM_MAX = 1200, STEP = 37 };
	struct line_record again;

	w->core_bytes = (w->core_bytes + STEP) % ROOM_MAX;
	free(w->core);
	w->core = malloc(w->core_bytes + 1); /* no more, for the address sanitizer */
	assert_non_null(w->core);
	bool is_read = line_parse_to(w->usual, text, w->core, w->core_bytes, ret);
	w->cores_put += is_read && ret->parts[CHAIN_CORE].p == w->core;

	assert_int_equal(line_parse_generally(w->general, text, &again), is_read);
	if (!is_read)
		return false;
	assert_int_equal(again.len, ret->len);
	for (size_t p = 0; p < CHAIN_PARTS_; p++)
		assert_bytes_equal(ret->parts[p], again.parts[p]);
	assert_true(write_parts(w->renderer, ret->parts, &w->other));
	assert_bytes_equal(str_upto(text, ret->len), buf_str(&w->other));
	return true;
}

static bool says(struct world *w, struct str text, const struct one *o)
{
	struct line_record said;

	if (!read_both(w, text, &said))
		return false;
	for (size_t p = 0; p < CHAIN_PARTS_; p++)
		if (!str_eq(said.parts[p], buf_str(&o->parts[p])))
			return false;
	return true;
}

/* The line says this record, and the parts are the record's to the byte. */
static void assert_says(struct world *w, struct str text, const struct one *o)
{
	struct line_record said;

	assert_true(read_both(w, text, &said));
	for (size_t p = 0; p < CHAIN_PARTS_; p++)
		assert_bytes_equal(said.parts[p], buf_str(&o->parts[p]));
}

static void assert_refused(struct world *w, struct str text)
{
	struct line_record said;

	assert_false(read_both(w, text, &said));
}

static void whatever_is_read_would_be_written_so(void **state)
{
	struct world *w = *state;
	struct random r = random_of(__func__, 1);
	size_t told = 0;

	for (int i = 0; i < FLOWS; i++) {
		struct flow f = random_made(&r, w->dict);
		struct one o = one_of(&f, w->dict);
		struct line_record said;
		pool_reset();
		if (!written(w->renderer, &o, &w->line))
			fail_msg("flow %d cannot be written", i);
		told += says(w, buf_str(&w->line), &o);
		/* Each once more: now it is remembered. */
		(void)read_both(w, buf_str(&w->line), &said);
		for (int k = 0; k < FLIPS; k++) {
			size_t at = random_below(&r, w->line.len);
			char was = w->line.p[at];
			w->line.p[at] = (char)(was ^ 1 << random_below(&r, 8));
			assert_false(says(w, buf_str(&w->line), &o));
			w->line.p[at] = was;
			assert_refused(w, str_upto(buf_str(&w->line), at));
		}
		one_done(&o);
	}
	/* Random flows are odder than real ones: text that is no UTF-8, fields in any order. */
	assert_true(told > FLOWS / 50);
}

/* As an observer makes them. */
static struct flow ordinary(struct world *w, uint16_t port, struct str pod)
{
	const struct str labels[] = { STR("k8s:app=cart"), STR("reserved:\"quoted\" <&>") };
	const struct endpoint src = { .id = 7,
				      .identity = 4711,
				      .namespace_ = STR("shop"),
				      .pod = pod,
				      .labels = labels,
				      .label_count = 2 };
	const struct node node = { .name = STR("edge/worker-1"),
				   .emitter_name = STR("Tycho"),
				   .emitter_version = STR("0.1.0") };
	struct flow f = { .seq = port,
			  .time.v = 1709632000 * NS_PER_S + 123456789,
			  .uuid = { 0x13112375fccc4a98, 0x85303e89644c4b05 },
			  .bits = FLOW_HAS_TIME | FLOW_HAS_UUID | FLOW_HAS_ETHERNET | FLOW_HAS_IP |
				  FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_TCP_FLAGS |
				  FLOW_HAS_EVENT_TYPE,
			  .verdict = 1,
			  .type = 1,
			  .l4 = FLOW_L4_TCP,
			  .ip_version = 1,
			  .is_reply = FLOW_REPLY_FALSE,
			  .src_port = port,
			  .dst_port = 443,
			  .tcp_flags = FLOW_TCP_SYN,
			  .src_ep = flow_dict_endpoint(w->dict, &src),
			  .node = flow_dict_node(w->dict, &node),
			  .packets = 3,
			  .bytes = 4500 };

	ip_from_v4(f.src_ip, (uint8_t[]){ 10, 0, 0, 1 });
	ip_from_v4(f.dst_ip, (uint8_t[]){ 192, 0, 2, 1 });
	return f;
}

static void ordinary_lines_say_their_records(void **state)
{
	struct world *w = *state;

	for (uint16_t port = 1; port < 5000; port = (uint16_t)(port + 7)) {
		struct flow f = ordinary(w, port, port % 2 ? STR("cart-1") : STR("cart-2"));
		struct one o = one_of(&f, w->dict);
		assert_true(written(w->renderer, &o, &w->line));
		buf_lit(&w->line, "{\"flow\":{}}\n"); /* and the next */
		assert_says(w, buf_str(&w->line), &o);
		one_done(&o);
	}
}

/* Times of all lengths, and what comes next to them. */
static void times_have_three_digits_more_or_none(void **state)
{
	static const uint64_t ns[] = { 0,         1,         10,       100,       1000,
				       12000,     999000,    1000000,  120000000, 100000000,
				       999999999, 999999000, 123456789 };
	static const uint64_t seconds[] = { 0, 1, 1709632000, 1709632001, 4102444799 };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(ns) * ARRAY_LEN(seconds); i++) {
		struct flow f = ordinary(w, 80, STR("cart-1"));
		f.time.v = seconds[i / ARRAY_LEN(ns)] * NS_PER_S + ns[i % ARRAY_LEN(ns)];
		struct one o = one_of(&f, w->dict);
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		one_done(&o);
	}
}

/* The same time with more digits, or fewer, wherever the line says it. */
static void a_time_is_written_in_one_way(void **state)
{
	static const char *const ways[] = { ".120000000Z", ".120000Z", ".12Z",  ".1200Z",
					    "Z",           ".Z",       ".000Z", ".120z" };
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));

	f.time.v = 1709632000 * NS_PER_S + 120000000;
	struct one o = one_of(&f, w->dict);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		AUTO_BUF struct buf changed = buf_init(MAX_BYTES);
		size_t count = 0;
		assert_true(written(w->renderer, &o, &w->line));
		struct str rest = buf_str(&w->line);
		for (const char *at; (at = memmem(rest.p, rest.len, ".120Z", 5)); count++) {
			buf_str_put(&changed, str_upto(rest, (size_t)(at - rest.p)));
			buf_str_put(&changed, str_of(ways[i]));
			rest = str_from(rest, (size_t)(at - rest.p) + 5);
		}
		assert_int_equal(count, 2);
		buf_str_put(&changed, rest);
		assert_false(says(w, buf_str(&changed), &o));
	}
	one_done(&o);
}

/* The same with another member in one place of the line, where there is one: @old becomes @new. */
static void assert_change_is_refused(struct world *w, const struct one *o, const char *old,
				     const char *new)
{
	AUTO_BUF struct buf changed = buf_init(MAX_BYTES);

	assert_true(written(w->renderer, o, &w->line));
	struct str line = buf_str(&w->line);
	const char *at = memmem(line.p, line.len, old, strlen(old));
	if (!at)
		fail_msg("no %s in %.*s", old, STR_FMT(line));
	buf_str_put(&changed, str_upto(line, (size_t)(at - line.p)));
	buf_str_put(&changed, str_of(new));
	buf_str_put(&changed, str_from(line, (size_t)(at - line.p) + strlen(old)));
	for (int i = 0; i < 2; i++)
		assert_refused(w, buf_str(&changed));
}

/* Other words for the same record. */
static void a_record_has_one_line(void **state)
{
	static const char *const changes[][2] = {
		{ "\"verdict\":\"FORWARDED\"", "\"verdict\":1" },
		{ "\"verdict\":\"FORWARDED\",", "\"verdict\":\"FORWARDED\",," },
		{ "\"verdict\":\"FORWARDED\",", "\"verdict\":\"FORWARDED\", " },
		{ "\"verdict\":\"FORWARDED\",", "\"verdict\":\"FORWARDED\"" },
		{ "\"verdict\":\"FORWARDED\",",
		  "\"verdict\":\"FORWARDED\",\"verdict\":\"FORWARDED\"," },
		{ "\"verdict\":\"FORWARDED\",", "\"drop_reason\":0,\"verdict\":\"FORWARDED\"," },
		{ "\"verdict\":\"FORWARDED\",", "\"verdict\":\"FORWARDED\",\"drop_reason\":0," },
		{ "\"verdict\":\"FORWARDED\",", "\"verdict\":\"FORWARDED\",\"unheard_of\":1," },
		{ "\"source_port\":4000", "\"source_port\":04000" },
		{ "\"source_port\":4000", "\"source_port\":4000.0" },
		{ "\"source_port\":4000", "\"source_port\":4e3" },
		{ "\"source_port\":4000", "\"source_port\":\"4000\"" },
		{ "\"source_port\":4000", "\"sourcePort\":4000" },
		{ "\"source_port\":4000,", "" /* and it says another record */ },
		{ "\"source_port\":4000,\"destination_port\":443",
		  "\"destination_port\":443,\"source_port\":4000" },
		{ "\"source_port\":4000", "\"source_port\":0" },
		{ "\"source_port\":4000", "\"source_port\":4294967296" },
		{ "\"SYN\":true", "\"SYN\":true,\"ACK\":false" },
		{ "\"SYN\":true", "\"SYN\":true,\"SYN\":true" },
		{ "\"SYN\":true", "\"SYN\":true,\"FIN\":true" },
		{ "\"SYN\":true", "\"SYN\":true;\"ACK\":true" },
		{ "\"SYN\":true", "\"SYN\":trux" },
		{ "\"SYN\":true", "\"SYN\":true," },
		{ "\"packets\":\"3\"", "\"packets\":3" },
		{ "\"packets\":\"3\"", "\"packets\":\"+3\"" },
		{ "\"packets\":\"3\"", "\"packets\":\"0\"" },
		{ "\"packets\":\"3\"", "\"packets\":\"18446744073709551616\"" },
		{ "\"bytes\":\"4500\"", "\"bytes\":\"4500\",\"netns\":0" },
		{ "\"bytes\":\"4500\"", "\"bytes\":\"4500\",\"netns\":4294967296" },
		{ "\"ipVersion\":\"IPv4\"", "\"ipVersion\":\"IPv4\",\"encrypted\":false" },
		{ "cart-1", "cart\\u002d1" },
		{ "192.0.2.1", "192.0.2\\u002e1" },
		{ "\"is_reply\":false", "\"is_reply\":null" },
		{ "\"is_reply\":false,\"Summary\":\"TCP Flags: SYN\"",
		  "\"Summary\":\"TCP Flags: SYN\",\"is_reply\":false" },
		{ "{\"flow\":{\"time\"", "{\"flow\": {\"time\"" },
		{ ".123456789Z", ".12345678900Z" },
		{ ".123456789Z\",\"uuid\"", ".123456789+00:00\",\"uuid\"" },
		{ "}},\"node_name\":", "},},\"node_name\":" },
		{ "}},\"node_name\":\"edge/worker-1\",", "}}," },
		{ "}},\"node_name\":\"edge/worker-1\"", "}},\"node_name\":\"edge/worker-2\"" },
		{ "Z\"}\n", "Z\"} \n" },
	};
	struct world *w = *state;
	struct flow f = ordinary(w, 4000, STR("cart-1"));
	struct one o = one_of(&f, w->dict);

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		if (changes[i][1][0])
			assert_change_is_refused(w, &o, changes[i][0], changes[i][1]);
	}
	one_done(&o);
}

static void ports_flags_and_counts_are_read(void **state)
{
	static const uint16_t ports[] = { 1, 9, 127, 128, 16383, 16384, 65535 };
	static const uint64_t counts[] = { 1, 127, 128, UINT32_MAX, UINT64_MAX };
	struct world *w = *state;

	for (unsigned i = 0; i < 1 << 9; i++) {
		struct flow f = ordinary(w, ports[i % ARRAY_LEN(ports)], STR("cart-1"));
		f.l4 = i % 5 ? FLOW_L4_TCP : FLOW_L4_UDP;
		f.tcp_flags = i % 5 ? (uint16_t)i : 0;
		f.dst_port = ports[i / 7 % ARRAY_LEN(ports)];
		f.packets = counts[i % ARRAY_LEN(counts)];
		f.bytes = counts[i / 5 % ARRAY_LEN(counts)];
		f.netns = i % 3 ? UINT32_MAX / i : 0;
		struct one o = one_of(&f, w->dict);
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		one_done(&o);
	}
}

/* As much as there is room for, and more. */
static void texts_of_any_length_are_read(void **state)
{
	enum { MOST = 70000, STEP = 4973 };
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));
	AUTO_BUF struct buf text = buf_init(MOST + 1);

	for (size_t len = 1; len <= MOST; len = len < 65000 || len > 66000 ? len + STEP : len + 37)
		for (int escapes = 0; escapes < 3; escapes++) {
			struct one o = one_of(&f, w->dict);
			buf_reset(&text);
			for (size_t i = 0; i < len; i++)
				buf_char(&text,
					 escapes == 2 || (escapes && i == len / 2) ? '<' : 'x');
			wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_DESTINATION_NAMES,
				     buf_str(&text));
			assert_true(written(w->renderer, &o, &w->line));
			assert_says(w, buf_str(&w->line), &o);
			one_done(&o);
		}
}

/* Addresses and names stand in quotes: what would need an escape is not taken as it is, wherever it
 * stands in a text of whatever length. */
static void text_that_json_escapes_is_not_taken_as_it_is(void **state)
{
	static const char odd[] = "\"\\<>&\n\001\037\200\377";
	const struct str key = STR("\"destination_names\":[\"");
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));
	struct one o = one_of(&f, w->dict);
	char name[64];

	for (size_t len = 1; len <= 60; len++)
		for (size_t k = 0; k < (sizeof odd - 1) * len; k++) {
			AUTO_BUF struct buf raw = buf_init(MAX_BYTES);
			memset(name, 'x', len);
			name[k % len] = odd[k / len];
			buf_reset(&o.parts[CHAIN_DNS]);
			wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_DESTINATION_NAMES,
				     str_n(name, len));
			assert_true(written(w->renderer, &o, &w->line));
			if (odd[k / len] > 0) {
				assert_says(w, buf_str(&w->line), &o);
			} else { /* no UTF-8 */
				assert_false(says(w, buf_str(&w->line), &o));
			}
			/* a line that holds it as it is */
			struct str all = buf_str(&w->line);
			const char *at = memmem(all.p, all.len, key.p, key.len);
			assert_non_null(at);
			size_t before = (size_t)(at - all.p) + key.len;
			buf_str_put(&raw, str_upto(all, before));
			buf_str_put(&raw, str_n(name, len));
			const char *end = memmem(all.p + before, all.len - before, "\"]", 2);
			assert_non_null(end);
			buf_str_put(&raw, str_from(all, (size_t)(end - all.p)));
			assert_refused(w, buf_str(&raw));
		}
	/* escapes have one form, and only those have one that need it */
	buf_reset(&o.parts[CHAIN_DNS]);
	wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_DESTINATION_NAMES, STR("a<b>&\"\\/c"));
	assert_true(written(w->renderer, &o, &w->line));
	assert_says(w, buf_str(&w->line), &o);
	assert_change_is_refused(w, &o, "\\u003c", "\\u003C");
	assert_change_is_refused(w, &o, "\\u003e", ">");
	assert_change_is_refused(w, &o, "\\u0026", "\\u026");
	assert_change_is_refused(w, &o, "\\\"", "\\u0022");
	assert_change_is_refused(w, &o, "\\\\", "\\u005c");
	assert_change_is_refused(w, &o, "/c", "\\/c");
	assert_change_is_refused(w, &o, "/c", "/\\u0063");
	one_done(&o);
}

static void each_bit_of_an_ordinary_line_matters(void **state)
{
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));
	struct one o = one_of(&f, w->dict);

	wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_SOURCE_NAMES, STR("a.example"));
	assert_true(written(w->renderer, &o, &w->line));
	struct str line = buf_str(&w->line);
	for (int i = 0; i < 2; i++)
		assert_says(w, line, &o);
	for (size_t at = 0; at < line.len; at++) {
		assert_refused(w, str_upto(line, at));
		for (int bit = 0; bit < 8; bit++) {
			w->line.p[at] ^= (char)(1 << bit);
			assert_false(says(w, line, &o));
			w->line.p[at] ^= (char)(1 << bit);
		}
	}
	assert_says(w, line, &o);
	one_done(&o);
}

/* More ways to be made up than are remembered, and more texts, in turns. */
static void flows_of_many_shapes_are_read(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < 6000; i++) {
		uint32_t n = i % 3 ? i - i % 17 : i % 5;
		struct flow f = ordinary(w, 80, STR("cart-1"));
		if (n % 2)
			f.bits |= FLOW_HAS_IFACE;
		if (n % 3 == 0)
			f.bits &= ~(uint32_t)FLOW_HAS_UUID;
		if (n % 5 == 0)
			f.src_ep.v = 0;
		f.ifindex = n;
		f.trace_point = n % 7;
		f.policy_match_type = n % 90;
		(void)snprintf(f.ifname, sizeof f.ifname, "lxc%u", n);
		struct one o = one_of(&f, w->dict);
		assert_true(written(w->renderer, &o, &w->line));
		struct str line = buf_str(&w->line);
		assert_says(w, line, &o);
		w->line.p[i % line.len] ^= 1;
		assert_false(says(w, line, &o));
		one_done(&o);
	}
}

static void drop_field(struct buf *core, uint32_t number)
{
	struct wire_reader r = wire_reader_of(buf_str(core));
	size_t len = 0;

	for (struct wire_field f; wire_next(&r, &f);) {
		if (f.number == number)
			continue;
		memmove(core->p + len, f.raw.p, f.raw.len);
		len += f.raw.len;
	}
	core->len = len;
}

/* Policies are text that lines of one kind have in common: of a length that is remembered, of one that
 * is not, and of one that would not fit into sixteen bits. */
static void what_lines_have_in_common_may_be_long(void **state)
{
	static const size_t lengths[] = { 100, 7000, 8200, 70000 };
	static char name[70000];
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));

	for (size_t i = 0; i < 3 * ARRAY_LEN(lengths); i++) {
		size_t len = lengths[i % ARRAY_LEN(lengths)];
		struct one o = one_of(&f, w->dict);
		memset(name, 'a' + (int)(i % 2), len);
		drop_field(&o.parts[CHAIN_CORE], FLOW_FIELD_TYCHO);
		drop_field(&o.parts[CHAIN_CORE], FLOW_FIELD_SUMMARY);
		size_t policy = wire_begin(&o.parts[CHAIN_CORE], FLOW_FIELD_EGRESS_ALLOWED_BY);
		wire_put_str(&o.parts[CHAIN_CORE], 1, str_n(name, len)); /* flow.Policy.name */
		wire_end(&o.parts[CHAIN_CORE], policy);
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		char *in_name = memchr(w->line.p + w->line.len - len, name[0], len);
		assert_non_null(in_name);
		*in_name ^= 1;
		assert_false(says(w, buf_str(&w->line), &o));
		one_done(&o);
	}
}

/* All take as much memory, and divide it in seven ways between name and label. */
static struct endpoint_id endpoint_number(struct world *w, uint32_t i)
{
	char pod[160], label[700];
	int more = (int)(i % 7);
	(void)snprintf(pod, sizeof pod, "cart-%0*u", 100 + more, i);
	(void)snprintf(label, sizeof label, "k8s:app=%0*u", 600 - more, i);
	const struct endpoint ep = { .identity = 4711,
				     .pod = str_of(pod),
				     .labels = (const struct str[]){ str_of(label) },
				     .label_count = 1 };

	return flow_dict_endpoint(w->dict, &ep);
}

/* More endpoints than are remembered: they push each other out, in the middle of a line, too, and
 * fill the memory that their bytes are in. */
static void endpoints_that_push_each_other_out_are_read(void **state)
{
	enum { ENDPOINTS = 6000, RECORDS = 20000 };
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));

	for (uint32_t i = 0; i < RECORDS; i++) {
		f.src_ep = endpoint_number(w, i % ENDPOINTS);
		f.dst_ep = endpoint_number(w, i * 13 % ENDPOINTS);
		struct one o = one_of(&f, w->dict);
		struct line_record said;
		assert_true(written(w->renderer, &o, &w->line));
		assert_true(line_parse(w->usual, buf_str(&w->line), &said));
		for (size_t p = 0; p < CHAIN_PARTS_; p++)
			assert_bytes_equal(said.parts[p], buf_str(&o.parts[p]));
		if (i % 8 == 0)
			assert_says(w, buf_str(&w->line), &o);
		one_done(&o);
	}
	assert_true(w->cores_put > 0);
	assert_true(w->cores_put < RECORDS / 8);
}

/* flow.Tunnel and flow.IP; the IP's fields are declared in another order than that of their
 * numbers. */
static void tunnels_are_read(void **state)
{
	enum { TUNNEL_PROTOCOL = 1, TUNNEL_IP, TUNNEL_L4, TUNNEL_VNI };
	enum { IP_SOURCE = 1, IP_DESTINATION, IP_VERSION, IP_ENCRYPTED, IP_SOURCE_XLATED };
	struct world *w = *state;

	for (unsigned bits = 0; bits < 1 << 7; bits++) {
		struct flow f = ordinary(w, 80, STR("cart-1"));
		struct one o = one_of(&f, w->dict);
		struct buf *b = &o.parts[CHAIN_ADDRESSES];
		/* the flow's own, and one in the tunnel */
		buf_reset(b);
		for (int i = 0; i < 2; i++) {
			size_t tunnel = i ? wire_begin(b, FLOW_FIELD_TUNNEL) : 0;
			wire_put_u64(b, i ? TUNNEL_PROTOCOL : 0, i ? bits & 1 : 0);
			size_t ip = wire_begin(b, i ? (uint32_t)TUNNEL_IP : FLOW_FIELD_IP);
			wire_put_str(b, IP_SOURCE, bits & 2 ? STR("10.0.0.1") : STR("fd00::1"));
			wire_put_str(b, IP_DESTINATION, bits & 4 ? STR("10.0.0.2") : STR(""));
			wire_put_u64(b, IP_VERSION, bits & 8 ? 1 : bits & 2 ? 2 : 0);
			wire_put_u64(b, IP_ENCRYPTED, bits >> 4 & 1);
			wire_put_str(b, IP_SOURCE_XLATED, bits & 32 ? STR("10.0.0.3") : STR(""));
			wire_end(b, ip);
			if (!i)
				continue;
			wire_put_u64(b, TUNNEL_VNI, bits & 64 ? 70000 : 0);
			wire_end(b, tunnel);
		}
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		one_done(&o);
	}
}

/* What the labels are known by: the same of two lines only if they are. */
static void labels_have_a_key_of_their_own(void **state)
{
	struct world *w = *state;
	struct line_record said;
	uint64_t keys[3];

	for (size_t i = 0; i < 6; i++) {
		struct flow f = ordinary(w, (uint16_t)(80 + i), STR("cart-1"));
		const struct str labels[] = { STR("k8s:app=one"), STR("k8s:app=two"), STR("") };
		const struct endpoint src = { .identity = 1,
					      .pod = STR("p"),
					      .labels = &labels[i % 3],
					      .label_count = i % 3 < 2 };
		f.src_ep = flow_dict_endpoint(w->dict, &src);
		struct one o = one_of(&f, w->dict);
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		assert_true(line_parse(w->usual, buf_str(&w->line), &said));
		assert_int_equal(said.labels_key[1], 0);
		if (i < 3)
			keys[i] = said.labels_key[0];
		assert_int_equal(said.labels_key[0], keys[i % 3]);
		one_done(&o);
	}
	assert_true(keys[0] && keys[1] && keys[0] != keys[1]);
	assert_int_equal(keys[2], 0);
}

/* flow.Layer7 and flow.DNS */
enum { LAYER7_TYPE = 1, LAYER7_LATENCY_NS = 2, LAYER7_DNS = 100 };
enum { DNS_QUERY = 1, DNS_IPS = 2, DNS_TTL = 3, DNS_QTYPES = 7 };

/* Query and answer of a name, as an observer records them: what is said of it has quotes. */
static void lookups_are_read(void **state)
{
	struct world *w = *state;
	struct buf *dns;

	for (uint32_t i = 0; i < 70; i++) {
		struct flow f = ordinary(w, 53, i % 3 ? STR("cart-1") : STR("cart-2"));
		struct one o = one_of(&f, w->dict);
		char name[64], summary[128];
		(void)snprintf(name, sizeof name, "n%u.example.", i);
		(void)snprintf(summary, sizeof summary, "DNS Answer \"10.0.%u.1\" (Query \\ %s A)",
			       i % 256, name);
		drop_field(&o.parts[CHAIN_CORE],
			   FLOW_FIELD_SUMMARY); /* that of the record is said */
		dns = &o.parts[CHAIN_DNS];
		wire_put_str(dns, FLOW_FIELD_SOURCE_NAMES, STR("a.example"));
		size_t l7 = wire_begin(dns, FLOW_FIELD_L7);
		wire_put_u64(dns, LAYER7_TYPE, 2);
		wire_put_u64(dns, LAYER7_LATENCY_NS, UINT64_C(1) << (i % 64));
		size_t record = wire_begin(dns, LAYER7_DNS);
		wire_put_str(dns, DNS_QUERY, str_of(name));
		for (uint32_t k = 0; k < i % 4; k++)
			wire_put_str(dns, DNS_IPS, STR("10.0.0.1"));
		wire_put_u64(dns, DNS_TTL, i * i * i);
		wire_put_str(dns, DNS_QTYPES, STR("A"));
		wire_put_str(dns, DNS_QTYPES, STR("AAAA"));
		wire_end(dns, record);
		wire_end(dns, l7);
		wire_put_str(dns, FLOW_FIELD_SUMMARY, str_of(summary));
		assert_true(written(w->renderer, &o, &w->line));
		struct str line = buf_str(&w->line);
		assert_says(w, line, &o);
		for (size_t at = i % 7; at < line.len; at += 7) {
			w->line.p[at] ^= 1;
			assert_false(says(w, line, &o));
			w->line.p[at] ^= 1;
		}
		one_done(&o);
	}
}

/* @field where the order of numbers has it. */
static void put_between(struct buf *core, uint32_t number, struct str field)
{
	struct wire_reader r = wire_reader_of(buf_str(core));
	size_t at = core->len;

	for (struct wire_field f; at == core->len && wire_next(&r, &f);)
		if (f.number > number)
			at = (size_t)(f.raw.p - core->p);
	assert_non_null(buf_reserve(core, field.len));
	memmove(core->p + at + field.len, core->p + at, core->len - at);
	memcpy(core->p + at, field.p, field.len);
	core->len += field.len;
}

/* A lookup is in a part of its own, what else layer 7 says is not, and the lines may be the same but
 * for that. */
static void lookups_and_requests_are_told_apart(void **state)
{
	enum { HTTP = 101, HTTP_CODE = 1 };
	struct world *w = *state;
	struct flow f = ordinary(w, 53, STR("cart-1"));

	for (uint32_t i = 0; i < 6; i++) {
		struct one o = one_of(&f, w->dict);
		struct buf l7 = buf_init(MAX_BYTES);
		bool is_dns = i % 2 == 0;
		size_t whole = wire_begin(&l7, FLOW_FIELD_L7);
		size_t record = wire_begin(&l7, is_dns ? (uint32_t)LAYER7_DNS : HTTP);
		if (is_dns)
			wire_put_str(&l7, DNS_QUERY, STR("a.example."));
		else
			wire_put_u64(&l7, HTTP_CODE, 200);
		wire_end(&l7, record);
		wire_end(&l7, whole);
		drop_field(&o.parts[CHAIN_CORE], FLOW_FIELD_SUMMARY);
		put_between(&o.parts[is_dns ? CHAIN_DNS : CHAIN_CORE], FLOW_FIELD_L7, buf_str(&l7));
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		buf_done(&l7);
		one_done(&o);
	}
}

/* The writer takes the last of two; a line with both is no line of its. */
static void a_summary_that_is_said_twice_stands_once(void **state)
{
	struct world *w = *state;
	struct flow f = ordinary(w, 53, STR("cart-1"));
	struct one o = one_of(&f, w->dict);
	AUTO_BUF struct buf both = buf_init(MAX_BYTES);
	const struct str first = STR(",\"Summary\":\"one\""), second = STR(",\"Summary\":\"two\"");

	drop_field(&o.parts[CHAIN_CORE], FLOW_FIELD_SUMMARY);
	wire_put_str(&o.parts[CHAIN_CORE], FLOW_FIELD_SUMMARY, STR("one"));
	wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_SUMMARY, STR("two"));
	assert_true(written(w->renderer, &o, &w->line));
	assert_false(says(w, buf_str(&w->line), &o)); /* it is written once */
	struct str line = buf_str(&w->line);
	const char *at = memmem(line.p, line.len, second.p, second.len);
	assert_non_null(at);
	size_t before = (size_t)(at - line.p);
	buf_str_put(&both, str_upto(line, before));
	buf_str_put(&both, first);
	buf_str_put(&both, str_from(line, before));
	assert_refused(w, buf_str(&both));
	one_done(&o);
}

/* Names that repeat in both lists, and lists that are empty. */
static void names_stand_in_their_lists(void **state)
{
	struct world *w = *state;
	static const unsigned counts[][2] = { { 0, 1 }, { 1, 0 }, { 1, 1 }, { 3, 2 } };

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct flow f = ordinary(w, 80, STR("cart-1"));
		struct one o = one_of(&f, w->dict);
		for (unsigned k = 0; k < counts[i][0]; k++)
			wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_SOURCE_NAMES,
				     STR("a.example"));
		for (unsigned k = 0; k < counts[i][1]; k++)
			wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_DESTINATION_NAMES,
				     STR("b.example"));
		assert_true(written(w->renderer, &o, &w->line));
		assert_says(w, buf_str(&w->line), &o);
		one_done(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)
		T(whatever_is_read_would_be_written_so),
		T(ordinary_lines_say_their_records),
		T(times_have_three_digits_more_or_none),
		T(a_time_is_written_in_one_way),
		T(a_record_has_one_line),
		T(ports_flags_and_counts_are_read),
		T(texts_of_any_length_are_read),
		T(text_that_json_escapes_is_not_taken_as_it_is),
		T(each_bit_of_an_ordinary_line_matters),
		T(flows_of_many_shapes_are_read),
		T(what_lines_have_in_common_may_be_long),
		T(endpoints_that_push_each_other_out_are_read),
		T(tunnels_are_read),
		T(labels_have_a_key_of_their_own),
		T(lookups_are_read),
		T(lookups_and_requests_are_told_apart),
		T(a_summary_that_is_said_twice_stands_once),
		T(names_stand_in_their_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
