#include "rpc/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

static enum err_code refuse(struct str text, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "address '%s': %s; expected host:port, tls://host:port or unix:///path",
		       EXCERPT(text), why);
}

static enum err_code parse_unix(struct str text, struct str path, struct address *ret,
				struct err *e)
{
	if (path.len == 0 || memchr(path.p, 0, path.len))
		return refuse(text, "no path", e);
	if (path.len >= sizeof ret->path)
		return err_set(e, ERR_INVALID,
			       "address '%s': a socket's path has at most %zu bytes", EXCERPT(text),
			       sizeof ret->path - 1);
	*ret = (struct address){ .is_unix = true };
	memcpy(ret->path, path.p, path.len);
	return ERR_OK;
}

enum err_code address_parse(struct str text, struct address *ret, struct err *e)
{
	if (str_has_prefix(text, STR("unix://")))
		return parse_unix(text, str_from(text, 7), ret, e);
	if (str_has_prefix(text, STR("unix:")))
		return parse_unix(text, str_from(text, 5), ret, e);

	struct address a = { .is_tls = str_has_prefix(text, STR("tls://")) };
	struct str rest = str_from(text, a.is_tls ? 6 : 0);
	size_t colon = str_find_last(rest, ':');
	if (colon == rest.len || (rest.p[0] == '[' && rest.p[rest.len - 1] == ']'))
		return refuse(text, "missing port in address", e);
	struct str host = str_upto(rest, colon);
	if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
		host = str_from(str_upto(host, host.len - 1), 1);
	else if (str_find(host, ':') != host.len)
		return refuse(text, "too many colons in address", e);
	if (!parse_u16(str_from(rest, colon + 1), &a.port))
		return refuse(text, "not a port", e);
	if (host.len >= sizeof a.host)
		return refuse(text, "host too long", e);
	for (size_t i = 0; i < host.len; i++)
		if (host.p[i] <= ' ' || host.p[i] == '/' || host.p[i] == 0x7f)
			return refuse(text, "not a host", e);
	if (host.len)
		memcpy(a.host, host.p, host.len);
	*ret = a;
	return ERR_OK;
}

/* gRPC reads addresses as URIs: what is not a plain path character is written %XX. */
static void put_path(const char *path, char *out, size_t size)
{
	size_t n = 0;

	for (; *path && n + 4 < size; path++) {
		unsigned char c = (unsigned char)*path;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || (c && strchr("/._~-", c));
		n += (size_t)snprintf(out + n, size - n, plain ? "%c" : "%%%02X", c);
	}
	out[n] = 0;
}

static int family_of(const char *host)
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET, host, bytes) == 1)
		return AF_INET;
	/* A zone ("fe80::1%eth0") is not inet_pton's to read; only IPv6 has colons. */
	return strchr(host, ':') ? AF_INET6 : AF_UNSPEC;
}

void address_target(const struct address *a, char out[static ADDRESS_TARGET_BYTES])
{
	const char *host = *a->host ? a->host : "localhost";

	if (a->is_unix) {
		memcpy(out, "unix:", 5);
		put_path(a->path, out + 5, ADDRESS_TARGET_BYTES - 5);
		return;
	}
	switch (family_of(host)) {
	case AF_INET:
		(void)snprintf(out, ADDRESS_TARGET_BYTES, "ipv4:%s:%u", host, a->port);
		return;
	case AF_INET6: {
		/* '[', ']' and the zone's '%' are not URI characters. */
		const char *zone = strchr(host, '%');
		int len = zone ? (int)(zone - host) : (int)strlen(host);
		(void)snprintf(out, ADDRESS_TARGET_BYTES, "ipv6:%%5B%.*s%s%s%%5D:%u", len, host,
			       zone ? "%25" : "", zone ? zone + 1 : "", a->port);
		return;
	}
	default:
		(void)snprintf(out, ADDRESS_TARGET_BYTES, "dns:///%s:%u", host, a->port);
	}
}

void address_port_name(const struct address *a, char out[static ADDRESS_TARGET_BYTES])
{
	if (a->is_unix)
		address_target(a, out);
	else
		(void)snprintf(out, ADDRESS_TARGET_BYTES,
			       strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, a->port);
}

enum err_code address_resolve(const struct address *a, struct address *out, size_t max,
			      size_t *ret_count, struct err *e)
{
	if (a->is_unix || max == 0) {
		if (max)
			out[0] = *a;
		*ret_count = max ? 1 : 0;
		return ERR_OK;
	}
	if (!*a->host) {
		/* gRPC turns the IPv6 wildcard into one socket for both families, where there is
		 * IPv6. */
		AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		out[0] = *a;
		(void)snprintf(out[0].host, sizeof out[0].host, fd >= 0 ? "::" : "0.0.0.0");
		*ret_count = 1;
		return ERR_OK;
	}
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list;
	int failed = getaddrinfo(a->host, NULL, &hints, &list);
	if (failed)
		return err_set(e, ERR_NOT_FOUND, "lookup %s: %s", a->host, gai_strerror(failed));
	size_t n = 0;
	for (const struct addrinfo *ai = list; ai && n < max; ai = ai->ai_next) {
		struct address numeric = *a;
		if (getnameinfo(ai->ai_addr, ai->ai_addrlen, numeric.host, sizeof numeric.host,
				NULL, 0, NI_NUMERICHOST) == 0)
			out[n++] = numeric;
	}
	freeaddrinfo(list);
	*ret_count = n;
	return n ? ERR_OK : err_set(e, ERR_NOT_FOUND, "lookup %s: no such host", a->host);
}

static enum err_code probe_unix(const struct address *a, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	memcpy(sun.sun_path, a->path, sizeof sun.sun_path);
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	if (fd < 0)
		return err_os(e, "listen on 'unix://%s'", a->path);
	if (lstat(a->path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(
				e, ERR_EXISTS,
				"listen on 'unix://%s': a file that is no socket is in the way",
				a->path);
		/* EAGAIN: its backlog is full, so somebody does listen. */
		if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0 || errno == EAGAIN)
			return err_set(e, ERR_EXISTS,
				       "listen on 'unix://%s': somebody listens there already",
				       a->path);
		if (errno != ECONNREFUSED)
			return err_os(e, "listen on 'unix://%s'", a->path);
		if (unlink(a->path) < 0 && errno != ENOENT)
			return err_os(e, "remove the stale socket '%s'", a->path);
	}
	if (bind(fd, (struct sockaddr *)&sun, sizeof sun) < 0)
		return err_os(e, "listen on 'unix://%s'", a->path);
	(void)unlink(a->path); /* gRPC binds it again */
	return ERR_OK;
}

/* Puts the text of an address that means this machine to others, too. */
static bool put_own(const struct sockaddr *sa, char *out, size_t size)
{
	socklen_t len = sizeof(struct sockaddr_in);

	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr))
			return false;
		len = sizeof *in6;
	} else if (sa->sa_family != AF_INET) {
		return false;
	}
	return getnameinfo(sa, len, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST) == 0;
}

/* The address that calls to anywhere come from. A datagram socket that is connected has looked up
 * its route; nothing is sent. */
static bool own_by_route(int family, char *out, size_t size)
{
	/* Of the blocks for examples (RFC 5737, RFC 3849), where hardly any but the default route
	 * leads. */
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr_storage from;
	socklen_t len = sizeof from;
	AUTO_FD int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)inet_pton(AF_INET, "192.0.2.1", &to4.sin_addr);
	(void)inet_pton(AF_INET6, "2001:db8::1", &to6.sin6_addr);
	int failed = family == AF_INET ? connect(fd, (const struct sockaddr *)&to4, sizeof to4)
				       : connect(fd, (const struct sockaddr *)&to6, sizeof to6);
	return !failed && getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
	       put_own((const struct sockaddr *)&from, out, size);
}

/* The first address of an interface that is up. */
static bool own_by_interface(int family, char *out, size_t size)
{
	struct ifaddrs *list;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (const struct ifaddrs *i = list; i && !found; i = i->ifa_next)
		found = i->ifa_addr && i->ifa_addr->sa_family == family &&
			(i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK) &&
			put_own(i->ifa_addr, out, size);
	freeifaddrs(list);
	return found;
}

bool address_for_others(const struct address *a, char out[static ADDRESS_TARGET_BYTES])
{
	struct address told = *a;

	if (a->is_unix)
		return false;
	/* The IPv6 wildcard takes both families, as gRPC listens. */
	bool takes_v6 = !*a->host || strcmp(a->host, "::") == 0;
	if ((takes_v6 || strcmp(a->host, "0.0.0.0") == 0) &&
	    !own_by_route(AF_INET, told.host, sizeof told.host) &&
	    !(takes_v6 && own_by_route(AF_INET6, told.host, sizeof told.host)) &&
	    !own_by_interface(AF_INET, told.host, sizeof told.host) &&
	    !(takes_v6 && own_by_interface(AF_INET6, told.host, sizeof told.host)))
		return false;
	address_port_name(&told, out);
	return true;
}

enum err_code address_probe(const struct address *a, struct err *e)
{
	if (a->is_unix)
		return probe_unix(a, e);

	char port[8], name[ADDRESS_TARGET_BYTES];
	address_port_name(a, name);
	(void)snprintf(port, sizeof port, "%u", a->port);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV },
			*ai;
	int failed = getaddrinfo(a->host, port, &hints, &ai);
	if (failed)
		return err_set(e, ERR_INVALID, "listen on '%s': %s", name, gai_strerror(failed));
	int on = 1, off = 0;
	AUTO_FD int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
	if (ok && ai->ai_family == AF_INET6)
		ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
	ok = ok && bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, 1) == 0;
	int os = errno;
	freeaddrinfo(ai);
	return ok ? ERR_OK : err_errno(e, os, "listen on '%s'", name);
}
