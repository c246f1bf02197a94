/* observer/source/replay: recorded JSON lines come out as the messages they stand for, in their
 * time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>

#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "observer/source/replay.h"
#include "recorded.h"

enum { WAIT_MS = 20000, DRAIN_EVENTS = 5 };

/* ---- files ---- */

/* A file that no directory knows, and a path to it that lives as long as the descriptor. */
static int file_of(struct str text, char path[64])
{
	int fd = memfd_create("replay", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.len), text.len);
	(void)snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

/* ---- what comes out ---- */

struct seen {
	struct raw_sink sink;
	json_t *messages; /* {"flow": …} and so on, in order; a loss is the number of lost lines */
	struct raw_event last; /* its pointers are stale */
	size_t events;
};

static const struct {
	const char *member;
	const ProtobufCMessageDescriptor *desc;
} kinds[] = {
	[RAW_FLOW] = { "flow", &flow__flow__descriptor },
	[RAW_AGENT] = { "agent_event", &flow__agent_event__descriptor },
	[RAW_DEBUG] = { "debug_event", &flow__debug_event__descriptor },
	[RAW_LOST_MESSAGE] = { "lost_events", &flow__lost_event__descriptor },
};

static void see(struct raw_sink *sink, const struct raw_event *ev)
{
	struct seen *seen = (struct seen *)sink;

	seen->last = *ev;
	seen->events++;
	if (ev->kind == RAW_LOST) {
		assert_true(ev->lost > 0);
		assert_int_equal(
			json_array_append_new(seen->messages, json_integer((json_int_t)ev->lost)),
			0);
		return;
	}
	assert_true(ev->kind < ARRAY_LEN(kinds) && kinds[ev->kind].desc);
	AUTO_BUF struct buf b = buf_init(16 << 20);
	assert_int_equal(json_put_message(&b, kinds[ev->kind].desc, ev->packet, NULL), ERR_OK);
	json_t *message = json_loadb(b.p, b.len, JSON_ALLOW_NUL, NULL);
	assert_non_null(message);
	assert_int_equal(json_array_append_new(seen->messages,
					       json_pack("{s:o}", kinds[ev->kind].member, message)),
			 0);
}

static struct seen nothing_seen(void)
{
	return (struct seen){ .sink = { see }, .messages = json_array() };
}

static struct source *open_replay(const struct source_replay_config *config)
{
	struct source *s = NULL;
	struct err e = { 0 };
	if (source_replay_new(config, &s, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return s;
}

static bool readable(const struct source *s, int timeout_ms)
{
	struct pollfd fd = { .fd = source_fd(s), .events = POLLIN };
	return poll(&fd, 1, timeout_ms) == 1;
}

static void drain_to_end(struct source *s, struct seen *seen)
{
	while (!source_ended(s)) {
		assert_true(readable(s, WAIT_MS));
		assert_true(source_drain(s, &seen->sink, DRAIN_EVENTS) <= DRAIN_EVENTS);
	}
}

/* Everything in @text at full speed with its own times. @return bad lines. */
static uint64_t replay_text(struct str text, struct seen *seen)
{
	char path[64];
	int fd = file_of(text, path);
	const struct source_replay_config config = { .path = path, .keep_time = true };
	AUTO(source_free) struct source *s = open_replay(&config);
	drain_to_end(s, seen);
	(void)close(fd);
	return source_replay_bad_lines(s);
}

/* The member of an envelope that @seen would show, alone in an object; NULL if there is none. */
static json_t *member_of(const json_t *line)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		json_t *v = kinds[i].member ? json_object_get(line, kinds[i].member) : NULL;
		if (v)
			return json_pack("{s:O}", kinds[i].member, v);
	}
	return NULL;
}

static void assert_messages(const json_t *got, const json_t *want)
{
	for (size_t i = 0; i < json_array_size(got) || i < json_array_size(want); i++) {
		json_t *g = json_array_get(got, i), *w = json_array_get(want, i);
		if (g && w && json_equal(g, w))
			continue;
		/* to a file: cmocka's own messages are cut at 1,024 bytes */
		(void)fputs("got:      ", stderr);
		(void)json_dumpf(g, stderr, JSON_SORT_KEYS | JSON_ENCODE_ANY);
		(void)fputs("\nexpected: ", stderr);
		(void)json_dumpf(w, stderr, JSON_SORT_KEYS | JSON_ENCODE_ANY);
		(void)fputc('\n', stderr);
		fail_msg("message %zu differs", i);
	}
}

/* ---- tests ---- */

/* Replays @name of the recorded flows. @return its messages without the reports of losses. */
static json_t *replay_recorded(const char *name, uint64_t *ret_bad_lines)
{
	char golden[128], path[RECORDED_PATH_BYTES];
	(void)snprintf(golden, sizeof golden, "golden/%s", name);
	struct seen seen = nothing_seen();
	const struct source_replay_config config = { .path = recorded_path(path, golden),
						     .keep_time = true };
	AUTO(source_free) struct source *s = open_replay(&config);
	drain_to_end(s, &seen);

	json_t *messages = json_array();
	uint64_t lost = 0;
	for (size_t i = 0; i < json_array_size(seen.messages); i++) {
		json_t *m = json_array_get(seen.messages, i);
		if (json_is_integer(m))
			lost += (uint64_t)json_integer_value(m);
		else
			(void)json_array_append(messages, m);
	}
	json_decref(seen.messages);
	*ret_bad_lines = source_replay_bad_lines(s);
	assert_int_equal(lost, *ret_bad_lines);
	return messages;
}

/* The messages in the envelopes of a file of JSON lines. */
static json_t *messages_in(const char *name)
{
	AUTO_BUF struct buf file = recorded_read("golden/%s", name);
	struct str rest = buf_str(&file), line;
	json_t *messages = json_array();
	while (str_split(&rest, '\n', &line)) {
		json_t *whole = json_loadb(line.p, line.len, JSON_ALLOW_NUL, NULL),
		       *member = member_of(whole);
		if (member)
			(void)json_array_append_new(messages, member);
		json_decref(whole);
	}
	return messages;
}

static void recorded_lines_come_out_as_the_same_messages(void **state)
{
	(void)state;
	/* These lines are written as we write them, but for two that spell out a type of 0. */
	uint64_t bad_lines;
	json_t *got = replay_recorded("flows/export-events.jsonl", &bad_lines),
	       *want = messages_in("flows/export-events.jsonl");
	assert_int_equal(bad_lines, 0);
	assert_int_equal(json_array_size(want), 24);
	(void)json_object_del(json_object_get(json_array_get(want, 11), "agent_event"), "type");
	(void)json_object_del(json_object_get(json_array_get(want, 17), "debug_event"), "type");
	assert_messages(got, want);
	json_decref(want);
	json_decref(got);

	/* These have all spellings that proto3 JSON allows; each has an id. */
	got = replay_recorded("flows/exporter.jsonl", &bad_lines);
	want = messages_in("flows/exporter.jsonl");
	assert_int_equal(bad_lines, 0);
	assert_int_equal(json_array_size(want), 40);
	assert_int_equal(json_array_size(got), 40);
	for (size_t i = 0; i < 40; i++)
		assert_true(json_equal(
			json_object_get(json_object_get(json_array_get(got, i), "flow"), "uuid"),
			json_object_get(json_object_get(json_array_get(want, i), "flow"), "uuid")));
	json_decref(want);
	json_decref(got);
}

/* The reference's own CLI read the same files: what it printed as JSON are the lines that it could
 * read. */
static void what_the_reference_could_read_comes_out_and_the_rest_is_counted(void **state)
{
	(void)state;
	static const struct {
		const char *file, *printed;
		uint64_t bad_lines; /* of malformed.jsonl: at least */
	} cases[] = {
		{ "flows/kinds.jsonl", "expected/print/print-0004.stdout", 0 },
		{ "flows/variants.jsonl", "expected/print/print-0100.stdout", 0 },
		{ "flows/small.jsonl", "expected/print/print-0168.stdout", 0 },
		{ "flows/malformed.jsonl", "expected/malformed/malformed-0066.stdout", 100 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t bad_lines;
		json_t *got = replay_recorded(cases[i].file, &bad_lines),
		       *want = messages_in(cases[i].printed);
		assert_true(json_array_size(want) > 10);
		assert_messages(got, want);
		if (cases[i].bad_lines)
			assert_true(bad_lines >= cases[i].bad_lines);
		else
			assert_int_equal(bad_lines, 0);
		json_decref(want);
		json_decref(got);
	}
}

static void a_bare_flow_is_a_flow(void **state)
{
	(void)state;
	struct seen seen = nothing_seen();
	assert_int_equal(replay_text(STR("{\"time\":\"2024-03-05T10:00:00Z\",\"verdict\":"
					 "\"DROPPED\",\"node_name\":\"n1\"}\n"),
				     &seen),
			 0);
	json_t *want = json_pack("[{s:{s:s,s:s,s:s}}]", "flow", "time", "2024-03-05T10:00:00Z",
				 "verdict", "DROPPED", "node_name", "n1");
	assert_messages(seen.messages, want);
	/* 2024-03-05T10:00:00Z */
	assert_int_equal(seen.last.wall.v, 1709632800 * NS_PER_S);
	json_decref(want);
	json_decref(seen.messages);
}

static void a_line_without_a_known_member_is_bad_and_one_without_text_is_none(void **state)
{
	(void)state;
	struct seen seen = nothing_seen();
	assert_int_equal(replay_text(STR("\n "
					 "\t\r\n{\"flow\":{}}\r\n{\"node_name\":\"n\",\"time\":"
					 "\"2024-03-05T10:00:00Z\","
					 "\"tomorrow_event\":{}}\n{\"node_status\":{\"state_"
					 "change\":\"NODE_CONNECTED\"}}\n{}\n"),
				     &seen),
			 2);
	json_t *want = json_pack("[{s:{}},i]", "flow", 2);
	assert_messages(seen.messages, want);
	json_decref(want);
	json_decref(seen.messages);
}

static void a_loss_is_told_in_its_place(void **state)
{
	(void)state;
	struct seen seen = nothing_seen();
	assert_int_equal(replay_text(STR("x\ny\n{\"flow\":{\"uuid\":\"1\"}}\nz\n{\"flow\":{"
					 "\"uuid\":\"2\"}}\n{\"flow\":"),
				     &seen),
			 4);
	json_t *want = json_pack("[i,{s:{s:s}},i,{s:{s:s}},i]", 2, "flow", "uuid", "1", 1, "flow",
				 "uuid", "2", 1);
	assert_messages(seen.messages, want);
	json_decref(want);
	json_decref(seen.messages);
}

static void a_line_is_at_most_a_mebibyte(void **state)
{
	(void)state;
	enum { LIMIT = 1 << 20 };
	static const char head[] = "{\"flow\":{\"Summary\":\"", tail[] = "\"}}";
	/* the longest line, one byte more, much more, and a good one behind them */
	static const size_t lengths[] = { LIMIT - 1, LIMIT, 3 * LIMIT + 7 };
	AUTO_BUF struct buf b = buf_init(16 << 20);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		size_t fill = lengths[i] - (sizeof head - 1) - (sizeof tail - 1);
		buf_put(&b, head, sizeof head - 1);
		char *to = buf_reserve(&b, fill);
		assert_non_null(to);
		memset(to, 'a', fill);
		b.len += fill;
		buf_put(&b, tail, sizeof tail - 1);
		buf_char(&b, '\n');
	}
	buf_lit(&b, "{\"flow\":{\"uuid\":\"last\"}}");
	struct seen seen = nothing_seen();
	assert_int_equal(replay_text(buf_str(&b), &seen), 2);
	assert_int_equal(json_array_size(seen.messages), 3);
	assert_int_equal(json_integer_value(json_array_get(seen.messages, 1)), 2);
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(json_array_get(seen.messages, 2), "flow"), "uuid")),
		"last");
	json_decref(seen.messages);
}

static void flows_are_stamped_anew_unless_their_time_is_kept(void **state)
{
	(void)state;
	char path[64];
	int fd = file_of(STR("{\"flow\":{\"uuid\":\"u\",\"time\":\"2024-03-05T10:00:00Z\","
			     "\"verdict\":\"DROPPED\"},"
			     "\"time\":\"2024-03-05T11:00:00Z\"}\n"
			     "{\"lost_events\":{\"num_events_lost\":\"5\"},\"time\":\"2024-03-"
			     "05T10:00:00Z\"}\n"),
			 path);
	struct seen seen = nothing_seen();
	const struct source_replay_config config = { .path = path };
	AUTO(source_free) struct source *s = open_replay(&config);
	struct wall_ns before = wall_now();
	assert_int_equal(source_drain(s, &seen.sink, 1), 1);
	struct wall_ns after = wall_now();
	assert_in_range(seen.last.wall.v, before.v, after.v);
	json_t *flow = json_object_get(json_array_get(seen.messages, 0), "flow");
	AUTO_BUF struct buf text = buf_init(100);
	timestamp_put(&text, timestamp_of(seen.last.wall));
	assert_string_equal(json_string_value(json_object_get(flow, "time")), buf_cstr(&text));
	assert_string_equal(json_string_value(json_object_get(flow, "uuid")), "u");
	assert_string_equal(json_string_value(json_object_get(flow, "verdict")), "DROPPED");
	assert_int_equal(source_drain(s, &seen.sink, 1), 1);
	assert_in_range(seen.last.wall.v, after.v, wall_now().v);
	json_decref(seen.messages);

	seen = nothing_seen();
	const struct source_replay_config kept_config = { .path = path, .keep_time = true };
	AUTO(source_free) struct source *kept = open_replay(&kept_config);
	drain_to_end(kept, &seen);
	assert_int_equal(seen.last.kind, RAW_LOST_MESSAGE);
	assert_int_equal(seen.last.wall.v, 1709632800 * NS_PER_S);
	flow = json_object_get(json_array_get(seen.messages, 0), "flow");
	assert_string_equal(json_string_value(json_object_get(flow, "time")),
			    "2024-03-05T10:00:00Z");
	json_decref(seen.messages);
	(void)close(fd);
}

static void a_file_can_be_repeated(void **state)
{
	(void)state;
	char path[64];
	int fd =
		file_of(STR("{\"flow\":{\"uuid\":\"1\"}}\nbad\n{\"flow\":{\"uuid\":\"2\"}}"), path);
	struct seen seen = nothing_seen();
	const struct source_replay_config config = { .path = path, .repeat = 3 };
	AUTO(source_free) struct source *s = open_replay(&config);
	drain_to_end(s, &seen);
	assert_int_equal(seen.events, 9);
	assert_int_equal(source_replay_bad_lines(s), 3);
	json_decref(seen.messages);
	(void)close(fd);

	/* a file that says nothing comes to an end all the same */
	fd = file_of(STR("\n\n"), path);
	seen = nothing_seen();
	const struct source_replay_config empty_config = { .path = path, .repeat = UINT64_MAX };
	AUTO(source_free) struct source *empty = open_replay(&empty_config);
	drain_to_end(empty, &seen);
	assert_int_equal(seen.events, 0);
	json_decref(seen.messages);
	(void)close(fd);
}

static void events_keep_their_distance(void **state)
{
	(void)state;
	static const char text[] = "{\"flow\":{\"time\":\"2024-03-05T10:00:00Z\"}}\n"
				   "{\"flow\":{\"time\":\"2024-03-05T09:00:00Z\"}}\n"
				   "{\"flow\":{}}\n"
				   "bad\n"
				   "{\"flow\":{\"time\":\"2024-03-05T11:00:00Z\"}}\n";
	char path[64];
	int fd = file_of(str_of(text), path);
	struct seen seen = nothing_seen();
	/* the first three and the loss have nothing to wait for, the last one an hour */
	const struct source_replay_config config = { .path = path, .speed = 1 };
	AUTO(source_free) struct source *s = open_replay(&config);
	assert_true(readable(s, 0));
	assert_int_equal(source_drain(s, &seen.sink, 100), 4);
	assert_false(readable(s, 0));
	assert_int_equal(source_drain(s, &seen.sink, 100), 0);
	assert_false(source_ended(s));

	/* an hour in 36 ms: never earlier */
	const struct source_replay_config fast_config = { .path = path, .speed = 100000 };
	AUTO(source_free) struct source *fast = open_replay(&fast_config);
	struct mono_ns start = mono_now();
	drain_to_end(fast, &seen);
	assert_int_equal(seen.events, 4 + 5);
	assert_true(mono_now().v - start.v >= 36 * NS_PER_MS);
	json_decref(seen.messages);
	(void)close(fd);
}

static void a_pipe_is_read_as_it_fills(void **state)
{
	(void)state;
	int fds[2];
	char path[64];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fds[0]);
	struct seen seen = nothing_seen();
	const struct source_replay_config config = { .path = path };
	AUTO(source_free) struct source *s = open_replay(&config);
	assert_int_equal(source_drain(s, &seen.sink, 10), 0);
	assert_false(readable(s, 0));

	assert_int_equal(write(fds[1], "{\"flow\":", 8), 8);
	assert_true(readable(s, WAIT_MS));
	assert_int_equal(source_drain(s, &seen.sink, 10), 0);
	assert_false(readable(s, 0));

	/* a loss is not kept back until the next line */
	assert_int_equal(write(fds[1], "{}}\nbad\n{\"fl", 12), 12);
	assert_true(readable(s, WAIT_MS));
	assert_int_equal(source_drain(s, &seen.sink, 10), 2);
	assert_false(readable(s, 0));
	assert_false(source_ended(s));

	assert_int_equal(write(fds[1], "ow\":{}}", 7), 7);
	(void)close(fds[1]);
	drain_to_end(s, &seen);
	assert_int_equal(seen.events, 3);
	assert_int_equal(json_integer_value(json_array_get(seen.messages, 1)), 1);
	assert_int_equal(source_replay_bad_lines(s), 1);
	json_decref(seen.messages);
	(void)close(fds[0]);
}

static void what_cannot_be_replayed_is_said(void **state)
{
	(void)state;
	struct source *s = NULL;
	struct err e;
	assert_int_equal(
		source_replay_new(&(struct source_replay_config){ .path = "/nonexistent" }, &s, &e),
		ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "/nonexistent"));
	assert_int_equal(source_replay_new(&(struct source_replay_config){ .path = "/" }, &s, &e),
			 ERR_INVALID);
	assert_int_equal(
		source_replay_new(&(struct source_replay_config){ .path = "-", .repeat = 2 }, &s,
				  &e),
		ERR_INVALID);
	assert_int_equal(
		source_replay_new(&(struct source_replay_config){ .path = "-", .speed = -1 }, &s,
				  &e),
		ERR_INVALID);
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_lines_come_out_as_the_same_messages),
		cmocka_unit_test(what_the_reference_could_read_comes_out_and_the_rest_is_counted),
		cmocka_unit_test(a_bare_flow_is_a_flow),
		cmocka_unit_test(a_line_without_a_known_member_is_bad_and_one_without_text_is_none),
		cmocka_unit_test(a_loss_is_told_in_its_place),
		cmocka_unit_test(a_line_is_at_most_a_mebibyte),
		cmocka_unit_test(flows_are_stamped_anew_unless_their_time_is_kept),
		cmocka_unit_test(a_file_can_be_repeated),
		cmocka_unit_test(events_keep_their_distance),
		cmocka_unit_test(a_pipe_is_read_as_it_fills),
		cmocka_unit_test(what_cannot_be_replayed_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
