#include "filter/netip.h"

#include "base/gotext.h"

/* What is wrong with an address: a sentence and, where the reference says so, the rest of the text
 * from there on. */
struct fault {
	const char *what;
	struct str at;
};

static struct fault fault(const char *what)
{
	return (struct fault){ .what = what };
}

static struct fault fault_at(const char *what, struct str at)
{
	return (struct fault){ .what = what, .at = at };
}

static struct fault no_fault(void)
{
	return (struct fault){ .what = NULL };
}

static struct fault parse_v4(struct str s, uint8_t ret[4])
{
	unsigned value = 0, digits = 0, field = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9') {
			if (digits == 1 && value == 0)
				return fault("IPv4 field has octet with leading zero");
			value = value * 10 + (unsigned)(c - '0');
			digits++;
			if (value > 255)
				return fault("IPv4 field has value >255");
		} else if (c == '.') {
			if (i == 0 || i == s.len - 1 || s.p[i - 1] == '.')
				return fault_at("IPv4 field must have at least one digit",
						str_from(s, i));
			if (field == 3)
				return fault("IPv4 address too long");
			ret[field++] = (uint8_t)value;
			value = digits = 0;
		} else {
			return fault_at("unexpected character", str_from(s, i));
		}
	}
	if (field < 3)
		return fault("IPv4 address too short");
	ret[3] = (uint8_t)value;
	return no_fault();
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static struct fault parse_v6(struct str s, struct netip *ret)
{
	uint8_t ip[16] = { 0 };
	size_t zone = str_find(s, '%'), used = 0;
	int ellipsis = -1; /* byte where "::" stands */

	if (zone < s.len) {
		if (zone + 1 == s.len)
			return fault("zone must be a non-empty string");
		ret->has_zone = true;
		s = str_upto(s, zone);
	}
	if (str_has_prefix(s, STR("::"))) {
		ellipsis = 0;
		s = str_from(s, 2);
	}
	while (s.len && used < sizeof ip) {
		size_t len = 0;
		uint32_t value = 0;

		for (; len < s.len && hex_digit(s.p[len]) >= 0; len++) {
			value = value << 4 | (uint32_t)hex_digit(s.p[len]);
			if (len > 3)
				return fault_at("each group must have 4 or less digits", s);
		}
		if (len == 0)
			return fault_at("each colon-separated field must have at least one digit",
					s);
		if (len < s.len && s.p[len] == '.') {
			if (ellipsis < 0 && used != 12)
				return fault_at("embedded IPv4 address must replace the final 2 "
						"fields of the address",
						s);
			if (used + 4 > sizeof ip)
				return fault_at("too many hex fields to fit an embedded IPv4 at "
						"the end of the address",
						s);
			struct fault f = parse_v4(s, ip + used);
			if (f.what)
				return f;
			s = str_from(s, s.len);
			used += 4;
			break;
		}
		ip[used++] = (uint8_t)(value >> 8);
		ip[used++] = (uint8_t)value;
		s = str_from(s, len);
		if (!s.len)
			break;
		if (s.p[0] != ':')
			return fault_at("unexpected character, want colon", s);
		if (s.len == 1)
			return fault_at("colon must be followed by more characters", s);
		s = str_from(s, 1);
		if (s.p[0] == ':') {
			if (ellipsis >= 0)
				return fault_at("multiple :: in address", s);
			ellipsis = (int)used;
			s = str_from(s, 1);
		}
	}
	if (s.len)
		return fault_at("trailing garbage after address", s);
	if (used < sizeof ip) {
		if (ellipsis < 0)
			return fault("address string too short");
		size_t tail = used - (size_t)ellipsis;
		memmove(ip + sizeof ip - tail, ip + ellipsis, tail);
		memset(ip + ellipsis, 0, sizeof ip - used);
	} else if (ellipsis >= 0) {
		return fault("the :: must expand to at least one field of zeros");
	}
	memcpy(ret->ip, ip, sizeof ip);
	return no_fault();
}

static struct fault parse_any(struct str s, struct netip *ret)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '.') {
			*ret = (struct netip){ .ip = { [10] = 0xff, [11] = 0xff }, .is_v4 = true };
			return parse_v4(s, ret->ip + 12);
		}
		if (s.p[i] == ':') {
			*ret = (struct netip){ .is_v4 = false };
			return parse_v6(s, ret);
		}
		if (s.p[i] == '%')
			return fault("missing IPv6 address");
	}
	return fault("unable to parse IP");
}

enum err_code netip_parse(struct str s, struct netip *ret, struct err *e)
{
	struct netip ip;
	struct fault f = parse_any(s, &ip);

	if (f.what && f.at.len)
		return err_set(e, ERR_INVALID, "ParseAddr(%s): %s (at %s)", GO_QUOTE(s), f.what,
			       GO_QUOTE(f.at));
	if (f.what)
		return err_set(e, ERR_INVALID, "ParseAddr(%s): %s", GO_QUOTE(s), f.what);
	*ret = ip;
	return ERR_OK;
}

enum err_code netip_prefix_parse(struct str s, struct netip_prefix *ret, struct err *e)
{
	size_t slash = str_find_last(s, '/');
	struct str digits = str_from(s, slash + 1);
	struct netip_prefix p = { 0 };
	uint64_t bits;

	if (slash == s.len)
		return err_set(e, ERR_INVALID, "netip.ParsePrefix(%s): no '/'", GO_QUOTE(s));
	if (netip_parse(str_upto(s, slash), &p.addr, e) != ERR_OK)
		return err_in(e, "netip.ParsePrefix(%s)", GO_QUOTE(s));
	if (p.addr.has_zone)
		return err_set(e, ERR_INVALID,
			       "netip.ParsePrefix(%s): IPv6 zones cannot be present in a prefix",
			       GO_QUOTE(s));
	if ((digits.len > 1 && digits.p[0] == '0') || !parse_u64(digits, INT64_MAX, &bits))
		return err_set(e, ERR_INVALID, "netip.ParsePrefix(%s): bad bits after slash: %s",
			       GO_QUOTE(s), GO_QUOTE(digits));
	if (bits > (p.addr.is_v4 ? 32 : 128))
		return err_set(e, ERR_INVALID, "netip.ParsePrefix(%s): prefix length out of range",
			       GO_QUOTE(s));
	p.bits = (unsigned)bits;
	*ret = p;
	return ERR_OK;
}

bool netip_prefix_contains(const struct netip_prefix *p, const struct netip *a)
{
	if (a->has_zone || a->is_v4 != p->addr.is_v4)
		return false;
	unsigned bits = p->bits + (a->is_v4 ? 96 : 0);
	if (memcmp(p->addr.ip, a->ip, bits / 8) != 0)
		return false;
	return bits % 8 == 0 ||
	       ((p->addr.ip[bits / 8] ^ a->ip[bits / 8]) & (0xff00u >> bits % 8) & 0xff) == 0;
}
