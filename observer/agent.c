#include "observer/agent.h"

#include <sys/socket.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

enum { EVENT_BYTES = 4096 };

struct agent {
	int fd;
};

struct agent_source {
	struct source source; /* first */
	int fd;
};

static int agent_fd(const struct source *s)
{
	return ((const struct agent_source *)s)->fd;
}

static size_t agent_drain(struct source *s, struct raw_sink *sink, size_t max)
{
	struct agent_source *as = (struct agent_source *)s;
	char message[EVENT_BYTES];
	size_t n = 0;

	while (n < max) {
		ssize_t got = recv(as->fd, message, sizeof message, MSG_DONTWAIT);
		if (got <= 0) {
			if (got == 0) { /* the teller is gone: stop polling it */
				(void)close(as->fd);
				as->fd = -1;
			}
			break;
		}
		struct raw_event ev = { .kind = RAW_AGENT,
					.packet = str_n(message, (size_t)got),
					.cpu = -1 };
		sink->event(sink, &ev);
		n++;
	}
	return n;
}

static void agent_source_free(struct source *s)
{
	struct agent_source *as = (struct agent_source *)s;

	if (as->fd >= 0)
		(void)close(as->fd);
	free(as);
}

static const struct source_ops agent_ops = {
	.name = "agent",
	.fd = agent_fd,
	.drain = agent_drain,
	.free = agent_source_free,
};

enum err_code agent_new(struct agent **ret, struct source **ret_source, struct err *e)
{
	AUTO(own_free) struct agent *a = malloc(sizeof *a);
	AUTO(own_free) struct agent_source *as = malloc(sizeof *as);
	int pair[2];

	if (!a || !as)
		return err_set(e, ERR_NOMEM, "agent events");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_os(e, "agent events");
	*a = (struct agent){ .fd = pair[0] };
	*as = (struct agent_source){ .source = { &agent_ops }, .fd = pair[1] };
	*ret = TAKE(a);
	*ret_source = &TAKE(as)->source;
	return ERR_OK;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	(void)close(a->fd);
	free(a);
}

static void tell(struct agent *a, struct buf *b)
{
	if (!b->failed)
		(void)send(a->fd, b->p, b->len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void agent_tell_started(struct agent *a, struct wall_ns when)
{
	char bytes[64];
	struct buf b = buf_fixed(bytes, sizeof bytes);
	struct timestamp t = timestamp_of(when);

	wire_put_u64(&b, 1, FLOW__AGENT_EVENT_TYPE__AGENT_STARTED);
	size_t start = wire_begin(&b, 101), time = wire_begin(&b, 1);
	wire_put_u64(&b, 1, (uint64_t)t.s);
	wire_put_u64(&b, 2, (uint64_t)t.ns);
	wire_end(&b, time);
	wire_end(&b, start);
	tell(a, &b);
}

void agent_tell(struct agent *a, const char *type, const char *json)
{
	char bytes[EVENT_BYTES];
	struct buf b = buf_fixed(bytes, sizeof bytes);

	size_t unknown = wire_begin(&b, 100); /* type stays 0: AGENT_EVENT_UNKNOWN */
	wire_put_str(&b, 1, str_of(type));
	wire_put_str(&b, 2, str_of(json));
	wire_end(&b, unknown);
	tell(a, &b);
}
