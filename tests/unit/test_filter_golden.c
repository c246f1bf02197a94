/* What the reference was recorded to do: every row of golden/filters.tsv against every line of its
 * flow files, and the cases of its command line (golden/cases.tsv) that set one filter flag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "filter/filter.h"
#include "filter/zone.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "recorded.h"
#include "store/segment.h"

enum {
	FILES = 2,
	MAX_RECORDINGS = 32,
	MAX_LINES = 4096,
	MAX_FILTERS = 64,
	FILE_BYTES = 1 << 24,
	ZONE_FLOWS = 3
};

static const char *const files[FILES] = { "flows/synthetic.jsonl", "flows/real.jsonl" };

struct recording {
	char name[64];
	struct flow flows[MAX_LINES];
	size_t count;
	struct buf bytes[MAX_LINES]; /* what the flows borrow from */
	struct buf segment_bytes;
	struct segment *segment;                             /* of all, when asked for */
	struct flow_zone *zones[MAX_LINES / ZONE_FLOWS + 1]; /* of so many each, when asked */
};

struct golden {
	struct flow_dict *dict;
	struct recording *files[MAX_RECORDINGS]; /* read when first asked for */
	size_t zones, refused, idle; /* zones that were asked, said no, said "perhaps" in vain */
};

static void read_flow(struct golden *g, struct recording *r, struct str line)
{
	struct json_options options = { .reject_unknown = false };
	struct flow_response response;
	struct buf *bytes = &r->bytes[r->count];
	struct flow *f = &r->flows[r->count];
	struct err e;

	assert_true(r->count < MAX_LINES);
	*bytes = buf_init(FILE_BYTES);
	if (json_read_message(line, &observer__get_flows_response__descriptor, &options, bytes,
			      NULL, &e) != ERR_OK)
		fail_msg("line %zu: %s", r->count + 1, e.msg);
	assert_int_equal(flow_response_split(buf_str(bytes), &response, &e), ERR_OK);
	*f = (struct flow){ .kind = (uint8_t)response.kind };
	if (response.has_message && response.kind == FLOW_KIND_FLOW) {
		assert_int_equal(flow_decode(response.message, g->dict, f, &e), ERR_OK);
	} else {
		/* a line that holds nothing known is as little a flow as a node's status */
		f->kind = response.kind == FLOW_KIND_LOST ? FLOW_KIND_LOST : FLOW_KIND_NODE_STATUS;
		f->ext = (const uint8_t *)response.message.p;
		f->ext_len = (uint32_t)response.message.len;
	}
	r->count++;
}

static struct recording *recording_of(struct golden *g, const char *name)
{
	size_t i = 0;

	while (i < MAX_RECORDINGS && g->files[i] && strcmp(g->files[i]->name, name) != 0)
		i++;
	assert_true(i < MAX_RECORDINGS);
	if (g->files[i])
		return g->files[i];
	AUTO_BUF struct buf text = recorded_read("golden/%s", name);
	struct str rest = buf_str(&text), line;

	g->files[i] = calloc(1, sizeof *g->files[i]);
	assert_non_null(g->files[i]);
	(void)snprintf(g->files[i]->name, sizeof g->files[i]->name, "%s", name);
	while (str_split(&rest, '\n', &line) && line.len)
		read_flow(g, g->files[i], line);
	return g->files[i];
}

static int setup(void **state)
{
	struct golden *g = calloc(1, sizeof *g);
	struct err e;

	assert_non_null(g);
	assert_int_equal(flow_dict_new(1 << 16, &g->dict, &e), ERR_OK);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct golden *g = *state;

	for (size_t i = 0; i < MAX_RECORDINGS && g->files[i]; i++) {
		for (size_t k = 0; k < g->files[i]->count; k++)
			buf_done(&g->files[i]->bytes[k]);
		for (size_t k = 0; k < ARRAY_LEN(g->files[i]->zones); k++)
			flow_zone_free(g->files[i]->zones[k]);
		segment_free(g->files[i]->segment);
		buf_done(&g->files[i]->segment_bytes);
		free(g->files[i]);
	}
	flow_dict_free(g->dict);
	free(g);
	return 0;
}

/* "[{…},{…}]" to messages; false with the reader's words if one of them is none. */
static bool read_filters(struct str json, Flow__FlowFilter **out, size_t *ret_count, struct err *e)
{
	struct json_options options = { .reject_unknown = true };

	*ret_count = 0;
	assert_true(json.len >= 2 && json.p[0] == '[' && json.p[json.len - 1] == ']');
	json = str_upto(str_from(json, 1), json.len - 2);
	while (json.len) {
		AUTO_BUF struct buf wire = buf_init(1 << 20);
		size_t used;

		if (json_read_prefix(json, &flow__flow_filter__descriptor, &options, &wire, &used,
				     e) != ERR_OK)
			return false;
		assert_true(*ret_count < MAX_FILTERS);
		out[*ret_count] = flow__flow_filter__unpack(
			NULL, wire.len, (const uint8_t *)(wire.p ? wire.p : ""));
		assert_non_null(out[*ret_count]);
		(*ret_count)++;
		json = str_from(json, used);
		if (str_has_prefix(json, STR(",")))
			json = str_from(json, 1);
	}
	return true;
}

/* Appends "3-5,9"; "-" for none. */
static void put_lines(struct buf *b, const uint64_t *bits, size_t count)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		size_t from = i;

		if (!(bits[i / 64] >> i % 64 & 1))
			continue;
		while (i + 1 < count && bits[(i + 1) / 64] >> (i + 1) % 64 & 1)
			i++;
		buf_printf(b, from == i ? "%s%zu" : "%s%zu-%zu", any ? "," : "", from + 1, i + 1);
		any = true;
	}
	if (!any)
		buf_char(b, '-');
}

/* The zone of these flows, as it was stored. Own. */
static struct flow_zone *zone_of(const struct flow *flows, size_t n)
{
	AUTO(flow_zone_free) struct flow_zone *made = NULL;
	AUTO_BUF struct buf bytes = buf_init(FLOW_ZONE_BYTES);
	const struct flow_zone_ids same = { .endpoints = NULL };
	struct flow_zone *z = NULL;
	struct err e;

	assert_int_equal(flow_zone_new(&made, &e), ERR_OK);
	assert_int_equal(flow_zone_new(&z, &e), ERR_OK);
	flow_zone_add(made, flows, n);
	flow_zone_put(&bytes, made);
	assert_false(bytes.failed);
	assert_int_equal(flow_zone_get(z, buf_str(&bytes), FLOW_MEMBERS_ALL, &same, &e), ERR_OK);
	return z;
}

/* What is read of a zone for this filter says the same as the whole. */
static bool same_of_less(struct flow_filter *filter, const struct flow_zone *whole, bool may)
{
	static struct flow_zone *less;
	AUTO_BUF struct buf bytes = buf_init(FLOW_ZONE_BYTES);
	const struct flow_zone_ids same = { .endpoints = NULL };
	struct err e;

	if (!less)
		assert_int_equal(flow_zone_new(&less, &e), ERR_OK);
	flow_zone_put(&bytes, whole);
	assert_false(bytes.failed);
	assert_int_equal(
		flow_zone_get(less, buf_str(&bytes), flow_filter_members(filter), &same, &e),
		ERR_OK);
	return flow_filter_may_match(filter, less) == may;
}

/* No group of which one flow matches is ever refused unseen. */
static bool check_zones(struct golden *g, struct flow_filter *filter, struct recording *r,
			const uint64_t *bits)
{
	bool good = true;

	for (size_t i = 0; i < r->count; i += ZONE_FLOWS) {
		size_t n = r->count - i < ZONE_FLOWS ? r->count - i : ZONE_FLOWS;
		struct flow_zone **z = &r->zones[i / ZONE_FLOWS];
		bool any = false;

		if (!*z)
			*z = zone_of(&r->flows[i], n);
		for (size_t k = i; k < i + n; k++)
			any |= bits[k / 64] >> k % 64 & 1;
		bool may = flow_filter_may_match(filter, *z);
		g->zones++;
		g->refused += !may;
		g->idle += may && !any;
		if (!same_of_less(filter, *z, may)) {
			print_error("%s lines %zu to %zu: less of their zone says otherwise\n",
				    r->name, i + 1, i + n);
			good = false;
		}
		if (any && !may) {
			print_error("%s lines %zu to %zu match, their zone says no\n", r->name,
				    i + 1, i + n);
			good = false;
		}
	}
	return good;
}

/* What is read of @f when @members are; ext as the contract asks. */
static struct flow only_members(const struct flow *f, flow_members members, bool with_ext)
{
	struct flow o = { .kind = f->kind, .bits = f->bits };

#define COPY(member, name)                                                                         \
	do {                                                                                       \
		if (members & FLOW_MEMBER(FLOW_MEMBER_##member))                                   \
			memcpy(&o.name, &f->name, sizeof o.name);                                  \
	} while (0)
	COPY(UUID, uuid);
	COPY(VERDICT, verdict);
	COPY(SRC_IP, src_ip);
	COPY(DST_IP, dst_ip);
	COPY(SRC_XLATED, src_xlated);
	COPY(IP_VERSION, ip_version);
	COPY(REPLY, is_reply);
	COPY(DIRECTION, direction);
	COPY(L4, l4);
	COPY(SRC_PORT, src_port);
	COPY(DST_PORT, dst_port);
	COPY(TCP_FLAGS, tcp_flags);
	COPY(EVENT, event_type);
	COPY(EVENT, event_sub_type);
	COPY(DROP, drop_desc);
	COPY(SRC_EP, src_ep);
	COPY(DST_EP, dst_ep);
	COPY(SERVICES, src_svc);
	COPY(SERVICES, dst_svc);
	COPY(NODE, node);
	COPY(INTERFACE, ifindex);
	COPY(INTERFACE, ifname);
	COPY(TRACE_ID, ip_trace_id);
#undef COPY
	if (with_ext || members & FLOW_MEMBER(FLOW_MEMBER_EXT)) {
		o.ext = f->ext;
		o.ext_len = f->ext_len;
	}
	return o;
}

/* The members that the filter names are enough, and of fewer it never says no wrongly. */
static bool check_members(struct flow_filter *filter, const struct flow *f, bool matches)
{
	const uint32_t odd = 0xff000000; /* FLOW_ODD_ bits */
	flow_members asked = flow_filter_members(filter),
		     always = FLOW_MEMBER(FLOW_MEMBER_KIND) | FLOW_MEMBER(FLOW_MEMBER_BITS);
	bool looks_into_ext = f->bits & (odd | FLOW_WHOLE) || f->kind != FLOW_KIND_FLOW;
	bool is_plain = !(f->bits & odd) && f->kind == FLOW_KIND_FLOW && f->verdict < 255 &&
			f->direction < 255 && f->ip_version < 255;
	struct flow o = only_members(f, asked, looks_into_ext);

	if (asked == FLOW_MEMBERS_ALL) /* CEL: faults are counted as they come */
		return true;
	bool good = flow_filter_match(filter, &o) == matches;
	for (unsigned m = 0; m < FLOW_MEMBERS_; m++) {
		if (!(asked & FLOW_MEMBER(m)))
			continue;
		flow_members without = (asked & ~FLOW_MEMBER(m)) | always,
			     with = (asked & FLOW_MEMBER(m)) | always;

		o = only_members(f, without, false);
		good &= flow_filter_may_match_known(filter, &o, without) || !matches;
		good &= !flow_filter_must_match_known(filter, &o, without) || matches;
		o = only_members(f, with, false);
		good &= flow_filter_may_match_known(filter, &o, with) || !matches;
		good &= !flow_filter_must_match_known(filter, &o, with) || matches;
		if (m == FLOW_MEMBER_BITS || f->bits & odd)
			continue;
		with &= ~FLOW_MEMBER(FLOW_MEMBER_BITS);
		o.bits = UINT32_MAX & ~odd;
		good &= flow_filter_may_match_known(filter, &o, with) || !matches;
		o.bits = 0;
		good &= !flow_filter_must_match_known(filter, &o, with) || matches;
	}
	/* what is wholly known is decided, where nothing has to be looked up in ext */
	o = only_members(f, asked, false);
	if (is_plain)
		good &= flow_filter_may_match_known(filter, &o, asked) == matches &&
			flow_filter_must_match_known(filter, &o, asked) == matches;
	return good;
}

static void open_segment(struct recording *r)
{
	AUTO(segment_encoder_free) struct segment_encoder *enc = NULL;
	struct err e;

	r->segment_bytes = buf_init(FILE_BYTES);
	assert_int_equal(segment_encoder_new(1, &enc, &e), ERR_OK);
	assert_int_equal(segment_add(enc, r->flows, r->count, &e), ERR_OK);
	assert_int_equal(segment_finish(enc, &r->segment_bytes, &e), ERR_OK);
	assert_int_equal(segment_new(&r->segment, &e), ERR_OK);
	assert_int_equal(segment_open(r->segment, buf_str(&r->segment_bytes), &e), ERR_OK);
}

/* A segment of all lines gives the same answers, for all of them and for a part. */
static bool check_segment(struct flow_filter *filter, struct recording *r, const uint64_t *bits,
			  size_t found)
{
	const struct segment_question q = { .filter = filter, .kinds = UINT32_MAX };
	uint64_t got[MAX_LINES / 64];
	size_t n = 0, from = r->count / 3;
	struct err e;

	if (!r->segment)
		open_segment(r);
	segment_ask(r->segment, &q);
	assert_int_equal(segment_match(r->segment, 0, r->count, got, &n, &e), ERR_OK);
	bool good = n == found && memcmp(got, bits, (r->count + 63) / 64 * 8) == 0;
	assert_int_equal(segment_match(r->segment, from, 70, got, &n, &e), ERR_OK);
	for (size_t i = 0; i < 70; i++)
		good &= (got[i / 64] >> i % 64 & 1) ==
			(bits[(from + i) / 64] >> (from + i) % 64 & 1);
	if (!good)
		print_error("%s: a segment of it answers otherwise\n", r->name);
	return good;
}

static bool check_lines(struct golden *g, struct flow_filter *filter, struct str id,
			struct str cells[])
{
	bool good = true;

	for (size_t i = 0; i < FILES; i++) {
		struct recording *r = recording_of(g, files[i]);
		uint64_t bits[MAX_LINES / 64] = { 0 };
		AUTO_BUF struct buf text = buf_init(1 << 20);
		size_t found = flow_filter_match_n(filter, r->flows, r->count, bits), single = 0;

		put_lines(&text, bits, r->count);
		for (size_t k = 0; k < r->count; k++) {
			bool one = flow_filter_match(filter, &r->flows[k]);

			single += one;
			if (!check_members(filter, &r->flows[k], one)) {
				print_error("%.*s: %s line %zu: its members say otherwise\n",
					    STR_FMT(id), files[i], k + 1);
				good = false;
			}
			if (one != (bits[k / 64] >> k % 64 & 1)) {
				print_error("%.*s: %s line %zu: one at a time %d\n", STR_FMT(id),
					    files[i], k + 1, one);
				good = false;
			}
		}
		good &= check_zones(g, filter, r, bits);
		good &= check_segment(filter, r, bits, found);
		if (found != single || !str_eq(buf_str(&text), cells[i])) {
			print_error("%.*s: %s\n  expected %.*s\n  got      %.200s\n", STR_FMT(id),
				    files[i], (int)(cells[i].len < 200 ? cells[i].len : 200),
				    cells[i].p, buf_cstr(&text));
			good = false;
		}
	}
	return good;
}

/* @cells: id, allowlist, denylist, error, lines of each file. */
static bool check_row(struct golden *g, struct str *cells)
{
	Flow__FlowFilter *lists[2][MAX_FILTERS];
	size_t counts[2] = { 0, 0 };
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	bool good = true;
	struct err e = { .msg = "" };
	enum err_code code = ERR_PARSE;

	if (read_filters(cells[1], lists[0], &counts[0], &e) &&
	    read_filters(cells[2], lists[1], &counts[1], &e))
		code = flow_filter_new(lists[0], counts[0], lists[1], counts[1], g->dict, &filter,
				       &e);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < counts[i]; k++)
			flow__flow_filter__free_unpacked(lists[i][k], NULL);
	if (!str_is(cells[3], "-")) {
		/* the reader's sentences are not the filter's */
		good = str_has_prefix(cells[3], STR("proto:"))
			       ? code == ERR_PARSE
			       : code == ERR_INVALID && str_is(cells[3], e.msg);
	} else {
		good = code == ERR_OK && check_lines(g, filter, cells[0], cells + 4);
	}
	if (!good)
		print_error("%.*s: allow %.*s deny %.*s: expected error %.*s, got %s \"%s\"\n",
			    STR_FMT(cells[0]), STR_FMT(cells[1]), STR_FMT(cells[2]),
			    STR_FMT(cells[3]), err_code_name(code), e.msg);
	return good;
}

static void every_row_of_the_truth_table_selects_the_same_lines(void **state)
{
	size_t rows = 0, failed = 0;
	AUTO_BUF struct buf text = recorded_read("golden/filters.tsv");
	struct str rest = buf_str(&text), line;

	assert_true(str_split(&rest, '\n', &line));
	assert_true(str_has_suffix(line, STR("error\tflows/synthetic.jsonl\tflows/real.jsonl")));
	while (str_split(&rest, '\n', &line) && line.len) {
		struct str cells[4 + FILES], columns = line;

		for (size_t i = 0; i < ARRAY_LEN(cells); i++)
			assert_true(str_split(&columns, '\t', &cells[i]));
		rows++;
		failed += !check_row(*state, cells);
	}
	const struct golden *g = *state;
	print_message("%zu rows, %zu failed; of %zu zones %zu refused, %zu looked at in vain\n",
		      rows, failed, g->zones, g->refused, g->idle);
	assert_true(g->refused > g->idle); /* else they are not worth having */
	assert_true(rows > 400);
	assert_int_equal(failed, 0);
}

/* --- one flag of the command line ------------------------------------------------------------- */

/* A flag, and the fields that each get a filter of their own. */
static const struct flag {
	const char *name, *field, *other_field;
} flags[] = {
	{ "--cel-expression", "cel_expression", NULL }, /* in a message of its own */
	{ "--from-label", "source_label", NULL },
	{ "--to-label", "destination_label", NULL },
	{ "--label", "source_label", "destination_label" },
	{ "-l", "source_label", "destination_label" },
	{ "--node-label", "node_labels", NULL },
	{ "--node-name", "node_name", NULL },
	{ "--from-ip", "source_ip", NULL },
	{ "--to-ip", "destination_ip", NULL },
	{ "--ip", "source_ip", "destination_ip" },
	{ "--snat-ip", "source_ip_xlated", NULL },
	{ "--from-fqdn", "source_fqdn", NULL },
	{ "--to-fqdn", "destination_fqdn", NULL },
	{ "--fqdn", "source_fqdn", "destination_fqdn" },
	{ "--from-pod", "source_pod", NULL },
	{ "--to-pod", "destination_pod", NULL },
	{ "--pod", "source_pod", "destination_pod" },
	{ "--from-service", "source_service", NULL },
	{ "--to-service", "destination_service", NULL },
	{ "--service", "source_service", "destination_service" },
	{ "--from-cluster", "source_cluster_name", NULL },
	{ "--to-cluster", "destination_cluster_name", NULL },
	{ "--cluster", "source_cluster_name", "destination_cluster_name" },
	{ "--from-port", "source_port", NULL },
	{ "--to-port", "destination_port", NULL },
	{ "--port", "source_port", "destination_port" },
	{ "--protocol", "protocol", NULL },
	{ "--http-status", "http_status_code", NULL },
	{ "--http-method", "http_method", NULL },
	{ "--http-path", "http_path", NULL },
	{ "--http-url", "http_url", NULL },
	{ "--uuid", "uuid", NULL },
	{ "--trace-id", "trace_id", NULL },
};

/* ["--flag","value"] or ["--flag","value","-o","json"]: formats that print one line for each flow.
 */
static const struct flag *flag_of(const json_t *argv)
{
	size_t n = json_array_size(argv);

	if (n == 4 && strcmp(json_string_value(json_array_get(argv, 2)), "-o") == 0)
		n = strncmp(json_string_value(json_array_get(argv, 3)), "json", 4) == 0 ? 2 : n;
	for (size_t i = 0; n == 2 && i < ARRAY_LEN(flags); i++)
		if (strcmp(flags[i].name, json_string_value(json_array_get(argv, 0))) == 0)
			return &flags[i];
	return NULL;
}

/* @cells: id, area, argv, input, exit, stdout, stderr. */
static bool check_case(struct golden *g, struct str *cells, size_t *checked)
{
	json_t *argv = json_loadb(cells[2].p, cells[2].len, 0, NULL);
	const struct flag *flag = argv ? flag_of(argv) : NULL;
	char json[4096], input[64];
	Flow__FlowFilter *list[MAX_FILTERS];
	size_t count = 0;
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	AUTO_BUF struct buf out = recorded_read("golden/%.*s", STR_FMT(cells[5]));
	AUTO_BUF struct buf words = recorded_read("golden/%.*s", STR_FMT(cells[6]));
	struct str recorded = str_trim(buf_str(&out)), sentence = str_trim(buf_str(&words));
	struct err e = { .msg = "" };
	bool good;

	(void)snprintf(input, sizeof input, "%.*s", STR_FMT(cells[3]));
	/* what the command line itself refuses never becomes a filter */
	if (!flag || str_has_prefix(sentence, STR("invalid argument")) ||
	    strncmp(input, "flows/", 6) != 0) {
		json_decref(argv);
		return true;
	}
	char *value = json_dumps(json_array_get(argv, 1), JSON_ENCODE_ANY);
	(void)snprintf(json, sizeof json,
		       flag->other_field ? "[{\"%s\":[%s]},{\"%s\":[%s]}]"
		       : strcmp(flag->field, "cel_expression") == 0
			       ? "[{\"experimental\":{\"%s\":[%s]}}]"
			       : "[{\"%s\":[%s]}]",
		       flag->field, value, flag->other_field, value);
	free(value);
	json_decref(argv);
	(*checked)++;
	assert_true(read_filters(str_of(json), list, &count, &e));
	enum err_code code = flow_filter_new(list, count, NULL, 0, g->dict, &filter, &e);
	for (size_t i = 0; i < count; i++)
		flow__flow_filter__free_unpacked(list[i], NULL);
	if (str_is(cells[4], "0")) {
		size_t lines = 0, printed = recorded.len > 0;
		const struct recording *r = recording_of(g, input);

		for (size_t i = 0; i < recorded.len; i++)
			printed += recorded.p[i] == '\n';
		for (size_t i = 0; code == ERR_OK && i < r->count; i++)
			lines += r->flows[i].kind <= FLOW_KIND_LOST &&
				 flow_filter_match(filter, &r->flows[i]);
		good = code == ERR_OK && lines == printed;
		if (!good)
			print_error("%.*s: %s: expected %zu lines, got %zu %s\n", STR_FMT(cells[0]),
				    json, printed, lines, e.msg);
	} else {
		/* sentences longer than an err are cut */
		size_t len = strlen(e.msg) < ERR_MSG_BYTES - 8 ? sentence.len : ERR_MSG_BYTES - 8;

		good = code == ERR_INVALID &&
		       str_eq(str_upto(sentence, len), str_upto(str_of(e.msg), len));
		if (!good)
			print_error("%.*s: %s:\n  expected %.*s\n  got      %s\n",
				    STR_FMT(cells[0]), json, STR_FMT(sentence), e.msg);
	}
	return good;
}

static void every_case_with_one_filter_flag_selects_or_fails_alike(void **state)
{
	size_t checked = 0, failed = 0;
	AUTO_BUF struct buf text = recorded_read("golden/cases.tsv");
	struct str rest = buf_str(&text), line;

	while (str_split(&rest, '\n', &line) && line.len) {
		struct str cells[7], columns = line;

		for (size_t i = 0; i < ARRAY_LEN(cells); i++)
			assert_true(str_split(&columns, '\t', &cells[i]));
		if (str_is(cells[1], "label") || str_is(cells[1], "filter") ||
		    str_is(cells[1], "error") || str_is(cells[1], "cel"))
			failed += !check_case(*state, cells, &checked);
	}
	print_message("%zu cases, %zu failed\n", checked, failed);
	assert_true(checked > 200);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_truth_table_selects_the_same_lines),
		cmocka_unit_test(every_case_with_one_filter_flag_selects_or_fails_alike),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
