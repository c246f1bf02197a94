/* Any text as policies, written by a person or given by a server: refused with a sentence, or taken,
 * finished and asked. What is taken of a person is taken of a server, too, and known in full. */
#include <netinet/in.h>
#include <stdio.h>

#include "policy/policy.h"

static const struct str labels[] = { { "k8s:app=web", 11 },
				     { "k8s:io.kubernetes.pod.namespace=shop", 36 },
				     { "reserved:world", 14 } };
static const uint8_t address[1][16] = { { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
static const struct str names[] = { { "api.shop.example", 16 } };

static void ask(const struct policy_set *set, bool may_be_unsure)
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
		if (answer.unsure && !may_be_unsure)
			abort();
	}
	free(row);
	free(peer);
}

/* What is warned of can be said. */
static void tell(void *ctx, const struct policy_warning *w)
{
	const struct policy_set *set = ctx;
	AUTO_BUF struct buf text = buf_init(1 << 20);

	for (size_t i = 0; i < w->rule_count; i++)
		policy_ref_put(set, w->rules[i], &text);
	if (!w->rule_count || text.failed || !*policy_warning_words(w))
		abort();
}

static void warn(struct policy_set *set)
{
	for (uint32_t i = 0; i < policy_set_count(set); i++) {
		policy_set_warn(set, i, tell, set);
		(void)policy_set_asks_labels(set, i);
	}
}

static enum err_code read_as(struct str text, bool served)
{
	const struct policy_config config = { .meaning = text.len % 2 ? POLICY_AS_KUBERNETES
								      : POLICY_AS_CILIUM,
					      .cluster = "c1",
					      .host_firewall = true,
					      .skip_other_kinds = text.len % 4 == 1 };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	struct err e = { 0 };

	if (policy_builder_new(&config, &b, &e) != ERR_OK)
		abort();
	policy_builder_served(b, served);
	enum err_code code = policy_builder_add_text(b, text, &e);
	if (code != ERR_OK && !*e.msg)
		abort();
	const char *first;
	size_t partly = policy_builder_partly(b, &first);
	if (partly && (!served || !*first))
		abort();
	if (code != ERR_OK && served)
		policy_builder_miss(b, STR("shop"));
	if (policy_builder_finish(b, &set, &e) == ERR_OK) {
		ask(set, served && (partly || code != ERR_OK));
		warn(set);
	} else if (!*e.msg) {
		abort();
	}
	return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = str_n(data, size);

	enum err_code served = read_as(text, true), written = read_as(text, false);
	if (written == ERR_OK && served != ERR_OK)
		abort();
	return 0;
}
