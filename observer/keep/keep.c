#include "observer/keep/keep.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/thread.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/wire.h"

enum {
	BATCH = 2048, /* records read at once */
	FEW = 64,     /* records that may wait, once it has sealed */
	LOOK_MS = 1000,
	TEND_EVERY_MS = 500 /* for what becomes old by itself: each time it has sealed */
};

struct keep {
	const struct flow_log *log;
	struct flow_log_bell *bell; /* the log's */
	const struct flow_dict *dict;
	struct store *store;
	struct checkpoints *checkpoints; /* may be NULL */
	bool unsigned_;                  /* the last checkpoint failed, and that was told */
	struct agent *agent;
	struct flow_batch *batch;
	uint64_t cursor;
	uint64_t seal_ns;
	struct mono_ns due;    /* when it seals next */
	struct wall_ns last;   /* when the last record was read */
	struct mono_ns tended; /* when there was last nothing to tend */
	bool failing;          /* the last write failed, and that was told */
	/* why it failed, as told last; NULL: it works. Policies: objects, an agent's */
	char *tend_failure, *policy_failures[2];
	uint64_t lost_told; /* records that the store has lost, as far as that was told */
	pthread_mutex_t policies_mx;
	/* guarded by policies_mx: given, not told yet: objects, an agent's; may be NULL */
	struct keep_policies *policies[2];
	int stop_fd;
	pthread_t thread;
	bool running;
};

/* --- telling ------------------------------------------------------------------------------ */

static void tell_agent(struct keep *k, const char *type, const char *name, struct str text,
		       uint64_t lost)
{
	char bytes[2048], shown[304];
	struct buf json = buf_fixed(bytes, sizeof bytes);

	if (!k->agent)
		return;
	buf_printf(&json, "{\"%s\":", name);
	json_put_string(&json, str_of(str_excerpt(text, shown, sizeof shown)));
	buf_printf(&json, ",\"lost\":\"%llu\"}", (unsigned long long)lost);
	if (!json.failed)
		agent_tell(k->agent, type, buf_cstr(&json));
}

/* @code of the last write. Once when it begins to fail, once when it works again. */
static void tell(struct keep *k, enum err_code code, const struct err *e)
{
	if (code != ERR_OK && !k->failing) {
		k->failing = true;
		log_warn("history is not written; flows are observed all the same", "err=%s",
			 LOG_QUOTE(e->msg));
		tell_agent(k, "store-failed", "reason", str_of(e->msg), 0);
	} else if (code == ERR_OK && k->failing) {
		struct store_counts c = store_counts(k->store);
		if (!c.is_writing)
			return; /* nothing was written since */
		uint64_t lost = c.lost - k->lost_told;
		k->failing = false;
		k->lost_told = c.lost;
		log_info("history is written again", "lost=%llu", (unsigned long long)lost);
		tell_agent(k, "store-recovered", "reason", STR(""), lost);
	}
}

/* Of what is tried again and again: the first failure, another reason, the first success since.
 * *@told: the reason that was told last. */
static bool is_news(char **told, enum err_code code, const struct err *e)
{
	if (code == ERR_OK ? !*told : *told && strcmp(*told, e->msg) == 0)
		return false;
	free(*told);
	*told = code == ERR_OK ? NULL : str_dup(str_of(e->msg));
	return true;
}

static void tell_tending(struct keep *k, enum err_code code, const struct err *e)
{
	if (!is_news(&k->tend_failure, code, e))
		return;
	if (code == ERR_OK)
		log_info("history is merged and pruned again");
	else
		log_warn("history is not merged or pruned as it should be; tried again", "err=%s",
			 LOG_QUOTE(e->msg));
	tell_agent(k, code == ERR_OK ? "store-tending-recovered" : "store-tending-failed", "reason",
		   str_of(code == ERR_OK ? "" : e->msg), 0);
}

/* Damage that the disk reports; each place once. */
static void tell_unreadable(struct keep *k)
{
	char place[STORE_PLACE_BYTES];

	while (store_unreadable(k->store, place))
		log_warn("a part of the history cannot be read; what it cost is a gap", "err=%s",
			 LOG_QUOTE(place));
}

/* Nobody is to believe that it is gone. */
static void tell_set_aside(struct keep *k)
{
	char what[STORE_ASIDE_BYTES];

	if (!store_was_set_aside(k->store, what))
		return;
	log_warn("the history's file cannot be used any more; a new one is begun", "old=%s",
		 LOG_QUOTE(what));
	tell_agent(k, "store-set-aside", "reason", str_of(what), 0);
}

/* --- loss --------------------------------------------------------------------------------- */

static void note_overtaken(struct keep *k, uint64_t lost, uint64_t before, struct wall_ns now)
{
	const struct store_gap gap = {
		.cause = STORE_GAP_RING,
		.from = k->last,
		.to = now,
		.lost = lost,
		.first_seq = before,
		.last_seq = before + lost - 1,
		.node = STR(""),
		.detail = STR("the store fell behind the flow log"),
	};

	store_note_gap(k->store, &gap);
}

static struct wall_ns time_in(struct str message, struct wall_ns otherwise)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field field;
	struct timestamp t = { 0 };
	struct wall_ns w;

	while (wire_next(&r, &field)) {
		if (field.number == 1)
			t.s = (int64_t)field.value;
		else if (field.number == 2)
			t.ns = (int32_t)field.value;
	}
	return !r.bad && timestamp_to_wall(t, &w) ? w : otherwise;
}

/* flow.LostEvent: source = 1, num_events_lost = 2, first = 4, last = 5. */
static void note_lost(struct keep *k, const struct flow *f, struct wall_ns now)
{
	enum { SOURCE = 1, COUNT = 2, FIRST = 4, LAST = 5 };
	struct wall_ns when = flow_is(f, FLOW_HAS_TIME) ? f->time : now;
	const struct node *node = flow_dict_get_node(k->dict, f->node);
	struct store_gap gap = { .cause = STORE_GAP_KERNEL,
				 .from = when,
				 .to = when,
				 .node = node ? node->name : STR("") };
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	struct wire_field field;
	int32_t source = 0;

	while (wire_next(&r, &field)) {
		if (field.number == SOURCE)
			source = (int32_t)field.value;
		else if (field.number == COUNT)
			gap.lost = field.value;
		else if (field.number == FIRST)
			gap.from = time_in(field.bytes, when);
		else if (field.number == LAST)
			gap.to = time_in(field.bytes, when);
	}
	if (gap.to.v < gap.from.v)
		gap.to = gap.from;
	const char *name = enum_name(&flow__lost_event_source__descriptor, source);
	gap.detail = str_of(name ? name : "");
	store_note_gap(k->store, &gap);
}

/* --- the loop ----------------------------------------------------------------------------- */

/* One batch. @return false when the log has no more. */
static bool keep_some(struct keep *k, struct wall_ns now)
{
	uint64_t before = k->cursor, lost;
	struct err e = { 0 };
	size_t n = flow_log_read(k->log, &k->cursor, UINT64_MAX, k->batch, &lost);

	if (lost)
		note_overtaken(k, lost, before, now);
	for (size_t i = 0; i < n; i++)
		if (k->batch->flows[i].kind == FLOW_KIND_LOST)
			note_lost(k, &k->batch->flows[i], now);
	if (!n)
		return lost > 0;
	k->last = now;
	tell(k, store_put(k->store, k->batch->flows, n, now, &e), &e);
	return true;
}

static void tick(struct keep *k, struct wall_ns now)
{
	struct err e = { 0 };

	tell(k, store_tick(k->store, now, &e), &e);
}

/* Reads all that came until now and seals it, in a flood too: so nothing is older than seal_ns when
 * it is sealed. @return true if there is much more by now. */
static bool seal(struct keep *k, struct wall_ns now, struct mono_ns mono)
{
	uint64_t end = flow_log_range(k->log).next;
	struct err e = { 0 };

	while (k->cursor < end && keep_some(k, now))
		;
	tell(k, store_seal(k->store, now, &e), &e);
	k->due.v += k->seal_ns;
	if (k->due.v <= mono.v)
		k->due.v = mono.v + k->seal_ns;
	return flow_log_range(k->log).next - k->cursor > FEW;
}

/* Signs what there is, when it is due or at the end. */
static void sign(struct keep *k, struct wall_ns now, bool last)
{
	struct err e = { 0 };

	if (!k->checkpoints)
		return;
	enum err_code code = last ? checkpoints_last(k->checkpoints, now, &e)
				  : checkpoints_tick(k->checkpoints, now, &e);
	if (code != ERR_OK && !k->unsigned_)
		log_warn("the record is not signed; tried again each second", "err=%s",
			 LOG_QUOTE(e.msg));
	k->unsigned_ = code != ERR_OK;
}

/* Without success they are told again, unless others have come. */
static void note_policies_of(struct keep *k, bool of_agent, struct wall_ns now)
{
	struct err e = { 0 };

	(void)pthread_mutex_lock(&k->policies_mx);
	struct keep_policies *policies = TAKE(k->policies[of_agent]);
	(void)pthread_mutex_unlock(&k->policies_mx);
	if (!policies)
		return;
	enum err_code code = keep_policies_note(policies, k->store, now, &e);
	bool news = is_news(&k->policy_failures[of_agent], code, &e);
	if (code == ERR_OK) {
		if (news)
			log_info("policies are in the history again");
		keep_policies_free(policies);
		return;
	}
	if (news)
		log_warn("policies are not in the history; tried again", "err=%s",
			 LOG_QUOTE(e.msg));
	(void)pthread_mutex_lock(&k->policies_mx);
	if (!k->policies[of_agent])
		k->policies[of_agent] = TAKE(policies);
	(void)pthread_mutex_unlock(&k->policies_mx);
	keep_policies_free(policies);
}

static void note_policies(struct keep *k, struct wall_ns now)
{
	note_policies_of(k, false, now);
	note_policies_of(k, true, now);
}

void keep_take_policies(struct keep *k, struct keep_policies *policies)
{
	bool of_agent = keep_policies_are_of_agent(policies);

	(void)pthread_mutex_lock(&k->policies_mx);
	struct keep_policies *old = k->policies[of_agent];
	k->policies[of_agent] = policies;
	(void)pthread_mutex_unlock(&k->policies_mx);
	keep_policies_free(old);
}

/* @return true while there is more to tend. */
static bool tend(struct keep *k, struct wall_ns now)
{
	struct mono_ns mono = mono_now();

	if (mono.v - k->tended.v < TEND_EVERY_MS * NS_PER_MS)
		return false;
	note_policies(k, now);
	struct err e = { 0 };
	bool more = false;
	enum err_code code = store_tend(k->store, now, &more, &e);
	tell_unreadable(k);
	tell_set_aside(k);
	if (code != ERR_OK || !more) {
		tell_tending(k, code, &e);
		k->tended = mono;
	}
	return more;
}

static int wait_ms(const struct keep *k)
{
	uint64_t now = mono_now().v, ns = k->due.v > now ? k->due.v - now : 0;

	return ns < LOOK_MS * NS_PER_MS ? (int)((ns + NS_PER_MS - 1) / NS_PER_MS) : LOOK_MS;
}

static void *keep_main(void *arg)
{
	struct keep *k = arg;

	for (;;) {
		struct wall_ns now = wall_now();
		struct mono_ns mono = mono_now();
		flow_log_bell_set(k->bell);
		bool busy = keep_some(k, now);
		if (mono.v >= k->due.v)
			busy = seal(k, now, mono);
		tick(k, now);
		sign(k, now, false);
		if (!busy)
			busy = tend(k, now);
		struct pollfd fds[] = {
			{ .fd = k->stop_fd, .events = POLLIN },
			{ .fd = flow_log_bell_fd(k->bell), .events = POLLIN },
		};
		if (poll(fds, ARRAY_LEN(fds), busy ? 0 : wait_ms(k)) < 0 && errno != EINTR) {
			log_error("the keeper stops: poll failed", "errno=%d", errno);
			return NULL;
		}
		if (fds[0].revents)
			break;
		if (fds[1].revents)
			flow_log_bell_hear(k->bell);
	}
	while (keep_some(k, wall_now()))
		;
	note_policies(k, wall_now());
	sign(k, wall_now(), true);
	return NULL;
}

enum err_code keep_new(const struct keep_config *config, struct keep **ret, struct err *e)
{
	AUTO(keep_free) struct keep *k = calloc(1, sizeof *k);

	if (!k)
		return err_set(e, ERR_NOMEM, "keeper");
	*k = (struct keep){ .log = config->log,
			    .dict = config->dict,
			    .store = config->store,
			    .checkpoints = config->checkpoints,
			    .agent = config->agent,
			    .cursor = flow_log_range(config->log).oldest,
			    .last = wall_now(),
			    .seal_ns = config->seal_ns ? config->seal_ns : NS_PER_S,
			    .stop_fd = eventfd(0, EFD_CLOEXEC) };
	(void)pthread_mutex_init(&k->policies_mx, NULL);
	if (k->stop_fd < 0)
		return err_os(e, "keeper eventfd");
	k->due.v = mono_now().v + k->seal_ns;
	if (flow_batch_new(k->log, BATCH, &k->batch, e) != ERR_OK ||
	    flow_log_bell_new(config->log, &k->bell, e) != ERR_OK)
		return err_in(e, "keeper");
	enum err_code code = thread_start("tycho-keep", keep_main, k, &k->thread, e);
	if (code != ERR_OK)
		return code;
	k->running = true;
	*ret = TAKE(k);
	return ERR_OK;
}

void keep_free(struct keep *k)
{
	if (!k)
		return;
	if (k->running) {
		uint64_t one = 1;
		(void)!write(k->stop_fd, &one, sizeof one);
		(void)pthread_join(k->thread, NULL);
	}
	if (k->stop_fd >= 0)
		(void)close(k->stop_fd);
	flow_batch_free(k->batch);
	for (size_t i = 0; i < ARRAY_LEN(k->policies); i++) {
		keep_policies_free(k->policies[i]);
		free(k->policy_failures[i]);
	}
	free(k->tend_failure);
	(void)pthread_mutex_destroy(&k->policies_mx);
	free(k);
}
