#include "observer/kubernetes/kubernetes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/thread.h"
#include "metrics/page.h"
#include "observer/kubernetes/follow.h"
#include "observer/kubernetes/thing.h"

enum { SHARE = 4, TICK_MAX_MS = 60000 };

/* When something is to be published: after a pause for what else changes, and not all the time. */
struct due {
	bool is_dirty;
	struct mono_ns since, from; /* the first change; not before */
	struct wall_ns changed;     /* since, as flows have it */
};

struct kubernetes {
	struct kubernetes_config to;
	struct kube_config *config;
	struct kube_world *world;
	struct kube_follow follows[KUBE_KINDS];
	size_t follow_count;
	CURLM *multi;
	pthread_t thread;
	bool is_running;
	atomic_bool is_stopping, files_changed;
	/* the thread's own */
	uint64_t random, refused, twice, partly;
	struct due names, policies;
	struct mono_ns tidy_at;
	bool was_published, stored;
	bool files_due; /* what files say is not published yet */
	bool needs_all; /* names: the table does not hold what it was told last */
	/* any thread */
	_Atomic uint64_t counts[5], publishes, objects[KUBE_KINDS], left_out, policies_refused,
		policies_partly, kinds_stale, fresh_at;
};

static void set(_Atomic uint64_t *to, uint64_t v)
{
	atomic_store_explicit(to, v, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

static void tell_counts(struct kubernetes *k)
{
	struct kube_follow_counts sum = { 0 };
	uint64_t stale = 0;

	for (size_t i = 0; i < k->follow_count; i++) {
		const struct kube_follow_counts *c = &k->follows[i].counts;
		sum.lists += c->lists;
		sum.watches += c->watches;
		sum.events += c->events;
		sum.failures += c->failures;
		sum.gone += c->gone;
		stale += k->follows[i].was_told;
		set(&k->objects[i], kube_world_count(k->world, (enum kube_kind)i));
	}
	set(&k->counts[0], sum.lists);
	set(&k->counts[1], sum.watches);
	set(&k->counts[2], sum.events);
	set(&k->counts[3], sum.failures);
	set(&k->counts[4], sum.gone);
	set(&k->kinds_stale, stale);
	set(&k->left_out, kube_world_left_out(k->world));
}

/* ---- publishing */

static enum err_code publish_all(struct kubernetes *k, struct err *e)
{
	struct kube_view view;
	enum err_code code = kube_world_view(k->world, &view, e);

	if (code != ERR_OK)
		return code;
	view.names.since = k->names.changed;
	code = name_update(k->to.names, k->to.who, &view.names, e);
	kube_view_done(&view);
	k->needs_all = code != ERR_OK;
	return code;
}

static enum err_code publish_changes(struct kubernetes *k, struct err *e)
{
	struct kube_view view;
	enum err_code code = kube_world_changes(k->world, &view, e);

	if (code != ERR_OK)
		return code;
	const struct name_change change = {
		.since = k->names.changed,
		.gone = view.gone,
		.gone_count = view.gone_count,
		.prefixes = view.names.prefixes,
		.prefix_count = view.names.prefix_count,
		.has_services = view.has_services,
		.services = view.names.services,
		.service_count = view.names.service_count,
		.identities = view.names.identities,
		.identity_count = view.names.identity_count,
	};
	code = name_change(k->to.names, k->to.who, &change, e);
	kube_view_done(&view);
	k->needs_all = code != ERR_OK;
	return code;
}

static enum err_code publish_names(struct kubernetes *k, struct err *e)
{
	if (k->needs_all || kube_world_wants_all(k->world))
		return publish_all(k, e);
	return publish_changes(k, e);
}

struct gathering {
	struct policy_builder *builder; /* NULL: none is wanted */
	struct keep_policies *kept;     /* the same */
	bool keeps_server;              /* all of the API server's are known */
	size_t refused, twice, partly;
	const char *first_partly; /* the builder's */
	struct err first, first_twice, failure;
};

static void gather(void *ctx, enum kube_kind kind, struct str text)
{
	struct gathering *g = ctx;
	struct err e;
	json_t *object = json_loadb(text.p, text.len, 0, NULL);

	if (!object || g->failure.code != ERR_OK)
		goto out;
	if (g->builder && policy_builder_add(g->builder, object, &e) != ERR_OK) {
		struct str where = STR("");

		if (kind == KUBE_NETWORK_POLICIES || kind == KUBE_CILIUM_POLICIES)
			where = kube_metadata(object, "namespace");
		policy_builder_miss(g->builder, where);
		if (!g->refused++)
			g->first = e;
	}
	if (g->kept && g->keeps_server && kube_kind_is_policy(kind) &&
	    keep_policies_add(g->kept, object, STR(POLICY_ORIGIN_KUBERNETES), &e) != ERR_OK)
		g->failure = e;
out:
	json_decref(object);
}

/* Of files: those of other kinds are passed over, as are those that the API server has. */
static enum err_code gather_file(void *ctx, const json_t *object, struct err *e)
{
	struct gathering *g = ctx;
	enum err_code code = ERR_OK;

	if (g->builder)
		code = policy_builder_add(g->builder, object, e);
	if (code == ERR_EXISTS) {
		if (kube_kind_is_policy(kube_kind_of(object)) && !g->twice++)
			g->first_twice = *e;
		return ERR_OK;
	}
	if (code == ERR_UNSUPPORTED)
		return ERR_OK;
	if (code != ERR_OK) { /* it was read before: a limit of both together */
		policy_builder_miss(g->builder, STR(""));
		if (!g->refused++)
			g->first = *e;
	}
	if (code == ERR_OK && g->kept)
		code = keep_policies_add(g->kept, object, STR(POLICY_ORIGIN_FILES), e);
	else
		code = ERR_OK;
	return code;
}

/* What policies of files ask for beside policies. */
static enum err_code look_for_needs(void *ctx, const json_t *object, struct err *e)
{
	struct kube_needs *needs = ctx;

	if (!kube_kind_is_policy(kube_kind_of(object)))
		return ERR_OK;
	char *text = json_dumps(object, JSON_COMPACT);
	if (!text)
		return err_set(e, ERR_NOMEM, "policies");
	kube_needs_of(str_of(text), needs);
	free(text);
	return ERR_OK;
}

static bool all_settled(const struct kubernetes *k)
{
	for (size_t i = 0; i < k->follow_count; i++)
		if (!k->follows[i].is_settled)
			return false;
	return true;
}

/* What the store is told must be all there is. */
static bool knows_all_policies(const struct kubernetes *k)
{
	for (int i = KUBE_NETWORK_POLICIES; i <= KUBE_CIDR_GROUPS; i++)
		if (!k->follows[i].is_listed && !k->follows[i].is_missing)
			return false;
	return true;
}

static enum err_code publish_set(struct kubernetes *k, struct gathering *g, struct err *e)
{
	AUTO(policy_set_free) struct policy_set *set = NULL;
	enum err_code code = policy_builder_finish(g->builder, &set, e);

	if (code == ERR_OK)
		code = policy_publish(k->to.policies, set, k->policies.changed, e);
	if (code == ERR_OK)
		(void)TAKE(set); /* the table's now */
	return code;
}

/* Everybody's objects: first the API server's, of which nothing counts before names do. */
static enum err_code gather_all(struct kubernetes *k, struct gathering *g, bool of_server,
				struct err *e)
{
	struct kube_needs needs = { 0 };
	enum err_code code = ERR_OK;

	if (k->to.files)
		code = policy_file_each(k->to.files, look_for_needs, &needs, e);
	if (code == ERR_OK && g->builder)
		code = policy_builder_origin(g->builder, STR(POLICY_ORIGIN_KUBERNETES), e);
	if (g->builder)
		policy_builder_served(g->builder, true);
	if (code == ERR_OK && of_server)
		code = kube_world_policies(k->world, &needs, gather, g, e);
	if (code == ERR_OK && g->failure.code != ERR_OK) {
		*e = g->failure;
		code = e->code;
	}
	if (g->builder) {
		g->partly = policy_builder_partly(g->builder, &g->first_partly);
		policy_builder_served(g->builder, false);
	}
	if (code == ERR_OK && g->builder)
		code = policy_builder_origin(g->builder, STR(POLICY_ORIGIN_FILES), e);
	if (code == ERR_OK && k->to.files)
		code = policy_file_each(k->to.files, gather_file, g, e);
	return code;
}

static void tell_left_out(struct kubernetes *k, const struct gathering *g)
{
	if (g->refused && g->refused != k->refused)
		log_warn("policies that are not understood are left out", "count=%zu err=%s",
			 g->refused, LOG_QUOTE(g->first.msg));
	if (g->twice && g->twice != k->twice)
		log_warn("policies of files that the API server has, too, are left out",
			 "count=%zu err=%s", g->twice, LOG_QUOTE(g->first_twice.msg));
	if (g->partly && g->partly != k->partly)
		log_warn("policies of the API server have fields that are not known here; who is "
			 "named where they may count is marked as likely",
			 "count=%zu first=%s", g->partly, LOG_QUOTE(g->first_partly));
	k->refused = g->refused;
	k->partly = g->partly;
	set(&k->policies_partly, g->partly);
	k->twice = g->twice;
	set(&k->policies_refused, g->refused + g->twice);
}

static enum err_code publish_policies(struct kubernetes *k, struct err *e)
{
	struct gathering g = { 0 };
	bool of_server = all_settled(k);
	enum err_code code = ERR_OK;

	g.keeps_server = of_server && (k->stored || knows_all_policies(k));

	if (k->to.policies)
		code = policy_builder_new(k->to.meaning, &g.builder, e);
	if (code == ERR_OK && k->to.keep && (g.keeps_server || k->to.files))
		code = keep_policies_new(&g.kept, e);
	if (code == ERR_OK && g.kept && !g.keeps_server)
		keep_policies_leave(g.kept, STR(POLICY_ORIGIN_KUBERNETES));
	if (code == ERR_OK)
		code = gather_all(k, &g, of_server, e);
	if (code == ERR_OK && k->to.policies)
		code = publish_set(k, &g, e);
	if (code == ERR_OK && g.kept) {
		keep_take_policies(k->to.keep, TAKE(g.kept));
		k->stored = g.keeps_server;
	}
	if (code == ERR_OK)
		tell_left_out(k, &g);
	policy_builder_free(g.builder);
	keep_policies_free(g.kept);
	return code;
}

static void soil(struct due *d, struct mono_ns now)
{
	if (d->is_dirty)
		return;
	d->is_dirty = true;
	d->since = now;
	d->changed = wall_now();
}

/* @return when; never, if nothing is. */
static struct mono_ns due_at(const struct kubernetes *k, const struct due *d)
{
	uint64_t at = k->was_published ? d->since.v + KUBE_PUBLISH_MS * NS_PER_MS : d->since.v;

	if (!d->is_dirty)
		return (struct mono_ns){ UINT64_MAX };
	return (struct mono_ns){ at > d->from.v ? at : d->from.v };
}

/* Of what takes long, less: @return false if it failed; it is tried again with the next change. */
static bool publish(struct kubernetes *k, struct due *d,
		    enum err_code (*what)(struct kubernetes *k, struct err *e))
{
	struct err e;
	struct mono_ns begin = mono_now();

	d->is_dirty = false;
	enum err_code code = what(k, &e);
	struct mono_ns end = mono_now();
	if (code != ERR_OK)
		log_warn("names or policies of Kubernetes are not published; the old ones stay",
			 "err=%s", LOG_QUOTE(e.msg));
	d->from.v = end.v + SHARE * (end.v - begin.v);
	set(&k->fresh_at, end.v);
	atomic_fetch_add_explicit(&k->publishes, code == ERR_OK, memory_order_release);
	return code == ERR_OK;
}

static void tell_first(struct kubernetes *k)
{
	log_info("names from Kubernetes", "pods=%zu services=%zu nodes=%zu",
		 kube_world_count(k->world, KUBE_PODS), kube_world_count(k->world, KUBE_SERVICES),
		 kube_world_count(k->world, KUBE_NODES));
	k->was_published = true;
}

static void look_at_dirt(struct kubernetes *k, struct mono_ns now)
{
	unsigned dirt = kube_world_dirt(k->world);
	bool settled = all_settled(k), first = !k->was_published && settled;

	if (dirt & KUBE_DIRTY_NAMES || first)
		soil(&k->names, now);
	k->files_due |= atomic_exchange_explicit(&k->files_changed, false, memory_order_acquire);
	/* also those of a kind that becomes known late, though nothing of it is there */
	if ((settled && dirt & KUBE_DIRTY_POLICIES) || first || k->files_due ||
	    (k->was_published && k->to.keep && !k->stored && knows_all_policies(k)))
		soil(&k->policies, now);
}

/* @return when to look again at the latest. */
static struct mono_ns publish_if_due(struct kubernetes *k, struct mono_ns now)
{
	look_at_dirt(k, now);
	if (!all_settled(k) && k->files_due) { /* they wait for nobody */
		k->files_due = false;
		(void)publish(k, &k->policies, publish_policies);
	}
	if (!all_settled(k))
		return (struct mono_ns){ UINT64_MAX };
	k->files_due = false;
	bool names_first = !k->was_published;
	if (now.v >= due_at(k, &k->names).v && publish(k, &k->names, publish_names) && names_first)
		tell_first(k);
	if (now.v >= due_at(k, &k->policies).v)
		(void)publish(k, &k->policies, publish_policies);
	struct mono_ns names = due_at(k, &k->names), policies = due_at(k, &k->policies);
	return names.v < policies.v ? names : policies;
}

/* ---- the thread */

static void take_ended(struct kubernetes *k, struct mono_ns now)
{
	const CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(k->multi, &left))) {
		struct kube_follow *f = NULL;
		if (msg->msg != CURLMSG_DONE)
			continue;
		CURLcode code = msg->data.result; /* gone with the next call */
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &f);
		if (f)
			kube_follow_ended(f, code, now);
	}
}

static void *kube_main(void *arg)
{
	struct kubernetes *k = arg;

	while (!atomic_load_explicit(&k->is_stopping, memory_order_acquire)) {
		struct mono_ns now = mono_now(), next = { UINT64_MAX };
		int running;

		for (size_t i = 0; i < k->follow_count; i++) {
			struct mono_ns at = kube_follow_tick(&k->follows[i], now);
			next = at.v < next.v ? at : next;
		}
		(void)curl_multi_perform(k->multi, &running);
		now = mono_now();
		take_ended(k, now);
		struct mono_ns at = publish_if_due(k, now);
		next = at.v < next.v ? at : next;
		for (size_t i = 0; i < k->follow_count; i++)
			if (k->follows[i].state == KUBE_PAUSED && k->follows[i].at.v < next.v)
				next = k->follows[i].at;
		tell_counts(k);
		if (k->to.policies && now.v >= k->tidy_at.v) {
			policy_tidy(k->to.policies, wall_now());
			k->tidy_at.v = now.v + TICK_MAX_MS * NS_PER_MS;
		}
		now = mono_now();
		uint64_t ms = next.v <= now.v ? 0 : (next.v - now.v) / NS_PER_MS + 1;
		(void)curl_multi_poll(k->multi, NULL, 0, ms < TICK_MAX_MS ? (int)ms : TICK_MAX_MS,
				      NULL);
	}
	return NULL;
}

static enum err_code make(struct kubernetes *k, struct err *e)
{
	const struct kubernetes_config *c = &k->to;
	enum err_code code = kube_config_read(c->kubeconfig, c->context, &k->config, e);

	if (code == ERR_OK)
		code = kube_world_new(c->cluster, c->node, &k->world, e);
	if (code != ERR_OK)
		return code;
	kube_world_tell_local(k->world, c->local);
	if (getrandom(&k->random, sizeof k->random, 0) != sizeof k->random)
		return err_os(e, "random numbers");
	k->random |= 1;
	k->needs_all = true;
	atomic_init(&k->files_changed, c->files != NULL); /* for the store */
	k->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
	if (!k->multi)
		return err_set(e, ERR_NOMEM, "a client of the API server");
	for (; k->follow_count < KUBE_KINDS && code == ERR_OK; k->follow_count++)
		code = kube_follow_init(&k->follows[k->follow_count],
					(enum kube_kind)k->follow_count, k->config, k->world,
					k->multi, &k->random, e);
	return code;
}

enum err_code kubernetes_new(const struct kubernetes_config *config, struct kubernetes **ret,
			     struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(kubernetes_free) struct kubernetes *k = calloc(1, sizeof *k);
	if (!k)
		return err_set(e, ERR_NOMEM, "Kubernetes");
	k->to = *config;
	if (make(k, e) != ERR_OK)
		return err_in(e, "%s", "Kubernetes");
	log_info("following Kubernetes", "server=%s context=%s", LOG_QUOTE(k->config->server),
		 LOG_QUOTE(k->config->context ? k->config->context : ""));
	if (k->config->insecure)
		log_warn("the API server's certificate is not checked", "server=%s",
			 LOG_QUOTE(k->config->server));
	enum err_code code = thread_start("tycho-kube", kube_main, k, &k->thread, e);
	if (code != ERR_OK)
		return code;
	k->is_running = true;
	*ret = TAKE(k);
	return ERR_OK;
}

void kubernetes_free(struct kubernetes *k)
{
	if (!k)
		return;
	atomic_store_explicit(&k->is_stopping, true, memory_order_release);
	if (k->is_running) {
		(void)curl_multi_wakeup(k->multi);
		(void)pthread_join(k->thread, NULL);
	}
	for (size_t i = 0; i < k->follow_count; i++)
		kube_follow_done(&k->follows[i]);
	if (k->multi)
		(void)curl_multi_cleanup(k->multi);
	kube_world_free(k->world);
	kube_config_free(k->config);
	free(k);
}

void kubernetes_files_changed(struct kubernetes *k)
{
	atomic_store_explicit(&k->files_changed, true, memory_order_release);
	(void)curl_multi_wakeup(k->multi);
}

/* ---- counts */

struct kubernetes_counts kubernetes_counts(const struct kubernetes *k)
{
	struct kubernetes_counts c = {
		.publishes = atomic_load_explicit(&k->publishes, memory_order_acquire),
		.lists = get(&k->counts[0]),
		.watches = get(&k->counts[1]),
		.events = get(&k->counts[2]),
		.failures = get(&k->counts[3]),
		.gone = get(&k->counts[4]),
		.left_out = get(&k->left_out),
		.policies_refused = get(&k->policies_refused),
		.policies_partly = get(&k->policies_partly),
		.kinds_stale = get(&k->kinds_stale),
		.fresh_at = { get(&k->fresh_at) },
	};

	for (size_t i = 0; i < KUBE_KINDS; i++)
		c.objects[i] = get(&k->objects[i]);
	return c;
}

void kubernetes_collect(void *ctx, struct metrics_page *page)
{
	const struct kubernetes_counts c = kubernetes_counts(ctx);

	page_counter(page, "tycho_kubernetes_lists_total", "Pages of lists asked for", c.lists);
	page_counter(page, "tycho_kubernetes_watches_total", "Watches begun", c.watches);
	page_counter(page, "tycho_kubernetes_events_total", "Changes that watches told of",
		     c.events);
	page_counter(page, "tycho_kubernetes_failures_total",
		     "Requests to the API server that failed; what is known stays", c.failures);
	page_counter(page, "tycho_kubernetes_gone_total",
		     "How often a resource version was too old, and a list was taken anew", c.gone);
	page_counter(page, "tycho_kubernetes_publications_total",
		     "How often names or policies were published", c.publishes);
	page_gauge(page, "tycho_kubernetes_stale_kinds",
		   "Kinds of objects that the API server does not give at the moment",
		   (double)c.kinds_stale);
	page_counter(page, "tycho_kubernetes_left_out_total",
		     "Objects that could not be read, were too many or too large", c.left_out);
	page_gauge(page, "tycho_kubernetes_policies_left_out",
		   "Policies that are not understood, or that files and the API server both have",
		   (double)c.policies_refused);
	page_gauge(page, "tycho_kubernetes_policies_partly_known",
		   "Policies of the API server in force with fields that are not known here",
		   (double)c.policies_partly);
	page_family(page, "tycho_kubernetes_objects", METRIC_GAUGE, "What is known, by kind");
	for (size_t i = 0; i < KUBE_KINDS; i++) {
		const struct page_label label = { "kind",
						  str_of(kube_kind_name((enum kube_kind)i)) };
		page_u64(page, &label, 1, c.objects[i]);
	}
}
