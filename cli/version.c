#include "cli/command.h"
#include "config.h"

#include <stdio.h>
#include <sys/utsname.h>

#include "base/buf.h"

const char *cli_version(void)
{
	return TYCHO_VERSION;
}

const char *cli_api_version(void)
{
	return TYCHO_HUBBLE_VERSION;
}

static enum err_code run_version(struct cli *cli, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(512);
	struct utsname system;

	(void)cli;
	buf_printf(&text, "tycho %s compiled with %s", TYCHO_VERSION,
#ifdef __clang__
		   "clang " __clang_version__
#else
		   "gcc " __VERSION__
#endif
	);
	if (uname(&system) == 0)
		buf_printf(&text, " on linux/%s", system.machine);
	buf_printf(&text, "\nspeaks the API of Hubble %s\n", TYCHO_HUBBLE_VERSION);
	return cli_write(buf_str(&text), e);
}

const struct command version_command = {
	.name = "version",
	.help = "Print the version",
	.details = "Prints the version of this command and of the API that it speaks.",
	.ignores_words = true,
	.run = run_version,
};
