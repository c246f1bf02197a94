#include "users_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct folder folder_of(const char *content)
{
	struct folder f = { "/tmp/tycho-users-XXXXXX", "" };

	assert_non_null(mkdtemp(f.path));
	(void)snprintf(f.file, sizeof f.file, "%s/users", f.path);
	FILE *file = fopen(f.file, "we");
	assert_non_null(file);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
	return f;
}

void folder_done(struct folder *f)
{
	(void)unlink(f->file);
	(void)rmdir(f->path);
}
