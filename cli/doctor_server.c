/*
 * What a server says: health ► version ► clock, and flows.
 */
#include "cli/doctor.h"

#include "base/time.h"
#include "grpc/health/v1/health.pb-c.h"
#include "observer/observer.pb-c.h"
#include "tycho/v1/flows.pb-c.h"

/* Beyond this, flows of two nodes are visibly out of order; beyond the second, --since misses. */
#define SKEW_WARN_NS (100 * NS_PER_MS)
#define SKEW_FAIL_NS (5 * NS_PER_S)

const char *doctor_call_fix(const struct doctor *d, const struct rpc_result *r)
{
	switch (r->status) {
	case RPC_UNAUTHENTICATED:
		return "the server keeps an access file: show it --token-file, or a client "
		       "certificate";
	case RPC_PERMISSION_DENIED:
		return "the server's access file does not give you this";
	case RPC_DEADLINE_EXCEEDED:
		return "the port is open but its owner is silent: it may be frozen or overloaded; "
		       "see "
		       "its log";
	case RPC_UNIMPLEMENTED:
		return "this is a gRPC server, but no observer or relay";
	case RPC_UNAVAILABLE:
		return d->with_tls ? "see the server's log"
				   : "if the server wants TLS, give --tls; else see its log";
	default:
		return "see the server's log";
	}
}

enum err_code doctor_call(struct doctor *d, const char *method, struct str request,
			  struct buf *answer, struct rpc_result *result)
{
	struct err e;

	*result = (struct rpc_result){ 0 };
	return rpc_unary(d->connection.channel, method, request, d->timeout_ns, answer, result, &e);
}

bool doctor_health(struct doctor *d)
{
	char service[] = "hubble.server.Observer";
	Grpc__Health__V1__HealthCheckRequest request;
	AUTO_BUF struct buf answer = buf_init(DOCTOR_ANSWER_BYTES);
	struct rpc_result result;
	uint8_t wire[64];

	grpc__health__v1__health_check_request__init(&request);
	request.service = service;
	size_t len = grpc__health__v1__health_check_request__pack(&request, wire);
	if (doctor_call(d, "/grpc.health.v1.Health/Check", str_n(wire, len), &answer, &result) !=
	    ERR_OK) {
		const char *name = rpc_status_name(result.status);
		doctor_say(d, VERDICT_FAIL, "health",
			   result.status == RPC_NOT_FOUND
				   ? "this is a gRPC server, but no observer or relay"
				   : doctor_call_fix(d, &result),
			   "%s: %s", name ? name : "error", result.message);
		return false;
	}
	Grpc__Health__V1__HealthCheckResponse *r = grpc__health__v1__health_check_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	d->is_serving =
		r && r->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	if (r)
		grpc__health__v1__health_check_response__free_unpacked(r, NULL);
	if (d->is_serving)
		doctor_say(d, VERDICT_OK, "health", "", "the server is serving");
	else
		doctor_say(d, VERDICT_FAIL, "health",
			   "of a relay: none of its peers is available, or ClickHouse does not "
			   "answer it; see below",
			   "the server says that it is not serving");
	return true;
}

bool doctor_version(struct doctor *d)
{
	AUTO_BUF struct buf answer = buf_init(DOCTOR_ANSWER_BYTES);
	struct rpc_result result;

	if (doctor_call(d, "/observer.Observer/ServerStatus", STR(""), &answer, &result) !=
	    ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "version",
			   result.status == RPC_UNAVAILABLE
				   ? "see the server's log; where it answers from ClickHouse, "
				     "whether that runs and can be reached from there"
				   : doctor_call_fix(d, &result),
			   "%s", result.message);
		return false;
	}
	Observer__ServerStatusResponse *r = observer__server_status_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	if (!r) {
		doctor_say(d, VERDICT_FAIL, "version", "", "the server's status cannot be read");
		return false;
	}
	const char *number = strstr(r->version, "tycho") ? strstr(r->version, " v") : NULL;
	if (number && (version_is_older(cli_version(), str_of(number + 1)) ||
		       version_is_older(number + 2, str_of(cli_version()))))
		doctor_say(d, VERDICT_WARN, "version", "use the same version on both sides",
			   "the server is %s, this command is %s", r->version, cli_version());
	else
		doctor_say(d, VERDICT_OK, "version", "", "%s, %llu flows seen",
			   *r->version ? r->version : "a server that does not say",
			   (unsigned long long)r->seen_flows);
	observer__server_status_response__free_unpacked(r, NULL);
	return true;
}

static void judge_clock(struct doctor *d, const char *whose, int64_t ahead_ns, uint64_t trip_ns)
{
	uint64_t off = ahead_ns < 0 ? -(uint64_t)ahead_ns : (uint64_t)ahead_ns;
	/* Within half of the way there and back, nobody can know. */
	uint64_t sure = off > trip_ns / 2 ? off - trip_ns / 2 : 0;
	enum verdict v = sure > SKEW_FAIL_NS   ? VERDICT_FAIL
			 : sure > SKEW_WARN_NS ? VERDICT_WARN
					       : VERDICT_OK;

	doctor_say(d, v, "clock",
		   v == VERDICT_OK
			   ? ""
			   : "set both clocks (NTP, chrony): flows are put in order, and found by "
			     "--since, by the clock of the node that saw them",
		   "%s is %.3f s %s, known to %.3f s", whose, (double)off / NS_PER_S,
		   ahead_ns < 0 ? "behind" : "ahead", (double)trip_ns / 2 / NS_PER_S);
}

void doctor_clock(struct doctor *d)
{
	AUTO_BUF struct buf answer = buf_init(DOCTOR_ANSWER_BYTES);
	struct rpc_result result;
	struct wall_ns asked_at = wall_now(), theirs;
	struct mono_ns asked = mono_now();
	enum err_code code = doctor_call(d, "/tycho.v1.Flows/GetTime", STR(""), &answer, &result);
	uint64_t trip_ns = mono_now().v - asked.v;

	if (code != ERR_OK) {
		if (result.status == RPC_UNIMPLEMENTED)
			doctor_say(d, VERDICT_OK, "clock", "",
				   "not known: the server has no call for it");
		else
			doctor_say(d, VERDICT_WARN, "clock", doctor_call_fix(d, &result),
				   "not known: %s", result.message);
		return;
	}
	Tycho__V1__GetTimeResponse *r = tycho__v1__get_time_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	if (r && r->time &&
	    timestamp_to_wall((struct timestamp){ r->time->seconds, r->time->nanos }, &theirs)) {
		judge_clock(d, *r->node_name ? r->node_name : "the server",
			    (int64_t)(theirs.v - asked_at.v - trip_ns / 2), trip_ns);
	}
	for (size_t i = 0; r && i < r->n_peers; i++) {
		const Tycho__V1__PeerTime *p = r->peers[i];
		if (*p->error)
			doctor_say(d, VERDICT_OK, "clock", "", "of %s not known: %s", p->name,
				   p->error);
		else
			judge_clock(d, p->name, p->ahead_ns, p->round_trip_ns);
	}
	if (r)
		tycho__v1__get_time_response__free_unpacked(r, NULL);
}

void doctor_flows(struct doctor *d)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	struct mono_ns until = { mono_now().v + d->timeout_ns };
	Observer__GetFlowsRequest request = OBSERVER__GET_FLOWS_REQUEST__INIT;
	struct str message;
	uint8_t wire[16];
	size_t flows = 0;
	struct err e;

	request.number = 1;
	size_t len = observer__get_flows_request__pack(&request, wire);
	enum err_code code = rpc_stream_open(d->connection.channel, "/observer.Observer/GetFlows",
					     str_n(wire, len), &stream, &e);
	while (code == ERR_OK) {
		uint64_t now = mono_now().v;
		code = now < until.v ? rpc_stream_next(stream, until.v - now, &message, &e)
				     : ERR_TIMEOUT;
		if (code != ERR_OK)
			break;
		Observer__GetFlowsResponse *r = observer__get_flows_response__unpack(
			NULL, message.len, (const uint8_t *)message.p);
		flows += r && r->response_types_case ==
				      OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_FLOW;
		if (r)
			observer__get_flows_response__free_unpacked(r, NULL);
	}
	if (flows)
		doctor_say(d, VERDICT_OK, "flows", "",
			   "%zu came when the last of each node was asked for", flows);
	else if (code == ERR_CLOSED)
		doctor_say(d, VERDICT_WARN, "flows",
			   "see whether there is traffic, whether the observer watches the right "
			   "interfaces "
			   "(tycho-observer --interface), and which namespaces you may see",
			   "there are none yet");
	else
		doctor_say(d, VERDICT_FAIL, "flows", "see the server's log", "%s",
			   code == ERR_TIMEOUT ? "none came in time" : e.msg);
}
