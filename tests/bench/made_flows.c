#include "tests/bench/made_flows.h"

#include <math.h>
#include <stdio.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/uuid.h"
#include "flow/wire.h"
#include "observer/decode/dns.h"

enum {
	LOCAL_PODS = 120,
	SERVICES = 400,
	PODS = 3000,
	OUTSIDE = 1500, /* addresses of the world, most of them with a name */
	NAMESPACES = 30,
	OPEN_MAX = 1 << 16, /* connections at a time */
	EXT_BYTES = 1 << 22,
	ETH0 = 2,
};

struct peer {
	uint8_t ip[16];
	struct endpoint_id ep;
	uint32_t ifindex, netns; /* of local pods */
	uint8_t mac[6], host_mac[6];
	char ifname[16];
	const char *dns; /* of the world's: a name, or NULL */
};

struct service_of {
	struct service_id id;
	uint16_t port;
	size_t first, count; /* of its pods */
	char dns[96];
};

enum talk_kind { TALK_SHORT, TALK_LONG, TALK_DNS, TALK_WORLD, TALK_PING, TALK_DENIED };

/* A connection and the packet of it that is reported next. */
struct open_talk {
	uint64_t at; /* ns */
	enum talk_kind kind;
	uint8_t step, steps;
	uint16_t port_a, port_b;
	uint32_t a, b;    /* peers */
	uint32_t service; /* + 1; 0: none */
	uint64_t rtt_ns;
	uint64_t bytes[2], packets[2];
	uint8_t is_aaaa;
};

struct made_flows {
	struct flow_dict *dict;
	uint64_t random, seq, now, seed[2], next_talk_ns;
	struct node_id node;
	struct peer peers[PODS + OUTSIDE];
	struct service_of services[SERVICES];
	char outside_names[OUTSIDE][64];
	double tail[SERVICES]; /* who is called: running sum of 1/rank */
	struct open_talk heap[OPEN_MAX];
	size_t open;
	struct flow ready[16]; /* records of one packet, by time */
	size_t ready_count, ready_at;
	uint16_t kernel_reason;
	struct buf ext;
};

/* --- chance ------------------------------------------------------------------------------- */

static uint64_t draw(struct made_flows *m) /* splitmix64 */
{
	uint64_t z = m->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t below(struct made_flows *m, uint64_t n)
{
	return draw(m) % n;
}

static double unit(struct made_flows *m)
{
	return ((double)(draw(m) >> 11) + 0.5) / 9007199254740992.0;
}

/* Waiting for something that comes once in @mean_ns. */
static uint64_t wait_ns(struct made_flows *m, double mean_ns)
{
	return (uint64_t)(-log(unit(m)) * mean_ns);
}

/* Many small, few large: the median, and one in six is beyond @spread times it. */
static uint64_t about(struct made_flows *m, double median, double spread)
{
	double normal = sqrt(-2 * log(unit(m))) * cos(6.283185307 * unit(m));

	return (uint64_t)(median * exp(normal * log(spread)));
}

static size_t popular_service(struct made_flows *m)
{
	double v = unit(m) * m->tail[SERVICES - 1];
	size_t low = 0, high = SERVICES - 1;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (m->tail[mid] < v)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* --- the cluster -------------------------------------------------------------------------- */

static void make_pod(struct made_flows *m, size_t i, size_t service)
{
	struct peer *p = &m->peers[i];
	char pod[64], ns[32], app[64], version[32], instance[64];
	const uint8_t v4[4] = { 10, (uint8_t)(i < LOCAL_PODS ? 1 : 2 + i / 250), (uint8_t)(i / 250),
				(uint8_t)(i % 250 + 2) };

	(void)snprintf(ns, sizeof ns, "team-%zu", service % NAMESPACES);
	(void)snprintf(pod, sizeof pod, "svc-%zu-7d9f8c6b5-%05zx", service,
		       i * 2654435761u % 1048576);
	(void)snprintf(app, sizeof app, "k8s:app=svc-%zu", service);
	(void)snprintf(version, sizeof version, "k8s:version=v%zu", service % 7);
	(void)snprintf(instance, sizeof instance, "k8s:io.kubernetes.pod.namespace=%s", ns);
	const struct str labels[] = { str_of(app), str_of(instance), str_of(version) };
	char name[32];
	(void)snprintf(name, sizeof name, "svc-%zu", service);
	const struct workload w = { str_of(name), STR("Deployment") };
	const struct endpoint ep = { .id = (uint32_t)(i + 100),
				     .identity = (uint32_t)(4000 + service),
				     .cluster = STR("prod"),
				     .namespace_ = str_of(ns),
				     .pod = str_of(pod),
				     .labels = labels,
				     .label_count = 3,
				     .workloads = &w,
				     .workload_count = 1 };

	ip_from_v4(p->ip, v4);
	p->ep = flow_dict_endpoint(m->dict, &ep);
	if (i >= LOCAL_PODS)
		return;
	p->ifindex = (uint32_t)(10 + 2 * i);
	p->netns = (uint32_t)(4026532000u + 7 * i);
	(void)snprintf(p->ifname, sizeof p->ifname, "lxc%08zx", i * 2246822519u % 4294967296u);
	for (int k = 0; k < 6; k++) {
		p->mac[k] = (uint8_t)(draw(m) & 0xfe);
		p->host_mac[k] = (uint8_t)(draw(m) & 0xfe);
	}
}

static void make_outside(struct made_flows *m, size_t i)
{
	struct peer *p = &m->peers[PODS + i];
	const uint8_t v4[4] = { (uint8_t)(34 + below(m, 150)), (uint8_t)draw(m), (uint8_t)draw(m),
				(uint8_t)draw(m) };
	const struct str label = STR("reserved:world");
	const struct endpoint world = { .identity = 2, .labels = &label, .label_count = 1 };

	ip_from_v4(p->ip, v4);
	p->ep = flow_dict_endpoint(m->dict, &world);
	if (i % 5 == 4)
		return;
	(void)snprintf(m->outside_names[i], sizeof m->outside_names[i], "api-%zu.%s.example.com.",
		       i / 3, i % 2 ? "eu" : "us");
	p->dns = m->outside_names[i];
}

static void make_cluster(struct made_flows *m)
{
	static const uint16_t ports[] = {
		80, 8080, 443, 5432, 6379, 9092, 3306, 8443, 9090, 50051
	};
	const struct node node = { .name = STR("prod/node-17"),
				   .emitter_name = STR("tycho"),
				   .emitter_version = STR("0.1.0") };
	double sum = 0;
	size_t pod = 0;

	m->node = flow_dict_node(m->dict, &node);
	m->kernel_reason = flow_dict_kernel_reason(m->dict, STR("NETFILTER_DROP"));
	for (size_t s = 0; s < SERVICES; s++) {
		struct service_of *svc = &m->services[s];
		char name[32], ns[32];

		(void)snprintf(name, sizeof name, "svc-%zu", s);
		(void)snprintf(ns, sizeof ns, "team-%zu", s % NAMESPACES);
		(void)snprintf(svc->dns, sizeof svc->dns, "%s.%s.svc.cluster.local.", name, ns);
		svc->id = flow_dict_service(m->dict, &(struct service){ .name = str_of(name),
									.namespace_ = str_of(ns) });
		svc->port = s < 2 ? 53 : s % 3 ? ports[s % 10] : (uint16_t)(7000 + s);
		m->tail[s] = sum += 1.0 / (double)(s + 1);
	}
	/* local pods are of services everywhere in the tail */
	for (; pod < LOCAL_PODS; pod++)
		make_pod(m, pod, pod * 3 % SERVICES);
	for (size_t s = 0; s < SERVICES; s++) {
		size_t left = PODS - pod, n = s == SERVICES - 1 ? left : left / (SERVICES - s);

		m->services[s].first = pod;
		m->services[s].count = n;
		for (size_t i = 0; i < n; i++)
			make_pod(m, pod++, s);
	}
	for (size_t i = 0; i < OUTSIDE; i++)
		make_outside(m, i);
}

enum err_code made_flows_new(struct flow_dict *dict, uint64_t seed, uint64_t first_seq,
			     struct wall_ns start, struct made_flows **ret, struct err *e)
{
	struct made_flows *m = calloc(1, sizeof *m);

	if (!m)
		return err_set(e, ERR_NOMEM, "made flows");
	m->dict = dict;
	m->random = seed;
	m->seq = first_seq;
	m->now = m->next_talk_ns = start.v;
	m->seed[0] = draw(m);
	m->seed[1] = draw(m);
	m->ext = buf_init(EXT_BYTES);
	make_cluster(m);
	*ret = m;
	return ERR_OK;
}

void made_flows_free(struct made_flows *m)
{
	if (!m)
		return;
	buf_done(&m->ext);
	free(m);
}

/* --- connections -------------------------------------------------------------------------- */

static void heap_push(struct made_flows *m, struct open_talk t)
{
	size_t i = m->open++;

	for (; i && m->heap[(i - 1) / 2].at > t.at; i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = t;
}

static struct open_talk heap_pop(struct made_flows *m)
{
	struct open_talk top = m->heap[0], last = m->heap[--m->open];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= m->open)
			break;
		if (child + 1 < m->open && m->heap[child + 1].at < m->heap[child].at)
			child++;
		if (m->heap[child].at >= last.at)
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = last;
	return top;
}

static uint16_t ephemeral(struct made_flows *m)
{
	return (uint16_t)(32768 + below(m, 28232)); /* net.ipv4.ip_local_port_range */
}

static uint32_t local_pod(struct made_flows *m)
{
	size_t a = below(m, LOCAL_PODS), b = below(m, LOCAL_PODS);

	return (uint32_t)(a < b ? a : b); /* some are busier */
}

static void begin_talk(struct made_flows *m)
{
	struct open_talk t = { .at = m->next_talk_ns, .port_a = ephemeral(m) };
	uint64_t what = below(m, 10000);
	size_t s = 2 + popular_service(m) % (SERVICES - 2);

	t.kind = what < 5000   ? TALK_SHORT
		 : what < 5300 ? TALK_LONG
		 : what < 8500 ? TALK_DNS
		 : what < 9600 ? TALK_WORLD
		 : what < 9960 ? TALK_PING
			       : TALK_DENIED;
	t.a = local_pod(m);
	if (t.kind == TALK_DNS)
		s = below(m, 2);
	t.service = (uint32_t)s + 1;
	t.port_b = m->services[s].port;
	t.b = (uint32_t)(m->services[s].first + below(m, m->services[s].count));
	t.rtt_ns = about(m, 250000, 2.5);
	t.steps = 5;
	if (t.kind == TALK_WORLD) {
		size_t i = below(m, OUTSIDE), k = below(m, OUTSIDE);

		t.b = (uint32_t)(PODS + (i < k ? i : k));
		t.service = 0;
		t.port_b = below(m, 10) ? 443 : 80;
		t.rtt_ns = about(m, 20e6, 2.0);
	} else if (t.kind == TALK_DNS) {
		t.steps = 2;
		t.is_aaaa = below(m, 2);
	} else if (t.kind == TALK_PING) {
		t.steps = 2;
		t.port_a = t.port_b = 0;
	} else if (t.kind == TALK_DENIED) {
		t.steps = 1 + (uint8_t)below(m, 3); /* tried again */
		t.port_b = 9187;
		t.service = 0;
	} else if (t.kind == TALK_LONG) {
		t.steps = (uint8_t)(6 + below(m, 60));
	} else if (below(m, 4) == 0) { /* somebody calls a pod of ours */
		t.b = t.a;
		t.a = (uint32_t)(LOCAL_PODS + below(m, PODS - LOCAL_PODS));
	}
	t.packets[0] = about(m, 6, 2.5) + 2;
	t.bytes[0] = t.packets[0] * 66 + about(m, 700, 4);
	t.packets[1] = t.packets[0] + below(m, 5);
	t.bytes[1] = t.packets[1] * 66 + about(m, 2500, 6);
	heap_push(m, t);
	/* bursts: one call brings others with it */
	m->next_talk_ns += below(m, 3) ? wait_ns(m, 400e3) : wait_ns(m, 18e6);
}

/* --- records ------------------------------------------------------------------------------ */

static struct flow *record(struct made_flows *m, uint64_t at)
{
	struct flow *f = &m->ready[m->ready_count++];

	*f = (struct flow){ .bits = FLOW_HAS_TIME | FLOW_HAS_IP | FLOW_HAS_SRC_IP |
				    FLOW_HAS_DST_IP | FLOW_HAS_UUID | FLOW_HAS_EVENT_TYPE |
				    FLOW_HAS_IFACE | FLOW_HAS_DETAIL | FLOW_HAS_ETHERNET,
			    .type = FLOW__FLOW_TYPE__L3_L4,
			    .time.v = at,
			    .ip_version = 1,
			    .node = m->node };
	return f;
}

static void put_names(struct made_flows *m, struct flow *f, const struct peer *src,
		      const struct peer *dst, size_t mark)
{
	if (src->dns)
		wire_put_str(&m->ext, 13, str_n(src->dns, strlen(src->dns) - 1));
	if (dst->dns)
		wire_put_str(&m->ext, 14, str_n(dst->dns, strlen(dst->dns) - 1));
	if (src->dns || dst->dns)
		f->bits |= FLOW_HAS_NAMES;
	f->ext = (const uint8_t *)m->ext.p + mark;
	f->ext_len = (uint32_t)(m->ext.len - mark);
}

static void fill(struct made_flows *m, struct flow *f, const struct open_talk *t, bool reply)
{
	const struct peer *src = &m->peers[reply ? t->b : t->a],
			  *dst = &m->peers[reply ? t->a : t->b];

	memcpy(f->src_ip, src->ip, 16);
	memcpy(f->dst_ip, dst->ip, 16);
	f->src_ep = src->ep;
	f->dst_ep = dst->ep;
	f->l4 = t->kind == TALK_DNS    ? FLOW_L4_UDP
		: t->kind == TALK_PING ? FLOW_L4_ICMP4
				       : FLOW_L4_TCP;
	if (t->kind == TALK_PING) {
		f->icmp_type = reply ? 0 : 8;
	} else {
		f->src_port = reply ? t->port_b : t->port_a;
		f->dst_port = reply ? t->port_a : t->port_b;
	}
	if (t->service && reply)
		f->src_svc = m->services[t->service - 1].id;
	if (t->service && !reply)
		f->dst_svc = m->services[t->service - 1].id;
}

/* Where the packet is seen: @inner, at the pod's interface, or at the node's. */
static void seen_at(struct flow *f, const struct peer *pod, bool inner, bool from_pod)
{
	static const uint8_t eth0_mac[6] = { 2, 0x42, 10, 0, 0, 17 },
			     gateway[6] = { 2, 0x42, 10, 0, 0, 1 };

	if (inner) {
		f->ifindex = pod->ifindex;
		f->netns = pod->netns;
		memcpy(f->ifname, pod->ifname, sizeof f->ifname);
		memcpy(f->src_mac, from_pod ? pod->mac : pod->host_mac, 6);
		memcpy(f->dst_mac, from_pod ? pod->host_mac : pod->mac, 6);
	} else {
		f->ifindex = ETH0;
		f->netns = 4026531840u;
		memcpy(f->ifname, "eth0", 5);
		memcpy(f->src_mac, from_pod ? eth0_mac : gateway, 6);
		memcpy(f->dst_mac, from_pod ? gateway : eth0_mac, 6);
	}
}

static void put_dns(struct made_flows *m, struct flow *f, const struct open_talk *t, bool reply)
{
	static struct dns_message q;
	const struct service_of *asked = &m->services[t->port_a % SERVICES];
	const struct peer *outside = &m->peers[PODS + t->port_a % OUTSIDE];
	bool world = t->port_a % 3 == 0 && outside->dns;

	q.response = reply;
	q.rcode = reply && !world && t->port_a % 7 == 0 ? 3 : 0; /* a search path's vain try */
	(void)snprintf(q.query, sizeof q.query, "%s", world ? outside->dns : asked->dns);
	q.qtypes[0] = t->is_aaaa ? 28 : 1;
	q.qtype_count = 1;
	q.answer_count = q.rrtype_count = reply && !q.rcode && !t->is_aaaa;
	q.rrtypes[0] = 1;
	q.ttl_s = q.answer_count ? (world ? 1 + (uint32_t)(f->time.v / NS_PER_S % 300) : 30) : 0;
	memcpy(q.answers[0].ip, world ? outside->ip : m->peers[asked->first].ip, 16);
	q.answers[0].ttl_s = q.ttl_s;
	size_t mark = m->ext.len;
	dns_put_l7(&m->ext, &q);
	f->bits |= FLOW_HAS_L7;
	f->ext = (const uint8_t *)m->ext.p + mark;
	f->ext_len = (uint32_t)(m->ext.len - mark);
}

/* One packet at one interface. */
static void sighting(struct made_flows *m, const struct open_talk *t, bool reply, bool inner,
		     bool from_pod, uint64_t at, uint16_t flags, uint64_t packets, uint64_t bytes)
{
	const struct peer *src = &m->peers[reply ? t->b : t->a],
			  *dst = &m->peers[reply ? t->a : t->b];
	const struct peer *pod = from_pod ? src : dst;
	struct flow *f = record(m, at);

	fill(m, f, t, reply);
	seen_at(f, pod, inner, from_pod);
	f->verdict = FLOW__VERDICT__FORWARDED;
	f->event_type = 4;
	f->event_sub_type = inner ? (from_pod ? 5 : 0) : (from_pod ? 11 : 10);
	f->trace_point = inner && !from_pod ? FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT
					    : (uint8_t)f->event_sub_type;
	f->direction = from_pod != reply ? FLOW__TRAFFIC_DIRECTION__EGRESS
					 : FLOW__TRAFFIC_DIRECTION__INGRESS;
	f->is_reply = reply ? FLOW_REPLY_TRUE : FLOW_REPLY_FALSE;
	f->trace_reason = reply          ? FLOW__TRACE_REASON__REPLY
			  : t->step == 0 ? FLOW__TRACE_REASON__NEW
					 : FLOW__TRACE_REASON__ESTABLISHED;
	f->packets = packets;
	f->bytes = bytes;
	if (f->l4 == FLOW_L4_TCP) {
		f->tcp_flags = flags;
		f->bits |= FLOW_HAS_TCP_FLAGS;
	}
	put_names(m, f, src, dst, m->ext.len);
	if (t->kind != TALK_DNS)
		return;
	struct flow *l7 = &m->ready[m->ready_count++];
	*l7 = *f;
	l7->type = FLOW__FLOW_TYPE__L7;
	l7->event_type = 129;
	l7->event_sub_type = 0;
	l7->trace_point = l7->trace_reason = 0;
	l7->packets = l7->bytes = 0;
	l7->bits &= ~(uint32_t)(FLOW_HAS_ETHERNET | FLOW_HAS_NAMES);
	put_dns(m, l7, t, reply);
}

static void denied(struct made_flows *m, const struct open_talk *t)
{
	const struct peer *src = &m->peers[t->a];
	struct flow *drop = record(m, t->at + 9000), *verdict;

	fill(m, drop, t, false);
	seen_at(drop, src, true, true);
	drop->verdict = FLOW__VERDICT__DROPPED;
	drop->event_type = 1;
	drop->event_sub_type = (int32_t)(drop->drop_reason = drop->drop_desc = 133);
	drop->kernel_reason = m->kernel_reason;
	drop->direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	drop->tcp_flags = FLOW_TCP_SYN;
	drop->bits |= FLOW_HAS_TCP_FLAGS;
	drop->packets = 1;
	drop->bytes = 74;
	if (t->step)
		return;
	verdict = record(m, (t->at + 8000) / 1000 * 1000); /* netfilter's clock has microseconds */
	fill(m, verdict, t, false);
	verdict->ifindex = src->ifindex;
	memcpy(verdict->ifname, src->ifname, sizeof verdict->ifname);
	verdict->verdict = FLOW__VERDICT__DROPPED;
	verdict->event_type = 5;
	verdict->drop_reason = verdict->drop_desc = 133;
	verdict->direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	verdict->tcp_flags = FLOW_TCP_SYN;
	verdict->bits = (verdict->bits | FLOW_HAS_TCP_FLAGS | FLOW_HAS_POLICIES) &
			~(uint32_t)FLOW_HAS_ETHERNET;
	verdict->packets = 1;
	verdict->bytes = 60;
	size_t mark = m->ext.len, list = wire_begin(&m->ext, 21005);
	wire_put_str(&m->ext, 1, STR("db-no-admin"));
	wire_put_str(&m->ext, 5, STR("NetfilterRule"));
	wire_end(&m->ext, list);
	verdict->ext = (const uint8_t *)m->ext.p + mark;
	verdict->ext_len = (uint32_t)(m->ext.len - mark);
}

/* The records of the connection's next packet, and when the one after it comes. */
static void step(struct made_flows *m, struct open_talk *t)
{
	enum { S = FLOW_TCP_SYN, A = FLOW_TCP_ACK, F = FLOW_TCP_FIN, P = FLOW_TCP_PSH };
	static const uint16_t flags[] = { S, S | A, F | A, F | A, A };
	bool ends = t->kind == TALK_LONG ? t->step + 3 >= t->steps : t->step >= 2;
	unsigned phase = t->kind != TALK_LONG || t->step < 2 ? t->step
			 : ends                              ? 2 + t->step + 3 - t->steps
							     : 5;
	bool reply = phase == 1 || phase == 3 || (phase == 5 && t->step & 1);
	uint64_t packets = 1, bytes = phase < 2 ? 74 : 66, gap = 3000 + wait_ns(m, 5000);

	if (t->kind == TALK_DENIED) {
		denied(m, t);
		t->at += NS_PER_S << t->step;
		return;
	}
	if (t->kind == TALK_DNS) {
		const struct service_of *asked = &m->services[t->port_a % SERVICES];

		bytes = 60 + strlen(asked->dns) + (reply ? 16 + 30 * (t->port_a % 4) : 0);
	} else if (t->kind == TALK_PING) {
		bytes = 98;
	} else if (phase == 2 || phase == 3) {
		packets = t->packets[phase - 2];
		bytes = t->bytes[phase - 2];
	} else if (phase == 5) {
		packets = about(m, 400, 4) + 1;
		bytes = packets * (66 + below(m, 1382));
	}
	uint16_t tcp = phase == 5 ? (uint16_t)(A | (t->step % 3 ? P : 0)) : flags[phase];
	bool a_local = t->a < LOCAL_PODS, b_local = t->b < LOCAL_PODS;
	bool src_local = reply ? b_local : a_local, dst_local = reply ? a_local : b_local;
	if (src_local) {
		sighting(m, t, reply, true, true, t->at, tcp, packets, bytes);
		sighting(m, t, reply, dst_local, !dst_local, t->at + gap, tcp, packets, bytes);
	} else {
		sighting(m, t, reply, false, false, t->at, tcp, packets, bytes);
		sighting(m, t, reply, true, false, t->at + gap, tcp, packets, bytes);
	}
	/* what takes how long: the network, the service's work, the report interval */
	if (phase == 5 || (t->kind == TALK_LONG && phase == 1))
		t->at += 2500000000 + wait_ns(m, 3e6);
	else if (phase == 1)
		t->at += about(m, 3e6, 4);
	else
		t->at += t->rtt_ns / 2 + wait_ns(m, 30e3);
}

static void next_packet(struct made_flows *m)
{
	m->ready_count = m->ready_at = 0;
	while (!m->open || (m->next_talk_ns <= m->heap[0].at && m->open < OPEN_MAX - 1))
		begin_talk(m);
	struct open_talk t = heap_pop(m);
	step(m, &t);
	if (++t.step < t.steps)
		heap_push(m, t);
}

void made_flows_next(struct made_flows *m, struct flow *out, size_t n)
{
	struct flow left[ARRAY_LEN(m->ready)];
	size_t rest = m->ready_count - m->ready_at;

	/* what is left of the last packet keeps its ext: moved to the front */
	memcpy(left, m->ready + m->ready_at, rest * sizeof *left);
	AUTO_BUF struct buf kept = buf_init(EXT_BYTES);
	for (size_t i = 0; i < rest; i++)
		buf_put(&kept, left[i].ext, left[i].ext_len);
	buf_reset(&m->ext);
	(void)buf_reserve(&m->ext, EXT_BYTES); /* it never moves */
	buf_put(&m->ext, kept.p, kept.len);
	for (size_t i = 0, at = 0; i < rest; at += left[i++].ext_len)
		m->ready[m->ready_at + i].ext = (const uint8_t *)m->ext.p + at;
	for (size_t i = 0; i < n; i++) {
		while (m->ready_at == m->ready_count)
			next_packet(m);
		out[i] = m->ready[m->ready_at++];
		out[i].seq = m->seq++;
		flow_uuid_make(m->seed, out[i].seq, out[i].uuid);
	}
}
