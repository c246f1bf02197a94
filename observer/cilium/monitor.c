#include "observer/cilium/monitor.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "base/counter.h"
#include "base/log.h"
#include "observer/cilium/cilium.h"
#include "observer/cilium/gob.h"
#include "observer/source/notice.h"

enum {
	BUFFER_BYTES = MONITOR_MESSAGE_MAX + 16, /* and its length */
	RECORD_LOST = 2,                         /* Payload.Type */
};
/* Whatever texts a message has, and if each of their bytes is to be replaced. */
_Static_assert(CILIUM_EXT_BYTES > 3 * MONITOR_MESSAGE_MAX, "an agent's record fits");
static const uint64_t first_pause_ns = 100 * NS_PER_MS, last_pause_ns = 5 * NS_PER_S;

struct monitor {
	struct source source; /* first */
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	int poll_fd, timer_fd, rest_fd;
	int socket; /* -1: not connected */
	uint64_t first_pause_ns, pause_ns;
	bool told_away;          /* that nobody is there has been logged */
	struct wall_ns heard_at; /* when something last came; 0: never */
	struct gob_types types;
	char *bytes;     /* BUFFER_BYTES */
	size_t from, to; /* what is unread of it */
	size_t skip;     /* bytes of a message too large that are still to come */
	_Atomic bool connected;
	_Atomic uint64_t connects, samples, lost, bad_streams;
};

struct source_cilium_monitor_counts source_cilium_monitor_counts(const struct source *s)
{
	const struct monitor *m = (const struct monitor *)s;

	return (struct source_cilium_monitor_counts){
		.connected = atomic_load_explicit(&m->connected, memory_order_relaxed),
		.connects = counter_get(&m->connects),
		.samples = counter_get(&m->samples),
		.lost = counter_get(&m->lost),
		.bad_streams = counter_get(&m->bad_streams),
	};
}

/* --- connection --------------------------------------------------------------------------- */

static void try_later(struct monitor *m)
{
	const struct itimerspec at = { .it_value = { (time_t)(m->pause_ns / NS_PER_S),
						     (long)(m->pause_ns % NS_PER_S) } };

	(void)timerfd_settime(m->timer_fd, 0, &at, NULL); /* cannot fail with such a time */
	m->pause_ns = m->pause_ns * 2 < last_pause_ns ? m->pause_ns * 2 : last_pause_ns;
}

/* Closes the connection; @why is for people. */
static void drop(struct monitor *m, struct raw_sink *sink, const char *why)
{
	(void)close(m->socket); /* and thereby out of the epoll */
	m->socket = -1;
	m->from = m->to = m->skip = 0;
	atomic_store_explicit(&m->connected, false, memory_order_relaxed);
	log_warn("cilium's monitor socket is away, trying again", "path=%s err=%s",
		 LOG_QUOTE(m->path), LOG_QUOTE(why));
	m->told_away = true;
	notice_event(sink, "cilium-lost", m->path, "error", why);
	m->heard_at = wall_now();
	try_later(m);
}

static void note_away(struct monitor *m, int os)
{
	if (!m->told_away)
		log_warn("cilium's monitor socket is not there, trying again", "path=%s errno=%d",
			 LOG_QUOTE(m->path), os);
	m->told_away = true;
	try_later(m);
}

static void note_connected(struct monitor *m, struct raw_sink *sink)
{
	struct wall_ns now = wall_now();

	gob_types_reset(&m->types);
	m->told_away = false;
	atomic_store_explicit(&m->connected, true, memory_order_relaxed);
	counter_add(&m->connects, 1);
	log_info("reading cilium's monitor socket", "path=%s", LOG_QUOTE(m->path));
	notice_event(sink, "cilium-connected", m->path, NULL, NULL);
	if (m->heard_at.v)
		notice_gap(sink, m->heard_at, now);
	m->heard_at = now;
}

static void try_connect(struct monitor *m, struct raw_sink *sink)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct epoll_event in = { .events = EPOLLIN };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path, m->path, sizeof to.sun_path);
	/* A local socket connects at once or not at all. */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) < 0 ||
	    epoll_ctl(m->poll_fd, EPOLL_CTL_ADD, fd, &in) < 0) {
		note_away(m, errno);
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	m->socket = fd;
	note_connected(m, sink);
}

/* --- stream ------------------------------------------------------------------------------- */

struct payload {
	struct str data;
	int64_t cpu, lost, type;
};
static const struct gob_want wants[] = {
	{ "Data", GOB_WANT_TEXT, offsetof(struct payload, data), NULL },
	{ "CPU", GOB_WANT_NUMBER, offsetof(struct payload, cpu), NULL },
	{ "Lost", GOB_WANT_NUMBER, offsetof(struct payload, lost), NULL },
	{ "Type", GOB_WANT_NUMBER, offsetof(struct payload, type), NULL },
	{ NULL, GOB_WANT_NUMBER, 0, NULL },
};

static void hand_lost(struct monitor *m, struct raw_sink *sink, uint64_t lost, int32_t cpu)
{
	const struct raw_event ev = { .kind = RAW_LOST, .lost = lost, .cpu = cpu };

	counter_add(&m->lost, lost);
	sink->event(sink, &ev);
}

/* @return events handed on: 0 or 1. */
static size_t hand_payload(struct monitor *m, struct raw_sink *sink, const struct payload *p)
{
	int32_t cpu = p->cpu >= 0 && p->cpu <= INT32_MAX ? (int32_t)p->cpu : -1;

	if (p->type == RECORD_LOST) {
		if (p->lost)
			hand_lost(m, sink, (uint64_t)p->lost, cpu);
		return p->lost != 0;
	}
	const struct raw_event ev = { .kind = RAW_CILIUM_MONITOR, .packet = p->data, .cpu = cpu };
	counter_add(&m->samples, 1);
	sink->event(sink, &ev);
	return 1;
}

/* A message whose body is @body. @return false: this is no monitor stream. */
static bool take_message(struct monitor *m, struct raw_sink *sink, struct str body, size_t *n)
{
	struct payload p;
	struct gob value;
	int32_t id;

	switch (gob_take(&m->types, body, &id, &value)) {
	case GOB_DEFINED:
		return true;
	case GOB_BAD:
		return false;
	case GOB_VALUE:
		break;
	}
	if (!gob_read(&value, &m->types, id, wants, &p))
		return false;
	*n += hand_payload(m, sink, &p);
	return true;
}

/* Makes room behind what is unread. */
static void make_room(struct monitor *m)
{
	memmove(m->bytes, m->bytes + m->from, m->to - m->from);
	m->to -= m->from;
	m->from = 0;
}

/* A message that does not fit is stepped over. */
static void step_over(struct monitor *m, struct raw_sink *sink, size_t message_bytes, size_t *n)
{
	size_t here = m->to - m->from;

	m->skip = message_bytes - here;
	m->from = m->to = 0;
	hand_lost(m, sink, 1, -1);
	(*n)++;
}

enum progress { MORE, STARVED, BROKEN };

/* Takes messages that are whole, until @n reaches @max. */
static enum progress take_messages(struct monitor *m, struct raw_sink *sink, size_t max, size_t *n)
{
	size_t head, body;

	while (*n < max) {
		struct str unread = str_n(m->bytes + m->from, m->to - m->from);
		switch (gob_frame(unread, &head, &body)) {
		case GOB_FRAME_BAD:
			return BROKEN;
		case GOB_FRAME_SHORT:
			if (head + body > BUFFER_BYTES)
				step_over(m, sink, head + body, n);
			else if (m->from)
				make_room(m);
			return STARVED;
		case GOB_FRAME_WHOLE:
			m->from += head + body;
			if (!take_message(m, sink, str_n(unread.p + head, body), n))
				return BROKEN;
			break;
		}
	}
	return MORE;
}

/* @return false when there is nothing to read now; *@ret_why is set when there never will be. */
static bool receive(struct monitor *m, const char **ret_why)
{
	ssize_t got;

	do
		got = recv(m->socket, m->bytes + m->to, BUFFER_BYTES - m->to, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		*ret_why = "the agent closed it";
	else if (got < 0 && errno != EAGAIN)
		*ret_why = strerrordesc_np(errno);
	if (got <= 0)
		return false;
	size_t skip = m->skip < (size_t)got ? m->skip : (size_t)got;
	m->skip -= skip;
	if (skip) /* the buffer is empty while bytes are skipped */
		m->from = skip;
	m->to += (size_t)got;
	if (m->from == m->to)
		m->from = m->to = 0;
	m->pause_ns = m->first_pause_ns;
	return true;
}

/* The next poll comes back at once. */
static void tell_rest(const struct monitor *m)
{
	uint64_t one = 1;

	(void)!write(m->rest_fd, &one, sizeof one); /* an eventfd cannot be full at 1 */
}

static size_t monitor_drain(struct source *source, struct raw_sink *sink, size_t max)
{
	struct monitor *m = (struct monitor *)source;
	uint64_t times;
	size_t n = 0;
	const char *why = NULL;

	(void)!read(m->rest_fd, &times, sizeof times);
	if (read(m->timer_fd, &times, sizeof times) == sizeof times && m->socket < 0)
		try_connect(m, sink);
	while (m->socket >= 0 && n < max) {
		enum progress progress = take_messages(m, sink, max, &n);
		if (progress == BROKEN) {
			counter_add(&m->bad_streams, 1);
			drop(m, sink, "this is no stream of monitor events");
		} else if (progress == MORE) {
			tell_rest(m);
		} else if (!receive(m, &why)) {
			if (why)
				drop(m, sink, why);
			break;
		}
	}
	if (m->socket >= 0 && n)
		m->heard_at = wall_now();
	return n;
}

/* --- life --------------------------------------------------------------------------------- */

static int monitor_fd(const struct source *source)
{
	return ((const struct monitor *)source)->poll_fd;
}

static void monitor_free(struct source *source)
{
	struct monitor *m = (struct monitor *)source;
	const int fds[] = { m->socket, m->timer_fd, m->rest_fd, m->poll_fd };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	free(m->bytes);
	free(m);
}

static size_t monitor_figures(const struct source *source, struct source_figure out[SOURCE_FIGURES])
{
	static const struct source_figure_kind kinds[] = {
		{ "connected", "1 if the other end is there, 0 if not", false },
		{ "connects_total", "How often the other end was reached", true },
		{ "bad_messages_total", "Messages of the other end that could not be read", true },
	};
	struct source_cilium_monitor_counts c = source_cilium_monitor_counts(source);
	const uint64_t values[] = {
		c.connected,
		c.connects,
		c.bad_streams,
	};
	_Static_assert(ARRAY_LEN(values) == ARRAY_LEN(kinds), "a figure without a name");

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		out[i] = (struct source_figure){ &kinds[i], values[i] };
	return ARRAY_LEN(values);
}

static const struct source_ops monitor_ops = {
	.name = "cilium-monitor",
	.fd = monitor_fd,
	.drain = monitor_drain,
	.figures = monitor_figures,
	.free = monitor_free,
};

enum err_code source_cilium_monitor_new(const struct source_cilium_monitor_config *config,
					struct source **ret, struct err *e)
{
	struct monitor *m = calloc(1, sizeof *m);
	struct epoll_event in = { .events = EPOLLIN };

	if (!m)
		return err_set(e, ERR_NOMEM, "cilium's monitor socket");
	m->source.ops = &monitor_ops;
	m->socket = -1;
	m->first_pause_ns = config->first_pause_ns ? config->first_pause_ns : first_pause_ns;
	m->pause_ns = m->first_pause_ns;
	m->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	m->rest_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->bytes = malloc(BUFFER_BYTES);
	AUTO(source_free) struct source *guard = &m->source;
	if (!*config->path || strlen(config->path) >= sizeof m->path)
		return err_set(e, ERR_INVALID, "the path of a socket has 1 to %zu bytes: '%.100s'",
			       sizeof m->path - 1, config->path);
	memcpy(m->path, config->path, strlen(config->path));
	if (!m->bytes)
		return err_set(e, ERR_NOMEM, "cilium's monitor socket");
	if (m->poll_fd < 0 || m->timer_fd < 0 || m->rest_fd < 0 ||
	    epoll_ctl(m->poll_fd, EPOLL_CTL_ADD, m->timer_fd, &in) < 0 ||
	    epoll_ctl(m->poll_fd, EPOLL_CTL_ADD, m->rest_fd, &in) < 0)
		return err_os(e, "poll cilium's monitor socket");
	const struct itimerspec at_once = { .it_value = { 0, 1 } };
	(void)timerfd_settime(m->timer_fd, 0, &at_once, NULL);
	*ret = TAKE(guard);
	return ERR_OK;
}
