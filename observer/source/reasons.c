#include "observer/source/reasons.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "bpf/quiet.h"

struct reasons {
	bool tell_socket;
	char *names[QUIET_REASONS]; /* own; without prefix; NULL: the kernel has no such reason */
};

/*
 * What the kernel frees with a reason though nothing went wrong, by include/net/dropreason-core.h
 * and the callers:
 */
static const struct {
	const char *name;
	uint8_t quiet;
	bool always; /* not a drop at all: even those who want noise do not want it */
} quiet_names[] = {
	{ "SKB_NOT_DROPPED_YET", QUIET_ALWAYS, true },
	{ "SKB_CONSUMED", QUIET_ALWAYS, true },
	/* Real drops of older kernels and of drivers, which must be seen; but ICMP, IGMP and
	 * neighbour discovery were freed like this after they had been handled (icmp_rcv
	 * until 5.19, icmpv6_rcv until 6.4, igmp_rcv still), and still are acknowledgements that
	 * come to a connection in TIME_WAIT, and the FIN that one waits for whose program closed
	 * it first (FIN_WAIT_2). */
	{ "NOT_SPECIFIED", QUIET_CONTROL | QUIET_ACK, false },
	/* An echo reply that a raw socket (ping's, as root) has a copy of; nothing but ping waits
	   for one. */
	{ "NO_SOCKET", QUIET_CONTROL, false },
	/* Group reports on a bridge that has no port yet. */
	{ "NO_TX_TARGET", QUIET_CONTROL, false },
	/* Frames to others, on a promiscuous interface or a flooding bridge. */
	{ "OTHERHOST", QUIET_ALWAYS, false },
	/* Nobody listens to LLDP, STP, … */
	{ "UNHANDLED_PROTO", QUIET_ALWAYS, false },
	/* A socket's own filter: DHCP clients, packet captures. */
	{ "SOCKET_FILTER", QUIET_ALWAYS, false },
	/* Left unread when a socket was closed; QUEUE_PURGE since 6.9. */
	{ "SOCKET_CLOSE", QUIET_ALWAYS, false },
	{ "QUEUE_PURGE", QUIET_ALWAYS, false },
	{ "PACKET_SOCK_ERROR", QUIET_ALWAYS, false },
	/* The multicast filters of a tap interface. */
	{ "TAP_FILTER", QUIET_ALWAYS, false },
	{ "TAP_TXFILTER", QUIET_ALWAYS, false },
	/* Neighbours' IPv6 chatter where IPv6 is off. */
	{ "IPV6DISABLED", QUIET_ALWAYS, false },
	{ "DUP_FRAG", QUIET_ALWAYS, false },
	/* TCP repairing itself, or ending as it may: retransmits seen twice, segments merged, an
	   RST that was obeyed. */
	{ "TCP_OLD_DATA", QUIET_ALWAYS, false },
	{ "TCP_OFOMERGE", QUIET_ALWAYS, false },
	{ "TCP_OLD_SEQUENCE", QUIET_ALWAYS, false },
	{ "TCP_OLD_ACK", QUIET_ALWAYS, false },
	{ "TCP_TOO_OLD_ACK", QUIET_ALWAYS, false },
	{ "TCP_RFC7323_PAWS_ACK", QUIET_ALWAYS, false },
	{ "TCP_RESET", QUIET_ALWAYS, false },
};

static const char prefix[] = "SKB_DROP_REASON_";

static const char *without_prefix(const char *name)
{
	return strncmp(name, prefix, sizeof prefix - 1) == 0 ? name + sizeof prefix - 1 : name;
}

/* Parameters of the tracepoint: the hidden context, skb, location, reason and, since 6.11, the
 * socket. */
static bool has_socket_parameter(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "btf_trace_kfree_skb", BTF_KIND_TYPEDEF);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	if (t)
		t = btf__type_by_id(btf, t->type); /* typedef void (*btf_trace_kfree_skb)(…) */
	if (t && btf_is_ptr(t))
		t = btf__type_by_id(btf, t->type);
	return t && btf_is_func_proto(t) && btf_vlen(t) >= 5;
}

enum err_code reasons_new(struct reasons **ret, struct err *e)
{
	AUTO(reasons_free) struct reasons *r = calloc(1, sizeof *r);
	const struct btf_type *t;
	const struct btf_enum *v;
	struct btf *btf;
	int id;

	if (!r)
		return err_set(e, ERR_NOMEM, "drop reasons");
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
		return err_set(
			e, ERR_UNSUPPORTED,
			"this kernel has no BTF (/sys/kernel/btf/vmlinux): drops need a kernel "
			"built with CONFIG_DEBUG_INFO_BTF=y, as Debian's and Ubuntu's are");
	btf = btf__load_vmlinux_btf();
	if (!btf)
		return err_os(e, "read the kernel's BTF");
	id = btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM);
	t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	if (!t) {
		btf__free(btf);
		return err_set(
			e, ERR_UNSUPPORTED,
			"this kernel does not tell why it drops packets: drops need Linux 5.17");
	}
	v = btf_enum(t);
	for (unsigned i = 0; i < btf_vlen(t); i++) {
		const char *name = without_prefix(btf__name_by_offset(btf, v[i].name_off));

		if (v[i].val < 0 || v[i].val >= QUIET_REASONS || r->names[v[i].val])
			continue;
		r->names[v[i].val] = str_dup(str_of(name));
		if (!r->names[v[i].val]) {
			btf__free(btf);
			return err_set(e, ERR_NOMEM, "drop reasons");
		}
	}
	r->tell_socket = has_socket_parameter(btf);
	btf__free(btf);
	*ret = TAKE(r);
	return ERR_OK;
}

void reasons_free(struct reasons *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < ARRAY_LEN(r->names); i++)
		free(r->names[i]);
	free(r);
}

struct str reasons_name(const struct reasons *r, uint32_t reason, char scratch[REASON_NAME_BYTES])
{
	if (reason < QUIET_REASONS && r->names[reason])
		return str_of(r->names[reason]);
	if (reason >> 16) /* include/net/dropreason.h: SKB_DROP_REASON_SUBSYS_SHIFT */
		(void)snprintf(scratch, REASON_NAME_BYTES, "SUBSYS_%u_%u", reason >> 16,
			       reason & 0xffff);
	else
		(void)snprintf(scratch, REASON_NAME_BYTES, "REASON_%u", reason);
	return str_of(scratch);
}

uint8_t reasons_quiet(const struct reasons *r, uint32_t reason, bool noise)
{
	if (reason >= QUIET_REASONS || !r->names[reason])
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(quiet_names); i++)
		if (strcmp(r->names[reason], quiet_names[i].name) == 0)
			return noise && !quiet_names[i].always ? 0 : quiet_names[i].quiet;
	return 0;
}

bool reasons_tell_socket(const struct reasons *r)
{
	return r->tell_socket;
}
