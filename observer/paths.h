/*
 * paths - where an observer keeps its socket and its state.
 */
#ifndef TYCHO_OBSERVER_PATHS_H
#define TYCHO_OBSERVER_PATHS_H

#include "base/err.h"

enum { PATHS_BYTES = 512 };

/* "unix:///run/tycho/observer.sock" for root, under $XDG_RUNTIME_DIR/tycho otherwise. */
void paths_default_listen(char ret[PATHS_BYTES]);
/* "/var/lib/tycho" for root, $XDG_STATE_HOME/tycho (~/.local/state/tycho) otherwise. */
void paths_default_state(char ret[PATHS_BYTES]);
/* Makes the folders on the way to the socket of @address, if it is a unix one. */
MUST_CHECK enum err_code paths_make_socket_folder(const char *address, struct err *e);
/* Makes @dir and its parents, 0750. */
MUST_CHECK enum err_code paths_make_folder(const char *dir, struct err *e);

#endif
