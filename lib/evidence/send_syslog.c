#include "evidence/send_syslog.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/time.h"

enum {
	MESSAGE_MAX = 64 << 10, /* bytes, but for UDP */
	HOST_MAX = 256,
	PRIORITY = LOG_DAEMON | LOG_NOTICE,
	REFUSAL_MS = 100, /* how long a host's word that nobody listens is waited for */
};

static bool split_where(const char *where, char host[HOST_MAX], const char **ret_port)
{
	struct str s = str_of(where);
	size_t colon = str_find_last(s, ':');
	struct str name = str_upto(s, colon);

	if (colon == s.len || colon + 1 == s.len)
		return false;
	bool is_bracketed = name.len > 2 && name.p[0] == '[' && name.p[name.len - 1] == ']';
	if (is_bracketed)
		name = str_n(name.p + 1, name.len - 2);
	/* "::1:514" could be read in two ways */
	if (!name.len || name.len >= HOST_MAX || memchr(name.p, '[', name.len) ||
	    memchr(name.p, ']', name.len) || is_bracketed != !!memchr(name.p, ':', name.len))
		return false;
	memcpy(host, name.p, name.len);
	host[name.len] = 0;
	*ret_port = where + colon + 1;
	return true;
}

static bool far_is_valid(const char *where)
{
	char host[HOST_MAX];
	const char *port;
	uint64_t number;

	return split_where(where, host, &port) && parse_u64(str_of(port), UINT16_MAX, &number) &&
	       number;
}

bool syslog_place_parse(const char *text, struct syslog_place *ret)
{
	static const struct {
		const char *prefix;
		struct syslog_place place;
	} far[] = { { "syslog://", { .by = SYSLOG_TCP } },
		    { "syslog+tcp://", { .by = SYSLOG_TCP } },
		    { "syslog+tls://", { .by = SYSLOG_TLS } },
		    { "syslog+udp://", { .by = SYSLOG_UDP } } };
	struct syslog_place place = { .by = SYSLOG_LOCAL, .where = "/dev/log" };

	if (str_has_prefix(str_of(text), STR("syslog:/")))
		place.where = text + strlen("syslog:");
	else if (strcmp(text, "syslog") != 0)
		place.where = "";
	for (size_t i = 0; i < ARRAY_LEN(far); i++)
		if (str_has_prefix(str_of(text), str_of(far[i].prefix))) {
			place = far[i].place;
			place.where = text + strlen(far[i].prefix);
		}
	if (place.by != SYSLOG_LOCAL
		    ? !far_is_valid(place.where)
		    : *place.where != '/' ||
			      strlen(place.where) >= sizeof((struct sockaddr_un *)0)->sun_path)
		return false;
	*ret = place;
	return true;
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

/* RFC 5424 §6: version, time, host, program, process, kind of message, no structured data */
static void message_put(struct buf *b, struct str line)
{
	char host[HOST_MAX] = "-";

	(void)gethostname(host, sizeof host - 1);
	buf_printf(b, "<%d>1 ", PRIORITY);
	timestamp_put(b, timestamp_of((struct wall_ns){ wall_now().v / 1000 * 1000 }));
	buf_printf(b, " %s tycho-observer %d checkpoint - ", *host ? host : "-", (int)getpid());
	buf_str_put(b, line);
}

static enum err_code look_up(const char *where, int type, struct addrinfo **ret, struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = type };
	char host[HOST_MAX];
	const char *port;

	if (!split_where(where, host, &port))
		return err_set(e, ERR_UNAVAILABLE, "syslog at '%s': no host and port", where);
	int rc = getaddrinfo(host, port, &hints, ret);
	if (rc)
		return err_set(e, ERR_UNAVAILABLE, "syslog at '%s': %s", where,
			       rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	return ERR_OK;
}

/* @return a socket, or an errno below zero. */
static int connect_to(const struct addrinfo *a, unsigned timeout_ms)
{
	int fd = patient_socket(a->ai_family, a->ai_socktype, timeout_ms);

	if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	int os = errno == EINPROGRESS ? ETIMEDOUT : errno;
	if (fd >= 0)
		(void)close(fd);
	return -os;
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

/* RFC 6587 §3.4.1, RFC 5425 §4.3: its length goes before a message. */
static bool frame_put(struct buf *b, struct str line)
{
	AUTO_BUF struct buf message = buf_init(MESSAGE_MAX);

	message_put(&message, line);
	buf_printf(b, "%zu ", message.len);
	buf_str_put(b, buf_str(&message));
	return !b->failed && !message.failed;
}

static enum err_code over_tcp(int fd, struct str frame, const char *where, struct err *e)
{
	char byte;

	if (!send_all(fd, frame) || shutdown(fd, SHUT_WR) != 0 || recv(fd, &byte, 1, 0) < 0)
		return err_os(e, "syslog at '%s'", where);
	return ERR_OK;
}

static enum err_code over_tls(int fd, struct str frame, const char *where,
			      const struct send_tls *tls, struct err *e)
{
	char host[HOST_MAX];
	const char *port;

	if (!split_where(where, host, &port) || send_over_tls(fd, host, tls, frame, e) != ERR_OK)
		return err_in(e, "syslog at '%s'", where);
	return ERR_OK;
}

/* @tls: NULL for plain TCP. */
static enum err_code to_stream(const char *where, struct str line, const struct send_tls *tls,
			       unsigned timeout_ms, struct err *e)
{
	AUTO_BUF struct buf frame = buf_init(MESSAGE_MAX + 16);
	struct addrinfo *found = NULL;
	int connected = -EADDRNOTAVAIL;

	if (!frame_put(&frame, line))
		return err_set(e, ERR_NOMEM, "a line to syslog");
	enum err_code code = look_up(where, SOCK_STREAM, &found, e);
	if (code != ERR_OK)
		return code;
	for (const struct addrinfo *a = found; a && connected < 0; a = a->ai_next)
		connected = connect_to(a, timeout_ms);
	freeaddrinfo(found);
	if (connected < 0)
		return err_errno(e, connected, "syslog at '%s'", where);
	AUTO_FD int fd = connected;
	return tls ? over_tls(fd, buf_str(&frame), where, tls, e)
		   : over_tcp(fd, buf_str(&frame), where, e);
}

/* @return an errno; 0: it has left, and nobody said no. */
static int datagram_to(const struct addrinfo *a, struct str message, unsigned timeout_ms)
{
	int connected = connect_to(a, timeout_ms), os = 0;
	socklen_t len = sizeof os;

	if (connected < 0)
		return -connected;
	AUTO_FD int fd = connected;
	if (send(fd, message.p, message.len, MSG_NOSIGNAL) != (ssize_t)message.len)
		return errno;
	/* "Port unreachable" (RFC 1122 §4.1.3.3) comes back as an error of the connected socket. */
	struct pollfd p = { .fd = fd };
	if (poll(&p, 1, REFUSAL_MS) > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &os, &len) != 0)
		return errno;
	return os;
}

static enum err_code to_udp(const char *where, struct str line, unsigned timeout_ms, struct err *e)
{
	char space[SYSLOG_UDP_MAX];
	struct buf message = buf_fixed(space, sizeof space);
	struct addrinfo *found = NULL;
	int os = EADDRNOTAVAIL;

	message_put(&message, line);
	if (message.failed)
		return err_set(e, ERR_NOMEM, "syslog at '%s': the line is too long for a datagram",
			       where);
	enum err_code code = look_up(where, SOCK_DGRAM, &found, e);
	if (code != ERR_OK)
		return code;
	for (const struct addrinfo *a = found; a && os; a = a->ai_next)
		os = datagram_to(a, buf_str(&message), timeout_ms);
	freeaddrinfo(found);
	return os ? err_errno(e, os, "syslog at '%s'", where) : ERR_OK;
}

bool syslog_takes(const struct syslog_place *to, struct str line)
{
	char space[SYSLOG_UDP_MAX];
	struct buf message = buf_fixed(space, sizeof space);

	message_put(&message, str_trim(line));
	return to->by != SYSLOG_UDP || !message.failed;
}

enum err_code send_to_syslog(const struct syslog_place *to, struct str line,
			     const struct send_tls *tls, unsigned timeout_ms, struct err *e)
{
	line = str_trim(line);
	switch (to->by) {
	case SYSLOG_LOCAL:
		return to_local(to->where, line, timeout_ms, e);
	case SYSLOG_TCP:
		return to_stream(to->where, line, NULL, timeout_ms, e);
	case SYSLOG_TLS:
		return to_stream(to->where, line, tls, timeout_ms, e);
	case SYSLOG_UDP:
		return to_udp(to->where, line, timeout_ms, e);
	}
	return ERR_OK;
}
