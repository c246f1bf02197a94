#include "observer/source/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "base/log.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum {
	LINE_BYTES = 1 << 20,    /* longest line */
	MESSAGE_BYTES = 4 << 20, /* one line as wire bytes */
	FLOW_TIME = 1,           /* field numbers of flow.Flow, google.protobuf.Timestamp */
	FLOW_NODE_NAME = 11,
	TIMESTAMP_SECONDS = 1,
	TIMESTAMP_NANOS = 2,
};

/* Bytes of the file that are not lines yet. */
struct reader {
	int fd;
	bool regular;      /* reading never blocks; can be rewound */
	char *bytes;       /* LINE_BYTES */
	size_t begin, end; /* what is read and not used */
	size_t searched;   /* from begin on there is no line end up to here */
	bool at_end;
	bool skip; /* inside a line that was too long */
};

enum next { NEXT_LINE, NEXT_TOO_LONG, NEXT_LATER, NEXT_END };

/* What makes source_fd readable. */
enum wake { WAKE_NOW, WAKE_DUE, WAKE_INPUT };

struct source_replay {
	struct source source;
	struct reader reader;
	double speed;
	bool keep_time;
	uint64_t passes_left;
	bool pass_said_something;
	bool ended;
	uint64_t line_number;     /* of the last that was read, from 1 up, in this pass */
	uint64_t bad_lines, lost; /* in all; not reported yet */
	/* The event that comes next. */
	bool pending;
	struct raw_event event; /* packet borrows from @line */
	struct mono_ns due;
	struct buf line, message; /* a line's wire bytes; a flow with its new time */
	/* Recorded time ↔ monotonic clock, from the first event with a time on. */
	bool started;
	struct wall_ns recorded_start;
	struct mono_ns start;
	int poll_fd,
		timer_fd; /* poll_fd: an epoll of the timer and, while waiting for it, the input */
	enum wake wake;
	bool watching;
};

/* ---- lines ---- */

static bool has_input(const struct reader *r)
{
	struct pollfd fd = { .fd = r->fd, .events = POLLIN };

	return r->regular || poll(&fd, 1, 0) == 1; /* a hang-up counts: read will say so */
}

static struct str cut_line(struct reader *r, size_t len, size_t with_end)
{
	struct str line = str_n(r->bytes + r->begin, len);

	r->begin += with_end;
	r->searched = 0;
	return line;
}

/* The next line, without its end; borrowed until the next call. A last line needs none. */
static enum next next_line(struct reader *r, struct str *ret)
{
	for (;;) {
		const char *from = r->bytes + r->begin;
		size_t have = r->end - r->begin;
		const char *nl = memchr(from + r->searched, '\n', have - r->searched);
		bool skip = r->skip;

		if (nl) {
			r->skip = false;
			*ret = cut_line(r, (size_t)(nl - from), (size_t)(nl - from) + 1);
			if (skip)
				continue;
			return NEXT_LINE;
		}
		r->searched = have;
		if (r->at_end) {
			*ret = cut_line(r, have, have);
			return have && !skip ? NEXT_LINE : NEXT_END;
		}
		if (have == LINE_BYTES || (skip && have)) {
			(void)cut_line(r, have, have);
			r->skip = true;
			if (skip)
				continue;
			return NEXT_TOO_LONG;
		}
		if (r->begin) {
			memmove(r->bytes, from, have);
			r->begin = 0;
			r->end = have;
		}
		if (!has_input(r))
			return NEXT_LATER;

		ssize_t n = read(r->fd, r->bytes + r->end, LINE_BYTES - r->end);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return NEXT_LATER;
		if (n < 0) { /* what is missing from here on is one loss more */
			r->at_end = true;
			r->begin = r->end = r->searched = 0;
			return NEXT_TOO_LONG;
		}
		r->at_end = n == 0;
		r->end += (size_t)n;
	}
}

/* ---- one line to one event ---- */

static bool is_blank(struct str line)
{
	return str_trim(line).len == 0;
}

/* A flow in its own right: it says more than an envelope would, whose time and node name look the
 * same. */
static bool says_something(struct str flow)
{
	struct wire_reader r = wire_reader_of(flow);

	for (struct wire_field field; wire_next(&r, &field);)
		if (field.number != FLOW_TIME && field.number != FLOW_NODE_NAME)
			return true;
	return false;
}

/* google.protobuf.Timestamp */
static bool read_time(struct str message, struct timestamp *ret)
{
	struct wire_reader r = wire_reader_of(message);

	*ret = (struct timestamp){ 0 };
	for (struct wire_field field; wire_next(&r, &field);) {
		if (field.type == WIRE_VARINT && field.number == TIMESTAMP_SECONDS)
			ret->s = (int64_t)field.value;
		else if (field.type == WIRE_VARINT && field.number == TIMESTAMP_NANOS)
			ret->ns = (int32_t)field.value;
	}
	return !r.bad;
}

/* Reads @line into s->line and takes it apart. A bare flow comes out like one in an envelope. */
static bool read_line(struct source_replay *s, struct str line, struct flow_response *ret)
{
	buf_reset(&s->line);
	if (json_read_message(line, &observer__export_event__descriptor, NULL, &s->line, NULL,
			      NULL) != ERR_OK ||
	    flow_response_split(buf_str(&s->line), ret, NULL) != ERR_OK)
		return false;
	if (ret->has_message)
		return true;
	buf_reset(&s->line);
	if (json_read_message(line, &flow__flow__descriptor, NULL, &s->line, NULL, NULL) != ERR_OK)
		return false;
	ret->kind = FLOW_KIND_FLOW;
	ret->message = buf_str(&s->line);
	ret->has_message = says_something(ret->message);
	return ret->has_message;
}

/* Its own time if it is a flow that has one, else the envelope's; 0 if neither is there or can be
 * held. */
static struct wall_ns recorded_time(const struct flow_response *response)
{
	struct timestamp t = response->time;
	bool known = response->has_time;
	struct str own;
	struct wall_ns wall;

	if (response->kind == FLOW_KIND_FLOW && wire_find(response->message, FLOW_TIME, &own))
		known = read_time(own, &t);
	return known && timestamp_to_wall(t, &wall) ? wall : (struct wall_ns){ 0 };
}

static struct mono_ns due_time(struct source_replay *s, struct wall_ns recorded, struct mono_ns now)
{
	if (s->speed <= 0 || recorded.v == 0)
		return now;
	if (!s->started) {
		s->started = true;
		s->recorded_start = recorded;
		s->start = now;
	}
	if (recorded.v <= s->recorded_start.v)
		return now;

	double wait_ns = (double)(recorded.v - s->recorded_start.v) / s->speed;
	/* Beyond a hundred years it does not matter any more, and the sum below cannot overflow. */
	double longest_ns = 100.0 * 365 * 24 * 3600 * (double)NS_PER_S;
	return (struct mono_ns){ s->start.v +
				 (uint64_t)(wait_ns < longest_ns ? wait_ns : longest_ns) };
}

static void count_bad(struct source_replay *s)
{
	/* As it happens, for a pipe may never end; how many there were is for the end to say. */
	if (!s->bad_lines++)
		log_warn("a line of the replay cannot be read: counted as lost, as any others will "
			 "be",
			 "line=%llu", (unsigned long long)s->line_number);
	s->lost++;
}

/* Makes @line the pending event, or counts it as bad, or passes it over. */
static void take_line(struct source_replay *s, struct str line, struct mono_ns now)
{
	static const enum raw_kind kinds[] = {
		[FLOW_KIND_FLOW] = RAW_FLOW,
		[FLOW_KIND_LOST] = RAW_LOST_MESSAGE,
		[FLOW_KIND_AGENT] = RAW_AGENT,
		[FLOW_KIND_DEBUG] = RAW_DEBUG,
	};
	struct flow_response response;

	if (is_blank(line))
		return;
	if (!read_line(s, line, &response)) {
		count_bad(s);
		return;
	}
	if (response.kind == FLOW_KIND_NODE_STATUS)
		return;

	struct wall_ns recorded = recorded_time(&response);
	s->event = (struct raw_event){
		.kind = kinds[response.kind],
		.packet = response.message,
		.wall = s->keep_time ? recorded : (struct wall_ns){ 0 },
		.cpu = -1,
	};
	s->due = due_time(s, recorded, now);
	s->pending = true;
	s->pass_said_something = true;
}

/* ---- handing over ---- */

/* The flow with @time in the place of its own. */
static struct str restamp(struct source_replay *s, struct str flow, struct timestamp time)
{
	struct buf *b = &s->message;
	struct wire_reader r = wire_reader_of(flow);

	buf_reset(b);
	size_t mark = wire_begin(b, FLOW_TIME);
	wire_put_u64(b, TIMESTAMP_SECONDS, (uint64_t)time.s);
	wire_put_u64(b, TIMESTAMP_NANOS, (uint64_t)time.ns);
	wire_end(b, mark);
	for (struct wire_field field; wire_next(&r, &field);)
		if (field.number != FLOW_TIME)
			buf_str_put(b, field.raw);
	return buf_str(b);
}

static void hand_over(struct source_replay *s, struct mono_ns now, struct raw_sink *sink)
{
	if (s->lost) {
		struct raw_event ev = { .kind = RAW_LOST, .mono = now, .lost = s->lost, .cpu = -1 };

		s->lost = 0;
		sink->event(sink, &ev);
		return;
	}
	s->pending = false;
	if (!s->keep_time)
		s->event.wall = wall_now();
	if (!s->keep_time && s->event.kind == RAW_FLOW)
		s->event.packet = restamp(s, s->event.packet, timestamp_of(s->event.wall));
	if (!s->message.failed)
		sink->event(sink, &s->event);
	else
		count_bad(s);
}

/* Another pass, or the end. A pass that said nothing is the last: the next would be the same. */
static void end_pass(struct source_replay *s)
{
	if (s->passes_left > 1 && s->pass_said_something && lseek(s->reader.fd, 0, SEEK_SET) == 0) {
		s->passes_left--;
		s->line_number = 0;
		s->pass_said_something = false;
		s->started = false;
		s->reader.at_end = false;
		return;
	}
	s->ended = true;
}

static void watch_input(struct source_replay *s, bool on)
{
	struct epoll_event in = { .events = EPOLLIN };

	if (on == s->watching)
		return;
	/* Taken out rather than masked: a hang-up is reported in spite of any mask. */
	(void)epoll_ctl(s->poll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->reader.fd, &in);
	s->watching = on;
}

static void set_wake(struct source_replay *s, enum wake wake)
{
	/* An absolute time in the past is due at once, and stays so while the timer is not read;
	 * zero disarms. */
	uint64_t at_ns = wake == WAKE_NOW ? 1 : wake == WAKE_DUE ? s->due.v : 0;
	struct itimerspec when = {
		.it_value = { .tv_sec = (time_t)(at_ns / NS_PER_S),
			      .tv_nsec = (long)(at_ns % NS_PER_S) },
	};

	if (wake == s->wake && wake != WAKE_DUE)
		return;
	(void)timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	watch_input(s, wake == WAKE_INPUT);
	s->wake = wake;
}

/* Ends when @max events were handed over, or as many lines looked at; or when the next event is not
 * due, or not there. */
static size_t replay_drain(struct source *source, struct raw_sink *sink, size_t max)
{
	struct source_replay *s = (struct source_replay *)source;
	struct mono_ns now = mono_now();
	enum wake wake = WAKE_NOW;
	size_t events = 0;

	for (size_t lines = 0; events < max && !s->ended;) {
		struct str line;

		/* A loss is told in its place: before the event that follows it. */
		if (s->pending && (s->lost || s->due.v <= now.v)) {
			hand_over(s, now, sink);
			events++;
			continue;
		}
		if (s->pending) {
			wake = WAKE_DUE;
			break;
		}
		if (lines++ == max)
			break;

		enum next next = next_line(&s->reader, &line);
		s->line_number += next == NEXT_LINE || next == NEXT_TOO_LONG;
		if (next == NEXT_LINE) {
			take_line(s, line, now);
		} else if (next == NEXT_TOO_LONG) {
			count_bad(s);
		} else if (s->lost) {
			/* nothing follows for now: the loss is not to wait for it */
			hand_over(s, now, sink);
			events++;
		} else if (next == NEXT_LATER) {
			wake = WAKE_INPUT;
			break;
		} else {
			end_pass(s);
		}
	}
	set_wake(s, wake);
	return events;
}

static int replay_fd(const struct source *source)
{
	return ((const struct source_replay *)source)->poll_fd;
}

static bool replay_ended(const struct source *source)
{
	return ((const struct source_replay *)source)->ended;
}

static void replay_free(struct source *source)
{
	struct source_replay *s = (struct source_replay *)source;

	if (s->reader.fd > STDIN_FILENO)
		(void)close(s->reader.fd);
	if (s->timer_fd >= 0)
		(void)close(s->timer_fd);
	if (s->poll_fd >= 0)
		(void)close(s->poll_fd);
	buf_done(&s->line);
	buf_done(&s->message);
	free(s->reader.bytes);
	free(s);
}

static const struct source_ops replay_ops = {
	.name = "replay",
	.fd = replay_fd,
	.drain = replay_drain,
	.ended = replay_ended,
	.free = replay_free,
};

/* ---- set-up ---- */

static enum err_code open_input(struct source_replay *s, const struct source_replay_config *config,
				struct err *e)
{
	bool standard_input = strcmp(config->path, "-") == 0;
	struct stat st;

	s->reader.fd = standard_input ? STDIN_FILENO : open(config->path, O_RDONLY | O_CLOEXEC);
	if (s->reader.fd < 0 || fstat(s->reader.fd, &st) < 0)
		return err_os(e, "replay '%s'", config->path);
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "replay '%s': it is a directory", config->path);
	s->reader.regular = S_ISREG(st.st_mode);
	if (config->repeat > 1 && (standard_input || !s->reader.regular))
		return err_set(e, ERR_INVALID, "replay '%s': it can be read only once",
			       config->path);
	return ERR_OK;
}

static enum err_code open_poll(struct source_replay *s, struct err *e)
{
	struct epoll_event in = { .events = EPOLLIN };

	s->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->poll_fd < 0 || s->timer_fd < 0 ||
	    epoll_ctl(s->poll_fd, EPOLL_CTL_ADD, s->timer_fd, &in) < 0)
		return err_os(e, "replay timer");
	set_wake(s, WAKE_NOW);
	return ERR_OK;
}

enum err_code source_replay_new(const struct source_replay_config *config, struct source **ret,
				struct err *e)
{
	if (!(config->speed >= 0)) /* NaN neither */
		return err_set(e, ERR_INVALID, "replay: a speed of %g", config->speed);

	struct source_replay *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "replay");
	s->source.ops = &replay_ops;
	s->reader.fd = s->poll_fd = s->timer_fd = -1;

	AUTO(source_free) struct source *guard = &s->source;
	s->speed = config->speed;
	s->keep_time = config->keep_time;
	s->passes_left = config->repeat;
	s->wake = WAKE_INPUT; /* a new timer is disarmed */
	s->line = buf_init(MESSAGE_BYTES);
	s->message = buf_init(MESSAGE_BYTES);
	s->reader.bytes = malloc(LINE_BYTES);
	if (!s->reader.bytes)
		return err_set(e, ERR_NOMEM, "replay");

	enum err_code code = open_input(s, config, e);
	if (code == ERR_OK)
		code = open_poll(s, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(guard);
	return ERR_OK;
}

uint64_t source_replay_bad_lines(const struct source *s)
{
	return ((const struct source_replay *)s)->bad_lines;
}
