#include "observer/host.h"

#include <ifaddrs.h>
#include <stdio.h>
#include <netinet/in.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

struct host {
	struct name_table *names;
	int fd; /* rtnetlink, address groups */
};

static bool address_of(const struct sockaddr *sa, uint8_t ret[16])
{
	if (!sa)
		return false;
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
		ip_from_v4(ret, (const uint8_t *)&in->sin_addr);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
		memcpy(ret, &in6->sin6_addr, 16);
		return true;
	}
	return false;
}

static enum err_code read_addresses(struct host *h, struct err *e)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0)
		return err_os(e, "read this node's addresses");
	size_t count = 0;
	for (struct ifaddrs *a = list; a; a = a->ifa_next)
		count++;
	uint8_t(*ips)[16] = calloc(count ? count : 1, sizeof *ips);
	enum err_code code = ERR_OK;
	if (!ips) {
		code = err_set(e, ERR_NOMEM, "this node's addresses");
	} else {
		size_t n = 0;
		for (struct ifaddrs *a = list; a; a = a->ifa_next)
			n += address_of(a->ifa_addr, ips[n]);
		code = name_update_host(h->names, (const uint8_t(*)[16])ips, n, e);
	}
	free(ips);
	freeifaddrs(list);
	return code;
}

enum err_code host_new(struct name_table *names, struct host **ret, struct err *e)
{
	AUTO(host_free) struct host *h = malloc(sizeof *h);
	if (!h)
		return err_set(e, ERR_NOMEM, "host addresses");
	*h = (struct host){ .names = names, .fd = -1 };
	h->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (h->fd < 0)
		return err_os(e, "listen for address changes");
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	if (bind(h->fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		return err_os(e, "listen for address changes");
	enum err_code code = read_addresses(h, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(h);
	return ERR_OK;
}

void host_free(struct host *h)
{
	if (!h)
		return;
	if (h->fd >= 0)
		(void)close(h->fd);
	free(h);
}

int host_fd(const struct host *h)
{
	return h->fd;
}

enum err_code host_poll(struct host *h, struct err *e)
{
	char scrap[8192];

	/* What the messages say does not matter, nor whether some were lost: all addresses are read
	 * anew. */
	while (recv(h->fd, scrap, sizeof scrap, 0) > 0)
		;
	return read_addresses(h, e);
}

void host_name(char *ret, size_t size)
{
	if (gethostname(ret, size) < 0)
		ret[0] = 0;
	ret[size - 1] = 0;
	ret[strcspn(ret, ".")] = 0;
	if (!ret[0])
		(void)snprintf(ret, size, "localhost");
}
