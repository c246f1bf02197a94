/* Any bytes as a zone: read, asked, written and read again. */
#include <stdint.h>
#include <stdlib.h>

#include "filter/zone.h"
#include "flow/dict.h"
#include "flow/flow.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct flow_filter *make_filter(const struct flow_dict *dict)
{
	static char port[] = "443", ip[] = "10.0.0.0/8", pod[] = "shop/", label[] = "app=a";
	char *ports[] = { port }, *ips[] = { ip }, *pods[] = { pod }, *labels[] = { label };
	Flow__FlowFilter a = FLOW__FLOW_FILTER__INIT;
	Flow__FlowFilter *list[] = { &a };
	struct flow_filter *filter = NULL;

	a.n_destination_port = a.n_source_ip = a.n_source_pod = a.n_destination_label = 1;
	a.destination_port = ports;
	a.source_ip = ips;
	a.source_pod = pods;
	a.destination_label = labels;
	if (flow_filter_new(list, 1, NULL, 0, dict, &filter, NULL) != ERR_OK)
		abort();
	return filter;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct flow_dict *dict;
	static struct flow_zone *z;
	static struct flow_filter *filter;
	const struct flow_zone_ids same = { .endpoints = NULL };
	AUTO_BUF struct buf out = buf_init(FLOW_ZONE_BYTES);

	if (!z && (flow_dict_new(64, &dict, NULL) != ERR_OK || flow_zone_new(&z, NULL) != ERR_OK))
		abort();
	if (!filter)
		filter = make_filter(dict);
	if (flow_zone_get(z, str_n(data, size), FLOW_MEMBERS_ALL, &same, NULL) != ERR_OK)
		return 0;
	(void)flow_filter_may_match(filter, z);
	flow_zone_put(&out, z);
	if (out.failed || flow_zone_get(z, buf_str(&out), FLOW_MEMBERS_ALL, &same, NULL) != ERR_OK)
		abort(); /* what was read can be written, within its bound, and read */
	return 0;
}
