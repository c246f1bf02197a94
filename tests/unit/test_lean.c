/* observer/lean: what is let go of comes back as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "observer/lean.h"

static int twice(int v)
{
	return 2 * v;
}

/* Relocated at the start and read-only from then on: such a page is no longer the file's. */
static int (*const relocated[])(int) = { twice, abs };
static const char *const texts[] = { "one", "two" };

/* Kilobytes of this process's memory that are mapped from files. */
static unsigned long mapped_kib(void)
{
	char line[256];
	unsigned long kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, "RssFile:", 8) == 0)
			kib = strtoul(line + 8, NULL, 10);
	assert_int_equal(fclose(f), 0);
	return kib;
}

static void code_and_constants_are_there_after_they_were_let_go_of(void **state)
{
	static int written = 5;

	(void)state;
	lean_start();
	for (int i = 0; i < 3; i++) {
		written++;
		lean_image();
		lean_heap();
		assert_int_equal(relocated[0](21), 42);
		assert_int_equal(relocated[1](-7), 7);
		assert_string_equal(texts[1], "two");
		assert_int_equal(written, 6 + i);
	}
}

/* Nothing but this test uses the program's pages meanwhile, and it uses few. */
static void fewer_pages_of_files_are_in_memory(void **state)
{
	unsigned long before, after;

	(void)state;
	before = mapped_kib();
	lean_image();
	after = mapped_kib();
	assert_true(after < before);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(fewer_pages_of_files_are_in_memory),
	cmocka_unit_test(code_and_constants_are_there_after_they_were_let_go_of),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
