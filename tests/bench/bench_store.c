/*
 * Ten million flows into a store and out again, beside a plain SQLite table of rows.
 *
 *	bench_store                     makes a store in a temporary folder, measures, removes it
 *	bench_store make DIR [FLOWS]    makes it and leaves it
 *	bench_store ask DIR QUESTION    "dropped", "pod", "quiet", "scan", "port", "all": what a
 *	                                cold process takes, its start included
 *	bench_store rows FILE [FLOWS]   the plain table
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "flow/flow.pb-c.h"
#include "store/store.h"
#include "tests/bench/bench.h"
#include "tests/bench/made_flows.h"

enum { FLOWS = 10000000, PIECE = 1024, DICT = 1 << 14, ROW_FLOWS = 1000000, ROUNDS = 3 };
#define START (UINT64_C(1700000000) * NS_PER_S)
#define FIRST UINT64_C(1700000000000000001)

static void say(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "%s\n", e->msg);
	exit(1);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct wall_ns make_store(const char *dir, size_t flows, bool tell)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(made_flows_free) struct made_flows *m = NULL;
	static struct flow piece[PIECE];
	struct store *s = NULL;
	struct wall_ns now = { START };
	uint64_t made = 0, put = 0;
	struct err e;

	say(flow_dict_new(DICT, &dict, &e), &e);
	say(made_flows_new(dict, 1546, FIRST, now, &m, &e), &e);
	const struct store_config config = { .dir = dir,
					     .dict = dict,
					     .node = "prod/node-17",
					     .version = "bench",
					     .seal_ns = UINT64_MAX };
	say(store_open(&config, now, FIRST, &s, &e), &e);
	for (size_t i = 0; i < flows; i += PIECE) {
		size_t n = flows - i < PIECE ? flows - i : PIECE;

		made_flows_next(m, piece, n);
		now.v = piece[n - 1].time.v;
		uint64_t from = cpu_ns();
		say(store_put(s, piece, n, now, &e), &e);
		put += cpu_ns() - from;
	}
	struct mono_ns from = mono_now();
	for (bool more = true; more;)
		if (store_tend(s, now, &more, NULL) != ERR_OK)
			break;
	made = mono_now().v - from.v;
	store_close(s, now);
	if (tell) {
		bench_at_least("into the store, hashed, one core",
			       (double)flows * 1e9 / (double)put, "flows/s", 1e6);
		bench_note("merging and tending it afterwards", (double)made / 1e9, "s");
	}
	return now;
}

static double bytes_of(const char *dir, const char *name)
{
	char path[600];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

/* --- questions ---------------------------------------------------------------------------- */

static struct flow_filter *filter_for(const char *question, const struct flow_dict *dict)
{
	static char port[] = "41999", common_port[] = "443", pod[] = "team-9/svc-9-7d9f8c6b5-66d13",
		    quiet[] = "team-0/svc-300-7d9f8c6b5-";
	char *ports[] = { port }, *common[] = { common_port },
	     *pods[] = { strcmp(question, "quiet") == 0 ? quiet : pod };
	Flow__FlowFilter a = FLOW__FLOW_FILTER__INIT, b = FLOW__FLOW_FILTER__INIT;
	Flow__FlowFilter *list[] = { &a, &b };
	Flow__Verdict dropped = FLOW__VERDICT__DROPPED;
	struct flow_filter *filter = NULL;
	size_t count = 1;
	struct err e;

	if (strcmp(question, "all") == 0)
		return NULL;
	if (strcmp(question, "dropped") == 0) {
		a.n_verdict = 1;
		a.verdict = &dropped;
	} else if (strcmp(question, "pod") == 0 || strcmp(question, "quiet") == 0) {
		a.n_source_pod = b.n_destination_pod = 1;
		a.source_pod = b.destination_pod = pods;
		count = 2;
	} else if (strcmp(question, "port") == 0) {
		a.n_destination_port = 1;
		a.destination_port = common;
	} else {
		a.n_destination_port = 1;
		a.destination_port = ports; /* a client's: zones know such ports by 256 only */
	}
	say(flow_filter_new(list, count, NULL, 0, dict, &filter, &e), &e);
	return filter;
}

/* Of this program's memory, the most there was. getrusage would count what the process had before
 * it became this program: that of whoever started it. */
static long most_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	long kib = 0;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
			break;
	if (f)
		(void)fclose(f);
	return kib;
}

static int ask(const char *dir, const char *question)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(store_reader_free) struct store_reader *r = NULL;
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct wall_ns oldest, newest;
	uint64_t found = 0, bytes = 0;
	bool more = true;
	struct err e;

	say(flow_dict_new(DICT, &dict, &e), &e);
	say(store_reader_open(dir, dict, &r, &e), &e);
	AUTO(flow_filter_free) struct flow_filter *filter = filter_for(question, dict);
	say(store_extent(r, &oldest, &newest, &e), &e);
	struct store_scan_config config = { .range = { .until = { UINT64_MAX },
						       .to_seq = UINT64_MAX },
					    .filter = filter,
					    .kinds = UINT32_MAX };
	if (strcmp(question, "pod") == 0 || strcmp(question, "quiet") == 0)
		config.range.since.v = newest.v - 3600 * NS_PER_S;
	say(store_scan_new(r, &config, &sc, &e), &e);
	while (more) {
		const struct flow *flows;
		size_t count;

		say(store_scan_next(sc, 65536, &flows, &count, &more, &e), &e);
		for (size_t i = 0; i < count; i++)
			bytes += flows[i].bytes;
		found += count;
	}
	(void)printf("%llu %llu %ld\n", (unsigned long long)found, (unsigned long long)bytes,
		     most_kib());
	return 0;
}

struct cold {
	double s, cpu_s; /* the process's time by the clock, and of the processor; best of ROUNDS */
	unsigned long long found;
	long kib;
};

static double children_s(void)
{
	struct rusage use;

	(void)getrusage(RUSAGE_CHILDREN, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* What a process of its own takes, its start included. */
static struct cold ask_cold(const char *self, const char *dir, const char *question)
{
	struct cold best = { .s = 1e9, .cpu_s = 1e9 };

	for (int round = 0; round < ROUNDS; round++) {
		char command[1200], line[200] = "";
		unsigned long long bytes;
		struct mono_ns start = mono_now();
		double cpu = children_s();

		(void)snprintf(command, sizeof command, "exec '%s' ask '%s' %s", self, dir,
			       question);
		FILE *p = popen(command, "r");
		if (!p || !fgets(line, sizeof line, p) || pclose(p) != 0 ||
		    sscanf(line, "%llu %llu %ld", &best.found, &bytes, &best.kib) != 3) {
			(void)fprintf(stderr, "%s failed\n", command);
			exit(1);
		}
		double s = (double)(mono_now().v - start.v) / 1e9;
		best.s = s < best.s ? s : best.s;
		cpu = children_s() - cpu;
		best.cpu_s = cpu < best.cpu_s ? cpu : best.cpu_s;
	}
	return best;
}

/* --- a plain table of rows ---------------------------------------------------------------- */

static void run_sql(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
		(void)fprintf(stderr, "%s\n", why);
		exit(1);
	}
}

/* What one would write at first: a column for each member, ids for names, indices on nothing. */
static void make_rows(const char *path, size_t flows, double *ret_ns)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(made_flows_free) struct made_flows *m = NULL;
	static struct flow piece[PIECE];
	sqlite3 *db;
	sqlite3_stmt *st;
	uint64_t spent = 0;
	struct err e;

	say(flow_dict_new(DICT, &dict, &e), &e);
	say(made_flows_new(dict, 1546, FIRST, (struct wall_ns){ START }, &m, &e), &e);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		exit(1);
	run_sql(db,
		"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
		"CREATE TABLE flow (seq INTEGER PRIMARY KEY, time, uuid, verdict, type, l4,"
		" src_ip, dst_ip, src_mac, dst_mac, ip_version, is_reply, direction, src_port,"
		" dst_port, tcp_flags, trace_point, trace_reason, event_type, event_sub_type,"
		" drop_reason, src_ep, dst_ep, src_svc, dst_svc, node, ifindex, ifname, packets,"
		" bytes, netns, kernel_reason, bits, ext); BEGIN");
	if (sqlite3_prepare_v2(
		    db,
		    "INSERT INTO flow VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
		    "?,?,?,?,?,?,?,?,?,?,?,?)",
		    -1, &st, NULL) != SQLITE_OK)
		exit(1);
	for (size_t i = 0; i < flows; i += PIECE) {
		made_flows_next(m, piece, PIECE);
		uint64_t from = cpu_ns();
		for (size_t k = 0; k < PIECE; k++) {
			const struct flow *f = &piece[k];
			const int64_t v[] = { (int64_t)f->seq, (int64_t)f->time.v };
			int at = 1, ip = ip_is_v4(f->src_ip) ? 12 : 0;

			(void)sqlite3_bind_int64(st, at++, v[0]);
			(void)sqlite3_bind_int64(st, at++, v[1]);
			(void)sqlite3_bind_blob(st, at++, f->uuid, 16, SQLITE_STATIC);
			const uint8_t small[] = { f->verdict, f->type, f->l4 };
			for (size_t b = 0; b < sizeof small; b++)
				(void)sqlite3_bind_int(st, at++, small[b]);
			(void)sqlite3_bind_blob(st, at++, f->src_ip + ip, 16 - ip, SQLITE_STATIC);
			(void)sqlite3_bind_blob(st, at++, f->dst_ip + ip, 16 - ip, SQLITE_STATIC);
			(void)sqlite3_bind_blob(st, at++, f->src_mac, 6, SQLITE_STATIC);
			(void)sqlite3_bind_blob(st, at++, f->dst_mac, 6, SQLITE_STATIC);
			const int64_t rest[] = { f->ip_version,     f->is_reply,     f->direction,
						 f->src_port,       f->dst_port,     f->tcp_flags,
						 f->trace_point,    f->trace_reason, f->event_type,
						 f->event_sub_type, f->drop_reason,  f->src_ep.v,
						 f->dst_ep.v,       f->src_svc.v,    f->dst_svc.v,
						 f->node.v,         f->ifindex };
			for (size_t b = 0; b < ARRAY_LEN(rest); b++)
				(void)sqlite3_bind_int64(st, at++, rest[b]);
			(void)sqlite3_bind_text(st, at++, f->ifname, -1, SQLITE_STATIC);
			const int64_t last[] = { (int64_t)f->packets, (int64_t)f->bytes, f->netns,
						 f->kernel_reason, f->bits };
			for (size_t b = 0; b < ARRAY_LEN(last); b++)
				(void)sqlite3_bind_int64(st, at++, last[b]);
			if (f->ext_len)
				(void)sqlite3_bind_blob(st, at, f->ext, (int)f->ext_len,
							SQLITE_STATIC);
			if (sqlite3_step(st) != SQLITE_DONE)
				exit(1);
			(void)sqlite3_reset(st);
			(void)sqlite3_clear_bindings(st);
		}
		spent += cpu_ns() - from;
	}
	(void)sqlite3_finalize(st);
	run_sql(db, "COMMIT");
	(void)sqlite3_close(db);
	*ret_ns = (double)spent / (double)flows;
}

/* --- all of it ---------------------------------------------------------------------------- */

static void measure(const char *self)
{
	char dir[] = "/tmp/bench-store-XXXXXX", command[100], path[600];
	double ns;

	if (!mkdtemp(dir))
		exit(1);
	(void)make_store(dir, FLOWS, true);
	double bytes = bytes_of(dir, "flows.db") + bytes_of(dir, "flows.db-wal");
	bench_at_most("on disk, all tables", bytes / FLOWS, "bytes a flow", 12);
	struct cold c = ask_cold(self, dir, "dropped");
	bench_at_most("--verdict DROPPED over 10,000,000, cold process", c.s, "s", 0.3);
	bench_note("the same, processor time", c.cpu_s, "s");
	bench_note("of them found", (double)c.found, "flows");
	long most = c.kib;
	c = ask_cold(self, dir, "pod");
	most = c.kib > most ? c.kib : most;
	bench_at_most("one pod's last hour, cold process", c.s, "s", 0.1);
	bench_note("the same, processor time", c.cpu_s, "s");
	bench_note("found", (double)c.found, "flows");
	c = ask_cold(self, dir, "quiet");
	most = c.kib > most ? c.kib : most;
	bench_at_most("a small service's last hour, cold process", c.s, "s", 0.1);
	bench_note("the same, processor time", c.cpu_s, "s");
	bench_note("found", (double)c.found, "flows");
	c = ask_cold(self, dir, "scan");
	most = c.kib > most ? c.kib : most;
	bench_at_least("scan for a port that no zone rules out, cold process", FLOWS / c.s,
		       "flows/s", 20e6);
	bench_note("the same, by processor time", FLOWS / c.cpu_s, "flows/s");
	bench_note("found", (double)c.found, "flows");
	c = ask_cold(self, dir, "port");
	most = c.kib > most ? c.kib : most;
	bench_note("scan for port 443, by processor time", FLOWS / c.cpu_s, "flows/s");
	bench_note("found", (double)c.found, "flows");
	c = ask_cold(self, dir, "all");
	bench_note("all members of all flows, by processor time", FLOWS / c.cpu_s, "flows/s");
	most = c.kib > most ? c.kib : most;
	bench_at_most("memory of such a process, the most of all questions", (double)most / 1024,
		      "MiB", 32);
	(void)snprintf(path, sizeof path, "%s/rows.db", dir);
	make_rows(path, ROW_FLOWS, &ns);
	double row_bytes = bytes_of(dir, "rows.db") / ROW_FLOWS;
	bench_note("a plain table of rows, of 1,000,000", row_bytes, "bytes a flow");
	bench_note("into the plain table, no journal", 1e9 / ns, "flows/s");
	bench_at_most("store beside table", bytes / FLOWS / row_bytes, "of its bytes", 0.2);
	(void)snprintf(command, sizeof command, "rm -r '%s'", dir);
	if (system(command) != 0)
		(void)fprintf(stderr, "%s is left\n", dir);
}

int main(int argc, char **argv)
{
	size_t flows = argc > 3 ? strtoul(argv[3], NULL, 10) : FLOWS;
	double ns;

	if (argc > 2 && strcmp(argv[1], "make") == 0) {
		(void)make_store(argv[2], flows, true);
		return 0;
	}
	if (argc > 3 && strcmp(argv[1], "ask") == 0)
		return ask(argv[2], argv[3]);
	if (argc > 2 && strcmp(argv[1], "rows") == 0) {
		make_rows(argv[2], flows, &ns);
		return 0;
	}
	measure(argv[0]);
	return 0;
}
