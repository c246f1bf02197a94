#include "policy_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/wire.h"
#include "observer/drop_reason.h"

struct endpoint_id endpoint(struct world *w, uint32_t id, const char *ns, const char *pod,
			    const char *label)
{
	const struct str labels[] = { str_of(label) };

	return flow_dict_endpoint(w->dict, &(struct endpoint){ .id = id,
							       .identity = 300,
							       .namespace_ = str_of(ns),
							       .pod = str_of(pod),
							       .labels = labels,
							       .label_count = 1 });
}

int world_make(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_int_equal(flow_dict_new(1 << 16, &w->dict, NULL), ERR_OK);
	assert_int_equal(policy_table_new(w->dict, &w->table, NULL), ERR_OK);
	w->web = endpoint(w, 1, "shop", "web-0", "k8s:app=web"); /* lives here */
	w->db = endpoint(w, 2, "shop", "db-0", "k8s:app=db");    /* so does it */
	w->far = endpoint(w, 0, "shop", "far-0", "k8s:app=far");
	w->outside = endpoint(w, 0, "", "", "reserved:world");
	w->ext = buf_init(65536);
	w->wire = buf_init(65536);
	*state = w;
	return 0;
}

int world_free(void **state)
{
	struct world *w = *state;

	buf_done(&w->ext);
	buf_done(&w->wire);
	policy_table_free(w->table);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}

void in_force(struct world *w, const char *text)
{
	assert_int_equal(policy_publish(w->table, set_of(text), (struct wall_ns){ 1 }, NULL),
			 ERR_OK);
}

struct flow flow_of(int32_t event, struct endpoint_id src, struct endpoint_id dst, uint16_t port)
{
	struct flow f = {
		.bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_EVENT_TYPE | FLOW_HAS_IP |
			FLOW_HAS_TCP_FLAGS,
		.l4 = FLOW_L4_TCP,
		.event_type = event,
		.src_ep = src,
		.dst_ep = dst,
		.src_port = 40000,
		.dst_port = port,
		.tcp_flags = FLOW_TCP_SYN,
		.verdict = event == EVENT_TRACE ? FLOW__VERDICT__FORWARDED : FLOW__VERDICT__DROPPED,
		.drop_desc = event == EVENT_DROP ? DROP_REASON_POLICY_DENIED : 0,
	};

	ip_from_v4(f.src_ip, (const uint8_t[]){ 10, 0, 0, (uint8_t)src.v });
	ip_from_v4(f.dst_ip, (const uint8_t[]){ 10, 0, 0, (uint8_t)dst.v });
	return f;
}

Flow__Flow *named(struct world *w, struct flow f)
{
	policy_flow(w->table, &f, &w->ext);
	f.ext = (const uint8_t *)w->ext.p;
	f.ext_len = (uint32_t)w->ext.len;
	buf_reset(&w->wire);
	flow_encode(&w->wire, &f, w->dict);
	Flow__Flow *m = flow__flow__unpack(NULL, w->wire.len, (const uint8_t *)w->wire.p);
	assert_non_null(m);
	assert_int_equal(m->n_egress_allowed_by + m->n_ingress_allowed_by + m->n_egress_denied_by +
					 m->n_ingress_denied_by >
				 0,
			 !!(f.bits & FLOW_HAS_POLICIES));
	buf_reset(&w->ext);
	return m;
}

int source_of(const Flow__Flow *m)
{
	return m->tycho ? (int)m->tycho->policy_source : 0;
}

size_t policies_of(const Flow__Flow *m)
{
	return m->n_egress_allowed_by + m->n_ingress_allowed_by + m->n_egress_denied_by +
	       m->n_ingress_denied_by;
}

void done(Flow__Flow *m)
{
	flow__flow__free_unpacked(m, NULL);
}
