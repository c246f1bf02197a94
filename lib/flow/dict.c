#include "flow/dict.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/buf.h"
#include "flow/dict_wire.h"
#include "flow/intern.h"

enum { ENTRIES_PER_CHUNK = 512, MAX_ENTRY_WIRE_BYTES = 16 << 20 };

/* Entries of one kind. An entry is complete before count says so (release), and before the index
 * names it. */
struct table {
	struct intern index; /* protobuf bytes, canonical and as they came, to ids */
	void **chunks;
	size_t entry_bytes, max; /* immutable */
	size_t aliases;          /* keys that are not canonical; guarded by put_mx */
	_Atomic uint32_t count;  /* highest id */
};

struct flow_dict {
	pthread_mutex_t put_mx; /* whoever writes; readers need none */
	struct table endpoints, services, nodes, reasons;
	struct arena arena;     /* all entries, keys and indices; guarded by put_mx */
	size_t max;             /* per kind; immutable */
	size_t named_endpoints; /* endpoints that are no overflow entries; guarded by put_mx */
	_Atomic uint64_t overflows, generation;
};

static bool table_init(struct table *t, size_t max, size_t entry_bytes, uint64_t seed,
		       struct arena *arena)
{
	max = max < INT32_MAX ? max : INT32_MAX;
	*t = (struct table){ .entry_bytes = entry_bytes, .max = max };
	t->chunks = calloc(max / ENTRIES_PER_CHUNK + 1, sizeof(void *));
	return t->chunks &&
	       intern_init(&t->index, max * 2, seed, arena); /* as many aliases as entries */
}

static void table_done(struct table *t)
{
	intern_done(&t->index);
	free(t->chunks);
}

static void table_reset(struct table *t)
{
	intern_reset(&t->index);
	memset(t->chunks, 0, (t->max / ENTRIES_PER_CHUNK + 1) * sizeof(void *));
	t->aliases = 0;
	atomic_store_explicit(&t->count, 0, memory_order_relaxed);
}

static const void *table_get(const struct table *t, uint32_t id)
{
	if (id - 1 >=
	    atomic_load_explicit(&t->count, memory_order_acquire)) /* 0 wraps: never there */
		return NULL;
	return (const char *)t->chunks[(id - 1) / ENTRIES_PER_CHUNK] +
	       (id - 1) % ENTRIES_PER_CHUNK * t->entry_bytes;
}

/* Adds an entry under its canonical @key, which lies in the arena. @return its id, 0: out of memory
 * or full. */
static uint32_t table_add(struct table *t, const void *entry, struct str key, struct arena *arena)
{
	uint32_t n = atomic_load_explicit(&t->count, memory_order_relaxed);
	if (n >= t->max || !intern_reserve(&t->index))
		return 0;
	void **chunk = &t->chunks[n / ENTRIES_PER_CHUNK];
	if (!*chunk)
		*chunk = arena_take(arena, ENTRIES_PER_CHUNK * t->entry_bytes);
	if (!*chunk)
		return 0;
	memcpy((char *)*chunk + n % ENTRIES_PER_CHUNK * t->entry_bytes, entry, t->entry_bytes);
	atomic_store_explicit(&t->count, n + 1, memory_order_release);
	intern_put(&t->index, key, n + 1);
	return n + 1;
}

static bool arena_copy(struct arena *arena, struct str s, struct str *ret)
{
	char *p = arena_take(arena, s.len);
	if (!p)
		return false;
	if (s.len)
		memcpy(p, s.p, s.len);
	*ret = str_n(p, s.len);
	return true;
}

/* Remembers that @wire, as it came, means @id. Skipped when there are enough of these: it only
 * costs time. */
static void table_alias(struct table *t, struct str wire, uint32_t id, struct arena *arena)
{
	uint32_t known;
	struct str key;

	if (!id || t->aliases >= t->max || intern_get(&t->index, wire, &known) ||
	    !arena_copy(arena, wire, &key) || !intern_reserve(&t->index))
		return;
	intern_put(&t->index, key, id);
	t->aliases++;
}

enum err_code flow_dict_new(size_t max, struct flow_dict **ret, struct err *e)
{
	if (!max)
		return err_set(e, ERR_INVALID, "a dictionary of no entries");
	uint64_t seed;
	if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
		return err_os(e, "seed for the dictionary");
	AUTO(flow_dict_free) struct flow_dict *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(e, ERR_NOMEM, "new dictionary");
	(void)pthread_mutex_init(&d->put_mx,
				 NULL); /* cannot fail with default attributes on Linux */
	d->max = max;
	if (!table_init(&d->endpoints, max + max / 4 + 1, sizeof(struct endpoint), seed,
			&d->arena) ||
	    !table_init(&d->services, max, sizeof(struct service), seed, &d->arena) ||
	    !table_init(&d->nodes, max, sizeof(struct node), seed, &d->arena) ||
	    !table_init(&d->reasons, FLOW_DICT_MAX_KERNEL_REASONS, sizeof(struct str), seed,
			&d->arena))
		return err_set(e, ERR_NOMEM, "new dictionary of %zu entries", max);
	*ret = TAKE(d);
	return ERR_OK;
}

void flow_dict_free(struct flow_dict *d)
{
	if (!d)
		return;
	table_done(&d->endpoints);
	table_done(&d->services);
	table_done(&d->nodes);
	table_done(&d->reasons);
	arena_reset(&d->arena);
	(void)pthread_mutex_destroy(&d->put_mx);
	free(d);
}

void flow_dict_reset(struct flow_dict *d)
{
	table_reset(&d->endpoints);
	table_reset(&d->services);
	table_reset(&d->nodes);
	table_reset(&d->reasons);
	arena_reset(&d->arena);
	d->named_endpoints = 0;
	atomic_fetch_add_explicit(&d->generation, 1, memory_order_relaxed);
}

uint64_t flow_dict_generation(const struct flow_dict *d)
{
	return atomic_load_explicit(&d->generation, memory_order_relaxed);
}

struct flow_dict_counts flow_dict_counts(const struct flow_dict *d)
{
	return (struct flow_dict_counts){
		.endpoints = atomic_load_explicit(&d->endpoints.count, memory_order_relaxed),
		.services = atomic_load_explicit(&d->services.count, memory_order_relaxed),
		.nodes = atomic_load_explicit(&d->nodes.count, memory_order_relaxed),
		.kernel_reasons = atomic_load_explicit(&d->reasons.count, memory_order_relaxed),
		.overflows = atomic_load_explicit(&d->overflows, memory_order_relaxed),
		.bytes = atomic_load_explicit(&d->arena.bytes, memory_order_relaxed),
	};
}

static bool is_half_full(const struct table *t, size_t max)
{
	return atomic_load_explicit(&t->count, memory_order_relaxed) > max / 2;
}

bool flow_dict_is_half_full(const struct flow_dict *d)
{
	return is_half_full(&d->endpoints, d->max) || is_half_full(&d->services, d->max) ||
	       is_half_full(&d->nodes, d->max) ||
	       is_half_full(&d->reasons, FLOW_DICT_MAX_KERNEL_REASONS);
}

static void count_overflow(struct flow_dict *d)
{
	atomic_fetch_add_explicit(&d->overflows, 1, memory_order_relaxed);
}

/* --- one kind each; the content is canonical and not there yet, put_mx is held --- */

static uint32_t add_endpoint(struct flow_dict *d, struct str wire)
{
	struct endpoint ep;
	struct str own;

	if (!arena_copy(&d->arena, wire, &own) || !endpoint_parse(own, &d->arena, &ep))
		return 0;
	return table_add(&d->endpoints, &ep, own, &d->arena);
}

static uint32_t endpoint_overflow(struct flow_dict *d, uint32_t identity)
{
	const struct str label = STR(FLOW_DICT_OVERFLOW_LABEL);
	uint32_t id = 0;
	char space[64];

	count_overflow(d);
	/* the last place is for the entry without identity */
	uint32_t count = atomic_load_explicit(&d->endpoints.count, memory_order_relaxed);
	for (int i = 0; i < 2 && !id; i++) {
		struct endpoint ep = { .identity = i ? 0 : identity,
				       .labels = &label,
				       .label_count = 1 };
		struct buf b = buf_fixed(space, sizeof space);
		endpoint_put(&b, &ep);
		if (!intern_get(&d->endpoints.index, buf_str(&b), &id) &&
		    (!ep.identity || count + 1 < d->endpoints.max))
			id = add_endpoint(d, buf_str(&b));
	}
	return id;
}

static uint32_t new_endpoint(struct flow_dict *d, struct str wire, uint32_t identity)
{
	if (d->named_endpoints >= d->max)
		return endpoint_overflow(d, identity);
	uint32_t id = add_endpoint(d, wire);
	if (!id)
		return endpoint_overflow(d, identity);
	d->named_endpoints++;
	return id;
}

static uint32_t new_service(struct flow_dict *d, struct str wire)
{
	struct service s;
	struct str own;
	uint32_t id = 0;

	if (arena_copy(&d->arena, wire, &own) && service_parse(own, &s))
		id = table_add(&d->services, &s, own, &d->arena);
	if (!id)
		count_overflow(d);
	return id;
}

static uint32_t new_node(struct flow_dict *d, struct str wire)
{
	struct node n;
	struct str own;
	uint32_t id = 0;

	if (arena_copy(&d->arena, wire, &own) && node_parse(own, &d->arena, &n))
		id = table_add(&d->nodes, &n, own, &d->arena);
	if (!id)
		count_overflow(d);
	return id;
}

/* --- content in, id out --- */

/* The canonical bytes of most entries fit into @fixed_bytes; others get a growing buffer. */
#define ENCODE(put, in, fixed_bytes, b)                                                            \
	char space_[fixed_bytes];                                                                  \
	AUTO_BUF struct buf b = buf_fixed(space_, sizeof space_);                                  \
	put(&b, in);                                                                               \
	if (b.failed) {                                                                            \
		b = buf_init(MAX_ENTRY_WIRE_BYTES);                                                \
		put(&b, in);                                                                       \
	}

struct endpoint_id flow_dict_endpoint(struct flow_dict *d, const struct endpoint *in)
{
	uint32_t id = 0;
	ENCODE(endpoint_put, in, 2048, b);

	if (b.failed)
		count_overflow(d);
	if (b.failed || intern_get(&d->endpoints.index, buf_str(&b), &id))
		return (struct endpoint_id){ id };
	(void)pthread_mutex_lock(&d->put_mx);
	if (!intern_get(&d->endpoints.index, buf_str(&b), &id))
		id = new_endpoint(d, buf_str(&b), in->identity);
	(void)pthread_mutex_unlock(&d->put_mx);
	return (struct endpoint_id){ id };
}

struct service_id flow_dict_service(struct flow_dict *d, const struct service *in)
{
	uint32_t id = 0;
	ENCODE(service_put, in, 1024, b);

	if (b.failed)
		count_overflow(d);
	if (b.failed || intern_get(&d->services.index, buf_str(&b), &id))
		return (struct service_id){ id };
	(void)pthread_mutex_lock(&d->put_mx);
	if (!intern_get(&d->services.index, buf_str(&b), &id))
		id = new_service(d, buf_str(&b));
	(void)pthread_mutex_unlock(&d->put_mx);
	return (struct service_id){ id };
}

struct node_id flow_dict_node(struct flow_dict *d, const struct node *in)
{
	uint32_t id = 0;
	ENCODE(node_put, in, 2048, b);

	if (b.failed)
		count_overflow(d);
	if (b.failed || intern_get(&d->nodes.index, buf_str(&b), &id))
		return (struct node_id){ id };
	(void)pthread_mutex_lock(&d->put_mx);
	if (!intern_get(&d->nodes.index, buf_str(&b), &id))
		id = new_node(d, buf_str(&b));
	(void)pthread_mutex_unlock(&d->put_mx);
	return (struct node_id){ id };
}

/* Bytes that are seen for the first time: what they say is interned, then they become another key
 * for it. */
static void alias(struct flow_dict *d, struct table *t, struct str wire, uint32_t id)
{
	(void)pthread_mutex_lock(&d->put_mx);
	table_alias(t, wire, id, &d->arena);
	(void)pthread_mutex_unlock(&d->put_mx);
}

struct endpoint_id flow_dict_endpoint_wire(struct flow_dict *d, struct str wire)
{
	struct endpoint_id id = { 0 };
	struct endpoint ep;
	struct arena scratch = { 0 };

	if (intern_get(&d->endpoints.index, wire, &id.v))
		return id;
	if (endpoint_parse(wire, &scratch, &ep)) {
		uint64_t overflows = atomic_load_explicit(&d->overflows, memory_order_relaxed);
		id = flow_dict_endpoint(d, &ep);
		/* an overflow is not remembered: it is to be counted each time */
		if (overflows == atomic_load_explicit(&d->overflows, memory_order_relaxed))
			alias(d, &d->endpoints, wire, id.v);
	}
	arena_reset(&scratch);
	return id;
}

struct service_id flow_dict_service_wire(struct flow_dict *d, struct str wire)
{
	struct service_id id = { 0 };
	struct service s;

	if (intern_get(&d->services.index, wire, &id.v) || !service_parse(wire, &s))
		return id;
	id = flow_dict_service(d, &s);
	alias(d, &d->services, wire, id.v);
	return id;
}

struct node_id flow_dict_node_wire(struct flow_dict *d, struct str wire)
{
	struct node_id id = { 0 };
	struct node n;
	struct arena scratch = { 0 };

	if (intern_get(&d->nodes.index, wire, &id.v))
		return id;
	if (node_parse(wire, &scratch, &n)) {
		id = flow_dict_node(d, &n);
		alias(d, &d->nodes, wire, id.v);
	}
	arena_reset(&scratch);
	return id;
}

uint16_t flow_dict_kernel_reason(struct flow_dict *d, struct str name)
{
	char text[256]; /* the kernel's names are far shorter */
	struct str s = str_n(text, utf8_sanitize(name, text, sizeof text)), own;
	uint32_t id = 0;

	if (!s.len || intern_get(&d->reasons.index, s, &id))
		return (uint16_t)id;
	(void)pthread_mutex_lock(&d->put_mx);
	if (!intern_get(&d->reasons.index, s, &id)) {
		if (arena_copy(&d->arena, s, &own))
			id = table_add(&d->reasons, &own, own, &d->arena);
		if (!id)
			count_overflow(d);
	}
	(void)pthread_mutex_unlock(&d->put_mx);
	return (uint16_t)id;
}

/* --- id in, entry out --- */

const struct endpoint *flow_dict_get_endpoint(const struct flow_dict *d, struct endpoint_id id)
{
	return table_get(&d->endpoints, id.v);
}

const struct service *flow_dict_get_service(const struct flow_dict *d, struct service_id id)
{
	return table_get(&d->services, id.v);
}

const struct node *flow_dict_get_node(const struct flow_dict *d, struct node_id id)
{
	return table_get(&d->nodes, id.v);
}

struct str flow_dict_get_kernel_reason(const struct flow_dict *d, uint16_t id)
{
	const struct str *s = table_get(&d->reasons, id);

	return s ? *s : (struct str){ "", 0 };
}
