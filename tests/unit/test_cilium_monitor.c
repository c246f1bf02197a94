/* observer/cilium: the agent's monitor socket, played by a socket of ours, cut and corrupted in
 * every place. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "monitor_stream.h"
#include "observer/cilium/monitor.h"

enum { PATIENCE_MS = 20000, SEEN_BYTES = 1 << 16 };

/* A folder with a listening socket, the source that reads it, and what it handed on, one line per
 * event. */
struct place {
	struct raw_sink sink; /* first */
	char dir[64], path[96];
	int listener, peer;
	struct source *source;
	struct buf seen; /* of samples and losses */
	char seen_bytes[SEEN_BYTES];
	size_t connected, lost, gaps, samples;
	struct timestamp gap_from, gap_to;
};

static struct timestamp time_in(struct str message, uint32_t field)
{
	struct str bytes;
	struct timestamp t = { 0 };

	assert_true(wire_find(message, field, &bytes));
	struct wire_reader r = wire_reader_of(bytes);
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == 1)
			t.s = (int64_t)x.value;
		else
			t.ns = (int32_t)x.value;
	return t;
}

static void take(struct raw_sink *sink, const struct raw_event *ev)
{
	struct place *p = (struct place *)sink;
	struct str unknown, type = STR("");

	switch (ev->kind) {
	case RAW_CILIUM_MONITOR:
		p->samples++;
		buf_printf(&p->seen, "cpu %d:", ev->cpu);
		for (size_t i = 0; i < ev->packet.len && i < 16; i++)
			buf_printf(&p->seen, " %02x", (uint8_t)ev->packet.p[i]);
		buf_char(&p->seen, '\n');
		break;
	case RAW_LOST:
		buf_printf(&p->seen, "lost %llu on %d\n", (unsigned long long)ev->lost, ev->cpu);
		break;
	case RAW_AGENT:
		assert_true(wire_find(ev->packet, 100, &unknown) && wire_find(unknown, 1, &type));
		p->connected += str_is(type, "cilium-connected");
		p->lost += str_is(type, "cilium-lost");
		break;
	case RAW_LOST_MESSAGE:
		p->gaps++;
		p->gap_from = time_in(ev->packet, 4);
		p->gap_to = time_in(ev->packet, 5);
		break;
	default:
		fail_msg("an event of kind %d", ev->kind);
	}
}

static void listen_there(struct place *p)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s", p->path);
	(void)unlink(p->path);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->listener >= 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(p->listener, 4), 0);
}

static struct place *place_new(bool listening)
{
	struct place *p = calloc(1, sizeof *p);
	struct err e;

	assert_non_null(p);
	p->sink.event = take;
	p->seen = buf_fixed(p->seen_bytes, sizeof p->seen_bytes);
	p->peer = p->listener = -1;
	(void)snprintf(p->dir, sizeof p->dir, "/tmp/tycho-monitor-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof p->path, "%s/monitor.sock", p->dir);
	if (listening)
		listen_there(p);
	const struct source_cilium_monitor_config config = { .path = p->path,
							     .first_pause_ns = NS_PER_MS };
	if (source_cilium_monitor_new(&config, &p->source, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return p;
}

static void place_free(struct place *p)
{
	source_free(p->source);
	if (p->peer >= 0)
		(void)close(p->peer);
	if (p->listener >= 0)
		(void)close(p->listener);
	(void)unlink(p->path);
	(void)rmdir(p->dir);
	free(p);
}
AUTO_DEFINE(struct place, place_free);

/* Waits until the source has something to do, and lets it. */
static size_t drain_some(struct place *p, size_t max)
{
	struct pollfd fd = { .fd = source_fd(p->source), .events = POLLIN };

	if (poll(&fd, 1, PATIENCE_MS) != 1)
		fail_msg("the source has nothing to do");
	return source_drain(p->source, &p->sink, max);
}

static bool has_work(const struct place *p)
{
	struct pollfd fd = { .fd = source_fd(p->source), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

/* The source's next connection. */
static void accept_it(struct place *p)
{
	size_t before = p->connected;

	while (p->connected == before)
		(void)drain_some(p, 64);
	p->peer = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p->peer >= 0);
}

static void hang_up(struct place *p)
{
	(void)close(p->peer);
	p->peer = -1;
}

static void send_all(struct place *p, const void *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(p->peer, (const char *)bytes + at, len - at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			at += (size_t)n;
		else
			(void)drain_some(p, 64);
	}
}

static void send_stream(struct place *p)
{
	char bytes[256];
	struct buf b = buf_fixed(bytes, sizeof bytes);

	monitor_stream_put(&b);
	send_all(p, b.p, b.len);
}

#define STREAM_SAYS                                                                                \
	"cpu 0: 04 00 01 02 03\n"                                                                  \
	"cpu 3: 01 85\n"                                                                           \
	"lost 300 on 5\n"

static void drain_while_there_is_work(struct place *p)
{
	while (has_work(p))
		(void)source_drain(p->source, &p->sink, 64);
}

/* --- tests -------------------------------------------------------------------------------- */

static void samples_and_losses_come_with_their_cpu(void **state)
{
	(void)state;
	AUTO(place_free) struct place *p = place_new(true);

	accept_it(p);
	send_stream(p);
	drain_while_there_is_work(p);
	assert_string_equal(buf_cstr(&p->seen), STREAM_SAYS);
	assert_int_equal(p->connected, 1);
	assert_int_equal(p->gaps, 0); /* the first connection has nothing before it */
	struct source_cilium_monitor_counts counts = source_cilium_monitor_counts(p->source);
	assert_true(counts.connected);
	assert_int_equal(counts.samples, 2);
	assert_int_equal(counts.lost, 300);
}

static void bytes_that_come_one_by_one_say_the_same(void **state)
{
	(void)state;
	AUTO(place_free) struct place *p = place_new(true);
	char bytes[256];
	struct buf b = buf_fixed(bytes, sizeof bytes);

	monitor_stream_put(&b);
	accept_it(p);
	for (size_t i = 0; i < b.len; i++) {
		send_all(p, b.p + i, 1);
		drain_while_there_is_work(p);
	}
	assert_string_equal(buf_cstr(&p->seen), STREAM_SAYS);
}

static void no_more_than_asked_for_is_handed_on_at_once(void **state)
{
	(void)state;
	AUTO(place_free) struct place *p = place_new(true);

	accept_it(p);
	send_stream(p);
	for (int i = 0; i < 3; i++)
		assert_int_equal(drain_some(p, 1), 1);
	assert_string_equal(buf_cstr(&p->seen), STREAM_SAYS);
	/* and what is left does not keep it busy */
	drain_while_there_is_work(p);
	assert_false(has_work(p));
}

static void a_socket_that_is_not_there_yet_is_waited_for(void **state)
{
	(void)state;
	AUTO(place_free) struct place *p = place_new(false);

	for (int i = 0; i < 3; i++)
		assert_int_equal(drain_some(p, 64), 0);
	listen_there(p);
	accept_it(p);
	send_stream(p);
	drain_while_there_is_work(p);
	assert_string_equal(buf_cstr(&p->seen), STREAM_SAYS);
	assert_int_equal(p->lost, 0);
}

/* A stream cut after @len bytes, and then a whole one. */
static void cut(struct place *p, const struct buf *stream, size_t len)
{
	size_t lost = p->lost, gaps = p->gaps;

	buf_reset(&p->seen);
	accept_it(p);
	send_all(p, stream->p, len);
	hang_up(p);
	while (p->lost == lost)
		(void)drain_some(p, 64);
	/* what was whole has been handed on, and nothing else */
	size_t seen = p->seen.len;
	assert_memory_equal(p->seen.p, STREAM_SAYS, seen);
	accept_it(p);
	assert_int_equal(p->gaps, gaps + 2 - (gaps == 0)); /* one per connection but the first */
	assert_true(timestamp_cmp(p->gap_from, p->gap_to) <= 0);
	buf_reset(&p->seen);
	send_stream(p);
	drain_while_there_is_work(p);
	assert_string_equal(buf_cstr(&p->seen), STREAM_SAYS);
	lost = p->lost;
	hang_up(p);
	while (p->lost == lost)
		(void)drain_some(p, 64);
}

static void a_stream_cut_anywhere_is_taken_up_anew_with_a_gap(void **state)
{
	(void)state;
	AUTO(place_free) struct place *p = place_new(true);
	char bytes[256];
	struct buf b = buf_fixed(bytes, sizeof bytes);

	monitor_stream_put(&b);
	for (size_t len = 0; len <= b.len; len++)
		cut(p, &b, len);
}

/* Corrupt bytes may mean something else, or nothing; then the stream is dropped. Either way the
 * next one is read right. */
static void corrupt(struct place *p, struct buf *stream, size_t at, uint8_t bits)
{
	size_t lost = p->lost;

	accept_it(p);
	stream->p[at] = (char)(stream->p[at] ^ bits);
	send_all(p, stream->p, stream->len);
	stream->p[at] = (char)(stream->p[at] ^ bits);
	hang_up(p);
	while (p->lost == lost)
		(void)drain_some(p, 64);
	accept_it(p);
	buf_reset(&p->seen);
	send_stream(p);
	drain_while_there_is_work(p);
	assert_string_equal(buf_cstr(&p->seen), STREAM_SAYS);
	hang_up(p);
	lost = p->lost;
	while (p->lost == lost)
		(void)drain_some(p, 64);
	buf_reset(&p->seen);
}

static void a_stream_corrupted_anywhere_harms_no_later_one(void **state)
{
	(void)state;
	AUTO(place_free) struct place *p = place_new(true);
	static const uint8_t bits[] = { 0x01, 0x80, 0xff };
	char bytes[256];
	struct buf b = buf_fixed(bytes, sizeof bytes);

	monitor_stream_put(&b);
	for (size_t at = 0; at < b.len; at++)
		for (size_t i = 0; i < sizeof bits; i++)
			corrupt(p, &b, at, bits[i]);
	assert_in_range(source_cilium_monitor_counts(p->source).bad_streams, 1, 3 * b.len);
}

static void a_message_too_large_is_stepped_over_and_counted(void **state)
{
	(void)state;
	AUTO(place_free) struct place *p = place_new(true);
	AUTO_BUF struct buf b = buf_init(4 << 20), large = buf_init(4 << 20);

	for (size_t i = 0; i < MONITOR_MESSAGE_MAX + 16; i++)
		buf_char(&large, (char)i);
	buf_put(&b, monitor_definition, sizeof monitor_definition);
	monitor_put_sample(&b, str_upto(buf_str(&large), MONITOR_MESSAGE_MAX - 16), 1);
	monitor_put_sample(&b, buf_str(&large), 2);
	buf_put(&b, monitor_sample_cpu3, sizeof monitor_sample_cpu3);
	accept_it(p);
	send_all(p, b.p, b.len);
	drain_while_there_is_work(p);
	assert_string_equal(buf_cstr(&p->seen),
			    "cpu 1: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n"
			    "lost 1 on -1\n"
			    "cpu 3: 01 85\n");
}

static void an_impossible_path_is_refused(void **state)
{
	(void)state;
	char path[200];
	struct source *s = NULL;
	struct err e;

	memset(path, 'x', sizeof path);
	path[sizeof path - 1] = 0;
	assert_int_equal(source_cilium_monitor_new(
				 &(struct source_cilium_monitor_config){ .path = path }, &s, &e),
			 ERR_INVALID);
	assert_int_equal(source_cilium_monitor_new(
				 &(struct source_cilium_monitor_config){ .path = "" }, &s, &e),
			 ERR_INVALID);
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_and_losses_come_with_their_cpu),
		cmocka_unit_test(bytes_that_come_one_by_one_say_the_same),
		cmocka_unit_test(no_more_than_asked_for_is_handed_on_at_once),
		cmocka_unit_test(a_socket_that_is_not_there_yet_is_waited_for),
		cmocka_unit_test(a_stream_cut_anywhere_is_taken_up_anew_with_a_gap),
		cmocka_unit_test(a_stream_corrupted_anywhere_harms_no_later_one),
		cmocka_unit_test(a_message_too_large_is_stepped_over_and_counted),
		cmocka_unit_test(an_impossible_path_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
