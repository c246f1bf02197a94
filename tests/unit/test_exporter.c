/* observer/export: what one exporter writes of the records it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/watch.h"
#include "flow/dict.h"
#include "flow/flow.pb-c.h"
#include "flow/lost.h"
#include "observer/export/aggregate.h"
#include "observer/export/backups.h"
#include "observer/export/config.h"
#include "observer/export/exporter.h"

enum { TEXT_BYTES = 64 << 20 };
#define NOON_S 1767182400 /* 2025-12-31T12:00:00Z */

struct stage {
	char path[64];
	struct flow_dict *dict;
	struct export_backups *backups;
	struct export_specs *specs;
	struct exporter *x;
	struct export_now now;
};

static void stage_done(struct stage *s)
{
	exporter_free(s->x, s->now);
	export_specs_free(s->specs);
	export_backups_free(s->backups);
	flow_dict_free(s->dict);
	(void)unlink(s->path);
}
#define AUTO_STAGE __attribute__((cleanup(stage_done))) struct stage

/* @members of an entry of flowLogs, beside name and file. */
static enum err_code try_stage(struct stage *s, const char *members, struct err *e)
{
	char text[512];

	(void)snprintf(s->path, sizeof s->path, "/tmp/tycho-exporter-XXXXXX");
	int fd = mkstemp(s->path);
	assert_true(fd >= 0 && close(fd) == 0);
	s->now = (struct export_now){ { NOON_S * NS_PER_S }, { NS_PER_S } };
	(void)snprintf(text, sizeof text, "flowLogs: [{name: one, filePath: %s%s}]", s->path,
		       members);
	assert_int_equal(flow_dict_new(1024, &s->dict, NULL), ERR_OK);
	assert_int_equal(export_backups_new(&s->backups, NULL), ERR_OK);
	if (export_specs_yaml(str_of(text), &s->specs, e) != ERR_OK)
		fail_msg("%s", e->msg);
	const struct exporter_env env = { s->dict, "east/n0", s->backups };
	return exporter_new(&s->specs->specs[0], &env, s->now, &s->x, e);
}

static void open_stage(struct stage *s, const char *members)
{
	struct err e;

	if (try_stage(s, members, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static void put(struct stage *s, const struct flow *flows, size_t n)
{
	exporter_put(s->x, flows, n, s->now);
	exporter_pass(s->x, s->now);
}

static void expect(const struct stage *s, const char *want)
{
	AUTO_BUF struct buf text = buf_init(TEXT_BYTES);

	assert_int_equal(file_read(s->path, "file", &text, NULL), ERR_OK);
	assert_string_equal(buf_cstr(&text), want);
}

static struct flow a_flow(int verdict, int direction)
{
	return (struct flow){ .kind = FLOW_KIND_FLOW,
			      .bits = FLOW_HAS_TIME | FLOW_HAS_EVENT_TYPE,
			      .time = { NOON_S * NS_PER_S },
			      .event_type = 4,
			      .verdict = (uint8_t)verdict,
			      .direction = (uint8_t)direction };
}

/* flow.LostEvent: three lost by the kernel's ring. */
static struct flow a_loss(void)
{
	static const uint8_t ext[] = { 0x08, 1, 0x10, 3 };

	return (struct flow){ .kind = FLOW_KIND_LOST,
			      .bits = FLOW_HAS_TIME,
			      .time = { NOON_S * NS_PER_S },
			      .ext = ext,
			      .ext_len = sizeof ext };
}

/* flow.AgentEvent: AGENT_STARTED. */
static struct flow an_agent_event(void)
{
	static const uint8_t ext[] = { 0x08, 2 };

	return (struct flow){ .kind = FLOW_KIND_AGENT,
			      .bits = FLOW_HAS_TIME | FLOW_HAS_EVENT_TYPE,
			      .time = { NOON_S * NS_PER_S },
			      .event_type = 130,
			      .event_sub_type = 2,
			      .ext = ext,
			      .ext_len = sizeof ext };
}

#define FORWARDED FLOW__VERDICT__FORWARDED
#define DROPPED FLOW__VERDICT__DROPPED
#define INGRESS FLOW__TRAFFIC_DIRECTION__INGRESS
#define EGRESS FLOW__TRAFFIC_DIRECTION__EGRESS

#define FLOW_LINE                                                                                  \
	"{\"flow\":{\"time\":\"2025-12-31T12:00:00Z\",\"verdict\":\"FORWARDED\",\"event_type\":"   \
	"{\"type\":4}},\"time\":\"2025-12-31T12:00:00Z\"}\n"
#define LOST_LINE                                                                                  \
	"{\"lost_events\":{\"source\":\"PERF_EVENT_RING_BUFFER\",\"num_events_lost\":\"3\"},"      \
	"\"node_name\":\"n0\",\"time\":\"2025-12-31T12:00:00Z\"}\n"
#define AGENT_LINE                                                                                 \
	"{\"agent_event\":{\"type\":\"AGENT_STARTED\"},\"node_name\":\"n0\","                      \
	"\"time\":\"2025-12-31T12:00:00Z\"}\n"

static void put_one_of_each(struct stage *s)
{
	const struct flow records[] = { a_flow(FORWARDED, 0), a_loss(), an_agent_event() };

	put(s, records, ARRAY_LEN(records));
}

static void records_of_every_kind_are_lines(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	open_stage(&s, "");
	put_one_of_each(&s);
	expect(&s, FLOW_LINE LOST_LINE AGENT_LINE);
	assert_int_equal(exporter_counts(s.x).lines, 3);
	assert_int_equal(exporter_counts(s.x).bytes, strlen(FLOW_LINE LOST_LINE AGENT_LINE));
}

/* Cilium's datapath tells them, when it is asked to: they have a message of their own. */
static void debug_events_are_lines_that_a_filter_of_types_finds(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	static const uint8_t ext[] = { 0x08, 1 };
	const struct flow records[] = { { .kind = FLOW_KIND_DEBUG,
					  .bits = FLOW_HAS_EVENT_TYPE,
					  .event_type = 2,
					  .ext = ext,
					  .ext_len = sizeof ext },
					an_agent_event() };
	open_stage(&s, ", includeFilters: [{event_type: [{type: 2}]}]");
	put(&s, records, ARRAY_LEN(records));
	expect(&s, "{\"debug_event\":{\"type\":\"DBG_GENERIC\"},\"node_name\":\"n0\"}\n");
}

static void expect_of_each(const char *members, const char *want)
{
	AUTO_STAGE s = { 0 };

	open_stage(&s, members);
	put_one_of_each(&s);
	expect(&s, want);
}

static void filters_apply_to_every_event(void **state)
{
	(void)state;
	expect_of_each(", includeFilters: [{verdict: [FORWARDED]}]", FLOW_LINE);
	expect_of_each(", includeFilters: [{verdict: [DROPPED]}]", "");
	expect_of_each(", excludeFilters: [{verdict: [FORWARDED]}]", LOST_LINE AGENT_LINE);
	/* a lost event has no type; whoever asks for types wants to know of it */
	expect_of_each(", includeFilters: [{event_type: [{type: 4}]}]", FLOW_LINE LOST_LINE);
	expect_of_each(", includeFilters: [{event_type: [{type: 130}]}]", LOST_LINE AGENT_LINE);
	expect_of_each(", includeFilters: [{event_type: [{type: 4}], verdict: [FORWARDED]}]",
		       FLOW_LINE);
	expect_of_each(", includeFilters: [{event_type: [{type: 129}], http_status_code: ['5+']}]",
		       "");
	expect_of_each(", excludeFilters: [{event_type: [{type: 130}]}]", FLOW_LINE LOST_LINE);
}

static void a_mask_leaves_its_fields_of_flows_and_other_events_alone(void **state)
{
	(void)state;
	expect_of_each(
		", fieldMask: [verdict, source.pod_name]",
		"{\"flow\":{\"verdict\":\"FORWARDED\",\"source\":{}}}\n" LOST_LINE AGENT_LINE);
	expect_of_each(", fieldMask: [time]",
		       "{\"flow\":{\"time\":\"2025-12-31T12:00:00Z\"},"
		       "\"time\":\"2025-12-31T12:00:00Z\"}\n" LOST_LINE AGENT_LINE);
}

static void flows_are_counted_by_group_and_direction(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	const struct flow flows[] = {
		a_flow(FORWARDED, INGRESS), a_flow(FORWARDED, INGRESS), a_flow(FORWARDED, EGRESS),
		a_flow(DROPPED, 0),         a_flow(FORWARDED, INGRESS),
	};
	open_stage(&s, ", fieldAggregate: [verdict], aggregationInterval: 30s, fieldMask: [time]");
	put(&s, flows, ARRAY_LEN(flows));
	expect(&s, "");
	s.now.mono.v += 30 * NS_PER_S;
	exporter_pass(s.x, s.now);
#define GROUPS                                                                                     \
	"{\"flow\":{\"verdict\":\"FORWARDED\",\"aggregate\":{\"ingress_flow_count\":3,"            \
	"\"egress_flow_count\":1}}}\n"                                                             \
	"{\"flow\":{\"verdict\":\"DROPPED\",\"aggregate\":{\"unknown_direction_flow_count\":1}}}"  \
	"\n"
	expect(&s, GROUPS);
	s.now.mono.v += 30 * NS_PER_S;
	exporter_pass(s.x, s.now); /* nothing since */
	put(&s, &flows[3], 1);
	exporter_free(TAKE(s.x), s.now); /* it ends before its time */
	expect(&s, GROUPS "{\"flow\":{\"verdict\":\"DROPPED\",\"aggregate\":"
			  "{\"unknown_direction_flow_count\":1}}}\n");
}

/* The reference's key of a group is what is left of the flow, with messages on the way to a field there and empty. */
static void a_message_that_is_not_there_and_an_empty_one_are_one_group(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	open_stage(&s, ", aggregationInterval: 30s, fieldAggregate: [event_type, "
		       "tunnel.l4.TCP.source_port, "
		       "tunnel.IP.source, source.namespace]");
	/* Endpoint{ID: 7}; Tunnel{protocol: VXLAN, IP{ipVersion: IPv4}} */
	static const uint8_t ext[] = { 0xba, 0x02, 6, 0x08, 1, 0x12, 2, 0x18, 1 };
	struct flow flows[] = { a_flow(FORWARDED, INGRESS), a_flow(FORWARDED, INGRESS),
				a_flow(FORWARDED, EGRESS) };
	flows[1].src_ep = flow_dict_endpoint(s.dict, &(struct endpoint){ .id = 7 });
	flows[2].ext = ext;
	flows[2].ext_len = sizeof ext;
	put(&s, flows, ARRAY_LEN(flows));
	exporter_free(TAKE(s.x), s.now);
	expect(&s, "{\"flow\":{\"tunnel\":{\"IP\":{},\"l4\":{\"TCP\":{}}},\"source\":{},\"event_"
		   "type\":{\"type\":4},"
		   "\"aggregate\":{\"ingress_flow_count\":2,\"egress_flow_count\":1}}}\n");
}

/* Counts that came with a flow tell groups apart, if they are asked for, and are replaced in what is written. */
static void counts_that_flows_had_already_are_replaced(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	open_stage(&s, ", aggregationInterval: 30s, fieldAggregate: [aggregate, verdict]");
	static const uint8_t ext[] = {
		0xfa, 0xa0, 0x0a, 4, 0x08, 9, 0x18, 8
	}; /* Aggregate{ingress: 9, unknown: 8} */
	struct flow f = a_flow(FORWARDED, EGRESS);
	f.ext = ext;
	f.ext_len = sizeof ext;
	put(&s, &f, 1);
	exporter_free(TAKE(s.x), s.now);
	expect(&s,
	       "{\"flow\":{\"verdict\":\"FORWARDED\",\"aggregate\":{\"egress_flow_count\":1}}}\n");
}

static void a_time_that_is_aggregated_is_the_lines(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	const struct flow f = a_flow(FORWARDED, INGRESS);
	open_stage(&s, ", fieldAggregate: [time], aggregationInterval: 1s");
	put(&s, &f, 1);
	exporter_free(TAKE(s.x), s.now);
	expect(&s, "{\"flow\":{\"time\":\"2025-12-31T12:00:00Z\",\"aggregate\":"
		   "{\"ingress_flow_count\":1}},\"time\":\"2025-12-31T12:00:00Z\"}\n");
}

static void events_that_are_no_flows_are_written_at_once_beside_groups(void **state)
{
	(void)state;
	expect_of_each(", fieldAggregate: [verdict], aggregationInterval: 1h",
		       LOST_LINE AGENT_LINE);
}

static void fields_without_an_interval_aggregate_nothing(void **state)
{
	(void)state;
	expect_of_each(", fieldAggregate: [verdict]", FLOW_LINE LOST_LINE AGENT_LINE);
}

static void more_groups_than_there_is_room_for_are_written_earlier(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	open_stage(&s, ", fieldAggregate: [time], aggregationInterval: 1h, fileMaxSizeMb: 64");
	struct flow f = a_flow(FORWARDED, INGRESS);
	for (int i = 0; i < AGGREGATE_GROUPS; i++, f.time.v++)
		exporter_put(s.x, &f, 1, s.now);
	exporter_pass(s.x, s.now);
	assert_int_equal(exporter_counts(s.x).lines, 0);
	exporter_put(s.x, &f, 1, s.now);
	exporter_pass(s.x, s.now);
	assert_int_equal(exporter_counts(s.x).lines, AGGREGATE_GROUPS);
	assert_int_equal(exporter_counts(s.x).lost, 0);
}

#define OVERTAKEN(n, first, last)                                                                  \
	"{\"lost_events\":{\"source\":\"HUBBLE_RING_BUFFER\",\"num_events_lost\":\"" n             \
	"\",\"first\":\"2025-12-31T12:00:0" first "Z\",\"last\":\"2025-12-31T12:00:0" last         \
	"Z\"},\"node_name\":\"n0\",\"time\":\"2025-12-31T12:00:0" last "Z\"}\n"

static void pass_later(struct stage *s, uint64_t seconds)
{
	s->now.wall.v += seconds * NS_PER_S;
	s->now.mono.v += seconds * NS_PER_S;
}

static void what_the_log_overtook_is_told_once_a_second(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	open_stage(&s, "");
	struct wall_ns before = s.now.wall;
	pass_later(&s, 1);
	exporter_put_overtaken(s.x, 7, before, s.now.wall, s.now);
	exporter_put_overtaken(s.x, 1, s.now.wall, s.now.wall, s.now);
	exporter_put_overtaken(s.x, 2, s.now.wall, s.now.wall, s.now);
	exporter_pass(s.x, s.now);
	expect(&s, OVERTAKEN("7", "0", "1"));
	pass_later(&s, 1);
	exporter_pass(s.x, s.now);
	expect(&s, OVERTAKEN("7", "0", "1") OVERTAKEN("3", "1", "1"));
	exporter_put_overtaken(s.x, 4, s.now.wall, s.now.wall, s.now);
	exporter_free(TAKE(s.x), s.now);
	expect(&s, OVERTAKEN("7", "0", "1") OVERTAKEN("3", "1", "1") OVERTAKEN("4", "2", "2"));
}

static void who_filters_lost_events_is_not_told(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	open_stage(&s, ", includeFilters: [{verdict: [DROPPED]}]");
	exporter_put_overtaken(s.x, 7, s.now.wall, s.now.wall, s.now);
	exporter_pass(s.x, s.now);
	expect(&s, "");
}

static void set_file_size_limit(rlim_t bytes)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void what_could_not_be_written_is_counted_and_told_when_it_can(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	const struct flow flows[] = { a_flow(FORWARDED, 0), a_flow(FORWARDED, 0),
				      a_flow(FORWARDED, 0) };
	open_stage(&s, "");
	set_file_size_limit(2 * strlen(FLOW_LINE) + 10);
	put(&s, flows, 3);
	pass_later(&s, 1);
	put(&s, flows, 2);
	set_file_size_limit(RLIM_INFINITY);
	expect(&s, FLOW_LINE FLOW_LINE);
	assert_int_equal(exporter_counts(s.x).lost, 3);
	assert_int_equal(exporter_counts(s.x).lines, 2);
	put(&s, flows, 1);
	expect(&s, FLOW_LINE FLOW_LINE FLOW_LINE
	       "{\"lost_events\":{\"num_events_lost\":\"3\",\"first\":\"2025-12-31T12:00:00Z\","
	       "\"last\":\"2025-12-31T12:00:01Z\"},\"node_name\":\"n0\","
	       "\"time\":\"2025-12-31T12:00:01Z\"}\n");
	assert_int_equal(exporter_counts(s.x).lost, 3);
	assert_int_equal(exporter_counts(s.x).lines, 4);
}

static void what_the_log_overtook_is_told_even_if_it_could_not_be_written_at_once(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	const struct flow f = a_flow(FORWARDED, 0);
	open_stage(&s, "");
	set_file_size_limit(strlen(FLOW_LINE));
	exporter_put(s.x, &f, 1, s.now);
	exporter_put_overtaken(s.x, 4, s.now.wall, s.now.wall, s.now);
	exporter_put_overtaken(s.x, 3, s.now.wall, s.now.wall, s.now);
	exporter_pass(s.x, s.now);
	expect(&s, FLOW_LINE);
	pass_later(&s, 1);
	exporter_put_overtaken(s.x, 2, s.now.wall, s.now.wall, s.now);
	exporter_pass(s.x, s.now);
	set_file_size_limit(RLIM_INFINITY);
	assert_int_equal(exporter_counts(s.x).lost, 0);
	pass_later(&s, 1);
	exporter_pass(s.x, s.now);
	expect(&s, FLOW_LINE OVERTAKEN("9", "0", "1"));
}

static void beyond_its_end_an_exporter_writes_nothing(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	const struct flow f = a_flow(FORWARDED, EGRESS);
	open_stage(&s, ", end: \"2025-12-31T12:00:02Z\", fieldAggregate: [verdict], "
		       "aggregationInterval: 1h");
	pass_later(&s, 1);
	put(&s, &f, 1);
	assert_true(exporter_counts(s.x).is_active);
	pass_later(&s, 1);
	put(&s, &f, 1);
	assert_false(exporter_counts(s.x).is_active);
	pass_later(&s, 1);
	put(&s, &f, 1);
	exporter_put_overtaken(s.x, 1, s.now.wall, s.now.wall, s.now);
	exporter_pass(s.x, s.now);
	expect(&s, "{\"flow\":{\"verdict\":\"FORWARDED\",\"aggregate\":"
		   "{\"egress_flow_count\":1}}}\n");
}

static void one_that_has_ended_before_it_began_leaves_its_file_alone(void **state)
{
	(void)state;
	AUTO_STAGE s = { 0 };
	open_stage(&s, ".does/not/exist, end: \"2025-12-31T12:00:00Z\"");
	assert_false(exporter_counts(s.x).is_active);
	put_one_of_each(&s);
	assert_int_equal(exporter_counts(s.x).lines, 0);
	expect(&s, "");
}

static void expect_refused(const char *members, const char *sentence)
{
	AUTO_STAGE s = { 0 };
	struct err e;

	assert_int_not_equal(try_stage(&s, members, &e), ERR_OK);
	assert_string_equal(e.msg, sentence);
}

static void masks_and_filters_that_are_none_are_refused(void **state)
{
	(void)state;
	expect_refused(", fieldMask: [time, bogus]",
		       "fieldMask: proto: invalid path \"bogus\" for message \"flow.Flow\"");
	expect_refused(", fieldAggregate: [source.bogus]",
		       "fieldAggregate: proto: invalid path \"source.bogus\" for message "
		       "\"flow.Flow\"");
	expect_refused(", includeFilters: [{event_type: [{type: 4}], http_status_code: ['200']}]",
		       "includeFilters: filtering by http status code requires the event type "
		       "filter to only match 'l7' events");
	expect_refused(", excludeFilters: [{event_type: [{type: 4}], http_status_code: ['200']}]",
		       "excludeFilters: filtering by http status code requires the event type "
		       "filter to only match 'l7' events");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_of_every_kind_are_lines),
		cmocka_unit_test(debug_events_are_lines_that_a_filter_of_types_finds),
		cmocka_unit_test(filters_apply_to_every_event),
		cmocka_unit_test(a_mask_leaves_its_fields_of_flows_and_other_events_alone),
		cmocka_unit_test(flows_are_counted_by_group_and_direction),
		cmocka_unit_test(a_message_that_is_not_there_and_an_empty_one_are_one_group),
		cmocka_unit_test(counts_that_flows_had_already_are_replaced),
		cmocka_unit_test(a_time_that_is_aggregated_is_the_lines),
		cmocka_unit_test(events_that_are_no_flows_are_written_at_once_beside_groups),
		cmocka_unit_test(fields_without_an_interval_aggregate_nothing),
		cmocka_unit_test(more_groups_than_there_is_room_for_are_written_earlier),
		cmocka_unit_test(what_the_log_overtook_is_told_once_a_second),
		cmocka_unit_test(who_filters_lost_events_is_not_told),
		cmocka_unit_test(what_could_not_be_written_is_counted_and_told_when_it_can),
		cmocka_unit_test(
			what_the_log_overtook_is_told_even_if_it_could_not_be_written_at_once),
		cmocka_unit_test(beyond_its_end_an_exporter_writes_nothing),
		cmocka_unit_test(one_that_has_ended_before_it_began_leaves_its_file_alone),
		cmocka_unit_test(masks_and_filters_that_are_none_are_refused),
	};

	(void)signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
