/* Any text as policies: refused with a sentence, or taken, finished and asked. */
#include <netinet/in.h>
#include <stdio.h>

#include "policy/policy.h"

static const struct str labels[] = { { "k8s:app=web", 11 },
				     { "k8s:io.kubernetes.pod.namespace=shop", 36 },
				     { "reserved:world", 14 } };
static const uint8_t address[1][16] = { { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
static const struct str names[] = { { "api.shop.example", 16 } };

static void ask(const struct policy_set *set)
{
	const struct policy_end pod = { .labels = labels, .label_count = 2 };
	const struct policy_end world = { .labels = labels + 2,
					  .label_count = 1,
					  .ip = address[0] };
	struct policy_row *row = malloc(policy_row_bytes(set));
	struct policy_row *peer = malloc(policy_row_bytes(set));
	AUTO_BUF struct buf text = buf_init(1 << 20);
	struct policy_answer answer;

	if (!row || !peer)
		abort();
	policy_row_fill(set, &pod, row);
	policy_row_fill(set, &world, peer);
	for (int i = 0; i < 4; i++) {
		const struct policy_query q = {
			.direction = i & 1 ? POLICY_EGRESS : POLICY_INGRESS,
			.subject = row,
			.peer = { i & 2 ? row : peer, address, 1, names, 1 },
			.protocol = IPPROTO_TCP,
			.port = 80,
		};
		policy_ask(set, &q, &answer);
		for (size_t j = 0; j < answer.count; j++)
			policy_ref_put(set, answer.by[j], &text);
	}
	free(row);
	free(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct policy_config config = { .meaning = size % 2 ? POLICY_AS_KUBERNETES
								  : POLICY_AS_CILIUM,
					      .cluster = "c1",
					      .host_firewall = true };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	struct err e = { 0 };

	if (policy_builder_new(&config, &b, &e) != ERR_OK)
		abort();
	if (policy_builder_add_text(b, str_n(data, size), &e) != ERR_OK && !*e.msg)
		abort();
	if (policy_builder_finish(b, &set, &e) == ERR_OK)
		ask(set);
	else if (!*e.msg)
		abort();
	return 0;
}
