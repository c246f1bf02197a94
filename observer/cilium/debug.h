/*
 * debug - the texts of Cilium's debug messages.
 *
 * Source   pkg/monitor/datapath_debug.go of Cilium 1.19; reference/cilium-events.md 3.5. As there,
 *          the texts of numbers 66 to 68 are one off: it lacks number 66.
 * Threads  pure.
 */
#ifndef TYCHO_OBSERVER_CILIUM_DEBUG_H
#define TYCHO_OBSERVER_CILIUM_DEBUG_H

#include "base/buf.h"

void debug_text_put(struct buf *b, uint8_t subtype, uint32_t arg1, uint32_t arg2, uint32_t arg3);

#endif
