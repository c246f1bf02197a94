/* observer/log/epoch: numbers that never repeat. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "observer/log/epoch.h"

static const struct wall_ns noon = { UINT64_C(1700000000) * NS_PER_S };

/* A folder of the test's own; its files are removed with it. */
static int make_dir(void **state)
{
	char template[] = "/tmp/tycho-epoch-XXXXXX";

	*state = mkdtemp(template) ? str_dup(str_of(template)) : NULL;
	return *state ? 0 : -1;
}

static void path_in(const char *dir, const char *name, char path[300])
{
	(void)snprintf(path, 300, "%s/%s", dir, name);
}

static int remove_dir(void **state)
{
	char path[300];

	path_in(*state, "seq", path);
	(void)unlink(path);
	path_in(*state, "seq.new", path);
	(void)unlink(path);
	int rc = rmdir(*state);
	free(*state);
	return rc;
}

static void write_seq(const char *dir, const char *text)
{
	char path[300];

	path_in(dir, "seq", path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static uint64_t run(const char *dir, struct wall_ns now)
{
	AUTO(epoch_free) struct epoch *ep = NULL;
	struct err e = { 0 };

	if (epoch_open(dir, now, &ep, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return epoch_first_seq(ep);
}

static void the_first_run_starts_at_the_clock(void **state)
{
	assert_true(run(*state, noon) > noon.v);
	assert_true(run(*state, noon) - noon.v < 2 * EPOCH_RUN_RECORDS);
}

static void a_later_run_starts_higher_even_if_the_clock_stands_still_or_goes_back(void **state)
{
	uint64_t first = run(*state, noon);
	uint64_t second = run(*state, noon);
	uint64_t third = run(*state, (struct wall_ns){ 1 });
	uint64_t fourth = run(*state, (struct wall_ns){ 2 * noon.v });

	assert_true(second >= first + EPOCH_RUN_RECORDS);
	assert_true(third >= second + EPOCH_RUN_RECORDS);
	assert_true(fourth > 2 * noon.v);
}

static void the_clock_alone_orders_runs_too(void **state)
{
	(void)state;
	uint64_t first = epoch_from_clock(noon);
	uint64_t later = epoch_from_clock((struct wall_ns){ noon.v + NS_PER_S });

	/* a second's worth of records, at the rate that no machine reaches */
	assert_true(first + NS_PER_S - 1 < later);
	assert_true(epoch_from_clock((struct wall_ns){ 0 }) >= 1);
	assert_true(epoch_from_clock((struct wall_ns){ UINT64_MAX }) < UINT64_C(1) << 63);
}

static void two_observers_cannot_share_a_directory(void **state)
{
	AUTO(epoch_free) struct epoch *first = NULL, *second = NULL;
	struct err e;

	assert_int_equal(epoch_open(*state, noon, &first, &e), ERR_OK);
	assert_int_equal(epoch_open(*state, noon, &second, &e), ERR_EXISTS);
	assert_null(second);
	assert_non_null(strstr(e.msg, "another observer"));
	epoch_free(TAKE(first));
	assert_int_equal(epoch_open(*state, noon, &second, &e), ERR_OK);
}

static void a_damaged_file_is_named_and_left_alone(void **state)
{
	static const char *const damaged[] = {
		"",
		"\n",
		"17\n",
		"00000000000000000000\n",
		"99999999999999999999\n",
		"0170000000000000000x\n",
		"01700000000000000001",
		"01700000000000000001\n\n",
		" 1700000000000000001\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		struct epoch *ep = NULL;
		struct err e;
		write_seq(*state, damaged[i]);
		assert_int_equal(epoch_open(*state, noon, &ep, &e), ERR_PARSE);
		assert_null(ep);
		assert_non_null(strstr(e.msg, *state));
		assert_int_equal(epoch_open(*state, noon, &ep, NULL), ERR_PARSE);
	}
}

static void a_file_half_written_by_a_crash_does_no_harm(void **state)
{
	char path[300];
	uint64_t first = run(*state, noon);

	path_in(*state, "seq.new", path);
	int fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_true(fd >= 0 && write(fd, "017", 3) == 3 && close(fd) == 0);
	assert_true(run(*state, noon) >= first + EPOCH_RUN_RECORDS);
}

static void a_directory_that_is_missing_or_no_directory_is_an_error(void **state)
{
	char path[300];
	struct epoch *ep = NULL;
	struct err e;

	path_in(*state, "nowhere", path);
	assert_int_equal(epoch_open(path, noon, &ep, &e), ERR_NOT_FOUND);
	write_seq(*state, "01700000000000000001\n");
	path_in(*state, "seq", path);
	assert_int_not_equal(epoch_open(path, noon, &ep, &e), ERR_OK);
	assert_null(ep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_run_starts_at_the_clock, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(
			a_later_run_starts_higher_even_if_the_clock_stands_still_or_goes_back,
			make_dir, remove_dir),
		cmocka_unit_test(the_clock_alone_orders_runs_too),
		cmocka_unit_test_setup_teardown(two_observers_cannot_share_a_directory, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_named_and_left_alone, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(a_file_half_written_by_a_crash_does_no_harm,
						make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_directory_that_is_missing_or_no_directory_is_an_error, make_dir,
			remove_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
