#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/time.h"

enum { ARGS_MOST = 256 };

/* Path of @program beside our own; false if there is none. */
static bool find_beside(const char *program, char *out, size_t size)
{
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);

	if (n <= 0)
		return false;
	own[n] = '\0';
	char *slash = strrchr(own, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return (size_t)snprintf(out, size, "%s/%s", own, program) < size && access(out, X_OK) == 0;
}

/* The child's side, up to exec. Only calls that are safe after fork. */
static void become_child(char *const *argv, const char *path, bool at_terminal, int ready_fd,
			 pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (!at_terminal)
		(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);                  /* the parent died before the signal was arranged */
	(void)fcntl(ready_fd, F_SETFD, 0); /* let this one through exec */
	if (path)
		(void)execv(path, argv);
	else
		(void)execvp(argv[0], argv);
	static const char sorry[] =
		": not found beside tycho or in PATH; install it, or run it from "
		"its build directory\n";
	(void)!write(STDERR_FILENO, argv[0], strlen(argv[0]));
	(void)!write(STDERR_FILENO, sorry, sizeof sorry - 1);
	_exit(127);
}

/* Reads the child's one line, "ready ADDRESS…" or "failed SENTENCE". */
static enum err_code wait_until_ready(struct child *c, int fd, struct err *e)
{
	char line[CHILD_ADDRESSES_BYTES + 16];
	size_t len = 0;

	while (len + 1 < sizeof line && !memchr(line, '\n', len)) {
		ssize_t n = read(fd, line + len, sizeof line - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	struct str s = str_trim(str_n(line, len));
	if (str_has_prefix(s, STR("failed ")))
		return err_set(e, ERR_UNAVAILABLE, "%.*s", STR_FMT(str_from(s, strlen("failed "))));
	if (!str_has_prefix(s, STR("ready ")))
		return err_set(e, ERR_UNAVAILABLE, "%s did not start", c->program);
	s = str_trim(str_from(s, strlen("ready ")));
	(void)snprintf(c->addresses, sizeof c->addresses, "%.*s", STR_FMT(s));
	return ERR_OK;
}

/* Folders of $PATH, as execvp goes through them. */
static bool is_in_path(const char *program)
{
	struct str rest = str_of(getenv("PATH")), folder;
	char path[PATH_MAX];

	while (str_split(&rest, ':', &folder))
		if ((size_t)snprintf(path, sizeof path, "%.*s/%s", STR_FMT(folder), program) <
			    sizeof path &&
		    folder.len && access(path, X_OK) == 0)
			return true;
	return false;
}

bool child_is_there(const char *program)
{
	char path[PATH_MAX];

	return find_beside(program, path, sizeof path) || is_in_path(program);
}

enum err_code child_become(const char *program, char *const *argv, struct err *e)
{
	char path[PATH_MAX];

	if (find_beside(program, path, sizeof path))
		(void)execv(path, argv);
	else
		(void)execvp(program, argv);
	return err_os(e, "start %s", program);
}

enum err_code child_start(const char *program, const char *const *args, size_t arg_count,
			  struct child *ret, struct err *e)
{
	char path[PATH_MAX], ready[32];
	const char *argv[ARGS_MOST + 3];
	size_t argc = 0;
	int fds[2];

	if (arg_count > ARGS_MOST)
		return err_set(e, ERR_INVALID, "more than %d options for %s", ARGS_MOST, program);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_os(e, "pipe");
	AUTO_FD int read_fd = fds[0];
	AUTO_FD int write_fd = fds[1];
	(void)snprintf(ready, sizeof ready, "--ready-fd=%d", write_fd);
	argv[argc++] = program;
	argv[argc++] = ready;
	for (size_t i = 0; i < arg_count; i++)
		argv[argc++] = args[i];
	argv[argc] = NULL;
	bool beside = find_beside(program, path, sizeof path);
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return err_os(e, "start %s", program);
	if (pid == 0) {
		/* exec's prototype predates const; it does not write */
		char *words[ARGS_MOST + 3];
		memcpy(words, argv, sizeof words);
		become_child(words, beside ? path : NULL, ret->at_terminal, write_fd, parent);
	}
	ret->program = program;
	ret->pid = pid;
	(void)close(TAKE_FD(write_fd));
	if (wait_until_ready(ret, read_fd, e) != ERR_OK) {
		child_stop(ret, 1);
		return e->code;
	}
	return ERR_OK;
}

bool child_has_ended(struct child *c)
{
	if (c->pid && waitpid(c->pid, NULL, WNOHANG) == c->pid)
		c->pid = 0;
	return c->pid == 0;
}

void child_stop(struct child *c, unsigned grace_s)
{
	if (child_has_ended(c))
		return;
	(void)kill(c->pid, SIGTERM);
	/* A pidfd becomes readable when the process ends (Linux 5.3). */
	AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	struct pollfd waiting = { .fd = pidfd, .events = POLLIN };
	struct mono_ns until = { mono_now().v + grace_s * NS_PER_S };
	while (pidfd >= 0 && !waiting.revents && mono_now().v < until.v)
		(void)poll(&waiting, 1, (int)((until.v - mono_now().v) / NS_PER_MS) + 1);
	if (pidfd >= 0 && !waiting.revents)
		(void)kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}
