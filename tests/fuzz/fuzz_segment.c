/* Any bytes as a segment: opened, all of it loaded, asked. */
#include <stdint.h>
#include <stdlib.h>

#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/flow.pb-c.h"
#include "store/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE = 64 };

/* Reading must stay within what was loaded; sanitizers see it when it is looked at. */
static void look_at(const struct flow *flows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (hash_bytes(flows[i].ext, flows[i].ext_len, flows[i].seq) == 1546)
			abort(); /* as good as never */
}

static struct flow_filter *make_filter(const struct flow_dict *dict)
{
	static char port[] = "443", prefix[] = "10.0.0.0/8";
	char *ports[] = { port }, *ips[] = { prefix };
	Flow__FlowFilter a = FLOW__FLOW_FILTER__INIT, b = FLOW__FLOW_FILTER__INIT;
	Flow__FlowFilter *list[] = { &a, &b };
	struct flow_filter *filter = NULL;

	a.n_destination_port = 1;
	a.destination_port = ports;
	b.n_source_ip = 1;
	b.source_ip = ips;
	if (flow_filter_new(list, 2, NULL, 0, dict, &filter, NULL) != ERR_OK)
		abort();
	return filter;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct segment *s;
	static struct flow_dict *dict;
	static struct flow_filter *filter;
	static struct flow flows[PIECE];

	if (!s && (segment_new(&s, NULL) != ERR_OK || flow_dict_new(64, &dict, NULL) != ERR_OK))
		abort();
	if (!filter)
		filter = make_filter(dict);
	segment_ask(s, &(struct segment_question){ filter, UINT32_MAX, 0 });
	if (segment_open(s, str_n(data, size), NULL) != ERR_OK)
		return 0;
	for (size_t i = 0; i < segment_count(s); i += PIECE) {
		size_t n = segment_count(s) - i < PIECE ? segment_count(s) - i : PIECE, found;
		uint64_t bits;

		if (segment_load(s, FLOW_MEMBERS_ALL, i, n, flows, NULL) != ERR_OK ||
		    segment_match(s, i, n, &bits, &found, NULL) != ERR_OK)
			break;
		look_at(flows, n);
	}
	return 0;
}
