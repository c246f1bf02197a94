/* What rules of ports ask proxies to look at, and which proxy that is. */
#include "policy/inside.h"
#include "regex/regex.h"

/* --- rules -------------------------------------------------------------------------------------- */

static void check_regex(struct reading *r, struct str pattern, const char *what)
{
	AUTO(regex_free) struct regex *x = NULL;
	struct err e;

	if (r->code == ERR_OK && pattern.len && regex_new(pattern, &x, &e) != ERR_OK)
		bad(r, "%s: %s", what, e.msg);
}

/* The member @key must be there and hold something. */
static void need_text(struct reading *r, const json_t *object, const char *key)
{
	size_t at = step(r, key);

	if (!member_text(r, object, key).len)
		bad(r, "it is missing");
	back(r, at);
}

/* A reference to a Secret, if it is there. */
static void check_secret(struct reading *r, const json_t *object)
{
	static const char *const keys[] = { "name", "namespace", NULL };
	const json_t *secret = member_object(r, object, "secret");
	size_t at = step(r, "secret");

	if (secret) {
		only(r, secret, keys);
		need_text(r, secret, "name");
		(void)member_text(r, secret, "namespace");
	}
	back(r, at);
}

static void check_header(struct reading *r, const json_t *match)
{
	static const char *const keys[] = { "mismatch", "name", "secret", "value", NULL };
	static const char *const actions[] = { "LOG", "ADD", "DELETE", "REPLACE" };
	struct str mismatch = member_text(r, match, "mismatch");
	bool known = !mismatch.p;

	only(r, match, keys);
	check_secret(r, match);
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		known |= str_is(mismatch, actions[i]);
	if (!known)
		bad(r, "mismatch must be LOG, ADD, DELETE or REPLACE");
	need_text(r, match, "name");
	(void)member_text(r, match, "value");
}

static void check_http(struct reading *r, const json_t *rule)
{
	static const char *const keys[] = { "path",    "method",        "host",
					    "headers", "headerMatches", NULL };

	if (!is_object(r, rule))
		return;
	only(r, rule, keys);
	check_regex(r, member_text(r, rule, "path"), "path");
	check_regex(r, member_text(r, rule, "method"), "method");
	(void)member_text(r, rule, "host"); /* only the proxy reads it as one */
	check_texts(r, member_array(r, rule, "headers"), "headers");
	check_each(r, member_array(r, rule, "headerMatches"), "headerMatches", check_header);
}

/* Names of Kafka's requests that a rule may have, in their order, the first of number 0. */
static bool is_kafka_request(struct str name)
{
	static const char *const requests[] = {
		"Produce",
		"Fetch",
		"Offsets",
		"Metadata",
		"LeaderAndIsr",
		"StopReplica",
		"UpdateMetadata",
		"ControlledShutdown",
		"OffsetCommit",
		"OffsetFetch",
		"FindCoordinator",
		"JoinGroup",
		"Heartbeat",
		"LeaveGroup",
		"SyncGroup",
		"DescribeGroups",
		"ListGroups",
		"SaslHandshake",
		"ApiVersions",
		"CreateTopics",
		"DeleteTopics",
		"DeleteRecords",
		"InitProducerId",
		"OffsetForLeaderEpoch",
		"AddPartitionsToTxn",
		"AddOffsetsToTxn",
		"EndTxn",
		"WriteTxnMarkers",
		"TxnOffsetCommit",
		"DescribeAcls",
		"CreateAcls",
		"DeleteAcls",
		"DescribeConfigs",
		"AlterConfigs",
	};

	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		if (str_eq_nocase(name, str_of(requests[i])))
			return true;
	return false;
}

static bool is_kafka_topic(struct str s)
{
	enum { TOPIC_MAX = 255 };

	for (size_t i = 0; i < s.len; i++)
		if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && !memchr("-_.\\", s.p[i], 4))
			return false;
	return s.len <= TOPIC_MAX;
}

/* A number that the protocol's 16 bits hold, in digits. */
static bool is_kafka_version(struct str s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (!is_digit(s.p[i]) || n > INT16_MAX)
			return false;
		n = n * 10 + (uint32_t)(s.p[i] - '0');
	}
	return n <= INT16_MAX;
}

static void check_kafka(struct reading *r, const json_t *rule)
{
	static const char *const keys[] = { "role",     "apiKey", "apiVersion",
					    "clientID", "topic",  NULL };

	if (!is_object(r, rule))
		return;
	only(r, rule, keys);
	struct str role = member_text(r, rule, "role"), key = member_text(r, rule, "apiKey");
	if (role.len && key.len)
		bad(r, "role and apiKey cannot be combined");
	if (role.p && !str_is(role, "produce") && !str_is(role, "consume"))
		bad(r, "role must be produce or consume");
	if (key.len && !is_kafka_request(key))
		bad(r, "apiKey is no request of Kafka");
	if (!is_kafka_version(member_text(r, rule, "apiVersion")))
		bad(r, "apiVersion must be 0 to %d", INT16_MAX);
	if (!is_kafka_topic(member_text(r, rule, "topic")))
		bad(r, "topic: at most 255 letters, digits, '-', '_' and '.'");
	(void)member_text(r, rule, "clientID");
}

void check_dns(struct reading *r, const json_t *rule)
{
	static const char *const keys[] = { "matchName", "matchPattern", NULL };

	if (!is_object(r, rule))
		return;
	only(r, rule, keys);
	struct str name = member_text(r, rule, "matchName");
	struct str pattern = member_text(r, rule, "matchPattern");
	if (!!name.p == !!pattern.p)
		bad(r, "either matchName or matchPattern");
	struct str s = name.p ? name : pattern.p ? pattern : STR("");
	if (s.len > 255)
		bad(r, "a DNS name of more than 255 bytes");
	for (size_t i = 0; i < s.len; i++)
		if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && !memchr("-_.", s.p[i], 3) &&
		    !(s.p[i] == '*' && pattern.p)) {
			bad(r, "'%.*s': only letters, digits, '-', '_', '.'%s",
			    (int)(s.len < 80 ? s.len : 80), s.p, pattern.p ? " and '*'" : "");
			return;
		} else if (s.p[i] == '.' && (!i || s.p[i - 1] == '.')) {
			bad(r, "a DNS name with nothing before a dot");
			return;
		}
	if (!s.len)
		bad(r, "a DNS name that is empty");
}

static bool is_server_name(struct str s)
{
	if (str_has_prefix(s, STR("**.")))
		s = str_from(s, 3);
	else if (str_has_prefix(s, STR("*.")))
		s = str_from(s, 2);
	if (!s.len || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && !memchr("-_.", s.p[i], 3))
			return false;
		else if (s.p[i] == '.' && i && s.p[i - 1] == '.')
			return false;
	return true;
}

/* An entry of `l7`: names and texts. */
static void check_pairs(struct reading *r, const json_t *pairs)
{
	const char *key;
	json_t *value;

	/* jansson's iterators take what they do not change without const */
	json_object_foreach((json_t *)(uintptr_t)pairs, key, value)
	{
		size_t at = step(r, key);

		if (!*key)
			bad(r, "a key that is empty");
		(void)text_of(r, value);
		back(r, at);
	}
}

static struct l7 read_rules(struct reading *r, const json_t *rules)
{
	static const char *const keys[] = { "http", "kafka", "dns", "l7proto", "l7", NULL };

	only(r, rules, keys);
	json_t *http = member_array(r, rules, "http"), *kafka = member_array(r, rules, "kafka");
	json_t *dns = member_array(r, rules, "dns"), *l7 = member_array(r, rules, "l7");
	struct str proto = member_text(r, rules, "l7proto");
	int kinds = (http != NULL) + (kafka != NULL) + (dns != NULL) + (proto.p != NULL);
	struct l7 to = { .proxy = STR(""), .dns = json_array_size(dns) > 0 };

	to.any = json_array_size(http) || json_array_size(kafka) || to.dns || json_array_size(l7);

	check_each(r, http, "http", check_http);
	check_each(r, kafka, "kafka", check_kafka);
	check_each(r, dns, "dns", check_dns);
	check_each(r, l7, "l7", check_pairs);
	if (l7 && !proto.len)
		bad(r, "l7 needs l7proto");
	if (!kinds)
		bad(r, "one of http, kafka, dns and l7proto");
	if (kinds > 1)
		bad(r, "rules of more than one proxy: http, kafka, dns and l7 exclude each other");
	if (json_array_size(http))
		to.proxy = STR("http");
	else if (json_array_size(kafka))
		to.proxy = STR("kafka");
	else if (json_array_size(dns))
		to.proxy = STR("dns");
	else if (proto.len)
		to.proxy = keep(r, proto);
	return to;
}

static void check_proxy(struct reading *r, const struct l7 *l7, struct port_context where)
{
	if (where.ingress && l7->dns)
		bad(r, "rules for DNS are for egress only");
	if (where.node && where.ingress && l7->any)
		bad(r, "a policy of a node has no rules for proxies at ingress");
	if (where.node && !where.ingress &&
	    (str_is(l7->proxy, "http") || str_is(l7->proxy, "kafka")))
		bad(r, "a policy of a node has rules for DNS only");
}

/* --- proxies ---------------------------------------------------------------------------------- */

/* Cilium's order of proxies; a listener may say another one itself, 1 to 100. */
static struct proxy proxy_of(struct str name)
{
	static const struct {
		const char *name;
		uint8_t rank;
	} known[] = {
		{ "http", 101 }, { "kafka", 106 }, { "tls", 116 }, { "dns", 121 }, { "crd", 126 }
	};
	enum { RANK_OWN = 111 }; /* proxies of one's own */

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_is(name, known[i].name))
			return (struct proxy){ name, known[i].rank };
	return (struct proxy){ name, name.len ? RANK_OWN : 0 };
}

/* One text of several, which the set keeps. */
static struct str joined(struct reading *r, struct buf *b)
{
	if (b->failed)
		no_memory(r);
	return r->code == ERR_OK ? keep(r, buf_str(b)) : STR("");
}

/* Whose certificates: that of two contexts is compared as it is written, for the agent does not read
 * the secrets (Cilium's default: the proxy is told their names). */
static struct str read_tls(struct reading *r, const json_t *entry, const char *key)
{
	static const char *const keys[] = { "secret", "trustedCA", "certificate", "privateKey",
					    NULL };
	const json_t *tls = member_object(r, entry, key);
	AUTO_BUF struct buf name = buf_init(POLICY_TEXT_MAX);
	size_t at = step(r, key);

	if (tls) {
		const json_t *secret = member_object(r, tls, "secret");

		only(r, tls, keys);
		if (!secret)
			bad(r, "secret is missing");
		check_secret(r, tls);
		for (size_t i = 0; keys[i]; i++)
			if (strcmp(keys[i], "secret") != 0)
				(void)member_text(r, tls, keys[i]);
		struct str namespace_ = member_text(r, secret, "namespace");

		buf_str_put(&name, namespace_);
		if (namespace_.len)
			buf_char(&name, '/');
		buf_str_put(&name, member_text(r, secret, "name"));
	}
	back(r, at);
	return tls ? joined(r, &name) : STR("");
}

static void check_envoy_config(struct reading *r, const json_t *listener)
{
	static const char *const keys[] = { "kind", "name", NULL };
	const json_t *config = member_object(r, listener, "envoyConfig");
	size_t at = step(r, "envoyConfig");

	if (!config)
		bad(r, "it is missing");
	only(r, config, keys);
	need_text(r, config, "name");
	struct str kind = member_text(r, config, "kind");
	if (kind.p && !str_is(kind, "CiliumEnvoyConfig") &&
	    !str_is(kind, "CiliumClusterwideEnvoyConfig"))
		bad(r, "kind must be CiliumEnvoyConfig or CiliumClusterwideEnvoyConfig");
	back(r, at);
}

/* The listener's whole name: of a CiliumEnvoyConfig it begins with the policy's namespace. */
static struct str listener_name(struct reading *r, const json_t *listener, struct str namespace_)
{
	const json_t *config = member_object(r, listener, "envoyConfig");
	struct str name = member_text(r, listener, "name");
	struct str kind = member_text(r, config, "kind");
	AUTO_BUF struct buf b = buf_init(POLICY_TEXT_MAX);

	if (str_is(kind, "CiliumEnvoyConfig") && !namespace_.len)
		bad(r, "a clusterwide policy needs a CiliumClusterwideEnvoyConfig");
	if (str_is(kind, "CiliumClusterwideEnvoyConfig"))
		namespace_ = STR("");
	size_t slash = str_find(name, '/');
	if (slash == name.len || !str_eq(str_upto(name, slash), namespace_)) {
		buf_str_put(&b, namespace_);
		buf_char(&b, '/');
		buf_str_put(&b, member_text(r, config, "name"));
		buf_char(&b, '/');
	}
	buf_str_put(&b, name);
	return joined(r, &b);
}

/* @return its proxy */
static struct proxy read_listener(struct reading *r, const json_t *listener, struct str namespace_,
				  struct str *ret_name)
{
	enum { PRIORITY_MAX = 100 };
	static const char *const keys[] = { "envoyConfig", "name", "priority", NULL };
	struct proxy proxy = proxy_of(STR("crd"));
	const json_t *priority = json_object_get(listener, "priority");
	size_t at = step(r, "listener");

	only(r, listener, keys);
	check_envoy_config(r, listener);
	need_text(r, listener, "name");
	if (json_is_integer(priority) && json_integer_value(priority) >= 1 &&
	    json_integer_value(priority) <= PRIORITY_MAX)
		proxy.rank = (uint8_t)json_integer_value(priority);
	else if (priority && !json_is_null(priority))
		bad(r, "priority must be 1 to %d", PRIORITY_MAX);
	*ret_name = listener_name(r, listener, namespace_);
	back(r, at);
	return proxy;
}

static void check_server_names(struct reading *r, const json_t *names)
{
	size_t at = step(r, "serverNames");

	if (names && !json_array_size(names))
		bad(r, "at least one name");
	for (size_t i = 0; i < json_array_size(names) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		const json_t *name = json_array_get(names, i);

		if (!is_server_name(text_of(r, name)))
			bad(r, "it is no name of a server");
		for (size_t j = 0; j < i; j++)
			if (json_equal(json_array_get(names, j), name))
				bad(r, "it is there already");
		back(r, below);
	}
	back(r, at);
}

static const struct port_asks *keep_asks(struct reading *r, const struct port_asks *asks)
{
	if (!asks->listener.len && !asks->terminating.len && !asks->originating.len &&
	    !asks->within.len)
		return NULL;
	struct port_asks *own = room(r, sizeof *own);
	if (own)
		*own = *asks;
	return own;
}

static bool says_something(const json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;
	bool says = !json_is_object(json) && !json_is_array(json);

	/* jansson's iterators take what they do not change without const */
	json_object_foreach((json_t *)(uintptr_t)json, key, value) says |= says_something(value);
	json_array_foreach(json, i, value) says |= says_something(value);
	return says;
}

/* Rules that deny have ports only. What else is there, and says nothing, Cilium's own check of fields lets
 * pass, too. */
static void check_denied(struct reading *r, const json_t *entry)
{
	static const char *const keys[] = { "ports", NULL };
	const char *key;
	json_t *value;
	bool says = false;

	/* jansson's iterators take what they do not change without const */
	json_object_foreach((json_t *)(uintptr_t)entry, key, value) says |=
		strcmp(key, "ports") != 0 && says_something(value);
	if (says)
		only(r, entry, keys);
}

struct proxies read_proxies(struct reading *r, const json_t *entry, struct port_context where,
			    struct l7 *l7)
{
	struct proxies proxies = { { STR(""), 0 }, { STR(""), 0 }, NULL };
	struct port_asks asks = { STR(""), STR(""), STR(""), STR("") };

	*l7 = (struct l7){ .proxy = STR("") };
	if (where.deny) {
		check_denied(r, entry);
		return proxies;
	}
	json_t *names = member_array(r, entry, "serverNames");
	json_t *rules = member_object(r, entry, "rules");
	json_t *listener = member_object(r, entry, "listener");
	bool terminating = member_object(r, entry, "terminatingTLS");
	bool originating = member_object(r, entry, "originatingTLS");

	asks.terminating = read_tls(r, entry, "terminatingTLS");
	asks.originating = read_tls(r, entry, "originatingTLS");
	check_server_names(r, names);
	if (rules) {
		size_t at = step(r, "rules");
		*l7 = read_rules(r, rules);
		check_proxy(r, l7, where);
		back(r, at);
	}
	if (names && l7->any && !terminating)
		bad(r, "serverNames beside rules need terminatingTLS");
	if (listener && where.ingress)
		bad(r, "a listener is for egress only");
	if (listener && l7->any)
		bad(r, "a listener and rules for a proxy exclude each other");
	if (!terminating && (names || l7->any))
		asks.within = names ? STR("serverNames") : STR("rules");
	if (listener)
		proxies.other = read_listener(r, listener, where.namespace_, &asks.listener);
	else if (l7->dns)
		proxies.other = proxy_of(l7->proxy);
	else if (names || terminating || originating)
		proxies.other = proxy_of(STR("tls"));
	proxies.tcp = listener || !l7->proxy.len ? proxies.other : proxy_of(l7->proxy);
	proxies.asks = keep_asks(r, &asks);
	return proxies;
}
