#include "observer/evidence/evidence.h"

#include "base/log.h"
#include "evidence/export.h"
#include "rpc/request.h"
#include "tycho/v1/evidence.pb-c.h"

enum { MESSAGE_MAX = 128 << 20 };

struct evidence {
	struct evidence_config config;
	struct evidence_key *key;
	struct evidence_sender *sender;
	struct checkpoints *checkpoints;
	size_t exports; /* server's thread */
};

enum err_code evidence_new(const struct evidence_config *config, struct evidence **ret,
			   struct err *e)
{
	AUTO(evidence_free) struct evidence *ev = calloc(1, sizeof *ev);

	if (!ev)
		return err_set(e, ERR_NOMEM, "evidence");
	ev->config = *config;
	const struct evidence_sender_config sender = { .targets = config->targets,
						       .target_count = config->target_count,
						       .tls = config->tls };
	enum err_code code = evidence_key_open(config->key_file, true, &ev->key, e);
	if (code == ERR_OK && config->target_count)
		code = evidence_sender_new(&sender, &ev->sender, e);
	const struct checkpoints_config checkpoints = {
		.store = config->store, .key = ev->key, .node = config->node, .sender = ev->sender
	};
	if (code == ERR_OK)
		code = checkpoints_new(&checkpoints, &ev->checkpoints, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(ev);
	return ERR_OK;
}

void evidence_announce(const struct evidence *ev)
{
	if (ev)
		log_info("the record is signed", "fingerprint=%s",
			 evidence_key_fingerprint(ev->key));
}

void evidence_free(struct evidence *ev)
{
	if (!ev)
		return;
	checkpoints_free(ev->checkpoints);
	evidence_sender_free(ev->sender);
	evidence_key_free(ev->key);
	free(ev);
}

struct checkpoints *evidence_checkpoints(struct evidence *ev)
{
	return ev ? ev->checkpoints : NULL;
}

void evidence_tell(void *ctx, struct metrics_page *p)
{
	const struct evidence *ev = ctx;
	struct evidence_sender_counts c = ev->sender ? evidence_sender_counts(ev->sender)
						     : (struct evidence_sender_counts){ 0 };

	page_counter(p, "tycho_checkpoints_total", "Checkpoints of the chain signed and kept",
		     checkpoints_made(ev->checkpoints));
	page_counter(p, "tycho_checkpoints_sent_total",
		     "Checkpoints that a target took, added up over targets", c.sent);
	page_counter(p, "tycho_checkpoints_send_errors_total",
		     "Attempts to send one that failed; they are tried again", c.failed);
	page_counter(p, "tycho_checkpoints_dropped_total",
		     "Checkpoints that a target was away for too long to get, or that are too long "
		     "for it",
		     c.dropped);
}

/* --- one export ------------------------------------------------------------------------------ */

struct stream {
	struct evidence *ev;
	struct store_reader *reader;
	struct evidence_export *export;
	struct buf message;
	bool more;
};

static void stream_done(void *state)
{
	struct stream *s = state;

	evidence_export_free(s->export);
	store_reader_free(s->reader);
	buf_done(&s->message);
	s->ev->exports--;
	free(s);
}

static enum rpc_fill stream_fill(struct rpc_call *call, void *state)
{
	struct stream *s = state;
	struct err e;

	if (!s->message.len && s->more &&
	    evidence_export_next(s->export, &s->message, &s->more, &e) != ERR_OK) {
		log_warn("an export ended", "err=%s", LOG_QUOTE(e.msg));
		rpc_call_end(call,
			     e.code == ERR_PARSE   ? RPC_DATA_LOSS
			     : e.code == ERR_AGAIN ? RPC_ABORTED
						   : rpc_status_of(e.code),
			     "%s", e.msg);
		return RPC_ENDED;
	}
	if (s->message.len) {
		if (rpc_call_send(call, buf_str(&s->message)))
			buf_reset(&s->message);
		return RPC_MORE;
	}
	if (s->more)
		return RPC_MORE;
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}

static enum err_code stream_new(struct evidence *ev, struct str request, struct stream **ret,
				struct err *e)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "export");
	ev->exports++;
	*s = (struct stream){ .ev = ev, .message = buf_init(MESSAGE_MAX), .more = true };
	enum err_code code = store_reader_new(ev->config.store, &s->reader, e);
	const struct evidence_export_config config = { .reader = s->reader,
						       .dict = ev->config.dict,
						       .key = ev->key,
						       .node = ev->config.node,
						       .version = ev->config.version,
						       .now = wall_now() };
	if (code == ERR_OK)
		code = evidence_export_new(&config, request, &s->export, e);
	if (code != ERR_OK) {
		stream_done(s);
		return code;
	}
	*ret = s;
	return ERR_OK;
}

static void begin(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct rpc_stream_ops ops = { stream_fill, stream_done };
	struct evidence *ev = ctx;
	struct stream *s = NULL;
	struct err e;

	if (!rpc_request_is(call, request, &tycho__v1__export_request__descriptor))
		return;
	if (!ev) {
		rpc_call_end(call, RPC_FAILED_PRECONDITION, "this observer keeps no history");
		return;
	}
	if (ev->exports >= EVIDENCE_EXPORTS) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "%d exports are under way already",
			     EVIDENCE_EXPORTS);
		return;
	}
	if (stream_new(ev, request, &s, &e) != ERR_OK) {
		rpc_call_end(call,
			     e.code == ERR_PARSE || e.code == ERR_INVALID ? RPC_INVALID_ARGUMENT
									  : rpc_status_of(e.code),
			     "%s", e.msg);
		return;
	}
	rpc_call_stream(call, &ops, s);
}

struct rpc_method evidence_method(struct evidence *ev)
{
	return (struct rpc_method){ "/tycho.v1.Evidence/Export", begin, ev };
}
