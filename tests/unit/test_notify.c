/* base/notify: what a service manager hears. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/notify.h"
#include "base/own.h"

/* Listens at @name ('@' in front: abstract), which becomes $NOTIFY_SOCKET. */
static int listen_at(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", name);
	if (*name == '@')
		a.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&a,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void expect(int fd, const char *want)
{
	char got[64] = "";

	assert_int_equal(recv(fd, got, sizeof got - 1, 0), (int)strlen(want));
	assert_string_equal(got, want);
}

static void a_manager_hears_the_state_on_a_socket_of_either_kind(void **state)
{
	char path[] = "/tmp/tycho-notify-XXXXXX", name[128];

	(void)state;
	assert_non_null(mkdtemp(path));
	(void)snprintf(name, sizeof name, "%s/s", path);
	{
		AUTO_FD int fd = listen_at(name);
		notify_send("READY=1");
		expect(fd, "READY=1");
	}
	assert_int_equal(unlink(name), 0);
	assert_int_equal(rmdir(path), 0);
	(void)snprintf(name, sizeof name, "@tycho-notify-%d", (int)getpid());
	AUTO_FD int fd = listen_at(name);
	notify_send("STOPPING=1");
	expect(fd, "STOPPING=1");
}

static void nobody_who_listens_is_no_trouble(void **state)
{
	static char longer[300];

	(void)state;
	memset(longer, 'x', sizeof longer - 1);
	longer[0] = '/';
	const char *const names[] = { "", "/nowhere/at/all", "relative", "@", longer };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
		notify_send("READY=1");
	}
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	notify_send("READY=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manager_hears_the_state_on_a_socket_of_either_kind),
		cmocka_unit_test(nobody_who_listens_is_no_trouble),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
