/* observer/name: what Cilium's agent knows, and sides whose identity an event has said. Expected
 * values: reference/cilium-events.md sections 4 and 6.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/name/name.h"
#include "observer/name/said.h"

static const struct wall_ns noon = { UINT64_C(1700000000) * NS_PER_S };

struct world {
	struct flow_dict *dict;
	struct name_table *table;
};

static void world_done(struct world *w)
{
	name_table_free(w->table);
	flow_dict_free(w->dict);
}
#define AUTO_WORLD __attribute__((cleanup(world_done))) struct world

static void address(const char *text, uint8_t ret[16])
{
	assert_true(ip_parse(str_of(text), ret));
}

static const struct str web_labels[] = { { "k8s:app=web", 11 },
					 { "k8s:io.cilium.k8s.policy.cluster=blue", 37 } };
static const struct str cart_labels[] = { { "k8s:app=cart", 12 } };
static const struct str cidr_labels[] = { { "reserved:world", 14 },
					  { "cidr:8.0.0.0/8", 14 },
					  { "cidr:8.8.8.0/24", 15 },
					  { "cidr:0.0.0.0/0", 14 } };

enum { CART = 3000, WEB = 3001, CIDR = 0x01000005, ODD = 0x01000006 };

/* 10.0.0.1 is pod cart-0 here, 10.0.0.2 is web-0 elsewhere, 10.0.0.3 has a pod but no
 * identity, 8.8.8.0/24 is a CIDR identity. */
static struct world world_of(bool with_identities)
{
	struct world w = { 0 };
	struct err e;
	const struct name_config config = { .cluster = "own", .node = "n1" };
	const struct workload workload = { STR("cart"), STR("Deployment") };
	struct name_prefix p[4] = {
		{ .bits = 128,
		  .local = true,
		  .verbatim = true,
		  .endpoint = { .id = 7,
				.identity = CART,
				.namespace_ = STR("shop"),
				.pod = STR("cart-0"),
				.labels = cart_labels,
				.label_count = 1,
				.workloads = &workload,
				.workload_count = 1 } },
		{ .bits = 128,
		  .verbatim = true,
		  .endpoint = { .identity = WEB, .namespace_ = STR("prod"), .pod = STR("web-0") } },
		{ .bits = 128, .verbatim = true, .endpoint = { .pod = STR("limbo-0") } },
		{ .bits = 96 + 24, .verbatim = true, .endpoint = { .identity = CIDR } },
	};
	const struct name_identity ids[] = { { CIDR, cidr_labels, 4 },
					     { WEB, web_labels, 2 },
					     { WEB, cart_labels, 1 } };
	struct name_cgroup cgroups[2] = { { .cgroup = 11 }, { .cgroup = UINT64_MAX } };

	address("10.0.0.1", p[0].ip);
	address("10.0.0.2", p[1].ip);
	address("10.0.0.3", p[2].ip);
	address("8.8.8.0", p[3].ip);
	address("10.0.0.1", cgroups[0].ip4);
	address("fd00::1", cgroups[1].ip6);
	assert_int_equal(flow_dict_new(1000, &w.dict, &e), ERR_OK);
	assert_int_equal(name_table_new(&config, w.dict, &w.table, &e), ERR_OK);
	assert_int_equal(name_update(w.table, 0,
				     &(struct name_view){ .prefixes = p,
							  .prefix_count = 4,
							  .identities = ids,
							  .identity_count = with_identities ? 3 : 0,
							  .cgroups = cgroups,
							  .cgroup_count = 2 },
				     &e),
			 ERR_OK);
	return w;
}

/* The source of a flow from @text ("" no address), of which the event says @identity. */
static const struct endpoint *said(const struct world *w, const char *text, uint32_t identity)
{
	AUTO_BUF struct buf ext = buf_init(65536);
	struct flow f = { .time = noon };

	if (*text) {
		f.bits |= FLOW_HAS_SRC_IP;
		address(text, f.src_ip);
	}
	(void)name_flow_said(w->table, &f, identity, 0, &ext);
	const struct endpoint *ep = flow_dict_get_endpoint(w->dict, f.src_ep);
	assert_non_null(ep);
	return ep;
}

static void assert_labels(const struct endpoint *ep, const char *want)
{
	char text[512];
	struct buf b = buf_fixed(text, sizeof text);

	for (size_t i = 0; i < ep->label_count; i++)
		buf_printf(&b, "%s%.*s", i ? " " : "", STR_FMT(ep->labels[i]));
	assert_string_equal(buf_cstr(&b), want);
}

#define WEB_LABELS "k8s:app=web k8s:io.cilium.k8s.policy.cluster=blue"

static void a_side_without_a_said_identity_is_who_has_the_address(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	const struct endpoint *ep = said(&w, "10.0.0.1", 0);

	assert_int_equal(ep->id, 7);
	assert_int_equal(ep->identity, CART);
	assert_int_equal(ep->cluster.len, 0); /* no label says one: nothing is made up */
	assert_labels(ep, "k8s:app=cart");
	ep = said(&w, "10.0.0.2", 0);
	assert_int_equal(ep->id, 0);
	assert_int_equal(ep->identity, WEB);
	assert_true(str_is(ep->cluster, "blue"));
	assert_true(str_is(ep->pod, "web-0"));
	assert_labels(ep, WEB_LABELS);
}

static void an_address_and_an_identity_that_nobody_knows_are_unknown(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);

	for (int i = 0; i < 2; i++) {
		const struct endpoint *ep = said(&w, i ? "" : "192.0.2.1", 0);
		assert_int_equal(ep->identity, 0);
		assert_labels(ep, "reserved:unknown");
	}
	const struct endpoint *ep = said(&w, "192.0.2.1", 4711);
	assert_int_equal(ep->identity, 4711);
	assert_labels(ep, "");
	ep = said(&w, "10.0.0.3", 0);
	assert_int_equal(ep->identity, 0);
	assert_true(str_is(ep->pod, "limbo-0"));
	assert_labels(ep, "reserved:unknown");
}

static void a_said_identity_wins_and_brings_its_labels(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	const struct endpoint *ep = said(&w, "10.0.0.3", WEB);

	assert_int_equal(ep->identity, WEB);
	assert_true(str_is(ep->pod, "limbo-0"));
	assert_true(str_is(ep->cluster, "blue"));
	assert_labels(ep, WEB_LABELS);
	ep = said(&w, "10.0.0.2", 7);
	assert_true(str_is(ep->pod, "web-0"));
	assert_int_equal(ep->cluster.len, 0);
	assert_labels(ep, "reserved:kube-apiserver reserved:remote-node");
	ep = said(&w, "10.0.0.2", 999);
	assert_labels(ep, "");
	ep = said(&w, "", WEB);
	assert_int_equal(ep->pod.len, 0);
	assert_labels(ep, WEB_LABELS);
}

static void a_local_endpoint_keeps_its_labels_whatever_is_said(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	const struct endpoint *ep = said(&w, "10.0.0.1", WEB);

	assert_int_equal(ep->id, 7);
	assert_int_equal(ep->identity, WEB);
	assert_int_equal(ep->workload_count, 1);
	assert_labels(ep, "k8s:app=cart");
}

static void of_cidr_labels_only_the_longest_is_shown(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);

	assert_labels(said(&w, "8.8.8.8", 0), "cidr:8.8.8.0/24 reserved:world");
	assert_labels(said(&w, "", CIDR), "cidr:8.8.8.0/24 reserved:world");
}

/* 300 labels of a workload before those of the address, of which one is shown. */
static void of_very_many_labels_those_that_are_hidden_are_hidden(void **state)
{
	(void)state;
	enum { WORKLOAD = 300, MANY = WORKLOAD + 3 };
	AUTO_WORLD w = world_of(true);
	static char texts[WORKLOAD][16];
	struct str labels[MANY];
	struct name_prefix p = {
		.bits = 128,
		.local = true,
		.verbatim = true,
		.endpoint = { .id = 9, .identity = ODD, .labels = labels, .label_count = MANY }
	};
	struct err e;

	for (size_t i = 0; i < WORKLOAD; i++) {
		(void)snprintf(texts[i], sizeof texts[i], "k8s:l%03zu", i);
		labels[i] = str_of(texts[i]);
	}
	labels[WORKLOAD] = STR("cidr:10.0.0.0/8");
	labels[WORKLOAD + 1] = STR("cidr:10.0.0.9/32");
	labels[WORKLOAD + 2] = STR("cidr:10.0.0.0/24");
	address("10.0.0.9", p.ip);
	const struct name_view view = { .prefixes = &p, .prefix_count = 1 };
	assert_int_equal(name_update(w.table, 0, &view, &e), ERR_OK);
	const struct endpoint *ep = said(&w, "10.0.0.9", 0);
	assert_int_equal(ep->label_count, WORKLOAD + 1);
	assert_true(str_is(ep->labels[0], "cidr:10.0.0.9/32")); /* in order of text */
	assert_true(str_is(ep->labels[WORKLOAD], "k8s:l299"));
}

static void label_filter_reads_both_families_and_drops_length_zero(void **state)
{
	(void)state;
	struct str six[] = { STR("cidr:fd00--/8"), STR("cidr:fd00--/64"), STR("k8s:a=b"),
			     STR("cidr:nonsense"), STR("cidr:10.0.0.0/33") };
	struct str zero[] = { STR("cidr:0.0.0.0/0"), STR("reserved:world") };

	assert_int_equal(said_filter_labels(ODD, six, 5), 2);
	assert_true(str_is(six[0], "cidr:fd00--/64"));
	assert_true(str_is(six[1], "k8s:a=b"));
	assert_int_equal(said_filter_labels(ODD, zero, 2), 1);
	assert_true(str_is(zero[0], "reserved:world"));
	/* of identities that are not local to the node nothing is hidden */
	assert_int_equal(said_filter_labels(0x02000001, six, 2), 2);
}

static void labels_of_addresses_stay_where_nobody_knows_identities(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(false);
	const struct name_prefix p = { .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 9 },
				       .bits = 128,
				       .endpoint = { .labels = web_labels, .label_count = 2 } };

	assert_int_equal(name_update(w.table, 1,
				     &(struct name_view){ .prefixes = &p, .prefix_count = 1 },
				     NULL),
			 ERR_OK);
	const struct endpoint *ep = said(&w, "10.0.0.9", 5555);
	assert_int_equal(ep->identity, 5555);
	assert_labels(ep, WEB_LABELS);
}

static void what_was_put_together_is_forgotten_with_the_view_it_came_from(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	const struct name_identity changed = { WEB, cart_labels, 1 };

	assert_labels(said(&w, "10.0.0.3", WEB), WEB_LABELS);
	assert_int_equal(
		name_update(w.table, 0,
			    &(struct name_view){ .identities = &changed, .identity_count = 1 },
			    NULL),
		ERR_OK);
	assert_labels(said(&w, "10.0.0.3", WEB), "k8s:app=cart");
}

static void one_identity_changes_comes_and_goes_without_the_others(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	struct name_identity one = { WEB, cart_labels, 1 };
	const struct name_change change = { .identities = &one, .identity_count = 1 };

	const struct endpoint *other = said(&w, "10.0.0.3", CIDR);
	assert_true(other->label_count > 0);
	assert_labels(said(&w, "10.0.0.3", WEB), WEB_LABELS);
	assert_int_equal(name_change(w.table, 0, &change, NULL), ERR_OK);
	assert_labels(said(&w, "10.0.0.3", WEB), "k8s:app=cart");
	one = (struct name_identity){ .identity = WEB };
	assert_int_equal(name_change(w.table, 0, &change, NULL), ERR_OK);
	assert_int_equal(said(&w, "10.0.0.3", WEB)->label_count, 0);
	one = (struct name_identity){ 4242, web_labels, 2 };
	assert_int_equal(name_change(w.table, 0, &change, NULL), ERR_OK);
	assert_labels(said(&w, "10.0.0.3", 4242), WEB_LABELS);
	assert_ptr_equal(said(&w, "10.0.0.3", CIDR), other);
}

static void a_cgroup_leads_to_the_pods_address_of_the_family(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	uint8_t got[16], want[16];

	assert_true(name_cgroup_ip(w.table, 11, false, got));
	address("10.0.0.1", want);
	assert_memory_equal(got, want, 16);
	assert_false(name_cgroup_ip(w.table, 11, true, got));
	assert_true(name_cgroup_ip(w.table, UINT64_MAX, true, got));
	assert_false(name_cgroup_ip(w.table, UINT64_MAX, false, got));
	assert_false(name_cgroup_ip(w.table, 0, false, got));
}

static void dns_names_show_only_to_the_local_side_that_was_told(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	AUTO_BUF struct buf ext = buf_init(65536);
	struct flow f = { .time = noon, .bits = FLOW_HAS_TIME | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP };
	uint8_t far[16];

	address("10.0.0.1", f.src_ip);
	address("192.0.2.7", far);
	memcpy(f.dst_ip, far, 16);
	name_learn(w.table, f.src_ip, far, STR("shop.example"), 60, noon);
	(void)name_flow_said(w.table, &f, 0, 0, &ext);
	assert_true(f.bits & FLOW_HAS_NAMES);
	/* 10.0.0.2 lives elsewhere: its DNS history is not ours */
	f.bits &= ~(uint32_t)FLOW_HAS_NAMES;
	address("10.0.0.2", f.src_ip);
	(void)name_flow_said(w.table, &f, 0, 0, &ext);
	assert_false(f.bits & FLOW_HAS_NAMES);
}

/* DNS names of a flow between the two, of both sides: "source | destination". */
static void assert_names(const struct world *w, const char *src, const char *dst, const char *want)
{
	AUTO_BUF struct buf ext = buf_init(65536);
	struct flow f = { .time = noon, .bits = FLOW_HAS_TIME | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP };
	char text[512];
	struct buf b = buf_fixed(text, sizeof text);
	struct wire_field field;

	address(src, f.src_ip);
	address(dst, f.dst_ip);
	(void)name_flow_said(w->table, &f, 0, 0, &ext);
	for (uint32_t number = 13; number <= 14; number++) {
		struct wire_reader r = wire_reader_of(buf_str(&ext));
		while (wire_next(&r, &field))
			if (field.number == number)
				buf_printf(&b, "%.*s ", STR_FMT(field.bytes));
		if (number == 13)
			buf_lit(&b, "| ");
	}
	assert_string_equal(buf_cstr(&b), want);
	assert_int_equal((f.bits & FLOW_HAS_NAMES) != 0, strcmp(want, "| ") != 0);
}

static struct name_told told_of(const char *ip, uint32_t endpoint, const char *name)
{
	struct name_told t = { .endpoint = endpoint,
			       .name = str_of(name),
			       .until = { noon.v + NS_PER_S } };

	address(ip, t.ip);
	return t;
}

/* Provider 1 says nothing but this. */
static void say_told(const struct world *w, const struct name_told *told, size_t count, bool keep)
{
	assert_int_equal(name_update(w->table, 1,
				     &(struct name_view){
					     .told = told, .told_count = count, .keep_told = keep },
				     NULL),
			 ERR_OK);
}

static void what_a_provider_says_an_endpoint_was_told_shows_to_that_endpoint(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	const struct name_told told[] = { told_of("192.0.2.7", 7, "b.example."),
					  told_of("192.0.2.7", 8, "elsewhere.example."),
					  told_of("192.0.2.7", 7, "a.example."),
					  told_of("10.0.0.2", 7, "web.prod.svc.") };
	uint8_t pod[16], far[16];

	say_told(&w, told, ARRAY_LEN(told), false);
	assert_names(&w, "10.0.0.1", "192.0.2.7", "| a.example b.example ");
	assert_names(&w, "192.0.2.7", "10.0.0.1", "a.example b.example | ");
	assert_names(&w, "10.0.0.1", "10.0.0.2", "| web.prod.svc ");
	assert_names(&w, "10.0.0.2", "192.0.2.7", "| ");
	/* with what was learned here, in order, each once */
	address("10.0.0.1", pod);
	address("192.0.2.7", far);
	name_learn(w.table, pod, far, STR("b.example"), 60, noon);
	name_learn(w.table, pod, far, STR("aa.example"), 60, noon);
	name_learn(w.table, pod, far, STR("c.example"), 60, noon);
	assert_names(&w, "10.0.0.1", "192.0.2.7", "| a.example aa.example b.example c.example ");
}

static void what_was_told_stays_when_asked_to_and_goes_with_the_next_view(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	const struct name_told told[] = { told_of("192.0.2.7", 7, "a.example.") };

	say_told(&w, told, 1, false);
	say_told(&w, NULL, 0, true);
	assert_names(&w, "10.0.0.1", "192.0.2.7", "| a.example ");
	/* another provider's change leaves it, too, prefixes or services */
	const struct name_service service = { .port = 1,
					      .service = { STR("s"), STR(""), STR("") } };
	assert_int_equal(name_change(w.table, 2,
				     &(struct name_change){ .has_services = true,
							    .services = &service,
							    .service_count = 1 },
				     NULL),
			 ERR_OK);
	assert_names(&w, "10.0.0.1", "192.0.2.7", "| a.example ");
	say_told(&w, NULL, 0, false);
	assert_names(&w, "10.0.0.1", "192.0.2.7", "| ");
}

static void an_l7_record_shows_what_its_endpoints_were_told(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	AUTO_BUF struct buf ext = buf_init(65536);
	const struct name_told told[] = { told_of("192.0.2.7", 7, "a.example.") };
	struct flow f = { .time = noon, .bits = FLOW_HAS_TIME | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP };
	struct str name;

	say_told(&w, told, 1, false);
	address("10.0.0.1", f.src_ip);
	address("192.0.2.7", f.dst_ip);
	name_flow_told(w.table, &f, 8, 0, &ext); /* nobody here has that number */
	assert_false(f.bits & FLOW_HAS_NAMES);
	name_flow_told(w.table, &f, 7, 0, &ext);
	assert_true(f.bits & FLOW_HAS_NAMES);
	assert_true(wire_find(buf_str(&ext), 14, &name) && str_is(name, "a.example"));
}

static void more_than_can_be_told_is_refused(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	struct err e;

	assert_int_equal(
		name_update(w.table, 1, &(struct name_view){ .told_count = NAME_TOLD_MAX + 1 }, &e),
		ERR_INVALID);
}

static void a_local_endpoint_is_found_by_its_id(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of(true);
	const struct endpoint *ep = name_local(w.table, 7);

	assert_non_null(ep);
	assert_true(str_is(ep->pod, "cart-0"));
	assert_null(name_local(w.table, 0));
	assert_null(name_local(w.table, 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_side_without_a_said_identity_is_who_has_the_address),
		cmocka_unit_test(an_address_and_an_identity_that_nobody_knows_are_unknown),
		cmocka_unit_test(a_said_identity_wins_and_brings_its_labels),
		cmocka_unit_test(a_local_endpoint_keeps_its_labels_whatever_is_said),
		cmocka_unit_test(of_cidr_labels_only_the_longest_is_shown),
		cmocka_unit_test(of_very_many_labels_those_that_are_hidden_are_hidden),
		cmocka_unit_test(label_filter_reads_both_families_and_drops_length_zero),
		cmocka_unit_test(labels_of_addresses_stay_where_nobody_knows_identities),
		cmocka_unit_test(what_was_put_together_is_forgotten_with_the_view_it_came_from),
		cmocka_unit_test(one_identity_changes_comes_and_goes_without_the_others),
		cmocka_unit_test(a_cgroup_leads_to_the_pods_address_of_the_family),
		cmocka_unit_test(a_local_endpoint_is_found_by_its_id),
		cmocka_unit_test(dns_names_show_only_to_the_local_side_that_was_told),
		cmocka_unit_test(what_a_provider_says_an_endpoint_was_told_shows_to_that_endpoint),
		cmocka_unit_test(what_was_told_stays_when_asked_to_and_goes_with_the_next_view),
		cmocka_unit_test(an_l7_record_shows_what_its_endpoints_were_told),
		cmocka_unit_test(more_than_can_be_told_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
