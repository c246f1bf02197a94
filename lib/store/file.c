#include "store/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define UNCOUNTED_NS (120 * NS_PER_S) /* a minute of the map is one row */

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

/* rename(2) that takes nobody's place. Where the file system cannot say so by itself, the folder's
 * lock has to do: no other store names files here. @return 0 or errno. */
static int move(const char *from, const char *to)
{
	struct stat st;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return errno;
	if (lstat(to, &st) == 0)
		return EEXIST;
	return rename(from, to) == 0 ? 0 : errno;
}

/* The database with what SQLite has beside it, the log first: without its file it is of no use to
 * anybody, but SQLite would remove a log that it finds beside a new file. */
static const char *const file_parts[] = { "-wal", "-shm", "" };

/* @return 0 or errno: EEXIST if @to, or a part of it, is there already. */
static int move_parts(const struct store *s, const char *to, const char *const *parts, size_t count)
{
	char old[sizeof s->path + 8], new[sizeof s->path + 64];
	struct stat st;
	int os = 0;

	for (size_t i = 0; i < count; i++) {
		(void)snprintf(new, sizeof new, "%s/%s%s", s->dir, to, parts[i]);
		if (lstat(new, &st) == 0)
			return EEXIST;
	}
	for (size_t i = 0; i < count && !os; i++) {
		(void)snprintf(old, sizeof old, "%s%s", s->path, parts[i]);
		(void)snprintf(new, sizeof new, "%s/%s%s", s->dir, to, parts[i]);
		os = move(old, new);
		if (os == ENOENT && *parts[i])
			os = 0; /* there was none */
	}
	return os;
}

/* Under a name of its own; @detail: which, of the last part, or why not. @return 0 or errno. */
static int move_aside(const struct store *s, struct wall_ns now, const char *const *parts,
		      size_t count, char *detail, size_t size)
{
	enum { NAMES = 1000 }; /* of one second */
	unsigned long long second = now.v / NS_PER_S;
	char name[64];
	int os = EEXIST;

	for (unsigned i = 1; os == EEXIST && i <= NAMES; i++) {
		(void)snprintf(name, sizeof name, "flows.db.damaged-%llu", second);
		if (i > 1)
			(void)snprintf(name, sizeof name, "flows.db.damaged-%llu-%u", second, i);
		os = move_parts(s, name, parts, count);
	}
	if (os)
		(void)snprintf(detail, size, "flows.db%s cannot be set aside: %s", parts[count - 1],
			       strerrordesc_np(os));
	else
		(void)snprintf(detail, size, "kept as %s%s", name, parts[count - 1]);
	return os;
}

void file_set_aside(struct store *s, struct wall_ns now)
{
	sync_free(TAKE(s->sync));
	db_close(&s->db);
	(void)move_aside(s, now, file_parts, ARRAY_LEN(file_parts), s->aside, sizeof s->aside);
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
	const struct store_gap gap = { .cause = STORE_GAP_DAMAGED,
				       .to = now,
				       .last_seq = s->first_seq,
				       .node = STR(""),
				       .detail = str_of(s->aside) };
	gaps_note(&s->gaps, &gap, false);
}

/* *@ret_end: the number behind the last record. */
static enum err_code read_counts(struct store *s, uint64_t *ret_end, struct err *e)
{
	struct store_counts held = { 0 };
	uint64_t end = 0, bytes = 0;
	bool in_order = true;
	sqlite3_stmt *st = db_ask(&s->db,
				  "SELECT first_seq, last_seq, count, blocks, bytes FROM segment"
				  " ORDER BY first_seq",
				  NULL, 0);

	while (in_order && db_next(&s->db, st)) {
		in_order = column_u64(st, 0) >= end; /* or a page lies where another should */
		end = column_u64(st, 1) + 1;
		held.segments++;
		held.records += column_u64(st, 2);
		held.blocks += column_u64(st, 3);
		bytes += column_u64(st, 4);
	}
	db_leave(st);
	enum err_code code = db_ended(&s->db, "read the store", e);
	if (code == ERR_OK && !in_order)
		code = err_set(e, ERR_PARSE, "the store's segments are not in order");
	s->segment_bytes = bytes;
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

enum err_code file_count(struct store *s, struct err *e)
{
	uint64_t end;

	return read_counts(s, &end, e);
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
		code = db_number(
			&s->db, /* gaps may have been told since, by a mending */
			"SELECT kind FROM entry WHERE kind != 2 ORDER BY number DESC LIMIT 1", 0,
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

static enum err_code read_tables(struct store *s, struct wall_ns now, struct err *e)
{
	struct chain_head head;
	uint64_t end = 0;
	enum err_code code = chain_read_head(&s->db, &head, e);

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
	struct stat st;

	/* A link to a larger disk, where nothing is yet: SQLite would go by the umask. */
	if (fd < 0 && errno == EEXIST && stat(s->path, &st) < 0 && errno == ENOENT)
		fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
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

static enum err_code connect(struct store *s, struct err *e)
{
	enum err_code code = db_open(&s->db, s->path, DB_WRITE, &s->faults, e);

	return code == ERR_OK ? schema_prepare(&s->db, s->path, e) : code;
}

/* The log of a run that did not end by itself, of which a part cannot be read: the file is used as it was
 * when the log was last moved into it. It cannot be used up to that part: what is behind it may be in
 * the file already. */
static enum err_code connect_without_log(struct store *s, struct wall_ns now, char *detail,
					 size_t size, struct err *e)
{
	static const char *const log[] = { "-wal" };

	db_close(&s->db);
	if (move_aside(s, now, log, ARRAY_LEN(log), detail, size) != 0)
		return err_set(e, ERR_IO, "%s", detail);
	return connect(s, e);
}

/* What was written since the log was last moved is lost. */
static void note_torn(struct store *s, struct wall_ns now, struct str why)
{
	struct wall_ns alive = { 0 }, sealed = { 0 };

	(void)!db_number(&s->db, "SELECT value FROM meta WHERE name = 'alive'", now.v, &alive.v,
			 NULL);
	(void)!db_number(&s->db, "SELECT max(sealed_ns) FROM segment", alive.v, &sealed.v, NULL);
	alive.v = alive.v > sealed.v ? alive.v : sealed.v;
	const struct store_gap gap = { .cause = STORE_GAP_DAMAGED,
				       .from = alive.v < now.v ? alive : now,
				       .to = now,
				       .node = STR(""),
				       .detail = why };
	gaps_note(&s->gaps, &gap, false);
}

/* Tables that are damaged are mended, if they can be: when it shows here, or a block could not be
 * written. */
static enum err_code read_file(struct store *s, struct wall_ns now, struct err *e)
{
	struct err mending;
	bool any = false, is_torn = false;
	char detail[160];
	struct chain_head kept = s->head;
	enum err_code code = connect(s, e);

	if (code != ERR_OK && s->db.h && db_log_is_damaged(&s->db)) {
		code = connect_without_log(s, now, detail, sizeof detail, e);
		is_torn = code == ERR_OK;
	}
	if (code == ERR_OK && !s->damage_streak && !is_torn) {
		code = read_tables(s, now, e);
		if (code != ERR_PARSE)
			return code;
	} else if (code != ERR_OK) {
		return code;
	}
	code = mend(s, now, &any, &mending);
	if (code == ERR_INTERNAL) /* of tables that say what they cannot */
		code = ERR_PARSE;
	if (code != ERR_OK && code != ERR_PARSE && !s->damage_streak)
		return err_set(e, code, "%s", mending.msg); /* the disk is full, say: later */
	if (code != ERR_OK) {
		db_close(&s->db);
		code = connect(s, e);
	}
	bool was_known = s->is_known;
	code = code == ERR_OK ? read_tables(s, now, e) : code;
	if (code != ERR_OK || !is_torn)
		return code;
	/* Numbers of entries that were lost are not given out again, if they are known. */
	if (was_known && s->head.number < kept.number)
		s->head = kept;
	note_torn(s, now, str_of(detail));
	return ERR_OK;
}

static enum err_code open_file(struct store *s, struct wall_ns now, struct err *e)
{
	if (s->lock_fd < 0 && file_lock(s, e) != ERR_OK)
		return e->code;
	make_private(s);
	enum err_code code = read_file(s, now, e);
	if (code == ERR_OK)
		code = sync_new(s->path, &s->faults, &s->sync, e);
	if (code != ERR_OK) {
		db_close(&s->db);
		return code;
	}
	(void)sqlite3_wal_hook(s->db.h, on_commit, s);
	return ERR_OK;
}

/* Edges wait a minute and a quarter at most; what the run before left begins that long before its
 * last sign of life. */
static void note_uncounted(struct store *s, struct wall_ns now, struct str why)
{
	uint64_t alive = now.v;

	(void)!db_number(&s->db, "SELECT value FROM meta WHERE name = 'alive'", now.v, &alive,
			 NULL);
	const struct store_gap gap = { .cause = STORE_GAP_DAMAGED,
				       .from = { alive > UNCOUNTED_NS ? alive - UNCOUNTED_NS : 0 },
				       .to = now,
				       .node = STR(""),
				       .detail = why };
	gaps_note(&s->gaps, &gap, false);
}

enum err_code file_open(struct store *s, struct wall_ns now, struct err *e)
{
	enum err_code code = open_file(s, now, e);

	if (code == ERR_PARSE) {
		file_set_aside(s, now);
		code = open_file(s, now, e);
	}
	if (code != ERR_OK || s->is_recounted)
		return code;
	code = edges_recover(s, now, e);
	if (code == ERR_PARSE) { /* damage stays; what else fails is tried again */
		(void)err_in(e, "the service map was not counted to its end");
		note_uncounted(s, now, str_of(e->msg));
	} else if (code != ERR_OK) {
		sync_free(TAKE(s->sync));
		db_close(&s->db);
		return code;
	}
	s->is_recounted = true;
	return ERR_OK;
}
