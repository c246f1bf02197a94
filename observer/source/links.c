#include "observer/source/links.h"

#include <errno.h>
#include <fnmatch.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"

enum { RECEIVE_BYTES = 32768 /* a piece of a dump; what iproute2 uses */ };

/* Interfaces that a kind of route leaves by. */
struct ways {
	uint32_t *ifindex; /* own */
	size_t count, room;
};

struct links {
	struct mnl_socket *ask, *hear;
	struct link *list; /* own; by ifindex */
	size_t count, room;
	struct ways out;      /* default routes */
	struct ways gateways; /* routes through a next hop; empty if not wanted */
	bool want_gateways;
	bool routes_old; /* routes have to be asked for again */
	unsigned seq;
	_Alignas(struct nlmsghdr) char buffer[RECEIVE_BYTES];
};

static bool has_way(const struct ways *w, uint32_t ifindex)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->ifindex[i] == ifindex)
			return true;
	return false;
}

static bool read_link(const struct nlmsghdr *h, struct link *ret)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
	struct nlattr *a;
	struct link link = {
		.ifindex = (uint32_t)info->ifi_index,
		.l3 = info->ifi_type != ARPHRD_ETHER && info->ifi_type != ARPHRD_LOOPBACK,
	};

	if (info->ifi_family != AF_UNSPEC) /* a bridge's view of its port */
		return false;
	mnl_attr_for_each(a, h, sizeof *info)
	{
		if (mnl_attr_get_type(a) == IFLA_IFNAME &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			(void)strncat(link.name, mnl_attr_get_str(a), sizeof link.name - 1);
		else if (mnl_attr_get_type(a) == IFLA_LINK_NETNSID &&
			 mnl_attr_validate(a, MNL_TYPE_U32) >= 0) {
			link.peer_netns = true;
			link.peer_nsid = (int32_t)mnl_attr_get_u32(a);
		}
	}
	*ret = link;
	return true;
}

static struct link *find(const struct links *l, uint32_t ifindex)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->list[i].ifindex == ifindex)
			return &l->list[i];
	return NULL;
}

static bool has_gateway(const struct nlmsghdr *h)
{
	struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct rtmsg))
	{
		int type = mnl_attr_get_type(a);

		/* Several next hops at once have gateways as good as always. */
		if (type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH)
			return true;
	}
	return false;
}

/* Link messages come for a lot that we do not look at: counters, carrier, addresses of bridges. */
static int hear_message(const struct nlmsghdr *h, void *arg)
{
	struct links *l = arg;
	const struct rtmsg *route = mnl_nlmsg_get_payload(h);
	const struct link *known;
	struct link link;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
		if (!read_link(h, &link))
			break;
		known = find(l, link.ifindex);
		if (!known || known->peer_netns != link.peer_netns ||
		    known->peer_nsid != link.peer_nsid || strcmp(known->name, link.name) != 0)
			return MNL_CB_STOP;
		break;
	case RTM_DELLINK:
		/* Also of the other half of a veth, moved away: then ours is a peer_netns from now
		 * on. */
		if (read_link(h, &link))
			return MNL_CB_STOP;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (route->rtm_dst_len == 0 || (l->want_gateways && has_gateway(h))) {
			l->routes_old = true;
			return MNL_CB_STOP;
		}
		break;
	}
	return MNL_CB_OK;
}

bool links_changed(struct links *l)
{
	bool changed = false;

	for (;;) {
		ssize_t n =
			recv(mnl_socket_get_fd(l->hear), l->buffer, sizeof l->buffer, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			changed = l->routes_old = true;
			continue;
		}
		if (n <= 0)
			return changed;
		if (mnl_cb_run(l->buffer, (size_t)n, 0, 0, hear_message, l) <= MNL_CB_STOP)
			changed = true;
	}
}

/* A dump that the kernel had to do over while it changed is asked for again. */
static enum err_code ask(struct links *l, struct nlmsghdr *h, mnl_cb_t cb, void *arg, struct err *e)
{
	int more = MNL_CB_OK;

	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = ++l->seq;
	if (mnl_socket_sendto(l->ask, h, h->nlmsg_len) < 0)
		return err_os(e, "netlink");
	while (more > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(l->ask, l->buffer, sizeof l->buffer);

		if (n < 0)
			return err_os(e, "netlink");
		if (((const struct nlmsghdr *)(const void *)l->buffer)->nlmsg_seq != l->seq)
			continue; /* rest of a dump that was given up */
		more = mnl_cb_run(l->buffer, (size_t)n, l->seq, mnl_socket_get_portid(l->ask), cb,
				  arg);
	}
	return more < 0 ? err_os(e, "netlink") : ERR_OK;
}

static bool add_way(struct ways *w, int ifindex)
{
	if (ifindex <= 0 || has_way(w, (uint32_t)ifindex))
		return true;
	if (w->count == w->room) {
		size_t room = w->room ? w->room * 2 : 32;
		uint32_t *more = realloc(w->ifindex, room * sizeof *more);

		if (!more) {
			errno = ENOMEM;
			return false;
		}
		w->ifindex = more;
		w->room = room;
	}
	w->ifindex[w->count++] = (uint32_t)ifindex;
	return true;
}

static bool add_ways(struct ways *w, const struct nlmsghdr *h)
{
	struct nlattr *a;
	bool has_room = true;

	mnl_attr_for_each(a, h, sizeof(struct rtmsg))
	{
		if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_validate(a, MNL_TYPE_U32) >= 0) {
			has_room &= add_way(w, (int)mnl_attr_get_u32(a));
		} else if (mnl_attr_get_type(a) == RTA_MULTIPATH) {
			struct rtnexthop *hop = mnl_attr_get_payload(a);
			int left = mnl_attr_get_payload_len(a);

			for (; RTNH_OK(hop, left);
			     left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
				has_room &= add_way(w, hop->rtnh_ifindex);
		}
	}
	return has_room;
}

static int take_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(h);
	struct links *l = arg;

	if (h->nlmsg_type != RTM_NEWROUTE || route->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	if (route->rtm_dst_len == 0 && !add_ways(&l->out, h))
		return MNL_CB_ERROR;
	if (l->want_gateways && has_gateway(h) && !add_ways(&l->gateways, h))
		return MNL_CB_ERROR;
	return MNL_CB_OK;
}

static enum err_code ask_routes(struct links *l, struct err *e)
{
	static const unsigned char families[] = { AF_INET, AF_INET6 };

	l->out.count = l->gateways.count = 0;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		_Alignas(struct nlmsghdr) char request[NLMSG_LENGTH(sizeof(struct rtmsg))];
		struct nlmsghdr *h = mnl_nlmsg_put_header(request);
		struct rtmsg *route;

		h->nlmsg_type = RTM_GETROUTE;
		route = mnl_nlmsg_put_extra_header(h, sizeof *route);
		route->rtm_family = families[i];
		/* A kernel without this family, or a dump torn by a change: what is found counts,
		 * the next change asks again. */
		if (ask(l, h, take_route, l, e) != ERR_OK && errno != EINTR &&
		    errno != EAFNOSUPPORT && errno != EOPNOTSUPP)
			return err_in(e, "list routes");
	}
	l->routes_old = false;
	return ERR_OK;
}

struct gather {
	struct link *list; /* own */
	size_t count, room;
};

static int take_link(const struct nlmsghdr *h, void *arg)
{
	struct gather *g = arg;
	struct link link;

	if (h->nlmsg_type != RTM_NEWLINK || !read_link(h, &link))
		return MNL_CB_OK;
	if (g->count == g->room) {
		size_t room = g->room ? g->room * 2 : 32;
		struct link *list = realloc(g->list, room * sizeof *list);

		if (!list) {
			errno = ENOMEM;
			return MNL_CB_ERROR;
		}
		g->list = list;
		g->room = room;
	}
	g->list[g->count++] = link;
	return MNL_CB_OK;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

enum err_code links_refresh(struct links *l, struct err *e)
{
	enum { TRIES = 4 };
	_Alignas(struct nlmsghdr) char request[NLMSG_LENGTH(sizeof(struct ifinfomsg))];
	struct gather g = { 0 };
	enum err_code code = ERR_AGAIN;

	if (l->routes_old && ask_routes(l, e) != ERR_OK)
		return e ? e->code : ERR_IO;
	for (int i = 0; i < TRIES && code != ERR_OK; i++) {
		struct nlmsghdr *h = mnl_nlmsg_put_header(request);

		h->nlmsg_type = RTM_GETLINK;
		(void)mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
		g.count = 0;
		code = ask(l, h, take_link, &g, e);
		if (code != ERR_OK && errno != EINTR)
			break;
	}
	if (code != ERR_OK) {
		free(g.list);
		return err_in(e, "list interfaces");
	}
	if (g.count)
		qsort(g.list, g.count, sizeof *g.list, by_ifindex);
	for (size_t i = 0; i < g.count; i++) {
		g.list[i].route_out = has_way(&l->out, g.list[i].ifindex);
		g.list[i].gateway = has_way(&l->gateways, g.list[i].ifindex);
	}
	free(l->list);
	l->list = g.list;
	l->count = g.count;
	return ERR_OK;
}

const struct link *links_list(const struct links *l, size_t *ret_count)
{
	*ret_count = l->count;
	return l->list;
}

int links_fd(const struct links *l)
{
	return mnl_socket_get_fd(l->hear);
}

enum err_code links_open(bool gateways, struct links **ret, struct err *e)
{
	AUTO(links_free) struct links *l = calloc(1, sizeof *l);
	unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

	if (!l)
		return err_set(e, ERR_NOMEM, "interfaces");
	l->routes_old = true;
	l->want_gateways = gateways;
	l->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	l->hear = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!l->ask || !l->hear || mnl_socket_bind(l->ask, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_bind(l->hear, groups, MNL_SOCKET_AUTOPID) < 0)
		return err_os(e, "netlink");
	*ret = TAKE(l);
	return ERR_OK;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	if (l->ask)
		(void)mnl_socket_close(l->ask);
	if (l->hear)
		(void)mnl_socket_close(l->hear);
	free(l->out.ifindex);
	free(l->gateways.ifindex);
	free(l->list);
	free(l);
}

struct choice {
	size_t count;
	bool only_exclusions; /* then what is not excluded is chosen as without patterns */
	char *pattern[];      /* own */
};

enum err_code choice_new(const char *const *patterns, size_t n, struct choice **ret, struct err *e)
{
	AUTO(choice_free) struct choice *c = calloc(1, sizeof *c + n * sizeof c->pattern[0]);

	if (!c)
		return err_set(e, ERR_NOMEM, "interfaces");
	c->only_exclusions = true;
	for (size_t i = 0; i < n; i++) {
		const char *name = patterns[i];

		if (name[name[0] == '!'] == 0)
			return err_set(e, ERR_INVALID, "an interface has a name: '%s' is none",
				       name);
		if (name[0] != '!')
			c->only_exclusions = false;
		c->pattern[c->count] = str_dup(str_of(name));
		if (!c->pattern[c->count++])
			return err_set(e, ERR_NOMEM, "interfaces");
	}
	*ret = TAKE(c);
	return ERR_OK;
}

void choice_free(struct choice *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		free(c->pattern[i]);
	free(c);
}

bool choice_holds(const struct choice *c, const struct link *link)
{
	bool held = c->only_exclusions && (link->peer_netns || link->route_out);

	for (size_t i = 0; i < c->count; i++) {
		const char *p = c->pattern[i];

		if (p[0] == '!' && fnmatch(p + 1, link->name, 0) == 0)
			return false;
		held |= p[0] != '!' && fnmatch(p, link->name, 0) == 0;
	}
	return held;
}

bool choice_is_explicit(const struct choice *c)
{
	return !c->only_exclusions;
}

const char *choice_missing(const struct choice *c, const struct link *list, size_t n)
{
	for (size_t i = 0; i < c->count; i++) {
		size_t j = 0;

		if (strpbrk(c->pattern[i], "!*?["))
			continue;
		while (j < n && strcmp(list[j].name, c->pattern[i]) != 0)
			j++;
		if (j == n)
			return c->pattern[i];
	}
	return NULL;
}
