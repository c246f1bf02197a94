/*
 * What naming the policies of a flow costs, with 500 policies in force and 5,000 pods: answers that
 * are kept, and answers that are asked for. Best of many short rounds: others share the machine.
 */
#include <stdio.h>

#include "flow/flow.pb-c.h"
#include "observer/drop_reason.h"
#include "observer/policy/table.h"
#include "tests/bench/bench.h"

enum { POLICIES = 500, NAMESPACES = 50, PODS = 5000, ROUNDS = 90, FLOWS = 4096, TURNS = 10 };

static const double budget_ns = 300;

/* Each namespace: one that closes it, and one for each of nine apps with three rules. */
static void put_policies(struct buf *b)
{
	for (int i = 0; i < POLICIES; i++) {
		int ns = i % NAMESPACES, app = i / NAMESPACES;

		buf_printf(b,
			   "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
			   "metadata: {name: p%d, namespace: ns-%d}\nspec:\n",
			   i, ns);
		if (app == 0)
			buf_lit(b, "  podSelector: {}\n  policyTypes: [Ingress, Egress]\n");
		else
			buf_printf(b,
				   "  podSelector: {matchLabels: {app: app-%d}}\n"
				   "  ingress:\n"
				   "  - from: [{podSelector: {matchLabels: {app: app-%d}}}]\n"
				   "    ports: [{port: 8080}, {port: 9090}]\n"
				   "  - from: [{namespaceSelector: {matchLabels: {team: t-%d}}}]\n"
				   "  - from: [{ipBlock: {cidr: 10.%d.0.0/16}}]\n"
				   "    ports: [{port: 443}]\n",
				   app, (app + 1) % 10, ns % 7, i % 200);
		buf_lit(b, "---\n");
	}
}

static void make_flows(struct flow flows[FLOWS], const struct endpoint_id ids[PODS], uint16_t ports)
{
	uint32_t r = 1;

	for (int i = 0; i < FLOWS; i++) {
		r = r * 1664525u + 1013904223u; /* Numerical Recipes' generator */
		uint32_t src = (r >> 8) % PODS, dst = (r >> 4) % PODS;
		flows[i] = (struct flow){
			.bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_EVENT_TYPE,
			.l4 = FLOW_L4_TCP,
			.event_type = 1,
			.verdict = FLOW__VERDICT__DROPPED,
			.drop_desc = DROP_REASON_POLICY_DENIED,
			.src_ep = ids[src],
			.dst_ep = ids[dst],
			.dst_port = (uint16_t)(8080 + r % ports),
		};
		ip_from_v4(flows[i].src_ip,
			   (const uint8_t[]){ 172, 16, (uint8_t)(src >> 8), (uint8_t)src });
		ip_from_v4(flows[i].dst_ip,
			   (const uint8_t[]){ 172, 16, (uint8_t)(dst >> 8), (uint8_t)dst });
	}
}

static double round_ns(struct policy_table *t, const struct flow flows[FLOWS], int turns, bool anew,
		       struct buf *ext)
{
	struct mono_ns start = mono_now();

	for (int turn = 0; turn < turns; turn++)
		for (int i = 0; i < FLOWS; i++) {
			struct flow f = flows[i];
			if (anew) /* a port that was not asked about yet */
				f.dst_port = (uint16_t)(10000 + turn);
			buf_reset(ext);
			policy_flow(t, &f, ext);
		}
	return (double)(mono_now().v - start.v) / FLOWS / turns;
}

/* What selectors say of an end that was not seen before. */
static double fill_ns(const struct policy_set *set, const struct flow_dict *dict,
		      const struct endpoint_id ids[PODS])
{
	AUTO(own_free) struct policy_row *row = malloc(policy_row_bytes(set));
	struct mono_ns start = mono_now();

	if (!row)
		abort();
	for (int i = 0; i < PODS; i++) {
		const struct endpoint *ep = flow_dict_get_endpoint(dict, ids[i]);
		const struct policy_end end = { .namespace_ = ep->namespace_,
						.pod = ep->pod,
						.labels = ep->labels,
						.label_count = ep->label_count };
		policy_row_fill(set, &end, row);
	}
	return (double)(mono_now().v - start.v) / PODS;
}

int main(void)
{
	static struct flow flows[FLOWS];
	static struct endpoint_id ids[PODS];
	static const struct policy_config config = { 0 };
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(policy_table_free) struct policy_table *t = NULL;
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO_BUF struct buf text = buf_init(POLICY_TEXT_MAX), ext = buf_init(65536);
	struct policy_set *set;
	struct err e;
	double kept = 1e9, asked = 1e9;

	put_policies(&text);
	struct mono_ns start = mono_now();
	if (flow_dict_new(65536, &dict, &e) != ERR_OK || policy_table_new(dict, &t, &e) != ERR_OK ||
	    policy_builder_new(&config, &b, &e) != ERR_OK ||
	    policy_builder_add_text(b, buf_str(&text), &e) != ERR_OK ||
	    policy_builder_finish(b, &set, &e) != ERR_OK || policy_publish(t, set, (struct wall_ns){ 1 }, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	bench_note("500 policies, read and compiled", (double)(mono_now().v - start.v) / 1e6, "ms");
	bench_note("what selectors say of an end", (double)policy_row_bytes(set), "bytes");
	for (uint32_t i = 0; i < PODS; i++) {
		char pod[32], ns[32], app[32], team[96];
		(void)snprintf(pod, sizeof pod, "pod-%u", i);
		(void)snprintf(ns, sizeof ns, "ns-%u", i % NAMESPACES);
		(void)snprintf(app, sizeof app, "k8s:app=app-%u", i / NAMESPACES % 10);
		(void)snprintf(team, sizeof team, "k8s:io.cilium.k8s.namespace.labels.team=t-%u",
			       i % NAMESPACES % 7);
		const struct str labels[] = {
			str_of(app), STR("k8s:chart=shop"), str_of(team),
			STR("k8s:io.cilium.k8s.policy.serviceaccount=default"),
			STR("k8s:version=v1")
		};
		ids[i] = flow_dict_endpoint(dict, &(struct endpoint){ .id = i % 50 ? 0 : i + 1,
								      .identity = 300 + i,
								      .namespace_ = str_of(ns),
								      .pod = str_of(pod),
								      .labels = labels,
								      .label_count = 5 });
	}
	double fill = 1e9;
	for (int i = 0; i < ROUNDS; i++) {
		double ns = fill_ns(set, dict, ids);
		fill = ns < fill ? ns : fill;
	}
	bench_note("an end's selectors, seen for the first time", fill, "ns");
	make_flows(flows, ids, 2);
	(void)round_ns(t, flows, 1, false, &ext);
	for (int i = 0; i < ROUNDS; i++) {
		double ns = round_ns(t, flows, TURNS, false, &ext);
		kept = ns < kept ? ns : kept;
		ns = round_ns(t, flows, 5, true, &ext);
		asked = ns < asked ? ns : asked;
		(void)round_ns(t, flows, 1, false, &ext);
	}
	bench_at_most("a flow's policies, answer kept", kept, "ns", budget_ns);
	bench_at_most("a flow's policies, answer asked for", asked, "ns", budget_ns);
	return 0;
}
