#include "observer/source/hooks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "observer/source/libbpf_log.h"

enum {
	PRIORITY = 1,
	HANDLE_GUEST = 0x74790001, /* "ty", and the qdisc was there before us */
	HANDLE_OWNER = 0x74790002, /* we made the qdisc */
};

enum { SIDES = 2 }; /* in, out */
static const enum bpf_tc_attach_point sides[SIDES] = { BPF_TC_INGRESS, BPF_TC_EGRESS };

static struct bpf_tc_hook hook_on(uint32_t ifindex, enum bpf_tc_attach_point side)
{
	return (struct bpf_tc_hook){ .sz = sizeof(struct bpf_tc_hook),
				     .ifindex = (int)ifindex,
				     .attach_point = side };
}

static struct bpf_tc_opts filter_named(uint32_t handle)
{
	return (struct bpf_tc_opts){ .sz = sizeof(struct bpf_tc_opts),
				     .handle = handle,
				     .priority = PRIORITY };
}

enum err_code hooks_lock(int *ret_fd, struct err *e)
{
	/* Abstract names belong to a network namespace, as our filters do. */
	static const char name[] = "tycho-observer-hooks";
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + sizeof name - 1);
	AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_os(e, "socket");
	memcpy(at.sun_path + 1, name, sizeof name - 1);
	if (bind(fd, (struct sockaddr *)&at, len) != 0) {
		if (errno == EADDRINUSE)
			return err_set(e, ERR_EXISTS,
				       "another tycho observer watches this network namespace: "
				       "stop it first");
		return err_os(e, "bind '@%s'", name);
	}
	*ret_fd = TAKE_FD(fd);
	return ERR_OK;
}

/* --- clsact --- */

static int count_filter(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type == RTM_NEWTFILTER && tc->tcm_handle)
		++*(unsigned *)arg;
	return MNL_CB_OK;
}

/* How many filters the interface has on both sides of its clsact. UINT_MAX where that cannot be
 * found out. */
static unsigned filters_on(uint32_t ifindex)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	_Alignas(struct nlmsghdr) char buffer[8192];
	unsigned n = 0;

	if (!nl)
		return UINT32_MAX;
	for (size_t i = 0; i < SIDES && n != UINT32_MAX; i++) {
		struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
		struct tcmsg *tc;
		ssize_t got;
		int more = MNL_CB_OK;

		h->nlmsg_type = RTM_GETTFILTER;
		h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		h->nlmsg_seq = (uint32_t)i + 1;
		tc = mnl_nlmsg_put_extra_header(h, sizeof *tc);
		tc->tcm_ifindex = (int)ifindex;
		tc->tcm_parent =
			TC_H_MAKE(TC_H_CLSACT, i == 0 ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
		if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
			more = MNL_CB_ERROR;
		while (more > MNL_CB_STOP) {
			got = mnl_socket_recvfrom(nl, buffer, sizeof buffer);
			more = got < 0 ? MNL_CB_ERROR
				       : mnl_cb_run(buffer, (size_t)got, (unsigned)i + 1, 0,
						    count_filter, &n);
		}
		if (more == MNL_CB_ERROR)
			n = UINT32_MAX;
	}
	(void)mnl_socket_close(nl);
	return n;
}

static void remove_filters(uint32_t ifindex, uint32_t handle)
{
	for (size_t i = 0; i < SIDES; i++) {
		struct bpf_tc_hook hook = hook_on(ifindex, sides[i]);
		struct bpf_tc_opts opts = filter_named(handle);

		(void)bpf_tc_detach(&hook, &opts);
	}
}

static void remove_qdisc(uint32_t ifindex)
{
	struct bpf_tc_hook hook = hook_on(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);

	(void)bpf_tc_hook_destroy(&hook);
}

static void take_back(uint32_t ifindex, bool own_qdisc)
{
	remove_filters(ifindex, own_qdisc ? HANDLE_OWNER : HANDLE_GUEST);
	if (own_qdisc && filters_on(ifindex) == 0)
		remove_qdisc(ifindex);
}

static enum err_code attach_error(int os, struct err *e)
{
	switch (os) {
	case ENODEV:
		return err_set(e, ERR_NOT_FOUND, "the interface is gone");
	case EPERM:
	case EACCES:
		return err_set(e, ERR_PERMISSION,
			       "hooks on interfaces need CAP_NET_ADMIN: run with sudo or grant it");
	case EINVAL:
	case EEXIST:
	case EOPNOTSUPP:
		return err_set(e, ERR_EXISTS,
			       "something else holds its tc hook, an 'ingress' qdisc or a filter "
			       "of priority %d: %s",
			       PRIORITY, libbpf_log_words());
	}
	return err_errno(e, os, "attach to the interface");
}

static enum err_code attach_filters(uint32_t ifindex, const int fds[SIDES], struct hooks *ret,
				    struct err *e)
{
	struct bpf_tc_hook qdisc = hook_on(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	bool own;
	int rc;

	libbpf_log_keep();
	rc = bpf_tc_hook_create(&qdisc);
	if (rc && rc != -EEXIST)
		return attach_error(-rc, e);
	own = rc == 0;
	for (size_t i = 0; i < SIDES; i++) {
		struct bpf_tc_hook hook = hook_on(ifindex, sides[i]);
		struct bpf_tc_opts opts = filter_named(own ? HANDLE_OWNER : HANDLE_GUEST);

		opts.prog_fd = fds[i];
		rc = bpf_tc_attach(&hook, &opts);
		if (rc) {
			(void)attach_error(-rc, e); /* before its words are overwritten */
			take_back(ifindex, own);
			return e ? e->code : ERR_IO;
		}
	}
	*ret = (struct hooks){ .by = HOOKS_CLSACT, .own_qdisc = own };
	return ERR_OK;
}

/* --- tcx --- */

/* Of linux/bpf.h since 6.6: the headers that we are built with may be older than the kernel. */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47, BEFORE_ALL = 1 << 3 };

/* 0, or an errno value. */
static int attach_links(uint32_t ifindex, const int fds[SIDES], struct hooks *ret)
{
	static const int points[SIDES] = { TCX_INGRESS, TCX_EGRESS };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = BEFORE_ALL);
	struct hooks h = { .by = HOOKS_TCX };

	for (size_t i = 0; i < SIDES; i++) {
		h.links[i] = bpf_link_create(fds[i], (int)ifindex, (enum bpf_attach_type)points[i],
					     &opts);
		if (h.links[i] < 0) {
			if (i)
				(void)close(h.links[0]);
			return -h.links[i];
		}
	}
	*ret = h;
	return 0;
}

/* --- either --- */

enum err_code hooks_attach(uint32_t ifindex, int in_fd, int out_fd, bool by_clsact,
			   struct hooks *ret, struct err *e)
{
	const int fds[SIDES] = { in_fd, out_fd };
	int os = by_clsact ? EINVAL : attach_links(ifindex, fds, ret);

	/* What a kernel without it says; and one that was built without (CONFIG_NET_XGRESS). */
	if (os == EINVAL || os == EOPNOTSUPP)
		return attach_filters(ifindex, fds, ret, e);
	return os ? attach_error(os, e) : ERR_OK;
}

void hooks_detach(uint32_t ifindex, struct hooks *h, bool gone)
{
	if (h->by == HOOKS_TCX)
		for (size_t i = 0; i < SIDES; i++)
			(void)close(h->links[i]);
	else if (h->by == HOOKS_CLSACT && !gone)
		take_back(ifindex, h->own_qdisc);
	h->by = HOOKS_NONE;
}

/* --- what was left behind --- */

/* True if the program was loaded by an observer. */
static bool is_ours(uint32_t prog_id)
{
	AUTO_FD int fd = bpf_prog_get_fd_by_id(prog_id);
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof info;

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
	       strncmp(info.name, "tycho_", 6) == 0;
}

bool hooks_clean(uint32_t ifindex)
{
	static const uint32_t handles[] = { HANDLE_GUEST, HANDLE_OWNER };
	bool found = false;

	for (size_t h = 0; h < ARRAY_LEN(handles); h++) {
		bool ours = false;

		for (size_t i = 0; i < SIDES; i++) {
			struct bpf_tc_hook hook = hook_on(ifindex, sides[i]);
			struct bpf_tc_opts opts = filter_named(handles[h]);

			ours |= bpf_tc_query(&hook, &opts) == 0 && is_ours(opts.prog_id);
		}
		if (ours)
			take_back(ifindex, handles[h] == HANDLE_OWNER);
		found |= ours;
	}
	return found;
}
