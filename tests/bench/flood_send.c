/*
 * flood_send - sends UDP packets of ever new connections over a raw socket.
 *
 *	flood_send INTERFACE RATE SECONDS DROP_EVERY DROP_MAC
 *
 * RATE in packets a second, 0 for as fast as possible. Sources are ENDPOINTS addresses from
 * 10.64.0.0 on, each with ever new ports, so no two packets are of one connection. Every
 * DROP_EVERY-th packet goes to DROP_MAC, 10.9.0.1 port 9, for a firewall to drop; the others go to
 * a host that is not there. Prints "sent N dropped M": N packets, M of them to port 9.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"

enum {
	ENDPOINTS = 5000,
	PORTS = 60000, /* of each endpoint, from 1024 on */
	BATCH = 64,
	FRAME_BYTES = 64,
	IP_BYTES = FRAME_BYTES - ETH_HLEN,
	PORT_DISCARD = 9, /* RFC 863 */
};

struct frames {
	uint8_t bytes[BATCH][FRAME_BYTES];
	struct iovec io[BATCH];
	struct mmsghdr msgs[BATCH];
};

struct task {
	int fd;
	uint64_t rate, seconds, drop_every;
	uint8_t drop_mac[6];
	uint64_t sent, dropped;
};

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* RFC 1071 over the 20 bytes at @ip. */
static uint32_t checksum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16)) & 0xffff;
}

static void frames_init(struct frames *f)
{
	static const uint8_t elsewhere[12] = { 2, 0, 0, 0, 0xee, 1, 2, 0, 0, 0, 0xee, 2 };

	for (int i = 0; i < BATCH; i++) {
		uint8_t *p = f->bytes[i], *ip = p + ETH_HLEN, *udp = ip + 20;
		memcpy(p, elsewhere, sizeof elsewhere);
		put16(p + 12, ETH_P_IP);
		ip[0] = 0x45; /* RFC 791 */
		put16(ip + 2, IP_BYTES);
		ip[8] = 64;
		ip[9] = IPPROTO_UDP;
		memcpy(ip + 16, (const uint8_t[]){ 10, 9, 0, 1 }, 4);
		put16(udp + 4, IP_BYTES - 20); /* RFC 768; no checksum */
		f->io[i] = (struct iovec){ p, FRAME_BYTES };
		f->msgs[i].msg_hdr.msg_iov = &f->io[i];
		f->msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

static void make_frame(struct task *t, uint8_t *p, uint64_t number)
{
	static const uint8_t elsewhere[6] = { 2, 0, 0, 0, 0xee, 1 };
	uint8_t *ip = p + ETH_HLEN, *udp = ip + 20;
	uint32_t endpoint = (uint32_t)(number % ENDPOINTS);
	bool drop = t->drop_every && number % t->drop_every == 0;

	memcpy(p, drop ? t->drop_mac : elsewhere, 6);
	memcpy(ip + 12, (const uint8_t[]){ 10, 64, (uint8_t)(endpoint >> 8), (uint8_t)endpoint },
	       4);
	put16(ip + 10, 0);
	put16(ip + 10, checksum(ip));
	put16(udp, 1024 + (uint32_t)(number / ENDPOINTS % PORTS));
	put16(udp + 2, drop ? PORT_DISCARD : 4000 + (uint32_t)(number / ENDPOINTS / PORTS % 1000));
	t->dropped += drop;
}

static bool send_batch(struct task *t, struct frames *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		make_frame(t, f->bytes[i], t->sent + i);
	for (unsigned done = 0; done < n;) {
		int k = sendmmsg(t->fd, f->msgs + done, n - done, 0);
		if (k < 0 && errno != ENOBUFS && errno != EINTR)
			return false;
		done += k > 0 ? (unsigned)k : 0;
	}
	t->sent += n;
	return true;
}

static bool flood(struct task *t)
{
	static struct frames f;
	uint64_t start = mono_now().v, end = start + t->seconds * NS_PER_S;

	frames_init(&f);
	for (uint64_t now = start; now < end; now = mono_now().v) {
		uint64_t due = t->rate ? (now - start) * t->rate / NS_PER_S - t->sent : BATCH;
		if (!due) {
			(void)nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
			continue;
		}
		if (!send_batch(t, &f, due < BATCH ? (unsigned)due : BATCH))
			return false;
	}
	return true;
}

static bool parse_mac(const char *text, uint8_t ret[6])
{
	unsigned v[6];

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", v, v + 1, v + 2, v + 3, v + 4, v + 5) != 6)
		return false;
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)v[i];
	return true;
}

int main(int argc, char **argv)
{
	struct task t = { .fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) };
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	int one = 1;

	if (argc != 6 || !parse_u64(str_of(argv[2]), UINT32_MAX, &t.rate) ||
	    !parse_u64(str_of(argv[3]), 3600, &t.seconds) ||
	    !parse_u64(str_of(argv[4]), UINT32_MAX, &t.drop_every) ||
	    !parse_mac(argv[5], t.drop_mac)) {
		(void)fprintf(stderr,
			      "usage: flood_send INTERFACE RATE SECONDS DROP_EVERY DROP_MAC\n");
		return 1;
	}
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (t.fd < 0 || setsockopt(t.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0 ||
	    bind(t.fd, (const struct sockaddr *)&to, sizeof to) < 0 || !flood(&t)) {
		perror("flood_send");
		return 1;
	}
	(void)printf("sent %llu dropped %llu\n", (unsigned long long)t.sent,
		     (unsigned long long)t.dropped);
	(void)close(t.fd);
	return 0;
}
