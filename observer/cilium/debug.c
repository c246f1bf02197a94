#include "observer/cilium/debug.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "flow/names.h"

/*
 * One text per number. What stands for an argument, N being 1, 2 or 3:
 *
 *	%dN decimal     %xN hexadecimal    %hN the low half, in network order, decimal
 *	%4N IPv4        %6N the last two groups of an IPv6 address
 *	%uN upper half  %lN lower half     %UN upper half, in network order
 *	%bN low byte    %gN all but the low byte
 *	%c conntrack tuple in 1 and 2      %s conntrack state or drop reason in 1
 *	%e system error in 1               %t direction in 2
 */
static const char *const texts[] = {
	[1] = "No message, arg1=%d1 (0x%x1) arg2=%d2 (0x%x2)",
	[2] = "Attempting local delivery for container id %d1 from seclabel %d2",
	[3] = "Encapsulating to node %d1 (0x%x1) from seclabel %d2",
	[4] = "Local container found ifindex  seclabel %h2",
	[5] = "Policy evaluation would deny packet from %d1 to %d2",
	[6] = "CT lookup: %c",
	[7] = "CT reverse lookup: %c",
	[8] = "CT entry found lifetime=%d1, revnat=%h2",
	[9] = "CT created 1/2: %c revnat=%h3",
	[10] = "CT created 2/2: %41 revnat=%h2",
	[11] = "Handling ICMPv6 type=%d1",
	[12] = "ICMPv6 echo request for router offset=%d1",
	[13] = "ICMPv6 neighbour soliciation for address %x1:%x2",
	[14] = "Sending ICMPv6 time exceeded",
	[15] = "CT verdict: %s, revnat=%h2",
	[16] = "Tunnel decap: id=%d1 flowlabel=%x2",
	[17] = "Mapping port from=%d1 to=%d2",
	[18] = "BPF function %d1 returned error %d2",
	[19] = "Going to host, policy-skip=%d1",
	[20] = "Going to the stack, policy-skip=%d1",
	[21] = "Packet hash=%d1 (0x%x1), selected_service=%d2",
	[22] = "Frontend service lookup, addr.p4=%x1 key.dport=%h2",
	[23] = "Frontend service lookup failed, addr.p2=%x1 addr.p3=%x2",
	[24] = "Service backend slot lookup: slot=%d1, dport=%h2",
	[25] = "Service backend slot lookup result: target.p4=%x1 port=%h2",
	[26] = "Service backend slot lookup failed: slot=%d1, dport=%h2",
	[27] = "Backend service lookup failed: backend_id=%d1",
	[28] = "Reverse NAT lookup, index=%h1",
	[29] = "Performing reverse NAT, address.p4=%x1 port=%h2",
	[30] = "Frontend service lookup, addr=%41 key.dport=%h2",
	[31] = "Frontend service lookup failed",
	[32] = "Service backend slot lookup: slot=%d1, dport=%h2",
	[33] = "Service backend slot lookup result: target=%41 port=%h2",
	[34] = "Service backend slot lookup failed: slot=%d1, dport=%h2",
	[35] = "Backend service lookup failed: backend_id=%d1",
	[36] = "Reverse NAT lookup, index=%h1",
	[37] = "Performing reverse NAT, address=%41 port=%h2",
	[38] = "Loopback SNAT from=%41 to=%42",
	[39] = "Loopback reverse SNAT from=%41 to=%42",
	[40] = "CT lookup address: %41",
	[41] = "RR backend slot selection hash=%d1 (0x%x1), selected_service=%d2",
	[42] = "Reverse proxy lookup sport=%U1 dport=%h1 saddr=%42 nexthdr=%d3",
	[43] = "Reverse proxy entry found, orig-daddr=%41 orig-dport=%d2",
	[44] = "Reverse proxy updated sport=%U1 dport=%h1 saddr=%42 nexthdr=%d3",
	[45] = "Resolved L4 policy to: %h1 / %t",
	[46] = "Destination is inside cluster prefix, source identity: %d1",
	[47] = "Attempting encapsulation, lookup key: %41, identity: %d2",
	[48] = "Conntrack lookup 1/2: src=%41:%l3 dst=%42:%u3",
	[49] = "Conntrack lookup 2/2: nexthdr=%g1 flags=%b1 dir=%d2 scope=%d3",
	[50] = "Conntrack create: proxy-port=%u1 revnat=%h1 src-identity=%d2 lb=%43",
	[51] = "Conntrack lookup 1/2: src=[::%61]:%l3 dst=[::%62]:%u3",
	[52] = "Conntrack lookup 2/2: nexthdr=%g1 flags=%b1 dir=%d2 scope=%d3",
	[53] = "Conntrack create: proxy-port=%u1 revnat=%h1 src-identity=%d2",
	[54] = "Skipping proxy, tc_index is set=%x1",
	[55] = "Matched L4 policy; creating conntrack src=%d1 dst=%d2 dport=%U3 proto=%b3",
	[56] = "Failed to map addr=%41 to identity",
	[57] = "Failed to map addr.p4=[::%61] to identity",
	[58] = "Successfully mapped addr=%41 to identity=%d2",
	[59] = "Successfully mapped addr.p4=[::%61] to identity=%d2",
	[60] = "Stale CT entry found stale_ct.rev_nat_id=%d2, svc.rev_nat_id=%d1",
	[61] = "Inheriting identity=%d1 from stack",
	[62] = "Socket lookup: src=%41:%l3 dst=%42:%u3",
	[63] = "Socket lookup: src=[::%61]:%l3 dst=[::%62]:%u3",
	[64] = "Socket assign: %e",
	[65] = "L7 LB from %41 to %42: proxy port %d3",
	[66] = "Loopback SNAT from.p4=%x1 to.p4=%x2",
	[67] = "Loopback reverse SNAT from.p4=%x1 to.p4=%x2",
};

static void put_ip4(struct buf *b, uint32_t arg)
{
	uint8_t ip[4];

	memcpy(ip, &arg, sizeof ip); /* the kernel's own order: the bytes lie as in the packet */
	buf_printf(b, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
}

static void put_tuple(struct buf *b, uint32_t ports, uint32_t rest)
{
	static const char *const flags[] = { "", "OUT", "RELATED", "OUT, RELATED" };

	buf_printf(b, "sport=%u dport=%u nexthdr=%u flags=%s", ports >> 16, ports & 0xffff,
		   rest >> 8, flags[rest & 3]);
}

/* Conntrack states of bpf/lib/conntrack.h; anything else is a drop reason, of which the low byte
 * counts. */
static void put_state(struct buf *b, uint32_t state)
{
	static const char *const states[] = { "New", "Established", "Reply", "Related" };
	const char *reason = drop_reason_text((uint8_t)state);

	if (state < ARRAY_LEN(states))
		buf_printf(b, "%s", states[state]);
	else if (reason)
		buf_printf(b, "%s", reason);
	else
		buf_printf(b, "%u, 0", state & 0xff);
}

/* Go's texts of system errors are the C library's, in lower case but for abbreviations; it has none
 * for EHWPOISON, the last one. */
static void put_error(struct buf *b, uint32_t number)
{
	const char *text = number <= ERFKILL ? strerrordesc_np((int)number) : NULL;

	if (!number)
		buf_lit(b, "Success");
	else if (!text)
		buf_printf(b, "errno %u", number);
	else if (isupper((unsigned char)text[0]) && !isupper((unsigned char)text[1]))
		buf_printf(b, "%c%s", tolower((unsigned char)text[0]), text + 1);
	else
		buf_printf(b, "%s", text);
}

static void put_argument(struct buf *b, char how, uint32_t v)
{
	switch (how) {
	case 'd':
		buf_u64(b, v);
		break;
	case 'x':
		buf_printf(b, "%x", v);
		break;
	case 'h':
		buf_u64(b, ntohs((uint16_t)v));
		break;
	case '4':
		put_ip4(b, v);
		break;
	case '6':
		buf_printf(b, "%x:%x", ntohl(v) >> 16, ntohl(v) & 0xffff);
		break;
	case 'u':
		buf_u64(b, v >> 16);
		break;
	case 'l':
		buf_u64(b, v & 0xffff);
		break;
	case 'U':
		buf_u64(b, ntohs((uint16_t)(v >> 16)));
		break;
	case 'b':
		buf_u64(b, v & 0xff);
		break;
	case 'g':
		buf_u64(b, v >> 8);
		break;
	default:
		break;
	}
}

void debug_text_put(struct buf *b, uint8_t subtype, uint32_t arg1, uint32_t arg2, uint32_t arg3)
{
	const uint32_t args[] = { arg1, arg2, arg3 };
	const char *text = subtype < ARRAY_LEN(texts) ? texts[subtype] : NULL;

	if (!text) {
		buf_printf(b, "Unknown message type=%u arg1=%u arg2=%u", subtype, arg1, arg2);
		return;
	}
	for (; *text; text++) {
		if (*text != '%') {
			buf_char(b, *text);
			continue;
		}
		switch (*++text) {
		case 'c':
			put_tuple(b, arg1, arg2);
			break;
		case 's':
			put_state(b, arg1);
			break;
		case 'e':
			put_error(b, arg1);
			break;
		case 't':
			buf_str_put(b, arg2 == 0   ? STR("egress")
				       : arg2 == 1 ? STR("ingress")
						   : STR(""));
			break;
		default:
			put_argument(b, text[0], args[text[1] - '1']);
			text++;
			break;
		}
	}
}
