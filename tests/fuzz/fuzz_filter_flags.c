/* The words of an observe command, one a line, as far as they choose flows: flags are read, made
 * into filters, explained, printed as --print-raw-filters does, read back and compiled. */
#include <stdlib.h>

#include "base/buf.h"
#include "cli/explain.h"
#include "cli/flags.h"
#include "cli/observe_filter.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MOST = 64, INPUT_BYTES_MOST = 4096, TEXT_BYTES = 16 << 20 };

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static enum err_code on_filter(void *ctx, const struct flag_def *def, const char *text,
			       struct err *e)
{
	return observe_filter_set(ctx, def->name, text, e);
}

static bool add_raw(const struct flags *flags, const char *name, struct filter_list *list)
{
	const char *json;
	struct err e;

	for (size_t i = 0; (json = flags_item(flags, name, i)); i++)
		if (filter_list_add_json(list, json, &e) != ERR_OK)
			return false;
	return true;
}

/* A filter as JSON. */
static void put_json(const Flow__FlowFilter *f, struct buf *json)
{
	AUTO_BUF struct buf wire = buf_init(TEXT_BYTES);
	char *to = buf_reserve(&wire, flow__flow_filter__get_packed_size(f) + 1);
	struct err e;

	expect(to);
	wire.len = flow__flow_filter__pack(f, (uint8_t *)to);
	expect(json_put_message(json, &flow__flow_filter__descriptor, buf_str(&wire), &e) ==
	       ERR_OK);
}

/* What was printed, read again and printed again is the same. */
static void check_round_trip(const struct filter_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		AUTO_BUF struct buf once = buf_init(TEXT_BYTES), twice = buf_init(TEXT_BYTES);
		AUTO_FILTER_LIST struct filter_list again = { 0 };
		struct err e;

		put_json(list->items[i], &once);
		expect(filter_list_add_json(&again, buf_cstr(&once), &e) == ERR_OK);
		expect(again.count == 1);
		put_json(again.items[0], &twice);
		expect(str_eq(buf_str(&once), buf_str(&twice)));
	}
}

/* No word of the input may steer the terminal. */
static void check_explanation(const struct observe_request *r)
{
	AUTO_BUF struct buf words = buf_init(TEXT_BYTES), json = buf_init(TEXT_BYTES);
	const struct explain x = { .request = r, .server = "s" };
	struct err e;

	expect(explain_put_words(&x, &words, &e) == ERR_OK);
	expect(explain_put_json(&x, &json, &e) == ERR_OK);
	for (size_t i = 0; i < words.len; i++)
		expect((unsigned char)words.p[i] >= ' ' || words.p[i] == '\n');
	for (size_t i = 0; i + 1 < json.len; i++)
		expect((unsigned char)json.p[i] >= ' ');
}

static void check(struct observe_filter *of, const struct flags *flags)
{
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	struct err e = { .msg = "" };

	if (observe_filter_check(of, &e) != ERR_OK)
		return;
	expect(observe_filter_lists(of, &r.allow, &r.deny, &e) == ERR_OK);
	expect(r.allow.count <= 2 && r.deny.count <= 2);
	r.allow_by_flags = r.allow.count;
	r.deny_by_flags = r.deny.count;
	if (!add_raw(flags, "allowlist", &r.allow) || !add_raw(flags, "denylist", &r.deny))
		return;
	check_round_trip(&r.allow);
	check_round_trip(&r.deny);
	check_explanation(&r);
	expect(flow_dict_new(1, &dict, &e) == ERR_OK);
	if (flow_filter_new(r.allow.items, r.allow.count, r.deny.items, r.deny.count, dict, &filter,
			    &e) != ERR_OK) {
		expect(e.msg[0]);
		return;
	}
	(void)flow_filter_match(filter, &(struct flow){ 0 });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct flag_set *const sets[] = { &selector_flags, &filter_flags,
						       &raw_filter_flags };
	AUTO(observe_filter_free) struct observe_filter *of = NULL;
	AUTO(flags_free) struct flags *flags = NULL;
	char text[INPUT_BYTES_MOST + 1];
	const char *words[WORDS_MOST];
	size_t n = 0;
	struct err e = { .msg = "" };

	if (size > INPUT_BYTES_MOST)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *at = text; n < WORDS_MOST && at < text + size;) {
		char *end = strchr(at, '\n');
		words[n++] = at;
		if (!end)
			break;
		*end = '\0';
		at = end + 1;
	}
	expect(observe_filter_new(&of, &e) == ERR_OK);
	const struct flags_config config = { sets, ARRAY_LEN(sets), on_filter, of };
	if (flags_parse(&config, words, n, &flags, &e) != ERR_OK) {
		expect(e.msg[0]);
		return 0;
	}
	check(of, flags);
	return 0;
}
