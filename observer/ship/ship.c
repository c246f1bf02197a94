#include "observer/ship/ship.h"

#include <pthread.h>
#include <stdio.h>

#include "base/log.h"
#include "base/thread.h"
#include "clickhouse/options.h"
#include "metrics/page.h"
#include "observer/ship/feed.h"
#include "observer/ship/tables.h"

enum {
	LOOK_MS = 1000,
	BACKOFF_MIN_S = 1,
	BACKOFF_MAX_S = 60,
	BUSY_MAX = 60,   /* s; beyond, somebody is told */
	GRACE_MS = 3000, /* for what is sealed at the end */
	NODE_BYTES = 512,
};

struct ship {
	struct clickhouse *client;
	struct ship_tables *tables;
	struct feed *feed;
	char node[NODE_BYTES];
	uint64_t period_ns;
	pthread_t thread;
	bool is_running; /* the thread is to be joined */

	/* thread only */
	bool is_sought;    /* what ClickHouse has is known */
	unsigned busy;     /* attempts for which ClickHouse still did an earlier one */
	unsigned failed;   /* attempts that failed since one worked */
	char *failure;     /* why, as told last; NULL: it works, or was not tried */
	uint64_t left_out; /* of the feed's, counted */
	bool has_worked;   /* ever */
	bool is_gap_told;  /* since it works */
	uint64_t spread;   /* of waits, so that a thousand observers do not come at once */

	pthread_mutex_t mx;
	pthread_cond_t changed;
	bool is_stopping, is_done; /* guarded by mx */
	struct ship_counts counts; /* guarded by mx */
};

/* --- counting and telling ------------------------------------------------------------------ */

struct ship_counts ship_counts(struct ship *s)
{
	(void)pthread_mutex_lock(&s->mx);
	const struct ship_counts c = s->counts;
	(void)pthread_mutex_unlock(&s->mx);
	return c;
}

void ship_collect(void *ctx, struct metrics_page *p)
{
	if (!ctx)
		return;
	const struct ship_counts c = ship_counts(ctx);
	const uint64_t now = wall_now().v;
	const double oldest_s =
		c.oldest.v && now > c.oldest.v ? (double)(now - c.oldest.v) / (double)NS_PER_S : 0;

	page_gauge(p, "tycho_clickhouse_up", "1 if the last attempt to ship worked, 0 if not",
		   c.is_working);
	page_counter(p, "tycho_clickhouse_shipped_records_total", "Records that ClickHouse took",
		     c.records);
	page_counter(p, "tycho_clickhouse_shipped_blocks_total", "Blocks of them", c.blocks);
	page_counter(p, "tycho_clickhouse_shipped_bytes_total", "Bytes of them, as RowBinary",
		     c.bytes);
	page_counter(p, "tycho_clickhouse_failures_total", "Attempts to ship that failed",
		     c.failures);
	page_gauge(p, "tycho_clickhouse_waiting_records",
		   "Records in the store that are to be shipped", (double)c.waiting);
	page_gauge(p, "tycho_clickhouse_waiting_seconds",
		   "Age of the oldest record that is to be shipped; 0: none is", oldest_s);
	page_counter(p, "tycho_clickhouse_lost_records_total",
		     "Records that retention removed before they were shipped, as far as they were "
		     "counted",
		     c.lost);
	page_counter(p, "tycho_clickhouse_lost_gaps_total",
		     "How often retention removed records before they were shipped", c.gaps);
}

static void tell_failure(struct ship *s, const struct err *e)
{
	if (s->failure && strcmp(s->failure, e->msg) == 0)
		return;
	free(s->failure);
	s->failure = str_dup(str_of(e->msg));
	log_warn("flows are not shipped to ClickHouse; they wait in the store", "server=%s err=%s",
		 LOG_QUOTE(clickhouse_server(s->client)), LOG_QUOTE(e->msg));
}

static void tell_success(struct ship *s)
{
	if (s->failure && s->has_worked)
		log_info("flows are shipped to ClickHouse again", "server=%s",
			 LOG_QUOTE(clickhouse_server(s->client)));
	else if (!s->has_worked)
		log_info("flows are shipped to ClickHouse", "server=%s database=%s",
			 LOG_QUOTE(clickhouse_server(s->client)),
			 LOG_QUOTE(clickhouse_database(s->client)));
	free(TAKE(s->failure));
	s->has_worked = true;
}

/* Once until all that waits is sent. */
static void tell_gap(struct ship *s, const struct feed_block *b)
{
	if (!s->is_gap_told)
		log_warn(
			"history was removed by retention before it could be shipped to ClickHouse",
			"records=%llu first=%llu last=%llu", (unsigned long long)b->lost,
			(unsigned long long)(b->first & ~CLICKHOUSE_ENTRY_PRUNED),
			(unsigned long long)(b->next - 1));
	s->is_gap_told = true;
}

static void count_block(struct ship *s, const struct feed_block *b)
{
	(void)pthread_mutex_lock(&s->mx);
	s->counts.blocks++;
	s->counts.bytes += b->rows.len;
	s->counts.records += b->table == &clickhouse_flows ? b->count : 0;
	s->counts.gaps += b->is_pruned;
	s->counts.lost += b->lost;
	(void)pthread_mutex_unlock(&s->mx);
}

static void count_attempt(struct ship *s, bool is_well)
{
	(void)pthread_mutex_lock(&s->mx);
	s->counts.is_working = is_well;
	s->counts.failures += !is_well;
	(void)pthread_mutex_unlock(&s->mx);
}

/* What waits now. A store that cannot be read leaves it as it was: the attempt has failed, too. */
static void count_waiting(struct ship *s)
{
	uint64_t waiting;
	struct wall_ns oldest;

	if (feed_waiting(s->feed, &waiting, &oldest, NULL) != ERR_OK)
		return;
	(void)pthread_mutex_lock(&s->mx);
	s->counts.waiting = waiting;
	s->counts.lost += feed_left_out(s->feed) - s->left_out;
	s->left_out = feed_left_out(s->feed);
	s->counts.oldest = oldest;
	(void)pthread_mutex_unlock(&s->mx);
}

/* --- an attempt ---------------------------------------------------------------------------- */

static enum err_code seek(struct ship *s, struct err *e)
{
	struct ship_position at;
	enum err_code code = ship_tables_open(s->tables, e);

	if (code == ERR_OK)
		code = ship_tables_ask(s->tables, &at, e);
	if (code != ERR_OK)
		return code;
	feed_seek(s->feed, at.seq, at.time_ns, at.entry);
	s->is_sought = true;
	return ERR_OK;
}

/* All that is sealed, block by block. */
static enum err_code send_all(struct ship *s, struct err *e)
{
	for (;;) {
		struct feed_block b;
		enum err_code code = feed_next(s->feed, &b, e);
		if (code != ERR_OK || !b.count)
			return code;
		code = ship_tables_put(s->tables, b.table, b.rows, b.first, b.last, e);
		if (code != ERR_OK) {
			feed_unsure(s->feed, &b);
			s->is_sought = false; /* it may be there, or a beginning of it */
			return code;
		}
		if (b.is_pruned)
			tell_gap(s, &b);
		count_block(s, &b);
		feed_sent(s->feed, &b);
	}
}

static enum err_code attempt(struct ship *s, struct err *e)
{
	enum err_code code = s->is_sought ? ERR_OK : seek(s, e);

	return code == ERR_OK ? send_all(s, e) : code;
}

/* @return in how many ns to look again. */
static uint64_t ship_once(struct ship *s)
{
	struct err e;

	count_waiting(s); /* before: of what is pruned meanwhile it is known how many there were */
	enum err_code code = attempt(s, &e);
	count_waiting(s);
	/* an INSERT of ours that is still under way has not failed yet */
	s->busy = code == ERR_AGAIN ? s->busy + 1 : 0;
	if (code == ERR_AGAIN && s->busy < BUSY_MAX)
		return BACKOFF_MIN_S * NS_PER_S;
	if (code == ERR_CANCELLED) /* the end */
		return 0;
	count_attempt(s, code == ERR_OK);
	if (code == ERR_OK) {
		tell_success(s);
		s->failed = 0;
		s->is_gap_told = false;
		return s->period_ns;
	}
	tell_failure(s, &e);
	uint64_t wait_s = BACKOFF_MIN_S;
	for (unsigned i = 0; i < s->failed && wait_s < BACKOFF_MAX_S; i++)
		wait_s *= 2;
	s->failed++;
	wait_s = wait_s < BACKOFF_MAX_S ? wait_s : BACKOFF_MAX_S;
	return wait_s * (NS_PER_S - s->spread); /* a quarter less at most */
}

/* --- the thread ---------------------------------------------------------------------------- */

/* Until @until, or until a block is full, if ClickHouse works. @return false: it is to end. */
static bool wait_for_more(struct ship *s, struct mono_ns until)
{
	(void)pthread_mutex_lock(&s->mx);
	while (!s->is_stopping) {
		const struct mono_ns now = mono_now();
		if (now.v >= until.v || (!s->failure && feed_ahead(s->feed) >= FEED_RECORDS))
			break;
		const struct mono_ns look = { now.v + LOOK_MS * NS_PER_MS };
		(void)thread_cond_wait(&s->changed, &s->mx, look.v < until.v ? look : until);
	}
	const bool goes_on = !s->is_stopping;
	(void)pthread_mutex_unlock(&s->mx);
	return goes_on;
}

static void *run(void *arg)
{
	struct ship *s = arg;
	bool goes_on = true;

	while (goes_on) {
		const uint64_t wait_ns = ship_once(s);
		goes_on = wait_for_more(s, (struct mono_ns){ mono_now().v + wait_ns });
	}
	/* what the keeper sealed last; ship_free ends it if it takes long */
	(void)ship_once(s);
	(void)pthread_mutex_lock(&s->mx);
	const uint64_t left = s->counts.waiting;
	s->is_done = true;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->mx);
	if (left)
		log_info("records wait in the store to be shipped to ClickHouse", "records=%llu",
			 (unsigned long long)left);
	return NULL;
}

/* --- life ---------------------------------------------------------------------------------- */

enum err_code ship_new(const struct ship_config *config, struct ship **ret, struct err *e)
{
	AUTO(ship_free) struct ship *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "shipping to ClickHouse");
	(void)pthread_mutex_init(&s->mx, NULL);
	thread_cond_init(&s->changed);
	(void)snprintf(s->node, sizeof s->node, "%s", config->node);
	s->period_ns = config->period_ns ? config->period_ns : SHIP_PERIOD_NS;
	s->spread = hash_bytes(s->node, strlen(s->node), 0) % (NS_PER_S / 4);
	enum err_code code = clickhouse_new(config->clickhouse, &s->client, e);
	if (code == ERR_OK)
		code = ship_tables_new(s->client, s->node, &s->tables, e);
	if (code == ERR_OK)
		code = feed_new(config->store, config->dict, s->node, &s->feed, e);
	if (code != ERR_OK)
		return code;
	if (clickhouse_password_is_open(config->clickhouse))
		log_warn("flows and the password of ClickHouse travel in plain text", "server=%s",
			 LOG_QUOTE(clickhouse_server(s->client)));
	code = thread_start("tycho-ship", run, s, &s->thread, e);
	if (code != ERR_OK)
		return code;
	s->is_running = true;
	*ret = TAKE(s);
	return ERR_OK;
}

void ship_free(struct ship *s)
{
	if (!s)
		return;
	if (s->is_running) {
		const struct mono_ns until = { mono_now().v + GRACE_MS * NS_PER_MS };
		(void)pthread_mutex_lock(&s->mx);
		s->is_stopping = true;
		(void)pthread_cond_broadcast(&s->changed);
		while (!s->is_done && thread_cond_wait(&s->changed, &s->mx, until))
			;
		(void)pthread_mutex_unlock(&s->mx);
		clickhouse_stop(s->client);
		(void)pthread_join(s->thread, NULL);
	}
	feed_free(s->feed);
	ship_tables_free(s->tables);
	clickhouse_free(s->client);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->mx);
	free(s->failure);
	free(s);
}
