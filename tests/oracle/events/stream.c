#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "observer/cilium/monitor.h"

enum { PATIENCE_MS = 20000, EVENTS = 64 };

struct reading {
	struct raw_sink sink; /* first */
	json_t *seen;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "events_flows: %s: errno %d\n", what, errno);
	exit(2);
}

static void take(struct raw_sink *sink, const struct raw_event *ev)
{
	struct reading *r = (struct reading *)sink;
	json_t *event = json_pack("{s:i}", "cpu", ev->cpu);

	if (ev->kind == RAW_LOST) {
		json_object_set_new(event, "lost", json_integer((json_int_t)ev->lost));
	} else if (ev->kind == RAW_CILIUM_MONITOR) {
		AUTO_BUF struct buf hex = buf_init(2 * ev->packet.len + 1);
		for (size_t i = 0; i < ev->packet.len; i++)
			buf_printf(&hex, "%02x", (uint8_t)ev->packet.p[i]);
		json_object_set_new(event, "data", json_stringn(buf_str(&hex).p, hex.len));
	} else {
		json_decref(event); /* that the socket is there */
		return;
	}
	json_array_append_new(r->seen, event);
}

static bool has_work(const struct source *s, int wait_ms)
{
	struct pollfd fd = { .fd = source_fd(s), .events = POLLIN };

	return poll(&fd, 1, wait_ms) == 1;
}

/* Writes what the socket takes, and lets it be read, until all is. */
static void play(struct source *s, struct reading *r, int peer, struct str bytes)
{
	while (bytes.len || has_work(s, 0)) {
		ssize_t n =
			bytes.len ? send(peer, bytes.p, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		if (n < 0 && errno == EPIPE)
			break; /* the reader has had enough */
		must(n >= 0 || errno == EAGAIN, "send");
		bytes = str_from(bytes, n > 0 ? (size_t)n : 0);
		if (has_work(s, 0))
			(void)source_drain(s, &r->sink, EVENTS);
	}
}

json_t *stream_read(struct str bytes)
{
	char dir[] = "/tmp/tycho-stream-XXXXXX";
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct reading r = { .sink.event = take, .seen = json_array() };
	AUTO(source_free) struct source *s = NULL;
	struct err e;

	must(mkdtemp(dir), "a folder");
	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s/monitor.sock", dir);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0 &&
		     listen(listener, 1) == 0,
	     "a socket");
	const struct source_cilium_monitor_config config = { .path = at.sun_path };
	must(source_cilium_monitor_new(&config, &s, &e) == ERR_OK, "a source");
	must(has_work(s, PATIENCE_MS), "the source does not connect");
	(void)source_drain(s, &r.sink, EVENTS);
	int peer = accept(listener, NULL, NULL);
	must(peer >= 0, "nobody connected");
	play(s, &r, peer, bytes);
	(void)close(peer);
	(void)close(listener);
	(void)unlink(at.sun_path);
	(void)rmdir(dir);
	return r.seen;
}
