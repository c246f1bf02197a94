/* What a Cilium agent may answer: {"endpoints": …, "ips": …, "identities": …, "services": …,
 * "cgroups": …, "fqdns": …, "selectors": …}, each anything. The name table takes what comes out,
 * and policies that are found parse. */
#include <stdint.h>

#include "flow/flow.pb-c.h"
#include "observer/upstream/agent_policy.h"
#include "observer/upstream/agent_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_view(const json_t *all)
{
	const struct agent_answers a = {
		json_object_get(all, "endpoints"),   json_object_get(all, "ips"),
		json_object_get(all, "identities"),  json_object_get(all, "services"),
		json_object_get(all, "cgroups"),     json_object_get(all, "fqdns"),
		{ UINT64_C(1700000000) * NS_PER_S },
	};
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(name_table_free) struct name_table *names = NULL;
	AUTO(agent_view_free) struct agent_view *v = NULL;

	if (agent_view_new(&a, &v, NULL) != ERR_OK)
		return;
	struct name_view view = agent_view_names(v);
	const struct name_config config = { .cluster = "", .node = "n" };
	if (flow_dict_new(1000, &dict, NULL) != ERR_OK ||
	    name_table_new(&config, dict, &names, NULL) != ERR_OK ||
	    name_update(names, 2, &view, NULL) != ERR_OK)
		abort();
}

static void check_policy(const json_t *all)
{
	AUTO(agent_policy_free) struct agent_policy *p = NULL;

	if (agent_policy_new(json_object_get(all, "endpoints"), json_object_get(all, "selectors"),
			     &p, NULL) != ERR_OK)
		abort();
	for (uint32_t i = 0; i < 32; i++) {
		const struct agent_policy_key key = {
			.endpoint = 42,
			.direction = i & 1 ? AGENT_EGRESS : AGENT_INGRESS,
			.denied = i >> 1 & 1,
			.identity = 1001,
			.protocol = 6,
			.port = 80,
			.match_type = i >> 2,
		};
		AUTO_BUF struct buf b = buf_init(1 << 20);
		size_t n = agent_policy_put(p, &key, 21002, &b);
		Flow__Flow *f = flow__flow__unpack(NULL, b.len, (const uint8_t *)b.p);
		if (!b.failed && (!f || f->n_ingress_allowed_by != n))
			abort();
		if (f)
			flow__flow__free_unpacked(f, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *all = json_loadb((const char *)data, size, 0, NULL);

	if (all) {
		check_view(all);
		check_policy(all);
	}
	json_decref(all);
	return 0;
}
