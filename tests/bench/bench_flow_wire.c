/* What a flow costs on its way through lib/flow, in ns, with the budget beside it. Not a test: it
 * prints. */
#include <stdio.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/mask.h"
#include "flow/wire.h"
#include "cli/default_mask.h"
#include "tests/bench/bench.h"
#include "tests/bench/pod_flows.h"

enum { FLOWS = 1024, ROUNDS = 500, MESSAGE_BYTES = 2048 };

struct corpus {
	struct flow_dict *dict;
	struct flow made[FLOWS];
	struct str messages[FLOWS];
	char bytes[FLOWS][MESSAGE_BYTES];
};

static void fill(struct corpus *c)
{
	const struct pod_flows pods = pod_flows_named(c->dict);

	for (uint32_t i = 0; i < FLOWS; i++) {
		struct buf b = buf_fixed(c->bytes[i], MESSAGE_BYTES);
		c->made[i] = pod_flow(&pods, 1000 + i, i);
		flow_encode(&b, &c->made[i], c->dict);
		c->messages[i] = buf_str(&b);
	}
}

/* The quickest of many passes: what the work costs when nobody else has the processor. */
struct pass {
	struct mono_ns start;
	uint64_t best_ns;
};

static void pass_begin(struct pass *p)
{
	p->start = mono_now();
}

static void pass_end(struct pass *p)
{
	uint64_t ns = mono_now().v - p->start.v;

	p->best_ns = p->best_ns && p->best_ns < ns ? p->best_ns : ns;
}

static void report(const char *what, const struct pass *p, unsigned budget_ns)
{
	double ns = (double)p->best_ns / FLOWS;

	if (budget_ns)
		bench_at_most(what, ns, "ns", budget_ns);
	else
		bench_note(what, ns, "ns");
}

int main(void)
{
	struct err e;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_mask_free) struct flow_mask *mask = NULL;
	AUTO(own_free) struct corpus *c = calloc(1, sizeof *c);
	AUTO_BUF struct buf b = buf_init(1 << 20);
	uint64_t sum = 0;

	if (!c || flow_dict_new(65536, &dict, &e) != ERR_OK ||
	    flow_mask_new(default_mask, ARRAY_LEN(default_mask), &mask, &e) != ERR_OK) {
		(void)fprintf(stderr, "no memory\n");
		return 1;
	}
	c->dict = dict;
	fill(c);
	bench_note("a flow", (double)c->messages[0].len, "bytes");

	struct pass encode = { 0 }, response = { 0 }, decode = { 0 }, masked = { 0 };
	for (int r = 0; r < ROUNDS; r++) {
		pass_begin(&encode);
		for (int i = 0; i < FLOWS; i++) {
			buf_reset(&b);
			flow_encode(&b, &c->made[i], dict);
			sum += b.len;
		}
		pass_end(&encode);

		pass_begin(&response);
		for (int i = 0; i < FLOWS; i++) {
			buf_reset(&b);
			flow_encode_response(&b, &c->made[i], dict, STR(""));
			sum += b.len;
		}
		pass_end(&response);

		pass_begin(&decode);
		for (int i = 0; i < FLOWS; i++) {
			struct flow f;
			if (flow_decode(c->messages[i], dict, &f, &e) != ERR_OK)
				return 1;
			sum += f.src_port;
		}
		pass_end(&decode);

		pass_begin(&masked);
		for (int i = 0; i < FLOWS; i++) {
			buf_reset(&b);
			flow_mask_apply(mask, c->messages[i], &b);
			sum += b.len;
		}
		pass_end(&masked);
	}
	report("encode", &encode, 100);
	report("encode as a response", &response, 0);
	report("decode", &decode, 200);
	report("mask of the CLI", &masked, 0);
	(void)printf("(checksum %llu)\n", (unsigned long long)sum);
	return 0;
}
