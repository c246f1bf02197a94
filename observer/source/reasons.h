/*
 * reasons - the running kernel's drop reasons: their names, and which of them are part of normal
 * operation.
 *
 * Numbers of enum skb_drop_reason change from kernel to kernel, names do not; so names are read
 * from the kernel's own BTF and all decisions go by name.
 */
#ifndef TYCHO_OBSERVER_SOURCE_REASONS_H
#define TYCHO_OBSERVER_SOURCE_REASONS_H

#include "base/err.h"
#include "base/str.h"

struct reasons;

/* ERR_UNSUPPORTED: the kernel has no BTF, or is older than drop reasons (5.17). ERR_NOMEM. */
MUST_CHECK enum err_code reasons_new(struct reasons **ret, struct err *e);
void reasons_free(struct reasons *r); /* NULL is a no-op */
AUTO_DEFINE(struct reasons, reasons_free);

enum { REASON_NAME_BYTES = 24 };
/* "NETFILTER_DROP"; for a reason without a name, as those of subsystems have, "SUBSYS_3_12" or
 * "REASON_200", written to @scratch. Borrowed from @r or @scratch. */
struct str reasons_name(const struct reasons *r, uint32_t reason, char scratch[REASON_NAME_BYTES]);
/* How the drop program treats @reason: enum quiet (bpf/quiet.h). @noise: normal operation is wanted
 * too. */
uint8_t reasons_quiet(const struct reasons *r, uint32_t reason, bool noise);
/* True if the kernel's tracepoint tells the receiving socket. */
bool reasons_tell_socket(const struct reasons *r);

#endif
