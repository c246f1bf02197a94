/* Bytes of an observer.GetFlowsRequest, as any client may send them, taken the way the server takes
 * them: unpacked, filters and mask compiled, and answered from a small log. */
#include <stdlib.h>

#include "base/buf.h"
#include "flow/mask.h"
#include "flow/wire.h"
#include "observer/api/reading.h"
#include "observer/observer.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAPACITY = 15, RECORDS = 20, PULLS_MOST = 100, MESSAGE_BYTES = 1 << 20 };

static void expect(bool ok)
{
	if (!ok)
		abort();
}

/* Kept for all inputs. */
static struct {
	struct flow_dict *dict;
	struct flow_log *log;
	struct flow_batch *batch;
} fixture;

static void make_fixture(void)
{
	static const enum flow_kind kinds[] = { FLOW_KIND_FLOW, FLOW_KIND_FLOW, FLOW_KIND_LOST,
						FLOW_KIND_AGENT, FLOW_KIND_FLOW };
	struct err e;

	expect(flow_dict_new(100, &fixture.dict, &e) == ERR_OK);
	expect(flow_log_new(&(struct flow_log_config){ CAPACITY, 0, 1 }, &fixture.log, &e) ==
	       ERR_OK);
	expect(flow_batch_new(fixture.log, 4, &fixture.batch, &e) == ERR_OK);
	for (uint64_t i = 0; i < RECORDS; i++) {
		struct flow f = {
			.kind = (uint8_t)kinds[i % ARRAY_LEN(kinds)],
			.bits = FLOW_HAS_TIME | FLOW_HAS_IP | FLOW_HAS_SRC_IP,
			.time = { (1000 + i) * NS_PER_S },
			.verdict = (uint8_t)(i % 3),
			.l4 = FLOW_L4_TCP,
			.dst_port = (uint16_t)i,
			.src_ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)i },
			.src_ep = flow_dict_endpoint(
				fixture.dict,
				&(struct endpoint){ .namespace_ = STR("shop"), .pod = STR("web") }),
		};
		(void)flow_log_put(fixture.log, &f);
	}
}

struct answer {
	struct reading_sink sink; /* first: the sink is the answer */
	const struct flow_mask *mask;
	struct buf flow, masked;
	uint64_t count;
};

static bool take(struct reading_sink *sink, const struct flow *f)
{
	struct answer *a = (struct answer *)sink;

	buf_reset(&a->flow);
	buf_reset(&a->masked);
	flow_encode(&a->flow, f, fixture.dict);
	flow_mask_apply(a->mask, buf_str(&a->flow), &a->masked);
	expect(!a->flow.failed && !a->masked.failed);
	a->count += f->kind == FLOW_KIND_FLOW;
	return true;
}

static bool take_loss(struct reading_sink *sink, const struct reading_loss *loss)
{
	(void)sink;
	return loss->records > 0;
}

static void answer(struct reading *r, const Observer__GetFlowsRequest *request,
		   const struct flow_mask *mask)
{
	struct answer a = { .sink = { take, take_loss, NULL },
			    .mask = mask,
			    .flow = buf_init(MESSAGE_BYTES),
			    .masked = buf_init(MESSAGE_BYTES) };
	enum reading_state state = READING_MORE;

	for (int i = 0; i < PULLS_MOST && state == READING_MORE; i++)
		state = reading_pull(r, fixture.batch, (struct mono_ns){ 1 }, (struct wall_ns){ 1 },
				     &a.sink, NULL);
	/* so short a log is through, and only followers wait for more */
	expect(state == READING_ENDED || (state == READING_IDLE && request->follow));
	expect(a.count <= CAPACITY + 1);
	if (request->number && !request->follow) /* which asks for a backlog, if for anything */
		expect(a.count <= request->number);
	buf_done(&a.flow);
	buf_done(&a.masked);
}

static void serve(const Observer__GetFlowsRequest *request)
{
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	AUTO(flow_mask_free) struct flow_mask *mask = NULL;
	const struct reading_request selectors = { .number = request->number,
						   .first = request->first,
						   .follow = request->follow,
						   .since = request->since,
						   .until = request->until };
	struct reading reading;
	struct err e = { .msg = "" };

	if (flow_filter_new(request->whitelist, request->n_whitelist, request->blacklist,
			    request->n_blacklist, fixture.dict, &filter, &e) != ERR_OK ||
	    reading_init(&reading, &selectors, fixture.log, NULL, FLOW_KIND_FLOW, filter, &e) !=
		    ERR_OK ||
	    (request->field_mask &&
	     flow_mask_new((const char *const *)request->field_mask->paths,
			   request->field_mask->n_paths, &mask, &e) != ERR_OK)) {
		expect(e.msg[0]);
		return;
	}
	answer(&reading, request, mask);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!fixture.log)
		make_fixture();
	Observer__GetFlowsRequest *request = observer__get_flows_request__unpack(NULL, size, data);
	if (!request)
		return 0;
	serve(request);
	observer__get_flows_request__free_unpacked(request, NULL);
	return 0;
}
