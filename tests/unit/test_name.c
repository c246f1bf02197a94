/* observer/name: who an address is. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/name/dns_names.h"
#include "observer/name/name.h"

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

static struct world world_of(const char *cluster)
{
	struct world w = { 0 };
	struct err e;
	const char *labels[] = { "zone=b", "arch=amd64" };
	const struct name_config config = { .cluster = cluster,
					    .node = "n1",
					    .node_labels = labels,
					    .node_label_count = 2,
					    .dns_addresses = 64 };

	assert_int_equal(flow_dict_new(10000, &w.dict, &e), ERR_OK);
	if (name_table_new(&config, w.dict, &w.table, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return w;
}

static const uint8_t *ip(const char *text)
{
	static uint8_t ring[16][16];
	static unsigned next;
	uint8_t *to = ring[next++ % 16];

	assert_true(ip_parse(str_of(text), to));
	return to;
}

/* "10.0.1.0/24" or an address, in namespace @ns as @pod with one label. */
static struct name_prefix prefix_of(const char *text, const char *ns, const char *pod,
				    const struct str *label, bool local)
{
	struct name_prefix p = { .bits = 128, .local = local };
	struct str s = str_of(text);
	size_t slash = str_find(s, '/');

	if (slash < s.len)
		assert_true(parse_u8(str_from(s, slash + 1), &p.bits));
	assert_true(ip_parse(str_upto(s, slash), p.ip));
	if (slash < s.len && str_find(s, ':') == s.len)
		p.bits = (uint8_t)(p.bits + 96);
	p.endpoint = (struct endpoint){ .namespace_ = str_of(ns),
					.pod = str_of(pod),
					.labels = label,
					.label_count = label ? 1 : 0 };
	return p;
}

static void update(const struct world *w, unsigned who, const struct name_prefix *p, size_t n)
{
	struct err e;

	if (name_update(w->table, who, &(struct name_view){ .prefixes = p, .prefix_count = n },
			&e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static struct flow flow_at(const char *src, const char *dst, struct wall_ns time)
{
	struct flow f = { .bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_TIME,
			  .time = time,
			  .l4 = FLOW_L4_TCP,
			  .src_port = 40000,
			  .dst_port = 80 };

	memcpy(f.src_ip, ip(src), 16);
	memcpy(f.dst_ip, ip(dst), 16);
	return f;
}

static struct flow named(const struct world *w, const char *src, const char *dst)
{
	AUTO_BUF struct buf ext = buf_init(65536);
	struct flow f = flow_at(src, dst, noon);

	name_flow(w->table, &f, &ext);
	return f;
}

/* The endpoint of @text as a flow's source. */
static const struct endpoint *who(const struct world *w, const char *text)
{
	const struct endpoint *ep =
		flow_dict_get_endpoint(w->dict, named(w, text, "192.0.2.200").src_ep);

	assert_non_null(ep);
	return ep;
}

#define assert_str(a, z)                                                                           \
	do {                                                                                       \
		struct str a_ = (a);                                                               \
		if (!str_is(a_, (z)))                                                              \
			fail_msg("\"%.*s\" is not \"%s\"", STR_FMT(a_), (z));                      \
	} while (0)

/* --- addresses ---------------------------------------------------------------------------- */

static void an_address_that_nobody_claims_is_the_worlds(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	static const char *const addresses[] = {
		"192.0.2.1", "2001:db8::1", "0.0.0.0", "::", "255.255.255.255", "126.255.255.255"
	};

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		const struct endpoint *ep = who(&w, addresses[i]);
		assert_int_equal(ep->identity, 2);
		assert_int_equal(ep->id, 0);
		assert_int_equal(ep->label_count, 1);
		assert_str(ep->labels[0], "reserved:world");
	}
}

static void loopback_and_the_nodes_own_addresses_are_the_host(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("edge");
	uint8_t own[2][16];

	memcpy(own[0], ip("198.51.100.7"), 16);
	memcpy(own[1], ip("2001:db8::7"), 16);
	assert_int_equal(name_update_host(w.table, (const uint8_t(*)[16])own, 2, NULL), ERR_OK);
	static const char *const addresses[] = { "127.0.0.1", "127.255.0.9", "::1", "198.51.100.7",
						 "2001:db8::7" };
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		assert_int_equal(who(&w, addresses[i])->identity, 1);
		assert_str(who(&w, addresses[i])->labels[0], "reserved:host");
		assert_false(name_is_local(w.table, ip(addresses[i])));
	}
	assert_int_equal(who(&w, "128.0.0.1")->identity, 2);
	assert_int_equal(name_update_host(w.table, NULL, 0, NULL), ERR_OK);
	assert_int_equal(who(&w, "198.51.100.7")->identity, 2);
}

static void the_longest_prefix_wins(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	const struct name_prefix p[] = {
		prefix_of("10.0.0.0/8", "eight", "", NULL, false),
		prefix_of("10.0.1.0/24", "twentyfour", "", NULL, false),
		prefix_of("10.0.1.5", "pod", "cart-0", NULL, true),
		prefix_of("2001:db8::/32", "six", "", NULL, false),
		prefix_of("::/0", "rest", "", NULL, false),
	};

	update(&w, 0, p, ARRAY_LEN(p));
	assert_str(who(&w, "10.9.9.9")->namespace_, "eight");
	assert_str(who(&w, "10.0.1.6")->namespace_, "twentyfour");
	assert_str(who(&w, "10.0.1.5")->namespace_, "pod");
	assert_str(who(&w, "2001:db8:ffff::1")->namespace_, "six");
	assert_str(who(&w, "2001:db9::1")->namespace_, "rest");
	/* as the agent's ipcache has it: an IPv4 address is in no IPv6 prefix */
	assert_int_equal(who(&w, "11.0.0.1")->identity, 2);
	assert_true(name_is_local(w.table, ip("10.0.1.5")));
	assert_false(name_is_local(w.table, ip("10.0.1.6")));
}

static void the_lower_provider_wins_and_each_replaces_only_its_own(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	const struct name_prefix low = prefix_of("10.0.0.1", "low", "", NULL, false);
	const struct name_prefix high[] = { prefix_of("10.0.0.1", "high", "", NULL, false),
					    prefix_of("10.0.0.2", "high", "", NULL, false) };

	update(&w, 2, high, 2);
	assert_str(who(&w, "10.0.0.1")->namespace_, "high");
	update(&w, 0, &low, 1);
	assert_str(who(&w, "10.0.0.1")->namespace_, "low");
	assert_str(who(&w, "10.0.0.2")->namespace_, "high");
	update(&w, 0, NULL, 0);
	assert_str(who(&w, "10.0.0.1")->namespace_, "high");
	update(&w, 2, NULL, 0);
	assert_int_equal(who(&w, "10.0.0.1")->identity, 2);
	assert_int_equal(name_update(w.table, NAME_PROVIDERS, &(struct name_view){ 0 }, NULL),
			 ERR_INVALID);
	const struct name_prefix bad = { .bits = 129 };
	assert_int_equal(name_update(w.table, 0,
				     &(struct name_view){ .prefixes = &bad, .prefix_count = 1 },
				     NULL),
			 ERR_INVALID);
}

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static bool covers(const struct name_prefix *p, const uint8_t address[16])
{
	for (unsigned i = 0; i < p->bits; i++)
		if ((p->ip[i / 8] ^ address[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

static void lookups_agree_with_trying_every_prefix(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	enum { N = 300 };
	struct name_prefix p[N];
	uint64_t s = 20240301;

	print_message("seed %llu\n", (unsigned long long)s);
	for (size_t i = 0; i < N; i++) {
		/* few distinct bytes, so that prefixes nest and meet */
		p[i] = (struct name_prefix){ .bits = (uint8_t)(next_random(&s) % 129),
					     .endpoint.identity = 1000 + (uint32_t)i };
		for (size_t b = 0; b < 16; b++)
			p[i].ip[b] = next_random(&s) % 3 ? 0 : (uint8_t)(next_random(&s) & 0x81);
	}
	update(&w, 1, p, N);
	for (int round = 0; round < 20000; round++) {
		uint8_t address[16];
		memcpy(address, p[next_random(&s) % N].ip, 16);
		address[next_random(&s) % 16] ^= (uint8_t)(1u << next_random(&s) % 8);
		uint32_t want = 2;
		int longest = -1;
		for (size_t i = 0; i < N; i++)
			if (covers(&p[i], address) && p[i].bits > longest) {
				longest = p[i].bits;
				want = p[i].endpoint.identity;
			}
		struct flow f = { .bits = FLOW_HAS_SRC_IP };
		memcpy(f.src_ip, address, 16);
		name_flow(w.table, &f, &(struct buf){ 0 });
		uint32_t got = flow_dict_get_endpoint(w.dict, f.src_ep)->identity;
		if (longest >= 0 || got != 1) /* ::1 is the host's */
			assert_int_equal(got, want);
	}
}

/* --- numbers ------------------------------------------------------------------------------ */

static void the_same_labels_are_the_same_identity_in_any_order_and_after_a_restart(void **state)
{
	(void)state;
	const struct str ac[] = { STR("k8s:a=1"), STR("k8s:c=2") };
	const struct str ab[] = { STR("k8s:a=1"), STR("k8s:b=2") },
			 ba[] = { STR("k8s:b=2"), STR("k8s:a=1"), STR("k8s:b=2") };
	uint32_t first = 0;

	for (int restart = 0; restart < 2; restart++) {
		AUTO_WORLD w = world_of("");
		struct name_prefix p[] = { prefix_of("10.0.0.1", "x", "p1", NULL, false),
					   prefix_of("10.0.0.2", "y", "p2", NULL, false),
					   prefix_of("10.0.0.3", "x", "p3", &ab[0], false),
					   prefix_of("10.0.0.4", "x", "p4", NULL, false) };
		p[0].endpoint.labels = ab;
		p[0].endpoint.label_count = 2;
		p[1].endpoint.labels = ba;
		p[1].endpoint.label_count = 3;
		p[3].endpoint.labels = ac;
		p[3].endpoint.label_count = 2;
		if (restart) {
			struct name_prefix swap = p[0];
			p[0] = p[2];
			p[2] = swap;
		}
		update(&w, restart ? 3 : 0, p, 4);
		const struct endpoint *one = who(&w, "10.0.0.1"), *two = who(&w, "10.0.0.2");
		assert_in_range(one->identity, 256, 65535);
		assert_int_equal(one->identity, two->identity);
		assert_int_not_equal(one->identity, who(&w, "10.0.0.3")->identity);
		assert_int_not_equal(one->identity, who(&w, "10.0.0.4")->identity);
		assert_int_equal(two->label_count, 2);
		assert_str(two->labels[0], "k8s:a=1");
		assert_str(two->labels[1], "k8s:b=2");
		if (restart)
			assert_int_equal(one->identity, first);
		first = one->identity;
	}
}

static void reserved_labels_and_given_identities_are_kept(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	const struct str health = STR("reserved:health"), unheard = STR("reserved:unheard-of");
	struct name_prefix p[] = { prefix_of("10.0.0.1", "", "", &health, false),
				   prefix_of("10.0.0.2", "", "", &unheard, false),
				   prefix_of("10.0.0.3", "", "", &unheard, false) };

	p[2].endpoint.identity = 4001;
	update(&w, 0, p, 3);
	assert_int_equal(who(&w, "10.0.0.1")->identity, 4); /* reserved-identities.tsv */
	assert_in_range(who(&w, "10.0.0.2")->identity, 256, 65535);
	assert_int_equal(who(&w, "10.0.0.3")->identity, 4001);
}

static void local_endpoints_have_an_id_that_their_addresses_share(void **state)
{
	(void)state;
	uint32_t id = 0;

	for (int restart = 0; restart < 2; restart++) {
		AUTO_WORLD w = world_of("");
		struct name_prefix p[] = {
			prefix_of("10.0.0.1", "shop", "cart-0", NULL, true),
			prefix_of("fd00::1", "shop", "cart-0", NULL, true),
			prefix_of("10.0.0.2", "shop", "cart-1", NULL, true),
			prefix_of("10.0.0.3", "", "", NULL, true),
			prefix_of("10.0.0.4", "far", "away", NULL, false),
			prefix_of("10.0.0.5", "", "", NULL, true),
		};
		p[5].endpoint.id = 77;
		update(&w, 0, p, ARRAY_LEN(p));
		assert_in_range(who(&w, "10.0.0.1")->id, 1, 65535);
		assert_int_equal(who(&w, "10.0.0.1")->id, who(&w, "fd00::1")->id);
		assert_int_not_equal(who(&w, "10.0.0.1")->id, who(&w, "10.0.0.2")->id);
		assert_in_range(who(&w, "10.0.0.3")->id, 1, 65535);
		assert_int_equal(who(&w, "10.0.0.4")->id, 0);
		assert_int_equal(who(&w, "10.0.0.5")->id, 77);
		if (restart)
			assert_int_equal(who(&w, "10.0.0.1")->id, id);
		id = who(&w, "10.0.0.1")->id;
	}
}

/* --- flows -------------------------------------------------------------------------------- */

static void a_flow_gets_its_node_and_cluster(void **state)
{
	(void)state;
	static const char *const clusters[] = { "", "default", "edge" }, *const names[] = {
		"n1", "n1", "edge/n1"
	};

	for (size_t i = 0; i < ARRAY_LEN(clusters); i++) {
		AUTO_WORLD w = world_of(clusters[i]);
		struct name_prefix p = prefix_of("10.0.0.1", "shop", "cart-0", NULL, true);
		update(&w, 0, &p, 1);
		const struct node *n =
			flow_dict_get_node(w.dict, named(&w, "10.0.0.1", "10.0.0.2").node);
		assert_str(n->name, names[i]);
		assert_int_equal(n->label_count, 2);
		assert_str(n->labels[0], "arch=amd64");
		assert_str(n->labels[1], "zone=b");
		assert_str(n->emitter_name, "tycho");
		assert_str(who(&w, "10.0.0.1")->cluster, clusters[i]);
		assert_int_equal(name_node(w.table).v, named(&w, "10.0.0.1", "10.0.0.2").node.v);
	}
}

static void a_side_without_an_address_has_no_endpoint(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	struct flow f = { .bits = FLOW_HAS_DST_IP };

	memcpy(f.dst_ip, ip("192.0.2.1"), 16);
	name_flow(w.table, &f, &(struct buf){ 0 });
	assert_int_equal(f.src_ep.v, 0);
	assert_int_not_equal(f.dst_ep.v, 0);
	assert_int_not_equal(f.node.v, 0);
}

static void a_whole_flow_keeps_what_it_says(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	struct flow f = flow_at("192.0.2.1", "192.0.2.2", noon), before;

	f.bits |= FLOW_WHOLE;
	before = f;
	name_flow(w.table, &f, &(struct buf){ 0 });
	assert_memory_equal(&f, &before, sizeof f);
}

static void services_are_found_by_address_and_port(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	struct name_service s[] = {
		{ .port = 80, .service = { .name = STR("web"), .namespace_ = STR("shop") } },
		{ .port = 0, .service = { .name = STR("any"), .namespace_ = STR("shop") } }
	};

	memcpy(s[0].ip, ip("10.96.0.1"), 16);
	memcpy(s[1].ip, ip("10.96.0.2"), 16);
	assert_int_equal(name_update(w.table, 0,
				     &(struct name_view){ .services = s, .service_count = 2 },
				     NULL),
			 ERR_OK);
	struct flow f = named(&w, "192.0.2.1", "10.96.0.1");
	assert_true(flow_is(&f, FLOW_HAS_SVC));
	assert_str(flow_dict_get_service(w.dict, f.dst_svc)->name, "web");
	assert_int_equal(f.src_svc.v, 0);
	f = named(&w, "10.96.0.1", "192.0.2.1"); /* from port 40000 */
	assert_false(flow_is(&f, FLOW_HAS_SVC));
	f = named(&w, "10.96.0.2", "192.0.2.1");
	assert_str(flow_dict_get_service(w.dict, f.src_svc)->name, "any");
	f = flow_at("192.0.2.1", "10.96.0.2", noon);
	f.l4 = FLOW_L4_ICMP4;
	name_flow(w.table, &f, &(struct buf){ 0 });
	assert_str(flow_dict_get_service(w.dict, f.dst_svc)->name, "any");
}

/* --- DNS ---------------------------------------------------------------------------------- */

/* Names in @ext as "13:a,14:b". */
static const char *names_text(const struct buf *ext, char text[2000])
{
	struct wire_reader r = wire_reader_of(buf_str(ext));
	struct wire_field field;
	int len = 0;

	text[0] = 0;
	while (wire_next(&r, &field))
		len += snprintf(text + len, 2000 - (size_t)len, "%s%u:%.*s", len ? "," : "",
				field.number, STR_FMT(field.bytes));
	assert_false(r.bad);
	return text;
}

static void assert_names(const struct world *w, const char *src, const char *dst,
			 struct wall_ns time, const char *want)
{
	AUTO_BUF struct buf ext = buf_init(65536);
	struct flow f = flow_at(src, dst, time);
	char text[2000];

	name_flow(w->table, &f, &ext);
	assert_string_equal(names_text(&ext, text), want);
	assert_int_equal(flow_is(&f, FLOW_HAS_NAMES), *want != 0);
}

static void learn(const struct world *w, const char *client, const char *address, const char *name,
		  uint32_t ttl_s)
{
	name_learn(w->table, ip(client), ip(address), str_of(name), ttl_s, noon);
}

/* A node with two pods of its own and one elsewhere. */
static struct world pods(void)
{
	struct world w = world_of("");
	const struct name_prefix p[] = { prefix_of("10.0.0.1", "shop", "cart-0", NULL, true),
					 prefix_of("fd00::1", "shop", "cart-0", NULL, true),
					 prefix_of("10.0.0.2", "shop", "cart-1", NULL, true),
					 prefix_of("10.0.9.9", "far", "db-0", NULL, false) };

	update(&w, 0, p, ARRAY_LEN(p));
	return w;
}

static void an_endpoints_own_answers_name_its_peers_and_only_those(void **state)
{
	(void)state;
	AUTO_WORLD w = pods();

	learn(&w, "10.0.0.1", "10.0.9.9", "DB.Far.Example.", 60);
	assert_names(&w, "10.0.0.1", "10.0.9.9", noon, "14:db.far.example");
	assert_names(&w, "10.0.9.9", "10.0.0.1", noon, "13:db.far.example");
	assert_names(&w, "10.0.0.2", "10.0.9.9", noon, "");
	assert_names(&w, "10.0.0.1", "10.0.0.2", noon, "");
	/* the same pod by its other address */
	learn(&w, "10.0.0.1", "fd00::99", "six.example", 60);
	assert_names(&w, "fd00::1", "fd00::99", noon, "14:six.example");
}

static void addresses_of_the_world_are_named_by_whoever_was_told(void **state)
{
	(void)state;
	AUTO_WORLD w = pods();

	learn(&w, "10.0.0.1", "192.0.2.7", "shop.example", 60);
	learn(&w, "10.0.0.2", "192.0.2.7", "shop.example", 60);
	learn(&w, "10.0.0.2", "192.0.2.7", "cdn.example", 60);
	assert_names(&w, "10.0.0.1", "192.0.2.7", noon, "14:cdn.example,14:shop.example");
	assert_names(&w, "192.0.2.7", "192.0.2.8", noon, "13:cdn.example,13:shop.example");
}

static void names_that_the_node_itself_was_told_name_its_peers(void **state)
{
	(void)state;
	AUTO_WORLD w = pods();
	uint8_t own[2][16];

	memcpy(own[0], ip("198.51.100.7"), 16);
	memcpy(own[1], ip("198.51.100.8"), 16);
	assert_int_equal(name_update_host(w.table, (const uint8_t(*)[16])own, 2, NULL), ERR_OK);
	learn(&w, "127.0.0.1", "10.0.9.9", "db.example", 60);
	assert_names(&w, "198.51.100.8", "10.0.9.9", noon, "14:db.example");
	assert_names(&w, "10.0.0.1", "10.0.9.9", noon, "");
}

static void names_end_with_their_ttl_and_the_grace_period(void **state)
{
	(void)state;
	AUTO_WORLD w = pods();
	struct wall_ns last = { noon.v + (uint64_t)(60 + DNS_GRACE_S) * NS_PER_S };

	learn(&w, "10.0.0.1", "192.0.2.7", "shop.example", 60);
	assert_names(&w, "10.0.0.1", "192.0.2.7", last, "14:shop.example");
	assert_names(&w, "10.0.0.1", "192.0.2.7", (struct wall_ns){ last.v + 1 }, "");
	learn(&w, "10.0.0.1", "192.0.2.7", "shop.example",
	      UINT32_MAX); /* renewed, and the TTL is bounded */
	assert_names(&w, "10.0.0.1", "192.0.2.7", (struct wall_ns){ last.v + 1 },
		     "14:shop.example");
	last.v = noon.v + (uint64_t)(DNS_TTL_MAX_S + DNS_GRACE_S) * NS_PER_S;
	assert_names(&w, "10.0.0.1", "192.0.2.7", (struct wall_ns){ last.v + 1 }, "");
}

static void names_that_are_none_are_ignored(void **state)
{
	(void)state;
	AUTO_WORLD w = pods();
	char longest[256];
	static const char *const bad[] = { "", ".", "a b", "a\nb", "a\x7f", "\xff\xfe", "caf\xc3" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		learn(&w, "10.0.0.1", "192.0.2.7", bad[i], 60);
	memset(longest, 'x', sizeof longest);
	longest[254] = 0;
	learn(&w, "10.0.0.1", "192.0.2.7", longest, 60);
	assert_names(&w, "10.0.0.1", "192.0.2.7", noon, "");
	longest[253] = '.';
	learn(&w, "10.0.0.1", "192.0.2.7", longest, 60); /* 253 and the last dot */
	longest[253] = 0;
	char want[300];
	(void)snprintf(want, sizeof want, "14:%s", longest);
	assert_names(&w, "10.0.0.1", "192.0.2.7", noon, want);
}

/* --- namespaces --------------------------------------------------------------------------- */

static void add_namespace(void *ctx, struct str cluster, struct str ns)
{
	buf_printf(ctx, "%.*s/%.*s ", STR_FMT(cluster), STR_FMT(ns));
}

static void assert_namespaces(const struct world *w, struct wall_ns now, const char *want)
{
	AUTO_BUF struct buf text = buf_init(65536);

	name_namespaces(w->table, now, add_namespace, &text);
	assert_string_equal(buf_cstr(&text), want);
}

static void namespaces_seen_in_the_last_hour_are_listed_in_order(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("edge");
	struct name_prefix p[] = { prefix_of("10.0.0.1", "zoo", "p", NULL, false),
				   prefix_of("10.0.0.2", "app", "p", NULL, false),
				   prefix_of("10.0.0.3", "app", "q", NULL, false),
				   prefix_of("10.0.0.4", "app", "r", NULL, false),
				   prefix_of("10.0.0.5", "app", "s", NULL, false),
				   prefix_of("10.0.0.6", "unseen", "s", NULL, false) };
	struct wall_ns later = { noon.v + 1800 * NS_PER_S };

	p[3].endpoint.cluster = STR("core");
	p[4].endpoint.cluster = STR("default");
	update(&w, 0, p, ARRAY_LEN(p));
	assert_namespaces(&w, noon, "");
	name_quiet(w.table, noon);
	(void)named(&w, "10.0.0.1", "10.0.0.2");
	(void)named(&w, "10.0.0.3", "10.0.0.4");
	(void)named(&w, "10.0.0.5", "192.0.2.1");
	assert_namespaces(&w, noon, "/app core/app edge/app edge/zoo ");
	name_quiet(w.table, later);
	(void)named(&w, "10.0.0.3", "192.0.2.1");
	assert_namespaces(&w, (struct wall_ns){ noon.v + 3600 * NS_PER_S },
			  "/app core/app edge/app edge/zoo ");
	assert_namespaces(&w, (struct wall_ns){ noon.v + 3601 * NS_PER_S }, "edge/app ");
	assert_namespaces(&w, (struct wall_ns){ later.v + 3601 * NS_PER_S }, "");
}

static void the_place_of_an_expired_namespace_is_used_again(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	enum { N = 4096 };
	static struct name_prefix p[N];
	static char ns[N][16];
	AUTO_BUF struct buf text = buf_init(1 << 20);

	for (int round = 0; round < 2; round++) {
		struct wall_ns now = { noon.v + (uint64_t)round * 7200 * NS_PER_S };
		for (unsigned i = 0; i < N; i++) {
			(void)snprintf(ns[i], sizeof ns[i], "r%d-%04u", round, i);
			p[i] = prefix_of("10.0.0.0", ns[i], "", NULL, false);
			p[i].ip[14] = (uint8_t)(i >> 8);
			p[i].ip[15] = (uint8_t)i;
		}
		update(&w, 0, p, N);
		name_quiet(w.table, now);
		for (unsigned i = 0; i < N; i++) {
			struct flow f = { .bits = FLOW_HAS_SRC_IP };
			memcpy(f.src_ip, p[i].ip, 16);
			name_flow(w.table, &f, &text);
		}
		buf_reset(&text);
		name_namespaces(w.table, now, add_namespace, &text);
		/* bounded probing leaves a few out of a table filled to the brim */
		assert_true(text.len > N * 9 / 10 * strlen("/r0-0000 "));
		assert_null(strstr(buf_cstr(&text), round ? "/r0-" : "/r1-"));
	}
}

/* --- threads ------------------------------------------------------------------------------ */

enum { UPDATES = 300 };

static void *update_often(void *arg)
{
	struct world *w = arg;

	for (uint32_t i = 1; i <= UPDATES; i++) {
		struct name_prefix p[] = { prefix_of("10.0.0.0/24", "ns", "a", NULL, true),
					   prefix_of("10.0.1.1", "ns", "b", NULL, true) };
		p[0].endpoint.identity = p[1].endpoint.identity = 1000 + i;
		if (name_update(w->table, i % NAME_PROVIDERS / 3,
				&(struct name_view){ .prefixes = p, .prefix_count = 2 },
				NULL) != ERR_OK)
			return arg;
	}
	return NULL;
}

static void count_namespace(void *ctx, struct str cluster, struct str ns)
{
	(void)cluster;
	*(size_t *)ctx += str_is(ns, "ns");
}

static void both_sides_of_a_flow_come_from_one_snapshot_while_it_is_replaced(void **state)
{
	(void)state;
	AUTO_WORLD w = world_of("");
	pthread_t updater;
	void *failed;
	uint32_t seen = 0;
	uint8_t b[16];

	memcpy(b, ip("10.0.1.1"), 16);
	name_quiet(w.table, noon);
	assert_int_equal(pthread_create(&updater, NULL, update_often, &w), 0);
	while (seen < 1000 + UPDATES) {
		struct flow f = flow_at("10.0.0.9", "192.0.2.1", noon);
		memcpy(f.dst_ip, b, 16);
		name_flow(w.table, &f, &(struct buf){ 0 });
		uint32_t src = flow_dict_get_endpoint(w.dict, f.src_ep)->identity;
		assert_int_equal(src, flow_dict_get_endpoint(w.dict, f.dst_ep)->identity);
		assert_true(src == 2 || src >= seen);
		seen = src;
		size_t n = 0;
		name_namespaces(w.table, noon, count_namespace, &n);
		assert_true(n <= 1);
	}
	assert_int_equal(pthread_join(updater, &failed), 0);
	assert_null(failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_that_nobody_claims_is_the_worlds),
		cmocka_unit_test(loopback_and_the_nodes_own_addresses_are_the_host),
		cmocka_unit_test(the_longest_prefix_wins),
		cmocka_unit_test(the_lower_provider_wins_and_each_replaces_only_its_own),
		cmocka_unit_test(lookups_agree_with_trying_every_prefix),
		cmocka_unit_test(
			the_same_labels_are_the_same_identity_in_any_order_and_after_a_restart),
		cmocka_unit_test(reserved_labels_and_given_identities_are_kept),
		cmocka_unit_test(local_endpoints_have_an_id_that_their_addresses_share),
		cmocka_unit_test(a_flow_gets_its_node_and_cluster),
		cmocka_unit_test(a_side_without_an_address_has_no_endpoint),
		cmocka_unit_test(a_whole_flow_keeps_what_it_says),
		cmocka_unit_test(services_are_found_by_address_and_port),
		cmocka_unit_test(an_endpoints_own_answers_name_its_peers_and_only_those),
		cmocka_unit_test(addresses_of_the_world_are_named_by_whoever_was_told),
		cmocka_unit_test(names_that_the_node_itself_was_told_name_its_peers),
		cmocka_unit_test(names_end_with_their_ttl_and_the_grace_period),
		cmocka_unit_test(names_that_are_none_are_ignored),
		cmocka_unit_test(namespaces_seen_in_the_last_hour_are_listed_in_order),
		cmocka_unit_test(the_place_of_an_expired_namespace_is_used_again),
		cmocka_unit_test(both_sides_of_a_flow_come_from_one_snapshot_while_it_is_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
