/*
 * source kernel-log - what netfilter's LOG rules write into the kernel's own log becomes verdicts.
 *
 *	nft … log prefix "calico-packet: " ─► /dev/kmsg ─► record ─► line ─► packet ─► RAW_VERDICT
 *
 * Record   "pri,sequence,usec,flags;message", one a read (Documentation/ABI/testing/dev-kmsg of
 *          Linux). Only those of the kernel itself (facility 0) count: others are written by
 *          programs.
 * Line     "PREFIX" "IN=… OUT=… … SRC=… DST=… … PROTO=…" (net/netfilter/nf_log_syslog.c). What it
 *          tells of the headers is put together as a packet again, and goes the way of all packets.
 *          The prefix is read as that of a netfilter log group (observer/source/nflog.h).
 * Time     when it was read, which is at once: the log's stamps are of another clock.
 * Begin    with what is logged from the start on.
 * Loss     a log that overran us says so; the gap in sequence numbers is counted, lines of others
 *          included. A line of more than KERNEL_LOG_LINE_MAX bytes is lost.
 */
#ifndef TYCHO_OBSERVER_SOURCE_KERNEL_LOG_H
#define TYCHO_OBSERVER_SOURCE_KERNEL_LOG_H

#include "observer/source/nflog.h"

#define KERNEL_LOG_DEFAULT_PATH "/dev/kmsg"
enum { KERNEL_LOG_LINE_MAX = 8192, KERNEL_LOG_PACKET_BYTES = 64 };

struct source_kernel_log_config {
	const char *path;    /* a device, or a pipe that carries the same */
	const char *pattern; /* as of netfilter log groups */
	enum nflog_otherwise otherwise;
};

/* ERR_INVALID: a bad pattern, or neither device nor pipe; ERR_PERMISSION, with what is needed. */
MUST_CHECK enum err_code source_kernel_log_new(const struct source_kernel_log_config *config,
					       struct source **ret, struct err *e);

/* The reader of lines, for its own sake: fuzzed and tested apart. */
struct kernel_log_line {
	struct str prefix, in, out; /* borrowed from the message */
	uint8_t packet[KERNEL_LOG_PACKET_BYTES];
	size_t packet_bytes;   /* of the headers put together */
	uint32_t length_bytes; /* of the packet itself */
	uint16_t ethertype;
};
/* False: no line of netfilter's about an IP packet. */
bool kernel_log_read(struct str message, struct kernel_log_line *ret);
/* The head of a record. False: it has none, as lines that go on with the one before. */
bool kernel_log_head(struct str record, uint64_t *ret_sequence, bool *ret_kernel,
		     struct str *ret_message);

#endif
