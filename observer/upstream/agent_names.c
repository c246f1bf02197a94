#include "observer/upstream/agent_names.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/thread.h"
#include "metrics/page.h"
#include "observer/upstream/agent_view.h"
#include "observer/upstream/rest.h"

#define INTERVAL_NS (30 * NS_PER_S)
#define PAUSE_MIN_NS (1 * NS_PER_S)
#define PAUSE_MAX_NS (30 * NS_PER_S)
enum { SHARE = 10 }; /* of the time may be spent asking: one in so many */

struct agent_names {
	char *socket;
	unsigned who;
	uint64_t interval_ns;
	struct name_table *names;
	struct agent_policies *policies;
	void (*on_rules)(void *ctx, const json_t *answer);
	void *ctx;
	struct rest *rest;
	int wake_fd;
	pthread_t thread;
	bool is_running;
	atomic_bool is_stopping, is_poked;
	uint64_t pause_ns, random; /* the thread's own */
	bool was_told_away;
	_Atomic uint64_t refreshes, failures, fresh_at, stale, endpoints, addresses, identities,
		services, dns_names, policy_rules, left_out;
};

static void wake(struct agent_names *a)
{
	const uint64_t one = 1;

	(void)!write(a->wake_fd, &one, sizeof one);
}

void agent_names_poke(struct agent_names *a)
{
	if (a && !atomic_load_explicit(&a->is_poked, memory_order_relaxed) &&
	    !atomic_exchange_explicit(&a->is_poked, true, memory_order_acq_rel))
		wake(a);
}

static void set(_Atomic uint64_t *to, uint64_t v)
{
	atomic_store_explicit(to, v, memory_order_relaxed);
}

/* One writer. Who sees the new count sees what was set before. */
static void add(_Atomic uint64_t *to)
{
	atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + 1,
			      memory_order_release);
}

/* ---- one round of questions */

struct answers {
	json_t *endpoints, *ips, *identities, *services, *selectors, *cgroups, *fqdns, *rules;
	bool no_fqdns, no_rules; /* they could not be had: nothing is known of them now */
	struct wall_ns asked;
};

static void answers_done(struct answers *a)
{
	json_decref(a->endpoints);
	json_decref(a->ips);
	json_decref(a->identities);
	json_decref(a->services);
	json_decref(a->selectors);
	json_decref(a->cgroups);
	json_decref(a->fqdns);
	json_decref(a->rules);
}

static enum err_code ask(struct agent_names *a, struct answers *to, struct err *e)
{
	const struct {
		const char *path;
		json_t **to;
		bool is_needed, is_left_out;
		bool *ret_failed; /* may be NULL */
	} questions[] = {
		{ "/v1/endpoint", &to->endpoints, true, false, NULL },
		{ "/v1/ip", &to->ips, true, false, NULL },
		{ "/v1/identity", &to->identities, true, false, NULL },
		{ "/v1/service", &to->services, false, false, NULL },
		{ "/v1/cgroup-dump-metadata", &to->cgroups, false, false, NULL },
		{ "/v1/fqdn/cache", &to->fqdns, false, false, &to->no_fqdns },
		{ "/v1/policy/selectors", &to->selectors, false, !a->policies, NULL },
		{ "/v1/policy", &to->rules, false, !a->on_rules, &to->no_rules },
	};

	to->asked = wall_now();

	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		if (questions[i].is_left_out)
			continue;
		enum err_code code = rest_get(a->rest, questions[i].path, questions[i].to, e);
		/* 404 is "none of these", too */
		if (code == ERR_OK || code == ERR_NOT_FOUND)
			continue;
		if (questions[i].is_needed || code == ERR_CANCELLED)
			return code;
		if (questions[i].ret_failed)
			*questions[i].ret_failed = true;
	}
	if (!to->endpoints && !to->ips && !to->identities)
		return err_set(e, ERR_UNAVAILABLE, "%s: nothing of an agent is there", a->socket);
	return ERR_OK;
}

static void count_view(struct agent_names *a, const struct agent_view *v, uint64_t endpoints,
		       bool no_fqdns)
{
	set(&a->endpoints, endpoints);
	set(&a->addresses, v->prefix_count);
	set(&a->identities, v->identity_count);
	set(&a->services, v->service_count);
	if (!no_fqdns)
		set(&a->dns_names, v->told_count);
	set(&a->left_out, v->left_out);
}

static enum err_code take(struct agent_names *a, const struct answers *answers, struct err *e)
{
	const struct agent_answers from = {
		answers->endpoints, answers->ips,   answers->identities, answers->services,
		answers->cgroups,   answers->fqdns, answers->asked,
	};
	AUTO(agent_view_free) struct agent_view *view = NULL;
	AUTO(agent_policy_free) struct agent_policy *policy = NULL;

	enum err_code code = agent_view_new(&from, &view, e);
	if (code == ERR_OK && a->policies)
		code = agent_policy_new(answers->endpoints, answers->selectors, &policy, e);
	if (code != ERR_OK)
		return code;
	struct name_view names = agent_view_names(view);
	names.keep_told = answers->no_fqdns;
	code = name_update(a->names, a->who, &names, e);
	if (code != ERR_OK)
		return code;
	count_view(a, view, json_array_size(answers->endpoints), answers->no_fqdns);
	if (policy) {
		set(&a->policy_rules, agent_policy_rules(policy));
		agent_policies_set_take(a->policies, TAKE(policy));
	}
	return ERR_OK;
}

/* ---- the thread */

/* A fifth more or less (xorshift64). */
static uint64_t jittered(struct agent_names *a, uint64_t ns)
{
	a->random ^= a->random << 13;
	a->random ^= a->random >> 7;
	a->random ^= a->random << 17;
	return ns - ns / 5 + a->random % (2 * ns / 5 + 1);
}

/* @return how long to pause. */
static uint64_t fail(struct agent_names *a, const struct err *e)
{
	uint64_t most = a->interval_ns < PAUSE_MAX_NS ? a->interval_ns : PAUSE_MAX_NS;

	set(&a->stale, 1);
	add(&a->failures);
	a->pause_ns = a->pause_ns ? 2 * a->pause_ns : PAUSE_MIN_NS;
	a->pause_ns = a->pause_ns < most ? a->pause_ns : most;
	if (!a->was_told_away)
		log_warn("Cilium's agent does not answer; the names it gave stay",
			 "socket=%s err=%s", LOG_QUOTE(a->socket), LOG_QUOTE(e->msg));
	a->was_told_away = true;
	return jittered(a, a->pause_ns);
}

static uint64_t succeed(struct agent_names *a, struct mono_ns asked)
{
	if (a->was_told_away || !atomic_load_explicit(&a->fresh_at, memory_order_relaxed))
		log_info("names from Cilium's agent",
			 "socket=%s endpoints=%llu addresses=%llu identities=%llu services=%llu",
			 LOG_QUOTE(a->socket), (unsigned long long)a->endpoints,
			 (unsigned long long)a->addresses, (unsigned long long)a->identities,
			 (unsigned long long)a->services);
	set(&a->stale, 0);
	set(&a->fresh_at, asked.v);
	add(&a->refreshes);
	a->pause_ns = 0;
	a->was_told_away = false;
	return jittered(a, a->interval_ns);
}

static uint64_t refresh(struct agent_names *a, struct mono_ns now)
{
	__attribute__((cleanup(answers_done))) struct answers answers = { 0 };
	struct err e = { .msg = "" };

	enum err_code code = ask(a, &answers, &e);
	if (code == ERR_OK)
		code = take(a, &answers, &e);
	if (code == ERR_OK && a->on_rules && !answers.no_rules)
		a->on_rules(a->ctx, answers.rules);
	return code == ERR_OK ? succeed(a, now) : fail(a, &e);
}

/* Until @until, or a poke once @poke_from has come. */
static void wait_for(struct agent_names *a, struct mono_ns poke_from, struct mono_ns until)
{
	for (;;) {
		struct mono_ns now = mono_now();
		struct pollfd fd = { .fd = a->wake_fd, .events = POLLIN };
		uint64_t n;

		if (atomic_load_explicit(&a->is_stopping, memory_order_acquire) || now.v >= until.v)
			return;
		bool poked = atomic_load_explicit(&a->is_poked, memory_order_acquire);
		if (poked && now.v >= poke_from.v)
			return;
		uint64_t next = poked && poke_from.v < until.v ? poke_from.v : until.v;
		uint64_t ms = (next - now.v) / NS_PER_MS + 1;
		if (poll(&fd, 1, ms < 60000 ? (int)ms : 60000) > 0)
			(void)!read(a->wake_fd, &n, sizeof n);
	}
}

static void *names_main(void *arg)
{
	struct agent_names *a = arg;

	while (!atomic_load_explicit(&a->is_stopping, memory_order_acquire)) {
		struct mono_ns began = mono_now();
		/* before the first question: what changes from now on counts */
		atomic_store_explicit(&a->is_poked, false, memory_order_release);
		uint64_t pause_ns = refresh(a, began);
		struct mono_ns ended = mono_now();
		uint64_t took = ended.v - began.v, least = took * (SHARE - 1);
		struct mono_ns from = { ended.v + (least > PAUSE_MIN_NS ? least : PAUSE_MIN_NS) };
		/* a poke does not make an agent answer that is away */
		struct mono_ns until = { ended.v + pause_ns };
		wait_for(a, a->pause_ns ? until : from, until);
	}
	return NULL;
}

enum err_code agent_names_new(const struct agent_names_config *config, struct agent_names **ret,
			      struct err *e)
{
	AUTO(agent_names_free) struct agent_names *a = calloc(1, sizeof *a);
	if (!a)
		return err_set(e, ERR_NOMEM, "names from the agent");
	a->wake_fd = -1;
	a->who = config->who;
	a->interval_ns = config->interval_ns ? config->interval_ns : INTERVAL_NS;
	a->names = config->names;
	a->policies = config->policies;
	a->on_rules = config->on_rules;
	a->ctx = config->ctx;
	a->socket = str_dup(str_of(config->socket));
	if (!a->socket)
		return err_set(e, ERR_NOMEM, "names from the agent");
	enum err_code code = rest_new(config->socket, &a->rest, e);
	if (code != ERR_OK)
		return code;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake_fd < 0 || getrandom(&a->random, sizeof a->random, 0) != sizeof a->random)
		return err_os(e, "names from the agent");
	a->random |= 1;
	code = thread_start("tycho-names", names_main, a, &a->thread, e);
	if (code != ERR_OK)
		return code;
	a->is_running = true;
	*ret = TAKE(a);
	return ERR_OK;
}

void agent_names_free(struct agent_names *a)
{
	if (!a)
		return;
	atomic_store_explicit(&a->is_stopping, true, memory_order_release);
	if (a->is_running) {
		rest_stop(a->rest);
		wake(a);
		(void)pthread_join(a->thread, NULL);
	}
	rest_free(a->rest);
	if (a->wake_fd >= 0)
		(void)close(a->wake_fd);
	free(a->socket);
	free(a);
}

static uint64_t get(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

struct agent_names_counts agent_names_counts(const struct agent_names *a)
{
	uint64_t refreshes = atomic_load_explicit(&a->refreshes, memory_order_acquire);
	uint64_t failures = atomic_load_explicit(&a->failures, memory_order_acquire);

	return (struct agent_names_counts){
		.refreshes = refreshes,
		.failures = failures,
		.fresh_at = { get(&a->fresh_at) },
		.is_stale = get(&a->stale),
		.endpoints = get(&a->endpoints),
		.addresses = get(&a->addresses),
		.identities = get(&a->identities),
		.services = get(&a->services),
		.dns_names = get(&a->dns_names),
		.policy_rules = get(&a->policy_rules),
		.left_out = get(&a->left_out),
	};
}

void agent_names_collect(void *ctx, struct metrics_page *page)
{
	const struct agent_names_counts c = agent_names_counts(ctx);
	const struct {
		const char *kind;
		uint64_t count;
	} held[] = {
		{ "endpoint", c.endpoints },  { "address", c.addresses },
		{ "identity", c.identities }, { "service", c.services },
		{ "dns_name", c.dns_names },  { "policy_rule", c.policy_rules },
	};

	page_counter(page, "tycho_cilium_agent_refreshes_total",
		     "How often the agent's names were fetched", c.refreshes);
	page_counter(page, "tycho_cilium_agent_failures_total",
		     "How often they could not be; those that are known stay", c.failures);
	page_gauge(page, "tycho_cilium_agent_stale",
		   "1: the last attempt failed, names may be out of date", c.is_stale);
	if (c.fresh_at.v)
		page_gauge(page, "tycho_cilium_agent_age_seconds", "How old the agent's names are",
			   (double)(mono_now().v - c.fresh_at.v) / 1e9);
	page_family(page, "tycho_cilium_agent_names", METRIC_GAUGE,
		    "What is known from the agent, by kind");
	for (size_t i = 0; i < ARRAY_LEN(held); i++) {
		const struct page_label label = { "kind", str_of(held[i].kind) };
		page_u64(page, &label, 1, held[i].count);
	}
	page_gauge(page, "tycho_cilium_agent_entries_left_out",
		   "Entries of the agent's last answers that could not be read",
		   (double)c.left_out);
}
