#include "base/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void state_folder(char *ret, size_t size)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		(void)snprintf(ret, size, "/var/lib/tycho");
	else if (state && *state)
		(void)snprintf(ret, size, "%s/tycho", state);
	else
		(void)snprintf(ret, size, "%s/.local/state/tycho", home ? home : "");
}
