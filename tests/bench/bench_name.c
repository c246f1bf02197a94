/* What naming a flow costs, beside its budget, with 5,000 endpoints known. Best of several rounds:
 * others share the machine. */
#include <stdio.h>

#include "base/buf.h"
#include "observer/name/name.h"
#include "tests/bench/bench.h"

enum { ENDPOINTS = 5000, ROUNDS = 9, FLOWS = 1024, TURNS = 300, DNS_NAMES = 20000 };

static const double budget_ns = 30;

static void address(uint8_t ip[16], uint32_t i)
{
	ip_from_v4(ip, (const uint8_t[]){ 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i });
}

/* Flows between random endpoints, sources from address @first on. Made beforehand: writing an
 * address bytewise and reading it back at once as words costs more than the lookup. */
static void make_flows(struct flow flows[FLOWS], uint32_t first)
{
	uint32_t r = 1;

	for (int i = 0; i < FLOWS; i++) {
		r = r * 1664525u + 1013904223u; /* Numerical Recipes' generator */
		flows[i] = (struct flow){ .bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_TIME,
					  .time = { NS_PER_S } };
		address(flows[i].src_ip, first + (r >> 8) % ENDPOINTS);
		address(flows[i].dst_ip, (r >> 4) % ENDPOINTS);
	}
}

static double round_ns(struct name_table *t, struct flow flows[FLOWS], struct buf *ext)
{
	struct mono_ns start = mono_now();

	for (int turn = 0; turn < TURNS; turn++)
		for (int i = 0; i < FLOWS; i++) {
			buf_reset(ext);
			name_flow(t, &flows[i], ext);
		}
	return (double)(mono_now().v - start.v) / FLOWS / TURNS;
}

static void bench(const char *what, struct name_table *t, uint32_t first, struct buf *ext)
{
	static struct flow flows[FLOWS];
	double best = 1e9;

	make_flows(flows, first);
	for (int i = 0; i < ROUNDS; i++) {
		double ns = round_ns(t, flows, ext);
		best = ns < best ? ns : best;
	}
	bench_at_most(what, best, "ns", budget_ns);
}

int main(void)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(name_table_free) struct name_table *t = NULL;
	AUTO(own_free) struct name_prefix *p = calloc(ENDPOINTS, sizeof *p);
	AUTO(own_free) char *pods = calloc(ENDPOINTS, 16);
	AUTO_BUF struct buf ext = buf_init(65536);
	struct err e;

	if (!p || !pods || flow_dict_new(65536, &dict, &e) != ERR_OK ||
	    name_table_new(&(struct name_config){ .node = "n1" }, dict, &t, &e) != ERR_OK)
		return 1;
	for (uint32_t i = 0; i < ENDPOINTS; i++) {
		(void)snprintf(pods + (size_t)i * 16, 16, "pod-%u", i);
		address(p[i].ip, i);
		p[i].bits = 128;
		p[i].local = i % 50 == 0;
		p[i].endpoint.namespace_ = STR("shop");
		p[i].endpoint.pod = str_of(pods + (size_t)i * 16);
	}
	if (name_update(t, 0, &(struct name_view){ .prefixes = p, .prefix_count = ENDPOINTS },
			&e) != ERR_OK)
		return 1;
	bench("name_flow, both sides known", t, 0, &ext);
	bench("name_flow, source of the world", t, 1 << 20, &ext);
	for (uint32_t i = 0; i < DNS_NAMES; i++) {
		uint8_t ip[16];
		address(ip, (1 << 20) + i);
		name_learn(t, p[0].ip, ip, STR("shop.example"), 60, (struct wall_ns){ NS_PER_S });
	}
	bench("the same with 20,000 DNS names known", t, 0, &ext);
	bench("the same, source with a DNS name", t, 1 << 20, &ext);
	return 0;
}
