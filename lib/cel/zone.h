/*
 * zone - time zones: how far a place's clocks are from UTC at a time.
 *
 * A zone is "+05:30", "-08:00", "02:00" (east of UTC), "UTC" or "", or a name of the system's time
 * zone database
 * ("Europe/Berlin"). Source: timeZone() in cel-go common/types/timestamp.go; RFC 8536 for the
 * files.
 *
 * Limits   after the last change that its file lists (in Debian's: 2037) a place keeps its clocks.
 * Threads  a zone is immutable.
 */
#ifndef TYCHO_CEL_ZONE_H
#define TYCHO_CEL_ZONE_H

#include "base/err.h"
#include "base/str.h"

struct zone;

/* ERR_NOT_FOUND "unknown time zone Mars/Base", ERR_INVALID for an offset that is none, ERR_NOMEM.
 * Reads a file. */
MUST_CHECK enum err_code zone_new(struct str name, struct zone **ret, struct err *e);
void zone_free(struct zone *z);
AUTO_DEFINE(struct zone, zone_free);
/* Seconds to be added to UTC at @epoch_s. */
int32_t zone_offset_s(const struct zone *z, int64_t epoch_s);

#endif
