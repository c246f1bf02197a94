/* Lines compared as they are read, held against lines that are written: never another answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence/line.h"
#include "evidence/render.h"
#include "flow/fields.h"
#include "flow/wire.h"
#include "flow_random.h"

enum { MAX_BYTES = 1 << 24, FLOWS = 1500, FLIPS = 8 };

/* One record and its parts, as a block holds them. */
struct one {
	struct buf parts[CHAIN_PARTS_];
	struct evidence_part table[CHAIN_PARTS_];
	struct evidence_shared shared[RECORD_SHARED_MAX];
	struct evidence_record record;
	struct evidence_block block;
};

static void one_done(struct one *o)
{
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&o->parts[i]);
}

/* The core as an export hands it over: its endpoints are shared. One that cannot be read is handed
 * over as it is. */
static void cut_core(struct str core, struct evidence_record *record,
		     struct evidence_shared shared[RECORD_SHARED_MAX], size_t *count)
{
	struct wire_reader r = wire_reader_of(core);
	size_t n = 0;

	*record = (struct evidence_record){ .head = core, .tail = { "", 0 } };
	for (struct wire_field f; n < RECORD_SHARED_MAX && wire_next(&r, &f);) {
		size_t at = (size_t)(f.raw.p - core.p);
		if (f.number == FLOW_FIELD_SOURCE || f.number == FLOW_FIELD_DESTINATION) {
			if (n++ == 0)
				record->head = str_upto(core, at);
			else if (at + record->tail.len != core.len)
				break;
			shared[*count] = (struct evidence_shared){
				.bytes = f.raw, .field = f.type == WIRE_LEN ? f.number : 0
			};
			record->shared[n - 1] = (uint32_t)++ * count;
			record->tail = str_from(core, at + f.raw.len);
		} else if (n) {
			break;
		}
	}
}

/* After each change of the parts. */
static struct evidence_block *block_of(struct one *o)
{
	o->block = (struct evidence_block){
		.parts = o->table, .shared = o->shared, .records = &o->record, .record_count = 1
	};
	cut_core(buf_str(&o->parts[CHAIN_CORE]), &o->record, o->shared, &o->block.shared_count);
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		if (o->parts[p].len) {
			o->table[o->block.part_count++] =
				(struct evidence_part){ .part = p,
							.content = buf_str(&o->parts[p]) };
			o->record.parts[p] = (uint32_t)o->block.part_count;
		}
	return &o->block;
}

static struct one one_of(const struct flow *f, const struct flow_dict *d)
{
	struct one o = { .record = { .seq = 0 } };

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		o.parts[i] = buf_init(MAX_BYTES);
	chain_split(f, d, o.parts);
	return o;
}

/* As render.h writes it; false if it is no flow. */
static bool written(struct renderer *r, struct one *o, struct buf *line)
{
	AUTO_BUF struct buf core = buf_init(MAX_BYTES);
	struct str parts[CHAIN_PARTS_];

	buf_reset(line);
	assert_true(evidence_block_parts(block_of(o), 0, &core, parts));
	assert_bytes_equal(parts[CHAIN_CORE], buf_str(&o->parts[CHAIN_CORE]));
	return renderer_take(r, parts, NULL) == ERR_OK && render_json(r, line, NULL) == ERR_OK;
}

struct world {
	struct renderer *renderer;
	struct line_matcher *matcher;
	struct flow_dict *dict;
	struct buf line, other;
};

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	assert_int_equal(renderer_new(&w->renderer, NULL), ERR_OK);
	assert_int_equal(line_matcher_new(&w->matcher, NULL), ERR_OK);
	w->dict = dict_of(1 << 16);
	w->line = w->other = buf_init(MAX_BYTES);
	*state = w;
	return 0;
}

static int world_remove(void **state)
{
	struct world *w = *state;

	renderer_free(w->renderer);
	line_matcher_free(w->matcher);
	flow_dict_free(w->dict);
	buf_done(&w->line);
	buf_done(&w->other);
	free(w);
	return 0;
}

/* What the matcher says of @text is what writing says, or nothing. @return whether it is yes. */
static bool assert_agrees(struct world *w, struct one *o, struct str text)
{
	size_t n = line_match(w->matcher, block_of(o), 0, text);

	if (!n)
		return false;
	assert_true(n <= text.len);
	assert_true(written(w->renderer, o, &w->other));
	assert_bytes_equal(str_upto(text, n), buf_str(&w->other));
	return true;
}

static void a_yes_is_what_would_be_written(void **state)
{
	struct world *w = *state;
	struct random r = random_of(__func__, 1);
	size_t known = 0;

	for (int i = 0; i < FLOWS; i++) {
		struct flow f = random_made(&r, w->dict);
		struct one o = one_of(&f, w->dict);
		pool_reset();
		if (!written(w->renderer, &o, &w->line))
			fail_msg("flow %d cannot be written", i);
		known += assert_agrees(w, &o, buf_str(&w->line));
		/* Each once more: now it is remembered. */
		(void)assert_agrees(w, &o, buf_str(&w->line));
		for (int k = 0; k < FLIPS; k++) {
			/* the line is another */
			size_t at = random_below(&r, w->line.len);
			char was = w->line.p[at];
			w->line.p[at] = (char)(was ^ 1 << random_below(&r, 8));
			assert_int_equal(line_match(w->matcher, block_of(&o), 0, buf_str(&w->line)),
					 0);
			w->line.p[at] = was;
			assert_int_equal(line_match(w->matcher, block_of(&o), 0,
						    str_upto(buf_str(&w->line), at)),
					 0);
			/* the record is another */
			struct buf *part = &o.parts[random_below(&r, CHAIN_PARTS_)];
			if (!part->len)
				continue;
			at = random_below(&r, part->len);
			was = part->p[at];
			part->p[at] = (char)(was ^ 1 << random_below(&r, 8));
			(void)assert_agrees(w, &o, buf_str(&w->line));
			if (written(w->renderer, &o, &w->other)) {
				AUTO_BUF struct buf copy = buf_init(MAX_BYTES);
				buf_str_put(&copy, buf_str(&w->other));
				(void)assert_agrees(w, &o, buf_str(&copy));
			}
			part->p[at] = was;
		}
		one_done(&o);
	}
	/* Random flows are odder than real ones. */
	assert_true(known > FLOWS / 50);
}

/* As an observer makes them: known at once, and at a price that verification can pay. */
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

static void ordinary_flows_are_known(void **state)
{
	struct world *w = *state;

	for (uint16_t port = 1; port < 5000; port = (uint16_t)(port + 7)) {
		struct flow f = ordinary(w, port, port % 2 ? STR("cart-1") : STR("cart-2"));
		struct one o = one_of(&f, w->dict);
		assert_true(written(w->renderer, &o, &w->line));
		buf_lit(&w->line, "{\"flow\":{}}\n"); /* and the next */
		assert_int_equal(line_match(w->matcher, block_of(&o), 0, buf_str(&w->line)),
				 w->line.len - 12);
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
	char name[48];

	for (size_t len = 1; len <= 40; len++)
		for (size_t k = 0; k < (sizeof odd - 1) * len; k++) {
			AUTO_BUF struct buf raw = buf_init(MAX_BYTES);
			memset(name, 'x', len);
			name[k % len] = odd[k / len];
			buf_reset(&o.parts[CHAIN_DNS]);
			wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_DESTINATION_NAMES,
				     str_n(name, len));
			assert_true(written(w->renderer, &o, &w->line));
			(void)assert_agrees(w, &o, buf_str(&w->line));
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
			assert_int_equal(line_match(w->matcher, block_of(&o), 0, buf_str(&raw)), 0);
		}
	one_done(&o);
}

static void each_bit_of_an_ordinary_flow_matters(void **state)
{
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));
	struct one o = one_of(&f, w->dict);

	wire_put_str(&o.parts[CHAIN_DNS], FLOW_FIELD_SOURCE_NAMES, STR("a.example"));
	assert_true(written(w->renderer, &o, &w->line));
	struct str line = buf_str(&w->line);
	for (int i = 0; i < 3; i++) /* known; remembered; remembered as a shape */
		assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), line.len);
	for (size_t at = 0; at < line.len; at++) {
		assert_int_equal(line_match(w->matcher, block_of(&o), 0, str_upto(line, at)), 0);
		for (int bit = 0; bit < 8; bit++) {
			w->line.p[at] ^= (char)(1 << bit);
			assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), 0);
			w->line.p[at] ^= (char)(1 << bit);
		}
	}
	for (enum chain_part p = CHAIN_CORE; p < CHAIN_PARTS_; p++)
		for (size_t at = 0; at < o.parts[p].len; at++)
			for (int bit = 0; bit < 8; bit++) {
				o.parts[p].p[at] ^= (char)(1 << bit);
				(void)assert_agrees(w, &o, line);
				o.parts[p].p[at] ^= (char)(1 << bit);
			}
	assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), line.len);
	/* what is longer or shorter is made up otherwise */
	struct buf *core = &o.parts[CHAIN_CORE];
	size_t len = core->len;
	buf_char(core, '\377');
	assert_false(assert_agrees(w, &o, line));
	core->len = len;
	wire_put_str(core, FLOW_FIELD_NODE_NAME, STR("worker-2"));
	assert_false(assert_agrees(w, &o, line));
	for (core->len = 0; core->len < len; core->len++)
		assert_false(assert_agrees(w, &o, line));
	assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), line.len);
	one_done(&o);
}

/* More ways to be made up than are remembered, and more texts, in turns. */
static void flows_of_many_shapes_are_known(void **state)
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
		(void)snprintf(f.ifname, sizeof f.ifname, "lxc%u", n);
		struct one o = one_of(&f, w->dict);
		assert_true(written(w->renderer, &o, &w->line));
		struct str line = buf_str(&w->line);
		assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), line.len);
		w->line.p[i % line.len] ^= 1;
		assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), 0);
		one_done(&o);
	}
}

/* One block with more endpoints than are remembered: what was found under a number is looked up
 * again once another has taken its place. */
static void endpoints_that_push_each_other_out_are_known(void **state)
{
	enum { ENDPOINTS = 5000, RECORDS = 10000 };
	struct world *w = *state;
	AUTO_BUF struct buf core = buf_init(MAX_BYTES);
	AUTO(own_free) struct evidence_shared *shared = calloc(2 * ENDPOINTS, sizeof *shared);
	AUTO(own_free) struct one *ones = calloc(ENDPOINTS, sizeof *ones);
	struct evidence_part labels = { .part = CHAIN_SOURCE_LABELS };
	struct evidence_record record = { .seq = 0 };
	struct evidence_block b = { .parts = &labels,
				    .part_count = 1,
				    .shared = shared,
				    .shared_count = 2 * ENDPOINTS,
				    .records = &record,
				    .record_count = 1 };

	assert_non_null(shared);
	assert_non_null(ones);
	for (uint32_t i = 0; i < ENDPOINTS; i++) {
		char pod[32];
		(void)snprintf(pod, sizeof pod, "cart-%u", i);
		struct flow f = ordinary(w, 80, str_of(pod));
		f.dst_ep = f.src_ep;
		ones[i] = one_of(&f, w->dict);
		(void)block_of(&ones[i]);
		assert_int_equal(ones[i].block.shared_count, 2);
		memcpy(&shared[2 * i], ones[i].shared, sizeof ones[i].shared);
	}
	labels.content = buf_str(&ones[0].parts[CHAIN_SOURCE_LABELS]);
	assert_true(labels.content.len > 0);
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t src = i % ENDPOINTS, dst = i * 13 % ENDPOINTS;
		struct str parts[CHAIN_PARTS_];
		record = ones[src].record;
		memset(record.parts, 0, sizeof record.parts);
		record.parts[CHAIN_SOURCE_LABELS] = i % 3 ? 1 : 0;
		record.shared[0] = 2 * src + 1;
		record.shared[1] = 2 * dst + 2;
		buf_reset(&w->line);
		assert_true(evidence_block_parts(&b, 0, &core, parts));
		assert_int_equal(renderer_take(w->renderer, parts, NULL), ERR_OK);
		assert_int_equal(render_json(w->renderer, &w->line, NULL), ERR_OK);
		assert_int_equal(line_match(w->matcher, &b, 0, buf_str(&w->line)), w->line.len);
		/* the other way round it is another flow */
		record.shared[0] = 2 * dst + 1;
		record.shared[1] = 2 * src + 2;
		assert_int_equal(line_match(w->matcher, &b, 0, buf_str(&w->line)),
				 src == dst ? w->line.len : 0);
	}
	for (size_t i = 0; i < ENDPOINTS; i++)
		one_done(&ones[i]);
}

/* flow.Layer7 and flow.DNS */
enum { LAYER7_TYPE = 1, LAYER7_LATENCY_NS = 2, LAYER7_DNS = 100 };
enum { DNS_QUERY = 1, DNS_IPS = 2, DNS_TTL = 3, DNS_QTYPES = 7 };

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

/* Query and answer of a name, as an observer records them: what is said of it has quotes. */
static void lookups_are_known(void **state)
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
		wire_put_u64(dns, DNS_TTL, i);
		wire_put_str(dns, DNS_QTYPES, STR("A"));
		wire_put_str(dns, DNS_QTYPES, STR("AAAA"));
		wire_end(dns, record);
		wire_end(dns, l7);
		wire_put_str(dns, FLOW_FIELD_SUMMARY, str_of(summary));
		assert_true(written(w->renderer, &o, &w->line));
		struct str line = buf_str(&w->line);
		assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), line.len);
		for (size_t at = 0; at < line.len; at++) {
			w->line.p[at] ^= 1;
			assert_int_equal(line_match(w->matcher, block_of(&o), 0, line), 0);
			w->line.p[at] ^= 1;
		}
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
	(void)assert_agrees(w, &o, buf_str(&w->line));
	struct str line = buf_str(&w->line);
	const char *at = memmem(line.p, line.len, second.p, second.len);
	assert_non_null(at);
	size_t before = (size_t)(at - line.p);
	buf_str_put(&both, str_upto(line, before));
	buf_str_put(&both, first);
	buf_str_put(&both, str_from(line, before));
	assert_int_equal(line_match(w->matcher, block_of(&o), 0, buf_str(&both)), 0);
	one_done(&o);
}

/* Labels of an endpoint that the core does not have, an endpoint twice, a fragment that is none. */
static void odd_fragments_are_left_to_whoever_writes(void **state)
{
	struct world *w = *state;
	struct flow f = ordinary(w, 80, STR("cart-1"));
	struct one o = one_of(&f, w->dict);
	AUTO_BUF struct buf both = buf_init(MAX_BYTES);

	assert_true(written(w->renderer, &o, &w->line));
	assert_int_equal(line_match(w->matcher, block_of(&o), 0, buf_str(&w->line)), w->line.len);
	struct evidence_block *b = block_of(&o);
	o.record.shared[0] = 0;
	assert_int_equal(line_match(w->matcher, b, 0, buf_str(&w->line)), 0);
	b = block_of(&o);
	o.record.shared[1] = o.record.shared[0];
	assert_int_equal(line_match(w->matcher, b, 0, buf_str(&w->line)), 0);
	b = block_of(&o);
	o.shared[0].field = 0;
	assert_int_equal(line_match(w->matcher, b, 0, buf_str(&w->line)), 0);
	/* endpoints that stand in the core itself */
	b = block_of(&o);
	o.record = (struct evidence_record){ .head = buf_str(&o.parts[CHAIN_CORE]),
					     .tail = STR(""),
					     .parts = { [CHAIN_SOURCE_LABELS] = 1 } };
	assert_int_equal(line_match(w->matcher, b, 0, buf_str(&w->line)), 0);
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
		assert_int_equal(line_match(w->matcher, block_of(&o), 0, buf_str(&w->line)),
				 w->line.len);
		one_done(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)
		T(a_yes_is_what_would_be_written),
		T(ordinary_flows_are_known),
		T(text_that_json_escapes_is_not_taken_as_it_is),
		T(each_bit_of_an_ordinary_flow_matters),
		T(flows_of_many_shapes_are_known),
		T(endpoints_that_push_each_other_out_are_known),
		T(lookups_are_known),
		T(a_summary_that_is_said_twice_stands_once),
		T(odd_fragments_are_left_to_whoever_writes),
		T(names_stand_in_their_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
