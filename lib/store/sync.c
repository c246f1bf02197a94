#include "base/thread.h"
#include "store/inside.h"

/* The log is moved when it has so many pages (4 MiB), or after so long: what a power cut may take.
 * What is written while it is moved makes it longer, and it begins anew only once all of it has
 * been moved: at so many (12 MiB) the writer waits for that, but no longer than this, and as long
 * for readers that hold on to what is in it. */
enum { PAGES_MOST = 1000, WAIT_S = 10, PAGES_FULL = 3000, FULL_WAIT_S = 2, READERS_WAIT_MS = 100 };

struct sync {
	pthread_t thread;
	struct db db; /* the thread's own */
	pthread_mutex_t mx;
	pthread_cond_t cond, moved;
	uint64_t pages; /* guarded by mx: in the log, not yet looked at */
	bool is_full;   /* guarded by mx: the writer waits until all is moved */
	bool stop;      /* guarded by mx */
	uint64_t limit; /* writing thread only: pages at which it waits next */
};

/* Readers and the writer go on meanwhile; what a reader still needs stays for the next time. @all:
 * the writer does not, and readers are waited for, so that the log begins anew. */
static void move_log(struct sync *sy, bool all)
{
	uint64_t tables;

	/* A connection that has not read yet does not know that there is a log, and the call below
	 * then does nothing, successfully. */
	if (db_number(&sy->db, "SELECT count(*) FROM sqlite_schema", 0, &tables, NULL) != ERR_OK)
		return;
	/* What cannot be read there can be nowhere else: else nothing behind it would be moved. */
	disk_fill(sy->db.h);
	(void)sqlite3_wal_checkpoint_v2(sy->db.h, NULL,
					all ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE,
					NULL, NULL);
	db_note_faults(&sy->db);
}

static struct mono_ns in_seconds(uint64_t s)
{
	return (struct mono_ns){ mono_now().v + s * NS_PER_S };
}

static void *sync_main(void *arg)
{
	struct sync *sy = arg;

	(void)pthread_mutex_lock(&sy->mx);
	while (!sy->stop) {
		const struct mono_ns until = in_seconds(WAIT_S);
		while (!sy->stop && sy->pages < PAGES_MOST && !sy->is_full &&
		       thread_cond_wait(&sy->cond, &sy->mx, until))
			;
		bool work = sy->pages && !sy->stop, all = sy->is_full;
		sy->pages = 0;
		(void)pthread_mutex_unlock(&sy->mx);
		if (work)
			move_log(sy, all);
		(void)pthread_mutex_lock(&sy->mx);
		if (!all)
			continue;
		sy->is_full = false;
		(void)pthread_cond_signal(&sy->moved);
	}
	(void)pthread_mutex_unlock(&sy->mx);
	return NULL;
}

enum err_code sync_new(const char *path, struct disk_faults *faults, struct sync **ret,
		       struct err *e)
{
	AUTO(own_free) struct sync *sy = calloc(1, sizeof *sy);

	if (!sy)
		return err_set(e, ERR_NOMEM, "the store's second thread");
	enum err_code code = db_open(&sy->db, path, DB_WRITE, faults, e);
	if (code != ERR_OK)
		return code;
	(void)sqlite3_busy_timeout(sy->db.h, READERS_WAIT_MS);
	sy->limit = PAGES_FULL;
	(void)pthread_mutex_init(&sy->mx, NULL);
	thread_cond_init(&sy->cond);
	thread_cond_init(&sy->moved);
	code = thread_start("tycho-sync", sync_main, sy, &sy->thread, e);
	if (code != ERR_OK) {
		db_close(&sy->db);
		return code;
	}
	*ret = TAKE(sy);
	return ERR_OK;
}

void sync_free(struct sync *sy)
{
	if (!sy)
		return;
	(void)pthread_mutex_lock(&sy->mx);
	sy->stop = true;
	(void)pthread_cond_signal(&sy->cond);
	(void)pthread_mutex_unlock(&sy->mx);
	(void)pthread_join(sy->thread, NULL);
	db_close(&sy->db);
	(void)pthread_cond_destroy(&sy->cond);
	(void)pthread_cond_destroy(&sy->moved);
	(void)pthread_mutex_destroy(&sy->mx);
	free(sy);
}

void sync_poke(struct sync *sy, uint64_t pages)
{
	if (!sy)
		return;
	(void)pthread_mutex_lock(&sy->mx);
	sy->pages = pages;
	if (pages < PAGES_FULL)
		sy->limit = PAGES_FULL; /* it began anew */
	if (pages >= PAGES_MOST)
		(void)pthread_cond_signal(&sy->cond);
	if (pages >= sy->limit) {
		const struct mono_ns until = in_seconds(FULL_WAIT_S);
		sy->is_full = true;
		while (sy->is_full && thread_cond_wait(&sy->moved, &sy->mx, until))
			;
		sy->limit = pages + PAGES_FULL; /* if a reader, or the disk, did not let it */
	}
	(void)pthread_mutex_unlock(&sy->mx);
}
