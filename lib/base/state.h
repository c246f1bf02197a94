/*
 * state - the folder where an observer keeps what outlives it: its store, numbers, keys.
 */
#ifndef TYCHO_BASE_STATE_H
#define TYCHO_BASE_STATE_H

#include <stddef.h>

/* "/var/lib/tycho" for root, $XDG_STATE_HOME/tycho (~/.local/state/tycho) otherwise; cut at
 * @size. */
void state_folder(char *ret, size_t size);

#endif
