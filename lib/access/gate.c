#include "access/gate.h"

#include "access/access.h"
#include "access/limit.h"
#include "base/log.h"
#include "base/time.h"
#include "flow/json.h"
#include "observer/observer.pb-c.h"

/* @NAMES_MAX_BYTES: more than a certificate may have, for gRPC takes none as large. */
enum { REQUEST_MAX_BYTES = 8 << 20, ASKED_MAX_BYTES = 480, NAMES_MAX_BYTES = 1 << 20 };

struct gate {
	struct access *access;
};

/* One call. */
struct guest {
	struct gate *gate;
	const struct rights *rights; /* counted */
	uint64_t generation;         /* of the rules they are from */
	struct buf names;            /* of the certificate, each terminated */
	const char **cert_names;     /* where they begin */
	size_t cert_name_count;
	const char *path; /* as it was asked for */
	char *peer;
	char *authorization; /* what was shown; wiped at the end */
	struct buf request;  /* cut down */
	char asked[ASKED_MAX_BYTES + 8];
	struct mono_ns began;
	uint64_t flows;
};

/* What those may do who may not everything. */
struct limited_method {
	const char *path;
	uint32_t whitelist;  /* field of the request; 0: nothing to cut down in it */
	const char *instead; /* the method that is called; NULL: itself */
};
static const struct limited_method limited_methods[] = {
	{ "/observer.Observer/GetFlows", 6, NULL },
	{ "/tycho.v1.Flows/GetFlowBatches", 6, NULL },
	{ "/observer.Observer/ServerStatus", 1, "/tycho.v1.Flows/GetFilteredStatus" },
	{ "/tycho.v1.Flows/GetFilteredStatus", 1, NULL },
	{ "/observer.Observer/GetNodes", 0, NULL },
	{ "/observer.Observer/GetNamespaces", 0, NULL },
	{ "/tycho.v1.Flows/GetTime", 0, NULL },
	{ "/tycho.v1.History/GetServiceMap", 4, NULL },
	{ "/tycho.v1.History/GetCoverage", 0, NULL },
};

enum err_code gate_new(const char *access_file, struct gate **ret, struct err *e)
{
	struct gate *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(e, ERR_NOMEM, "gate");
	enum err_code code = access_new(access_file, &g->access, e);
	if (code != ERR_OK) {
		free(g);
		return code;
	}
	*ret = g;
	return ERR_OK;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	access_free(g->access);
	free(g);
}

/* ---- audit */

static bool is_flow_query(const char *path)
{
	return strcmp(path, "/observer.Observer/GetFlows") == 0 ||
	       strcmp(path, "/tycho.v1.Flows/GetFlowBatches") == 0;
}

/* The request as the caller wrote it, in JSON, cut to what a line can hold. */
static void note_request(struct guest *guest, struct str request)
{
	AUTO_BUF struct buf json = buf_init(REQUEST_MAX_BYTES);

	if (!is_flow_query(guest->path) ||
	    json_put_message(&json, &observer__get_flows_request__descriptor, request, NULL) !=
		    ERR_OK)
		return;
	size_t n = utf8_sanitize(buf_str(&json), guest->asked, ASKED_MAX_BYTES);
	(void)memcpy(guest->asked + n, n < json.len ? "…" : "", n < json.len ? 4 : 1);
}

static void release(void *arg)
{
	struct guest *g = arg;

	log_info("query ended", "who=%s peer=%s method=%s request=%s flows=%llu ms=%llu",
		 LOG_QUOTE(g->rights->who), LOG_QUOTE(g->peer), g->path, LOG_QUOTE(g->asked),
		 (unsigned long long)g->flows,
		 (unsigned long long)((mono_now().v - g->began.v) / NS_PER_MS));
	rights_unref(g->rights);
	buf_done(&g->request);
	buf_done(&g->names);
	free(g->cert_names);
	free(g->peer);
	if (g->authorization)
		explicit_bzero(g->authorization, strlen(g->authorization));
	free(g->authorization);
	free(g);
}

/* ---- who */

static void reread(struct gate *g)
{
	struct err e;
	enum err_code code = access_poll(g->access, mono_now(), &e);

	if (code == ERR_OK)
		log_info("access file reread", "generation=%llu",
			 (unsigned long long)access_generation(g->access));
	else if (code != ERR_AGAIN)
		log_warn("access file not reread; the old rules stay", "err=%s", LOG_QUOTE(e.msg));
}

static const struct rights *find(const struct gate *g, const struct guest *guest)
{
	const struct credentials shown = {
		.cert_names = guest->cert_names,
		.cert_name_count = guest->cert_name_count,
		.authorization = str_of(guest->authorization),
		.is_local = str_has_prefix(str_of(guest->peer), STR("unix:")),
	};
	return access_find(g->access, &shown);
}

static void refuse(struct rpc_call *call, const struct guest *guest, enum rpc_status status,
		   const char *text)
{
	log_warn("query refused", "who=%s peer=%s method=%s why=%s",
		 LOG_QUOTE(guest->rights ? guest->rights->who : "unknown"), LOG_QUOTE(guest->peer),
		 guest->path, LOG_QUOTE(text));
	rpc_call_end(call, status, "%s", text);
}

/* Cuts the call down to what may be seen. @return false: refused. */
static bool limit(struct rpc_call *call, struct guest *guest, struct rpc_admission *what)
{
	const struct limited_method *m = NULL;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(limited_methods) && !m; i++)
		if (strcmp(limited_methods[i].path, what->path) == 0)
			m = &limited_methods[i];
	if (!m) {
		refuse(call, guest, RPC_PERMISSION_DENIED,
		       "this is for those who may see all namespaces");
		return false;
	}
	if (m->whitelist) {
		guest->request = buf_init(REQUEST_MAX_BYTES);
		if (limit_request(guest->rights, m->instead ? STR("") : what->request, m->whitelist,
				  &guest->request, &e) != ERR_OK) {
			refuse(call, guest,
			       e.code == ERR_NOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_INVALID_ARGUMENT,
			       e.msg);
			return false;
		}
		what->request = buf_str(&guest->request);
	}
	if (m->instead)
		what->path = m->instead;
	return true;
}

static void take_names(struct guest *guest, const struct rpc_call *call)
{
	size_t count = rpc_call_cert_names(call, &guest->names), at = 0;

	if (guest->names.failed)
		return;
	guest->cert_names = calloc(count + 1, sizeof *guest->cert_names);
	for (size_t i = 0; guest->cert_names && i < count; i++) {
		guest->cert_names[i] = guest->names.p + at;
		at += strlen(guest->cert_names[i]) + 1;
	}
	guest->cert_name_count = count;
}

static struct guest *guest_new(struct gate *g, const struct rpc_call *call, const char *path)
{
	struct guest *guest = calloc(1, sizeof *guest);

	if (!guest)
		return NULL;
	struct str shown = rpc_call_header(call, "authorization");
	*guest = (struct guest){ .gate = g,
				 .path = path,
				 .began = mono_now(),
				 .peer = str_dup(str_of(rpc_call_peer(call))),
				 .authorization = str_dup(shown),
				 .names = buf_init(NAMES_MAX_BYTES) };
	take_names(guest, call);
	return guest;
}

static bool admit(struct rpc_call *call, struct rpc_admission *what, void *ctx)
{
	struct gate *g = ctx;
	struct guest *guest = guest_new(g, call, what->path);

	reread(g);
	if (!guest || !guest->peer || !guest->authorization || !guest->cert_names) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a call");
	} else {
		guest->generation = access_generation(g->access);
		guest->rights = find(g, guest);
		if (!guest->rights)
			refuse(call, guest, RPC_UNAUTHENTICATED,
			       "no rule of this server knows you: it wants a client certificate or "
			       "a token");
	}
	if (!guest)
		return false;
	if (!guest->rights) {
		buf_done(&guest->request);
		buf_done(&guest->names);
		free(guest->cert_names);
		free(guest->peer);
		free(guest->authorization);
		free(guest);
		return false;
	}
	note_request(guest, what->request);
	rpc_call_set_guest(call, guest, release);
	if (!guest->rights->all && !limit(call, guest, what))
		return false;
	if (strstr(guest->asked, "\"follow\":true"))
		log_info("query", "who=%s peer=%s method=%s request=%s",
			 LOG_QUOTE(guest->rights->who), LOG_QUOTE(guest->peer), guest->path,
			 LOG_QUOTE(guest->asked));
	return true;
}

/* A stream that began under other rules. */
static bool may_go_on(struct rpc_call *call, void *ctx)
{
	struct guest *guest = rpc_call_guest(call);
	struct gate *g = ctx;

	if (!guest)
		return true;
	reread(g);
	if (guest->generation == access_generation(g->access))
		return true;
	guest->generation = access_generation(g->access);
	const struct rights *now = find(g, guest);
	bool same = now && rights_equal(now, guest->rights);
	rights_unref(now);
	if (!same)
		refuse(call, guest, RPC_PERMISSION_DENIED, "your rights have changed; ask again");
	return same;
}

struct rpc_gate gate_of(struct gate *g)
{
	return g ? (struct rpc_gate){ admit, may_go_on, g } : (struct rpc_gate){ 0 };
}

const struct rights *gate_rights(const struct rpc_call *call)
{
	const struct guest *guest = rpc_call_guest(call);

	return guest && !guest->rights->all ? guest->rights : NULL;
}

void gate_count(const struct rpc_call *call, uint64_t n)
{
	struct guest *guest = rpc_call_guest(call);

	if (guest)
		guest->flows += n;
}
