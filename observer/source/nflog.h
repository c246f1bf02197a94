/*
 * source nflog - netfilter log groups: rules with `log group N prefix "…"` become verdicts.
 *
 *	nft rule ──► the kernel's queue per group ──► netlink socket ──► drain ──► RAW_VERDICT
 *
 * The prefix names the verdict. The default form is
 *	tycho:<allow|deny|audit>:<ingress|egress>:<policy>       (policy may hold colons)
 * Without a pattern of one's own, Calico's prefixes are read as well (nflog_known.c):
 *	DPI|default, APE0|knp/shop/db, …; calico-drop:, calico-packet:
 * A pattern of one's own is a PCRE2 expression with the named groups verdict, direction and policy,
 * each optional. The verdict group may also say accept, pass; drop, reject, block; the direction
 * group in, input, inbound; out, output, outbound; capitals or not. What does not match is a
 * verdict without policy: direction unknown, "audit", or what the configuration says.
 *
 * Interface  the packet's input interface for an ingress verdict, its output interface for an
 *            egress one; the other one where the hook knows only that.
 * Time       the kernel's, where it stamped the packet (wall clock, microseconds); else when it
 *            was read.
 * Delay      the kernel hands packets over in batches: after 64 packets, or after 50 ms.
 * Loss       gaps in the kernel's sequence numbers are counted per group, from its first packet
 *            on. When the socket overflows (ENOBUFS) at least one packet is reported as lost at
 *            once; the rest when the next packet shows how many.
 */
#ifndef TYCHO_OBSERVER_SOURCE_NFLOG_H
#define TYCHO_OBSERVER_SOURCE_NFLOG_H

#include "observer/source/source.h"

/* The verdict of packets whose prefix does not match. */
enum nflog_otherwise { NFLOG_OTHERWISE_AUDIT, NFLOG_OTHERWISE_ALLOW, NFLOG_OTHERWISE_DENY };

struct source_nflog_config {
	const uint16_t *groups;
	size_t group_count;  /* at least one, each once */
	const char *pattern; /* NULL: the default form */
	enum nflog_otherwise otherwise;
	uint32_t copy_bytes;   /* packet bytes to ask for; 0: 192 */
	uint32_t buffer_bytes; /* socket receive buffer; 0: 4 MiB */
};

/* ERR_PERMISSION (CAP_NET_ADMIN), ERR_EXISTS (another program reads the group), ERR_INVALID (bad
 * pattern, with its offset; no group, or one twice), ERR_UNSUPPORTED (kernel without
 * nfnetlink_log). */
MUST_CHECK enum err_code source_nflog_new(const struct source_nflog_config *config,
					  struct source **ret, struct err *e);

/* The reader of prefixes, for its own sake: fuzzed and tested apart. One thread at a time. */
struct nflog_pattern;
/* @pattern NULL: the default form. ERR_INVALID names the offset of what is wrong, or the group that
 * has no meaning. */
MUST_CHECK enum err_code nflog_pattern_new(const char *pattern, struct nflog_pattern **ret,
					   struct err *e);
void nflog_pattern_free(struct nflog_pattern *p);
AUTO_DEFINE(struct nflog_pattern, nflog_pattern_free);
/* Fills verdict, direction, policy (with namespace and kind) and prefix of @ev; these borrow from
 * @prefix. False: it does not match. Bounded: a pattern that takes too long for a prefix does not
 * match it, and that is counted. */
bool nflog_pattern_read(struct nflog_pattern *p, struct str prefix, struct raw_event *ev);
/* The figure of a source that reads prefixes: those that took too long. @return 1. */
size_t nflog_pattern_figures(const struct nflog_pattern *p,
			     struct source_figure out[SOURCE_FIGURES]);

/* The prefixes that others write; of the default form's reader. Fills what it knows. */
bool nflog_known_read(struct str prefix, struct raw_event *ev);

#endif
