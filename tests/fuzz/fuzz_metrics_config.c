/* The two forms of a configuration of metrics: the first byte says which. What is taken is put to
 * use. */
#include <stdlib.h>

#include "flow/dict.h"
#include "flow/flow.h"
#include "metrics/metrics.h"
#include "observer/metrics/flow_metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_warning(void *ctx, const char *sentence)
{
	(void)ctx;
	if (!*sentence)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(metrics_free) struct metrics *metrics = NULL;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_metrics_free) struct flow_metrics *fm = NULL;
	const struct flow f = { .kind = FLOW_KIND_FLOW, .l4 = FLOW_L4_TCP, .verdict = 2 };
	struct err e = { .msg = "" };

	if (!size || metrics_new(64, &metrics, NULL) != ERR_OK ||
	    flow_dict_new(16, &dict, NULL) != ERR_OK)
		return 0;
	const struct flow_metrics_config config = { .metrics = metrics,
						    .dict = dict,
						    .warn = no_warning };
	if (flow_metrics_new(&config, &fm, NULL) != ERR_OK)
		return 0;
	struct str text = str_n(data + 1, size - 1);
	enum err_code code =
		data[0] == 'L' ? flow_metrics_list(fm, text, &e) : flow_metrics_file(fm, text, &e);
	if (code != ERR_OK && !e.msg[0])
		abort(); /* a refusal has a sentence */
	flow_metrics_count(fm, &f, 1, (struct wall_ns){ 1 });
	return 0;
}
