#include "cli/explain.h"

#include "cli/explain_field.h"
#include "flow/json.h"

enum { COLUMNS = 100 };

/* Where filters come from. */
struct origin {
	const struct filter_list *list;
	size_t by_flags;      /* the first so many are of the filter flags … */
	const char *raw_flag; /* … and the others of this one */
};

static struct origin shown(const struct observe_request *r)
{
	return (struct origin){ &r->allow, r->allow_by_flags, "allowlist" };
}

static struct origin hidden(const struct observe_request *r)
{
	return (struct origin){ &r->deny, r->deny_by_flags, "denylist" };
}

static const char *origin_of(const struct origin *o, size_t i)
{
	return i < o->by_flags ? "flags" : o->raw_flag;
}

static size_t conditions(const Flow__FlowFilter *f)
{
	size_t n = 0;

	for (size_t i = 0; i < EXPLAIN_FIELD_COUNT; i++)
		n += explain_field_values(i, f) > 0;
	return n;
}

/* Which of the flows that match are shown, before any follow. */
enum order { ORDER_ALL, ORDER_NONE, ORDER_OLDEST, ORDER_NEWEST };

/* A server that was told since when counts from there on, whatever the flag, and a follower's
 * number says how far to go back, which since has said already (reference/hubble-api.md 3.2). */
static enum order order_of(const struct explain *x)
{
	const struct observe_request *r = x->request;
	bool from_since = !x->file && r->has_since;

	if (!x->file && r->follow && !r->number && !r->has_since)
		return ORDER_NONE;
	if (!r->number || r->number == UINT64_MAX || (r->follow && from_since))
		return ORDER_ALL;
	return r->first || from_since ? ORDER_OLDEST : ORDER_NEWEST;
}

/* --- words --- */

static void put_matching(struct buf *b, uint64_t n)
{
	buf_u64(b, n);
	buf_printf(b, " %s", n == 1 ? "flow that matches" : "flows that match");
}

static void put_source(const struct explain *x, struct buf *b)
{
	if (!x->file)
		buf_printf(b, "Asks the server %s.\n", x->server);
	else if (strcmp(x->file, "-") == 0)
		buf_lit(b, "Reads standard input; no server is asked.\n");
	else
		buf_printf(b, "Reads the file %s; no server is asked.\n", x->file);
}

static void put_times(const struct observe_request *r, struct buf *b)
{
	if (!r->has_since && !r->has_until)
		return;
	buf_lit(b, "Takes flows");
	if (r->has_since) {
		buf_lit(b, " from ");
		timestamp_put(b, r->since);
		buf_lit(b, " on");
	}
	if (r->has_until) {
		buf_printf(b, "%s up to and including ", r->has_since ? "," : "");
		timestamp_put(b, r->until);
	}
	buf_lit(b, ".\n");
}

static void put_file_number(const struct explain *x, struct buf *b)
{
	enum order order = order_of(x);

	if (order == ORDER_ALL) {
		buf_lit(b, "Prints all flows that match.\n");
		return;
	}
	buf_printf(b, "Prints the %s ", order == ORDER_OLDEST ? "first" : "last");
	put_matching(b, x->request->number);
	buf_printf(b, "%s.\n", order == ORDER_OLDEST ? "" : ", once the file has ended");
}

static void put_server_number(const struct explain *x, struct buf *b)
{
	const struct observe_request *r = x->request;
	enum order order = order_of(x);

	if (order == ORDER_NONE)
		buf_lit(b, "Begins now");
	else
		buf_printf(b, "%s ", r->follow ? "Begins with" : "Prints");
	if (order == ORDER_ALL)
		buf_lit(b, "all stored flows that match");
	if (order == ORDER_OLDEST || order == ORDER_NEWEST) {
		buf_printf(b, "the %s ", order == ORDER_OLDEST ? "oldest" : "newest");
		put_matching(b, r->number);
		buf_lit(b, " (of each node, where the server is a relay)");
	}
	if (r->follow)
		buf_printf(b, ", then follows: prints flows as they happen%s",
			   r->has_until ? ", up to that time" : "");
	buf_lit(b, ".\n");
	if (order == ORDER_OLDEST && !r->first)
		buf_lit(b, "(Servers count from --since on, also for --last.)\n");
}

static void put_conditions(const Flow__FlowFilter *f, struct buf *b)
{
	for (size_t i = 0; i < EXPLAIN_FIELD_COUNT; i++) {
		if (!explain_field_values(i, f))
			continue;
		buf_lit(b, "       ");
		explain_field_put_words(i, f, b);
		buf_char(b, '\n');
	}
}

static void put_alternative(const struct origin *o, size_t i, struct buf *b)
{
	const Flow__FlowFilter *f = o->list->items[i];
	size_t n = conditions(f);

	buf_printf(b, "%s",
		   n == 0   ? "nothing is required, so every one"
		   : n == 1 ? "this holds"
			    : "all of");
	if (i >= o->by_flags)
		buf_printf(b, " (from --%s)", o->raw_flag);
	buf_printf(b, "%s\n", n ? ":" : "");
	put_conditions(f, b);
}

/* @verb: "Shows flows". */
static void put_alternatives(const struct origin *o, const char *verb, struct buf *b)
{
	if (o->list->count == 1) {
		buf_printf(b, "%s for which ", verb);
		put_alternative(o, 0, b);
		return;
	}
	buf_printf(b, "%s for which any of these holds:\n", verb);
	for (size_t i = 0; i < o->list->count; i++) {
		buf_printf(b, "  %zu. ", i + 1);
		put_alternative(o, i, b);
	}
}

/* What surprises people about the filters that flags make. */
static void put_notes(const struct observe_request *r, struct buf *b)
{
	if (r->allow_by_flags > 1 || r->deny_by_flags > 1)
		buf_lit(b, "\nA flag without from- or to- asks for either side: one alternative is "
			   "for the "
			   "source, one for the\ndestination. Several such flags ask for the same "
			   "side.\n");
	if (r->deny_by_flags && conditions(r->deny.items[0]) > 1)
		buf_lit(b, "\nFlags behind --not are one filter together: a flow that matches only "
			   "some of "
			   "them is not hidden.\n");
}

static void put_fields(const struct observe_request *r, struct buf *b)
{
	size_t column = 0;

	buf_lit(b, "\nAsks for these fields of each flow only:\n");
	for (size_t i = 0; i < r->mask_count; i++) {
		size_t len = strlen(r->mask[i]) + 1; /* and a comma */
		bool fresh = !column || column + 1 + len > COLUMNS;
		if (fresh)
			buf_printf(b, "%s      ", i ? "\n" : "");
		column = (fresh ? 6 : column) + 1 + len;
		buf_printf(b, " %s%s", r->mask[i], i + 1 < r->mask_count ? "," : "");
	}
	buf_char(b, '\n');
}

static enum err_code end_of(const struct buf *b, struct err *e)
{
	return b->failed ? err_set(e, ERR_NOMEM, "explanation") : ERR_OK;
}

static void put_shown_and_hidden(const struct observe_request *r, struct buf *b)
{
	const struct origin show = shown(r), hide = hidden(r);

	if (show.list->count)
		put_alternatives(&show, "Shows flows", b);
	else if (!hide.list->count)
		buf_lit(b, "Shows every flow.\n");
	if (hide.list->count)
		put_alternatives(&hide,
				 show.list->count ? "Of these, hides flows"
						  : "Shows every flow, but hides flows",
				 b);
}

enum err_code explain_put_scope(const struct observe_request *r, struct buf *b, struct err *e)
{
	put_times(r, b);
	put_shown_and_hidden(r, b);
	return end_of(b, e);
}

enum err_code explain_put_words(const struct explain *x, struct buf *b, struct err *e)
{
	const struct observe_request *r = x->request;

	put_source(x, b);
	put_times(r, b);
	if (x->file)
		put_file_number(x, b);
	else
		put_server_number(x, b);
	buf_char(b, '\n');
	put_shown_and_hidden(r, b);
	put_notes(r, b);
	if (r->mask_count && !x->file)
		put_fields(r, b);
	return end_of(b, e);
}

/* --- JSON --- */

static void put_member(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "\"%s\":", name);
	json_put_string(b, str_of(text));
}

static void put_time_member(struct buf *b, const char *name, struct timestamp t)
{
	buf_printf(b, ",\"%s\":\"", name);
	timestamp_put(b, t);
	buf_char(b, '"');
}

static void put_select(const struct explain *x, struct buf *b)
{
	static const char *const names[] = {
		[ORDER_ALL] = "all",
		[ORDER_NONE] = "none",
		[ORDER_OLDEST] = "oldest",
		[ORDER_NEWEST] = "newest",
	};
	const struct observe_request *r = x->request;
	enum order order = order_of(x);
	bool follow = r->follow && !x->file; /* a file has an end */

	buf_lit(b, ",\"select\":{");
	put_member(b, "order", names[order]);
	if (order == ORDER_OLDEST || order == ORDER_NEWEST) {
		buf_lit(b, ",\"number\":");
		buf_u64(b, r->number);
	}
	buf_printf(b, ",\"follow\":%s", follow ? "true" : "false");
	if (r->has_since)
		put_time_member(b, "since", r->since);
	if (r->has_until)
		put_time_member(b, "until", r->until);
	buf_char(b, '}');
}

static enum err_code put_condition(const Flow__FlowFilter *f, size_t field, struct buf *b,
				   struct err *e)
{
	AUTO_BUF struct buf words = buf_init(b->max);

	buf_char(b, '{');
	put_member(b, "field", explain_field_name(field));
	buf_lit(b, ",\"any_of\":");
	if (explain_field_put_json(field, f, b, e) != ERR_OK)
		return e->code;
	explain_field_put_words(field, f, &words);
	buf_lit(b, ",\"words\":");
	json_put_string(b, buf_str(&words));
	buf_char(b, '}');
	return end_of(&words, e);
}

static enum err_code put_filter(const Flow__FlowFilter *f, const char *from, struct buf *b,
				struct err *e)
{
	const char *comma = "";

	buf_char(b, '{');
	put_member(b, "from", from);
	buf_lit(b, ",\"all_of\":[");
	for (size_t i = 0; i < EXPLAIN_FIELD_COUNT; i++) {
		if (!explain_field_values(i, f))
			continue;
		buf_printf(b, "%s", comma);
		comma = ",";
		if (put_condition(f, i, b, e) != ERR_OK)
			return e->code;
	}
	buf_lit(b, "]}");
	return ERR_OK;
}

static enum err_code put_filters(const char *name, const struct origin *o, struct buf *b,
				 struct err *e)
{
	buf_printf(b, ",\"%s\":{\"any_of\":[", name);
	for (size_t i = 0; i < o->list->count; i++) {
		if (i)
			buf_char(b, ',');
		if (put_filter(o->list->items[i], origin_of(o, i), b, e) != ERR_OK)
			return e->code;
	}
	buf_lit(b, "]}");
	return ERR_OK;
}

enum err_code explain_put_json(const struct explain *x, struct buf *b, struct err *e)
{
	const struct observe_request *r = x->request;
	const struct origin show = shown(r), hide = hidden(r);

	buf_lit(b, "{\"source\":{");
	put_member(b, x->file ? "file" : "server", x->file ? x->file : x->server);
	buf_char(b, '}');
	put_select(x, b);
	if (!show.list->count) /* everything: one alternative without conditions */
		buf_lit(b, ",\"show\":{\"any_of\":[{\"from\":\"flags\",\"all_of\":[]}]}");
	else if (put_filters("show", &show, b, e) != ERR_OK)
		return e->code;
	if (put_filters("hide", &hide, b, e) != ERR_OK)
		return e->code;
	if (r->mask_count && !x->file) {
		buf_lit(b, ",\"fields\":[");
		for (size_t i = 0; i < r->mask_count; i++) {
			buf_printf(b, "%s", i ? "," : "");
			json_put_string(b, str_of(r->mask[i]));
		}
		buf_char(b, ']');
	}
	buf_lit(b, "}\n");
	return end_of(b, e);
}
