#include "observer/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/net.h"
#include "base/state.h"
#include "base/str.h"

static const char *env_or(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v && *v ? v : otherwise;
}

void paths_default_listen(char ret[PATHS_BYTES])
{
	const char *runtime = env_or("XDG_RUNTIME_DIR", NULL);
	char state[PATHS_BYTES];

	paths_default_state(state);
	if (geteuid() == 0)
		(void)snprintf(ret, PATHS_BYTES, "unix:///run/tycho/observer.sock");
	else if (runtime)
		(void)snprintf(ret, PATHS_BYTES, "unix://%s/tycho/observer.sock", runtime);
	else
		(void)snprintf(ret, PATHS_BYTES, "unix://%.480s/observer.sock", state);
}

void paths_default_state(char ret[PATHS_BYTES])
{
	state_folder(ret, PATHS_BYTES);
}

enum err_code paths_make_folder(const char *dir, struct err *e)
{
	char path[PATHS_BYTES];

	if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path)
		return err_set(e, ERR_INVALID, "folder name is longer than %d bytes",
			       PATHS_BYTES - 1);
	for (char *slash = path + 1; *slash; slash++) {
		if (*slash != '/')
			continue;
		*slash = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return err_os(e, "make folder '%s'", path);
		*slash = '/';
	}
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return err_os(e, "make folder '%s'", path);
	return ERR_OK;
}

enum err_code paths_make_socket_folder(const char *address, struct err *e)
{
	struct str path = str_of(address);

	if (!address_is_unix(address))
		return ERR_OK;
	path = str_from(path, strlen("unix:"));
	if (str_has_prefix(path, STR("//")))
		path = str_from(path, 2);
	size_t slash = str_find_last(path, '/');
	if (slash == 0 || slash == path.len)
		return ERR_OK;
	char dir[PATHS_BYTES];
	(void)snprintf(dir, sizeof dir, "%.*s", (int)slash, path.p);
	if (paths_make_folder(dir, e) != ERR_OK) /* where nobody named it, too */
		return err_in(e, "listen on '%s'", address);
	return ERR_OK;
}
