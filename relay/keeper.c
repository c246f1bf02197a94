#include "relay/keeper.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "rpc/failure.h"

struct keeper {
	struct rpc_fan *fan;
	struct rpc_group *group;
	uint64_t patience_ns, interval_ns;
	int fd;                 /* eventfd */
	atomic_bool is_poked;   /* all are to be looked at, not only those that have answered */
	struct peer *probed;    /* those whose answer is awaited; each counted */
	struct mono_ns look_at; /* when somebody's turn comes next */
	size_t available_count; /* as of the last look */
};

static void ring(void *ctx)
{
	const struct keeper *k = ctx;
	const uint64_t one = 1;

	/* A full counter is readable, too. */
	if (write(k->fd, &one, sizeof one) < 0 && errno != EAGAIN)
		log_warn("keeper not poked", "errno=%d", errno);
}

void keeper_poke(struct keeper *k)
{
	atomic_store_explicit(&k->is_poked, true, memory_order_release);
	ring(k);
}

enum err_code keeper_new(struct rpc_fan *fan, uint64_t patience_ns, uint64_t interval_ns,
			 struct keeper **ret, struct err *e)
{
	AUTO(keeper_free) struct keeper *k = malloc(sizeof *k);
	if (!k)
		return err_set(e, ERR_NOMEM, "keeper");
	*k = (struct keeper){ .fan = fan,
			      .patience_ns = patience_ns,
			      .interval_ns = interval_ns,
			      .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (k->fd < 0)
		return err_os(e, "eventfd");
	enum err_code code = rpc_group_new(fan, ring, k, &k->group, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(k);
	return ERR_OK;
}

static void end_probe(struct peer *p)
{
	*p->prev_probed = p->next_probed;
	if (p->next_probed)
		p->next_probed->prev_probed = p->prev_probed;
	p->is_probed = false;
	peer_unref(p);
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	rpc_group_free(k->group);
	while (k->probed)
		end_probe(k->probed);
	if (k->fd >= 0)
		(void)close(k->fd);
	free(k);
}

int keeper_fd(const struct keeper *k)
{
	return k->fd;
}

static void sooner(struct keeper *k, struct mono_ns at)
{
	if (at.v < k->look_at.v)
		k->look_at = at;
}

/* A channel knows that its connection failed, the calls on it why. */
static void tell_why(struct peer *p, const struct rpc_result *result)
{
	struct err e;

	if (!p->asks_why)
		return;
	p->asks_why = false;
	if (failure_set(&e, result) != ERR_OK)
		log_warn("peer is unavailable", "peer=%s address=%s why=%s", LOG_QUOTE(p->name),
			 LOG_QUOTE(p->address), LOG_QUOTE(e.msg));
}

static void on_end(struct keeper *k, struct peer *p, const struct rpc_result *result)
{
	tell_why(p, result);
	/* Busy is not dead: a stream that speaks excuses an answer that is late. */
	bool was_heard = rpc_fan_channel_heard(p->channel).v >= p->probed_at.v;
	if (result->status == RPC_DEADLINE_EXCEEDED && !was_heard) {
		log_warn("peer does not answer, connecting anew", "peer=%s", LOG_QUOTE(p->name));
		rpc_fan_channel_reset(p->channel, "the peer does not answer");
	}
	sooner(k, p->probe_at);
	end_probe(p);
}

static void take_answers(struct keeper *k)
{
	struct rpc_fan_event *ev = rpc_group_take(k->group);

	while (ev) {
		struct rpc_fan_event *next = ev->next;
		if (ev->kind == RPC_FAN_END)
			on_end(k, ev->owner, ev->result);
		rpc_fan_event_free(ev);
		ev = next;
	}
}

static void probe(struct keeper *k, struct peer *p, struct mono_ns now)
{
	struct rpc_fan_call *call;
	struct err e;

	if (rpc_fan_call_open(k->group, p->channel, "/grpc.health.v1.Health/Check", STR(""),
			      k->patience_ns, p, &call, &e) != ERR_OK)
		return; /* the next turn will do */
	(void)peer_ref(p);
	p->is_probed = true;
	p->probed_at = now;
	p->next_probed = k->probed;
	p->prev_probed = &k->probed;
	if (k->probed)
		k->probed->prev_probed = &p->next_probed;
	k->probed = p;
}

/* The call fails at once, or the one under way does, and says why: tell_why. */
static void ask_why(struct keeper *k, struct peer *p, struct mono_ns now)
{
	p->asks_why = true;
	if (!p->is_probed)
		probe(k, p, now);
}

/* Whose turn comes in a moment is asked now: one look at a thousand peers for many of them. */
static bool is_due(const struct keeper *k, const struct peer *p, struct mono_ns now)
{
	return now.v + k->interval_ns / 100 >= p->probe_at.v;
}

/* Some peers' turn is sooner by up to a fifth, so that a thousand are not asked in one moment. */
static struct mono_ns next_turn(const struct keeper *k, const struct peer *p, struct mono_ns now)
{
	uint64_t spread = hash_bytes(p->name, strlen(p->name), now.v) % (k->interval_ns / 5);

	return (struct mono_ns){ now.v + k->interval_ns - spread };
}

static void tell(struct keeper *k, struct peer *p, bool available, struct mono_ns now)
{
	if (p->is_seen && p->was_available == available)
		return;
	if (!p->channel)
		log_warn("peer cannot be called", "peer=%s address=%s why=%s", LOG_QUOTE(p->name),
			 LOG_QUOTE(p->address), LOG_QUOTE(p->why));
	else if (!available)
		ask_why(k, p, now);
	else
		log_info(p->is_seen ? "peer is available again" : "peer added",
			 "peer=%s address=%s", LOG_QUOTE(p->name), LOG_QUOTE(p->address));
	p->is_seen = true;
	p->was_available = available;
	/* Who comes back may be another program. */
	atomic_store_explicit(&p->is_foreign, false, memory_order_relaxed);
}

static void look_at(struct keeper *k, struct peer *p, bool available, struct mono_ns now)
{
	bool suspect = atomic_exchange_explicit(&p->is_suspect, false, memory_order_acq_rel);

	if (!p->channel || p->is_probed)
		return;
	if (p->probe_at.v == 0)
		p->probe_at = next_turn(k, p, now);
	if (!suspect && !is_due(k, p, now))
		return;
	p->probe_at = next_turn(k, p, now);
	if (available)
		probe(k, p, now);
	else
		rpc_fan_channel_renew(p->channel);
}

void keeper_renew(struct peers *peers)
{
	struct peer_list list;
	struct err e;

	if (peers_snapshot(peers, &list, &e) != ERR_OK)
		return;
	for (size_t i = 0; i < list.count; i++)
		if (list.peers[i]->channel)
			rpc_fan_channel_renew(list.peers[i]->channel);
	peer_list_done(&list);
}

static void look_at_all(struct keeper *k, struct peers *peers, struct mono_ns now)
{
	struct peer_list list;
	struct err e;

	k->look_at.v = now.v + k->interval_ns;
	k->available_count = 1; /* nothing is known to be wrong but our memory */
	if (peers_snapshot(peers, &list, &e) != ERR_OK)
		return;
	k->available_count = 0;
	for (size_t i = 0; i < list.count; i++) {
		struct peer *p = list.peers[i];
		bool available = peer_is_available(p);
		k->available_count += available;
		tell(k, p, available, now);
		look_at(k, p, available, now);
		/* one that is being asked has its next turn when it has answered, or has not */
		if (p->channel && !p->is_probed)
			sooner(k, p->probe_at);
	}
	peer_list_done(&list);
}

size_t keeper_run(struct keeper *k, struct peers *peers, struct mono_ns now,
		  struct mono_ns *ret_next)
{
	uint64_t rings;

	(void)!read(k->fd, &rings, sizeof rings);
	take_answers(k);
	if (atomic_exchange_explicit(&k->is_poked, false, memory_order_acquire) ||
	    now.v >= k->look_at.v)
		look_at_all(k, peers, now);
	*ret_next = k->look_at;
	return k->available_count;
}
