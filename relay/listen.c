#include "relay/listen.h"

#include "flow/flow.h"

bool listen_is_unix(const char *address)
{
	return str_has_prefix(str_of(address), STR("unix:"));
}

bool listen_is_local(const char *address)
{
	static const uint8_t loopback6[16] = { [15] = 1 };
	struct str host = str_upto(str_of(address), str_find_last(str_of(address), ':'));
	uint8_t ip[16];

	if (listen_is_unix(address) || str_is(host, "localhost"))
		return true;
	if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
		host = str_n(host.p + 1, host.len - 2);
	if (!ip_parse(host, ip))
		return false;
	return ip_is_v4(ip) ? ip[12] == 127 : memcmp(ip, loopback6, sizeof ip) == 0;
}
