#include "ui-server/guard.h"

#include "flow/flow.h"

bool ui_host_name(struct str host, struct str *ret_name)
{
	struct str name = host, port = { 0 };

	if (host.len && host.p[0] == '[') {
		size_t end = str_find(host, ']');
		uint8_t ip[16];
		if (end == host.len)
			return false;
		name = str_n(host.p + 1, end - 1);
		port = str_from(host, end + 1);
		if ((port.len && port.p[0] != ':') || !ip_parse(name, ip) || ip_is_v4(ip))
			return false;
	} else {
		name = str_upto(host, str_find(host, ':'));
		port = str_from(host, name.len);
	}
	uint16_t number;
	if (!name.len || (port.len && !parse_u16(str_from(port, 1), &number)))
		return false;
	*ret_name = name;
	return true;
}

bool ui_host_is_ours(struct str host, const struct ui_names *ours)
{
	struct str name;
	uint8_t ip[16];

	if (!ui_host_name(host, &name))
		return false;
	if (ip_parse(name, ip) || str_eq_nocase(name, STR("localhost")))
		return true;
	for (size_t i = 0; i < ours->count; i++)
		if (str_eq_nocase(name, str_of(ours->names[i])))
			return true;
	return false;
}

bool ui_origin_is_ours(struct str origin, struct str host, const struct ui_names *ours, bool tls)
{
	struct str scheme = tls ? STR("https://") : STR("http://");

	return str_has_prefix(origin, scheme) &&
	       str_eq_nocase(str_from(origin, scheme.len), host) && ui_host_is_ours(host, ours);
}
