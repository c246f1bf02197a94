/*
 * What it costs to export flows: CPU time of the exporter's thread for each flow, written whole,
 * masked, filtered away and counted by group. "dump FILE": such flows into a file (bench_dump.h).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "observer/export/backups.h"
#include "observer/export/config.h"
#include "observer/export/exporter.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_dump.h"
#include "tests/bench/made_flows.h"

enum { DICT = 1 << 14, PIECE = 4096, BATCH = 256, ROUNDS = 40 };
#define START (UINT64_C(1700000000) * NS_PER_S)

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

/* @members of an entry of flowLogs. @return ns a flow, the best round's. */
static double export_with(const char *members)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(made_flows_free) struct made_flows *m = NULL;
	AUTO(export_backups_free) struct export_backups *backups = NULL;
	AUTO(export_specs_free) struct export_specs *specs = NULL;
	static struct flow piece[PIECE];
	char dir[] = "/tmp/tycho-bench-export-XXXXXX", path[64], text[512];
	struct export_now now = { { START }, { NS_PER_S } };
	struct exporter *x = NULL;
	double best = 1e18;
	struct err e;

	if (!mkdtemp(dir))
		exit(1);
	(void)snprintf(path, sizeof path, "%s/flows", dir);
	(void)snprintf(text, sizeof text,
		       "flowLogs: [{name: bench, fileMaxSizeMb: 1000, filePath: %s%s}]", path,
		       members);
	say(flow_dict_new(DICT, &dict, &e), &e);
	say(made_flows_new(dict, 1546, 1, now.wall, &m, &e), &e);
	say(export_backups_new(&backups, &e), &e);
	say(export_specs_yaml(str_of(text), &specs, &e), &e);
	const struct exporter_env env = { dict, "node-17", backups };
	say(exporter_new(&specs->specs[0], &env, now, &x, &e), &e);
	for (int round = 0; round < ROUNDS; round++) {
		made_flows_next(m, piece, PIECE);
		(void)!truncate(path, 0); /* no more room than that of one round is needed */
		uint64_t from = cpu_ns();
		for (size_t i = 0; i < PIECE; i += BATCH)
			exporter_put(x, &piece[i], BATCH, now);
		exporter_pass(x, now);
		double ns = (double)(cpu_ns() - from) / PIECE;
		best = ns < best ? ns : best;
	}
	if (exporter_counts(x).lost)
		exit(1);
	exporter_free(x, now);
	(void)unlink(path);
	(void)rmdir(dir);
	return best;
}

static int dump(const char *path)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(made_flows_free) struct made_flows *m = NULL;
	static struct flow piece[PIECE];
	struct err e;

	say(flow_dict_new(DICT, &dict, &e), &e);
	say(made_flows_new(dict, 1546, 1, (struct wall_ns){ START }, &m, &e), &e);
	made_flows_next(m, piece, PIECE);
	return !bench_dump_flows(path, piece, PIECE, dict);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "dump") == 0)
		return dump(argv[2]);
	if (argc > 1) {
		(void)fprintf(stderr, "usage: bench_export [dump FILE]\n");
		return 1;
	}

	double whole = export_with("");

	bench_note("flows written whole", whole, "ns a flow");
	bench_at_least("of one exporter, on a core", 1e9 / whole, "flows/s", 100000);
	bench_note(
		"masked to six fields",
		export_with(", fieldMask: [time, verdict, source.pod_name, destination.pod_name, "
			    "l4, node_name]"),
		"ns a flow");
	bench_note("filtered away (drops wanted)",
		   export_with(", includeFilters: [{verdict: [DROPPED]}]"), "ns a flow");
	bench_note("counted by namespaces",
		   export_with(", fieldAggregate: [source.namespace, destination.namespace], "
			       "aggregationInterval: 1h"),
		   "ns a flow");
	return 0;
}
