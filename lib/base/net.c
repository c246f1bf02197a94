#include "base/net.h"

#include <arpa/inet.h>

bool address_is_unix(const char *address)
{
	return str_has_prefix(str_of(address), STR("unix:"));
}

bool address_is_local(const char *address)
{
	struct str whole = str_of(address), host = str_upto(whole, str_find_last(whole, ':'));
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;

	if (address_is_unix(address) || str_is(host, "localhost"))
		return true;
	if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
		host = str_n(host.p + 1, host.len - 2);
	if (!host.len || host.len >= sizeof text)
		return false;
	memcpy(text, host.p, host.len);
	text[host.len] = 0;
	if (inet_pton(AF_INET, text, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
	return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}
