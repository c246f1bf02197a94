#include "evidence/redact.h"

#include "chain/sha256.h"
#include "evidence/text.h"
#include "flow/fields.h"
#include "flow/wire.h"

enum { TOKEN_BYTES = 8 };

static const struct {
	unsigned class_;
	const char *name, *words;
} classes_known[] = { { REDACT_IP, "ip", "addresses" },
		      { REDACT_LABELS, "labels", "labels" },
		      { REDACT_DNS, "dns", "DNS names" } };

unsigned redact_class(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(classes_known); i++)
		if (str_is(name, classes_known[i].name))
			return classes_known[i].class_;
	return 0;
}

void redact_put_json(struct buf *b, unsigned classes)
{
	bool first = true;

	buf_char(b, '[');
	for (size_t i = 0; i < ARRAY_LEN(classes_known); i++) {
		if (!(classes & classes_known[i].class_))
			continue;
		buf_printf(b, "%s\"%s\"", first ? "" : ",", classes_known[i].name);
		first = false;
	}
	buf_char(b, ']');
}

void redact_put_words(struct buf *b, unsigned classes)
{
	bool first = true;

	for (size_t i = 0; i < ARRAY_LEN(classes_known); i++) {
		if (!(classes & classes_known[i].class_))
			continue;
		buf_printf(b, "%s%s", first ? "" : ", ", classes_known[i].words);
		first = false;
	}
}

struct redact_key redact_key_of(const struct chain_secret *store, struct str nonce)
{
	AUTO_BUF struct buf b = buf_init(1024);
	struct redact_key k;

	buf_lit(&b, "tycho redact");
	buf_str_put(&b, str_upto(nonce, 256));
	sha256_hmac(str_n(store->v, sizeof store->v), buf_str(&b), k.v);
	return k;
}

bool redact_withholds(unsigned classes, enum chain_part part)
{
	switch (part) {
	case CHAIN_ADDRESSES:
		return classes & REDACT_IP;
	case CHAIN_SOURCE_LABELS:
	case CHAIN_DESTINATION_LABELS:
		return classes & REDACT_ALL;
	case CHAIN_DNS:
		return classes & (REDACT_IP | REDACT_DNS);
	case CHAIN_CORE:
	case CHAIN_PARTS_:
		break;
	}
	return false;
}

/* --- rewriting --- */

enum kind { TOP, ETHERNET, IP, TUNNEL, ENDPOINT, L7, DNS };
enum action { KEEP, INTO, ADDRESS, NAME, LABEL };

/* What happens to the fields of these messages. Those that are not listed are left out. */
static const struct rule {
	uint8_t kind;
	uint32_t field;
	uint8_t action;
	uint8_t into;
} rules[] = {
	{ TOP, FLOW_FIELD_ETHERNET, INTO, ETHERNET },
	{ TOP, FLOW_FIELD_IP, INTO, IP },
	{ TOP, FLOW_FIELD_TUNNEL, INTO, TUNNEL },
	{ TOP, FLOW_FIELD_SOURCE, INTO, ENDPOINT },
	{ TOP, FLOW_FIELD_DESTINATION, INTO, ENDPOINT },
	{ TOP, FLOW_FIELD_SOURCE_NAMES, NAME, 0 },
	{ TOP, FLOW_FIELD_DESTINATION_NAMES, NAME, 0 },
	{ TOP, FLOW_FIELD_L7, INTO, L7 },
	{ ETHERNET, 1, ADDRESS, 0 }, /* source */
	{ ETHERNET, 2, ADDRESS, 0 }, /* destination */
	{ IP, 1, ADDRESS, 0 },       /* source */
	{ IP, 2, ADDRESS, 0 },       /* destination */
	{ IP, 3, KEEP, 0 },          /* ipVersion */
	{ IP, 4, KEEP, 0 },          /* encrypted */
	{ IP, 5, ADDRESS, 0 },       /* source_xlated */
	{ TUNNEL, 1, KEEP, 0 },      /* protocol */
	{ TUNNEL, 2, INTO, IP },
	{ TUNNEL, 4, KEEP, 0 }, /* vni */
	{ ENDPOINT, ENDPOINT_FIELD_LABELS, LABEL, 0 },
	{ L7, 1, KEEP, 0 }, /* type */
	{ L7, 2, KEEP, 0 }, /* latency_ns */
	{ L7, L7_FIELD_DNS, INTO, DNS },
	{ DNS, 1, NAME, 0 },    /* query */
	{ DNS, 2, ADDRESS, 0 }, /* ips */
	{ DNS, 3, KEEP, 0 },    /* ttl */
	{ DNS, 4, NAME, 0 },    /* cnames */
	{ DNS, 5, KEEP, 0 },    /* observation_source */
	{ DNS, 6, KEEP, 0 },    /* rcode */
	{ DNS, 7, KEEP, 0 },    /* qtypes */
	{ DNS, 8, KEEP, 0 },    /* rrtypes */
};

struct redactor {
	const struct redact_key *key;
	unsigned classes;
	struct buf *out;
};

static const struct rule *rule_of(enum kind kind, uint32_t field)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].kind == kind && rules[i].field == field)
			return &rules[i];
	return NULL;
}

/* ~ and 16 hex digits; nothing of nothing. */
static void put_token(const struct redactor *r, char class_, struct str value)
{
	AUTO_BUF struct buf b = buf_init(value.len + 1);
	uint8_t sum[32];

	if (!value.len)
		return;
	buf_char(&b, class_);
	buf_str_put(&b, value);
	if (b.failed) {
		r->out->failed = true;
		return;
	}
	sha256_hmac(str_n(r->key->v, sizeof r->key->v), buf_str(&b), sum);
	buf_char(r->out, '~');
	hex_put(r->out, str_n(sum, TOKEN_BYTES));
}

static void put_value(const struct redactor *r, uint32_t field, char class_, struct str value)
{
	size_t mark = wire_begin(r->out, field);

	put_token(r, class_, value);
	wire_end(r->out, mark);
}

/* "k8s:app=shop", "reserved:world", "cidr:10.0.0.0/8", "fqdn:*.example.com" */
static void put_label(const struct redactor *r, uint32_t field, struct str label)
{
	bool is_cidr =
		str_has_prefix(label, STR("cidr")) && (r->classes & (REDACT_IP | REDACT_LABELS));
	bool is_fqdn =
		str_has_prefix(label, STR("fqdn:")) && (r->classes & (REDACT_DNS | REDACT_LABELS));
	size_t source = str_find(label, ':'), equals = str_find(label, '=');
	size_t keep = 0;

	if (is_cidr || is_fqdn)
		keep = source < label.len ? source + 1 : 0;
	else if (!(r->classes & REDACT_LABELS) || str_has_prefix(label, STR("reserved:")))
		keep = label.len;
	else if (equals < label.len)
		keep = equals + 1;
	else
		keep = source < label.len ? source + 1 : 0;
	size_t mark = wire_begin(r->out, field);
	buf_str_put(r->out, str_upto(label, keep));
	put_token(r, 'l', str_from(label, keep));
	wire_end(r->out, mark);
}

/* Depth is that of the rules: nothing here follows the bytes. */
static void rewrite(const struct redactor *r, enum kind kind, struct str message)
{
	struct wire_reader reader = wire_reader_of(message);

	for (struct wire_field x; wire_next(&reader, &x);) {
		const struct rule *rule = rule_of(kind, x.number);
		if (!rule)
			continue;
		if (rule->action == KEEP) {
			buf_str_put(r->out, x.raw);
		} else if (x.type != WIRE_LEN) {
			continue;
		} else if (rule->action == INTO) {
			size_t mark = wire_begin(r->out, x.number);
			rewrite(r, rule->into, x.bytes);
			wire_end(r->out, mark);
		} else if (rule->action == ADDRESS && r->classes & REDACT_IP) {
			put_value(r, x.number, 'a', x.bytes);
		} else if (rule->action == NAME && r->classes & REDACT_DNS) {
			put_value(r, x.number, 'n', x.bytes);
		} else if (rule->action == LABEL) {
			put_label(r, x.number, x.bytes);
		} else {
			buf_str_put(r->out, x.raw);
		}
	}
}

void redact_part(struct buf *b, const struct redact_key *key, unsigned classes, struct str bytes)
{
	const struct redactor r = { key, classes, b };

	rewrite(&r, TOP, bytes);
}

/* --- items --- */

void redact_shown_init(struct sha256 *s)
{
	sha256_init(s);
}

void redact_shown_put(struct sha256 *s, enum chain_part part, struct str shown)
{
	const uint8_t head[5] = { (uint8_t)part, (uint8_t)(shown.len >> 24),
				  (uint8_t)(shown.len >> 16), (uint8_t)(shown.len >> 8),
				  (uint8_t)shown.len };

	sha256_put(s, str_n(head, sizeof head));
	sha256_put(s, shown);
}

struct chain_hash redact_item(const struct chain_hash *leaf, const struct chain_hash *shown)
{
	uint8_t bytes[1 + 2 * SHA256_BYTES] = { 0x04 };
	struct chain_hash h;

	memcpy(bytes + 1, leaf->v, SHA256_BYTES);
	memcpy(bytes + 1 + SHA256_BYTES, shown->v, SHA256_BYTES);
	sha256(str_n(bytes, sizeof bytes), h.v);
	return h;
}
