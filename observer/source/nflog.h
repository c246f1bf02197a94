/*
 * source nflog - netfilter log groups: rules with `log group N prefix "…"` become policy verdicts.
 *
 * The prefix names the verdict. Default form  tycho:<allow|deny|audit>:<ingress|egress>:<policy>  (policy may hold further
 * colons); a pattern of one's own is a PCRE2 expression with the named groups verdict, direction and policy, each optional.
 * What does not match is a verdict without policy: direction unknown, "audit".
 * Loss     netlink overruns (ENOBUFS) and gaps in the kernel's own sequence numbers are counted.
 */
#ifndef TYCHO_OBSERVER_SOURCE_NFLOG_H
#define TYCHO_OBSERVER_SOURCE_NFLOG_H

#include "observer/source/source.h"

struct source_nflog_config {
	const uint16_t *groups;
	size_t group_count;      /* at least one */
	const char *pattern;     /* NULL: the default form */
	uint32_t copy_bytes;     /* packet bytes to ask for; 0: 192 */
	uint32_t buffer_bytes;   /* socket receive buffer; 0: 4 MiB */
};

/* ERR_PERMISSION (CAP_NET_ADMIN), ERR_EXISTS (another program reads the group), ERR_INVALID (bad pattern, with its offset). */
MUST_CHECK enum err_code source_nflog_new(const struct source_nflog_config *config, struct source **ret, struct err *e);

/* The reader of prefixes, for its own sake: fuzzed and tested apart. */
struct nflog_pattern;
MUST_CHECK enum err_code nflog_pattern_new(const char *pattern, struct nflog_pattern **ret, struct err *e);
void nflog_pattern_free(struct nflog_pattern *p);
AUTO_DEFINE(struct nflog_pattern, nflog_pattern_free);
/* Fills verdict, direction, policy and prefix of @ev. */
void nflog_pattern_read(const struct nflog_pattern *p, struct str prefix, struct raw_event *ev);

#endif
