#include "observer/cilium/access_log.h"

#include <stddef.h>

#define NUMBER(type, name, member)                                                                 \
	{                                                                                          \
		name, GOB_WANT_NUMBER, offsetof(struct type, member), NULL                         \
	}
#define TEXT(type, name, member)                                                                   \
	{                                                                                          \
		name, GOB_WANT_TEXT, offsetof(struct type, member), NULL                           \
	}
#define LIST(type, name, member)                                                                   \
	{                                                                                          \
		name, GOB_WANT_LIST, offsetof(struct type, member), NULL                           \
	}
#define STRUCT(type, name, member, wants)                                                          \
	{                                                                                          \
		name, GOB_WANT_STRUCT, offsetof(struct type, member), wants                        \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, GOB_WANT_NUMBER, 0, NULL                                                     \
	}

static const struct gob_want endpoint_wants[] = {
	NUMBER(access_endpoint, "ID", id),
	TEXT(access_endpoint, "IPv4", ip4),
	TEXT(access_endpoint, "IPv6", ip6),
	NUMBER(access_endpoint, "Port", port),
	NUMBER(access_endpoint, "Identity", identity),
	LIST(access_endpoint, "Labels", labels),
	END,
};
static const struct gob_want http_wants[] = {
	NUMBER(access_http, "Code", code),     TEXT(access_http, "Method", method),
	TEXT(access_http, "URL", url),         TEXT(access_http, "Protocol", protocol),
	LIST(access_http, "Headers", headers), END,
};
static const struct gob_want topic_wants[] = { TEXT(access_topic, "Topic", topic), END };
static const struct gob_want kafka_wants[] = {
	NUMBER(access_kafka, "ErrorCode", error_code),
	NUMBER(access_kafka, "APIVersion", api_version),
	TEXT(access_kafka, "APIKey", api_key),
	NUMBER(access_kafka, "CorrelationID", correlation_id),
	STRUCT(access_kafka, "Topic", topic, topic_wants),
	END,
};
static const struct gob_want dns_wants[] = {
	TEXT(access_dns, "Query", query),
	LIST(access_dns, "IPs", ips),
	NUMBER(access_dns, "TTL", ttl),
	LIST(access_dns, "CNAMEs", cnames),
	TEXT(access_dns, "ObservationSource", observation_source),
	NUMBER(access_dns, "RCode", rcode),
	LIST(access_dns, "QTypes", qtypes),
	LIST(access_dns, "AnswerTypes", answer_types),
	END,
};
static const struct gob_want generic_wants[] = {
	TEXT(access_generic, "Proto", proto),
	LIST(access_generic, "Fields", fields),
	END,
};
static const struct gob_want record_wants[] = {
	TEXT(access_log, "Type", type),
	TEXT(access_log, "Timestamp", timestamp),
	TEXT(access_log, "ObservationPoint", observation_point),
	STRUCT(access_log, "SourceEndpoint", source, endpoint_wants),
	STRUCT(access_log, "DestinationEndpoint", destination, endpoint_wants),
	NUMBER(access_log, "IPVersion", ip_version),
	TEXT(access_log, "Verdict", verdict),
	NUMBER(access_log, "TransportProtocol", transport),
	STRUCT(access_log, "HTTP", http, http_wants),
	STRUCT(access_log, "Kafka", kafka, kafka_wants),
	STRUCT(access_log, "DNS", dns, dns_wants),
	STRUCT(access_log, "L7", l7, generic_wants),
	END,
};
static const struct gob_want label_wants[] = {
	TEXT(access_label, "Key", key),
	TEXT(access_label, "Value", value),
	TEXT(access_label, "Source", source),
	END,
};

bool access_log_read(struct str stream, struct gob_types *t, struct access_log *ret)
{
	struct gob value;
	int32_t id;

	return gob_first_value(t, stream, &id, &value) &&
	       gob_read(&value, t, id, record_wants, ret);
}

/* --- lists -------------------------------------------------------------------------------- */

static bool is_text(const struct gob_types *t, int32_t id)
{
	enum gob_kind kind = gob_kind_of(t, id);

	return kind == GOB_STRING || kind == GOB_BYTES || kind == GOB_OPAQUE;
}

/* True if an element may be taken; what is of no use ends the list. */
static bool begin(struct gob_list *l, bool useful)
{
	if (!l->count || !useful || l->at.bad) {
		l->count = 0;
		return false;
	}
	l->count--;
	return true;
}

bool access_next_text(struct gob_list *l, const struct gob_types *t, struct str *ret)
{
	if (!begin(l, !l->key && is_text(t, l->elem)))
		return false;
	*ret = gob_bytes(&l->at);
	return !l->at.bad;
}

bool access_next_number(struct gob_list *l, const struct gob_types *t, int64_t *ret)
{
	enum gob_kind kind = gob_kind_of(t, l->elem);

	if (!begin(l, !l->key && (kind == GOB_UINT || kind == GOB_INT)))
		return false;
	*ret = kind == GOB_INT ? gob_int(&l->at) : (int64_t)gob_uint(&l->at);
	return !l->at.bad;
}

bool access_next_pair(struct gob_list *l, const struct gob_types *t, struct str *ret_key,
		      struct str *ret_value)
{
	if (!begin(l, l->key && is_text(t, l->key) && is_text(t, l->elem)))
		return false;
	*ret_key = gob_bytes(&l->at);
	*ret_value = gob_bytes(&l->at);
	return !l->at.bad;
}

bool access_next_texts(struct gob_list *l, const struct gob_types *t, struct str *ret_key,
		       struct gob_list *ret_values)
{
	if (!begin(l, l->key && is_text(t, l->key) && gob_kind_of(t, l->elem) == GOB_SLICE))
		return false;
	*ret_key = gob_bytes(&l->at);
	gob_read_list(&l->at, t, l->elem, ret_values);
	return !l->at.bad;
}

bool access_next_label(struct gob_list *l, const struct gob_types *t, struct access_label *ret)
{
	*ret = (struct access_label){ .key = STR(""), .value = STR(""), .source = STR("") };
	ret->is_text = is_text(t, l->elem);
	if (ret->is_text)
		return access_next_text(l, t, &ret->key);
	if (!begin(l, !l->key))
		return false;
	return gob_read(&l->at, t, l->elem, label_wants, ret);
}
