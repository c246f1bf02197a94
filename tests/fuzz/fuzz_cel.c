/* An expression, as any client may send one: compiled, and evaluated for a few flows, twice: with
 * the same answers. */
#include <stdlib.h>

#include "cel/cel.h"
#include "flow/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FLOWS = 3 };

static struct {
	struct flow_dict *dict;
	struct flow flows[FLOWS];
} fixture;

/* flow.Flow { verdict: DROPPED, l4 { TCP { … } }, source { … labels }, l7 { http { … and half a
 * field } }, is_reply {} } */
static const char bytes[] = "\x10\x02\x32\x08\x0a\x06\x08\x50\x1a\x02\x10\x01"
			    "\x42\x0a\x10\x07\x22\x03"
			    "a=b\x2a\x01x\x7a\x07\xaa\x06\x04\x08\xc8\x01\x12\xd2\x01\x00";

static void make_flows(void)
{
	if (flow_dict_new(16, &fixture.dict, NULL) != ERR_OK)
		abort();
	if (flow_decode(STR(""), fixture.dict, &fixture.flows[0], NULL) != ERR_OK)
		abort();
	if (flow_decode(str_n(bytes, sizeof bytes - 1), fixture.dict, &fixture.flows[1], NULL) !=
	    ERR_OK)
		abort();
	fixture.flows[2] = (struct flow){
		.verdict = 1,
		.l4 = FLOW_L4_TCP,
		.src_port = 80,
		.bits = FLOW_HAS_TIME | FLOW_HAS_TCP_FLAGS,
		.time = { 1700000000000000000 },
		.src_ep = flow_dict_endpoint(
			fixture.dict, &(struct endpoint){ .identity = 7, .pod = STR("db-0") }),
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(cel_free) struct cel_program *p = NULL;
	struct err e = { .msg = "" };

	if (!fixture.dict)
		make_flows();
	if (cel_compile(str_n(data, size), &p, &e) != ERR_OK) {
		if (!e.msg[0])
			abort();
		return 0;
	}
	for (size_t i = 0; i < FLOWS; i++) {
		struct str why = { NULL, 0 };
		enum cel_answer answer = cel_eval(p, &fixture.flows[i], fixture.dict, &why);

		if (answer == CEL_FAULT && !why.len)
			abort();
		if (cel_eval(p, &fixture.flows[i], fixture.dict, &why) != answer)
			abort();
	}
	return 0;
}
