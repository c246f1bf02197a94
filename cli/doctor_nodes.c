/*
 * What is behind a server: its nodes, and whether they keep what they see.
 */
#include "cli/doctor.h"

#include "base/time.h"
#include "cli/history.h"
#include "cli/status_history.h"
#include "observer/observer.pb-c.h"

static void judge_node(struct doctor *d, const Observer__Node *n)
{
	const char *tls = n->tls && n->tls->enabled ? "with TLS" : "in plain text";

	switch (n->state) {
	case RELAY__NODE_STATE__NODE_CONNECTED:
		doctor_say(d, VERDICT_OK, "node", "", "%s%s%s, %s, %s", n->name,
			   *n->address ? " at " : "", n->address, tls, n->version);
		break;
	case RELAY__NODE_STATE__NODE_ERROR:
		doctor_say(d, VERDICT_FAIL, "node",
			   "it is connected but does not answer: see its log, and the relay's",
			   "%s at %s: error", n->name, n->address);
		break;
	default:
		doctor_say(d, VERDICT_FAIL, "node",
			   FIX("from where the relay runs: tycho doctor --server %s%s%s%s",
			       n->address, n->tls && n->tls->enabled ? " --tls" : "",
			       n->tls && n->tls->enabled && *n->tls->server_name
				       ? " --tls-server-name "
				       : "",
			       n->tls && n->tls->enabled ? n->tls->server_name : ""),
			   "%s at %s, asked %s, is not available to the relay", n->name, n->address,
			   tls);
	}
}

void doctor_nodes(struct doctor *d)
{
	AUTO_BUF struct buf answer = buf_init(DOCTOR_ANSWER_BYTES);
	struct rpc_result result;

	if (doctor_call(d, "/observer.Observer/GetNodes", STR(""), &answer, &result) != ERR_OK) {
		if (result.status != RPC_UNIMPLEMENTED) /* Hubble's servers: they are one node */
			doctor_say(d, VERDICT_WARN, "node", doctor_call_fix(d, &result), "%s",
				   result.message);
		return;
	}
	Observer__GetNodesResponse *r = observer__get_nodes_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	if (r && !r->n_nodes)
		doctor_say(d, VERDICT_FAIL, "node",
			   "give the relay --peer, --peers-file, --peer-dns, --peer-srv or "
			   "--peer-service",
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

void doctor_stores(struct doctor *d)
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
		doctor_say(d, VERDICT_WARN, "store", "see the server's log",
			   "whether history is written is not known: %s", e.msg);
		return;
	}
	for (size_t i = 0; i < h.count; i++) {
		const Tycho__V1__GetCoverageResponse *n = h.nodes[i].said;
		asked += !*n->error; /* who cannot be asked is told above */
		stores += n->has_store;
		failing += n->not_writing;
		if (n->not_writing)
			doctor_say(
				d, VERDICT_FAIL, "store",
				"see to the disk of its --store folder: room, rights, mounted for "
				"writing. It goes on by itself once it can write; until then what "
				"leaves its memory is lost",
				"%s does not write its history: %s", n->node_name,
				why_not_written(n));
	}
	if (asked && !stores)
		doctor_say(d, VERDICT_OK, "store", "", "no history is kept beyond memory");
	else if (stores && !failing && asked == 1)
		doctor_say(d, VERDICT_OK, "store", "", "history is written");
	else if (stores && !failing)
		doctor_say(d, VERDICT_OK, "store", "", "history is written by %zu of %zu nodes",
			   stores, asked);
}
