#include "store/inside.h"

/* The log is moved when it has so many pages (4 MiB), or after so long: what a power cut may take.
 */
enum { PAGES_MOST = 1000, WAIT_S = 10 };

struct sync {
	pthread_t thread;
	struct db db; /* the thread's own */
	pthread_mutex_t mx;
	pthread_cond_t cond;
	uint64_t pages; /* guarded by mx: in the log, not yet looked at */
	bool stop;      /* guarded by mx */
};

/* Readers and the writer go on meanwhile; what a reader still needs stays for the next time. */
static void move_log(struct sync *sy)
{
	uint64_t tables;

	/* A connection that has not read yet does not know that there is a log, and the call below
	 * then does nothing, successfully. */
	if (db_number(&sy->db, "SELECT count(*) FROM sqlite_schema", 0, &tables, NULL) != ERR_OK)
		return;
	(void)sqlite3_wal_checkpoint_v2(sy->db.h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static void *sync_main(void *arg)
{
	struct sync *sy = arg;

	(void)pthread_mutex_lock(&sy->mx);
	while (!sy->stop) {
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += WAIT_S;
		int rc = 0;
		while (!sy->stop && sy->pages < PAGES_MOST && rc == 0)
			rc = pthread_cond_timedwait(&sy->cond, &sy->mx, &until);
		bool work = sy->pages && !sy->stop;
		sy->pages = 0;
		(void)pthread_mutex_unlock(&sy->mx);
		if (work)
			move_log(sy);
		(void)pthread_mutex_lock(&sy->mx);
	}
	(void)pthread_mutex_unlock(&sy->mx);
	return NULL;
}

enum err_code sync_new(const char *path, struct sync **ret, struct err *e)
{
	AUTO(own_free) struct sync *sy = calloc(1, sizeof *sy);
	pthread_condattr_t attr;

	if (!sy)
		return err_set(e, ERR_NOMEM, "the store's second thread");
	enum err_code code = db_open(&sy->db, path, DB_WRITE, e);
	if (code != ERR_OK)
		return code;
	(void)pthread_mutex_init(&sy->mx, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&sy->cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	int os = pthread_create(&sy->thread, NULL, sync_main, sy);
	if (os) {
		db_close(&sy->db);
		return err_errno(e, os, "start the store's second thread");
	}
	(void)pthread_setname_np(sy->thread, "tycho-sync");
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
	(void)pthread_mutex_destroy(&sy->mx);
	free(sy);
}

void sync_poke(struct sync *sy, uint64_t pages)
{
	if (!sy)
		return;
	(void)pthread_mutex_lock(&sy->mx);
	sy->pages = pages;
	if (pages >= PAGES_MOST)
		(void)pthread_cond_signal(&sy->cond);
	(void)pthread_mutex_unlock(&sy->mx);
}
