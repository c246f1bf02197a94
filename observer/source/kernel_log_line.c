/*
 * Lines of netfilter's LOG: net/netfilter/nf_log_syslog.c (dump_ipv4_packet, dump_ipv6_packet,
 * nf_log_dump_tcp_header, nf_log_dump_packet_common).
 */
#include <netinet/in.h>

#include "flow/flow.h"
#include "base/net.h"
#include "observer/source/kernel_log.h"

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd };
enum { IPV4_BYTES = 20, IPV6_BYTES = 40, TCP_BYTES = 20, UDP_BYTES = 8, SCTP_BYTES = 12 };

bool kernel_log_head(struct str record, uint64_t *ret_sequence, bool *ret_kernel,
		     struct str *ret_message)
{
	enum { FACILITY_SHIFT = 3 };
	size_t end = str_find(record, ';');
	struct str head = str_upto(record, end), pri, sequence;
	uint64_t priority;

	if (end == record.len || !str_split(&head, ',', &pri) ||
	    !str_split(&head, ',', &sequence) || !parse_u64(pri, UINT32_MAX, &priority) ||
	    !parse_u64(sequence, UINT64_MAX, ret_sequence))
		return false;
	*ret_kernel = priority >> FACILITY_SHIFT == 0;
	*ret_message = str_from(record, end + 1);
	return true;
}

/* What the words say; "" or 0 where they do not. */
struct words {
	struct str src, dst, proto;
	uint32_t length;
	uint16_t src_port, dst_port, fragment;
	uint8_t ttl, type, code, flags;
	bool has_ports, has_type;
};

static bool take(struct str word, const char *key, struct str *ret)
{
	struct str k = str_of(key);

	if (!str_has_prefix(word, k))
		return false;
	*ret = str_from(word, k.len);
	return true;
}

static void take_flag(struct str word, struct words *w)
{
	static const struct {
		const char *name;
		uint8_t bit;
	} flags[] = { { "FIN", 1 },  { "SYN", 2 },  { "RST", 4 },  { "PSH", 8 },
		      { "ACK", 16 }, { "URG", 32 }, { "ECE", 64 }, { "CWR", 128 } };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (str_is(word, flags[i].name))
			w->flags |= flags[i].bit;
}

/* The first of each counts: UDP has a LEN of its own, and so has what ICMP errors carry. */
static void take_word(struct str word, struct words *w)
{
	struct str v;
	uint16_t port;

	if (!w->src.len && take(word, "SRC=", &v))
		w->src = v;
	else if (!w->dst.len && take(word, "DST=", &v))
		w->dst = v;
	else if (!w->length && take(word, "LEN=", &v))
		(void)parse_u32(v, &w->length);
	else if (take(word, "TTL=", &v) || take(word, "HOPLIMIT=", &v))
		(void)parse_u8(v, &w->ttl);
	else if (take(word, "FRAG:", &v))
		(void)parse_u16(v, &w->fragment);
	else if (!w->proto.len && take(word, "PROTO=", &v))
		w->proto = v;
	else if (take(word, "SPT=", &v) && parse_u16(v, &port))
		w->src_port = port;
	else if (take(word, "DPT=", &v) && parse_u16(v, &port)) {
		w->dst_port = port;
		w->has_ports = true;
	} else if (take(word, "TYPE=", &v))
		w->has_type = parse_u8(v, &w->type);
	else if (take(word, "CODE=", &v))
		(void)parse_u8(v, &w->code);
	else
		take_flag(word, w);
}

/* Where "IN=… OUT=" begins: a prefix may hold an IN= of its own. */
static bool split_prefix(struct str message, struct kernel_log_line *ret, struct str *ret_rest)
{
	static const char in[] = "IN=", out[] = "OUT=";

	for (size_t at = 0; at + sizeof in < message.len; at++) {
		struct str rest = str_from(message, at), word;
		if (!str_has_prefix(rest, STR("IN=")))
			continue;
		if (!str_split(&rest, ' ', &word) || !rest.p || !str_has_prefix(rest, str_of(out)))
			continue;
		ret->prefix = str_upto(message, at);
		ret->in = str_from(word, sizeof in - 1);
		(void)str_split(&rest, ' ', &word);
		ret->out = str_from(word, sizeof out - 1);
		*ret_rest = rest;
		return rest.p;
	}
	return false;
}

static int protocol_of(struct str name)
{
	static const struct {
		const char *name;
		uint8_t number;
	} names[] = { { "TCP", IPPROTO_TCP },   { "UDP", IPPROTO_UDP },
		      { "ICMP", IPPROTO_ICMP }, { "ICMPv6", IPPROTO_ICMPV6 },
		      { "SCTP", IPPROTO_SCTP }, { "UDPLITE", IPPROTO_UDPLITE },
		      { "AH", IPPROTO_AH },     { "ESP", IPPROTO_ESP } };
	uint8_t number;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_is(name, names[i].name))
			return names[i].number;
	return parse_u8(name, &number) ? number : -1;
}

static void put_u16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* @return bytes. */
static size_t put_transport(uint8_t *p, int protocol, const struct words *w)
{
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
		p[0] = w->type;
		p[1] = w->code;
		return w->has_type ? UDP_BYTES : 0;
	}
	if (!w->has_ports)
		return 0;
	put_u16(p, w->src_port);
	put_u16(p + 2, w->dst_port);
	if (protocol == IPPROTO_TCP) {
		p[12] = TCP_BYTES / 4 << 4;
		p[13] = w->flags;
		return TCP_BYTES;
	}
	if (protocol == IPPROTO_SCTP)
		return SCTP_BYTES;
	put_u16(p + 4, UDP_BYTES);
	return UDP_BYTES;
}

/* The headers that the words tell of. */
static bool make_packet(const struct words *w, struct kernel_log_line *ret)
{
	uint8_t src[16], dst[16], *p = ret->packet;
	int protocol = protocol_of(w->proto);

	if (protocol < 0 || !ip_parse(w->src, src) || !ip_parse(w->dst, dst))
		return false;
	memset(p, 0, sizeof ret->packet);
	bool v6 = str_find(w->src, ':') < w->src.len;
	if (v6 != (str_find(w->dst, ':') < w->dst.len))
		return false;
	ret->ethertype = v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
	size_t head = v6 ? IPV6_BYTES : IPV4_BYTES;
	if (w->fragment && v6)
		return false; /* its place in the packet is not told fully */
	size_t bytes = head + (w->fragment ? 0 : put_transport(p + head, protocol, w));
	if (v6) {
		p[0] = 6 << 4;
		put_u16(p + 4, (uint32_t)(bytes - head));
		p[6] = (uint8_t)protocol;
		p[7] = w->ttl;
		memcpy(p + 8, src, 16);
		memcpy(p + 24, dst, 16);
	} else {
		p[0] = 4 << 4 | IPV4_BYTES / 4;
		put_u16(p + 2, (uint32_t)bytes);
		put_u16(p + 6, w->fragment & 0x1fff);
		p[8] = w->ttl;
		p[9] = (uint8_t)protocol;
		memcpy(p + 12, src + 12, 4);
		memcpy(p + 16, dst + 12, 4);
	}
	ret->packet_bytes = bytes;
	ret->length_bytes = w->length > bytes ? w->length : (uint32_t)bytes;
	return true;
}

bool kernel_log_read(struct str message, struct kernel_log_line *ret)
{
	struct words w = { .src = STR("") };
	struct str rest, word;

	if (!split_prefix(message, ret, &rest))
		return false;
	while (str_split(&rest, ' ', &word)) {
		if (word.len && word.p[0] == '[') /* what an ICMP error is about */
			break;
		take_word(word, &w);
	}
	return make_packet(&w, ret);
}
