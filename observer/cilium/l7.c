#include "observer/cilium/l7.h"

#include <sys/random.h>

#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "flow/wire.h"
#include "observer/cilium/access_log.h"
#include "observer/cilium/layout.h"
#include "observer/cilium/recent.h"
#include "observer/cilium/text.h"
#include "observer/name/said.h"

enum {
	FIELD_HTTP = 101, /* members of flow.Layer7 */
	FIELD_DNS = 100,
	FIELD_KAFKA = 102,
};

struct l7 {
	struct l7_config config;
	struct recent *times;    /* of requests: when, in ns */
	struct recent *contexts; /* of requests: trace ids */
	struct gob_types types;
};

enum err_code l7_new(const struct l7_config *config, struct l7 **ret, struct err *e)
{
	AUTO(l7_free) struct l7 *l = calloc(1, sizeof *l);
	uint64_t seed;

	if (!l)
		return err_set(e, ERR_NOMEM, "reader of L7 records");
	l->config = *config;
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	enum err_code code = recent_new(L7_REQUESTS, seed, &l->times, e);
	if (code == ERR_OK)
		code = recent_new(L7_REQUESTS, seed, &l->contexts, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(l);
	return ERR_OK;
}

void l7_free(struct l7 *l)
{
	if (!l)
		return;
	recent_free(l->times);
	recent_free(l->contexts);
	free(l);
}

/* A record on its way to a flow. */
struct record {
	struct l7 *l;
	const struct gob_types *types;
	struct access_log log;
	enum _Flow__L7FlowType type;
	struct flow *f;
	uint64_t latency_ns;
};

/* --- who and where ------------------------------------------------------------------------ */

/* "k8s:app=web", "reserved:host"; older agents send the text itself. */
static void put_label(struct buf *b, const struct access_label *label)
{
	if (label->is_text) {
		buf_str_put(b, label->key);
		return;
	}
	buf_str_put(b, label->source);
	buf_char(b, ':');
	buf_str_put(b, label->key);
	if (label->value.len) {
		buf_char(b, '=');
		buf_str_put(b, label->value);
	}
}

static int compare_strs(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Memory for what a list holds: its elements and @more bytes of text. Each element took a byte of
 * the message at least, so that it bounds this. NULL, and @ext is incomplete, if there is none. */
static void *room_for(const struct gob_list *list, size_t element_bytes, size_t more,
		      struct buf *ext)
{
	void *p = malloc(list->count * element_bytes + more + 1);

	ext->failed |= !p;
	return p;
}

/* Labels of @list as sorted texts. @return what is to be freed once they are not needed, or NULL. */
static void *take_labels(const struct record *r, struct gob_list list, struct str **ret_labels,
			 size_t *ret_count, struct buf *ext)
{
	/* no text is longer than the label was in the message */
	size_t text_bytes = (size_t)(list.at.end - list.at.p), n = 0;
	struct str *labels = room_for(&list, sizeof *labels, text_bytes, ext);
	struct access_label label;

	*ret_labels = labels;
	*ret_count = 0;
	if (!labels)
		return NULL;
	struct buf text = buf_fixed(labels + list.count, text_bytes);
	while (access_next_label(&list, r->types, &label)) {
		size_t start = text.len;
		put_label(&text, &label);
		labels[n++] = str_from(buf_str(&text), start);
	}
	ext->failed |= text.failed;
	qsort(labels, n, sizeof *labels, compare_strs);
	*ret_count = n;
	return labels;
}

/* ID, identity and labels are the record's own; the rest is who has the address. */
static struct endpoint_id endpoint_of(const struct record *r, const struct access_endpoint *in,
				      const uint8_t *ip, struct buf *ext)
{
	struct str *labels;
	struct endpoint ep = { .id = (uint32_t)in->id, .identity = (uint32_t)in->identity };
	struct name_found who = { 0 };

	if (ip)
		who = name_find(r->l->config.names, ip);

	AUTO(own_free) void *room = take_labels(r, in->labels, &labels, &ep.label_count, ext);
	ep.labels = labels;
	ep.cluster = said_cluster(labels, ep.label_count);
	if (who.ep && who.pod_cached) {
		ep.namespace_ = who.ep->namespace_;
		ep.pod = who.ep->pod;
	}
	if (who.ep && who.local) {
		ep.workloads = who.ep->workloads;
		ep.workload_count = who.ep->workload_count;
	}
	return flow_dict_endpoint(r->l->config.dict, &ep);
}

/* False if @text is no canonical address (nor none): then the member cannot give it back. An IPv4
 * address that is written as an IPv6 one is another address to the reference, which nobody has. */
static bool take_address(struct str text, uint8_t ret[16], uint32_t bit, struct flow *f)
{
	char tmp[FLOW_IP_TEXT_BYTES];

	if (!text.len)
		return true;
	if (!ip_parse(text, ret))
		return false;
	if (ip_is_v4(ret) && str_find(text, ':') < text.len)
		return false;
	f->bits |= bit;
	return str_eq(ip_text(ret, tmp), text);
}

/* flow.IP as the record has it. */
static void put_odd_ip(const struct access_log *log, bool ipv6, struct buf *ext)
{
	size_t mark = wire_begin(ext, FLOW_FIELD_IP);

	put_clean(ext, 1, ipv6 ? log->source.ip6 : log->source.ip4);
	put_clean(ext, 2, ipv6 ? log->destination.ip6 : log->destination.ip4);
	wire_put_u64(ext, 3, ipv6 ? FLOW__IPVERSION__IPv6 : FLOW__IPVERSION__IPv4);
	wire_end(ext, mark);
}

static bool set_addresses(const struct record *r, struct buf *ext)
{
	const struct access_log *log = &r->log;
	struct flow *f = r->f;
	bool ipv6 = log->ip_version == 1;

	if (log->ip_version != 0 && log->ip_version != 1)
		return false;
	f->ip_version = ipv6 ? FLOW__IPVERSION__IPv6 : FLOW__IPVERSION__IPv4;
	bool src = take_address(ipv6 ? log->source.ip6 : log->source.ip4, f->src_ip,
				FLOW_HAS_SRC_IP, f);
	bool dst = take_address(ipv6 ? log->destination.ip6 : log->destination.ip4, f->dst_ip,
				FLOW_HAS_DST_IP, f);
	if (src && dst)
		f->bits |= FLOW_HAS_IP;
	else
		put_odd_ip(log, ipv6, ext);
	switch ((uint8_t)log->transport) { /* the reference looks at 8 bits, too */
	case 6:
		f->l4 = FLOW_L4_TCP;
		break;
	case 17:
		f->l4 = FLOW_L4_UDP;
		break;
	case 132:
		f->l4 = FLOW_L4_SCTP;
		break;
	default:
		return true;
	}
	f->src_port = (uint16_t)log->source.port;
	f->dst_port = (uint16_t)log->destination.port;
	return true;
}

static void set_members(const struct record *r)
{
	static const struct {
		const char *name;
		uint8_t verdict;
	} verdicts[] = { { "Forwarded", FLOW__VERDICT__FORWARDED },
			 { "Denied", FLOW__VERDICT__DROPPED },
			 { "Redirected", FLOW__VERDICT__REDIRECTED },
			 { "Error", FLOW__VERDICT__ERROR } };
	struct flow *f = r->f;

	f->type = FLOW__FLOW_TYPE__L7;
	f->event_type = CILIUM_ACCESS_LOG;
	f->bits |= FLOW_HAS_EVENT_TYPE | FLOW_HAS_L7;
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		if (str_is(r->log.verdict, verdicts[i].name))
			f->verdict = verdicts[i].verdict;
	if (str_is(r->log.observation_point, "Ingress"))
		f->direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	else if (str_is(r->log.observation_point, "Egress"))
		f->direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	f->is_reply = r->type == FLOW__L7_FLOW_TYPE__RESPONSE ? FLOW_REPLY_TRUE : FLOW_REPLY_FALSE;
}

static enum _Flow__L7FlowType type_of(struct str type)
{
	return str_is(type, "Request")    ? FLOW__L7_FLOW_TYPE__REQUEST
	       : str_is(type, "Response") ? FLOW__L7_FLOW_TYPE__RESPONSE
	       : str_is(type, "Sample")   ? FLOW__L7_FLOW_TYPE__SAMPLE
					  : FLOW__L7_FLOW_TYPE__UNKNOWN_L7_TYPE;
}

/* --- what a request leaves for its response ----------------------------------------------- */

/* The first value of header @name, which agents keep in canonical form. */
static struct str header_of(const struct record *r, const char *name)
{
	struct gob_list headers = r->log.http.headers, values;
	struct str key, value = STR("");

	while (access_next_texts(&headers, r->types, &key, &values))
		if (str_is(key, name)) {
			(void)access_next_text(&values, r->types, &value);
			break;
		}
	return value;
}

/* From @a to @b, in ns: no less than 0, and no more than Go's durations hold. */
static uint64_t ns_between(struct timestamp a, struct timestamp b)
{
	int64_t ns;

	/* times are the proxy's: any two */
	if (__builtin_sub_overflow(b.s, a.s, &ns) ||
	    __builtin_mul_overflow(ns, (int64_t)NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)b.ns - a.ns, &ns))
		return b.s > a.s ? INT64_MAX : 0;
	return ns > 0 ? (uint64_t)ns : 0;
}

static uint64_t latency_of(const struct record *r, struct str id, struct timestamp at)
{
	struct recent_note note = { .at = at };

	if (!id.len)
		return 0;
	if (r->type == FLOW__L7_FLOW_TYPE__REQUEST)
		recent_put(r->l->times, id, &note);
	if (r->type != FLOW__L7_FLOW_TYPE__RESPONSE || !recent_take(r->l->times, id, &note))
		return 0;
	return ns_between(note.at, at);
}

static bool is_hex(struct str s, size_t len)
{
	bool zeros = true;

	if (s.len != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!strchr("0123456789abcdef", s.p[i]) || !s.p[i])
			return false;
		zeros &= s.p[i] == '0';
	}
	return len == 2 || !zeros; /* ids are never zero */
}

/* W3C Trace Context §3.2: version, trace id, parent id, flags; a later version may add more. */
static bool trace_id_of(struct str header, struct str *ret)
{
	struct str version, trace, parent, flags, rest = header;

	if (!str_split(&rest, '-', &version) || !is_hex(version, 2) || str_is(version, "ff") ||
	    !str_split(&rest, '-', &trace) || !is_hex(trace, 32) ||
	    !str_split(&rest, '-', &parent) || !is_hex(parent, 16) ||
	    !str_split(&rest, '-', &flags) || !is_hex(flags, 2))
		return false;
	/* version 0: nothing behind (the reference lets a '-' be), and of the flags only two bits */
	if (str_is(version, "00") && (rest.len || flags.p[0] != '0' || flags.p[1] > '2'))
		return false;
	*ret = trace;
	return true;
}

static void put_trace_context(const struct record *r, struct str id, struct buf *ext)
{
	struct recent_note note = { 0 };
	struct str trace = STR("");

	if (r->type == FLOW__L7_FLOW_TYPE__REQUEST) {
		if (!trace_id_of(header_of(r, "Traceparent"), &trace))
			return;
		memcpy(note.text, trace.p, trace.len);
		if (id.len)
			recent_put(r->l->contexts, id, &note);
	} else if (r->type != FLOW__L7_FLOW_TYPE__RESPONSE || !id.len ||
		   !recent_take(r->l->contexts, id, &note)) {
		return;
	}
	size_t context = wire_begin(ext, FLOW_FIELD_TRACE_CONTEXT), parent = wire_begin(ext, 1);
	wire_put_str(ext, 1, str_of(note.text));
	wire_end(ext, parent);
	wire_end(ext, context);
	r->f->bits |= FLOW_HAS_TRACE_CONTEXT;
}

/* --- records ------------------------------------------------------------------------------ */

/* net/netip of Go: no bytes are no address, 16 bytes stay IPv6, what is left is a zone. */
static void put_ip(struct buf *b, struct str bytes)
{
	char tmp[FLOW_IP_TEXT_BYTES];
	uint8_t ip[16];

	if (bytes.len == 4) {
		ip_from_v4(ip, (const uint8_t *)bytes.p);
		buf_str_put(b, ip_text(ip, tmp));
		return;
	}
	if (bytes.len < 16) {
		buf_lit(b, "invalid IP");
		return;
	}
	memcpy(ip, bytes.p, sizeof ip);
	if (ip_is_v4(ip))
		buf_lit(b, "::ffff:");
	buf_str_put(b, ip_text(ip, tmp));
	if (bytes.len > 16) {
		buf_char(b, '%');
		buf_str_put(b, str_from(bytes, 16));
	}
}

static void put_types(const struct record *r, struct gob_list list, uint32_t field, struct buf *ext)
{
	int64_t type;

	while (access_next_number(&list, r->types, &type))
		wire_put_len(ext, field,
			     str_of(dns_type_text(type >= 0 && type <= UINT16_MAX ? (uint16_t)type
										  : UINT16_MAX)));
}

static void put_dns(const struct record *r, struct buf *ext)
{
	const struct access_dns *dns = &r->log.dns;
	bool request = r->type == FLOW__L7_FLOW_TYPE__REQUEST;
	struct gob_list ips = dns->ips, cnames = dns->cnames;
	size_t mark = wire_begin(ext, FIELD_DNS);
	struct str s;

	put_clean(ext, 1, dns->query);
	while (!request && access_next_text(&ips, r->types, &s)) {
		char text[128];
		AUTO_BUF struct buf b = buf_fixed(text, sizeof text);
		put_ip(&b, s);
		if (b.failed) { /* a zone may have any length */
			b = buf_init(ext->max);
			put_ip(&b, s);
		}
		ext->failed |= b.failed;
		put_clean_len(ext, 2, buf_str(&b));
	}
	if (!request)
		wire_put_u64(ext, 3, (uint32_t)dns->ttl);
	while (!request && access_next_text(&cnames, r->types, &s))
		put_clean_len(ext, 4, s);
	put_clean(ext, 5, dns->observation_source);
	if (!request)
		wire_put_u64(ext, 6, (uint32_t)dns->rcode);
	put_types(r, dns->qtypes, 7, ext);
	if (!request)
		put_types(r, dns->answer_types, 8, ext);
	wire_end(ext, mark);
}

struct header {
	struct str name;
	struct gob_list values;
};

static int compare_headers(const void *a, const void *b)
{
	return str_cmp(((const struct header *)a)->name, ((const struct header *)b)->name);
}

static void put_headers(const struct record *r, struct buf *ext)
{
	struct gob_list list = r->log.http.headers;
	AUTO(own_free) struct header *headers = room_for(&list, sizeof *headers, 0, ext);
	size_t n = 0;

	if (!headers)
		return;
	while (access_next_texts(&list, r->types, &headers[n].name, &headers[n].values))
		n++;
	qsort(headers, n, sizeof *headers, compare_headers);
	/* a name is told with each of its values: that may be more than anything holds */
	for (size_t i = 0; i < n && !ext->failed; i++) {
		bool hide = redact_hides_header(&r->l->config.redact, headers[i].name);
		struct str value;
		while (!ext->failed && access_next_text(&headers[i].values, r->types, &value)) {
			size_t mark = wire_begin(ext, 5);
			put_clean(ext, 1, headers[i].name);
			put_clean(ext, 2, hide ? STR(REDACTED) : value);
			wire_end(ext, mark);
		}
	}
}

static void put_http(const struct record *r, struct buf *ext)
{
	const struct access_http *http = &r->log.http;
	AUTO_BUF struct buf url = buf_init(ext->max);
	size_t mark = wire_begin(ext, FIELD_HTTP);

	redact_url_put(&url, &r->l->config.redact, http->url);
	ext->failed |= url.failed;
	if (r->type != FLOW__L7_FLOW_TYPE__REQUEST)
		wire_put_u64(ext, 1, (uint32_t)http->code);
	put_clean(ext, 2, http->method);
	put_clean(ext, 3, buf_str(&url));
	put_clean(ext, 4, http->protocol);
	put_headers(r, ext);
	wire_end(ext, mark);
}

static void put_kafka(const struct record *r, struct buf *ext)
{
	const struct access_kafka *kafka = &r->log.kafka;
	const struct redact *redact = &r->l->config.redact;
	bool hide = redact->enabled && redact->kafka_apikey;
	size_t mark = wire_begin(ext, FIELD_KAFKA);

	if (r->type != FLOW__L7_FLOW_TYPE__REQUEST)
		wire_put_u64(ext, 1, (uint64_t)(int64_t)(int32_t)kafka->error_code);
	wire_put_u64(ext, 2, (uint64_t)(int64_t)(int32_t)kafka->api_version);
	put_clean(ext, 3, hide ? STR(REDACTED) : kafka->api_key);
	wire_put_u64(ext, 4, (uint64_t)(int64_t)(int32_t)kafka->correlation_id);
	put_clean(ext, 5, kafka->topic.topic);
	wire_end(ext, mark);
}

typedef void put_record(const struct record *r, struct buf *ext);

static void put_l7(const struct record *r, put_record *put, struct buf *ext)
{
	size_t mark = wire_begin(ext, FLOW_FIELD_L7);

	wire_put_u64(ext, 1, r->type);
	wire_put_u64(ext, 2, r->latency_ns);
	if (put)
		put(r, ext);
	wire_end(ext, mark);
}

/* --- summaries ---------------------------------------------------------------------------- */

struct pair {
	struct str key, value;
};

static int compare_pairs(const void *a, const void *b)
{
	return str_cmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

/* As Go prints a map: map[a:1 b:2], by key. */
static void put_generic(const struct record *r, struct buf *b)
{
	struct gob_list list = r->log.l7.fields;
	AUTO(own_free) struct pair *pairs = room_for(&list, sizeof *pairs, 0, b);
	size_t n = 0;

	buf_str_put(b, r->log.l7.proto);
	buf_lit(b, " Fields: map[");
	if (!pairs)
		return;
	while (access_next_pair(&list, r->types, &pairs[n].key, &pairs[n].value))
		n++;
	qsort(pairs, n, sizeof *pairs, compare_pairs);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_char(b, ' ');
		buf_str_put(b, pairs[i].key);
		buf_char(b, ':');
		buf_str_put(b, pairs[i].value);
	}
	buf_char(b, ']');
}

/* A made flow's Summary comes from its record. Where the reference tells of another one than it
 * shows (of HTTP; of Kafka it then has nothing to say), or of one that has no form of its own, the
 * text is put down. */
static void put_summary(const struct record *r, struct buf *ext)
{
	AUTO_BUF struct buf summary = buf_init(ext->max), shown = buf_init(ext->max);
	const struct access_log *log = &r->log;
	bool mixed = log->dns.present && (log->http.present || log->kafka.present);

	if (mixed && log->http.present) {
		struct flow f = { .type = FLOW__FLOW_TYPE__L7, .bits = FLOW_HAS_L7 };
		put_l7(r, put_http, &shown);
		ext->failed |= shown.failed;
		f.ext = (const uint8_t *)shown.p;
		f.ext_len = (uint32_t)shown.len;
		flow_summary_put(&summary, &f, r->l->config.dict);
	} else if (!mixed && log->l7.present && !log->dns.present && !log->http.present &&
		   !log->kafka.present) {
		put_generic(r, &summary);
	} else if (!mixed) {
		return;
	}
	ext->failed |= summary.failed;
	put_clean(ext, FLOW_FIELD_SUMMARY, buf_str(&summary));
	r->f->bits |= FLOW_HAS_SUMMARY;
}

/* --- names -------------------------------------------------------------------------------- */

enum { PORT_DNS = 53 };

/* Whoever asked was told; a response goes to whoever asked. */
static void learn(const struct record *r)
{
	const struct access_dns *dns = &r->log.dns;
	const struct flow *f = r->f;
	bool from_client = f->dst_port == PORT_DNS && f->src_port != PORT_DNS;
	struct gob_list ips = dns->ips;
	struct str bytes;

	if (r->type != FLOW__L7_FLOW_TYPE__RESPONSE || dns->rcode != 0 ||
	    !flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP))
		return;
	while (access_next_text(&ips, r->types, &bytes)) {
		uint8_t ip[16];
		if (bytes.len == 4)
			ip_from_v4(ip, (const uint8_t *)bytes.p);
		else if (bytes.len == 16)
			memcpy(ip, bytes.p, sizeof ip);
		else
			continue;
		name_learn(r->l->config.names, from_client ? f->src_ip : f->dst_ip, ip, dns->query,
			   (uint32_t)dns->ttl, f->time);
	}
}

bool l7_record(struct l7 *l, struct str stream, struct flow *f, struct buf *ext)
{
	struct record r = { .l = l, .types = &l->types, .f = f };
	struct timestamp at;

	/* RFC 3339 as Go reads it */
	if (!access_log_read(stream, &l->types, &r.log) ||
	    !timestamp_parse_lax(r.log.timestamp, &at))
		return false;
	r.type = type_of(r.log.type);
	if (!set_addresses(&r, ext))
		return false;
	set_members(&r);
	f->src_ep =
		endpoint_of(&r, &r.log.source, f->bits & FLOW_HAS_SRC_IP ? f->src_ip : NULL, ext);
	f->dst_ep = endpoint_of(&r, &r.log.destination,
				f->bits & FLOW_HAS_DST_IP ? f->dst_ip : NULL, ext);
	if (l->config.learn_dns && r.log.dns.present)
		learn(&r);
	name_flow_told(l->config.names, f, (uint32_t)r.log.source.id,
		       (uint32_t)r.log.destination.id, ext);
	struct str id = header_of(&r, "X-Request-Id");
	r.latency_ns = latency_of(&r, id, at);
	put_l7(&r,
	       r.log.dns.present     ? put_dns
	       : r.log.http.present  ? put_http
	       : r.log.kafka.present ? put_kafka
				     : NULL,
	       ext);
	put_trace_context(&r, id, ext);
	put_summary(&r, ext);
	return true;
}
