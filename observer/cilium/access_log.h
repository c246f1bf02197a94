/*
 * access_log - the agent's L7 record (accesslog.LogRecord), as it comes out of its gob.
 *
 * Owner    texts and lists are borrowed from the record's bytes and the table of types.
 * Source   reference/cilium-events.md 5.2. Fields are found by name; what is absent is zero.
 */
#ifndef TYCHO_OBSERVER_CILIUM_ACCESS_LOG_H
#define TYCHO_OBSERVER_CILIUM_ACCESS_LOG_H

#include "observer/cilium/gob.h"

struct access_endpoint {
	bool present;
	int64_t id, port, identity;
	struct str ip4, ip6;
	struct gob_list labels;
};
struct access_http {
	bool present;
	int64_t code;
	struct str method, url, protocol;
	struct gob_list headers;
};
struct access_topic {
	bool present;
	struct str topic;
};
struct access_kafka {
	bool present;
	int64_t error_code, api_version, correlation_id;
	struct str api_key;
	struct access_topic topic;
};
struct access_dns {
	bool present;
	struct str query, observation_source;
	int64_t ttl, rcode;
	struct gob_list ips, cnames, qtypes, answer_types;
};
struct access_generic {
	bool present;
	struct str proto;
	struct gob_list fields;
};
struct access_log {
	struct str type, timestamp, observation_point, verdict;
	struct access_endpoint source, destination;
	int64_t ip_version, transport;
	struct access_http http;
	struct access_kafka kafka;
	struct access_dns dns;
	struct access_generic l7;
};

/* Reads a complete gob stream of one record; definitions go into @t. False: it is none. */
bool access_log_read(struct str stream, struct gob_types *t, struct access_log *ret);

/* Walking lists: each call takes the next element and returns false when there is none (or it is of
 * another kind than asked for; the list is then at its end). */
bool access_next_text(struct gob_list *l, const struct gob_types *t, struct str *ret);
bool access_next_number(struct gob_list *l, const struct gob_types *t, int64_t *ret);
/* Of a map from texts to texts. */
bool access_next_pair(struct gob_list *l, const struct gob_types *t, struct str *ret_key,
		      struct str *ret_value);
/* Of a map from texts to lists of texts. */
bool access_next_texts(struct gob_list *l, const struct gob_types *t, struct str *ret_key,
		       struct gob_list *ret_values);
/* A label: three parts, or (older agents) its text. */
struct access_label {
	bool present;
	bool is_text; /* in @key */
	struct str key, value, source;
};
bool access_next_label(struct gob_list *l, const struct gob_types *t, struct access_label *ret);

#endif
