/* observer/export: the output file, and what becomes of full ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/watch.h"
#include "observer/export/backups.h"
#include "observer/export/file.h"

enum { TEXT_BYTES = 1 << 16, NAMES = 32 };
static const struct wall_ns noon = { UINT64_C(1767182400123456789) }; /* 2025-12-31T12:00:00.123Z */

struct place {
	char folder[32], path[96];
	struct export_backups *backups;
	struct export_file *file;
};

static void remove_all(const char *folder)
{
	DIR *dir = opendir(folder);

	for (const struct dirent *d; dir && (d = readdir(dir));)
		(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		(void)closedir(dir);
	(void)rmdir(folder);
}

static void place_done(struct place *p)
{
	export_file_free(p->file);
	export_backups_free(p->backups);
	remove_all(p->folder);
}
#define AUTO_PLACE __attribute__((cleanup(place_done))) struct place

static void open_file(struct place *p, uint64_t max_bytes, uint32_t max_backups)
{
	const struct export_file_config config = { .path = p->path,
						   .max_bytes = max_bytes,
						   .max_backups = max_backups,
						   .backups = p->backups };
	struct err e;

	if (export_file_open(&config, &p->file, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static void open_place(struct place *p)
{
	(void)snprintf(p->folder, sizeof p->folder, "/tmp/tycho-export-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	(void)snprintf(p->path, sizeof p->path, "%s/flows.log", p->folder);
	assert_int_equal(export_backups_new(&p->backups, NULL), ERR_OK);
}

static void put_at(struct place *p, const char *lines, struct wall_ns now)
{
	size_t written;
	struct err e;

	if (export_file_write(p->file, str_of(lines), now, &written, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	assert_int_equal(written, strlen(lines));
}

static void put(struct place *p, const char *lines)
{
	put_at(p, lines, noon);
}

static void expect_text(const char *path, const char *want)
{
	AUTO_BUF struct buf text = buf_init(TEXT_BYTES);

	assert_int_equal(file_read(path, "file", &text, NULL), ERR_OK);
	assert_string_equal(buf_cstr(&text), want);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* What is in the folder: "a b c". */
static void expect_files(const struct place *p, const char *want)
{
	char names[NAMES][64], all[NAMES * 64] = "";
	size_t n = 0;
	DIR *dir = opendir(p->folder);

	assert_non_null(dir);
	for (const struct dirent *d; (d = readdir(dir)) && n < NAMES;)
		if (d->d_name[0] != '.')
			(void)snprintf(names[n++], sizeof names[0], "%.63s", d->d_name);
	(void)closedir(dir);
	qsort(names, n, sizeof names[0], by_name);
	for (size_t i = 0, len = 0; i < n; i++)
		len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i ? " " : "",
					names[i]);
	assert_string_equal(all, want);
}

static void expect_in(const struct place *p, const char *name, const char *want)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", p->folder, name);
	expect_text(path, want);
}

static void a_file_that_is_full_is_renamed_and_another_begins(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	open_place(&p);
	open_file(&p, 8, 5);
	put(&p, "aaa\nbbb\n"); /* to the byte */
	expect_files(&p, "flows.log");
	put(&p, "c\n");
	expect_files(&p, "flows-2025-12-31T12-00-00.123.log flows.log");
	expect_in(&p, "flows-2025-12-31T12-00-00.123.log", "aaa\nbbb\n");
	expect_text(p.path, "c\n");
	assert_int_equal(export_file_rotations(p.file), 1);
}

static void lines_written_at_once_stay_whole_over_several_files(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	open_place(&p);
	open_file(&p, 8, 5);
	put(&p, "aaaa\nbb\ncccc\ndddd\n"); /* and names of one millisecond differ */
	expect_files(&p, "flows-2025-12-31T12-00-00.123.log flows-2025-12-31T12-00-00.124.log "
			 "flows.log");
	expect_in(&p, "flows-2025-12-31T12-00-00.123.log", "aaaa\nbb\n");
	expect_in(&p, "flows-2025-12-31T12-00-00.124.log", "cccc\n");
	expect_text(p.path, "dddd\n");
}

static void a_line_that_no_file_has_room_for_has_one_of_its_own(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	open_place(&p);
	open_file(&p, 4, 5);
	put(&p, "aaaaaaaa\nb\ncc\n");
	expect_in(&p, "flows-2025-12-31T12-00-00.123.log", "aaaaaaaa\n");
	expect_in(&p, "flows-2025-12-31T12-00-00.124.log", "b\n");
	expect_text(p.path, "cc\n");
}

static void folders_that_are_missing_can_be_entered_by_their_group_whatever_the_umask(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	struct stat st;
	open_place(&p);
	(void)snprintf(p.path, sizeof p.path, "%s/sub/flows.log", p.folder);
	mode_t before = umask(0077);
	open_file(&p, 8, 5);
	put(&p, "a\n");
	(void)umask(before);
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)snprintf(p.path, sizeof p.path, "%s/sub", p.folder);
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	remove_all(p.path);
}

static void backups_beyond_the_count_are_removed_and_other_files_are_not(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	char other[128];
	open_place(&p);
	(void)snprintf(other, sizeof other, "%s/flows-of-mine.log", p.folder);
	assert_true(close(open(other, O_CREAT | O_WRONLY, 0600)) == 0);
	open_file(&p, 2, 2);
	for (int i = 0; i < 6; i++)
		put_at(&p, "x\n", (struct wall_ns){ noon.v + (uint64_t)i * NS_PER_S });
	export_backups_free(TAKE(p.backups)); /* it ends what it has to do */
	expect_files(&p, "flows-2025-12-31T12-00-04.123.log flows-2025-12-31T12-00-05.123.log "
			 "flows-of-mine.log flows.log");
}

static void a_name_that_has_become_free_is_not_taken_by_a_newer_file(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	char first[128];
	open_place(&p);
	open_file(&p, 2, 5);
	put(&p, "a\nb\n");
	(void)snprintf(first, sizeof first, "%s/flows-2025-12-31T12-00-00.123.log", p.folder);
	assert_int_equal(unlink(first), 0);
	put(&p, "c\n");
	expect_in(&p, "flows-2025-12-31T12-00-00.124.log", "b\n");
}

static void a_file_that_is_there_is_gone_on_with(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	open_place(&p);
	open_file(&p, 8, 5);
	put(&p, "aaaa\n");
	export_file_free(TAKE(p.file));
	open_file(&p, 8, 5);
	put(&p, "b\n");
	expect_text(p.path, "aaaa\nb\n");
	put(&p, "cc\n"); /* its size counts from the start */
	expect_text(p.path, "cc\n");
}

static void half_a_line_that_somebody_left_is_ended(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	open_place(&p);
	int fd = open(p.path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "aaaa\n{\"fl", 9), 9);
	(void)close(fd);
	open_file(&p, 100, 5);
	put(&p, "b\n");
	expect_text(p.path, "aaaa\n{\"fl\nb\n");
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void files_are_private_and_a_new_one_has_the_mode_of_the_old(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	char old[128];
	open_place(&p);
	open_file(&p, 8, 5);
	put(&p, "aaaa\n");
	assert_int_equal(mode_of(p.path), 0600);
	assert_int_equal(chmod(p.path, 0644), 0);
	put(&p, "bbbb\n"); /* opened anew only by the next */
	export_file_free(TAKE(p.file));
	open_file(&p, 8, 5);
	assert_int_equal(chmod(p.path, 0640), 0);
	export_file_free(TAKE(p.file));
	open_file(&p, 8, 5);
	put(&p, "cccc\n");
	assert_int_equal(mode_of(p.path), 0640);
	(void)snprintf(old, sizeof old, "%s/old", p.folder);
	assert_int_equal(rename(p.path, old), 0);
	put(&p, "d\n");
	assert_int_equal(mode_of(p.path), 0640);
}

static void a_file_that_is_moved_away_has_a_new_one_begin(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	char old[128];
	open_place(&p);
	open_file(&p, 100, 5);
	put(&p, "a\n");
	(void)snprintf(old, sizeof old, "%s/old", p.folder);
	assert_int_equal(rename(p.path, old), 0);
	put(&p, "b\n");
	expect_text(old, "a\n");
	expect_text(p.path, "b\n");
	assert_int_equal(unlink(p.path), 0);
	put(&p, "c\n");
	expect_text(p.path, "c\n");
	assert_int_equal(export_file_rotations(p.file), 0);
}

/* logrotate's way: `create 0640` */
static void a_file_that_others_put_in_its_place_is_gone_on_with(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	char old[128];
	open_place(&p);
	open_file(&p, 100, 5);
	put(&p, "a\n");
	(void)snprintf(old, sizeof old, "%s/old", p.folder);
	assert_int_equal(rename(p.path, old), 0);
	int fd = open(p.path, O_CREAT | O_WRONLY, 0640);
	assert_int_equal(write(fd, "x\n", 2), 2);
	(void)close(fd);
	put(&p, "b\n");
	expect_text(old, "a\n");
	expect_text(p.path, "x\nb\n");
	assert_int_equal(mode_of(p.path), 0640);
}

static void a_file_that_is_truncated_is_gone_on_with(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	open_place(&p);
	open_file(&p, 8, 5);
	put(&p, "aaaaaa\n");
	assert_int_equal(truncate(p.path, 0), 0);
	put(&p, "bbb\n");
	expect_text(p.path, "bbb\n");
	expect_files(&p, "flows.log");
}

static void set_file_size_limit(rlim_t bytes)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* A limit on the size of files makes writes fall short, as a full disk does. */
static void a_write_that_fails_leaves_whole_lines_only(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	size_t written;
	struct err e;
	open_place(&p);
	open_file(&p, 100, 5);
	put(&p, "aaa\n");
	set_file_size_limit(10);
	enum err_code code = export_file_write(p.file, STR("bbb\nccc\nddd\n"), noon, &written, &e);
	set_file_size_limit(RLIM_INFINITY);
	assert_int_not_equal(code, ERR_OK);
	assert_non_null(strstr(e.msg, "File too large"));
	assert_int_equal(written, 4);
	expect_text(p.path, "aaa\nbbb\n");
	put(&p, "eee\n");
	expect_text(p.path, "aaa\nbbb\neee\n");
}

static void a_pipe_that_nobody_reads_is_waited_for_once_and_has_whole_lines_after_it(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	static char big[TEXT_BYTES * 2 + 3], got[TEXT_BYTES * 2];
	int fds[2];
	size_t written, have = 0;
	struct err e;
	open_place(&p);
	assert_int_equal(pipe(fds), 0);
	(void)snprintf(p.path, sizeof p.path, "/proc/self/fd/%d", fds[1]);
	open_file(&p, 4, 5); /* no stream is ever full */
	put(&p, "aaaaaaaaaa\n");
	memset(big, 'b', sizeof big - 2);
	big[sizeof big - 2] = '\n';
	for (int i = 0; i < 2; i++) {
		assert_int_equal(export_file_write(p.file, str_of(big), noon, &written, &e),
				 ERR_TIMEOUT);
		assert_int_equal(written, 0);
	}
	have = (size_t)read(fds[0], got, sizeof got);
	assert_memory_equal(got, "aaaaaaaaaa\nbbb", 14);
	assert_int_equal(got[have - 1], 'b');
	put(&p, "c\n");
	have = (size_t)read(fds[0], got, sizeof got);
	assert_int_equal(have, 3);
	assert_memory_equal(got, "\nc\n", 3);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void a_file_that_stands_for_a_descriptor_is_never_renamed(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	char path[96];
	open_place(&p);
	(void)snprintf(path, sizeof path, "%s", p.path);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	(void)snprintf(p.path, sizeof p.path, "/proc/self/fd/%d", fd);
	open_file(&p, 4, 5);
	put(&p, "aaaaaa\nbbbbbb\n");
	expect_text(path, "aaaaaa\nbbbbbb\n");
	expect_files(&p, "flows.log");
	(void)close(fd);
}

static void a_path_that_cannot_be_written_is_said_at_once(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	struct export_file *f;
	struct err e;
	open_place(&p);
	const struct export_file_config folder = { .path = p.folder, .backups = p.backups };
	assert_int_not_equal(export_file_open(&folder, &f, &e), ERR_OK);
	assert_non_null(strstr(e.msg, "Is a directory"));
	const struct export_file_config below = { .path = "/dev/null/x", .backups = p.backups };
	assert_int_not_equal(export_file_open(&below, &f, &e), ERR_OK);
}

static void folders_that_are_missing_are_made(void **state)
{
	(void)state;
	AUTO_PLACE p = { 0 };
	char folder[64];
	open_place(&p);
	(void)snprintf(folder, sizeof folder, "%s/a", p.folder);
	(void)snprintf(p.path, sizeof p.path, "%s/flows.log", folder);
	open_file(&p, 100, 5);
	put(&p, "a\n");
	assert_int_equal(mode_of(folder), 0750);
	remove_all(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_is_full_is_renamed_and_another_begins),
		cmocka_unit_test(lines_written_at_once_stay_whole_over_several_files),
		cmocka_unit_test(a_line_that_no_file_has_room_for_has_one_of_its_own),
		cmocka_unit_test(
			folders_that_are_missing_can_be_entered_by_their_group_whatever_the_umask),
		cmocka_unit_test(backups_beyond_the_count_are_removed_and_other_files_are_not),
		cmocka_unit_test(a_name_that_has_become_free_is_not_taken_by_a_newer_file),
		cmocka_unit_test(a_file_that_is_there_is_gone_on_with),
		cmocka_unit_test(half_a_line_that_somebody_left_is_ended),
		cmocka_unit_test(files_are_private_and_a_new_one_has_the_mode_of_the_old),
		cmocka_unit_test(a_file_that_is_moved_away_has_a_new_one_begin),
		cmocka_unit_test(a_file_that_others_put_in_its_place_is_gone_on_with),
		cmocka_unit_test(a_file_that_is_truncated_is_gone_on_with),
		cmocka_unit_test(a_write_that_fails_leaves_whole_lines_only),
		cmocka_unit_test(
			a_pipe_that_nobody_reads_is_waited_for_once_and_has_whole_lines_after_it),
		cmocka_unit_test(a_file_that_stands_for_a_descriptor_is_never_renamed),
		cmocka_unit_test(a_path_that_cannot_be_written_is_said_at_once),
		cmocka_unit_test(folders_that_are_missing_are_made),
	};

	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
