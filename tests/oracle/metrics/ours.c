/*
 * metrics_answer - the metrics of flows, configured, fed and scraped as questions on standard input say.
 *
 * Our side of the oracle: messages and their order are those of main.go, which asks the reference.
 */
#include <stdio.h>
#include <stdlib.h>

#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "metrics/metrics.h"
#include "observer/metrics/flow_metrics.h"
#include "observer/observer.pb-c.h"

enum { GROUP = 100, SERIES = 20000, BYTES = 64 << 20, DICT_ENTRIES = 100000, VERB_BYTES = 16 };

/* What one question has built so far. */
struct question {
	struct metrics *metrics;
	struct flow_dict *dict;
	struct flow_metrics *fm;
};

static void put(const char *verb, struct str payload)
{
	(void)printf("%s %zu\n", verb, payload.len);
	(void)fwrite(payload.p, 1, payload.len, stdout);
	(void)putchar('\n');
}

static void warn(void *ctx, const char *sentence)
{
	(void)ctx;
	if (!strstr(sentence, " has no option '")) /* of these the reference says nothing */
		put("said", str_of(sentence));
}

static void must(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "metrics_answer: %s\n", e->msg);
	exit(2);
}

static void begin(struct question *q)
{
	struct err e;

	must(metrics_new(SERIES, &q->metrics, &e), &e);
	must(flow_dict_new(DICT_ENTRIES, &q->dict, &e), &e);
	const struct flow_metrics_config config = { .metrics = q->metrics,
						    .dict = q->dict,
						    .warn = warn };
	must(flow_metrics_new(&config, &q->fm, &e), &e);
}

static void end(struct question *q)
{
	flow_metrics_free(q->fm);
	metrics_free(q->metrics);
	flow_dict_free(q->dict);
	*q = (struct question){ 0 };
}

/* Flows as they come from the log, some at a time; their bytes stay where they are until they are counted. */
struct group {
	struct flow flows[GROUP];
	struct buf wires[GROUP];
	size_t count;
};

static void count_group(struct question *q, struct group *g)
{
	flow_metrics_count(q->fm, g->flows, g->count, (struct wall_ns){ NS_PER_S });
	for (size_t i = 0; i < g->count; i++)
		buf_done(&g->wires[i]);
	g->count = 0;
}

/* @return false: no message of the API. */
static bool take_line(struct question *q, struct group *g, struct str line)
{
	AUTO_BUF struct buf wire = buf_init(BYTES);
	struct flow_response response;

	if (json_read_message(line, &observer__get_flows_response__descriptor, NULL, &wire, NULL,
			      NULL) != ERR_OK ||
	    flow_response_split(buf_str(&wire), &response, NULL) != ERR_OK)
		return false;
	if (!response.has_message || response.kind != FLOW_KIND_FLOW)
		return true;
	if (flow_decode(response.message, q->dict, &g->flows[g->count], NULL) != ERR_OK)
		return false;
	g->wires[g->count++] = wire;
	wire = buf_init(0);
	return true;
}

static void count_lines(struct question *q, struct str lines)
{
	char number[24];
	struct str line;
	size_t unread = 0;
	struct group g = { .count = 0 };

	while (str_split(&lines, '\n', &line)) {
		unread += line.len && !take_line(q, &g, line);
		if (g.count == GROUP)
			count_group(q, &g);
	}
	count_group(q, &g);
	(void)snprintf(number, sizeof number, "%zu", unread);
	if (unread)
		put("unread", str_of(number));
}

static void tell_page(struct question *q, struct str format)
{
	AUTO_BUF struct buf page = buf_init(BYTES);
	struct err e;

	must(metrics_write(q->metrics, str_is(format, "openmetrics") ? PAGE_OPENMETRICS : PAGE_TEXT,
			   &page, &e),
	     &e);
	put("page", buf_str(&page));
}

static void answer(struct question *q, struct str verb, struct str payload)
{
	size_t nul = str_find(payload, '\0');
	struct err e;

	if (str_is(verb, "list") && flow_metrics_list(q->fm, payload, &e) != ERR_OK)
		put("refused", str_of(e.msg));
	else if (str_is(verb, "file") && flow_metrics_file(q->fm, payload, &e) != ERR_OK)
		put("said", str_of(e.msg));
	else if (str_is(verb, "flows"))
		count_lines(q, payload);
	else if (str_is(verb, "gone"))
		(void)flow_metrics_forget_pod(q->fm, str_upto(payload, nul),
					      str_from(payload, nul + 1));
	else if (str_is(verb, "page"))
		tell_page(q, payload);
}

/* @return false: there are no more. */
static bool read_message(char *verb, struct buf *payload)
{
	size_t len;

	if (scanf("%15s %zu", verb, &len) != 2 || getchar() != '\n')
		return false;
	buf_reset(payload);
	char *to = buf_reserve(payload, len);
	if (!to || fread(to, 1, len, stdin) != len || getchar() != '\n')
		return false;
	payload->len += len;
	return true;
}

int main(void)
{
	AUTO_BUF struct buf payload = buf_init(BYTES);
	char verb[VERB_BYTES];
	struct question q = { 0 };

	begin(&q);
	while (read_message(verb, &payload)) {
		if (strcmp(verb, "end") != 0) {
			answer(&q, str_of(verb), buf_str(&payload));
			continue;
		}
		end(&q);
		put("end", STR(""));
		(void)fflush(stdout);
		begin(&q);
	}
	end(&q);
	return 0;
}
