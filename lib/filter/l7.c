#include "filter/l7.h"

#include "flow/fields.h"
#include "flow/wire.h"

enum { L7_DNS_FIELD = 100, L7_HTTP_FIELD = 101, L7_KAFKA_FIELD = 102 };

struct l7 l7_of(const struct flow *f)
{
	struct l7 l7 = { .kind = L7_NONE };
	struct str message;
	struct wire_field field;

	if (!flow_is(f, FLOW_HAS_L7) ||
	    !wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_L7, &message))
		return l7;
	for (struct wire_reader r = wire_reader_of(message); wire_next(&r, &field);) {
		if (field.type != WIRE_LEN || field.number < L7_DNS_FIELD ||
		    field.number > L7_KAFKA_FIELD)
			continue;
		/* of a oneof the last member counts */
		l7.kind = field.number == L7_DNS_FIELD    ? L7_DNS
			  : field.number == L7_HTTP_FIELD ? L7_HTTP
							  : L7_KAFKA;
		l7.record = field.bytes;
	}
	return l7;
}

bool l7_http(const struct flow *f, struct l7_http *ret)
{
	enum { CODE = 1, METHOD = 2, URL = 3 };
	struct l7 l7 = l7_of(f);
	struct wire_field field;

	if (l7.kind != L7_HTTP)
		return false;
	*ret = (struct l7_http){ .record = l7.record };
	for (struct wire_reader r = wire_reader_of(l7.record); wire_next(&r, &field);) {
		if (field.number == CODE && field.type == WIRE_VARINT)
			ret->code = (uint32_t)field.value;
		else if (field.number == METHOD && field.type == WIRE_LEN)
			ret->method = field.bytes;
		else if (field.number == URL && field.type == WIRE_LEN)
			ret->url = field.bytes;
	}
	return true;
}

bool l7_http_header(struct str *from, struct str *ret_key, struct str *ret_value)
{
	enum { HEADERS = 5, KEY = 1, VALUE = 2 };
	struct wire_reader r = wire_reader_of(*from);
	struct wire_field field;

	while (wire_next(&r, &field)) {
		if (field.number != HEADERS || field.type != WIRE_LEN)
			continue;
		*ret_key = *ret_value = STR("");
		for (struct wire_reader h = wire_reader_of(field.bytes); wire_next(&h, &field);) {
			if (field.type == WIRE_LEN && field.number == KEY)
				*ret_key = field.bytes;
			else if (field.type == WIRE_LEN && field.number == VALUE)
				*ret_value = field.bytes;
		}
		*from = str_n(r.p, (size_t)(r.end - r.p));
		return true;
	}
	return false;
}

bool l7_dns_query(const struct flow *f, struct str *ret)
{
	enum { QUERY = 1 };
	struct l7 l7 = l7_of(f);
	struct wire_field field;

	if (l7.kind != L7_DNS)
		return false;
	*ret = STR("");
	for (struct wire_reader r = wire_reader_of(l7.record); wire_next(&r, &field);)
		if (field.number == QUERY && field.type == WIRE_LEN)
			*ret = field.bytes;
	return true;
}
