#include "policy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct str web_labels[] = { { "k8s:app=web", 11 } };
static const struct str db_labels[] = { { "k8s:app=db", 10 } };
const struct policy_end web = {
	.namespace_ = { "shop", 4 }, .pod = { "web-0", 5 }, .labels = web_labels, .label_count = 1
};
const struct policy_end db = {
	.namespace_ = { "shop", 4 }, .pod = { "db-0", 4 }, .labels = db_labels, .label_count = 1
};

struct policy_answer ask(const struct policy_set *set, enum policy_direction direction,
			 const struct policy_end *subject, const struct policy_end *peer,
			 const char *peer_name, uint8_t protocol, uint16_t port)
{
	struct policy_row *a = malloc(policy_row_bytes(set)), *b = malloc(policy_row_bytes(set));
	const struct str name = str_of(peer_name);
	struct policy_answer answer;

	assert_true(a && b);
	policy_row_fill(set, subject, a);
	policy_row_fill(set, peer, b);
	const struct policy_query q = { direction,
					a,
					{ b, peer->ips, peer->ip_count, &name, peer_name ? 1 : 0 },
					protocol,
					port };
	policy_ask(set, &q, &answer);
	free(a);
	free(b);
	return answer;
}
