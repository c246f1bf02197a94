#include "relay/peers.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>

enum { NAME_MAX_BYTES = 512, PEERS_MAX = 10000 };

struct peers {
	struct rpc_fan *fan;       /* immutable */
	const struct rpc_tls *tls; /* immutable */
	void (*changed)(void *ctx);
	void *ctx;
	pthread_mutex_t mx;
	struct peer **list; /* by name; guarded by mx, changed by main only */
	size_t count;       /* the same */
	_Atomic uint64_t generation;
};

enum err_code peer_spec_parse(struct str text, struct peer_spec *ret, struct err *e)
{
	size_t eq = str_find(text, '=');
	struct str name = str_trim(str_upto(text, eq)), rest = str_trim(str_from(text, eq + 1));
	size_t comma = str_find_last(rest, ',');
	struct peer_spec spec = {
		.name = name,
		.address = str_trim(str_upto(rest, comma)),
		.tls_name = str_trim(str_from(rest, comma + 1)),
	};

	if (eq == text.len || !name.len || !spec.address.len)
		return err_set(e, ERR_INVALID,
			       "'%.*s' is not NAME=ADDRESS or NAME=ADDRESS,TLS-NAME",
			       STR_FMT(str_upto(text, 200)));
	if (name.len > NAME_MAX_BYTES || !utf8_is_valid(name))
		return err_set(e, ERR_INVALID, "a peer's name is UTF-8 of at most %d bytes",
			       NAME_MAX_BYTES);
	for (size_t i = 0; i < name.len; i++)
		if (iscntrl((unsigned char)name.p[i]))
			return err_set(e, ERR_INVALID, "a peer's name has a control character");
	*ret = spec;
	return ERR_OK;
}

/* ---- one peer */

static void peer_free(struct peer *p)
{
	if (!p)
		return;
	rpc_fan_channel_free(p->channel);
	free(p->name);
	free(p->address);
	free(p->tls_name);
	free(p);
}
AUTO_DEFINE(struct peer, peer_free);

struct peer *peer_ref(struct peer *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void peer_unref(struct peer *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		peer_free(p);
}

bool peer_is_available(const struct peer *p)
{
	return p->channel && !atomic_load_explicit(&p->is_gone, memory_order_acquire) &&
	       rpc_fan_channel_is_usable(p->channel);
}

static enum err_code open_channel(struct peers *all, struct peer *p, struct err *e)
{
	struct rpc_tls tls = all->tls ? *all->tls : (struct rpc_tls){ 0 };
	const struct rpc_channel_config config = { .address = p->address,
						   .tls = all->tls ? &tls : NULL };

	tls.server_name = p->tls_name;
	/* The reference's rule: what the peer service says of TLS and what we were told agree, or
	 * nobody is called. */
	if (p->source == PEER_SERVICE && !*p->address)
		return err_set(e, ERR_INVALID, "its address is not known");
	if (p->source == PEER_SERVICE && all->tls && !p->tls_name)
		return err_set(e, ERR_INVALID, "%s",
			       p->has_tls ? "its TLS name is not known"
					  : "it has no TLS, which is asked for");
	if (p->source == PEER_SERVICE && !all->tls && p->tls_name)
		return err_set(e, ERR_INVALID, "it has TLS, and no CA for it is given");
	/* Whoever names a certificate means TLS. (--peer is looked at with the options.) */
	if (p->source == PEER_FILE && !all->tls && p->tls_name)
		return err_set(e, ERR_INVALID, "a TLS name needs --peer-tls or --peer-ca-file");
	return rpc_fan_channel_new(all->fan, &config, all->changed, all->ctx, &p->channel, e);
}

static enum err_code peer_new(struct peers *all, enum peer_source source,
			      const struct peer_spec *spec, struct peer **ret, struct err *e)
{
	struct err why;
	AUTO(peer_free) struct peer *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(e, ERR_NOMEM, "peer");
	p->source = source;
	p->told = spec->told;
	p->has_tls = source == PEER_SERVICE ? spec->tells_tls : all->tls != NULL;
	p->name = str_dup(spec->name);
	p->address = str_dup(spec->address);
	p->tls_name = spec->tls_name.len ? str_dup(spec->tls_name) : NULL;
	if (!p->name || !p->address || (spec->tls_name.len && !p->tls_name))
		return err_set(e, ERR_NOMEM, "peer");
	atomic_init(&p->refs, 1);
	if (open_channel(all, p, &why) != ERR_OK) {
		/* What people wrote down should work; what others tell us need not. */
		if (source == PEER_STATIC || source == PEER_FILE)
			return err_set(e, why.code, "peer '%s': %s", p->name, why.msg);
		(void)str_excerpt(str_of(why.msg), p->why, sizeof p->why);
	}
	*ret = TAKE(p);
	return ERR_OK;
}

/* It is on the list no more. Queries may know it for as long as they last: its calls end, those
 * that they begin at this very moment too, and it is not connected to any more. */
static void let_go(struct peer *p)
{
	atomic_store_explicit(&p->is_gone, true, memory_order_release);
	if (p->channel)
		rpc_fan_channel_close(p->channel, "no longer a peer");
	peer_unref(p);
}

static bool is_as_before(const struct peer *p, const struct peer_spec *spec)
{
	return str_is(spec->address, p->address) &&
	       (p->source != PEER_SERVICE || p->has_tls == spec->tells_tls) &&
	       str_is(spec->tls_name, p->tls_name ? p->tls_name : "");
}

/* ---- the list */

enum err_code peers_new(const struct peers_config *config, struct peers **ret, struct err *e)
{
	struct peers *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(e, ERR_NOMEM, "peers");
	p->fan = config->fan;
	p->tls = config->tls;
	p->changed = config->changed;
	p->ctx = config->ctx;
	pthread_mutex_init(&p->mx, NULL);
	*ret = p;
	return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct peer *const *)a)->name, (*(struct peer *const *)b)->name);
}

/* Puts @list, which is in order, in place of the old one. */
static void swap_list(struct peers *p, struct peer **list_take, size_t count)
{
	pthread_mutex_lock(&p->mx);
	struct peer **old = p->list;
	p->list = list_take;
	p->count = count;
	atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
	pthread_mutex_unlock(&p->mx);
	free(old);
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++)
		let_go(p->list[i]);
	free(p->list);
	pthread_mutex_destroy(&p->mx);
	free(p);
}

/* Where @name is on the list, or would be. Main's view: it alone changes the list, so it reads
 * without the lock. */
static size_t place_of(const struct peers *p, struct str name)
{
	size_t low = 0, high = p->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (str_cmp(str_of(p->list[mid]->name), name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct peer *find(const struct peers *p, struct str name)
{
	size_t at = place_of(p, name);

	return at < p->count && str_is(name, p->list[at]->name) ? p->list[at] : NULL;
}

static int by_spec_name(const void *a, const void *b)
{
	return str_cmp((*(const struct peer_spec *const *)a)->name,
		       (*(const struct peer_spec *const *)b)->name);
}

/* Names that stand twice, or that are another source's. @sorted: by name. */
static enum err_code check_names(const struct peers *p, enum peer_source source,
				 const struct peer_spec *const *sorted, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		const struct peer *other = find(p, sorted[i]->name);
		if ((i && str_eq(sorted[i]->name, sorted[i - 1]->name)) ||
		    (other && other->source != source))
			return err_set(e, ERR_EXISTS, "peer '%.*s' is given twice",
				       STR_FMT(sorted[i]->name));
	}
	return ERR_OK;
}

/* Is the peer, which is of the source, one of the @sorted? */
static bool stays(const struct peer *peer, const struct peer_spec *const *sorted, size_t count)
{
	const struct peer_spec key = { .name = str_of(peer->name) }, *wanted = &key;
	const struct peer_spec *const *found =
		count ? bsearch(&wanted, sorted, count, sizeof wanted, by_spec_name) : NULL;

	return found && is_as_before(peer, *found);
}

enum err_code peers_set(struct peers *p, enum peer_source source, const struct peer_spec *specs,
			size_t count, struct err *e)
{
	if (count > PEERS_MAX)
		return err_set(e, ERR_INVALID, "more than %d peers", PEERS_MAX);
	AUTO(own_free) const struct peer_spec **sorted = calloc(count + 1, sizeof *sorted);
	AUTO(own_free) struct peer **list = calloc(p->count + count + 1, sizeof(struct peer *));
	AUTO(own_free) struct peer **fresh = calloc(count + 1, sizeof(struct peer *));
	AUTO(own_free) struct peer **gone = calloc(p->count + 1, sizeof(struct peer *));
	size_t n = 0, fresh_count = 0, gone_count = 0;
	if (!sorted || !list || !fresh || !gone)
		return err_set(e, ERR_NOMEM, "peers");
	for (size_t i = 0; i < count; i++)
		sorted[i] = &specs[i];
	if (count)
		qsort(sorted, count, sizeof *sorted, by_spec_name);
	enum err_code code = check_names(p, source, sorted, count, e);
	for (size_t i = 0; code == ERR_OK && i < count; i++) {
		struct peer *old = find(p, specs[i].name);
		if (old && is_as_before(old, &specs[i])) {
			list[n++] = old;
		} else {
			code = peer_new(p, source, &specs[i], &list[n], e);
			if (code == ERR_OK)
				fresh[fresh_count++] = list[n++];
		}
	}
	if (code != ERR_OK) {
		while (fresh_count)
			peer_unref(fresh[--fresh_count]);
		return code;
	}
	for (size_t i = 0; i < p->count; i++) {
		if (p->list[i]->source != source)
			list[n++] = p->list[i];
		else if (!stays(p->list[i], sorted, count))
			gone[gone_count++] = p->list[i];
	}
	if (n)
		qsort(list, n, sizeof(struct peer *), by_name);
	swap_list(p, TAKE(list), n);
	while (gone_count)
		let_go(gone[--gone_count]);
	p->changed(p->ctx);
	return ERR_OK;
}

enum err_code peers_put(struct peers *p, const struct peer_spec *spec, struct err *e)
{
	struct peer *old = find(p, spec->name), *fresh;

	if (old && old->source != PEER_SERVICE)
		return err_set(e, ERR_EXISTS, "peer '%.*s' is given twice", STR_FMT(spec->name));
	if (old && is_as_before(old, spec)) {
		old->told = spec->told;
		return ERR_OK;
	}
	if (!old && p->count == PEERS_MAX)
		return err_set(e, ERR_NOMEM, "more than %d peers", PEERS_MAX);
	struct peer **list = calloc(p->count + 1, sizeof(struct peer *));
	if (!list)
		return err_set(e, ERR_NOMEM, "peers");
	enum err_code code = peer_new(p, PEER_SERVICE, spec, &fresh, e);
	if (code != ERR_OK) {
		free(list);
		return code;
	}
	size_t at = place_of(p, spec->name), n = 0;
	for (size_t i = 0; i < at; i++)
		list[n++] = p->list[i];
	list[n++] = fresh;
	for (size_t i = at + (old != NULL); i < p->count; i++)
		list[n++] = p->list[i];
	swap_list(p, list, n);
	if (old)
		let_go(old);
	p->changed(p->ctx);
	return ERR_OK;
}

void peers_drop(struct peers *p, struct str name)
{
	struct peer *old = find(p, name);

	if (!old || old->source != PEER_SERVICE)
		return;
	struct peer **list = calloc(p->count + 1, sizeof(struct peer *));
	if (!list)
		return; /* it stays listed, and is unavailable when it is really gone */
	size_t n = 0;
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i] != old)
			list[n++] = p->list[i];
	swap_list(p, list, n);
	let_go(old);
	p->changed(p->ctx);
}

size_t peers_drop_untold(struct peers *p, uint64_t told)
{
	AUTO(own_free) struct peer **gone = calloc(p->count + 1, sizeof(struct peer *));
	struct peer **list = calloc(p->count + 1, sizeof(struct peer *));
	size_t n = 0, gone_count = 0;

	for (size_t i = 0; gone && list && i < p->count; i++) {
		if (p->list[i]->source == PEER_SERVICE && p->list[i]->told != told)
			gone[gone_count++] = p->list[i];
		else
			list[n++] = p->list[i];
	}
	if (!gone_count) { /* or no memory: they stay listed, as when one is dropped */
		free(list);
		return 0;
	}
	swap_list(p, list, n);
	for (size_t i = 0; i < gone_count; i++)
		let_go(gone[i]);
	p->changed(p->ctx);
	return gone_count;
}

uint64_t peers_generation(const struct peers *p)
{
	return atomic_load_explicit(&p->generation, memory_order_acquire);
}

enum err_code peers_snapshot(struct peers *p, struct peer_list *ret, struct err *e)
{
	enum err_code code = ERR_OK;

	pthread_mutex_lock(&p->mx);
	struct peer **peers = calloc(p->count + 1, sizeof(struct peer *));
	if (peers) {
		for (size_t i = 0; i < p->count; i++)
			peers[i] = peer_ref(p->list[i]);
		*ret = (struct peer_list){ peers, p->count, peers_generation(p) };
	} else {
		code = err_set(e, ERR_NOMEM, "peers");
	}
	pthread_mutex_unlock(&p->mx);
	return code;
}

void peer_list_done(struct peer_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		peer_unref(list->peers[i]);
	free(list->peers);
	*list = (struct peer_list){ 0 };
}
