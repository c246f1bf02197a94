#include "metrics_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/json.h"
#include "flow/wire.h"

void world_done(struct world *w)
{
	flow_metrics_free(w->fm);
	metrics_free(w->metrics);
	flow_dict_free(w->dict);
	free(w->page);
}

static void warn(void *ctx, const char *sentence)
{
	struct world *w = ctx;

	(void)snprintf(w->warning, sizeof w->warning, "%s", sentence);
	w->warnings++;
}

void open_world(struct world *w, size_t series, bool kernel_drops)
{
	*w = (struct world){ 0 };
	assert_int_equal(metrics_new(series, &w->metrics, NULL), ERR_OK);
	assert_int_equal(flow_dict_new(10000, &w->dict, NULL), ERR_OK);
	const struct flow_metrics_config config = { .metrics = w->metrics,
						    .dict = w->dict,
						    .kernel_drops = kernel_drops,
						    .warn = warn,
						    .ctx = w };
	assert_int_equal(flow_metrics_new(&config, &w->fm, NULL), ERR_OK);
}

void configure(struct world *w, const char *list)
{
	struct err e;

	if (flow_metrics_list(w->fm, str_of(list), &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

struct endpoint_id pod(struct world *w, const char *ns, const char *name)
{
	return flow_dict_endpoint(
		w->dict, &(struct endpoint){ .namespace_ = str_of(ns), .pod = str_of(name) });
}

struct flow packet(int32_t event, uint8_t verdict)
{
	return (struct flow){ .kind = FLOW_KIND_FLOW,
			      .bits = FLOW_HAS_EVENT_TYPE | FLOW_HAS_IP | FLOW_HAS_TCP_FLAGS,
			      .event_type = event,
			      .verdict = verdict,
			      .l4 = FLOW_L4_TCP,
			      .ip_version = 1 };
}

void count(struct world *w, const struct flow *f)
{
	flow_metrics_count(w->fm, f, 1, (struct wall_ns){ 1 });
}

void count_message(struct world *w, const char *json)
{
	AUTO_BUF struct buf wire = buf_init(1 << 20);
	struct flow f;
	struct err e;

	if (json_read_message(str_of(json), &flow__flow__descriptor, NULL, &wire, NULL, &e) !=
		    ERR_OK ||
	    flow_decode(buf_str(&wire), w->dict, &f, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	count(w, &f);
}

const char *page_as(struct world *w, enum page_format format)
{
	AUTO_BUF struct buf out = buf_init(16 << 20);

	assert_int_equal(metrics_write(w->metrics, format, &out, NULL), ERR_OK);
	free(w->page);
	w->page = str_dup(buf_str(&out));
	assert_non_null(w->page);
	return w->page;
}

const char *page(struct world *w)
{
	return page_as(w, PAGE_TEXT);
}

void expect(struct world *w, const char *line)
{
	char wanted[512];

	(void)snprintf(wanted, sizeof wanted, "\n%s\n", line);
	if (!strstr(page(w), wanted))
		fail_msg("no line '%s' in:\n%s", line, w->page);
}

void expect_none(struct world *w, const char *text)
{
	if (strstr(page(w), text))
		fail_msg("'%s' in:\n%s", text, w->page);
}
