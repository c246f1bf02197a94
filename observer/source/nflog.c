#include "observer/source/nflog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum {
	COPY_BYTES = 192,
	RECEIVE_BUFFER_BYTES = 4 << 20,
	/* What the kernel gathers before it hands packets over: net/netfilter/nfnetlink_log.c. */
	BATCH_BYTES = 64 << 10, /* the kernel refuses more than 128 KiB */
	BATCH_PACKETS = 64,
	BATCH_TIMEOUT_CS = 5, /* 1/100 s */
	/* One batch, or one packet of 64 KiB with its attributes. */
	MESSAGES_BYTES = 256 << 10,
	REPLY_TIMEOUT_MS =
		2000,      /* the kernel answers at once; this is for a kernel that does not */
	IFNAMES = 64,      /* power of two */
	NETDEV_EGRESS = 1, /* NF_NETDEV_EGRESS, in headers since Linux 5.16 */
};

/* Interfaces are renamed rarely: a name is asked for again after this. */
static const uint64_t ifname_ns = 10 * NS_PER_S;

struct group {
	uint16_t number;
	uint32_t
		next_seq; /* what the next packet's NFULA_SEQ should be; the kernel counts from 0 */
};

struct ifname {
	uint32_t ifindex;
	struct mono_ns read_at;
	char name[IF_NAMESIZE]; /* "" unknown */
};

struct source_nflog {
	struct source source;
	struct mnl_socket *socket;
	struct nflog_pattern *pattern;
	enum raw_verdict otherwise; /* where it does not match */
	struct group *groups;
	size_t group_count;
	uint64_t lost;       /* packets, not reported yet */
	uint64_t lost_ahead; /* reported when the socket overflowed, not yet seen as gaps */
	char *messages;      /* one batch */
	const struct nlmsghdr *message; /* next one in it */
	int messages_left;              /* bytes from there on */
	/* What the capture thread polls: the socket, and @rest_fd, which is readable while a drain
	 * has left something in
	 * @messages that the socket knows nothing of any more. */
	int poll_fd, rest_fd;
	bool rest;
	struct ifname ifnames[IFNAMES];
};

/* ---- packets ---- */

static int keep_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **attrs = data;

	if (mnl_attr_get_type(attr) <= NFULA_MAX) /* later kernels have more */
		attrs[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* The attribute's payload if it has at least @bytes. */
static const void *attr_payload(const struct nlattr *attr, size_t bytes)
{
	return attr && mnl_attr_get_payload_len(attr) >= bytes ? mnl_attr_get_payload(attr) : NULL;
}

static uint32_t attr_be32(const struct nlattr *attr)
{
	const void *p = attr_payload(attr, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof v);
	return ntohl(v);
}

static const char *ifname_of(struct source_nflog *s, uint32_t ifindex, struct mono_ns now)
{
	struct ifname *n = &s->ifnames[ifindex % IFNAMES];

	if (ifindex == 0)
		return "";
	if (n->ifindex != ifindex || now.v - n->read_at.v > ifname_ns) {
		*n = (struct ifname){ .ifindex = ifindex, .read_at = now };
		if (!if_indextoname(ifindex, n->name))
			n->name[0] = '\0';
	}
	return n->name;
}

/* Length on the wire: the capture's own, or what the IP header says if that is more. */
static uint32_t wire_bytes(struct str packet, bool l3, uint16_t ethertype)
{
	enum { IPV4 = 0x0800, IPV6 = 0x86dd, IPV4_BYTES = 20, IPV6_BYTES = 40 };
	const uint8_t *p = (const uint8_t *)packet.p;
	size_t bytes = 0;

	if (l3 && ethertype == IPV4 && packet.len >= IPV4_BYTES)
		bytes = (size_t)p[2] << 8 | p[3];
	else if (l3 && ethertype == IPV6 && packet.len >= IPV6_BYTES)
		bytes = IPV6_BYTES + ((size_t)p[4] << 8 | p[5]);
	return (uint32_t)(bytes > packet.len ? bytes : packet.len);
}

static struct group *group_of(struct source_nflog *s, uint16_t number)
{
	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[i].number == number)
			return &s->groups[i];
	return NULL;
}

/* Compares with the group's count. @return packets missing before this one; the group then expects
 * this one. */
static uint64_t missing_before(struct group *g, const struct nlattr *seq_attr)
{
	if (!attr_payload(seq_attr, sizeof(uint32_t)))
		return 0;

	uint32_t seq = attr_be32(seq_attr), missing = seq - g->next_seq;
	g->next_seq = seq;
	/* Behind what was expected: the kernel started again. */
	return missing > INT32_MAX ? 0 : missing;
}

static void count_lost(struct source_nflog *s, uint64_t missing)
{
	uint64_t known = missing < s->lost_ahead ? missing : s->lost_ahead;

	s->lost_ahead -= known;
	s->lost += missing - known;
}

static void emit_packet(struct source_nflog *s, const struct nfgenmsg *header,
			const struct nlattr **attrs, struct mono_ns now, struct raw_sink *sink)
{
	struct raw_event ev = { .kind = RAW_VERDICT, .cpu = -1, .packets = 0 };
	const struct nfulnl_msg_packet_hdr *hdr =
		attr_payload(attrs[NFULA_PACKET_HDR], sizeof *hdr);
	struct nfulnl_msg_packet_timestamp stamp;
	const void *p = attr_payload(attrs[NFULA_TIMESTAMP], sizeof stamp);

	if (p) {
		memcpy(&stamp, p, sizeof stamp); /* attributes are aligned to 4 only */
		ev.wall.v = be64toh(stamp.sec) * NS_PER_S + be64toh(stamp.usec) * NS_PER_US;
	}
	if (ev.wall.v == 0)
		ev.mono = now;
	if (attrs[NFULA_PAYLOAD])
		ev.packet = str_n(mnl_attr_get_payload(attrs[NFULA_PAYLOAD]),
				  mnl_attr_get_payload_len(attrs[NFULA_PAYLOAD]));
	else
		ev.packet = STR("");
	/* All hooks but this one log from the network header on. */
	ev.l3 = !(header->nfgen_family == NFPROTO_NETDEV && hdr && hdr->hook == NETDEV_EGRESS);
	ev.ethertype = hdr ? ntohs(hdr->hw_protocol) : 0;
	ev.packet_bytes = wire_bytes(ev.packet, ev.l3, ev.ethertype);

	struct str prefix = STR("");
	if (attrs[NFULA_PREFIX]) {
		prefix.p = mnl_attr_get_payload(attrs[NFULA_PREFIX]);
		prefix.len = strnlen(prefix.p, mnl_attr_get_payload_len(attrs[NFULA_PREFIX]));
	}
	if (!nflog_pattern_read(s->pattern, prefix, &ev))
		ev.verdict = s->otherwise;

	uint32_t in = attr_be32(attrs[NFULA_IFINDEX_INDEV]),
		 out = attr_be32(attrs[NFULA_IFINDEX_OUTDEV]);
	bool out_first = ev.direction == RAW_DIR_EGRESS;
	ev.ifindex = out_first ? (out ? out : in) : (in ? in : out);
	ev.ifname = ifname_of(s, ev.ifindex, now);
	sink->event(sink, &ev);
}

/* Handles the message at hand. @return false if it is to be handled again, after a loss was
 * reported. */
static bool take_message(struct source_nflog *s, struct mono_ns now, struct raw_sink *sink,
			 size_t *events)
{
	const struct nlmsghdr *m = s->message;
	const struct nlattr *attrs[NFULA_MAX + 1] = { 0 };

	if (m->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
	    m->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg))
		return true; /* a late answer to our own requests */

	const struct nfgenmsg *header = mnl_nlmsg_get_payload(m);
	struct group *g = group_of(s, ntohs(header->res_id));
	(void)mnl_attr_parse(m, sizeof *header, keep_attr, attrs);
	if (!g)
		return true;
	count_lost(s, missing_before(g, attrs[NFULA_SEQ]));
	if (s->lost)
		return false;
	g->next_seq++;
	/* Set-up passes no sink: what came before the source was whole is not reported. */
	if (sink) {
		emit_packet(s, header, attrs, now, sink);
		++*events;
	}
	return true;
}

/* ---- receiving ---- */

/* Fetches a batch when the last one is used up. ERR_AGAIN: nothing there. */
static enum err_code receive(struct source_nflog *s, struct err *e)
{
	ssize_t n = mnl_socket_recvfrom(s->socket, s->messages, MESSAGES_BYTES);

	if (n < 0 && errno == ENOBUFS) {
		/* A batch of at least one packet was dropped; how many packets, the next sequence
		 * number will say. */
		s->lost++;
		s->lost_ahead++;
		return ERR_OK;
	}
	/* ENOSPC: a batch longer than the buffer. A gap will tell how much was in it. */
	if (n < 0 && (errno == EINTR || errno == ENOSPC))
		return ERR_OK;
	if (n < 0)
		return err_os(e, "receive from netfilter log");
	s->message = (const struct nlmsghdr *)(const void *)s->messages;
	s->messages_left = (int)n;
	return ERR_OK;
}

static void report_lost(struct source_nflog *s, struct mono_ns now, struct raw_sink *sink)
{
	struct raw_event ev = { .kind = RAW_LOST, .mono = now, .lost = s->lost, .cpu = -1 };

	sink->event(sink, &ev);
	s->lost = 0;
}

/* Makes rest_fd say whether something is left over; a system call only when that changes. */
static void tell_rest(struct source_nflog *s)
{
	bool rest = s->lost || mnl_nlmsg_ok(s->message, s->messages_left);
	uint64_t count = 1;

	if (rest == s->rest)
		return;
	/* Neither can fail: the count is 0 or 1. */
	if (rest)
		(void)!write(s->rest_fd, &count, sizeof count);
	else
		(void)!read(s->rest_fd, &count, sizeof count);
	s->rest = rest;
}

static size_t nflog_drain(struct source *source, struct raw_sink *sink, size_t max)
{
	struct source_nflog *s = (struct source_nflog *)source;
	struct mono_ns now = mono_now();
	size_t events = 0;

	while (events < max) {
		if (s->lost) {
			report_lost(s, now, sink);
			events++;
		} else if (mnl_nlmsg_ok(s->message, s->messages_left)) {
			if (take_message(s, now, sink, &events))
				s->message = mnl_nlmsg_next(s->message, &s->messages_left);
		} else if (receive(s, NULL) != ERR_OK) {
			break;
		}
	}
	tell_rest(s);
	return events;
}

/* ---- set-up ---- */

/* The kernel says EPERM both when the rights are missing and when another socket has the group. Its
 * list of groups tells the two apart: /proc/net/netfilter/nfnetlink_log, first column. */
static bool group_is_taken(uint16_t group)
{
	FILE *f = fopen("/proc/thread-self/net/netfilter/nfnetlink_log", "re");
	char line[256];
	bool taken = false;

	while (f && !taken && fgets(line, sizeof line, f))
		taken = strtoul(line, NULL, 10) == group;
	if (f)
		(void)fclose(f);
	return taken;
}

static enum err_code refusal(int os, uint16_t group, struct err *e)
{
	if (os == EBUSY || (os == EPERM && group_is_taken(group)))
		return err_set(e, ERR_EXISTS, "another program reads netfilter log group %u",
			       group);
	if (os == EPERM)
		return err_set(e, ERR_PERMISSION,
			       "read netfilter log group %u: this needs CAP_NET_ADMIN; run as "
			       "root, or give the capability by "
			       "systemd's AmbientCapabilities or setcap",
			       group);
	if (os == EINVAL || os == EOPNOTSUPP)
		return err_set(e, ERR_UNSUPPORTED,
			       "read netfilter log group %u: this kernel has no nfnetlink_log "
			       "(CONFIG_NETFILTER_NETLINK_LOG)",
			       group);
	return err_errno(e, os, "read netfilter log group %u", group);
}

/* Waits for the kernel's answer to request @seq. Packets of groups that are set up already may come
 * first. */
static enum err_code await_answer(struct source_nflog *s, uint32_t seq, uint16_t group,
				  struct err *e)
{
	struct pollfd fd = { .fd = mnl_socket_get_fd(s->socket), .events = POLLIN };

	for (;;) {
		int ready = poll(&fd, 1, REPLY_TIMEOUT_MS);

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return err_os(e, "wait for netfilter log");
		if (ready == 0)
			return err_set(e, ERR_TIMEOUT,
				       "netfilter log group %u: the kernel does not answer", group);
		enum err_code code = receive(s, e);
		if (code != ERR_OK)
			return code;
		for (; mnl_nlmsg_ok(s->message, s->messages_left);
		     s->message = mnl_nlmsg_next(s->message, &s->messages_left)) {
			if (s->message->nlmsg_type == NLMSG_ERROR && s->message->nlmsg_seq == seq) {
				const struct nlmsgerr *answer = mnl_nlmsg_get_payload(s->message);

				return answer->error ? refusal(-answer->error, group, e) : ERR_OK;
			}
			while (!take_message(s, (struct mono_ns){ 0 }, NULL, NULL))
				s->lost = 0;
		}
	}
}

static enum err_code bind_group(struct source_nflog *s, uint16_t group, uint32_t copy_bytes,
				uint32_t seq, struct err *e)
{
	char request[512];
	struct nlmsghdr *m = mnl_nlmsg_put_header(request);
	m->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	m->nlmsg_seq = seq;

	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(m, sizeof *header);
	*header = (struct nfgenmsg){ .nfgen_family = AF_UNSPEC,
				     .version = NFNETLINK_V0,
				     .res_id = htons(group) };

	struct nfulnl_msg_config_cmd command = { .command = NFULNL_CFG_CMD_BIND };
	struct nfulnl_msg_config_mode mode = { .copy_range = htonl(copy_bytes),
					       .copy_mode = NFULNL_COPY_PACKET };
	mnl_attr_put(m, NFULA_CFG_CMD, sizeof command, &command);
	mnl_attr_put(m, NFULA_CFG_MODE, sizeof mode, &mode);
	mnl_attr_put_u16(m, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	mnl_attr_put_u32(m, NFULA_CFG_NLBUFSIZ, htonl(BATCH_BYTES));
	mnl_attr_put_u32(m, NFULA_CFG_QTHRESH, htonl(BATCH_PACKETS));
	mnl_attr_put_u32(m, NFULA_CFG_TIMEOUT, htonl(BATCH_TIMEOUT_CS));
	if (mnl_socket_sendto(s->socket, m, m->nlmsg_len) < 0)
		return refusal(errno, group, e);
	return await_answer(s, seq, group, e);
}

static enum err_code check_groups(const struct source_nflog_config *config, struct err *e)
{
	if (config->group_count == 0)
		return err_set(e, ERR_INVALID, "nflog: no group");
	for (size_t i = 0; i < config->group_count; i++)
		for (size_t k = 0; k < i; k++)
			if (config->groups[i] == config->groups[k])
				return err_set(e, ERR_INVALID, "nflog: group %u is given twice",
					       config->groups[i]);
	return ERR_OK;
}

static enum err_code open_socket(struct source_nflog *s, uint32_t buffer_bytes, struct err *e)
{
	s->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (!s->socket)
		return err_os(e, "open a netfilter netlink socket");
	if (mnl_socket_bind(s->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_os(e, "bind a netfilter netlink socket");

	int fd = mnl_socket_get_fd(s->socket),
	    bytes = (int)(buffer_bytes ? buffer_bytes : RECEIVE_BUFFER_BYTES);
	/* Beyond net.core.rmem_max only with CAP_NET_ADMIN, which binding needs anyway. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0)
		return err_os(e, "netfilter log receive buffer of %d bytes", bytes);
	return ERR_OK;
}

static enum err_code open_poll(struct source_nflog *s, struct err *e)
{
	struct epoll_event in = { .events = EPOLLIN };

	s->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->rest_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->poll_fd < 0 || s->rest_fd < 0 ||
	    epoll_ctl(s->poll_fd, EPOLL_CTL_ADD, s->rest_fd, &in) < 0 ||
	    epoll_ctl(s->poll_fd, EPOLL_CTL_ADD, mnl_socket_get_fd(s->socket), &in) < 0)
		return err_os(e, "poll netfilter log");
	tell_rest(s);
	return ERR_OK;
}

static int nflog_fd(const struct source *source)
{
	return ((const struct source_nflog *)source)->poll_fd;
}

/* Closing the socket is all it takes: the kernel then gives its groups up. */
static void nflog_free(struct source *source)
{
	struct source_nflog *s = (struct source_nflog *)source;

	if (s->socket)
		(void)mnl_socket_close(s->socket);
	if (s->poll_fd >= 0)
		(void)close(s->poll_fd);
	if (s->rest_fd >= 0)
		(void)close(s->rest_fd);
	nflog_pattern_free(s->pattern);
	free(s->groups);
	free(s->messages);
	free(s);
}

static size_t nflog_figures(const struct source *source, struct source_figure out[SOURCE_FIGURES])
{
	return nflog_pattern_figures(((const struct source_nflog *)source)->pattern, out);
}

static const struct source_ops nflog_ops = {
	.name = "nflog",
	.fd = nflog_fd,
	.drain = nflog_drain,
	.figures = nflog_figures,
	.free = nflog_free,
};

static const enum raw_verdict verdicts[] = {
	[NFLOG_OTHERWISE_AUDIT] = RAW_AUDIT,
	[NFLOG_OTHERWISE_ALLOW] = RAW_ALLOW,
	[NFLOG_OTHERWISE_DENY] = RAW_DENY,
};

enum err_code source_nflog_new(const struct source_nflog_config *config, struct source **ret,
			       struct err *e)
{
	struct err own;

	e = e ? e : &own; /* the code is asked for below */
	if (check_groups(config, e) != ERR_OK)
		return e->code;

	struct source_nflog *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "nflog");
	s->source.ops = &nflog_ops;
	s->poll_fd = s->rest_fd = -1;

	AUTO(source_free) struct source *guard = &s->source;
	s->groups = calloc(config->group_count, sizeof *s->groups);
	s->messages = malloc(MESSAGES_BYTES);
	if (!s->groups || !s->messages)
		return err_set(e, ERR_NOMEM, "nflog");
	s->otherwise = verdicts[config->otherwise];
	if (nflog_pattern_new(config->pattern, &s->pattern, e) != ERR_OK ||
	    open_socket(s, config->buffer_bytes, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < config->group_count; i++) {
		uint32_t copy_bytes = config->copy_bytes ? config->copy_bytes : COPY_BYTES;

		s->groups[s->group_count++].number = config->groups[i];
		if (bind_group(s, config->groups[i], copy_bytes, (uint32_t)i + 1, e) != ERR_OK)
			return e->code;
	}
	if (open_poll(s, e) != ERR_OK)
		return e->code;
	*ret = TAKE(guard);
	return ERR_OK;
}
