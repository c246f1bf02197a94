/* What the chain costs a flow, in ns: its leaf, its share of the tree, and what the hashing alone
 * would cost one message at a time. */
#include <stdio.h>

#include "chain/chain.h"
#include "chain/sha256.h"
#include "tests/bench/bench.h"
#include "tests/bench/pod_flows.h"

enum { FLOWS = 1 << 16, ROUNDS = 12, MESSAGE_BYTES = 440 };

static struct flow flows[FLOWS];

static double best(double a, uint64_t ns, size_t per)
{
	double b = (double)ns / (double)per;

	return a != 0.0 && a < b ? a : b;
}

int main(void)
{
	struct err e;
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	AUTO(chain_block_free) struct chain_block *b = NULL;
	const struct chain_secret secret = { { 1, 2, 3 } };
	static char message[MESSAGE_BYTES];
	struct chain_hash root, two[2];
	struct chain_hash all[SHA256_AT_ONCE];
	struct str many[SHA256_AT_ONCE];
	uint8_t *to[SHA256_AT_ONCE];
	double add = 0, tree = 0, one_by_one = 0, by_twos = 0, together = 0;

	if (flow_dict_new(65536, &d, &e) != ERR_OK || chain_block_new(&b, &e) != ERR_OK)
		return 1;
	const struct pod_flows pods = pod_flows_named(d);
	for (uint32_t i = 0; i < FLOWS; i++)
		flows[i] = pod_flow(&pods, 1000 + i, i);
	for (size_t i = 0; i < SHA256_AT_ONCE; i++) {
		many[i] = str_n(message, sizeof message);
		to[i] = all[i].v;
	}
	for (uint64_t r = 0; r < ROUNDS; r++) {
		chain_block_start(b, &secret, r + 1);
		uint64_t at = mono_now().v;
		for (size_t i = 0; i < FLOWS; i++)
			if (chain_block_add(b, &flows[i], d, &e) != ERR_OK)
				return 1;
		add = best(add, mono_now().v - at, FLOWS);
		at = mono_now().v;
		if (chain_block_root(b, &root, &e) != ERR_OK)
			return 1;
		tree = best(tree, mono_now().v - at, FLOWS);
		at = mono_now().v;
		for (size_t i = 0; i < FLOWS; i++) {
			memcpy(message, &i, sizeof i);
			sha256(str_n(message, sizeof message), two[0].v);
		}
		one_by_one = best(one_by_one, mono_now().v - at, FLOWS);
		at = mono_now().v;
		for (size_t i = 0; i < FLOWS; i += 2) {
			const struct str both[2] = { str_n(message, sizeof message),
						     str_n(message, sizeof message) };
			memcpy(message, &i, sizeof i);
			sha256_two(both, (uint8_t *const[]){ two[0].v, two[1].v });
		}
		by_twos = best(by_twos, mono_now().v - at, FLOWS);
		at = mono_now().v;
		for (size_t i = 0; i < FLOWS; i += SHA256_AT_ONCE) {
			memcpy(message, &i, sizeof i);
			sha256_many(many, to, SHA256_AT_ONCE);
		}
		together = best(together, mono_now().v - at, FLOWS);
	}
	bench_at_most("chain: a flow's leaf", add, "ns", 400);
	bench_note("chain: a flow's share of the tree", tree, "ns");
	bench_note("chain: 440 bytes hashed, one at a time", one_by_one, "ns");
	bench_note("chain: 440 bytes hashed, two at a time", by_twos, "ns");
	bench_note("chain: 440 bytes hashed, as many as there are", together, "ns");
	return 0;
}
