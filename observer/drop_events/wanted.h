/*
 * drop_wanted - which drops become events, and how often: what the options --drop-events… say.
 */
#ifndef TYCHO_OBSERVER_DROP_EVENTS_WANTED_H
#define TYCHO_OBSERVER_DROP_EVENTS_WANTED_H

#include "base/err.h"
#include "base/str.h"

enum { DROP_REASONS = 256, DROP_RATE_MAX = 1000 };

struct drop_wanted {
	bool on;
	bool extended;                       /* with policies */
	uint64_t interval_ns;                /* the same once in this time; 0: each */
	uint32_t rate;                       /* events a second at most; 0: as many as there are */
	uint64_t reasons[DROP_REASONS / 64]; /* bits by flow.DropReason */
};

/* Of two minutes, one a second, and what policy or missing authentication drops. */
struct drop_wanted drop_wanted_default(void);
/* Reasons by name, as "policy_denied,auth_required": commas or blanks between them, in either case.
 * ERR_INVALID: none, or one that there is not, with a sentence that names what may have been
 * meant. */
MUST_CHECK enum err_code drop_wanted_reasons(struct drop_wanted *w, struct str list, struct err *e);

static inline bool drop_wanted_has(const struct drop_wanted *w, uint32_t reason)
{
	return reason < DROP_REASONS && w->reasons[reason / 64] >> reason % 64 & 1;
}

#endif
