#include "store_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "flow/flow.pb-c.h"
#include "store/edge_table.h"
#include "store/inside.h"

int fixture_make(void **state)
{
	struct fixture *fx = calloc(1, sizeof *fx);

	if (!fx)
		return -1;
	(void)snprintf(fx->dir, sizeof fx->dir, "/tmp/tycho-store-XXXXXX");
	if (!mkdtemp(fx->dir) || flow_dict_new(4096, &fx->dict, NULL) != ERR_OK)
		return -1;
	fx->config = (struct store_config){
		.dir = fx->dir, .dict = fx->dict, .node = "here", .version = "1.2.3"
	};
	fx->next_seq = FIRST_SEQ;
	fx->now = NOON;
	*state = fx;
	return 0;
}

int fixture_remove(void **state)
{
	struct fixture *fx = *state;
	char path[400];

	fixture_close(fx);
	flow_dict_free(fx->dict);
	DIR *dir = opendir(fx->dir);
	for (struct dirent *d; dir && (d = readdir(dir));) {
		(void)snprintf(path, sizeof path, "%s/%s", fx->dir, d->d_name);
		if (d->d_name[0] != '.')
			(void)unlink(path);
	}
	(void)closedir(dir);
	(void)rmdir(fx->dir);
	free(fx);
	return 0;
}

void fixture_open(struct fixture *fx)
{
	struct err e = { 0 };

	if (store_open(&fx->config, fx->now, fx->next_seq, &fx->store, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	if (store_taken(fx->store) > fx->next_seq)
		fx->next_seq = store_taken(fx->store);
}

void fixture_close(struct fixture *fx)
{
	store_close(fx->store, fx->now);
	fx->store = NULL;
}

void fixture_kill(struct fixture *fx)
{
	/* Everything as it is on the disk now, from another process's view: copied away and back.
	 */
	static const char *const parts[] = { "flows.db", "flows.db-wal" };
	char command[400];

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		(void)snprintf(command, sizeof command, "cp %s/%s %s/copy.%s", fx->dir, parts[i],
			       fx->dir, parts[i]);
		assert_int_equal(system(command), 0);
	}
	fixture_close(fx);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		(void)snprintf(command, sizeof command, "mv %s/copy.%s %s/%s", fx->dir, parts[i],
			       fx->dir, parts[i]);
		assert_int_equal(system(command), 0);
	}
	/* Another process has a dictionary of its own. */
	flow_dict_free(fx->dict);
	assert_int_equal(flow_dict_new(4096, &fx->dict, NULL), ERR_OK);
	fx->config.dict = fx->dict;
}

struct flow fixture_flow(struct fixture *fx, uint64_t seq, struct wall_ns time)
{
	static const char *const pods[] = { "cart-0",  "cart-1", "front-0", "front-1",
					    "front-2", "db-0",   "db-1",    "mail-0" };
	const char *pod = pods[seq % ARRAY_LEN(pods)];
	const struct workload workload = { { pod, strlen(pod) - 2 }, STR("Deployment") };
	const struct str labels[] = { STR("k8s:app=shop"), STR("k8s:tier=x") };
	const struct endpoint src = { .id = (uint32_t)(seq % ARRAY_LEN(pods)) + 1,
				      .identity = 1000 + (uint32_t)(seq % ARRAY_LEN(pods)),
				      .namespace_ = STR("shop"),
				      .pod = str_of(pod),
				      .labels = labels,
				      .label_count = ARRAY_LEN(labels),
				      .workloads = &workload,
				      .workload_count = 1 };
	const struct str world_labels[] = { STR("reserved:world") };
	const struct endpoint dst = { .identity = 2, .labels = world_labels, .label_count = 1 };
	const struct node node = { .name = STR("here") };
	struct flow f = { .seq = seq,
			  .time = time,
			  .uuid = { seq * UINT64_C(0x9e3779b97f4a7c15) | 0x4000, seq | 1 },
			  .bits = FLOW_HAS_TIME | FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP |
				  FLOW_HAS_UUID | FLOW_HAS_DETAIL,
			  .kind = FLOW_KIND_FLOW,
			  .verdict = FLOW__VERDICT__FORWARDED,
			  .type = FLOW__FLOW_TYPE__L3_L4,
			  .l4 = FLOW_L4_TCP,
			  .ip_version = 1,
			  .is_reply = FLOW_REPLY_FALSE,
			  .packets = 2,
			  .bytes = 120 };

	ip_from_v4(f.src_ip, (const uint8_t[4]){ 10, 0, 0, (uint8_t)(seq % 8) });
	ip_from_v4(f.dst_ip, (const uint8_t[4]){ 192, 0, 2, 1 });
	f.src_port = (uint16_t)(40000 + seq % 1000);
	f.dst_port = 443;
	if (seq % 100 == 7) {
		f.verdict = FLOW__VERDICT__DROPPED;
		f.drop_reason = f.drop_desc = 133;
		f.kernel_reason = flow_dict_kernel_reason(fx->dict, STR("NETFILTER_DROP"));
	}
	f.src_ep = flow_dict_endpoint(fx->dict, &src);
	f.dst_ep = flow_dict_endpoint(fx->dict, &dst);
	f.node = flow_dict_node(fx->dict, &node);
	return f;
}

enum err_code fixture_put(struct fixture *fx, size_t n, struct err *e)
{
	enum err_code first = ERR_OK;

	while (n) {
		struct flow flows[64];
		size_t k = n < ARRAY_LEN(flows) ? n : ARRAY_LEN(flows);
		for (size_t i = 0; i < k; i++) {
			struct wall_ns time = { fx->now.v + fx->next_seq % 1000000 * 1000 };
			flows[i] = fixture_flow(fx, fx->next_seq++, time);
		}
		enum err_code code = store_put(fx->store, flows, k, fx->now, e);
		first = first == ERR_OK ? code : first;
		n -= k;
	}
	return first;
}

void fixture_put_other(struct fixture *fx, int number)
{
	struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
	struct err e;
	char pod[32];
	const struct endpoint src = { .namespace_ = STR("shop"),
				      .pod = str_n(pod, (size_t)snprintf(pod, sizeof pod,
									 "other-%d", number)) };

	f.src_ep = flow_dict_endpoint(fx->dict, &src);
	if (store_put(fx->store, &f, 1, fx->now, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

void fixture_block(struct fixture *fx, size_t n)
{
	struct err e = { 0 };

	if (fixture_put(fx, n, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	fx->now = after(fx->now, 1);
	if (store_tick(fx->store, fx->now, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

void fixture_tend(struct fixture *fx)
{
	struct err e = { 0 };

	for (bool more = true; more;)
		if (store_tend(fx->store, fx->now, &more, &e) != ERR_OK)
			fail_msg("%s", e.msg);
}

void fixture_run(struct fixture *fx, int seconds, size_t records)
{
	for (int i = 0; i < seconds; i++) {
		fixture_block(fx, records);
		fixture_tend(fx);
	}
}

bool fixture_is_as_put(struct fixture *fx, const struct flow *f)
{
	struct flow want = fixture_flow(fx, f->seq, f->time);

	return f->verdict == want.verdict && f->src_ep.v == want.src_ep.v &&
	       f->dst_ep.v == want.dst_ep.v && f->node.v == want.node.v &&
	       f->src_port == want.src_port && f->kernel_reason == want.kernel_reason &&
	       f->bits == want.bits && memcmp(f->uuid, want.uuid, sizeof f->uuid) == 0 &&
	       memcmp(f->src_ip, want.src_ip, sizeof f->src_ip) == 0 && f->bytes == want.bytes;
}

struct seen fixture_scan(struct fixture *fx, struct store_reader *r,
			 const struct store_scan_config *config)
{
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct seen seen = { .ordered = true };
	struct err e = { 0 };
	bool more = true;

	if (store_scan_new(r, config, &sc, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	while (more) {
		const struct flow *flows;
		size_t n;
		if (store_scan_next(sc, 1000, &flows, &n, &more, &e) != ERR_OK)
			fail_msg("%s", e.msg);
		for (size_t i = 0; i < n; i++) {
			bool in_order = config->backward ? flows[i].seq < seen.last
							 : flows[i].seq > seen.last;
			seen.ordered &= !seen.count || in_order;
			seen.first = seen.count ? seen.first : flows[i].seq;
			seen.last = flows[i].seq;
			seen.wrong += !fixture_is_as_put(fx, &flows[i]);
			seen.count++;
		}
	}
	return seen;
}

struct gap_list {
	struct seen_gap *list;
	size_t count, max;
};

static void add_gap(void *ctx, const struct store_gap *gap)
{
	struct gap_list *to = ctx;

	if (to->count < to->max) {
		struct seen_gap *g = &to->list[to->count];
		*g = (struct seen_gap){ .cause = gap->cause,
					.from = gap->from,
					.to = gap->to,
					.lost = gap->lost,
					.first_seq = gap->first_seq,
					.last_seq = gap->last_seq };
		(void)snprintf(g->detail, sizeof g->detail, "%.*s", STR_FMT(gap->detail));
	}
	to->count++;
}

size_t fixture_gaps(struct store_reader *r, struct seen_gap *list, size_t max)
{
	struct gap_list to = { list, 0, max };
	struct err e = { 0 };

	if (store_gaps(r, (struct wall_ns){ 0 }, (struct wall_ns){ UINT64_MAX }, add_gap, &to,
		       &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return to.count;
}

size_t count_gaps(struct store_reader *r, enum store_gap_cause cause)
{
	struct seen_gap list[256];
	size_t n = fixture_gaps(r, list, ARRAY_LEN(list)), found = 0;

	assert_true(n <= ARRAY_LEN(list));
	for (size_t i = 0; i < n; i++)
		found += list[i].cause == cause;
	return found;
}

static bool check_entry(void *ctx, const struct store_entry *entry)
{
	struct seen_chain *seen = ctx;
	struct chain_hash want = chain_entry(entry->number, &entry->before, entry->body);

	assert_memory_equal(entry->hash.v, want.v, sizeof want.v);
	if (seen->entries) {
		assert_int_equal(entry->number, seen->last + 1);
		assert_memory_equal(entry->before.v, seen->last_hash.v, sizeof seen->last_hash.v);
	} else {
		seen->first = entry->number;
		seen->first_before = entry->before;
	}
	seen->last_hash = entry->hash;
	seen->entries++;
	seen->last = entry->number;
	seen->blocks += entry->is_block;
	(void)snprintf(seen->last_body, sizeof seen->last_body, "%.*s", STR_FMT(entry->body));
	if (!entry->is_block) {
		struct str kind = str_from(entry->body, strlen("{\"kind\":\""));
		size_t n = strlen(seen->kinds);
		if (n + 2 < sizeof seen->kinds)
			seen->kinds[n] = kind.p[0];
	}
	return true;
}

struct seen_chain fixture_chain(struct store_reader *r)
{
	struct seen_chain seen = { 0 };
	struct err e = { 0 };

	if (store_chain(r, 0, check_entry, &seen, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return seen;
}

struct store_reader *fixture_reader(struct fixture *fx)
{
	struct store_reader *r = NULL;
	struct err e = { 0 };

	if (store_reader_new(fx->store, &r, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return r;
}

uint64_t fixture_sql(struct fixture *fx, const char *sql)
{
	char path[100];
	sqlite3 *h;
	sqlite3_stmt *st;
	uint64_t v = 0;

	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	(void)sqlite3_busy_timeout(h, 10000);
	assert_int_equal(edge_table_register(h), SQLITE_OK);
	if (sqlite3_prepare_v2(h, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(h));
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		v = (uint64_t)sqlite3_column_int64(st, 0);
	else
		assert_int_equal(rc, SQLITE_DONE);
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	return v;
}

void fixture_move_log(struct fixture *fx)
{
	/* SQLite waits for readers and writers here, but not for the store's own thread when that is
	 * moving the log: busy. */
	while (fixture_sql(fx, "PRAGMA wal_checkpoint(TRUNCATE)"))
		;
}

void fixture_bulk(struct fixture *fx, size_t n)
{
	static uint64_t x = 1;
	struct err e = { 0 };
	uint8_t ext[1500];

	for (size_t i = 0; i < n; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		/* field 100, bytes: flow.proto has none of that number */
		size_t len = 0;
		ext[len++] = 0xa2;
		ext[len++] = 0x06;
		ext[len++] = 0x80 | (1024 & 0x7f);
		ext[len++] = 1024 >> 7;
		for (size_t k = 0; k < 1024 / 8; k++, len += 8) {
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
			uint64_t mixed = x ^ x >> 29;
			memcpy(ext + len, &mixed, 8);
		}
		f.ext = ext;
		f.ext_len = (uint32_t)len;
		if (store_put(fx->store, &f, 1, fx->now, &e) != ERR_OK)
			fail_msg("%s", e.msg);
	}
	fx->now = after(fx->now, 1);
	if (store_tick(fx->store, fx->now, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

uint64_t fixture_file_bytes(const struct fixture *fx)
{
	char path[100];
	struct stat st;

	fixture_path(fx, "flows.db", path);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

void fixture_path(const struct fixture *fx, const char *name, char path[100])
{
	assert_in_range(snprintf(path, 100, "%.40s/%.50s", fx->dir, name), 1, 99);
}

struct seen_gap fixture_only_gap(struct store_reader *r)
{
	struct seen_gap gaps[4] = { 0 };
	size_t n = fixture_gaps(r, gaps, ARRAY_LEN(gaps));

	for (size_t i = 0; n != 1 && i < n && i < ARRAY_LEN(gaps); i++)
		print_message("%s %llu to %llu, lost %llu: %s\n",
			      store_gap_cause_name(gaps[i].cause),
			      (unsigned long long)gaps[i].from.v, (unsigned long long)gaps[i].to.v,
			      (unsigned long long)gaps[i].lost, gaps[i].detail);
	assert_int_equal(n, 1);
	return gaps[0];
}
