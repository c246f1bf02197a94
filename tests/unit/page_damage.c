#include "page_damage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "disk_fault.h"
#include "store/inside.h"

static enum err_code note_policy(struct fixture *fx, int number, char *json, size_t bytes,
				 struct err *e)
{
	char name[32];
	const struct store_policy p = {
		.kind = STR("NetworkPolicy"),
		.namespace_ = STR("shop"),
		.name = str_n(name, (size_t)snprintf(name, sizeof name, "policy-%d", number)),
		.uid = STR("u-1"),
		.resource_version = STR("7"),
		.origin = STR("files"),
		.json = str_n(json, bytes),
		.from = fx->now,
	};

	return store_note_policy(fx->store, &p, fx->now, e);
}

void fill(struct fixture *fx)
{
	AUTO(own_free) char *text = malloc(20000);
	struct err e;

	memset(text, 'x', 20000);
	fixture_open(fx);
	fixture_block(fx, LARGE); /* which is sorted onto shelves */
	fx->now = after(fx->now, 3600);
	fixture_tend(fx);
	for (int i = 0; i < BLOCKS; i++) {
		for (int k = 0; k < OTHERS; k++)
			fixture_put_other(fx, OTHERS * i + k);
		if (i % 8 == 0)
			assert_int_equal(note_policy(fx, i, text, i == 40 ? 20000 : 600, &e),
					 ERR_OK);
		const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
					       .from = fx->now,
					       .to = after(fx->now, 1),
					       .lost = 3,
					       .first_seq = 7,
					       .last_seq = 9,
					       .node = STR("a/b"),
					       .detail = STR("the \"ring\" was full") };
		store_note_gap(fx->store, &gap);
		fixture_block(fx, RECORDS - OTHERS);
		fx->now = after(fx->now, 60);
		const struct store_checkpoint c = { .entry = store_counts(fx->store).entries,
						    .text = str_n(text, 300),
						    .signature = str_n(text, 64),
						    .key = STR("key") };
		if (i % 3 == 0)
			assert_int_equal(store_put_checkpoint(fx->store, &c, &e), ERR_OK);
	}
	fixture_close(fx);
}

/* --- what is answered ------------------------------------------------------------------------ */

static void count_gap(void *ctx, const struct store_gap *gap)
{
	struct answers *a = ctx;

	a->damage_gaps += gap->cause == STORE_GAP_DAMAGED;
	a->kernel_gaps += gap->cause == STORE_GAP_KERNEL && gap->lost == 3 &&
			  gap->to.v == gap->from.v + NS_PER_S && gap->first_seq == 7 &&
			  gap->last_seq == 9 && str_is(gap->node, "a/b") &&
			  str_is(gap->detail, "the \"ring\" was full");
}

static void count_edge(void *ctx, const struct store_edge *edge)
{
	struct answers *a = ctx;

	a->flows += edge->flows;
	a->known_flows += str_is(edge->dst.name, "world") ? edge->flows : 0;
}

static void count_policy(void *ctx, const struct store_policy *policy)
{
	(void)policy;
	((struct answers *)ctx)->policies++;
}

static bool count_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	(void)c;
	((struct answers *)ctx)->checkpoints++;
	return true;
}

static bool count_entry(void *ctx, const struct store_entry *entry)
{
	(void)entry;
	((struct answers *)ctx)->entries++;
	return true;
}

void keep(struct answers *a, enum err_code code)
{
	a->code = a->code == ERR_OK ? code : a->code;
}

static uint64_t scan(struct store_reader *r, bool backward, struct answers *a)
{
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct store_scan_config config = ALL_RECORDS;
	const struct flow *flows;
	uint64_t seen = 0, last = backward ? UINT64_MAX : 0;
	size_t n;

	config.backward = backward;
	config.takes_nameless = true;
	enum err_code code = store_scan_new(r, &config, &sc, NULL);
	for (bool more = true; more && code == ERR_OK;) {
		code = store_scan_next(sc, 1000, &flows, &n, &more, NULL);
		for (size_t i = 0; i < n && code == ERR_OK; i++, seen++) {
			assert_true(backward ? flows[i].seq < last : flows[i].seq > last);
			last = flows[i].seq;
		}
	}
	keep(a, code);
	return seen;
}

struct answers ask(struct fixture *fx)
{
	const struct wall_ns since = { 0 }, until = { UINT64_MAX };
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct answers a = { .code = ERR_OK };
	struct store_bounds bounds;
	struct wall_ns from, to;
	uint64_t held = 0;

	a.records = scan(r, false, &a);
	a.backward = scan(r, true, &a);
	keep(&a, store_gaps(r, since, until, count_gap, &a, NULL));
	keep(&a, store_edges(r, since, until, SIZE_MAX, count_edge, &a, &to, NULL));
	keep(&a, store_policies(r, since, until, count_policy, &a, NULL));
	keep(&a, store_checkpoints(r, 0, count_checkpoint, &a, NULL));
	keep(&a, store_chain(r, 0, count_entry, &a, NULL));
	keep(&a, store_extent(r, &from, &to, NULL));
	keep(&a, store_bounds(r, &bounds, NULL));
	keep(&a, store_held(r, 0, INT64_MAX, &held, NULL));
	keep(&a, store_edges_oldest(r, &from, NULL));
	return a;
}

/* --- pages ----------------------------------------------------------------------------------- */

size_t list_pages(const char *path, struct page *list, size_t max)
{
	static const char sql[] = "SELECT pageno, name, pagetype = 'leaf', path = max(path)"
				  " OVER (PARTITION BY name, pagetype), ncell FROM dbstat"
				  " WHERE name != 'segment_data' OR pagetype != 'overflow'";
	size_t n = 0;
	sqlite3_stmt *st;
	sqlite3 *h;

	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	for (; sqlite3_step(st) == SQLITE_ROW; n++) {
		assert_true(n < max);
		list[n] = (struct page){ .number = column_u64(st, 0),
					 .is_leaf = column_u64(st, 2) != 0,
					 .is_last = column_u64(st, 3) != 0,
					 .rows = column_u64(st, 4) };
		(void)snprintf(list[n].table, sizeof list[n].table, "%s",
			       (const char *)sqlite3_column_text(st, 1));
	}
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	return n;
}

bool is_set_aside(struct fixture *fx)
{
	char command[200];

	(void)snprintf(command, sizeof command, "ls %s | grep -q damaged", fx->dir);
	return system(command) == 0;
}

void damage(struct fixture *fx, uint64_t page, int rubbish)
{
	uint8_t bytes[PAGE];
	char path[100];

	fixture_path(fx, "flows.db", path);
	if (rubbish == UNREADABLE) {
		disk_fault_add(path, (int64_t)(page - 1) * PAGE, (int64_t)page * PAGE);
		return;
	}
	int fd = open(path, O_RDWR);
	memset(bytes, rubbish, sizeof bytes);
	assert_int_equal(pwrite(fd, bytes, PAGE, (off_t)(page - 1) * PAGE), PAGE);
	assert_int_equal(close(fd), 0);
}

void restore(struct fixture *fx, uint64_t page, int rubbish)
{
	char path[100], command[600];

	fixture_path(fx, "flows.db", path);
	(void)snprintf(command, sizeof command, "rm -f %s*; cp %s/saved %s", path, fx->dir, path);
	assert_int_equal(system(command), 0);
	flow_dict_free(fx->dict);
	assert_int_equal(flow_dict_new(4096, &fx->dict, NULL), ERR_OK);
	fx->config.dict = fx->dict;
	disk_fault_clear();
	if (page)
		damage(fx, page, rubbish);
}

void save(struct fixture *fx)
{
	char command[200];

	(void)snprintf(command, sizeof command, "cp %s/flows.db %s/saved", fx->dir, fx->dir);
	assert_int_equal(system(command), 0);
}

void go_on(struct fixture *fx, int blocks)
{
	for (int i = 0; i < blocks; i++) {
		(void)!fixture_put(fx, RECORDS, NULL);
		fx->now = after(fx->now, 1);
		(void)!store_tick(fx->store, fx->now, NULL);
	}
}

int make(void **state)
{
	disk_fault_clear();
	return fixture_make(state);
}
