/*
 * metrics_page TEXT|OPENMETRICS FLOWS list LIST
 * metrics_page TEXT|OPENMETRICS FLOWS yaml FILE…
 *
 * Feeds the flows (JSON lines, as observe -o json prints them) to the metrics that are configured
 * and prints the page: what tests/golden/metrics.py compares with the reference's. Of several
 * files, each replaces the one before, and all flows are fed again. Exits 1 when the configuration
 * is refused.
 */
#include <stdio.h>

#include "base/watch.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "metrics/metrics.h"
#include "observer/metrics/flow_metrics.h"
#include "observer/observer.pb-c.h"

enum { SERIES = 20000, FILE_BYTES = 64 << 20, DICT_ENTRIES = 100000 };

static void warn(void *ctx, const char *sentence)
{
	(void)ctx;
	if (!strstr(sentence, " has no option '")) /* of these the reference says nothing */
		(void)fprintf(stderr, "%s\n", sentence);
}

static void feed_line(struct flow_metrics *fm, struct flow_dict *dict, struct str line)
{
	AUTO_BUF struct buf wire = buf_init(FILE_BYTES);
	struct flow_response response;
	struct flow f;

	if (json_read_message(line, &observer__get_flows_response__descriptor, NULL, &wire, NULL,
			      NULL) != ERR_OK ||
	    flow_response_split(buf_str(&wire), &response, NULL) != ERR_OK ||
	    !response.has_message || response.kind != FLOW_KIND_FLOW ||
	    flow_decode(response.message, dict, &f, NULL) != ERR_OK)
		return;
	flow_metrics_count(fm, &f, 1, (struct wall_ns){ NS_PER_S });
}

static void feed(struct flow_metrics *fm, struct flow_dict *dict, struct str lines)
{
	struct str line;

	while (str_split(&lines, '\n', &line))
		if (line.len)
			feed_line(fm, dict, line);
}

static enum err_code load_and_feed(struct flow_metrics *fm, struct flow_dict *dict,
				   const char *file, struct str flows, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(FILE_BYTES);
	enum err_code code = file_read(file, "the configuration", &text, e);

	if (code == ERR_OK)
		code = flow_metrics_file(fm, buf_str(&text), e);
	feed(fm, dict, flows);
	return code;
}

int main(int argc, char **argv)
{
	AUTO(metrics_free) struct metrics *metrics = NULL;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_metrics_free) struct flow_metrics *fm = NULL;
	AUTO_BUF struct buf flows = buf_init(FILE_BYTES), page = buf_init(FILE_BYTES);
	struct err e;

	if (argc < 4) {
		(void)fputs("metrics_page text|openmetrics FLOWS list LIST|yaml FILE...\n", stderr);
		return 2;
	}
	if (metrics_new(SERIES, &metrics, &e) != ERR_OK ||
	    flow_dict_new(DICT_ENTRIES, &dict, &e) != ERR_OK ||
	    file_read(argv[2], "the flows", &flows, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return 2;
	}
	const struct flow_metrics_config config = { .metrics = metrics,
						    .dict = dict,
						    .warn = warn };
	if (flow_metrics_new(&config, &fm, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return 2;
	}
	if (strcmp(argv[3], "list") == 0) {
		if (flow_metrics_list(fm, str_of(argv[4]), &e) != ERR_OK) {
			(void)fprintf(stderr, "%s\n", e.msg);
			return 1;
		}
		feed(fm, dict, buf_str(&flows));
	}
	for (int i = 4; strcmp(argv[3], "yaml") == 0 && i < argc; i++)
		if (load_and_feed(fm, dict, argv[i], buf_str(&flows), &e) != ERR_OK)
			(void)fprintf(stderr, "%s\n", e.msg);
	enum page_format format =
		strcmp(argv[1], "openmetrics") == 0 ? PAGE_OPENMETRICS : PAGE_TEXT;
	if (metrics_write(metrics, format, &page, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return 2;
	}
	return fwrite(buf_str(&page).p, 1, page.len, stdout) == page.len ? 0 : 2;
}
