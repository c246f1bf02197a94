#include "observer/log/log.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/pages.h"

/*
 * How readers and the writer share memory without locks and without data races
 *
 * Record n lives in slot n mod (capacity + 1); its ext in the byte ring, at a position that only
 * grows and is taken modulo the ring's size. Both are arrays of atomic words. The writer, for
 * record n:
 *
 *	1. if the ext needs room: `evicted` = first record whose ext stays whole   (release)
 *	2. the words of the ext, then of the record                                (release each)
 *	3. `next` = n + 1                                                          (release)
 *
 * A reader of record s copies words (acquire each) and then looks whether s is still in
 * [oldest, next), where oldest is the larger of `evicted` and next - capacity.
 *
 *  - It copied record s and nothing older: it had seen next > s by an acquire load, which pairs
 *    with 3.
 *  - It copied nothing newer: suppose one of the words it copied had been written for a later
 *    record n that replaced s (or s's ext). That acquire load pairs with the release store of the
 *    word, so all that the writer did before is visible to the reader's following loads: `next` is
 *    at least n, hence for the slot, n = s + capacity + 1, the oldest is at least n - capacity =
 *    s + 1; or, for the ext, `evicted` > s. Either way the check fails and the copy is thrown away.
 *
 * Fences would do with less on machines where acquire loads cost something, but the thread
 * sanitizer does not understand fences. On x86-64 all these are plain moves.
 */

enum {
	CACHE_LINE = 64,
	FLOW_WORDS = sizeof(struct flow) / sizeof(uint64_t),
	EXT_WORD = offsetof(struct flow, ext) / sizeof(uint64_t),
	CAPACITY_BITS_MAX = 26,
	EXT_BYTES_MIN = 256,
	EXT_BYTES_DEFAULT_MIN = 1 << 20,
	EXT_BYTES_A_RECORD = 256,
	EXT_AHEAD = 4096, /* bytes that memory is asked for before they are read */
	SNATCHES = 32, /* attempts of one read to get hold of a record from under a fast writer */
};
#define EXT_BYTES_MAX (UINT64_C(1) << 36)

_Static_assert(sizeof(struct flow) % sizeof(uint64_t) == 0, "records are copied as whole words");
_Static_assert(offsetof(struct flow, seq) == 0 && EXT_WORD == FLOW_WORDS - 1,
	       "put writes the first and the last word itself");
_Static_assert(sizeof(const uint8_t *) == sizeof(uint64_t),
	       "a slot holds a position where a record has a pointer");

typedef _Atomic uint64_t word;

struct slot {
	word words[FLOW_WORDS]; /* a struct flow; in place of ext its position in the byte ring */
};

/* Set for no number and no position: it rings at neither. */
static const uint64_t never = UINT64_MAX;

struct flow_log_bell {
	struct flow_log *log;
	int fd;
	word at, ext_at; /* rings when that number is put, or text up to that position */
};

struct flow_log {
	/* immutable after construction */
	alignas(CACHE_LINE) struct slot *slots;
	word *ext;
	uint64_t mask;      /* slots - 1, which is the capacity */
	uint64_t ext_size;  /* bytes, a power of two */
	uint64_t ext_limit; /* largest ext that is kept */
	uint64_t first_seq;

	/* the writer's own */
	alignas(CACHE_LINE) word ext_head; /* position after the newest ext, multiple of a word */
	uint64_t oldest;                   /* as readers see it, for eviction */
	/* no higher than those of any bell; lowered by readers, some times a second */
	word bell_at, bell_ext_at;

	/* written by the writer, read by all */
	alignas(CACHE_LINE) word next;
	word evicted; /* records below are gone because the byte ring needed their room */
	word seen_flows, cut;

	struct flow_log_bell bells[FLOW_LOG_BELLS];
	_Atomic unsigned bell_count; /* those before are there */
};

static uint64_t power_of_two_from(uint64_t n)
{
	return n <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(n - 1));
}

static enum err_code check_capacity(uint64_t capacity, struct err *e)
{
	uint64_t max = (UINT64_C(1) << CAPACITY_BITS_MAX) - 1;

	if (capacity < 1 || capacity > max)
		return err_set(e, ERR_INVALID, "a log of %llu flows: from 1 to %llu will do",
			       (unsigned long long)capacity, (unsigned long long)max);
	uint64_t above = power_of_two_from(capacity + 1) - 1;
	if (above != capacity)
		return err_set(e, ERR_INVALID,
			       "a log of %llu flows: one less than a power of two is needed, like "
			       "%llu or %llu",
			       (unsigned long long)capacity, (unsigned long long)(above / 2),
			       (unsigned long long)above);
	return ERR_OK;
}

enum err_code flow_log_new(const struct flow_log_config *config, struct flow_log **ret,
			   struct err *e)
{
	if (check_capacity(config->capacity, e) != ERR_OK)
		return e ? e->code : ERR_INVALID;
	if (!config->first_seq || config->ext_bytes > EXT_BYTES_MAX)
		return err_set(e, ERR_INVALID, "a log that starts at %llu with %zu bytes of text",
			       (unsigned long long)config->first_seq, config->ext_bytes);
	uint64_t ext_size = config->ext_bytes;
	if (!ext_size) {
		ext_size = (uint64_t)config->capacity * EXT_BYTES_A_RECORD;
		ext_size = ext_size > EXT_BYTES_DEFAULT_MIN ? ext_size : EXT_BYTES_DEFAULT_MIN;
	}
	ext_size = power_of_two_from(ext_size > EXT_BYTES_MIN ? ext_size : EXT_BYTES_MIN);

	AUTO(flow_log_free) struct flow_log *log = aligned_alloc(CACHE_LINE, sizeof *log);
	if (!log)
		return err_set(e, ERR_NOMEM, "flow log");
	*log = (struct flow_log){
		.mask = config->capacity,
		.ext_size = ext_size,
		.ext_limit = ext_size / 4,
		.first_seq = config->first_seq,
		.oldest = config->first_seq,
	};
	atomic_init(&log->bell_at, never);
	atomic_init(&log->bell_ext_at, never);
	atomic_init(&log->next, config->first_seq);
	atomic_init(&log->evicted, config->first_seq);
	/* a log that is not full yet does not cost its full size */
	log->slots = pages_new(config->capacity + 1, sizeof *log->slots);
	log->ext = pages_new(ext_size / sizeof(word), sizeof(word));
	if (!log->slots || !log->ext)
		return err_set(e, ERR_NOMEM, "a log of %zu flows and %llu bytes of text",
			       config->capacity, (unsigned long long)ext_size);
	*ret = TAKE(log);
	return ERR_OK;
}

void flow_log_free(struct flow_log *log)
{
	if (!log)
		return;
	pages_free(log->slots, log->mask + 1, sizeof *log->slots);
	pages_free(log->ext, log->ext_size / sizeof(word), sizeof(word));
	for (unsigned i = 0; i < log->bell_count; i++)
		(void)close(log->bells[i].fd);
	free(log);
}

/* --- bells -------------------------------------------------------------------------------- */

/*
 * The writer compares with the lowest mark of all bells and looks at the bells only there. A reader
 * writes its bell's mark and then lowers that one; the writer takes that one away and then looks at
 * the bells: in one order of all four (seq_cst), whoever comes second knows of the first.
 */

static void lower(word *mark, uint64_t to)
{
	uint64_t now = atomic_load_explicit(mark, memory_order_seq_cst);

	while (to < now && !atomic_compare_exchange_weak_explicit(
				   mark, &now, to, memory_order_seq_cst, memory_order_seq_cst))
		;
}

/* Writer thread, which has put record @n: rings what is due. Apart from put, which seldom needs it.
 */
static __attribute__((noinline, cold)) void ring(struct flow_log *log, uint64_t n)
{
	unsigned count = atomic_load_explicit(&log->bell_count, memory_order_acquire);
	uint64_t head = atomic_load_explicit(&log->ext_head, memory_order_relaxed), one = 1;

	(void)atomic_exchange_explicit(&log->bell_at, never, memory_order_seq_cst);
	(void)atomic_exchange_explicit(&log->bell_ext_at, never, memory_order_seq_cst);
	for (unsigned i = 0; i < count; i++) {
		struct flow_log_bell *bell = &log->bells[i];
		uint64_t at = atomic_load_explicit(&bell->at, memory_order_seq_cst);
		uint64_t ext_at = atomic_load_explicit(&bell->ext_at, memory_order_relaxed);

		if (at == never)
			continue;
		if (at > n && ext_at > head) {
			lower(&log->bell_at, at);
			lower(&log->bell_ext_at, ext_at);
		} else if (atomic_compare_exchange_strong_explicit(&bell->at, &at, never,
								   memory_order_seq_cst,
								   memory_order_relaxed)) {
			(void)!write(bell->fd, &one, sizeof one); /* is never full at 1 */
		} /* else it is just being set anew: its reader is awake */
	}
}

enum err_code flow_log_bell_new(struct flow_log *log, struct flow_log_bell **ret, struct err *e)
{
	unsigned i = atomic_load_explicit(&log->bell_count, memory_order_relaxed);

	if (i == FLOW_LOG_BELLS)
		return err_set(e, ERR_NOMEM, "more than %d bells of the log", FLOW_LOG_BELLS);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return err_os(e, "bell of the log");
	struct flow_log_bell *bell = &log->bells[i];
	bell->log = log;
	bell->fd = fd;
	atomic_init(&bell->at, never);
	atomic_init(&bell->ext_at, never);
	atomic_store_explicit(&log->bell_count, i + 1, memory_order_release);
	*ret = bell;
	return ERR_OK;
}

int flow_log_bell_fd(const struct flow_log_bell *bell)
{
	return bell->fd;
}

void flow_log_bell_set(struct flow_log_bell *bell)
{
	struct flow_log *log = bell->log;
	uint64_t at = atomic_load_explicit(&log->next, memory_order_relaxed) + log->mask / 4;
	uint64_t ext_at =
		atomic_load_explicit(&log->ext_head, memory_order_relaxed) + log->ext_size / 4;

	atomic_store_explicit(&bell->ext_at, ext_at, memory_order_relaxed);
	atomic_store_explicit(&bell->at, at, memory_order_seq_cst);
	lower(&log->bell_at, at);
	lower(&log->bell_ext_at, ext_at);
}

void flow_log_bell_hear(struct flow_log_bell *bell)
{
	uint64_t times;

	(void)!read(bell->fd, &times, sizeof times);
}

/* --- writer ------------------------------------------------------------------------------- */

static void put_word(word *to, uint64_t v)
{
	atomic_store_explicit(to, v, memory_order_release);
}

/* One writer: no read-modify-write is needed. */
static void count_one(word *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* Gives up the oldest records until the byte ring has room up to position @end. */
static void evict(struct flow_log *log, uint64_t n, uint64_t end)
{
	uint64_t oldest = log->oldest;

	while (oldest < n && atomic_load_explicit(&log->slots[oldest & log->mask].words[EXT_WORD],
						  memory_order_relaxed) +
					     log->ext_size <
				     end)
		oldest++;
	if (oldest == log->oldest)
		return;
	log->oldest = oldest;
	atomic_store_explicit(&log->evicted, oldest, memory_order_release);
}

static void put_ext(struct flow_log *log, const uint8_t *p, size_t len)
{
	uint64_t at = atomic_load_explicit(&log->ext_head, memory_order_relaxed) / sizeof(word),
		 mask = log->ext_size / sizeof(word) - 1;

	for (; len >= sizeof(uint64_t); len -= sizeof(uint64_t), p += sizeof(uint64_t)) {
		uint64_t v;
		memcpy(&v, p, sizeof v);
		put_word(&log->ext[at++ & mask], v);
	}
	if (len) {
		uint64_t v = 0;
		memcpy(&v, p, len);
		put_word(&log->ext[at++ & mask], v);
	}
	atomic_store_explicit(&log->ext_head, at * sizeof(word), memory_order_relaxed);
}

/* What readers do not know how to skip must not stay half: the text goes, the numbers stay. */
static uint64_t put_without_ext(struct flow_log *log, const struct flow *f)
{
	struct flow cut = *f;

	flow_drop_ext(&cut);
	count_one(&log->cut);
	return flow_log_put(log, &cut);
}

uint64_t flow_log_put(struct flow_log *log, const struct flow *f)
{
	uint64_t n = atomic_load_explicit(&log->next, memory_order_relaxed); /* ours to write */
	struct slot *slot = &log->slots[n & log->mask];
	uint64_t ext_at = atomic_load_explicit(&log->ext_head, memory_order_relaxed);

	if (n - log->oldest > log->mask)
		log->oldest = n - log->mask; /* what `next` says implies it */
	if (f->ext_len > log->ext_limit)
		return put_without_ext(log, f);
	if (f->ext_len) {
		evict(log, n, ext_at + ((f->ext_len + 7u) & ~UINT64_C(7)));
		put_ext(log, f->ext, f->ext_len);
	}
	/* -fno-strict-aliasing: a record is read as the words it is made of */
	const uint64_t *from = (const uint64_t *)(const void *)f;
	put_word(&slot->words[0], n);
#pragma GCC unroll 32 /* a third of the instructions */
	for (size_t i = 1; i < EXT_WORD; i++)
		put_word(&slot->words[i], from[i]);
	put_word(&slot->words[EXT_WORD], ext_at);
	if (f->kind == FLOW_KIND_FLOW)
		count_one(&log->seen_flows);
	atomic_store_explicit(&log->next, n + 1, memory_order_release);
	if (n >= atomic_load_explicit(&log->bell_at, memory_order_relaxed) ||
	    atomic_load_explicit(&log->ext_head, memory_order_relaxed) >=
		    atomic_load_explicit(&log->bell_ext_at, memory_order_relaxed))
		ring(log, n);

	/* The slots are walked in order, but two rings and a busy thread hide that from the
	 * hardware. */
	const char *ahead = (const char *)&log->slots[(n + 2) & log->mask];
	for (size_t i = 0; i < sizeof(struct slot); i += CACHE_LINE)
		__builtin_prefetch(ahead + i, 1);
	return n;
}

/* --- readers ------------------------------------------------------------------------------ */

uint64_t flow_log_first(const struct flow_log *log)
{
	return log->first_seq;
}

struct flow_log_range flow_log_range(const struct flow_log *log)
{
	/* In this order, so that evicted <= next even if the writer is at work in between. */
	uint64_t evicted = atomic_load_explicit(&log->evicted, memory_order_acquire);
	uint64_t next = atomic_load_explicit(&log->next, memory_order_acquire);
	uint64_t oldest = next - log->first_seq > log->mask ? next - log->mask : log->first_seq;

	return (struct flow_log_range){ oldest > evicted ? oldest : evicted, next };
}

static bool is_held(const struct flow_log *log, uint64_t n)
{
	return n >= flow_log_range(log).oldest;
}

static void copy_words(const word *from, uint8_t *to, size_t n)
{
#pragma GCC unroll 8
	for (size_t i = 0; i < n; i++) {
		uint64_t v = atomic_load_explicit(&from[i], memory_order_acquire);
		memcpy(to + i * sizeof v, &v, sizeof v);
	}
}

/* While one ext is copied, memory is asked for those some records on, which lie behind it. Not by
 * who has caught up with the writer: what that is about to write stays its own. */
static void ask_ahead(const struct flow_log *log, uint64_t n, uint64_t at, size_t len)
{
	uint64_t next = atomic_load_explicit(&log->next, memory_order_relaxed);

	if (next - n <= EXT_AHEAD / sizeof(word))
		return;
	for (size_t i = 0; i < len; i += CACHE_LINE)
		__builtin_prefetch(
			&log->ext[((at + EXT_AHEAD + i) & (log->ext_size - 1)) / sizeof(word)]);
}

/* Of the ext that begins at the position @at. */
static void copy_ext(const struct flow_log *log, uint64_t at, uint8_t *to, size_t len)
{
	uint64_t mask = log->ext_size / sizeof(word) - 1, first = at / sizeof(word) & mask;
	size_t words = len / sizeof(word), till_end = mask + 1 - first,
	       here = words < till_end ? words : till_end;

	copy_words(&log->ext[first], to, here);
	copy_words(log->ext, to + here * sizeof(word), words - here);
	size_t rest = len % sizeof(word);
	if (rest) {
		uint64_t v = atomic_load_explicit(&log->ext[(first + words) & mask],
						  memory_order_acquire);
		memcpy(to + words * sizeof v, &v, rest);
	}
}

/* Copies record @n to @out and its ext to @ext, where @room bytes are left; unless it is COPIED,
 * both may have been written to. */
enum copied { COPIED, NO_ROOM, OVERTAKEN };
static enum copied copy_record(const struct flow_log *log, uint64_t n, struct flow *out,
			       uint8_t *ext, size_t room)
{
	const struct slot *slot = &log->slots[n & log->mask];
	uint64_t *words = (uint64_t *)(void *)out; /* -fno-strict-aliasing */

#pragma GCC unroll 32
	for (size_t i = 0; i < FLOW_WORDS; i++)
		words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
	if (!is_held(log, n))
		return OVERTAKEN; /* before the length below is believed */
	uint64_t at = words[EXT_WORD];
	out->ext = NULL;
	if (!out->ext_len)
		return COPIED;
	if (out->ext_len > room)
		return NO_ROOM;
	out->ext = ext;
	ask_ahead(log, n, at, out->ext_len);
	copy_ext(log, at, ext, out->ext_len);
	return is_held(log, n) ? COPIED : OVERTAKEN;
}

/* Where a reader goes on that was overtaken for the @snatch-th time in a row: at first to the
 * oldest record; a writer that takes even that one away leaves the reader no choice but to give up
 * more. */
static uint64_t resume_at(struct flow_log_range r, unsigned snatch)
{
	if (!snatch)
		return r.oldest;
	uint64_t held = r.next - r.oldest;
	return r.next - (held >> (snatch < 63 ? snatch : 63));
}

size_t flow_log_read(const struct flow_log *log, uint64_t *cursor, uint64_t end,
		     struct flow_batch *batch, uint64_t *ret_lost)
{
	uint64_t at = *cursor > log->first_seq ? *cursor : log->first_seq, lost = 0;
	size_t ext_used = 0;
	enum copied copied = COPIED;

	batch->count = 0;
	for (unsigned snatch = 0; snatch < SNATCHES; snatch++) {
		struct flow_log_range r = flow_log_range(log);
		uint64_t stop = end < r.next ? end : r.next;
		uint64_t from = resume_at(r, snatch);
		from = from < end ? from : end;
		if (at < from) {
			lost += from - at;
			at = from;
		}
		while (at < stop && batch->count < batch->max) {
			copied = copy_record(log, at, &batch->flows[batch->count],
					     batch->ext + ext_used, batch->ext_max - ext_used);
			if (copied != COPIED)
				break;
			ext_used += batch->flows[batch->count].ext_len;
			batch->count++;
			at++;
		}
		/* Overtaken in the middle: the loss is told by the next read, so that it lies
		 * before its batch. */
		if (copied != OVERTAKEN || batch->count)
			break;
		copied = COPIED;
	}
	*cursor = at;
	*ret_lost = lost;
	return batch->count;
}

enum err_code flow_batch_new(const struct flow_log *log, size_t max, struct flow_batch **ret,
			     struct err *e)
{
	if (!max)
		return err_set(e, ERR_INVALID, "a batch of no flows");
	AUTO(flow_batch_free) struct flow_batch *b = calloc(1, sizeof *b);
	if (!b)
		return err_set(e, ERR_NOMEM, "batch of %zu flows", max);
	b->max = max;
	/* usually a small part of both is touched */
	b->flows = pages_new(max, sizeof *b->flows);
	b->ext_max = log->ext_limit;
	if (b->ext_max < max * EXT_BYTES_A_RECORD)
		b->ext_max = max * EXT_BYTES_A_RECORD;
	b->ext = pages_new(1, b->ext_max);
	if (!b->flows || !b->ext)
		return err_set(e, ERR_NOMEM, "batch of %zu flows", max);
	*ret = TAKE(b);
	return ERR_OK;
}

void flow_batch_free(struct flow_batch *b)
{
	if (!b)
		return;
	pages_free(b->flows, b->max, sizeof *b->flows);
	pages_free(b->ext, 1, b->ext_max);
	free(b);
}

/* Time of the first record from @from on, towards @to (exclusive), that has one. */
static struct wall_ns time_near(const struct flow_log *log, uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n != to; n += from < to ? 1 : UINT64_MAX) {
		struct flow f;
		if (copy_record(log, n, &f, NULL, 0) != OVERTAKEN && flow_is(&f, FLOW_HAS_TIME))
			return f.time;
	}
	return (struct wall_ns){ 0 };
}

struct flow_log_counts flow_log_counts(const struct flow_log *log)
{
	struct flow_log_range r = flow_log_range(log);

	return (struct flow_log_counts){
		.capacity = log->mask,
		.held = r.next - r.oldest,
		.seen_flows = atomic_load_explicit(&log->seen_flows, memory_order_relaxed),
		.records = r.next - log->first_seq,
		.cut = atomic_load_explicit(&log->cut, memory_order_relaxed),
		.oldest_time = time_near(log, r.oldest, r.next),
		.newest_time = time_near(log, r.next - 1, r.oldest - 1),
	};
}
