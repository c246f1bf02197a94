/*
 * source_bpf_place - where the bpf source is tested: network namespaces of our own on the real
 * kernel, which have no name and go when the test program ends. Needs root.
 *
 *	node (the test)                            pod (held by a child)
 *	10.77.0.1, fd77::1  v0 ────── veth ────── v1  10.77.0.2, fd77::2
 *	10.78.0.1           dead0 (veth, its far end unused): a way on, for what is forwarded
 *
 * The observer is in the node. IPv6 is off but where a test turns it on, so that no router
 * solicitation or multicast report comes in between, and neighbours are entered by hand, so that
 * no ARP does. Everything here asserts: what fails, fails the test.
 */
#ifndef TYCHO_TESTS_UNIT_SOURCE_BPF_PLACE_H
#define TYCHO_TESTS_UNIT_SOURCE_BPF_PLACE_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>

#include "bpf/event.h"
#include "observer/source/bpf.h"

/* Set by build_place. */
struct place {
	int start_ns, node_ns, pod_ns; /* descriptors; the first is where the test came from */
	uint32_t node_inode, pod_inode;
	pid_t pod_pid;
};
extern struct place place;

static const char node_ip[] = "10.77.0.1", pod_ip[] = "10.77.0.2";

/* Group set-up and tear-down. */
int build_place(void **state);
int leave_place(void **state);

/* After each test: a failed one leaves its observer running. */
int stop_watching(void **state);

/* A shell command in the node; @return its status. */
int run(const char *format, ...) FORMAT(1, 2);
#define MUST_RUN(...) assert_int_equal(run(__VA_ARGS__), 0)
/* In front of a command, with place.pod_pid: runs it in the pod. */
#define IN_POD "nsenter -t %d -n "
/* How many lines a command says. */
unsigned lines_of(const char *command);
/* What the kernel says has passed the node's interface, in bytes. */
uint64_t interface_bytes(const char *name);
/* A child that does nothing, in a network namespace of its own. */
pid_t start_namespace(int *ret_ns);
/* Where sockets are made from now on. */
void enter(int ns);

/* An event and what its packet says, read by a few lines of our own rather than by the decoder. */
struct seen {
	enum raw_kind kind;
	uint8_t cause;
	bool l3, reply_known, reply, endpoint_side;
	enum raw_direction direction;
	uint32_t ifindex, netns, packet_bytes, captured;
	uint64_t mono_ns, packets, bytes, lost;
	char ifname[16], reason[32];
	int version; /* 4, 6, 0: not IP */
	uint8_t proto, l4[40];
	uint16_t src_port, dst_port, ethertype, vlan; /* host order; vlan in-band */
	char last;                                    /* last captured byte */
};

enum { SEEN_MAX = 8192 };

struct watch {
	struct raw_sink sink;
	struct source *source;
	struct seen seen[SEEN_MAX];
	size_t count;
};

/* Traces of v0. The long interval keeps clocks out: nothing is reported because time has passed. */
static const struct source_bpf_config traces_of_v0 = {
	.interfaces = (const char *const[]){ "v0" },
	.interface_count = 1,
	.traces = true,
	.interval_ns = 3600 * NS_PER_S,
};
static const struct source_bpf_config only_drops = { .drops = true };

/* The one observer of this program, started. */
struct watch *watch_with(const struct source_bpf_config *config);
void unwatch(struct watch *w);
/* Hands over what the rings hold. */
void drain(struct watch *w);
/* All that is known up to now: what the kernel has not reported yet included. */
void drain_all(struct watch *w);
/* Waits for the source's own readiness until @enough says so, for at most 10 s. */
bool wait_until(struct watch *w, bool (*enough)(const struct watch *w));

bool has_port(const struct seen *s, uint16_t port);
uint16_t be16_at(const uint8_t *p);
/* The @n-th trace of the connection with @port, or NULL. */
const struct seen *nth(const struct watch *w, uint8_t proto, uint16_t port, size_t n);

struct sum {
	uint64_t events, packets, bytes;
};
/* Over all traces of one direction of the connection with @port. */
struct sum sum_of(const struct watch *w, uint8_t proto, uint16_t port, bool reply);
uint64_t bytes_of_all(const struct watch *w);

#define IS_EVENT(s, cause_, reply_, packets_, bytes_)                                              \
	do {                                                                                       \
		const struct seen *s_ = (s);                                                       \
		assert_non_null(s_);                                                               \
		assert_int_equal(s_->cause, (cause_));                                             \
		assert_int_equal(s_->reply, (reply_));                                             \
		assert_int_equal(s_->packets, (packets_));                                         \
		assert_int_equal(s_->bytes, (bytes_));                                             \
	} while (0)

/* A socket in @ns, bound to @ip (any family) and @port; 0: of the kernel's choice. */
int socket_in(int ns, int type, const char *ip, uint16_t port);
uint16_t port_of(int fd);
/* As connect(2), to where the socket @to is bound. */
int connect_to(int fd, int to);
/* Two UDP sockets, connected to each other. */
void udp_pair(const char *from, const char *to, uint16_t to_port, int *ret_node, int *ret_pod);
/* One TCP connection from node to pod: @out bytes there, @back bytes back, closed by the node
 * first. @return its port. */
uint16_t talk_tcp(const char *from, const char *to, size_t out, size_t back);

#endif
