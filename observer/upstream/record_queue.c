#include "observer/upstream/record_queue.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

enum { LINE = 64, ALIGN = 8 };

/* What lies in the ring before a record's bytes. */
struct head {
	uint32_t bytes; /* of the record with this head, rounded up; 0: the rest of the ring is
			   empty */
	uint32_t who_len, message_len;
	int32_t kind;
	uint64_t count, wall;
};
_Static_assert(sizeof(struct head) % ALIGN == 0, "records follow each other aligned");

struct record_queue {
	uint8_t *bytes;
	size_t size; /* power of two */
	int fd, room_fd;
	/* the writer's line */
	_Alignas(LINE) _Atomic uint64_t written; /* bytes in all; release pairs with peek */
	uint64_t taken_seen;                     /* writer only: what it knows of @taken */
	/* the reader's line */
	_Alignas(LINE) _Atomic uint64_t taken; /* release pairs with put */
	uint64_t written_seen;                 /* reader only */
	/* both */
	_Alignas(LINE) atomic_bool is_told; /* fd is readable: no need to write it again */
	atomic_bool wants_room;             /* the writer waits for room_fd */
};

enum err_code record_queue_new(size_t bytes, struct record_queue **ret, struct err *e)
{
	if (bytes < 4096 || (bytes & (bytes - 1)))
		return err_set(e, ERR_INVALID, "a queue of %zu bytes", bytes);
	AUTO(record_queue_free) struct record_queue *q = aligned_alloc(LINE, sizeof *q);
	if (!q)
		return err_set(e, ERR_NOMEM, "queue");
	*q = (struct record_queue){ .size = bytes, .fd = -1, .room_fd = -1 };
	q->bytes = malloc(bytes);
	if (!q->bytes)
		return err_set(e, ERR_NOMEM, "queue of %zu bytes", bytes);
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->fd < 0 || q->room_fd < 0)
		return err_os(e, "eventfd");
	*ret = TAKE(q);
	return ERR_OK;
}

void record_queue_free(struct record_queue *q)
{
	if (!q)
		return;
	if (q->fd >= 0)
		(void)close(q->fd);
	if (q->room_fd >= 0)
		(void)close(q->room_fd);
	free(q->bytes);
	free(q);
}

static void tell(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof one); /* a full counter is readable, too */
}

static void forget(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof n);
}

static size_t size_of(size_t who_bytes, size_t message_bytes)
{
	return (sizeof(struct head) + who_bytes + message_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

bool record_queue_fits(const struct record_queue *q, size_t who_bytes, size_t message_bytes)
{
	return who_bytes <= q->size && message_bytes <= q->size &&
	       size_of(who_bytes, message_bytes) <= q->size / 4;
}

/* @need more bytes after @written fit. */
static bool has_room(struct record_queue *q, uint64_t written, size_t need)
{
	if (written + need - q->taken_seen <= q->size)
		return true;
	q->taken_seen = atomic_load_explicit(&q->taken, memory_order_acquire);
	return written + need - q->taken_seen <= q->size;
}

/* The same; if not, the reader says when. */
static bool await_room(struct record_queue *q, uint64_t written, size_t need)
{
	if (has_room(q, written, need))
		return true;
	/* The flag first, then another look: the reader looks at it after it made room. */
	atomic_store_explicit(&q->wants_room, true, memory_order_seq_cst);
	q->taken_seen = atomic_load_explicit(&q->taken, memory_order_seq_cst);
	if (!has_room(q, written, need))
		return false;
	atomic_store_explicit(&q->wants_room, false, memory_order_relaxed);
	return true;
}

bool record_queue_has_room(struct record_queue *q, size_t bytes)
{
	size_t need = bytes + RECORD_QUEUE_AT_ONCE * (sizeof(struct head) + ALIGN);
	uint64_t written = atomic_load_explicit(&q->written, memory_order_relaxed);

	/* one of them may have to skip to the ring's beginning */
	need *= 2;
	return await_room(q, written, need < q->size ? need : q->size);
}

bool record_queue_put(struct record_queue *q, const struct record *r)
{
	uint64_t written = atomic_load_explicit(&q->written, memory_order_relaxed);
	size_t at = written & (q->size - 1), need = size_of(r->who.len, r->message.len);
	size_t skip = q->size - at < need ? q->size - at : 0; /* to the ring's beginning */

	if (!record_queue_fits(q, r->who.len, r->message.len))
		return false;
	if (!await_room(q, written, skip + need))
		return false;
	if (skip) {
		/* Less than a head's bytes may be left: the reader then knows by itself. */
		if (skip >= sizeof(struct head))
			memcpy(q->bytes + at, &(struct head){ 0 }, sizeof(struct head));
		at = 0;
	}
	const struct head head = {
		(uint32_t)need, (uint32_t)r->who.len, (uint32_t)r->message.len, r->kind, r->count,
		r->wall.v
	};
	memcpy(q->bytes + at, &head, sizeof head);
	if (r->who.len)
		memcpy(q->bytes + at + sizeof head, r->who.p, r->who.len);
	if (r->message.len)
		memcpy(q->bytes + at + sizeof head + r->who.len, r->message.p, r->message.len);
	atomic_store_explicit(&q->written, written + skip + need, memory_order_seq_cst);
	if (!atomic_load_explicit(&q->is_told, memory_order_seq_cst) &&
	    !atomic_exchange_explicit(&q->is_told, true, memory_order_seq_cst))
		tell(q->fd);
	return true;
}

int record_queue_room_fd(const struct record_queue *q)
{
	return q->room_fd;
}

int record_queue_fd(const struct record_queue *q)
{
	return q->fd;
}

/* Takes back the news before a last look, so that what is put after it is told anew. */
static bool is_empty(struct record_queue *q, uint64_t taken)
{
	if (taken != q->written_seen)
		return false;
	q->written_seen = atomic_load_explicit(&q->written, memory_order_acquire);
	if (taken != q->written_seen)
		return false;
	/* In this order: a flag that is set means a descriptor that is readable, or soon will be.
	 */
	forget(q->fd);
	atomic_store_explicit(&q->is_told, false, memory_order_seq_cst);
	q->written_seen = atomic_load_explicit(&q->written, memory_order_seq_cst);
	return taken == q->written_seen;
}

static void take_up_to(struct record_queue *q, uint64_t taken)
{
	atomic_store_explicit(&q->taken, taken, memory_order_seq_cst);
	uint64_t held = q->written_seen - taken;
	/* Half of it: a writer that is woken for one record sleeps more than it writes. */
	if (held <= q->size / 2 && atomic_load_explicit(&q->wants_room, memory_order_seq_cst)) {
		atomic_store_explicit(&q->wants_room, false, memory_order_relaxed);
		tell(q->room_fd);
	}
}

bool record_queue_peek(struct record_queue *q, struct record *ret)
{
	uint64_t taken = atomic_load_explicit(&q->taken, memory_order_relaxed);
	struct head head;

	if (is_empty(q, taken))
		return false;
	size_t at = taken & (q->size - 1), left = q->size - at;
	if (left >= sizeof head)
		memcpy(&head, q->bytes + at, sizeof head);
	if (left < sizeof head || head.bytes == 0) {
		take_up_to(q, taken + left);
		at = 0;
		memcpy(&head, q->bytes, sizeof head);
	}
	const uint8_t *text = q->bytes + at + sizeof head;
	*ret = (struct record){ head.kind,
				head.count,
				{ head.wall },
				str_n(text, head.who_len),
				str_n(text + head.who_len, head.message_len) };
	return true;
}

void record_queue_pop(struct record_queue *q)
{
	uint64_t taken = atomic_load_explicit(&q->taken, memory_order_relaxed);
	struct head head;

	memcpy(&head, q->bytes + (taken & (q->size - 1)), sizeof head);
	take_up_to(q, taken + head.bytes);
}

void record_queue_rest(struct record_queue *q)
{
	if (!atomic_exchange_explicit(&q->is_told, true, memory_order_seq_cst))
		tell(q->fd);
}
