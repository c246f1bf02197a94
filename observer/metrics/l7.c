/* The metrics that look at layer 7: dns, http, httpV2, kafka. */
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/metrics/handler.h"

enum { L7_REQUEST = 1, L7_RESPONSE = 2 };

static struct str put_number(struct handler_values *v, int64_t number)
{
	size_t from = v->scratch->len;

	buf_i64(v->scratch, number);
	return str_n(v->scratch->p + from, v->scratch->len - from);
}

static double seconds_of(const struct l7_part *l7)
{
	return (double)l7->latency_ns / 1e9;
}

/* Values that come from the message itself are part of the key by a number for all of them: short
 * ones (DNS types) by their own bytes, others by the number that their text has. The two differ in
 * the upper bits. */
enum { SHORT_BYTES = 6, SHORT_VALUES = 3 };

static bool short_key(const struct str *values, size_t n, uint64_t *ret)
{
	char bytes[SHORT_BYTES] = { 0 };
	uint64_t key = UINT64_C(1) << 60, packed = 0;
	size_t used = 0;

	if (n > SHORT_VALUES)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (values[i].len > SHORT_BYTES - used)
			return false;
		key |= (uint64_t)values[i].len << (48 + 4 * i);
		memcpy(bytes + used, values[i].p, values[i].len);
		used += values[i].len;
	}
	memcpy(&packed, bytes, sizeof bytes);
	*ret = key | packed;
	return true;
}

static uint64_t text_key(struct handler_env *env, const struct str *values, size_t n)
{
	struct buf *b = &env->texts->scratch;
	uint64_t key;

	if (short_key(values, n, &key))
		return key;
	buf_reset(b);
	for (size_t i = 0; i < n; i++) { /* a text may hold any separator: lengths do not */
		buf_put(b, &values[i].len, sizeof values[i].len);
		struct page_value v = page_value_begin(b);
		page_value_put(&v, values[i]);
		(void)page_value_end(&v);
	}
	return texts_id(env->texts, buf_str(b));
}

static const char *reporter_of(const struct flow *f)
{
	return f->direction == FLOW__TRAFFIC_DIRECTION__EGRESS    ? "client"
	       : f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS ? "server"
								  : "unknown";
}

static uint64_t reporter_key(const struct flow *f)
{
	return f->direction == FLOW__TRAFFIC_DIRECTION__EGRESS    ? 1
	       : f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS ? 2
								  : 0;
}

/* trace_context.parent.trace_id; "" if there is none. */
static struct str trace_of(const struct handler *h, const struct flow *f)
{
	struct str context, parent, id;

	if (!h->exemplars || !flow_is(f, FLOW_HAS_TRACE_CONTEXT) ||
	    !wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_TRACE_CONTEXT, &context) ||
	    !wire_find(context, 1, &parent) || !wire_find(parent, 1, &id))
		return STR("");
	return id;
}

static void add(struct handler *h, struct handler_env *env, const struct flow *f,
		struct metric_ref ref)
{
	handler_add(env, ref);
	if (ref.series && h->exemplars)
		metric_exemplar(ref, trace_of(h, f), 1, env->now);
}

static void observe(struct handler *h, struct handler_env *env, const struct flow *f,
		    const struct l7_part *l7, struct metric_ref ref)
{
	if (!ref.series) {
		metric_refused(env->metrics, 1);
		return;
	}
	metric_observe(ref, seconds_of(l7));
	if (h->exemplars)
		metric_exemplar(ref, trace_of(h, f), seconds_of(l7), env->now);
}

/* --- dns ---------------------------------------------------------------------------------- */

enum { DNS_QUERY = 1, DNS_IPS = 2, DNS_RCODE = 6, DNS_QTYPES = 7, DNS_RRTYPES = 8 };
enum { DNS_QUERIES, DNS_RESPONSES, DNS_TYPES };

struct dns {
	struct str query;
	uint64_t ips;
	uint32_t rcode;
	size_t qtypes_count, rrtypes;
	struct str only_qtype; /* the last one */
};

static struct dns read_dns(struct str record)
{
	struct wire_reader r = wire_reader_of(record);
	struct dns d = { .query = STR(""), .only_qtype = STR("") };

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type == WIRE_LEN && x.number == DNS_QUERY)
			d.query = x.bytes;
		else if (x.type == WIRE_LEN && x.number == DNS_IPS)
			d.ips++;
		else if (x.type == WIRE_VARINT && x.number == DNS_RCODE)
			d.rcode = (uint32_t)x.value;
		else if (x.type == WIRE_LEN && x.number == DNS_QTYPES) {
			d.qtypes_count++;
			d.only_qtype = x.bytes;
		} else if (x.number == DNS_RRTYPES) {
			d.rrtypes++;
		}
	}
	return d;
}

/* All values of a repeated text, comma-joined. */
static struct str put_list(struct buf *b, struct str record, uint32_t field)
{
	struct wire_reader r = wire_reader_of(record);
	struct page_value v = page_value_begin(b);
	bool first = true;

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type != WIRE_LEN || x.number != field)
			continue;
		if (!first)
			page_value_put(&v, STR(","));
		page_value_put(&v, x.bytes);
		first = false;
	}
	size_t len = page_value_end(&v);
	return b->failed ? STR("") : str_n(b->p + v.from, len);
}

/* Not those of flow/names.h: the reference calls 9, 11 and 23 otherwise here. */
static const char *rcode_text(uint32_t rcode)
{
	static const char *const texts[] = {
		[0] = "No Error",
		[1] = "Format Error",
		[2] = "Server Failure",
		[3] = "Non-Existent Domain",
		[4] = "Not Implemented",
		[5] = "Query Refused",
		[6] = "Name Exists when it should not",
		[7] = "RR Set Exists when it should not",
		[8] = "RR Set that should exist does not",
		[9] = "Not Authorized",
		[10] = "Name not contained in zone",
		[11] = "DSO-TYPE Not Implemented",
		[16] = "Bad OPT Version",
		[17] = "Key not recognized",
		[18] = "Signature out of time window",
		[19] = "Bad TKEY Mode",
		[20] = "Duplicate key name",
		[21] = "Algorithm not supported",
		[22] = "Bad Truncation",
		[23] = "Bad/missing Server Cookie",
	};

	return rcode < ARRAY_LEN(texts) && texts[rcode] ? texts[rcode] : "";
}

static const char *rcode_of(const struct flow *f, const struct dns *d)
{
	if (f->verdict == FLOW__VERDICT__DROPPED)
		return "Policy denied";
	return f->is_reply == FLOW_REPLY_TRUE ? rcode_text(d->rcode) : "";
}

static void put_dns(struct handler *h, const struct flow *f, const struct l7_part *l7,
		    struct handler_values *v)
{
	struct dns d = read_dns(l7->record);

	v->values[0] = str_of(rcode_of(f, &d));
	v->values[1] = put_list(v->scratch, l7->record, DNS_QTYPES);
	v->values[2] = put_number(v, (int64_t)d.ips);
	if (h->query)
		v->values[3] = d.query;
}

/* One series for each of a reply's types: they are looked up one by one, without a key. */
static void count_dns_types(struct handler *h, struct handler_env *env, const struct flow *f,
			    const struct l7_part *l7, struct str qtypes);

/* Comma-joined; p is NULL if they do not fit into @bytes. */
enum { QTYPES_BYTES = 256 };
static struct str qtypes_of(const struct dns *d, const struct l7_part *l7, char bytes[QTYPES_BYTES])
{
	struct buf b = buf_fixed(bytes, QTYPES_BYTES);

	if (d->qtypes_count < 2)
		return d->only_qtype;
	(void)put_list(&b, l7->record, DNS_QTYPES);
	return b.failed ? (struct str){ NULL, 0 } : buf_str(&b);
}

static void count_dns(struct handler *h, struct handler_env *env, const struct flow *f,
		      const struct l7_part *l7)
{
	if (l7->kind != L7_RECORD_DNS)
		return;
	struct dns d = read_dns(l7->record);
	if (h->ignore_aaaa && d.qtypes_count == 1 && str_is(d.only_qtype, "AAAA"))
		return;
	bool dropped = f->verdict == FLOW__VERDICT__DROPPED;
	bool response = !dropped && f->is_reply == FLOW_REPLY_TRUE;
	char bytes[QTYPES_BYTES];
	struct str qtypes = qtypes_of(&d, l7, bytes);
	const struct str texts[] = { qtypes, h->query ? d.query : STR("") };
	unsigned family = response ? DNS_RESPONSES : DNS_QUERIES;
	/* codes beyond have no text: all are told alike */
	uint8_t rcode = d.rcode < UINT8_MAX ? (uint8_t)d.rcode : UINT8_MAX;
	uint64_t key = (d.ips & 0xffffff) << 16 | (uint64_t)dropped << 9 | (uint64_t)response << 8 |
		       (response ? rcode : 0);

	if (!qtypes.p || d.ips > 0xffffff)
		handler_add(env, handler_ref_slow(h, env, f, l7, family, put_dns));
	else
		handler_add(env, handler_ref(h, env, f, l7, family, key,
					     text_key(env, texts, ARRAY_LEN(texts)), put_dns));
	if (response && d.rrtypes)
		count_dns_types(h, env, f, l7, qtypes);
}

struct dns_type {
	struct l7_part l7; /* first: handed on as the flow's part */
	struct str type;
};

static void put_dns_type(struct handler *h, const struct flow *f, const struct l7_part *l7,
			 struct handler_values *v)
{
	const struct dns_type *t = (const struct dns_type *)l7;

	(void)f;
	v->values[0] = t->type;
	v->values[1] = put_list(v->scratch, l7->record, DNS_QTYPES);
	if (h->query)
		v->values[2] = read_dns(l7->record).query;
}

static void count_dns_types(struct handler *h, struct handler_env *env, const struct flow *f,
			    const struct l7_part *l7, struct str qtypes)
{
	struct wire_reader r = wire_reader_of(l7->record);

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type != WIRE_LEN || x.number != DNS_RRTYPES)
			continue;
		struct dns_type t = { *l7, x.bytes };
		const struct str texts[] = { qtypes, x.bytes,
					     h->query ? read_dns(l7->record).query : STR("") };
		if (!qtypes.p)
			handler_add(env,
				    handler_ref_slow(h, env, f, &t.l7, DNS_TYPES, put_dns_type));
		else
			handler_add(env, handler_ref(h, env, f, &t.l7, DNS_TYPES, 0,
						     text_key(env, texts, ARRAY_LEN(texts)),
						     put_dns_type));
	}
}

/* --- http --------------------------------------------------------------------------------- */

enum { HTTP_CODE = 1, HTTP_METHOD = 2, HTTP_PROTOCOL = 4 };

struct http {
	uint32_t code;
	struct str method, protocol;
};

static struct http read_http(struct str record)
{
	struct wire_reader r = wire_reader_of(record);
	struct http m = { .method = STR(""), .protocol = STR("") };

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_VARINT && x.number == HTTP_CODE)
			m.code = (uint32_t)x.value;
		else if (x.type == WIRE_LEN && x.number == HTTP_METHOD)
			m.method = x.bytes;
		else if (x.type == WIRE_LEN && x.number == HTTP_PROTOCOL)
			m.protocol = x.bytes;
	return m;
}

static void put_http_request(struct handler *h, const struct flow *f, const struct l7_part *l7,
			     struct handler_values *v)
{
	struct http m = read_http(l7->record);

	(void)h;
	v->values[0] = m.method;
	v->values[1] = m.protocol;
	v->values[2] = str_of(reporter_of(f));
}

static void put_http_response(struct handler *h, const struct flow *f, const struct l7_part *l7,
			      struct handler_values *v)
{
	struct http m = read_http(l7->record);

	(void)h;
	v->values[0] = m.method;
	v->values[1] = m.protocol;
	v->values[2] = put_number(v, m.code);
	v->values[3] = str_of(reporter_of(f));
}

static void put_http_duration(struct handler *h, const struct flow *f, const struct l7_part *l7,
			      struct handler_values *v)
{
	(void)h;
	v->values[0] = read_http(l7->record).method;
	v->values[1] = str_of(reporter_of(f));
}

static void count_http(struct handler *h, struct handler_env *env, const struct flow *f,
		       const struct l7_part *l7)
{
	bool v2 = h->kind->swapped;

	if (l7->kind != L7_RECORD_HTTP)
		return;
	struct http m = read_http(l7->record);
	const struct str texts[] = { m.method, m.protocol };
	uint64_t key = (uint64_t)m.code << 2 | reporter_key(f);

	if (l7->type == L7_REQUEST && !v2)
		add(h, env, f,
		    handler_ref(h, env, f, l7, 0, reporter_key(f), text_key(env, texts, 2),
				put_http_request));
	if (l7->type != L7_RESPONSE)
		return;
	/* families of http: requests, durations, responses; httpV2 has no third */
	add(h, env, f,
	    handler_ref(h, env, f, l7, v2 ? 0 : 2, key, text_key(env, texts, 2),
			put_http_response));
	observe(h, env, f, l7,
		handler_ref(h, env, f, l7, 1, reporter_key(f), text_key(env, texts, 1),
			    put_http_duration));
}

/* --- kafka -------------------------------------------------------------------------------- */

enum { KAFKA_ERROR = 1, KAFKA_API_KEY = 3, KAFKA_TOPIC = 5 };

struct kafka {
	int32_t error;
	struct str api_key, topic;
};

static struct kafka read_kafka(struct str record)
{
	struct wire_reader r = wire_reader_of(record);
	struct kafka m = { .api_key = STR(""), .topic = STR("") };

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_VARINT && x.number == KAFKA_ERROR)
			m.error = (int32_t)(uint32_t)x.value;
		else if (x.type == WIRE_LEN && x.number == KAFKA_API_KEY)
			m.api_key = x.bytes;
		else if (x.type == WIRE_LEN && x.number == KAFKA_TOPIC)
			m.topic = x.bytes;
	return m;
}

static void put_kafka_request(struct handler *h, const struct flow *f, const struct l7_part *l7,
			      struct handler_values *v)
{
	struct kafka m = read_kafka(l7->record);

	(void)h;
	v->values[0] = m.topic;
	v->values[1] = m.api_key;
	v->values[2] = put_number(v, m.error);
	v->values[3] = str_of(reporter_of(f));
}

static void put_kafka_duration(struct handler *h, const struct flow *f, const struct l7_part *l7,
			       struct handler_values *v)
{
	struct kafka m = read_kafka(l7->record);

	(void)h;
	v->values[0] = m.topic;
	v->values[1] = m.api_key;
	v->values[2] = str_of(reporter_of(f));
}

static void count_kafka(struct handler *h, struct handler_env *env, const struct flow *f,
			const struct l7_part *l7)
{
	if (l7->kind != L7_RECORD_KAFKA || l7->type != L7_REQUEST)
		return;
	struct kafka m = read_kafka(l7->record);
	const struct str texts[] = { m.topic, m.api_key };
	uint64_t key = (uint64_t)(uint32_t)m.error << 2 | reporter_key(f);

	handler_add(env,
		    handler_ref(h, env, f, l7, 0, key, text_key(env, texts, 2), put_kafka_request));
	observe(h, env, f, l7,
		handler_ref(h, env, f, l7, 1, reporter_key(f), text_key(env, texts, 2),
			    put_kafka_duration));
}

const struct handler_kind handlers_of_l7[] = {
	{ .name = "dns",
	  .count = count_dns,
	  .gate = { .l7_only = true },
	  .own_word = true,
	  .families = { { "hubble_dns_queries_total",
			  "Number of DNS queries observed",
			  METRIC_COUNTER,
			  { "rcode", "*qtypes", "*ips_returned", "*query" } },
			{ "hubble_dns_responses_total",
			  "Number of DNS queries observed",
			  METRIC_COUNTER,
			  { "rcode", "*qtypes", "*ips_returned", "*query" } },
			{ "hubble_dns_response_types_total",
			  "Number of DNS queries observed",
			  METRIC_COUNTER,
			  { "*type", "*qtypes", "*query" } } } },
	{ .name = "http",
	  .conflict = "httpV2",
	  .count = count_http,
	  .gate = { .l7_only = true },
	  .own_word = true,
	  .exemplars = true,
	  .families = { { "hubble_http_requests_total",
			  "Count of HTTP requests",
			  METRIC_COUNTER,
			  { "*method", "*protocol", "reporter" } },
			{ "hubble_http_request_duration_seconds",
			  "Quantiles of HTTP request duration in seconds",
			  METRIC_HISTOGRAM,
			  { "*method", "reporter" } },
			{ "hubble_http_responses_total",
			  "Count of HTTP responses",
			  METRIC_COUNTER,
			  { "*method", "*protocol", "*status", "reporter" } } } },
	{ .name = "httpV2",
	  .conflict = "http",
	  .count = count_http,
	  .swapped = true,
	  .gate = { .l7_only = true },
	  .own_word = true,
	  .exemplars = true,
	  .families = { { "hubble_http_requests_total",
			  "Count of HTTP requests",
			  METRIC_COUNTER,
			  { "*method", "*protocol", "*status", "reporter" } },
			{ "hubble_http_request_duration_seconds",
			  "Quantiles of HTTP request duration in seconds",
			  METRIC_HISTOGRAM,
			  { "*method", "reporter" } } } },
	{ .name = "kafka",
	  .count = count_kafka,
	  .gate = { .l7_only = true },
	  .own_word = true,
	  .families = { { "hubble_kafka_requests_total",
			  "Count of Kafka requests (deprecated)",
			  METRIC_COUNTER,
			  { "*topic", "*api_key", "*error_code", "reporter" } },
			{ "hubble_kafka_request_duration_seconds",
			  "Quantiles of HTTP request duration in seconds (deprecated)",
			  METRIC_HISTOGRAM,
			  { "*topic", "*api_key", "reporter" } } } },
};
const size_t handlers_of_l7_count = ARRAY_LEN(handlers_of_l7);
