/*
 * What is behind a server: its nodes, and whether they keep what they see.
 */
#include "cli/doctor.h"

#include "base/time.h"
#include "cli/status_history.h"
#include "observer/observer.pb-c.h"

/* What is older of a node in an archive makes one ask why: the alert of a node that does not ship
 * waits as long (deploy/prometheus). A newest record that is still to come says that a clock is off. */
enum { STALE_S = 900, AHEAD_S = 5 };

void doctor_ask_history(struct doctor *d)
{
	struct timestamp now = timestamp_of(wall_now());
	const struct history_range day = { .has_since = true,
					   .since = { now.s - STATUS_HISTORY_SPAN_S, now.ns } };

	if (history_ask_over(&d->connection, d->cli->settings, &day, &d->history,
			     &d->history_missing) == ERR_OK)
		d->history_missing.code = ERR_OK;
}

static int by_name(const void *name, const void *node)
{
	return strcmp(name, ((const struct history_node *)node)->said->node_name);
}

/* What an archive says of that node; NULL: it is asked itself. */
static const Tycho__V1__GetCoverageResponse *archived_of(const struct doctor *d, const char *name)
{
	const struct history_node *n = d->history.count
					       ? bsearch(name, d->history.nodes, d->history.count,
							 sizeof *d->history.nodes, by_name)
					       : NULL;

	return n && n->said->archived ? n->said : NULL;
}

/* Nobody is connected to it: how far its record has come is what there is to know. */
static void judge_archived(struct doctor *d, const Tycho__V1__GetCoverageResponse *n)
{
	char text[128];
	struct buf when = buf_fixed(text, sizeof text);
	const int64_t now_s = timestamp_of(wall_now()).s;

	if (!n->newest) {
		doctor_say(d, VERDICT_WARN, "node", "",
			   "%s: no record with a time is in the archive", n->node_name);
		return;
	}
	const int64_t old_s = now_s - n->newest->seconds;
	timestamp_put(&when, (struct timestamp){ n->newest->seconds, 0 });
	buf_lit(&when, ", ");
	duration_put(&when, (int64_t)NS_PER_S * (old_s < 0 ? -old_s : old_s));
	buf_str_put(&when, old_s < 0 ? STR(" ahead") : STR(" ago"));
	const bool is_ahead = old_s<-AHEAD_S, is_stale = old_s> STALE_S;
	doctor_say(d, is_ahead || is_stale ? VERDICT_WARN : VERDICT_OK, "node",
		   is_ahead ? "set that node's clock and this machine's (NTP, chrony)"
		   : is_stale
			   ? "see on that node whether its observer runs and ships (tycho-observer "
			     "--doctor compact with its options; its log). One that is gone for "
			     "good is listed as long as its flows are kept"
			   : "",
		   "%s, in the archive until %s", n->node_name, buf_cstr(&when));
}

static void judge_node(struct doctor *d, const Observer__Node *n)
{
	const Tycho__V1__GetCoverageResponse *archived = archived_of(d, n->name);
	const char *tls = n->tls && n->tls->enabled ? "with TLS" : "in plain text";

	if (archived) {
		judge_archived(d, archived);
		return;
	}
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
	if (r && !r->n_nodes && d->is_serving) /* which a relay without nodes is not */
		doctor_say(d, VERDICT_WARN, "node",
			   "see on the nodes whether their observers ship (tycho-observer "
			   "--clickhouse; --doctor compact with it)",
			   "no node's flows are in the archive yet");
	else if (r && !r->n_nodes)
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

static void judge_store(struct doctor *d, const Tycho__V1__GetCoverageResponse *n)
{
	if (n->not_writing)
		doctor_say(d, VERDICT_FAIL, "store",
			   "see to the disk of its --store folder: room, rights, mounted for "
			   "writing. It goes on by itself once it can write; until then what "
			   "leaves its memory is lost",
			   "%s does not write its history: %s", n->node_name, why_not_written(n));
}

/* What a node had to delete before the archive had it. */
static void judge_shipped(struct doctor *d, const Tycho__V1__GetCoverageResponse *n)
{
	uint64_t lost = 0;
	size_t gaps = 0;

	for (size_t i = 0; i < n->n_gaps; i++) {
		if (n->gaps[i]->cause != TYCHO__V1__GAP__CAUSE__NOT_SHIPPED)
			continue;
		gaps++;
		lost += n->gaps[i]->lost;
	}
	if (gaps)
		doctor_say(d, VERDICT_WARN, "store",
			   "its --retention and --retention-size decide how long ClickHouse may be "
			   "away; tycho coverage has the times",
			   "%s had to delete %llu records of the last day before they were in the "
			   "archive",
			   n->node_name, (unsigned long long)lost);
}

void doctor_stores(struct doctor *d)
{
	size_t stores = 0, failing = 0, asked = 0, archived = 0;

	if (d->history_missing.code == ERR_UNSUPPORTED) /* Hubble's */
		return;
	if (d->history_missing.code != ERR_OK) {
		doctor_say(d, VERDICT_WARN, "store", "see the server's log",
			   "whether history is written is not known: %s", d->history_missing.msg);
		return;
	}
	for (size_t i = 0; i < d->history.count; i++) {
		const Tycho__V1__GetCoverageResponse *n = d->history.nodes[i].said;
		if (n->archived) {
			archived++;
			judge_shipped(d, n);
			continue;
		}
		asked += !*n->error; /* who cannot be asked is told above */
		stores += n->has_store;
		failing += n->not_writing;
		judge_store(d, n);
	}
	if (archived)
		doctor_say(d, VERDICT_OK, "store", "", "the archive has records of %zu node%s",
			   archived, archived == 1 ? "" : "s");
	if (asked && !stores)
		doctor_say(d, VERDICT_OK, "store", "", "no history is kept beyond memory");
	else if (stores && !failing && asked == 1)
		doctor_say(d, VERDICT_OK, "store", "", "history is written");
	else if (stores && !failing)
		doctor_say(d, VERDICT_OK, "store", "", "history is written by %zu of %zu nodes",
			   stores, asked);
}
