/* lib/rpc: what every server brings along: health and reflection. The bytes are checked by
 * protobuf-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <grpc/grpc.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>

#include "base/buf.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc_fixture.h"

typedef Grpc__Health__V1__HealthCheckResponse Health;
typedef Grpc__Reflection__V1__ServerReflectionRequest Question;
typedef Grpc__Reflection__V1__ServerReflectionResponse Answer;

#define HEALTH(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

static struct str health_request(const char *service, uint8_t *out)
{
	Grpc__Health__V1__HealthCheckRequest r;

	grpc__health__v1__health_check_request__init(&r);
	r.service = (char *)(uintptr_t)service;
	return str_n(out, grpc__health__v1__health_check_request__pack(&r, out));
}

static int health_of(struct str bytes)
{
	Health *h = grpc__health__v1__health_check_response__unpack(NULL, bytes.len,
								    (const uint8_t *)bytes.p);
	assert_non_null(h);
	int status = (int)h->status;
	grpc__health__v1__health_check_response__free_unpacked(h, NULL);
	return status;
}

/* The status, or minus the rpc_status. */
static int check(struct rpc_channel *ch, const char *service)
{
	uint8_t out[200];
	AUTO_BUF struct buf answer = buf_init(100);
	struct rpc_result result;

	if (rpc_unary(ch, "/grpc.health.v1.Health/Check", health_request(service, out),
		      30 * NS_PER_S, &answer, &result, NULL) != ERR_OK)
		return -(int)result.status;
	return health_of(buf_str(&answer));
}

static struct rpc_server *healthy(void)
{
	static const char *const services[] = { "hubble.server.Observer", "observer.Observer" };

	return fixture_serve((struct rpc_server_config){
		.health_services = services, .health_service_count = ARRAY_LEN(services) });
}

static void health_is_checked_by_name(void **state)
{
	(void)state;
	struct rpc_server *s = healthy();
	struct rpc_channel *ch = fixture_channel(s);

	assert_int_equal(check(ch, ""), HEALTH(SERVING));
	assert_int_equal(check(ch, "hubble.server.Observer"), HEALTH(SERVING));
	assert_int_equal(check(ch, "nobody"), -RPC_NOT_FOUND);
	rpc_server_set_health(s, "", false);
	rpc_server_set_health(s, "nobody", true);
	assert_int_equal(check(ch, ""), HEALTH(NOT_SERVING));
	assert_int_equal(check(ch, "nobody"), HEALTH(SERVING));
	AUTO_BUF struct buf answer = buf_init(100);
	assert_int_equal(rpc_unary(ch, "/grpc.health.v1.Health/Check", STR("\x0a\xff"),
				   30 * NS_PER_S, &answer, NULL, NULL),
			 ERR_INVALID);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static int next_health(struct rpc_stream *st)
{
	struct str message;
	struct err e;

	if (rpc_stream_next(st, 30 * NS_PER_S, &message, &e) != ERR_OK)
		fail_msg("watch: %s", e.msg);
	return health_of(message);
}

static void a_watcher_hears_of_every_change(void **state)
{
	(void)state;
	struct rpc_server *s = healthy();
	struct rpc_channel *ch = fixture_channel(s);
	uint8_t out[200];
	struct rpc_stream *st = NULL, *other = NULL;
	struct err e;

	assert_int_equal(rpc_stream_open(ch, "/grpc.health.v1.Health/Watch",
					 health_request("later", out), &st, &e),
			 ERR_OK);
	assert_int_equal(next_health(st), HEALTH(SERVICE_UNKNOWN));
	rpc_server_set_health(s, "later", true);
	assert_int_equal(next_health(st), HEALTH(SERVING));
	assert_int_equal(rpc_stream_open(ch, "/grpc.health.v1.Health/Watch",
					 health_request("other", out), &other, &e),
			 ERR_OK);
	assert_int_equal(next_health(other), HEALTH(SERVICE_UNKNOWN));
	rpc_server_set_health(s, "later", true); /* no change, no message */
	rpc_server_set_health(s, "other", true);
	assert_int_equal(next_health(other), HEALTH(SERVING)); /* all watchers have been told */
	rpc_server_set_health(s, "later", false);
	assert_int_equal(next_health(st), HEALTH(NOT_SERVING));
	rpc_stream_free(other);
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

/* A watch keeps its name. */
static void a_name_that_is_watched_has_a_thousand_bytes_at_most(void **state)
{
	(void)state;
	struct rpc_server *s = healthy();
	struct rpc_channel *ch = fixture_channel(s);
	char name[1026] = { 0 };
	uint8_t out[sizeof name + 10];
	struct rpc_stream *st = NULL;
	struct str message;
	struct err e;

	memset(name, 'x', 1024);
	assert_int_equal(rpc_stream_open(ch, "/grpc.health.v1.Health/Watch",
					 health_request(name, out), &st, &e),
			 ERR_OK);
	assert_int_equal(next_health(st), HEALTH(SERVICE_UNKNOWN));
	rpc_stream_free(st);
	name[1024] = 'x';
	assert_int_equal(rpc_stream_open(ch, "/grpc.health.v1.Health/Watch",
					 health_request(name, out), &st, &e),
			 ERR_OK);
	assert_int_equal(rpc_stream_next(st, 30 * NS_PER_S, &message, &e), ERR_INVALID);
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void all_services_are_listed_with_their_health(void **state)
{
	(void)state;
	struct rpc_server *s = healthy();
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(1000);

	rpc_server_set_health(s, "observer.Observer", false);
	assert_int_equal(rpc_unary(ch, "/grpc.health.v1.Health/List", STR(""), 30 * NS_PER_S,
				   &answer, NULL, NULL),
			 ERR_OK);
	Grpc__Health__V1__HealthListResponse *list = grpc__health__v1__health_list_response__unpack(
		NULL, answer.len, (const uint8_t *)answer.p);
	assert_non_null(list);
	assert_int_equal(list->n_statuses, 3);
	for (size_t i = 0; i < list->n_statuses; i++)
		assert_int_equal(list->statuses[i]->value->status,
				 strcmp(list->statuses[i]->key, "observer.Observer")
					 ? HEALTH(SERVING)
					 : HEALTH(NOT_SERVING));
	grpc__health__v1__health_list_response__free_unpacked(list, NULL);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

/* Our client sends one message per call; reflection answers it, and ends when the client has
 * finished. */
static Answer *ask(struct rpc_channel *ch, const char *method, Question *q)
{
	uint8_t out[400];
	size_t n = grpc__reflection__v1__server_reflection_request__pack(q, out);
	struct rpc_stream *st = NULL;
	struct str message;
	struct err e;

	assert_int_equal(rpc_stream_open(ch, method, str_n(out, n), &st, &e), ERR_OK);
	if (rpc_stream_next(st, 30 * NS_PER_S, &message, &e) != ERR_OK)
		fail_msg("reflection: %s", e.msg);
	Answer *a = grpc__reflection__v1__server_reflection_response__unpack(
		NULL, message.len, (const uint8_t *)message.p);
	assert_non_null(a);
	assert_non_null(a->original_request);
	assert_int_equal(a->original_request->message_request_case, q->message_request_case);
	assert_int_equal(rpc_stream_next(st, 30 * NS_PER_S, &message, &e), ERR_CLOSED);
	rpc_stream_free(st);
	return a;
}

static const char v1[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
static const char v1alpha[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

static void reflection_lists_what_is_served(void **state)
{
	(void)state;
	static const char *const want[] = { "test.T", "grpc.health.v1.Health",
					    "grpc.reflection.v1.ServerReflection" };
	static const char *const methods[] = { v1, v1alpha };
	struct rpc_server *s = healthy();
	struct rpc_channel *ch = fixture_channel(s);
	Question q;

	grpc__reflection__v1__server_reflection_request__init(&q);
	q.message_request_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
	q.list_services = (char *)(uintptr_t) "*";
	for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
		Answer *a = ask(ch, methods[m], &q);
		assert_non_null(a->list_services_response);
		assert_int_equal(a->list_services_response->n_service, ARRAY_LEN(want));
		for (size_t i = 0; i < ARRAY_LEN(want); i++) {
			bool found = false;
			for (size_t k = 0; k < ARRAY_LEN(want); k++)
				found |= strcmp(a->list_services_response->service[k]->name,
						want[i]) == 0;
			assert_true(found);
		}
		grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
	}
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

/* True if the file that comes first is named @file, and each of its imports is among those that
 * follow. */
static bool is_file_with_imports(const Grpc__Reflection__V1__FileDescriptorResponse *r,
				 const char *file)
{
	Google__Protobuf__FileDescriptorProto *all[32] = { 0 };
	bool ok = r->n_file_descriptor_proto > 0 && r->n_file_descriptor_proto <= ARRAY_LEN(all);

	for (size_t i = 0; ok && i < r->n_file_descriptor_proto; i++) {
		all[i] = google__protobuf__file_descriptor_proto__unpack(
			NULL, r->file_descriptor_proto[i].len, r->file_descriptor_proto[i].data);
		ok = all[i] != NULL;
	}
	ok = ok && strcmp(all[0]->name, file) == 0;
	for (size_t d = 0; ok && d < all[0]->n_dependency; d++) {
		ok = false;
		for (size_t i = 1; i < r->n_file_descriptor_proto; i++)
			ok |= strcmp(all[i]->name, all[0]->dependency[d]) == 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i])
			google__protobuf__file_descriptor_proto__free_unpacked(all[i], NULL);
	return ok;
}

static void reflection_finds_the_file_of_a_symbol(void **state)
{
	(void)state;
	static const struct {
		const char *symbol, *file; /* NULL: there is none */
	} cases[] = {
		{ "observer.Observer", "observer/observer.proto" },
		{ "observer.Observer.GetFlows", "observer/observer.proto" },
		{ "flow.Flow", "flow/flow.proto" },
		{ "flow.Flow.verdict", "flow/flow.proto" },
		{ "flow.DROPPED", "flow/flow.proto" }, /* an enum's value is its enum's neighbour */
		{ "grpc.health.v1.HealthCheckResponse.ServingStatus",
		  "grpc/health/v1/health.proto" },
		{ "google.protobuf.Timestamp", "google/protobuf/timestamp.proto" },
		{ "flow", NULL },
		{ "flow.", NULL },
		{ "flow.Flo", NULL },
		{ "flow.Flow.", NULL },
		{ "observer.Observer.Nothing", NULL },
		{ "", NULL },
	};
	struct rpc_server *s = healthy();
	struct rpc_channel *ch = fixture_channel(s);
	Question q;

	grpc__reflection__v1__server_reflection_request__init(&q);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		q.message_request_case =
			GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
		q.file_containing_symbol = (char *)(uintptr_t)cases[i].symbol;
		Answer *a = ask(ch, v1, &q);
		bool ok =
			cases[i].file
				? a->message_response_case ==
						  GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE &&
					  is_file_with_imports(a->file_descriptor_response,
							       cases[i].file)
				: a->message_response_case ==
						  GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE &&
					  a->error_response->error_code == RPC_NOT_FOUND;
		grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
		if (!ok)
			fail_msg("symbol '%s'", cases[i].symbol);
	}
	q.message_request_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
	q.file_by_filename = (char *)(uintptr_t) "flow/flow.proto";
	Answer *a = ask(ch, v1alpha, &q);
	assert_int_equal(
		a->message_response_case,
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
	assert_true(is_file_with_imports(a->file_descriptor_response, "flow/flow.proto"));
	grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
	q.message_request_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE;
	q.all_extension_numbers_of_type = (char *)(uintptr_t) "flow.Flow";
	a = ask(ch, v1, &q);
	assert_non_null(a->all_extension_numbers_response);
	assert_int_equal(a->all_extension_numbers_response->n_extension_number, 0);
	grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

/* Both directions at once need more than our client offers: the C core itself asks twice on one
 * stream. */
struct talk {
	grpc_completion_queue *cq;
	grpc_call *call;
};

static void batch(struct talk *t, const grpc_op *ops, size_t n)
{
	assert_int_equal(grpc_call_start_batch(t->call, ops, n, t, NULL), GRPC_CALL_OK);
	grpc_event ev = grpc_completion_queue_next(
		t->cq,
		gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(30, GPR_TIMESPAN)),
		NULL);
	assert_int_equal(ev.type, GRPC_OP_COMPLETE);
}

static void reflection_answers_each_question_of_a_stream(void **state)
{
	(void)state;
	struct rpc_server *s = healthy();
	char target[64];
	(void)snprintf(target, sizeof target, "ipv4:127.0.0.1:%d", rpc_server_port(s, 0));
	grpc_channel_credentials *plain = grpc_insecure_credentials_create();
	grpc_channel *channel = grpc_channel_create(target, plain, NULL);
	grpc_slice path = grpc_slice_from_static_string(v1);
	struct talk t = { .cq = grpc_completion_queue_create_for_next(NULL) };
	t.call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, t.cq, path, NULL,
					  gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	grpc_metadata_array headers, trailers;
	grpc_metadata_array_init(&headers);
	grpc_metadata_array_init(&trailers);
	batch(&t, &(grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA }, 1);
	for (int i = 0; i < 3; i++) {
		uint8_t out[100];
		Question q;
		grpc__reflection__v1__server_reflection_request__init(&q);
		q.message_request_case =
			GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
		q.file_by_filename = (char *)(uintptr_t) "peer/peer.proto";
		grpc_slice slice = grpc_slice_from_copied_buffer(
			(const char *)out,
			grpc__reflection__v1__server_reflection_request__pack(&q, out));
		grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(&slice, 1), *back = NULL;
		grpc_slice_unref(slice);
		batch(&t,
		      &(grpc_op){ .op = GRPC_OP_SEND_MESSAGE,
				  .data.send_message.send_message = bb },
		      1);
		grpc_byte_buffer_destroy(bb);
		if (i == 0)
			batch(&t,
			      &(grpc_op){ .op = GRPC_OP_RECV_INITIAL_METADATA,
					  .data.recv_initial_metadata.recv_initial_metadata =
						  &headers },
			      1);
		batch(&t,
		      &(grpc_op){ .op = GRPC_OP_RECV_MESSAGE,
				  .data.recv_message.recv_message = &back },
		      1);
		assert_non_null(back);
		grpc_byte_buffer_reader reader;
		assert_int_equal(grpc_byte_buffer_reader_init(&reader, back), 1);
		grpc_slice got = grpc_byte_buffer_reader_readall(&reader);
		Answer *a = grpc__reflection__v1__server_reflection_response__unpack(
			NULL, GRPC_SLICE_LENGTH(got), GRPC_SLICE_START_PTR(got));
		assert_non_null(a);
		assert_true(is_file_with_imports(a->file_descriptor_response, "peer/peer.proto"));
		grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
		grpc_slice_unref(got);
		grpc_byte_buffer_reader_destroy(&reader);
		grpc_byte_buffer_destroy(back);
	}
	batch(&t, &(grpc_op){ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT }, 1);
	grpc_status_code status;
	grpc_slice details = grpc_empty_slice();
	batch(&t,
	      &(grpc_op){ .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
			  .data.recv_status_on_client = { .trailing_metadata = &trailers,
							  .status = &status,
							  .status_details = &details } },
	      1);
	assert_int_equal(status, GRPC_STATUS_OK);
	grpc_slice_unref(details);
	grpc_metadata_array_destroy(&headers);
	grpc_metadata_array_destroy(&trailers);
	grpc_call_unref(t.call);
	grpc_completion_queue_shutdown(t.cq);
	while (grpc_completion_queue_next(t.cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
	       GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(t.cq);
	grpc_channel_destroy(channel);
	grpc_channel_credentials_release(plain);
	rpc_server_free(s, NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(health_is_checked_by_name),
		cmocka_unit_test(a_watcher_hears_of_every_change),
		cmocka_unit_test(a_name_that_is_watched_has_a_thousand_bytes_at_most),
		cmocka_unit_test(all_services_are_listed_with_their_health),
		cmocka_unit_test(reflection_lists_what_is_served),
		cmocka_unit_test(reflection_finds_the_file_of_a_symbol),
		cmocka_unit_test(reflection_answers_each_question_of_a_stream),
	};

	rpc_init();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rpc_shutdown();
	return failed;
}
