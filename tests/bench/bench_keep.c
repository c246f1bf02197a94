/*
 * What history costs the node that keeps it: blocks of a second, merged as the keeper does, at a
 * quiet rate and at a busy one. CPU time of the store's thread for each flow, and the memory that
 * the store takes beside the names.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/bench/bench.h"
#include "tests/bench/made_flows.h"

enum { DICT = 1 << 14, PIECE = 1024 };
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

static double resident_mib(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		(void)fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void remove_folder(const char *dir)
{
	char path[600];
	DIR *d = opendir(dir);

	for (struct dirent *entry; d && (entry = readdir(d));) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] != '.')
			(void)unlink(path);
	}
	if (d)
		(void)closedir(d);
	(void)rmdir(dir);
}

static void keep(uint64_t flows_a_second, size_t flows)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(made_flows_free) struct made_flows *m = NULL;
	static struct flow piece[PIECE];
	char dir[] = "/tmp/tycho-bench-keep-XXXXXX", name[100];
	struct store *s = NULL;
	uint64_t put = 0, tended = 0;
	struct wall_ns now = { START };
	double before, most = 0;
	struct err e;

	if (!mkdtemp(dir))
		exit(1);
	say(flow_dict_new(DICT, &dict, &e), &e);
	say(made_flows_new(dict, 1546, FIRST, now, &m, &e), &e);
	const struct store_config config = { .dir = dir,
					     .dict = dict,
					     .node = "prod/node-17",
					     .version = "bench",
					     .seal_flows = 32767 };
	made_flows_next(m, piece, PIECE);
	before = resident_mib();
	say(store_open(&config, now, FIRST, &s, &e), &e);
	for (size_t i = 0; i < flows; i += PIECE) {
		if (i)
			made_flows_next(m, piece, PIECE);
		uint64_t from = cpu_ns();
		say(store_put(s, piece, PIECE, now, &e), &e);
		say(store_tick(s, now, &e), &e);
		put += cpu_ns() - from;
		now.v += PIECE * NS_PER_S / flows_a_second;
		from = cpu_ns();
		for (bool more = true; more;)
			if (store_tend(s, now, &more, NULL) != ERR_OK)
				break;
		tended += cpu_ns() - from;
		double mib = resident_mib() - before;
		most = mib > most ? mib : most;
	}
	struct store_counts c = store_counts(s);
	store_close(s, now);
	remove_folder(dir);
	(void)snprintf(name, sizeof name, "%llu flows/s: put, hashed, sealed each second",
		       (unsigned long long)flows_a_second);
	bench_note(name, (double)put / (double)flows, "ns a flow");
	bench_note("merged and tended", (double)tended / (double)flows, "ns a flow");
	bench_note("of a core",
		   (double)(put + tended) / (double)flows * (double)flows_a_second / 1e7, "%");
	bench_note("longest seal", (double)c.seal_ns_max / 1e6, "ms");
	bench_at_most("memory of the store", most, "MiB", 32);
}

/* In a process of its own: memory that was freed before would hide what is taken. */
static void keep_apart(uint64_t flows_a_second, size_t flows)
{
	(void)fflush(stdout);
	pid_t child = fork();

	if (child == 0) {
		keep(flows_a_second, flows);
		exit(0);
	}
	int status = 1;
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		exit(1);
}

int main(void)
{
	keep_apart(1000, 600 * 1024);
	keep_apart(10000, 1000 * 1024);
	keep_apart(100000, 3000 * 1024);
	return 0;
}
