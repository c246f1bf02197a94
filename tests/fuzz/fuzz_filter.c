/* Bytes of a flow.FlowFilter, as any client may send them: compiled, and matched with a few fixed
 * records. */
#include <stdlib.h>

#include "base/buf.h"
#include "filter/filter.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 4 };

/* Kept for all inputs: the dictionary and what the records borrow. */
static struct {
	struct flow_dict *dict;
	struct flow records[RECORDS];
	struct buf ext;
} fixture;

/* A made HTTP flow, an empty whole one, a lost event and an agent event. */
static void make_records(void)
{
	if (flow_dict_new(100, &fixture.dict, NULL) != ERR_OK)
		abort();
	const struct str labels[] = { STR("k8s:app=web"), STR("reserved:host") };
	const struct workload workload = { STR("web"), STR("Deployment") };
	struct buf *b = &fixture.ext;
	struct flow *f = &fixture.records[0];

	*b = buf_init(1 << 16);
	size_t l7 = wire_begin(b, 15), http = wire_begin(b, 101);
	wire_put_u64(b, 1, 404);
	wire_put_str(b, 2, STR("GET"));
	wire_put_str(b, 3, STR("http://web:8080/api/v1?x=%41"));
	wire_end(b, http);
	wire_end(b, l7);
	wire_put_len(b, 14, STR("www.example.com"));
	*f = (struct flow){
		.bits = FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_UUID | FLOW_HAS_EVENT_TYPE |
			FLOW_HAS_L7 | FLOW_HAS_NAMES | FLOW_HAS_IFACE | FLOW_HAS_TCP_FLAGS,
		.verdict = 2,
		.l4 = FLOW_L4_TCP,
		.ip_version = 1,
		.src_ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 },
		.src_port = 40000,
		.dst_port = 80,
		.tcp_flags = FLOW_TCP_SYN,
		.event_type = 129,
		.drop_desc = 133,
		.src_ep = flow_dict_endpoint(fixture.dict,
					     &(struct endpoint){ .identity = 1,
								 .namespace_ = STR("shop"),
								 .pod = STR("web-0"),
								 .labels = labels,
								 .label_count = 2,
								 .workloads = &workload,
								 .workload_count = 1 }),
		.node = flow_dict_node(fixture.dict, &(struct node){ .name = STR("prod/k8s1") }),
		.ifname = "eth0",
		.ext = (const uint8_t *)b->p,
		.ext_len = (uint32_t)b->len,
	};
	if (flow_decode(STR(""), fixture.dict, &fixture.records[1], NULL) != ERR_OK)
		abort();
	fixture.records[2].kind = FLOW_KIND_LOST;
	fixture.records[3].kind = FLOW_KIND_AGENT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!fixture.dict)
		make_records();
	Flow__FlowFilter *message = flow__flow_filter__unpack(NULL, size, data);
	if (!message)
		return 0;
	AUTO(flow_filter_free) struct flow_filter *white = NULL;
	AUTO(flow_filter_free) struct flow_filter *black = NULL;
	struct err e = { .msg = "" };
	enum err_code code = flow_filter_new(&message, 1, NULL, 0, fixture.dict, &white, &e);

	if (code != flow_filter_new(NULL, 0, &message, 1, fixture.dict, &black, &e))
		abort();
	flow__flow_filter__free_unpacked(message, NULL);
	if (code != ERR_OK && !e.msg[0])
		abort();
	if (code != ERR_OK)
		return 0;
	uint64_t bits;
	(void)flow_filter_match_n(white, fixture.records, RECORDS, &bits);
	for (size_t i = 0; i < RECORDS; i++) {
		bool yes = flow_filter_match(white, &fixture.records[i]);

		/* together, one at a time, and turned round: one answer */
		if (yes != (bits >> i & 1) || yes == flow_filter_match(black, &fixture.records[i]))
			abort();
	}
	return 0;
}
