/*
 * tycho doctor - the way to a server, and what is behind it, one step after the other; what is
 * wrong, and what to do about it.
 *
 *	name ► connect ► tls ► health ► version ► clock ► nodes ► stores ► flows
 *
 * A step that fails ends the way where the later ones could only say the same again.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/history.h"
#include "cli/status_history.h"
#include "cli/up_child.h"
#include "doctor/finding.h"
#include "grpc/health/v1/health.pb-c.h"
#include "observer/observer.pb-c.h"
#include "rpc/address.h"
#include "rpc/probe.h"
#include "tycho/v1/flows.pb-c.h"

enum {
	ADDRESSES_MAX = 16,
	ANSWER_MAX_BYTES = 4 << 20,
	TEXT_MAX_BYTES = 1024,
	EXPIRES_SOON_S = 7 * 24 * 3600,
};
/* Beyond this, flows of two nodes are visibly out of order; beyond the second, --since misses. */
#define SKEW_WARN_NS (100 * NS_PER_MS)
#define SKEW_FAIL_NS (5 * NS_PER_S)

struct doctor {
	const struct cli *cli;
	struct findings findings;
	uint64_t timeout_ns;
	struct address address;
	struct rpc_tls tls;
	const char *ca_files[CONNECTION_CA_FILES];
	bool with_tls;
	struct connection connection;
	enum err_code write_error; /* stdout is gone */
	struct err *e;
};

/* ---- saying it */

/* @fix "" where nothing is to be done. */
static void say(struct doctor *d, enum verdict verdict, const char *check, const char *fix,
		const char *fmt, ...) FORMAT(5, 6);
static void say(struct doctor *d, enum verdict verdict, const char *check, const char *fix,
		const char *fmt, ...)
{
	AUTO_BUF struct buf b = buf_init(16 << 10);
	va_list ap;

	va_start(ap, fmt);
	findings_put(&d->findings, &b, verdict, check, fix, fmt, ap);
	va_end(ap);
	if (d->write_error == ERR_OK)
		d->write_error = cli_write(buf_str(&b), d->e);
}

/* ---- name, connect, tls */

static bool check_name(struct doctor *d, struct address *out, size_t *ret_count)
{
	const char *server = settings_text(d->cli->settings, "server");
	char list[TEXT_MAX_BYTES] = "";
	struct err e;

	if (address_parse(str_of(server), &d->address, &e) != ERR_OK) {
		say(d, VERDICT_FAIL, "name",
		    "give --server as host:port, tls://host:port or unix:///path", "%s", e.msg);
		return false;
	}
	if (d->address.is_unix) {
		out[0] = d->address;
		*ret_count = 1;
		return true;
	}
	if (!*d->address.host)
		(void)snprintf(d->address.host, sizeof d->address.host, "localhost");
	if (address_resolve(&d->address, out, ADDRESSES_MAX, ret_count, &e) != ERR_OK) {
		say(d, VERDICT_FAIL, "name",
		    "check the name and this machine's name service (/etc/resolv.conf), or give "
		    "the "
		    "address instead",
		    "%s", e.msg);
		return false;
	}
	for (size_t i = 0; i < *ret_count; i++) {
		size_t len = strlen(list);
		(void)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", out[i].host);
	}
	say(d, VERDICT_OK, "name", "", "%s is %s", d->address.host, list);
	return true;
}

static const char *connect_fix(const struct doctor *d, const struct err *e)
{
	switch (e->os) {
	case ECONNREFUSED:
		return d->address.is_unix ? "the socket is there but nobody serves it: start the "
					    "observer or relay"
					  : "nothing listens there: start the server, check the "
					    "port, and see what "
					    "--listen it was given";
	case ENOENT:
		return "there is no such socket: start the observer or relay, or check the path";
	case EACCES:
		return "you may not open the socket: it is for its owner and group; join the group "
		       "or "
		       "use sudo";
	case ENETUNREACH:
	case EHOSTUNREACH:
		return "no way leads there: check the address, this machine's routes and the "
		       "network "
		       "between";
	default:
		break;
	}
	return e->code == ERR_TIMEOUT
		       ? "nothing comes back: look for a firewall or network policy on "
			 "the way, and whether the machine is up"
		       : "";
}

/* @return a connection, or -1. */
static int check_connect(struct doctor *d, const struct address *list, size_t n)
{
	int fd = -1;

	for (size_t i = 0; i < n; i++) {
		int one = -1;
		struct err e = { 0 };
		char where[ADDRESS_TARGET_BYTES];
		if (d->address.is_unix)
			(void)snprintf(where, sizeof where, "%s", list[i].path);
		else
			(void)snprintf(where, sizeof where, "%s%s%s:%u",
				       strchr(list[i].host, ':') ? "[" : "", list[i].host,
				       strchr(list[i].host, ':') ? "]" : "",
				       (unsigned)list[i].port);
		if (probe_connect(&list[i], d->timeout_ns, &one, &e) == ERR_OK) {
			say(d, VERDICT_OK, "connect", "", "%s answers", where);
			if (fd < 0)
				fd = one;
			else
				(void)close(one);
			continue;
		}
		/* One of several will do ("localhost" is two addresses); that all fail will not. */
		bool is_last = i + 1 == n && fd < 0;
		say(d, is_last ? VERDICT_FAIL : VERDICT_WARN, "connect",
		    is_last ? connect_fix(d, &e) : "", "%s: %s", where, e.msg);
	}
	return fd;
}

static const char *expected_name(const struct doctor *d)
{
	return d->tls.server_name ? d->tls.server_name : d->address.host;
}

static bool check_chain(struct doctor *d, const struct probe_tls *p)
{
	char day[32] = "";
	struct tm tm;
	time_t expires = (time_t)p->expires_s;
	bool good = true;

	if (gmtime_r(&expires, &tm))
		(void)strftime(day, sizeof day, "%Y-%m-%d", &tm);
	if (*p->chain) {
		good = d->tls.allow_insecure;
		say(d, good ? VERDICT_WARN : VERDICT_FAIL, "tls",
		    p->has_expired ? "renew the server's certificate"
		    : p->is_self_signed
			    ? "give this certificate itself with --tls-ca-cert-files, or have it "
			      "signed by an authority"
			    : FIX("give the certificate of the authority '%s' with "
				  "--tls-ca-cert-files",
				  p->issuer),
		    "the certificate of '%s' is not believed: %s", p->subject, p->chain);
	} else if ((uint64_t)p->expires_s < wall_now().v / NS_PER_S + EXPIRES_SOON_S) {
		say(d, VERDICT_WARN, "tls", "renew it, or the server's chain of authorities",
		    "the certificate expires on %s", day);
	}
	if (!p->name_fits) {
		good = good && d->tls.allow_insecure;
		say(d, d->tls.allow_insecure ? VERDICT_WARN : VERDICT_FAIL, "tls",
		    *p->names ? FIX("give --tls-server-name one of: %s%s", p->names,
				    strchr(p->names, '*') ? " (any label in place of '*')" : "")
			      : "have the server's certificate made anew with a subject "
				"alternative name",
		    "the certificate is not for '%s'", expected_name(d));
	}
	if (good)
		say(d, VERDICT_OK, "tls", "", "%s, '%s' for %s, until %s", p->protocol, p->subject,
		    p->names, day);
	return good;
}

/* Takes @fd. */
static bool check_tls(struct doctor *d, int fd_take)
{
	AUTO_FD int fd = fd_take;
	struct probe_tls p;
	struct err e;

	if (!d->with_tls)
		return true;
	enum err_code code = probe_tls(fd, &d->tls, expected_name(d), d->timeout_ns, &p, &e);
	if (code == ERR_OK)
		return check_chain(d, &p);
	if (code == ERR_UNSUPPORTED || (code == ERR_CLOSED && !*p.subject)) {
		say(d, VERDICT_FAIL, "tls",
		    "leave out --tls, or give the server a certificate with --tls-cert-file and "
		    "--tls-key-file",
		    "%s", e.msg);
	} else if (code == ERR_PERMISSION) {
		(void)check_chain(d, &p);
		say(d, VERDICT_FAIL, "tls",
		    d->tls.cert_file
			    ? "give --tls-client-cert-file a certificate that the server's "
			      "--tls-client-ca-file has signed and that has not expired"
			    : "the server wants a client certificate: give --tls-client-cert-file "
			      "and "
			      "--tls-client-key-file",
		    "%s", e.msg);
	} else {
		say(d, VERDICT_FAIL, "tls",
		    code == ERR_TIMEOUT
			    ? "the port is open but its owner is silent: it may be frozen, "
			      "or no TLS server"
			    : "",
		    "%s", e.msg);
	}
	return false;
}

/* ---- what the server says */

/* For a call that failed on a way that is open. */
static const char *call_fix(const struct doctor *d, const struct rpc_result *r)
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

static enum err_code call(struct doctor *d, const char *method, struct str request,
			  struct buf *answer, struct rpc_result *result)
{
	struct err e;

	*result = (struct rpc_result){ 0 };
	return rpc_unary(d->connection.channel, method, request, d->timeout_ns, answer, result, &e);
}

static bool check_health(struct doctor *d)
{
	char service[] = "hubble.server.Observer";
	Grpc__Health__V1__HealthCheckRequest request;
	AUTO_BUF struct buf answer = buf_init(ANSWER_MAX_BYTES);
	struct rpc_result result;
	uint8_t wire[64];

	grpc__health__v1__health_check_request__init(&request);
	request.service = service;
	size_t len = grpc__health__v1__health_check_request__pack(&request, wire);
	if (call(d, "/grpc.health.v1.Health/Check", str_n(wire, len), &answer, &result) != ERR_OK) {
		const char *name = rpc_status_name(result.status);
		say(d, VERDICT_FAIL, "health",
		    result.status == RPC_NOT_FOUND
			    ? "this is a gRPC server, but no observer or relay"
			    : call_fix(d, &result),
		    "%s: %s", name ? name : "error", result.message);
		return false;
	}
	Grpc__Health__V1__HealthCheckResponse *r = grpc__health__v1__health_check_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	bool serving =
		r && r->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	if (r)
		grpc__health__v1__health_check_response__free_unpacked(r, NULL);
	if (serving)
		say(d, VERDICT_OK, "health", "", "the server is serving");
	else
		say(d, VERDICT_FAIL, "health",
		    "of a relay: none of its peers is available, see below",
		    "the server says that it is not serving");
	return true;
}

static bool check_version(struct doctor *d)
{
	AUTO_BUF struct buf answer = buf_init(ANSWER_MAX_BYTES);
	struct rpc_result result;

	if (call(d, "/observer.Observer/ServerStatus", STR(""), &answer, &result) != ERR_OK) {
		say(d, VERDICT_FAIL, "version", call_fix(d, &result), "%s", result.message);
		return false;
	}
	Observer__ServerStatusResponse *r = observer__server_status_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	if (!r) {
		say(d, VERDICT_FAIL, "version", "", "the server's status cannot be read");
		return false;
	}
	const char *number = strstr(r->version, "tycho") ? strstr(r->version, " v") : NULL;
	if (number && (version_is_older(cli_version(), str_of(number + 1)) ||
		       version_is_older(number + 2, str_of(cli_version()))))
		say(d, VERDICT_WARN, "version", "use the same version on both sides",
		    "the server is %s, this command is %s", r->version, cli_version());
	else
		say(d, VERDICT_OK, "version", "", "%s, %llu flows seen",
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

	say(d, v, "clock",
	    v == VERDICT_OK ? ""
			    : "set both clocks (NTP, chrony): flows are put in order, and found by "
			      "--since, by the clock of the node that saw them",
	    "%s is %.3f s %s, known to %.3f s", whose, (double)off / NS_PER_S,
	    ahead_ns < 0 ? "behind" : "ahead", (double)trip_ns / 2 / NS_PER_S);
}

static void check_clock(struct doctor *d)
{
	AUTO_BUF struct buf answer = buf_init(ANSWER_MAX_BYTES);
	struct rpc_result result;
	struct wall_ns asked_at = wall_now(), theirs;
	struct mono_ns asked = mono_now();
	enum err_code code = call(d, "/tycho.v1.Flows/GetTime", STR(""), &answer, &result);
	uint64_t trip_ns = mono_now().v - asked.v;

	if (code != ERR_OK) {
		if (result.status == RPC_UNIMPLEMENTED)
			say(d, VERDICT_OK, "clock", "", "not known: the server has no call for it");
		else
			say(d, VERDICT_WARN, "clock", call_fix(d, &result), "not known: %s",
			    result.message);
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
			say(d, VERDICT_OK, "clock", "", "of %s not known: %s", p->name, p->error);
		else
			judge_clock(d, p->name, p->ahead_ns, p->round_trip_ns);
	}
	if (r)
		tycho__v1__get_time_response__free_unpacked(r, NULL);
}

static void judge_node(struct doctor *d, const Observer__Node *n)
{
	const char *tls = n->tls && n->tls->enabled ? "with TLS" : "in plain text";

	switch (n->state) {
	case RELAY__NODE_STATE__NODE_CONNECTED:
		say(d, VERDICT_OK, "node", "", "%s%s%s, %s, %s", n->name, *n->address ? " at " : "",
		    n->address, tls, n->version);
		break;
	case RELAY__NODE_STATE__NODE_ERROR:
		say(d, VERDICT_FAIL, "node",
		    "it is connected but does not answer: see its log, and the relay's",
		    "%s at %s: error", n->name, n->address);
		break;
	default:
		say(d, VERDICT_FAIL, "node",
		    FIX("from where the relay runs: tycho doctor --server %s%s%s%s", n->address,
			n->tls && n->tls->enabled ? " --tls" : "",
			n->tls && n->tls->enabled && *n->tls->server_name ? " --tls-server-name "
									  : "",
			n->tls && n->tls->enabled ? n->tls->server_name : ""),
		    "%s at %s, asked %s, is not available to the relay", n->name, n->address, tls);
	}
}

static void check_nodes(struct doctor *d)
{
	AUTO_BUF struct buf answer = buf_init(ANSWER_MAX_BYTES);
	struct rpc_result result;

	if (call(d, "/observer.Observer/GetNodes", STR(""), &answer, &result) != ERR_OK) {
		if (result.status != RPC_UNIMPLEMENTED) /* Hubble's servers: they are one node */
			say(d, VERDICT_WARN, "node", call_fix(d, &result), "%s", result.message);
		return;
	}
	Observer__GetNodesResponse *r = observer__get_nodes_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	if (r && !r->n_nodes)
		say(d, VERDICT_FAIL, "node",
		    "give the relay --peer, --peers-file, --peer-dns, --peer-srv or --peer-service",
		    "the relay knows no node");
	for (size_t i = 0; r && i < r->n_nodes; i++)
		judge_node(d, r->nodes[i]);
	if (r)
		observer__get_nodes_response__free_unpacked(r, NULL);
}

/* Why the store could not write, as its newest gap says. */
static const char *why_not_written(const Tycho__V1__GetCoverageResponse *n)
{
	const Tycho__V1__Gap *newest = NULL;

	for (size_t i = 0; i < n->n_gaps; i++) {
		const Tycho__V1__Gap *g = n->gaps[i];
		if (g->cause != TYCHO__V1__GAP__CAUSE__STORE_WRITE_FAILED || !*g->detail || !g->to)
			continue;
		if (!newest || g->to->seconds >= newest->to->seconds)
			newest = g;
	}
	return newest ? newest->detail : "the last write failed";
}

/* That what the nodes see is kept. */
static void check_stores(struct doctor *d)
{
	AUTO_HISTORY struct history h = { 0 };
	struct timestamp now = timestamp_of(wall_now());
	const struct history_range day = { .has_since = true,
					   .since = { now.s - STATUS_HISTORY_SPAN_S, now.ns } };
	size_t stores = 0, failing = 0, asked = 0;
	struct err e;

	enum err_code code = history_ask_over(&d->connection, d->cli->settings, &day, &h, &e);
	if (code == ERR_UNSUPPORTED) /* Hubble's */
		return;
	if (code != ERR_OK) {
		say(d, VERDICT_WARN, "store", "see the server's log",
		    "whether history is written is not known: %s", e.msg);
		return;
	}
	for (size_t i = 0; i < h.count; i++) {
		const Tycho__V1__GetCoverageResponse *n = h.nodes[i].said;
		asked += !*n->error; /* who cannot be asked is told above */
		stores += n->has_store;
		failing += n->not_writing;
		if (n->not_writing)
			say(d, VERDICT_FAIL, "store",
			    "see to the disk of its --store folder: room, rights, mounted for "
			    "writing. It goes on by itself once it can write; until then what "
			    "leaves its memory is lost",
			    "%s does not write its history: %s", n->node_name, why_not_written(n));
	}
	if (asked && !stores)
		say(d, VERDICT_OK, "store", "", "no history is kept beyond memory");
	else if (stores && !failing && asked == 1)
		say(d, VERDICT_OK, "store", "", "history is written");
	else if (stores && !failing)
		say(d, VERDICT_OK, "store", "", "history is written by %zu of %zu nodes", stores,
		    asked);
}

/* The newest flow of each node: that flows come through, and that there are any. */
static void check_flows(struct doctor *d)
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
		say(d, VERDICT_OK, "flows", "", "%zu came when the last of each node was asked for",
		    flows);
	else if (code == ERR_CLOSED)
		say(d, VERDICT_WARN, "flows",
		    "see whether there is traffic, whether the observer watches the right "
		    "interfaces "
		    "(tycho-observer --interface), and which namespaces you may see",
		    "there are none yet");
	else
		say(d, VERDICT_FAIL, "flows", "see the server's log", "%s",
		    code == ERR_TIMEOUT ? "none came in time" : e.msg);
}

static bool open_connection(struct doctor *d)
{
	struct err e;

	if (connection_open(d->cli->settings, &d->connection, &e) == ERR_OK)
		return true;
	say(d, VERDICT_FAIL, "connect", "", "%s", e.msg);
	return false;
}

/* A plain call that failed may have met a server that wants TLS. */
static void look_for_tls(struct doctor *d, const struct address *list, size_t n)
{
	struct probe_tls p;
	int raw = -1;

	if (d->with_tls || d->address.is_unix || !n ||
	    probe_connect(&list[0], d->timeout_ns, &raw, NULL) != ERR_OK)
		return;
	AUTO_FD int fd = raw;
	struct err e;
	(void)!probe_tls(fd, &d->tls, expected_name(d), d->timeout_ns, &p, &e);
	if (*p.subject)
		say(d, VERDICT_FAIL, "tls", "give --tls", "the server speaks TLS (%s, for %s)",
		    p.protocol, p.names);
}

static void examine(struct doctor *d)
{
	struct address list[ADDRESSES_MAX];
	size_t n = 0;

	if (!check_name(d, list, &n))
		return;
	int fd = check_connect(d, list, n);
	if (fd < 0 || !check_tls(d, fd) || !open_connection(d))
		return;
	if (!check_health(d)) {
		look_for_tls(d, list, n);
		return;
	}
	if (!check_version(d))
		return;
	check_clock(d);
	check_nodes(d);
	check_stores(d);
	check_flows(d);
}

/* What was typed is passed on, for the observer to refuse where it makes no sense. What the
 * environment or the configuration file says is a default: it counts only where it is @wanted. */
static const char *typed_or(const struct cli *cli, bool wanted, const char *key)
{
	return wanted || flags_given(cli->flags, key) ? settings_text(cli->settings, key) : "";
}

/* The observer itself knows best what it needs. */
static enum err_code examine_node(const struct cli *cli, const char *format, struct err *e)
{
	static const char *const names[] = { "kubeconfig", "kube-context", "node-name" };
	const char *config = typed_or(cli, flags_bool(cli->flags, "kubernetes"), "kubeconfig");
	const char *const texts[] = { config, typed_or(cli, *config, "kube-context"),
				      flags_text(cli->flags, "node-name") };
	static const char *const bools[] = { "kubernetes", "drop-events", "no-bpf" };
	char program[] = "tycho-observer", words[8][TEXT_MAX_BYTES];
	char *argv[10] = { program };
	size_t n = 0;

	(void)snprintf(words[n++], sizeof words[0], "--doctor=%s", format);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (*texts[i] && (size_t)snprintf(words[n++], sizeof words[0], "--%s=%s", names[i],
						  texts[i]) >= sizeof words[0])
			return err_set(e, ERR_INVALID, "--%s is too long", names[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bools); i++)
		if (flags_bool(cli->flags, bools[i]))
			(void)snprintf(words[n++], sizeof words[0], "--%s", bools[i]);
	for (size_t i = 0; i < n; i++)
		argv[i + 1] = words[i];
	return up_child_become(program, argv, e);
}

/* The first is what the others need. */
static const struct flag_def node_defs[] = {
	{ .name = "node",
	  .type = FLAG_BOOL,
	  .help = "Not the way to a server, but whether an observer can work on this node, or in "
		  "this pod" },
	{ .name = "no-bpf", .type = FLAG_BOOL, .help = "With --node: one without kernel programs" },
	{ .name = "kubernetes",
	  .type = FLAG_BOOL,
	  .help = "With --node: one that takes names and policies from Kubernetes" },
	{ .name = "drop-events",
	  .type = FLAG_BOOL,
	  .help = "With --kubernetes: one that tells drops as events there" },
	{ .name = "node-name",
	  .type = FLAG_STRING,
	  .placeholder = "NAME",
	  .help = "With --kubernetes: this node's name there" },
};

static enum err_code run_doctor(struct cli *cli, struct err *e)
{
	const char *format = flags_text(cli->flags, "output");
	int64_t timeout_ns = settings_duration_ns(cli->settings, "request-timeout");
	struct doctor d = { .cli = cli,
			    .findings = { .json = strcmp(format, "json") == 0, .check_columns = 8 },
			    .timeout_ns = timeout_ns > 0 ? (uint64_t)timeout_ns : 1,
			    .e = e };

	if (flags_bool(cli->flags, "node"))
		return examine_node(cli, format, e);
	for (size_t i = 1; i < ARRAY_LEN(node_defs); i++)
		if (flags_given(cli->flags, node_defs[i].name))
			return err_set(e, ERR_INVALID, "--%s needs --node", node_defs[i].name);
	d.with_tls = connection_tls(cli->settings, d.ca_files, &d.tls);
	examine(&d);
	connection_done(&d.connection);
	if (d.write_error != ERR_OK)
		return d.write_error;
	return d.findings.failed
		       ? err_set(e, ERR_UNAVAILABLE, "%u of the checks failed", d.findings.failed)
		       : ERR_OK;
}

/* As one word of a shell's. */
static void put_word(struct buf *b, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_./:=,@%+";

	if (strspn(text, plain) == strlen(text)) {
		buf_str_put(b, str_of(text));
		return;
	}
	buf_char(b, '\'');
	for (; *text; text++)
		if (*text == '\'')
			buf_lit(b, "'\\''");
		else
			buf_char(b, *text);
	buf_char(b, '\'');
}

void doctor_command_put(struct buf *b, const struct cli *cli)
{
	static const char *const names[] = {
		"server",
		"tls",
		"tls-allow-insecure",
		"tls-ca-cert-files",
		"tls-server-name",
		"tls-client-cert-file",
		"tls-client-key-file",
		"token-file",
		"basic-auth-username",
	};

	buf_lit(b, "tycho doctor");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct flag_def *def = settings_flag(names[i]);
		const char *item;
		if (!flags_given(cli->flags, names[i]))
			continue;
		if (flag_stands_alone(def)) {
			buf_printf(b, " --%s%s", names[i],
				   flags_bool(cli->flags, names[i]) ? "" : "=false");
		} else if (def->type != FLAG_STRING_SLICE) {
			buf_printf(b, " --%s ", names[i]);
			put_word(b, flags_text(cli->flags, names[i]));
		}
		for (size_t k = 0; (item = flags_item(cli->flags, names[i], k)); k++) {
			buf_printf(b, " --%s ", names[i]);
			put_word(b, item);
		}
	}
}

static const struct flag_def doctor_defs[] = {
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "compact",
	  .placeholder = "FORMAT",
	  .values = "compact json",
	  .help = "Output format: compact, json" },
};
static const struct flag_set node_flags = { "Node", node_defs, ARRAY_LEN(node_defs) };
static const struct flag_set doctor_flags = { "Formatting", doctor_defs, ARRAY_LEN(doctor_defs) };
static const struct flag_set *const doctor_sets[] = { &node_flags, &doctor_flags };

const struct command doctor_command = {
	.name = "doctor",
	.help = "Check the way to a server step by step",
	.details =
		"Checks name, connection, TLS chain and names, health, version, clock, each node "
		"behind a relay, whether history is written, and whether flows come; says what is "
		"wrong and what to do about it. A line is 'ok', 'warn' or 'fail', the check's "
		"name, and what was found; with "
		"-o json, an object with check, result, detail and fix. The exit status is 1 when "
		"a check failed. With --node, what tycho-observer needs: kernel, BTF, mounts, "
		"rights, "
		"folder, ports, certificates, and of Kubernetes what it may list and watch, its "
		"clock, "
		"this node's name, and with --drop-events whether it may tell of drops. For that, "
		"--kubeconfig and --kube-context say how to reach "
		"its API server, as with tycho-observer; without them it is asked as the pod that "
		"this runs in.",
	.examples = "  tycho doctor --server relay.example:4245 --tls\n"
		    "  tycho doctor --server unix:///run/tycho/observer.sock -o json\n"
		    "  tycho doctor --node --kubernetes --node-name \"$NODE_NAME\"",
	.sets = doctor_sets,
	.set_count = ARRAY_LEN(doctor_sets),
	.uses_server = true,
	.run = run_doctor,
};
