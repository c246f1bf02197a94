/* The recorded truth table of the reference: every row of golden/filters.tsv against every line of its flow files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "filter/filter.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum { FILES = 2, MAX_LINES = 4096, MAX_FILTERS = 64, FILE_BYTES = 1 << 24 };

static const char *const files[FILES] = { "flows/synthetic.jsonl", "flows/real.jsonl" };

struct recording {
	struct flow flows[MAX_LINES];
	size_t count;
	struct buf bytes[MAX_LINES]; /* what the flows borrow from */
};

struct golden {
	struct flow_dict *dict;
	struct recording files[FILES];
};

static char *read_golden(const char *name, size_t *ret_len)
{
	const char *dir = getenv("TYCHO_SHARED");
	char path[1024];

	(void)snprintf(path, sizeof path, "%s/golden/%s", dir ? dir : TYCHO_SHARED, name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s cannot be opened; TYCHO_SHARED names the directory of the recorded data", path);
	char *text = malloc(FILE_BYTES);
	assert_non_null(text);
	*ret_len = fread(text, 1, FILE_BYTES, f);
	assert_true(*ret_len < FILE_BYTES);
	(void)fclose(f);
	return text;
}

static void read_flow(struct golden *g, struct recording *r, struct str line)
{
	struct json_options options = { .reject_unknown = false };
	struct flow_response response;
	struct buf *bytes = &r->bytes[r->count];
	struct flow *f = &r->flows[r->count];
	struct err e;

	assert_true(r->count < MAX_LINES);
	*bytes = buf_init(FILE_BYTES);
	if (json_read_message(line, &observer__get_flows_response__descriptor, &options, bytes, NULL, &e) != ERR_OK)
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

static int setup(void **state)
{
	struct golden *g = calloc(1, sizeof *g);
	struct err e;

	assert_non_null(g);
	assert_int_equal(flow_dict_new(1 << 16, &g->dict, &e), ERR_OK);
	for (size_t i = 0; i < FILES; i++) {
		size_t len;
		AUTO(own_free) char *text = read_golden(files[i], &len);
		struct str rest = str_n(text, len), line;

		while (str_split(&rest, '\n', &line) && line.len)
			read_flow(g, &g->files[i], line);
	}
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct golden *g = *state;

	for (size_t i = 0; i < FILES; i++)
		for (size_t k = 0; k < g->files[i].count; k++)
			buf_done(&g->files[i].bytes[k]);
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

		if (json_read_prefix(json, &flow__flow_filter__descriptor, &options, &wire, &used, e) != ERR_OK)
			return false;
		assert_true(*ret_count < MAX_FILTERS);
		out[*ret_count] =
			flow__flow_filter__unpack(NULL, wire.len, (const uint8_t *)(wire.p ? wire.p : ""));
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

static bool check_lines(struct golden *g, struct flow_filter *filter, struct str id, struct str cells[])
{
	bool good = true;

	for (size_t i = 0; i < FILES; i++) {
		const struct recording *r = &g->files[i];
		uint64_t bits[MAX_LINES / 64] = { 0 };
		AUTO_BUF struct buf text = buf_init(1 << 20);
		size_t found = flow_filter_match_n(filter, r->flows, r->count, bits), single = 0;

		put_lines(&text, bits, r->count);
		for (size_t k = 0; k < r->count; k++) {
			bool one = flow_filter_match(filter, &r->flows[k]);

			single += one;
			if (one != (bits[k / 64] >> k % 64 & 1)) {
				print_error("%.*s: %s line %zu: one at a time %d\n", STR_FMT(id), files[i], k + 1, one);
				good = false;
			}
		}
		if (found != single || !str_eq(buf_str(&text), cells[i])) {
			print_error("%.*s: %s\n  expected %.*s\n  got      %.200s\n", STR_FMT(id), files[i],
				    (int)(cells[i].len < 200 ? cells[i].len : 200), cells[i].p, buf_cstr(&text));
			good = false;
		}
	}
	return good;
}

/* @cells: id, allowlist, denylist, error, lines of each file. */
static bool check_row(struct golden *g, struct str *cells, size_t *cel_rows)
{
	Flow__FlowFilter *lists[2][MAX_FILTERS];
	size_t counts[2] = { 0, 0 };
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	bool wants_cel = false, good = true;
	struct err e = { .msg = "" };
	enum err_code code = ERR_PARSE;

	if (read_filters(cells[1], lists[0], &counts[0], &e) && read_filters(cells[2], lists[1], &counts[1], &e)) {
		code = flow_filter_new(lists[0], counts[0], lists[1], counts[1], g->dict, &filter, &e);
		for (size_t i = 0; i < 2; i++)
			for (size_t k = 0; k < counts[i]; k++)
				wants_cel = wants_cel || (lists[i][k]->experimental &&
							  lists[i][k]->experimental->n_cel_expression);
	}
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < counts[i]; k++)
			flow__flow_filter__free_unpacked(lists[i][k], NULL);
	if (wants_cel) {
		(*cel_rows)++;
		good = code == ERR_UNSUPPORTED &&
		       strcmp(e.msg, "filtering by CEL expression is not supported") == 0;
	} else if (!str_is(cells[3], "-")) {
		/* the reader's sentences are not the filter's */
		good = str_has_prefix(cells[3], STR("proto:")) ? code == ERR_PARSE :
								  code == ERR_INVALID && str_is(cells[3], e.msg);
	} else {
		good = code == ERR_OK && check_lines(g, filter, cells[0], cells + 4);
	}
	if (!good)
		print_error("%.*s: allow %.*s deny %.*s: expected error %.*s, got %s \"%s\"\n", STR_FMT(cells[0]),
			    STR_FMT(cells[1]), STR_FMT(cells[2]), STR_FMT(cells[3]), err_code_name(code), e.msg);
	return good;
}

static void every_row_of_the_truth_table_selects_the_same_lines(void **state)
{
	size_t len, rows = 0, failed = 0, cel_rows = 0;
	AUTO(own_free) char *text = read_golden("filters.tsv", &len);
	struct str rest = str_n(text, len), line;

	assert_true(str_split(&rest, '\n', &line));
	assert_true(str_has_suffix(line, STR("error\tflows/synthetic.jsonl\tflows/real.jsonl")));
	while (str_split(&rest, '\n', &line) && line.len) {
		struct str cells[4 + FILES], columns = line;

		for (size_t i = 0; i < ARRAY_LEN(cells); i++)
			assert_true(str_split(&columns, '\t', &cells[i]));
		rows++;
		failed += !check_row(*state, cells, &cel_rows);
	}
	print_message("%zu rows, %zu of them CEL, %zu failed\n", rows, cel_rows, failed);
	assert_true(rows > 400);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_truth_table_selects_the_same_lines),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
