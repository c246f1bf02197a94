#include "evidence/send_syslog.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/time.h"

enum { MESSAGE_MAX = 64 << 10, HOST_MAX = 256, PRIORITY = LOG_DAEMON | LOG_NOTICE };

static bool split_where(const char *where, char host[HOST_MAX], const char **ret_port)
{
	struct str s = str_of(where);
	size_t colon = str_find_last(s, ':');
	struct str name = str_upto(s, colon);

	if (colon == s.len || colon + 1 == s.len)
		return false;
	if (name.len > 2 && name.p[0] == '[' && name.p[name.len - 1] == ']')
		name = str_n(name.p + 1, name.len - 2);
	if (!name.len || name.len >= HOST_MAX || memchr(name.p, '[', name.len) ||
	    memchr(name.p, ']', name.len))
		return false;
	memcpy(host, name.p, name.len);
	host[name.len] = 0;
	*ret_port = where + colon + 1;
	return true;
}

bool syslog_where_is_valid(const char *where)
{
	char host[HOST_MAX];
	const char *port;
	uint64_t number;

	if (*where == '/')
		return strlen(where) < sizeof((struct sockaddr_un *)0)->sun_path;
	return split_where(where, host, &port) && parse_u64(str_of(port), UINT16_MAX, &number) &&
	       number;
}

static int patient_socket(int family, int type, unsigned timeout_ms)
{
	const struct timeval t = { .tv_sec = timeout_ms / 1000,
				   .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	/* On Linux connect(2) heeds the time to send, too. */
	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	}
	return fd;
}

/* --- local --- */

static enum err_code to_local(const char *path, struct str line, unsigned timeout_ms, struct err *e)
{
	AUTO_BUF struct buf message = buf_init(MESSAGE_MAX);
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	time_t now = (time_t)(wall_now().v / NS_PER_S);
	struct tm t;
	char stamp[32] = "";

	if (localtime_r(&now, &t))
		(void)strftime(stamp, sizeof stamp, "%b %e %T", &t);
	buf_printf(&message, "<%d>%s tycho-observer[%d]: checkpoint ", PRIORITY, stamp,
		   (int)getpid());
	buf_str_put(&message, line);
	if (message.failed)
		return err_set(e, ERR_NOMEM, "a line to syslog");
	(void)snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	AUTO_FD int fd = patient_socket(AF_UNIX, SOCK_DGRAM, timeout_ms);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 ||
	    send(fd, message.p, message.len, MSG_NOSIGNAL) != (ssize_t)message.len)
		return err_os(e, "syslog at '%s'", path);
	return ERR_OK;
}

/* --- far --- */

static enum err_code connect_to(const char *where, unsigned timeout_ms, int *ret_fd, struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char host[HOST_MAX];
	const char *port;
	int fd = -1, os = 0;

	if (!split_where(where, host, &port))
		return err_set(e, ERR_INVALID, "syslog at '%s': no host and port", where);
	int rc = getaddrinfo(host, port, &hints, &found);
	if (rc)
		return err_set(e, ERR_UNAVAILABLE, "syslog at '%s': %s", where, gai_strerror(rc));
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
		fd = patient_socket(a->ai_family, a->ai_socktype, timeout_ms);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		os = errno == EINPROGRESS ? ETIMEDOUT : errno;
		if (fd >= 0)
			(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	if (fd < 0)
		return err_errno(e, os, "syslog at '%s'", where);
	*ret_fd = fd;
	return ERR_OK;
}

static bool send_all(int fd, struct str s)
{
	while (s.len) {
		ssize_t n = send(fd, s.p, s.len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		s = str_from(s, (size_t)n);
	}
	return true;
}

static enum err_code to_far(const char *where, struct str line, unsigned timeout_ms, struct err *e)
{
	AUTO_BUF struct buf message = buf_init(MESSAGE_MAX), frame = buf_init(MESSAGE_MAX + 16);
	char host[HOST_MAX] = "-", byte;
	AUTO_FD int fd = -1;

	/* RFC 5424 §6: version, time, host, program, process, kind of message, no structured data
	 */
	(void)gethostname(host, sizeof host - 1);
	buf_printf(&message, "<%d>1 ", PRIORITY);
	timestamp_put(&message, timestamp_of((struct wall_ns){ wall_now().v / 1000 * 1000 }));
	buf_printf(&message, " %s tycho-observer %d checkpoint - ", *host ? host : "-",
		   (int)getpid());
	buf_str_put(&message, line);
	buf_printf(&frame, "%zu ", message.len);
	buf_str_put(&frame, buf_str(&message));
	if (frame.failed || message.failed)
		return err_set(e, ERR_NOMEM, "a line to syslog");
	enum err_code code = connect_to(where, timeout_ms, &fd, e);
	if (code != ERR_OK)
		return code;
	if (!send_all(fd, buf_str(&frame)) || shutdown(fd, SHUT_WR) != 0 ||
	    recv(fd, &byte, 1, 0) < 0)
		return err_os(e, "syslog at '%s'", where);
	return ERR_OK;
}

enum err_code send_to_syslog(const char *where, struct str line, unsigned timeout_ms, struct err *e)
{
	line = str_trim(line);
	return *where == '/' ? to_local(where, line, timeout_ms, e)
			     : to_far(where, line, timeout_ms, e);
}
