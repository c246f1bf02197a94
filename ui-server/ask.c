#include "ui-server/ask.h"

#include <jansson.h>

#include "base/time.h"
#include "filter/filter.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

/* Fields of observer.GetFlowsRequest. */
enum { FIELD_BLACKLIST = 5, FIELD_WHITELIST = 6, FIELD_SINCE = 7, FIELD_UNTIL = 8 };
enum { SECONDS_MOST = 2147483647 };
/* A dictionary that compiled filters ask nothing of. */
enum { DICT_ENTRIES = 1 };

/* Accepts a pointer to NULL, as guards do. */
static void json_done(json_t **j)
{
	json_decref(*j);
}
#define AUTO_JSON __attribute__((cleanup(json_done)))

static enum err_code read_filter(const json_t *item, uint32_t field, struct buf *out, struct err *e)
{
	AUTO_BUF struct buf wire = buf_init(UI_WIRE_ASK_BYTES * 2);
	const struct json_options options = { .reject_unknown = true };
	AUTO(own_free) char *text = json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!text)
		return err_set(e, ERR_NOMEM, "filter");
	if (json_read_message(str_of(text), &flow__flow_filter__descriptor, &options, &wire, NULL,
			      e) != ERR_OK)
		return e->code;
	wire_put_len(out, field, buf_str(&wire));
	return out->failed ? err_set(e, ERR_NOMEM, "filters") : ERR_OK;
}

static enum err_code read_filters(const json_t *list, const char *member, uint32_t field,
				  struct buf *out, struct err *e)
{
	if (!list)
		return ERR_OK;
	if (!json_is_array(list))
		return err_set(e, ERR_PARSE, "%s: expected a list of filters", member);
	if (json_array_size(list) > UI_WIRE_ASK_FILTERS)
		return err_set(e, ERR_INVALID, "%s: more than %d filters", member,
			       UI_WIRE_ASK_FILTERS);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_filter(json_array_get(list, i), field, out, e) != ERR_OK)
			return err_in(e, "%s[%zu]", member, i);
	return ERR_OK;
}

static void put_time(struct buf *out, uint32_t field, uint64_t ns)
{
	size_t mark = wire_begin(out, field);

	wire_put_u64(out, 1, ns / NS_PER_S);
	wire_put_u64(out, 2, ns % NS_PER_S);
	wire_end(out, mark);
}

static enum err_code read_range(const json_t *root, struct buf *out, struct err *e)
{
	const json_t *since = json_object_get(root, "since"),
		     *until = json_object_get(root, "until");
	json_int_t from = json_integer_value(since), to = json_integer_value(until);

	if (!since && !until)
		return ERR_OK;
	if (!json_is_integer(since) || !json_is_integer(until) || from < 0 || to <= from ||
	    to / 1000 > SECONDS_MOST)
		return err_set(
			e, ERR_INVALID,
			"since and until: expected milliseconds since 1970, the earlier first");
	put_time(out, FIELD_SINCE, (uint64_t)from * NS_PER_MS);
	/* Servers take "until" as part of the range: what begins there belongs to the next. */
	put_time(out, FIELD_UNTIL, (uint64_t)to * NS_PER_MS - 1);
	return ERR_OK;
}

static enum err_code read_only(const json_t *root, struct buf *out, struct err *e)
{
	const json_t *only = json_object_get(root, "only");
	const char *what = json_string_value(only);

	if (!only)
		return ERR_OK;
	if (!what || strcmp(what, "rates") != 0)
		return err_set(e, ERR_INVALID, "only: expected \"rates\"");
	if (!json_object_get(root, "since"))
		return err_set(e, ERR_INVALID, "only rates: of a range, with since and until");
	wire_put_u64(out, UI_ASK_ONLY_RATES, 1);
	return ERR_OK;
}

/* Compiles what a server would compile: its refusal is known before it is asked. */
static enum err_code check_filters(struct str wire, struct err *e)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	Observer__GetFlowsRequest *request =
		observer__get_flows_request__unpack(NULL, wire.len, (const uint8_t *)wire.p);

	if (!request)
		return err_set(e, ERR_NOMEM, "filters");
	enum err_code code = flow_dict_new(DICT_ENTRIES, &dict, e);
	if (code == ERR_OK)
		code = flow_filter_new(request->whitelist, request->n_whitelist, request->blacklist,
				       request->n_blacklist, dict, &filter, e);
	observer__get_flows_request__free_unpacked(request, NULL);
	return code;
}

bool ui_taken_read(struct str text, uint64_t *ret_messages)
{
	AUTO_JSON json_t *root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
	const char *type = json_string_value(json_object_get(root, "type"));
	const json_t *messages = json_object_get(root, "messages");
	json_int_t n = json_integer_value(messages);

	if (!type || strcmp(type, "taken") != 0 || !json_is_integer(messages) || n < 0)
		return false;
	*ret_messages = (uint64_t)n;
	return true;
}

enum err_code ui_ask_read(struct str text, uint32_t *ret_watch, struct buf *ret_filters,
			  struct err *e)
{
	json_error_t fault;
	AUTO_BUF struct buf wire = buf_init(UI_WIRE_ASK_BYTES * 4);
	AUTO_JSON json_t *root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &fault);

	*ret_watch = 0;
	if (!root)
		return err_set(e, ERR_PARSE, "not JSON: %s", fault.text);
	const char *type = json_string_value(json_object_get(root, "type"));
	json_int_t watch = json_integer_value(json_object_get(root, "watch"));
	if (watch > 0 && watch <= UINT32_MAX)
		*ret_watch = (uint32_t)watch;
	if (!type || strcmp(type, "watch") != 0 || !*ret_watch)
		return err_set(e, ERR_PARSE, "expected {\"type\":\"watch\",\"watch\":N,…}");
	enum err_code code =
		read_filters(json_object_get(root, "allow"), "allow", FIELD_WHITELIST, &wire, e);
	if (code == ERR_OK)
		code = read_filters(json_object_get(root, "deny"), "deny", FIELD_BLACKLIST, &wire,
				    e);
	if (code == ERR_OK)
		code = read_range(root, &wire, e);
	if (code == ERR_OK)
		code = read_only(root, &wire, e);
	if (code == ERR_OK)
		code = check_filters(buf_str(&wire), e);
	if (code != ERR_OK)
		return code;
	buf_str_put(ret_filters, buf_str(&wire));
	return ret_filters->failed ? err_set(e, ERR_NOMEM, "filters") : ERR_OK;
}
