#include "flow_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"

/* --- the pool --- */

static struct {
	size_t used;
	_Alignas(16) char bytes[1 << 18];
} pool;

void pool_reset(void)
{
	pool.used = 0;
}

void *pool_take(size_t bytes)
{
	size_t at = pool.used;

	pool.used += (bytes + 15) & ~(size_t)15;
	assert_true(pool.used <= sizeof pool.bytes);
	return pool.bytes + at;
}

static void *allocate(void *unused, size_t bytes)
{
	(void)unused;
	return pool_take(bytes);
}

static void give_back(void *unused, void *bytes)
{
	(void)unused;
	(void)bytes; /* pool_reset does */
}

ProtobufCAllocator pool_allocator = { allocate, give_back, NULL };

void *new_message(const ProtobufCMessageDescriptor *desc)
{
	void *m = pool_take(desc->sizeof_message);

	desc->message_init(m);
	return m;
}

char *pool_text(struct str s)
{
	char *p = pool_take(s.len + 1);

	memcpy(p, s.p, s.len);
	p[s.len] = 0;
	return p;
}

struct str pack(const void *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *p = pool_take(size + 1);

	assert_int_equal(protobuf_c_message_pack(message, p), size);
	return str_n(p, size);
}

void assert_bytes_equal(struct str got, struct str want)
{
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.p, want.p, want.len);
}

/* --- random content --- */

struct random random_of(const char *who, uint64_t seed)
{
	const char *text = getenv("TYCHO_TEST_SEED");

	if (text)
		seed = strtoull(text, NULL, 0);
	(void)printf("%s: TYCHO_TEST_SEED=0x%llx\n", who, (unsigned long long)seed);
	return (struct random){ seed };
}

/* Sebastiano Vigna's splitmix64. */
uint64_t random_u64(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t random_below(struct random *r, uint64_t n)
{
	return random_u64(r) % n;
}

bool random_bool(struct random *r)
{
	return random_u64(r) & 1;
}

uint64_t random_number(struct random *r, uint64_t max)
{
	uint64_t v = random_u64(r);

	switch (random_below(r, 4)) {
	case 0:
		return 0;
	case 1:
		return v % 300 % max;
	case 2:
		return max;
	default:
		return max == UINT64_MAX ? v : v % (max + 1);
	}
}

struct str random_text(struct random *r)
{
	static const char *const texts[] = {
		"",  "a",           "shop", "cart-0", "k8s:app=cart",
		"π", "kube-system", "€uro", "node-1", "reserved:host"
	};

	return str_of(texts[random_below(r, ARRAY_LEN(texts))]);
}

struct endpoint_id random_endpoint(struct random *r, struct flow_dict *d)
{
	struct str labels[4];
	struct workload workloads[2];
	struct endpoint ep = {
		.id = (uint32_t)random_number(r, UINT32_MAX),
		.identity = (uint32_t)random_number(r, UINT32_MAX),
		.cluster = random_text(r),
		.namespace_ = random_text(r),
		.pod = random_text(r),
		.labels = labels,
		.label_count = random_below(r, 5),
		.workloads = workloads,
		.workload_count = random_below(r, 3),
	};

	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		labels[i] = random_text(r);
	for (size_t i = 0; i < ARRAY_LEN(workloads); i++)
		workloads[i] = (struct workload){ random_text(r), random_text(r) };
	return flow_dict_endpoint(d, &ep);
}

struct node_id random_node(struct random *r, struct flow_dict *d)
{
	struct str labels[2] = { random_text(r), random_text(r) };
	struct node n = {
		.name = random_text(r),
		.labels = labels,
		.label_count = random_below(r, 3),
		.emitter_name = random_text(r),
		.emitter_version = random_text(r),
	};

	return flow_dict_node(d, &n);
}

struct service_id random_service(struct random *r, struct flow_dict *d)
{
	return flow_dict_service(
		d, &(struct service){ .name = random_text(r), .namespace_ = random_text(r) });
}

static void random_bytes(struct random *r, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)random_u64(r);
}

void random_ip(struct random *r, uint8_t ip[16])
{
	random_bytes(r, ip, 16);
	if (random_bool(r)) {
		ip_from_v4(ip, ip);
		return;
	}
	ip[0] = 0xfd; /* libc writes ::1.2.3.4 where Go has ::102:304; test_flow_ip knows about that
		       */
	for (int i = 2; i < 16; i += 2)
		if (random_below(r, 3))
			ip[i] = ip[i + 1] = 0;
}

static Flow__Policy **random_policies(struct random *r, size_t n)
{
	Flow__Policy **list = pool_take(sizeof(void *) * n + 1);

	for (size_t i = 0; i < n; i++) {
		list[i] = NEW(flow__policy);
		list[i]->name = pool_text(random_text(r));
		list[i]->revision = random_number(r, UINT64_MAX);
	}
	return list;
}

/* Fields that have no member, as protobuf-c packs them. */
static struct str random_ext(struct random *r, uint32_t *bits)
{
	Flow__Flow *m = NEW(flow__flow);

	if (random_bool(r)) {
		*bits |= FLOW_HAS_L7;
		m->l7 = NEW(flow__layer7);
		m->l7->type = (Flow__L7FlowType)random_below(r, 4);
		m->l7->record_case = FLOW__LAYER7__RECORD_DNS;
		m->l7->dns = NEW(flow__dns);
		m->l7->dns->query = random_bool(r) ? pool_text(random_text(r))
						   : memset(pool_take(400), 'q', 399);
		if (*m->l7->dns->query == 'q')
			m->l7->dns->query[399] = 0;
		m->l7->dns->rcode = (uint32_t)random_number(r, UINT32_MAX);
	}
	if (random_bool(r)) {
		m->n_destination_names = 1;
		m->destination_names = pool_take(sizeof(char *));
		m->destination_names[0] = pool_text(random_text(r));
	}
	if (random_bool(r)) {
		m->trace_context = NEW(flow__trace_context);
		m->trace_context->parent = NEW(flow__trace_parent);
		m->trace_context->parent->trace_id = pool_text(random_text(r));
	}
	if (random_bool(r)) {
		m->file = NEW(flow__file_info);
		m->file->line = (uint32_t)random_number(r, UINT32_MAX);
	}
	if (random_bool(r)) {
		m->tunnel = NEW(flow__tunnel);
		m->tunnel->vni = (uint32_t)random_number(r, UINT32_MAX);
	}
	if (random_bool(r)) {
		m->n_egress_denied_by = random_below(r, 3);
		m->egress_denied_by = random_policies(r, m->n_egress_denied_by);
	}
	if (random_bool(r)) {
		m->extensions = NEW(google__protobuf__any);
		m->extensions->type_url = pool_text(random_text(r));
	}
	if (random_bool(r)) {
		m->tycho = NEW(tycho__v1__flow_detail);
		m->tycho->nflog_prefix = pool_text(random_text(r));
	}
	if (random_below(r, 8) == 0) {
		*bits |= FLOW_HAS_SUMMARY;
		m->summary = pool_text(STR("as its maker said"));
	}
	return pack(m);
}

static void random_l4(struct random *r, struct flow *f)
{
	f->l4 = (uint8_t)random_below(r, FLOW_L4_IGMP + 1);
	random_bytes(r, f->l4_bytes, sizeof f->l4_bytes);
	if (f->l4 == FLOW_L4_TCP || f->l4 == FLOW_L4_UDP || f->l4 == FLOW_L4_SCTP) {
		f->src_port = (uint16_t)random_number(r, UINT16_MAX);
		f->dst_port = (uint16_t)random_number(r, UINT16_MAX);
		f->tcp_flags = (uint16_t)random_below(r, 512);
	}
}

struct flow random_made(struct random *r, struct flow_dict *d)
{
	const uint32_t simple = FLOW_HAS_TIME | FLOW_HAS_ETHERNET | FLOW_HAS_IP |
				FLOW_HAS_TCP_FLAGS | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP |
				FLOW_HAS_XLATED | FLOW_ENCRYPTED | FLOW_HAS_UUID |
				FLOW_HAS_EVENT_TYPE | FLOW_HAS_IFACE | FLOW_HAS_IP_TRACE_ID;
	static const char *const reasons[] = { "", "NETFILTER_DROP", "NO_SOCKET" };
	struct flow f = {
		.seq = random_number(r, UINT64_MAX),
		.time.v = random_number(r, UINT64_MAX),
		.uuid = { random_u64(r), random_u64(r) },
		.bits = (uint32_t)random_u64(r) & simple,
		.verdict = (uint8_t)random_number(r, 254),
		.type = (uint8_t)random_below(r, 5),
		.ip_version = (uint8_t)random_below(r, 3),
		.is_reply = (uint8_t)random_below(r, 3),
		.direction = (uint8_t)random_below(r, 3),
		.auth_type = (uint8_t)random_number(r, 254),
		.trace_point = (uint8_t)random_number(r, 254),
		.trace_reason = (uint8_t)random_number(r, 254),
		.capture_point = (uint8_t)random_number(r, 254),
		.sock_point = (uint8_t)random_number(r, 254),
		.event_type = (int32_t)random_number(r, UINT32_MAX),
		.event_sub_type = (int32_t)random_number(r, UINT32_MAX),
		.drop_reason = (uint32_t)random_number(r, UINT32_MAX),
		.drop_desc = (uint32_t)random_number(r, UINT32_MAX),
		.policy_match_type = (uint32_t)random_number(r, UINT32_MAX),
		.proxy_port = (uint32_t)random_number(r, UINT32_MAX),
		.ifindex = (uint32_t)random_number(r, UINT32_MAX),
		.ip_trace_id = random_number(r, UINT64_MAX),
		.socket_cookie = random_number(r, UINT64_MAX),
		.cgroup_id = random_number(r, UINT64_MAX),
		.packets = random_number(r, UINT64_MAX),
		.bytes = random_number(r, UINT64_MAX),
		.netns = (uint32_t)random_number(r, UINT32_MAX),
	};

	random_ip(r, f.src_ip);
	random_ip(r, f.dst_ip);
	random_ip(r, f.src_xlated);
	random_bytes(r, f.src_mac, sizeof f.src_mac);
	random_bytes(r, f.dst_mac, sizeof f.dst_mac);
	random_l4(r, &f);
	(void)snprintf(f.ifname, sizeof f.ifname, "%s",
		       random_bool(r) ? "eth0" : "fifteen-letters");
	f.kernel_reason =
		flow_dict_kernel_reason(d, str_of(reasons[random_below(r, ARRAY_LEN(reasons))]));
	if (random_bool(r))
		f.src_ep = random_endpoint(r, d);
	if (random_bool(r))
		f.dst_ep = random_endpoint(r, d);
	if (random_bool(r))
		f.src_svc = random_service(r, d);
	if (random_bool(r))
		f.dst_svc = random_service(r, d);
	if (random_bool(r))
		f.node = random_node(r, d);
	if (random_bool(r)) {
		struct str ext = random_ext(r, &f.bits);
		f.ext = (const uint8_t *)ext.p;
		f.ext_len = (uint32_t)ext.len;
	}
	return f;
}

struct flow_dict *dict_of(size_t max)
{
	struct flow_dict *d = NULL;
	struct err e;

	assert_int_equal(flow_dict_new(max, &d, &e), ERR_OK);
	return d;
}
