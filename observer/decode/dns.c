#include "observer/decode/dns.h"

#include "flow/flow.h"
#include "flow/names.h"
#include "flow/wire.h"
#include "observer/decode/be.h"

enum {
	HEADER_BYTES = 12,
	NAME_WIRE_BYTES = 255, /* RFC 1035 §2.3.4, with length bytes and root */
	NAME_LABELS = 128,

	/* Second 16 bits of the header, RFC 1035 §4.1.1 and RFC 4035 §3.1.6. */
	FLAG_RESPONSE = 1 << 15,
	FLAG_OPCODE = 0xf << 11,
	FLAG_TRUNCATED = 1 << 9,
	FLAG_RESERVED = 1 << 6,
	FLAG_RCODE = 0xf,

	/* Types that are taken apart (IANA). */
	TYPE_A = 1,
	TYPE_CNAME = 5,
	TYPE_AAAA = 28,
	TYPE_OPT = 41,
	CLASS_IN = 1,
	CLASS_MASK = 0x7fff, /* without mDNS' cache-flush bit, RFC 6762 §10.2 */

	/* Field numbers of flow.proto: Flow, Layer7, DNS. */
	FIELD_L7 = 15,
	FIELD_TYPE = 1,
	FIELD_DNS = 100,
	FIELD_QUERY = 1,
	FIELD_IPS = 2,
	FIELD_TTL = 3,
	FIELD_CNAME = 4,
	FIELD_RCODE = 6,
	FIELD_QTYPES = 7,
	FIELD_RRTYPES = 8,
	L7_REQUEST = 1,
	L7_RESPONSE = 2,
};

/* A message and how far it is read. Sticky: once something was cut off, nothing more is read. */
struct reader {
	const uint8_t *p;
	size_t len; /* bytes of the message that are there */
	size_t at;
	bool cut;
};

static bool has(struct reader *r, size_t bytes)
{
	if (r->cut || bytes > r->len - r->at)
		r->cut = true;
	return !r->cut;
}

static uint16_t get16(struct reader *r)
{
	if (!has(r, 2))
		return 0;
	r->at += 2;
	return be16(r->p + r->at - 2);
}

static uint32_t get32(struct reader *r)
{
	if (!has(r, 4))
		return 0;
	r->at += 4;
	return be32(r->p + r->at - 4);
}

/* Text of one label, RFC 1035 §5.1: the characters that zone files give a meaning get a backslash.
 * At most four characters for each byte. @return characters written. */
static size_t label_text(const uint8_t *label, size_t len, char *out)
{
	static const char special[] = ". '@;()\"\\";
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = label[i];

		if (c < ' ' || c > '~') {
			out[n++] = '\\';
			out[n++] = (char)('0' + c / 100);
			out[n++] = (char)('0' + c / 10 % 10);
			out[n++] = (char)('0' + c % 10);
			continue;
		}
		if (memchr(special, c, sizeof special - 1))
			out[n++] = '\\';
		out[n++] = (char)c;
	}
	return n;
}

/* Reads the name at r->at and moves behind it. @out (DNS_TEXT_BYTES; NULL: skip it) gets its text.
 * @return false if it is malformed or cut off; r is then cut. A pointer must lead to before the
 * place where this stretch of labels began: so each jump goes further back, and the walk ends. */
static bool get_name(struct reader *r, char *out)
{
	size_t at = r->at, began = at, behind = 0, wire = 1, text = 0;

	for (int labels = 0; labels < NAME_LABELS && !r->cut && at < r->len;) {
		uint8_t len = r->p[at];

		if (len == 0) {
			if (out) {
				if (text == 0)
					out[text++] = '.'; /* the root itself */
				out[text] = '\0';
			}
			r->at = behind ? behind : at + 1;
			return true;
		}
		if (len >= 0xc0) {
			if (r->len - at < 2)
				break;
			size_t to = be16(r->p + at) & 0x3fff;
			if (to >= began)
				break;
			behind = behind ? behind : at + 2;
			at = began = to;
			continue;
		}
		/* 0x40 and 0x80 are reserved; RFC 6891 §5 gave up the one use there was. */
		if (len > 63 || len >= r->len - at || (wire += len + 1U) > NAME_WIRE_BYTES)
			break;
		if (out) {
			text += label_text(r->p + at + 1, len, out + text);
			out[text++] = '.';
		}
		at += len + 1U;
		labels++;
	}
	r->cut = true;
	return false;
}

/* The text of a name cannot outgrow its buffer: four characters for a byte, a dot for each length
 * byte. With k labels the text has at most 4 * (254 - k) + k characters, and 254 bytes need four
 * labels at least. */
_Static_assert(DNS_TEXT_BYTES == 4 * (NAME_WIRE_BYTES - 1 - 4) + 4 + 1, "the longest name fits");

static void keep_answer(struct dns_message *m, const uint8_t *ip, bool v4, uint32_t ttl_s)
{
	struct dns_answer *a = &m->answers[m->answer_count++];
	a->ttl_s = ttl_s;
	if (v4)
		ip_from_v4(a->ip, ip);
	else
		memcpy(a->ip, ip, 16);
}

/* One resource record (RFC 1035 §4.1.3) of the answer section, or of a later one, where only OPT
 * matters. */
static void read_record(struct reader *r, bool answer, struct dns_message *m)
{
	if (!get_name(r, NULL))
		return;

	uint16_t type = get16(r), class = get16(r);
	uint32_t ttl_s = get32(r);
	size_t bytes = get16(r);
	if (!has(r, bytes))
		return;

	size_t at = r->at;
	struct reader data = { r->p, at + bytes, at, false };
	r->at += bytes;
	if (type == TYPE_OPT) {
		/* RFC 6891 §6.1.3: the upper eight of twelve bits stand where other records have
		 * their TTL. */
		if (!answer)
			m->rcode |= (uint16_t)((ttl_s >> 24) << 4);
		return;
	}
	if (!answer)
		return;
	if (m->rrtype_count == 0 || ttl_s < m->ttl_s)
		m->ttl_s = ttl_s;
	m->rrtypes[m->rrtype_count++] = type; /* of DNS_RECORDS, as all that is kept */
	if ((class & CLASS_MASK) != CLASS_IN)
		return;
	if (type == TYPE_A && bytes == 4)
		keep_answer(m, data.p + data.at, true, ttl_s);
	else if (type == TYPE_AAAA && bytes == 16)
		keep_answer(m, data.p + data.at, false, ttl_s);
	else if (type == TYPE_CNAME && get_name(&data, NULL))
		m->cname_at[m->cname_count++] = (uint32_t)at;
}

bool dns_parse(struct str payload, bool tcp, struct dns_message *ret)
{
	struct reader r = { .p = (const uint8_t *)payload.p, .len = payload.len };
	bool cut_off = false;

	if (tcp) {
		size_t bytes = get16(&r);

		if (r.cut || bytes < HEADER_BYTES)
			return false;
		r.p += 2; /* pointers count from the message's first byte */
		r.len -= 2;
		r.at = 0;
		cut_off = bytes > r.len;
		r.len = cut_off ? r.len : bytes;
	}
	if (r.len < HEADER_BYTES)
		return false;

	uint16_t flags = be16(r.p + 2), questions = be16(r.p + 4), answers = be16(r.p + 6);
	size_t records = (size_t)answers + be16(r.p + 8) + be16(r.p + 10);

	if (questions != 1 || flags & (FLAG_OPCODE | FLAG_RESERVED))
		return false;
	r.at = HEADER_BYTES;

	/* Field by field: a message is large, and most of it stays unused. */
	ret->response = flags & FLAG_RESPONSE;
	ret->rcode = flags & FLAG_RCODE;
	ret->qtype_count = ret->rrtype_count = ret->answer_count = ret->cname_count = 0;
	ret->ttl_s = 0;
	if (!get_name(&r, ret->query))
		return false;

	uint16_t type = get16(&r);
	if (!r.cut)
		ret->qtypes[ret->qtype_count++] = type;
	(void)get16(&r); /* class */
	for (size_t i = 0; i < records && i < DNS_RECORDS && !r.cut; i++)
		read_record(&r, i < answers, ret);
	ret->cut = r.cut || cut_off || records > DNS_RECORDS;
	ret->truncated = flags & FLAG_TRUNCATED || ret->cut;
	ret->bytes = str_n((const char *)r.p, r.len);
	return true;
}

void dns_cname(const struct dns_message *m, size_t i, char out[DNS_TEXT_BYTES])
{
	struct reader r = { (const uint8_t *)m->bytes.p, m->bytes.len, m->cname_at[i], false };

	if (!get_name(&r, out)) /* read_record has seen that it is one */
		*out = '\0';
}

static void put_types(struct buf *b, uint32_t field, const uint16_t *types, size_t n)
{
	for (size_t i = 0; i < n; i++)
		wire_put_len(b, field, str_of(dns_type_text(types[i])));
}

void dns_put_l7(struct buf *b, const struct dns_message *m)
{
	size_t l7 = wire_begin(b, FIELD_L7);

	wire_put_u64(b, FIELD_TYPE, m->response ? L7_RESPONSE : L7_REQUEST);

	/* observation_source stays empty: seen on the wire, not by a proxy. */
	size_t dns = wire_begin(b, FIELD_DNS);
	wire_put_str(b, FIELD_QUERY, str_of(m->query));
	if (m->response) {
		for (size_t i = 0; i < m->answer_count; i++)
			wire_put_len(b, FIELD_IPS,
				     ip_text(m->answers[i].ip, (char[FLOW_IP_TEXT_BYTES]){ 0 }));
		wire_put_u64(b, FIELD_TTL, m->ttl_s);
		for (size_t i = 0; i < m->cname_count; i++) {
			char name[DNS_TEXT_BYTES];
			dns_cname(m, i, name);
			wire_put_len(b, FIELD_CNAME, str_of(name));
		}
		wire_put_u64(b, FIELD_RCODE, m->rcode);
	}
	put_types(b, FIELD_QTYPES, m->qtypes, m->qtype_count);
	if (m->response)
		put_types(b, FIELD_RRTYPES, m->rrtypes, m->rrtype_count);
	wire_end(b, dns);
	wire_end(b, l7);
}
