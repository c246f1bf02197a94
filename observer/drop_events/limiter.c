#include "observer/drop_events/limiter.h"

enum { BUCKETS = 2048 };

struct drop_limiter {
	uint64_t interval_ns, seed;
	/* a token is worth cost_ns of time; 0: no limit */
	uint64_t cost_ns, saved_ns;
	struct mono_ns filled;
	uint64_t last_number;
	struct drop_note *buckets[BUCKETS];
	struct drop_note *newest, *oldest; /* told */
	struct drop_note *first, *last;    /* waiting */
	size_t notes, waiting;
};

enum err_code drop_limiter_new(const struct drop_limiter_config *config, struct drop_limiter **ret,
			       struct err *e)
{
	struct drop_limiter *l = calloc(1, sizeof *l);

	if (!l)
		return err_set(e, ERR_NOMEM, "limits of drop events");
	l->interval_ns = config->interval_ns;
	l->seed = config->seed;
	l->cost_ns = config->rate ? NS_PER_S / config->rate : 0;
	l->saved_ns = NS_PER_S;
	l->last_number = config->number;
	*ret = l;
	return ERR_OK;
}

void drop_limiter_free(struct drop_limiter *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct drop_note *next, *n = l->buckets[i]; n; n = next) {
			next = n->next;
			free(n);
		}
	free(l);
}

/* ---- notes */

static uint64_t hash_of(const struct drop_limiter *l, const struct drop_what *w)
{
	uint64_t h = hash_bytes(w->namespace_.p, w->namespace_.len, l->seed);

	h = hash_bytes(w->pod.p, w->pod.len, h);
	h = hash_bytes(w->uid.p, w->uid.len, h);
	return hash_bytes(w->message.p, w->message.len, h);
}

static bool is_same(const struct drop_what *a, const struct drop_what *b)
{
	return str_eq(a->message, b->message) && str_eq(a->uid, b->uid) && str_eq(a->pod, b->pod) &&
	       str_eq(a->namespace_, b->namespace_);
}

static struct drop_note **place_of(struct drop_limiter *l, const struct drop_what *what,
				   uint64_t hash)
{
	struct drop_note **at = &l->buckets[hash % BUCKETS];

	while (*at && !((*at)->hash == hash && is_same(&(*at)->what, what)))
		at = &(*at)->next;
	return at;
}

static struct str put_text(char **at, struct str s)
{
	struct str copy = str_n(*at, s.len);

	if (s.len)
		memcpy(*at, s.p, s.len);
	*at += s.len;
	return copy;
}

static struct drop_note *note_new(const struct drop_what *w, uint64_t hash)
{
	size_t bytes = w->namespace_.len + w->pod.len + w->uid.len + w->message.len;
	struct drop_note *n = calloc(1, sizeof *n + bytes);
	char *at = (char *)(n + 1);

	if (!n)
		return NULL;
	n->hash = hash;
	n->what.namespace_ = put_text(&at, w->namespace_);
	n->what.pod = put_text(&at, w->pod);
	n->what.uid = put_text(&at, w->uid);
	n->what.message = put_text(&at, w->message);
	return n;
}

/* Out of those that were told. */
static void unlink_told(struct drop_limiter *l, struct drop_note *n)
{
	*(n->newer ? &n->newer->older : &l->newest) = n->older;
	*(n->older ? &n->older->newer : &l->oldest) = n->newer;
	n->newer = n->older = NULL;
}

static void link_told(struct drop_limiter *l, struct drop_note *n)
{
	n->older = l->newest;
	*(l->newest ? &l->newest->newer : &l->oldest) = n;
	l->newest = n;
}

/* In no list any more. */
static void forget(struct drop_limiter *l, struct drop_note *n)
{
	*place_of(l, &n->what, n->hash) = n->next;
	l->notes--;
	free(n);
}

/* ---- the queue */

static void enqueue(struct drop_limiter *l, struct drop_note *n)
{
	n->is_waiting = true;
	n->tries = 0;
	n->behind = NULL;
	*(l->last ? &l->last->behind : &l->first) = n;
	l->last = n;
	l->waiting++;
}

static struct drop_note *dequeue(struct drop_limiter *l)
{
	struct drop_note *n = l->first;

	l->first = n->behind;
	l->last = l->first ? l->last : NULL;
	n->is_waiting = false;
	l->waiting--;
	return n;
}

struct drop_note *drop_limiter_next(const struct drop_limiter *l)
{
	return l->first;
}

void drop_limiter_told(struct drop_limiter *l)
{
	link_told(l, dequeue(l));
}

void drop_limiter_failed(struct drop_limiter *l)
{
	forget(l, dequeue(l));
}

/* ---- drops */

static bool has_token(struct drop_limiter *l, struct mono_ns now)
{
	uint64_t since = now.v > l->filled.v ? now.v - l->filled.v : 0;

	if (!l->cost_ns)
		return true;
	l->saved_ns = since < NS_PER_S - l->saved_ns ? l->saved_ns + since : NS_PER_S;
	l->filled = now;
	if (l->saved_ns < l->cost_ns)
		return false;
	l->saved_ns -= l->cost_ns;
	return true;
}

static void count(struct drop_note *n, struct wall_ns when)
{
	if (!n->count || when.v < n->first.v)
		n->first = when;
	if (when.v > n->last.v)
		n->last = when;
	n->count++;
}

/* In place of the one that was told longest ago, if there are too many. */
static struct drop_note *add(struct drop_limiter *l, const struct drop_what *what, uint64_t hash)
{
	struct drop_note *n = note_new(what, hash), *old = l->oldest;

	if (!n)
		return NULL;
	if (l->notes == DROP_NOTES_MAX) {
		unlink_told(l, old); /* there is one: fewer may wait */
		forget(l, old);
	}
	_Static_assert(DROP_WAITING_MAX < DROP_NOTES_MAX, "a queue that may hold all notes");
	n->number = ++l->last_number;
	n->next = l->buckets[hash % BUCKETS];
	l->buckets[hash % BUCKETS] = n;
	l->notes++;
	return n;
}

enum drop_limit drop_limiter_take(struct drop_limiter *l, const struct drop_what *what,
				  struct wall_ns when, struct mono_ns now)
{
	uint64_t hash = hash_of(l, what);
	struct drop_note *n = *place_of(l, what, hash);

	if (n)
		count(n, when);
	if (n && (n->is_waiting || now.v - n->told.v < l->interval_ns))
		return DROP_REPEATED;
	if (l->waiting == DROP_WAITING_MAX)
		return DROP_FULL;
	if (!has_token(l, now))
		return DROP_RATE;
	if (n) {
		unlink_told(l, n);
	} else {
		n = add(l, what, hash);
		if (!n)
			return DROP_FULL;
		count(n, when);
	}
	n->told = now;
	enqueue(l, n);
	return DROP_TELL;
}

size_t drop_limiter_waiting(const struct drop_limiter *l)
{
	return l->waiting;
}

size_t drop_limiter_notes(const struct drop_limiter *l)
{
	return l->notes;
}
