#include "store/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

enum err_code file_lock(struct store *s, struct err *e)
{
	char path[sizeof s->path];

	(void)snprintf(path, sizeof path, "%s/flows.lock", s->dir);
	AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && (errno == EROFS || errno == ENOSPC || errno == EDQUOT))
		return ERR_OK; /* nobody else can write there either; once it can be, lock again */
	if (fd < 0)
		return err_os(e, "open '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return err_set(e, ERR_EXISTS,
				       "another observer keeps its flows in '%s': stop it, or give "
				       "this one its own folder",
				       s->dir);
		return err_os(e, "lock '%s'", path);
	}
	s->lock_fd = TAKE_FD(fd);
	return ERR_OK;
}

void file_set_aside(struct store *s, struct wall_ns now)
{
	static const char *const parts[] = { "", "-wal", "-shm" };

	sync_free(TAKE(s->sync));
	db_close(&s->db);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char from[sizeof s->path + 8], to[sizeof s->path + 64];
		(void)snprintf(from, sizeof from, "%s%s", s->path, parts[i]);
		(void)snprintf(to, sizeof to, "%s.damaged-%llu%s", s->path,
			       (unsigned long long)(now.v / NS_PER_S), parts[i]);
		(void)rename(from, to);
	}
	s->is_known = false;
	s->head = (struct chain_head){ 0 };
	dict_rows_reset(&s->rows);
	edges_not_written(s->edges);
	s->start_due = true;
	s->damage_streak = 0;
	atomic_fetch_add_explicit(&s->generation, 1, memory_order_relaxed);
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.records = s->counts.blocks = s->counts.segments = 0;
	s->counts.oldest.v = 0;
	(void)pthread_mutex_unlock(&s->counts_mx);
	char detail[64];
	(void)snprintf(detail, sizeof detail, "kept as flows.db.damaged-%llu",
		       (unsigned long long)(now.v / NS_PER_S));
	const struct store_gap gap = { .cause = STORE_GAP_DAMAGED,
				       .to = now,
				       .last_seq = s->first_seq,
				       .node = STR(""),
				       .detail = str_of(detail) };
	gaps_note(&s->gaps, &gap, false);
}

static enum err_code read_counts(struct store *s, uint64_t *ret_end, struct err *e)
{
	struct store_counts held = { 0 };
	uint64_t end = 0;
	sqlite3_stmt *st = db_ask(&s->db,
				  "SELECT count(*), sum(count), sum(blocks), max(last_seq),"
				  " sum(bytes) FROM segment",
				  NULL, 0);

	if (db_next(&s->db, st)) {
		held.segments = column_u64(st, 0);
		held.records = column_u64(st, 1);
		held.blocks = column_u64(st, 2);
		end = column_u64(st, 3) + 1;
		s->segment_bytes = column_u64(st, 4);
		db_leave(st);
	}
	enum err_code code = db_ended(&s->db, "read the store", e);
	if (code == ERR_OK)
		code = db_number(&s->db, "SELECT from_ns FROM segment ORDER BY first_seq LIMIT 1",
				 0, &held.oldest.v, e);
	if (code != ERR_OK)
		return code;
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.segments = held.segments;
	s->counts.records = held.records;
	s->counts.blocks = held.blocks;
	s->counts.oldest = held.oldest;
	(void)pthread_mutex_unlock(&s->counts_mx);
	*ret_end = held.segments ? end : 0;
	return ERR_OK;
}

/* What the run before left: how it ended, and since when nobody watched. */
static enum err_code look_back(struct store *s, struct wall_ns now, struct err *e)
{
	struct wall_ns alive = { 0 }, sealed = { 0 };
	uint64_t last_kind = 0;
	enum err_code code =
		db_number(&s->db, "SELECT value FROM meta WHERE name = 'alive'", 0, &alive.v, e);

	if (code == ERR_OK)
		code = db_number(&s->db,
				 "SELECT sealed_ns FROM segment ORDER BY first_seq DESC LIMIT 1", 0,
				 &sealed.v, e);
	if (code == ERR_OK)
		code = db_number(&s->db, "SELECT kind FROM entry ORDER BY number DESC LIMIT 1", 0,
				 &last_kind, e);
	if (code != ERR_OK || !s->head.number)
		return code;
	alive.v = alive.v > sealed.v ? alive.v : sealed.v;
	struct store_gap gap = {
		.cause = last_kind == ENTRY_STOP ? STORE_GAP_DOWN : STORE_GAP_CRASHED,
		.from = alive.v < now.v ? alive : now,
		.to = now,
		.node = STR(""),
		.detail = STR(""),
	};
	gaps_note(&s->gaps, &gap, false);
	if (now.v + STORE_CLOCK_STEP_NS < alive.v) {
		gap.cause = STORE_GAP_CLOCK;
		gap.to = alive;
		gaps_note(&s->gaps, &gap, false);
	}
	return ERR_OK;
}

static enum err_code read_file(struct store *s, struct wall_ns now, struct err *e)
{
	struct chain_head head;
	uint64_t end = 0;
	enum err_code code = schema_prepare(&s->db, s->path, e);

	if (code == ERR_OK)
		code = chain_read_head(&s->db, &head, e);
	if (code == ERR_OK)
		code = chain_read_secret(&s->db, true, &s->secret, e);
	if (code == ERR_OK)
		code = dict_rows_open(&s->rows, &s->db, e);
	if (code == ERR_OK)
		code = read_counts(s, &end, e);
	if (code != ERR_OK)
		return code;
	/* While it was closed nobody else wrote: we hold the lock. */
	s->head = head;
	if (s->is_known)
		return ERR_OK;
	code = look_back(s, now, e);
	if (code != ERR_OK)
		return code;
	s->is_known = true;
	if (end > atomic_load_explicit(&s->sealed, memory_order_relaxed))
		atomic_store_explicit(&s->sealed, end, memory_order_release);
	if (end > atomic_load_explicit(&s->taken, memory_order_relaxed))
		atomic_store_explicit(&s->taken, end, memory_order_release);
	s->damage_streak = 0;
	return ERR_OK;
}

/* Addresses and names of everybody's peers: for the owner only. SQLite gives what it makes beside
 * the file the file's own mode. Without success SQLite says why. */
static void make_private(const struct store *s)
{
	/* Only what is not there yet: closing a file that SQLite has open drops SQLite's locks. */
	int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		(void)close(fd);
}

/* SQLite's own way of moving the log would be called here, too: nothing is locked any more. */
static int on_commit(void *ctx, sqlite3 *h, const char *name, int pages)
{
	(void)h;
	(void)name;
	sync_poke(((struct store *)ctx)->sync, (uint64_t)pages);
	return SQLITE_OK;
}

static enum err_code open_file(struct store *s, struct wall_ns now, struct err *e)
{
	if (s->lock_fd < 0 && file_lock(s, e) != ERR_OK)
		return e->code;
	make_private(s);
	enum err_code code = db_open(&s->db, s->path, DB_WRITE, e);
	if (code == ERR_OK)
		code = read_file(s, now, e);
	if (code == ERR_OK)
		code = sync_new(s->path, &s->sync, e);
	if (code != ERR_OK) {
		db_close(&s->db);
		return code;
	}
	(void)sqlite3_wal_hook(s->db.h, on_commit, s);
	return ERR_OK;
}

enum err_code file_open(struct store *s, struct wall_ns now, struct err *e)
{
	enum err_code code = open_file(s, now, e);

	if (code != ERR_PARSE)
		return code;
	file_set_aside(s, now);
	return open_file(s, now, e);
}
