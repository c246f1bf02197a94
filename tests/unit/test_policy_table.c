/* observer/policy: who is named for a drop or a verdict, how sure it is, and what is left alone. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/drop_reason.h"
#include "observer/name/name.h"
#include "observer/policy/file.h"

enum { EVENT_DROP = 1, EVENT_TRACE = 4, EVENT_VERDICT = 5, PORT = 8080 };

struct world {
	struct flow_dict *dict;
	struct policy_table *table;
	struct endpoint_id web, db, far, outside;
	struct buf ext, wire;
};

static struct endpoint_id endpoint(struct world *w, uint32_t id, const char *ns, const char *pod,
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

static int setup(void **state)
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

static int teardown(void **state)
{
	struct world *w = *state;

	buf_done(&w->ext);
	buf_done(&w->wire);
	policy_table_free(w->table);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}

#define KNP(name, spec)                                                                            \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                  \
	"metadata: {name: " name ", namespace: shop, resourceVersion: '42'}\nspec: " spec          \
	"\n---\n"
#define DB_FROM_WEB                                                                                \
	KNP("db", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: "       \
		  "{matchLabels: {app: web}}}], ports: [{port: 8080}]}]}")

static struct policy_set *set_by(const char *text, bool served)
{
	static const struct policy_config config = { 0 };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct policy_set *set = NULL;
	struct err e;

	if (policy_builder_new(&config, &b, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	policy_builder_served(b, served);
	if (policy_builder_add_text(b, str_of(text), &e) != ERR_OK ||
	    policy_builder_finish(b, &set, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return set;
}

static struct policy_set *set_of(const char *text)
{
	return set_by(text, false);
}

static void in_force(struct world *w, const char *text)
{
	assert_int_equal(policy_publish(w->table, set_of(text), (struct wall_ns){ 1 }, NULL),
			 ERR_OK);
}

static struct flow flow_of(int32_t event, struct endpoint_id src, struct endpoint_id dst,
			   uint16_t port)
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

/* The flow as a client sees it. */
static Flow__Flow *named(struct world *w, struct flow f)
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

static int source_of(const Flow__Flow *m)
{
	return m->tycho ? (int)m->tycho->policy_source : 0;
}

static size_t policies_of(const Flow__Flow *m)
{
	return m->n_egress_allowed_by + m->n_ingress_allowed_by + m->n_egress_denied_by +
	       m->n_ingress_denied_by;
}

static void done(Flow__Flow *m)
{
	flow__flow__free_unpacked(m, NULL);
}

/* --- what is named ---------------------------------------------------------------------------- */

static void a_drop_is_given_to_the_policies_that_deny_by_default(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_int_equal(m->n_ingress_denied_by, 1);
	assert_int_equal(policies_of(m), 1);
	assert_string_equal(m->ingress_denied_by[0]->name, "db");
	assert_string_equal(m->ingress_denied_by[0]->namespace_, "shop");
	assert_string_equal(m->ingress_denied_by[0]->kind, "NetworkPolicy");
	assert_int_equal(m->ingress_denied_by[0]->revision, 42);
	assert_int_equal(m->ingress_denied_by[0]->n_labels, 1);
	assert_string_equal(m->ingress_denied_by[0]->labels[0], FLOW_POLICY_DERIVED_LABEL);
	assert_int_equal(source_of(m), 2); /* likely */
	assert_int_equal(m->tycho->n_policy_rules, 1);
	assert_string_equal(m->tycho->policy_rules[0], "knp:shop/db");
	done(m);
}

static void a_drop_that_no_policy_explains_names_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->web, w->db, PORT));
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 0);
	assert_int_equal(policy_table_counts(w->table).unexplained, 1);
	done(m);
}

static void a_verdict_of_a_rule_is_given_to_the_policies_that_agree(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.verdict = FLOW__VERDICT__FORWARDED;
	Flow__Flow *m = named(w, f);
	assert_int_equal(m->n_ingress_allowed_by, 1);
	assert_int_equal(source_of(m), 1); /* derived */
	assert_string_equal(m->tycho->policy_rules[0], "knp:shop/db#ingress[0]");
	done(m);

	f = flow_of(EVENT_VERDICT, w->web, w->db, PORT + 1);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	m = named(w, f);
	assert_int_equal(m->n_ingress_denied_by, 1);
	assert_int_equal(source_of(m), 1);
	done(m);
}

static void a_verdict_that_policies_contradict_is_marked_and_names_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	Flow__Flow *m = named(w, f);
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 3);
	done(m);
}

/* The rule did not say which way: whoever agrees with it is named, and nobody contradicts. */
static void a_verdict_without_a_direction_is_given_to_who_agrees(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB KNP("web", "{podSelector: {matchLabels: {app: web}}, policyTypes: "
					   "[Egress], egress: [{ports: [{port: 8080}, {port: "
					   "9090}]}]}"));
	static const struct {
		uint16_t port;
		bool passed;
		size_t egress_allowed, ingress_allowed, egress_denied, ingress_denied;
	} cases[] = { { PORT, true, 1, 1, 0, 0 },
		      { 9090, false, 0, 0, 0, 1 },
		      { 22, false, 0, 0, 1, 0 },
		      { PORT, false, 0, 0, 0, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, cases[i].port);
		f.direction = FLOW__TRAFFIC_DIRECTION__TRAFFIC_DIRECTION_UNKNOWN;
		if (cases[i].passed)
			f.verdict = FLOW__VERDICT__FORWARDED;
		Flow__Flow *m = named(w, f);
		assert_int_equal(m->n_egress_allowed_by, cases[i].egress_allowed);
		assert_int_equal(m->n_ingress_allowed_by, cases[i].ingress_allowed);
		assert_int_equal(m->n_egress_denied_by, cases[i].egress_denied);
		assert_int_equal(m->n_ingress_denied_by, cases[i].ingress_denied);
		assert_int_equal(source_of(m), policies_of(m) ? 2 : 0); /* derived, likely */
		done(m);
	}
}

/* Nor do policies contradict where they decide nothing. */
static void a_verdict_at_an_end_without_policies_contradicts_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->outside, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__EGRESS; /* asked at an address outside */
	Flow__Flow *m = named(w, f);
	assert_int_equal(source_of(m), 0);
	done(m);
	in_force(w, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
		    "metadata: {name: db, namespace: shop}\n"
		    "spec: {endpointSelector: {matchLabels: {app: db}}, ingress: [{authentication: "
		    "{mode: required}, fromEntities: [all]}, {authentication: {mode: disabled}, "
		    "fromEntities: [all]}]}\n");
	f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS; /* these rules cannot be computed */
	m = named(w, f);
	assert_int_equal(source_of(m), 0);
	assert_int_equal(policy_table_counts(w->table).contradicted, 0);
	done(m);
}

/* All that is outside is one endpoint. */
static void addresses_outside_have_answers_of_their_own(void **state)
{
	struct world *w = *state;

	in_force(w, KNP("db", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: "
			      "{cidr: 192.0.2.1/32}}]}]}"));
	for (uint8_t last = 1; last <= 2; last++) {
		struct flow f = flow_of(EVENT_VERDICT, w->outside, w->db, PORT);

		f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
		f.verdict = last == 1 ? FLOW__VERDICT__FORWARDED : FLOW__VERDICT__DROPPED;
		ip_from_v4(f.src_ip, (const uint8_t[]){ 192, 0, 2, last });
		Flow__Flow *m = named(w, f);
		assert_int_equal(source_of(m), 1);
		assert_int_equal(m->n_ingress_allowed_by, last == 1);
		assert_int_equal(m->n_ingress_denied_by, last == 2);
		done(m);
	}
}

/* An API server newer than we are gave a policy there of which we know only a part. */
static void where_policies_are_known_in_part_only_nothing_is_certain(void **state)
{
	struct world *w = *state;
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);

	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.verdict = FLOW__VERDICT__FORWARDED;
	assert_int_equal(
		policy_publish(w->table,
			       set_by(DB_FROM_WEB KNP("new", "{podSelector: {matchLabels: {app: "
							     "far}}, newer: 1}"),
				      true),
			       (struct wall_ns){ 1 }, NULL),
		ERR_OK);
	Flow__Flow *m = named(w, f);
	assert_int_equal(m->n_ingress_allowed_by, 1);
	assert_int_equal(source_of(m), 2); /* likely */
	done(m);
	f.verdict = FLOW__VERDICT__DROPPED;
	m = named(w, f);
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 0); /* and nobody is contradicted */
	done(m);
}

static void a_later_packet_of_a_connection_is_less_sure(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->far, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.tcp_flags = FLOW_TCP_ACK;
	Flow__Flow *m = named(w, f);
	assert_int_equal(source_of(m), 2);
	done(m);
}

static void a_drop_between_pods_of_this_node_blames_the_sender_first(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB KNP("closed", "{podSelector: {}, policyTypes: [Egress]}"));
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->web, w->db, PORT + 1));
	assert_int_equal(m->n_egress_denied_by, 1);
	assert_int_equal(m->n_ingress_denied_by, 0);
	assert_string_equal(m->egress_denied_by[0]->name, "closed");
	done(m);
	/* one who lives elsewhere was asked elsewhere */
	m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT + 1));
	assert_int_equal(m->n_egress_denied_by, 0);
	assert_int_equal(m->n_ingress_denied_by, 1);
	done(m);
}

static void more_policies_than_a_list_holds_are_counted(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf text = buf_init(65536);

	for (int i = 0; i < POLICY_NAMED_MAX + 2; i++)
		buf_printf(&text,
			   "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
			   "metadata: {name: p%d, namespace: shop}\nspec: {podSelector: {}}\n---\n",
			   i);
	in_force(w, buf_cstr(&text));
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_int_equal(m->n_ingress_denied_by, POLICY_NAMED_MAX);
	assert_int_equal(m->tycho->n_policy_rules, POLICY_NAMED_MAX);
	assert_int_equal(m->tycho->policies_left_out, 2);
	done(m);
}

static void names_from_dns_open_what_rules_open_to_them(void **state)
{
	struct world *w = *state;

	in_force(w, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
		    "metadata: {name: out, namespace: shop}\n"
		    "spec: {endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: "
		    "'*.example'}]}]}\n");
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->outside, 443);
	f.direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	f.verdict = FLOW__VERDICT__FORWARDED;
	Flow__Flow *m = named(w, f);
	assert_int_equal(source_of(m), 3); /* nobody said that this address is so called */
	done(m);
	wire_put_str(&w->ext, 14, STR("shop.example"));
	f.bits |= FLOW_HAS_NAMES;
	m = named(w, f);
	assert_int_equal(m->n_egress_allowed_by, 1);
	assert_int_equal(source_of(m), 1);
	done(m);
}

/* --- what is left alone ----------------------------------------------------------------------- */

static void what_is_not_ours_to_say_is_left_alone(void **state)
{
	struct world *w = *state;
	struct flow cases[] = {
		flow_of(EVENT_TRACE, w->far, w->db, PORT), flow_of(EVENT_DROP, w->far, w->db, PORT),
		flow_of(EVENT_DROP, w->far, w->db, PORT),  flow_of(EVENT_DROP, w->far, w->db, PORT),
		flow_of(EVENT_DROP, w->far, w->db, PORT),  flow_of(EVENT_DROP, w->far, w->db, PORT),
	};

	in_force(w, DB_FROM_WEB);
	cases[1].drop_desc = DROP_REASON_NO_SOCKET; /* nobody listened: no policy's doing */
	cases[2].is_reply = FLOW_REPLY_TRUE;
	cases[3].l4 = FLOW_L4_NONE; /* a fragment */
	cases[4].bits &= ~(uint32_t)FLOW_HAS_SRC_IP;
	cases[5].dst_ep = w->outside; /* a service's own address */
	cases[5].dst_svc.v = 1;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Flow__Flow *m = named(w, cases[i]);
		assert_int_equal(policies_of(m), 0);
		assert_int_equal(source_of(m), 0);
		done(m);
	}
	struct flow f = flow_of(EVENT_DROP, w->far, w->db, PORT);
	f.bits |= FLOW_HAS_POLICIES; /* its rule named one */
	policy_flow(w->table, &f, &w->ext);
	assert_int_equal(w->ext.len, 0);
	assert_int_equal(policy_table_counts(w->table).asked, 0);
}

/* Cilium: a rule allows it, and asks for authentication that has not taken place. */
static void what_is_dropped_until_it_is_authenticated_contradicts_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.drop_desc = DROP_REASON_AUTH_REQUIRED;
	Flow__Flow *m = named(w, f);
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 0);
	assert_int_equal(policy_table_counts(w->table).contradicted, 0);
	done(m);
}

static void without_policies_nothing_is_said(void **state)
{
	struct world *w = *state;
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));

	assert_int_equal(policies_of(m), 0);
	done(m);
	in_force(w, "");
	m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_int_equal(policies_of(m), 0);
	done(m);
}

/* --- what is kept ----------------------------------------------------------------------------- */

static void an_answer_is_asked_for_once(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	for (int i = 0; i < 5; i++)
		done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT)));
	assert_int_equal(policy_table_counts(w->table).asked, 1);
	done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT + 1)));
	assert_int_equal(policy_table_counts(w->table).asked, 2);
}

static void new_policies_are_in_force_at_the_next_flow(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT)));
	in_force(w, KNP("other", "{podSelector: {}}"));
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_string_equal(m->ingress_denied_by[0]->name, "other");
	done(m);
}

/* More answers than there is room for: each is right, however often room is made. */
static void answers_stay_right_when_room_runs_out(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf text = buf_init(65536);

	for (int i = 0; i < 8; i++)
		buf_printf(&text,
			   "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
			   "metadata: {name: '%0200d', namespace: shop}\n"
			   "spec: {podSelector: {}, ingress: [{ports: [{port: 1, endPort: "
			   "9}]}]}\n---\n",
			   i);
	in_force(w, buf_cstr(&text));
	for (uint16_t i = 1; i < 3009; i++) {
		uint16_t port = i < 3000 ? i : i - 2999; /* the first ones again: made room with */
		struct flow f = flow_of(EVENT_VERDICT, w->far, w->db, port);
		f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
		f.verdict = port < 10 ? FLOW__VERDICT__FORWARDED : FLOW__VERDICT__DROPPED;
		policy_flow(w->table, &f, &w->ext);
		struct wire_reader r = wire_reader_of(buf_str(&w->ext));
		struct wire_field wf;
		size_t lists = 0;
		while (wire_next(&r, &wf))
			lists += wf.number == (port < 10 ? 21002 : 21005);
		assert_false(r.bad);
		assert_int_equal(lists, 8);
		buf_reset(&w->ext);
	}
	assert_true(policy_table_counts(w->table).asked >= 2999);
}

/* Ends whose rows fill what there is for them: a row that is made for one end never takes the place
 * of the other's. */
static void two_ends_of_a_flow_are_told_apart_when_room_runs_out(void **state)
{
	enum { SELECTORS = 16000, PODS = 12000 };
	struct world *w = *state;
	AUTO_BUF struct buf text = buf_init(2 << 20);

	/* Rows are long with selectors of other namespaces. */
	buf_lit(&text, DB_FROM_WEB "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
				   "metadata: {name: many, namespace: other}\n"
				   "spec: {podSelector: {}, ingress: [{from: [");
	for (int i = 0; i < SELECTORS; i++)
		buf_printf(&text, "{podSelector: {matchLabels: {a: '%d'}}},\n", i);
	buf_lit(&text, "]}]}\n");
	assert_false(text.failed);
	in_force(w, buf_cstr(&text));
	for (uint32_t i = 0; i < PODS; i++) {
		char pod[16];
		(void)snprintf(pod, sizeof pod, "db-%u", i);
		struct flow f = flow_of(EVENT_VERDICT, w->web,
					endpoint(w, 0, "shop", pod, "k8s:app=db"), PORT);
		f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
		f.verdict = FLOW__VERDICT__FORWARDED;
		policy_flow(w->table, &f, &w->ext);
		assert_true(f.bits & FLOW_HAS_POLICIES);
		buf_reset(&w->ext);
	}
	assert_int_equal(policy_table_counts(w->table).derived, PODS);
}

struct race {
	struct world *w;
	_Atomic bool stop;
};

static void *name_without_end(void *arg)
{
	struct race *r = arg;
	char bytes[4096];
	struct buf ext = buf_fixed(bytes, sizeof bytes);

	while (!atomic_load(&r->stop)) {
		struct flow f = flow_of(EVENT_DROP, r->w->far, r->w->db, PORT);
		buf_reset(&ext);
		policy_flow(r->w->table, &f, &ext);
		assert_true(f.bits & FLOW_HAS_POLICIES);
		policy_quiet(r->w->table);
	}
	return NULL;
}

static void policies_may_change_while_flows_are_named(void **state)
{
	struct world *w = *state;
	struct race r = { .w = w };
	pthread_t thread;

	in_force(w, DB_FROM_WEB);
	assert_int_equal(pthread_create(&thread, NULL, name_without_end, &r), 0);
	for (int i = 0; i < 200; i++)
		in_force(w, i % 2 ? DB_FROM_WEB : KNP("other", "{podSelector: {}}"));
	atomic_store(&r.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* --- files ------------------------------------------------------------------------------------ */

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *folder, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	(void)unlink(path);
}

static void a_folder_is_read_again_when_it_changes_and_kept_when_it_is_bad(void **state)
{
	struct world *w = *state;
	static const struct policy_config config = { 0 };
	char folder[] = "/tmp/tycho-policies-XXXXXX";
	AUTO(policy_file_free) struct policy_file *file = NULL;
	struct err e = { 0 };
	size_t skipped;

	assert_non_null(mkdtemp(folder));
	write_file(folder, "a.yaml", DB_FROM_WEB "kind: Deployment\napiVersion: apps/v1\n");
	write_file(folder, "notes.txt", "not yaml: [");
	assert_int_equal(policy_file_new(folder, &config, w->table, false, &file, &e), ERR_OK);
	assert_int_equal(policy_file_count(file, &skipped), 1);
	assert_int_equal(skipped, 1);
	assert_int_equal(policy_file_poll(file, &e), ERR_AGAIN);

	write_file(folder, "b.yaml", KNP("b", "{podSelector: 1}"));
	assert_int_equal(policy_file_poll(file, &e), ERR_INVALID);
	assert_non_null(strstr(
		e.msg,
		"/b.yaml': document 1: NetworkPolicy shop/b: spec.podSelector: it is a number"));
	done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT)));
	assert_int_equal(policy_table_counts(w->table).likely, 1);

	write_file(folder, "b.yaml", KNP("b", "{podSelector: {}}"));
	assert_int_equal(policy_file_poll(file, &e), ERR_OK);
	assert_int_equal(policy_file_count(file, &skipped), 2);
	remove_file(folder, "a.yaml");
	assert_int_equal(policy_file_poll(file, &e), ERR_OK);
	assert_int_equal(policy_file_count(file, &skipped), 1);
	remove_file(folder, "b.yaml");
	remove_file(folder, "notes.txt");
	(void)rmdir(folder);
}

struct seen_objects {
	size_t count, policies;
};

static enum err_code see_object(void *ctx, const json_t *object, struct err *e)
{
	struct seen_objects *seen = ctx;
	const char *kind = json_string_value(json_object_get(object, "kind"));

	(void)e;
	seen->count++;
	seen->policies += kind && strcmp(kind, "NetworkPolicy") == 0;
	return ERR_OK;
}

static void shared_files_are_published_once_and_then_by_who_asks_for_them(void **state)
{
	struct world *w = *state;
	static const struct policy_config config = { 0 };
	char folder[] = "/tmp/tycho-policies-XXXXXX";
	AUTO(policy_file_free) struct policy_file *file = NULL;
	struct seen_objects seen = { 0 };
	struct err e = { 0 };

	assert_non_null(mkdtemp(folder));
	write_file(folder, "a.yaml", DB_FROM_WEB);
	assert_int_equal(policy_file_new(folder, &config, w->table, true, &file, &e), ERR_OK);
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_string_equal(m->ingress_denied_by[0]->labels[1], "tycho:from=files");
	done(m);

	/* items of a typed list need not say what they are */
	write_file(folder, "b.yaml",
		   "---\nkind: NetworkPolicyList\napiVersion: networking.k8s.io/v1\nitems:\n"
		   "- {metadata: {name: c}, spec: {podSelector: {}}}\n"
		   "---\nkind: Deployment\napiVersion: apps/v1\n");
	assert_int_equal(policy_file_poll(file, &e), ERR_OK);
	assert_int_equal(policy_table_counts(w->table).policies, 1);
	assert_int_equal(policy_file_each(file, see_object, &seen, &e), ERR_OK);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.policies, 2);

	write_file(folder, "b.yaml", KNP("b", "{podSelector: 1}"));
	assert_int_equal(policy_file_poll(file, &e), ERR_INVALID);
	seen = (struct seen_objects){ 0 };
	assert_int_equal(policy_file_each(file, see_object, &seen, &e), ERR_OK);
	assert_int_equal(seen.count, 3); /* those before */
	remove_file(folder, "a.yaml");
	remove_file(folder, "b.yaml");
	(void)rmdir(folder);
}

static void in_force_since(struct world *w, const char *text, uint64_t since)
{
	assert_int_equal(policy_publish(w->table, set_of(text), (struct wall_ns){ since }, NULL),
			 ERR_OK);
}

/* A drop at @time; its policy is @name, "" for none. */
static void assert_named(struct world *w, uint64_t time, const char *name)
{
	struct flow f = flow_of(EVENT_DROP, w->far, w->db, PORT);

	f.bits |= FLOW_HAS_TIME;
	f.time.v = time;
	Flow__Flow *m = named(w, f);
	if (*name) {
		assert_int_equal(m->n_ingress_denied_by, 1);
		assert_string_equal(m->ingress_denied_by[0]->name, name);
	} else {
		assert_int_equal(m->n_ingress_denied_by, 0);
	}
	flow__flow__free_unpacked(m, NULL);
}

#define CLOSED(name) KNP(name, "{podSelector: {matchLabels: {app: db}}, ingress: []}")

static void labels(struct name_table *names, const char *label, uint64_t since)
{
	const struct str list[] = { str_of(label) };
	struct name_prefix p = { .bits = 128,
				 .local = true,
				 .endpoint = { .namespace_ = STR("shop"),
					       .pod = STR("db-9"),
					       .labels = list,
					       .label_count = 1 } };

	ip_from_v4(p.ip, (const uint8_t[]){ 10, 0, 0, 99 });
	assert_int_equal(name_change(names, 0,
				     &(struct name_change){ .since = { since },
							    .prefixes = &p,
							    .prefix_count = 1 },
				     NULL),
			 ERR_OK);
}

static void a_flow_is_put_to_the_policies_with_the_labels_of_its_time(void **state)
{
	struct world *w = *state;
	const uint64_t noon = UINT64_C(1700000000) * NS_PER_S;
	const struct name_config config = { .cluster = "", .node = "n" };
	AUTO(name_table_free) struct name_table *names = NULL;
	const struct {
		uint64_t time;
		size_t denied;
	} cases[] = {
		{ noon - 1, 1 }, { noon, 0 }, { noon + NS_PER_S - 1, 0 }, { noon + NS_PER_S, 1 }
	};

	assert_int_equal(name_table_new(&config, w->dict, &names, NULL), ERR_OK);
	in_force(w, KNP("closed", "{podSelector: {matchLabels: {app: db}}, ingress: []}"));
	labels(names, "k8s:app=db", noon - NS_PER_S);
	labels(names, "k8s:app=old", noon);
	labels(names, "k8s:app=db", noon + NS_PER_S);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) { /* all of them are read only now */
		struct flow f = flow_of(EVENT_DROP, w->far, w->db, PORT);

		f.bits |= FLOW_HAS_TIME;
		f.time.v = cases[i].time;
		ip_from_v4(f.dst_ip, (const uint8_t[]){ 10, 0, 0, 99 });
		name_flow(names, &f, &w->ext);
		buf_reset(&w->ext);
		f.src_ep = w->far;
		Flow__Flow *m = named(w, f);
		assert_string_equal(m->destination->pod_name, "db-9");
		assert_int_equal(m->n_ingress_denied_by, cases[i].denied);
		done(m);
	}
}

static void a_flow_is_put_to_the_policies_that_were_in_force_when_it_happened(void **state)
{
	struct world *w = *state;
	const uint64_t noon = UINT64_C(1700000000) * NS_PER_S;

	in_force_since(w, CLOSED("first"), noon); /* the first ones were there before */
	assert_named(w, noon - NS_PER_S, "first");
	in_force_since(w, CLOSED("second"), noon);
	in_force_since(w, "", noon + NS_PER_S);
	in_force_since(w, CLOSED("third"), noon + 2 * NS_PER_S);
	for (int twice = 0; twice < 2; twice++) {
		assert_named(w, noon - 1, "first");
		assert_named(w, noon, "second");
		assert_named(w, noon + NS_PER_S - 1, "second");
		assert_named(w, noon + NS_PER_S, "");
		assert_named(w, noon + 2 * NS_PER_S - 1, "");
		assert_named(w, noon + 2 * NS_PER_S, "third");
	}
	/* of a past that is forgotten, the oldest that is known counts */
	policy_tidy(w->table, (struct wall_ns){ noon + (1 + POLICY_PAST_S) * NS_PER_S + 1 });
	assert_named(w, noon - 1, "");
	assert_named(w, noon + 2 * NS_PER_S, "third");
	policy_tidy(w->table, (struct wall_ns){ noon + 100 * NS_PER_S });
	assert_named(w, noon - 1, "third");
}

static void of_many_sets_the_last_ones_are_remembered(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 1; i <= 20; i++)
		in_force_since(w, i % 2 ? CLOSED("odd") : CLOSED("even"), i * 10);
	assert_named(w, 201, "even");
	assert_named(w, 195, "odd");
	assert_named(w, 165, "even");
	assert_named(w, 10, "even"); /* the sixteenth is the oldest that is known */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_flow_is_put_to_the_policies_that_were_in_force_when_it_happened, setup,
			teardown),
		cmocka_unit_test_setup_teardown(of_many_sets_the_last_ones_are_remembered, setup,
						teardown),
		TEST(a_drop_is_given_to_the_policies_that_deny_by_default),
		TEST(a_drop_that_no_policy_explains_names_nobody),
		TEST(a_verdict_of_a_rule_is_given_to_the_policies_that_agree),
		TEST(a_verdict_that_policies_contradict_is_marked_and_names_nobody),
		TEST(a_verdict_without_a_direction_is_given_to_who_agrees),
		TEST(a_verdict_at_an_end_without_policies_contradicts_nobody),
		TEST(addresses_outside_have_answers_of_their_own),
		TEST(where_policies_are_known_in_part_only_nothing_is_certain),
		TEST(a_later_packet_of_a_connection_is_less_sure),
		TEST(a_drop_between_pods_of_this_node_blames_the_sender_first),
		TEST(more_policies_than_a_list_holds_are_counted),
		TEST(names_from_dns_open_what_rules_open_to_them),
		TEST(what_is_not_ours_to_say_is_left_alone),
		TEST(what_is_dropped_until_it_is_authenticated_contradicts_nobody),
		TEST(without_policies_nothing_is_said),
		TEST(an_answer_is_asked_for_once),
		TEST(new_policies_are_in_force_at_the_next_flow),
		TEST(answers_stay_right_when_room_runs_out),
		TEST(two_ends_of_a_flow_are_told_apart_when_room_runs_out),
		TEST(policies_may_change_while_flows_are_named),
		TEST(a_folder_is_read_again_when_it_changes_and_kept_when_it_is_bad),
		TEST(a_flow_is_put_to_the_policies_with_the_labels_of_its_time),
		TEST(shared_files_are_published_once_and_then_by_who_asks_for_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
