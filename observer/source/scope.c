#include "observer/source/scope.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bpf/scope.h"

/* An interface that leads to another namespace of this node. */
struct lead {
	uint32_t ifindex;
	int32_t nsid;
	uint32_t inode; /* 0: not found yet */
};

struct scope {
	struct mnl_socket *ask;
	int map_fd;
	uint32_t own_inode;
	struct lead *leads; /* own; by ifindex */
	size_t count;
	struct mono_ns search_at; /* 0: all are found */
	uint64_t wait_ns;         /* before the search after that */
	unsigned seq;
};

static const uint64_t first_wait_ns = NS_PER_S, longest_wait_ns = 64 * NS_PER_S;

/* --- which number a namespace has here ------------------------------------------------------- */

static int take_nsid(const struct nlmsghdr *h, void *arg)
{
	int32_t *nsid = arg;
	struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct rtgenmsg))
	{
		if (mnl_attr_get_type(a) == NETNSA_NSID && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			*nsid = (int32_t)mnl_attr_get_u32(a);
	}
	return MNL_CB_OK;
}

/* NETNSA_NSID_NOT_ASSIGNED: none. */
static int32_t nsid_of(struct scope *s, int netns_fd)
{
	_Alignas(struct nlmsghdr) char buffer[1024];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	struct rtgenmsg *general;
	ssize_t n;

	h->nlmsg_type = RTM_GETNSID;
	h->nlmsg_flags = NLM_F_REQUEST;
	h->nlmsg_seq = ++s->seq;
	general = mnl_nlmsg_put_extra_header(h, sizeof *general);
	general->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(h, NETNSA_FD, (uint32_t)netns_fd);
	if (mnl_socket_sendto(s->ask, h, h->nlmsg_len) < 0)
		return nsid;
	n = mnl_socket_recvfrom(s->ask, buffer, sizeof buffer); /* the answer is there already */
	if (n > 0)
		(void)mnl_cb_run(buffer, (size_t)n, s->seq, mnl_socket_get_portid(s->ask),
				 take_nsid, &nsid);
	return nsid;
}

/* --- the search ------------------------------------------------------------------------------ */

struct search {
	struct scope *scope;
	size_t missing;
	/* Namespaces seen already, by inode: most processes share a few. What finds its place
	 * taken is asked again. */
	uint32_t seen[1024];
};

static void try_file(struct search *q, int folder, const char *path)
{
	struct scope *s = q->scope;
	struct stat st;
	uint32_t inode, *seen;
	int32_t nsid;
	int fd;

	if (fstatat(folder, path, &st, 0) != 0)
		return; /* gone, or not ours to see */
	inode = (uint32_t)st.st_ino;
	seen = &q->seen[inode % ARRAY_LEN(q->seen)];
	if (*seen == inode || inode == s->own_inode)
		return;
	*seen = inode;
	fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	nsid = nsid_of(s, fd);
	(void)close(fd);
	for (size_t i = 0; i < s->count && nsid >= 0; i++)
		if (!s->leads[i].inode && s->leads[i].nsid == nsid) {
			s->leads[i].inode = inode;
			q->missing--;
		}
}

/* Tries @folder/<name>@tail for all names. */
static void try_folder(struct search *q, const char *folder, const char *tail)
{
	DIR *d = opendir(folder);
	const struct dirent *entry;

	if (!d)
		return;
	while (q->missing && (entry = readdir(d))) {
		char path[sizeof entry->d_name + 16];

		if (entry->d_name[0] == '.' ||
		    (*tail && (entry->d_name[0] < '1' || entry->d_name[0] > '9')))
			continue;
		(void)snprintf(path, sizeof path, "%s%s", entry->d_name, tail);
		try_file(q, dirfd(d), path);
	}
	(void)closedir(d);
}

static size_t search(struct scope *s, size_t missing)
{
	struct search q = { .scope = s, .missing = missing };

	try_folder(&q, "/run/netns", ""); /* ip netns, CNI runtimes */
	try_folder(&q, "/run/docker/netns", "");
	try_folder(&q, "/proc", "/ns/net");
	return q.missing;
}

/* --- the map --------------------------------------------------------------------------------- */

static bool has_inode(const struct lead *leads, size_t n, uint32_t inode)
{
	for (size_t i = 0; i < n; i++)
		if (leads[i].inode == inode)
			return true;
	return false;
}

static void add(const struct scope *s, uint32_t inode)
{
	uint8_t yes = 1;

	/* More than SCOPE_MAX namespaces on one node: those beyond go without. */
	(void)bpf_map_update_elem(s->map_fd, &inode, &yes, BPF_ANY);
}

/* --- contract -------------------------------------------------------------------------------- */

static bool leads_within(const struct link *link)
{
	return link->peer_netns && !link->route_out && !link->gateway;
}

/* What is known of it: by itself, or by another one that leads there too. */
static uint32_t known_inode(const struct lead *leads, size_t n, const struct lead *lead)
{
	for (size_t i = 0; i < n; i++)
		if (leads[i].ifindex == lead->ifindex)
			return leads[i].nsid == lead->nsid ? leads[i].inode : 0;
	return 0;
}

void scope_follow(struct scope *s, const struct link *list, size_t n, struct mono_ns now)
{
	struct lead *leads = calloc(n + 1, sizeof *leads), *old = s->leads;
	size_t count = 0, old_count = s->count, missing = 0;

	if (!leads)
		return;
	if (!scope_is_due(s, now)) /* something has changed */
		s->wait_ns = first_wait_ns;
	for (size_t i = 0; i < n; i++) {
		struct lead lead = { .ifindex = list[i].ifindex, .nsid = list[i].peer_nsid };

		if (!leads_within(&list[i]))
			continue;
		lead.inode = known_inode(old, old_count, &lead);
		leads[count++] = lead;
		missing += !lead.inode;
	}
	s->leads = leads;
	s->count = count;
	if (missing)
		missing = search(s, missing);
	for (size_t i = 0; i < old_count; i++)
		if (old[i].inode && !has_inode(leads, count, old[i].inode))
			(void)bpf_map_delete_elem(s->map_fd, &old[i].inode);
	for (size_t i = 0; i < count; i++)
		if (leads[i].inode && !has_inode(old, old_count, leads[i].inode))
			add(s, leads[i].inode);
	free(old);
	s->search_at.v = missing ? now.v + s->wait_ns : 0;
	if (s->wait_ns < longest_wait_ns)
		s->wait_ns *= 2;
}

bool scope_is_due(const struct scope *s, struct mono_ns now)
{
	return s->search_at.v && now.v >= s->search_at.v;
}

enum err_code scope_new(uint32_t own_inode, int map_fd, struct scope **ret, struct err *e)
{
	AUTO(scope_free) struct scope *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "network namespaces");
	*s = (struct scope){ .map_fd = map_fd, .own_inode = own_inode, .wait_ns = first_wait_ns };
	s->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!s->ask || mnl_socket_bind(s->ask, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_os(e, "netlink");
	add(s, own_inode);
	*ret = TAKE(s);
	return ERR_OK;
}

void scope_free(struct scope *s)
{
	if (!s)
		return;
	if (s->ask)
		(void)mnl_socket_close(s->ask);
	free(s->leads);
	free(s);
}
