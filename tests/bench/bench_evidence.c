/* What evidence costs: an export from the store with its bundle, and the bundle's verification, by
 * one thread and by two; of a busy node's flows (made_flows.h), and of flows between pods that differ
 * in little but their names, addresses and ports. */
#include <dirent.h>
#include <stdio.h>
#include <time.h>

#include "evidence/collect.h"
#include "evidence/export.h"
#include "evidence/verify.h"
#include "tests/bench/bench.h"
#include "tests/bench/made_flows.h"
#include "tests/bench/pod_flows.h"
#include "tycho/v1/evidence.pb-c.h"

enum { BLOCK = 8192, BLOCKS = 128, ROUNDS = 9 };
#define START (1709632000 * NS_PER_S)

static struct flow flows[BLOCK];

static void remove_folder(const char *dir)
{
	DIR *d = opendir(dir);
	char path[512];

	for (struct dirent *entry; d && (entry = readdir(d));) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		(void)unlink(path);
	}
	if (d)
		(void)closedir(d);
	(void)rmdir(dir);
}

static enum err_code make_bundle(struct store *s, struct flow_dict *d,
				 const struct evidence_key *key, const char *path, struct err *e)
{
	AUTO(store_reader_free) struct store_reader *reader = NULL;
	AUTO(evidence_export_free) struct evidence_export *x = NULL;
	AUTO(evidence_collect_free) struct evidence_collect *c = NULL;
	AUTO_BUF struct buf request = buf_init(4096), message = buf_init(64 << 20);
	Tycho__V1__ExportRequest r;
	uint8_t nonce[EXPORT_NONCE_BYTES] = { 0 };

	tycho__v1__export_request__init(&r);
	r.nonce = (ProtobufCBinaryData){ sizeof nonce, nonce };
	uint8_t *to = (uint8_t *)buf_reserve(&request, 1024);
	request.len = tycho__v1__export_request__pack(&r, to);
	enum err_code code = store_reader_new(s, &reader, e);
	const struct evidence_export_config config = { .reader = reader,
						       .dict = d,
						       .key = key,
						       .node = "edge/worker-1",
						       .version = "bench",
						       .now = wall_now() };
	const struct evidence_collect_config collect = {
		.path = path, .request = buf_str(&request), .tool = "bench", .now = wall_now()
	};
	if (code == ERR_OK)
		code = evidence_export_new(&config, buf_str(&request), &x, e);
	if (code == ERR_OK)
		code = evidence_collect_new(&collect, &c, e);
	for (bool more = true; more && code == ERR_OK;) {
		code = evidence_export_next(x, &message, &more, e);
		if (code == ERR_OK && message.len)
			code = evidence_collect_put(c, buf_str(&message), e);
	}
	return code == ERR_OK ? evidence_collect_finish(c, e) : code;
}

/* Processor time of all threads: what others take is not in it. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void note(const char *of, const char *what, double value, const char *unit, double floor)
{
	char name[128];

	(void)snprintf(name, sizeof name, "evidence, %s: %s", of, what);
	if (floor > 0)
		bench_at_least(name, value, unit, floor);
	else
		bench_note(name, value, unit);
}

static double rate(uint64_t count, uint64_t ns)
{
	return (double)count / ((double)ns / NS_PER_S);
}

/* As many as the bundle has: what was stored last is not sealed yet, and not in it. */
static uint64_t flows_of(struct buf *summary)
{
	static const char member[] = "  flows ";
	const char *at = strstr(buf_cstr(summary), member);

	return at ? strtoull(at + strlen(member), NULL, 10) : 0;
}

static enum err_code run(const char *dir, const char *of, bool made, struct err *e)
{
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	AUTO(made_flows_free) struct made_flows *busy = NULL;
	AUTO(evidence_key_free) struct evidence_key *key = NULL;
	AUTO_BUF struct buf summary = buf_init(1 << 20);
	char key_path[256], path[256];
	struct store *s = NULL;

	(void)snprintf(key_path, sizeof key_path, "%s/key", dir);
	(void)snprintf(path, sizeof path, "%s/bundle", dir);
	enum err_code code = flow_dict_new(65536, &d, e);
	const struct store_config config = { .dir = dir,
					     .dict = d,
					     .node = "edge/worker-1",
					     .version = "bench",
					     .seal_flows = BLOCK };
	if (code == ERR_OK)
		code = evidence_key_open(key_path, true, &key, e);
	if (code == ERR_OK)
		code = store_open(&config, wall_now(), 1, &s, e);
	if (code != ERR_OK)
		return code;
	const struct pod_flows pods = pod_flows_named(d);
	if (made)
		code = made_flows_new(d, 1546, 1, (struct wall_ns){ START }, &busy, e);
	for (uint64_t b = 0; b < BLOCKS && code == ERR_OK; b++) {
		for (uint32_t i = 0; i < BLOCK && !made; i++)
			flows[i] = pod_flow(&pods, 1 + b * BLOCK + i, i);
		if (made)
			made_flows_next(busy, flows, BLOCK);
		code = store_put(s, flows, BLOCK, wall_now(), e);
	}
	uint64_t at = mono_now().v, used_before = cpu_ns();
	if (code == ERR_OK)
		code = make_bundle(s, d, key, path, e);
	uint64_t took = mono_now().v - at, used = cpu_ns() - used_before;
	store_close(s, wall_now());
	const struct evidence_verify_config once = { .path = path };
	if (code == ERR_OK)
		code = evidence_verify(&once, &summary, e);
	const uint64_t count = code == ERR_OK ? flows_of(&summary) : 1;
	note(of, "export into a bundle", rate(count, took), "flows/s", 0);
	note(of, "export, processor time", (double)used / (double)count, "ns/flow", 0);
	for (unsigned threads = 1; threads <= 2 && code == ERR_OK; threads++) {
		const struct evidence_verify_config verify = { .path = path, .threads = threads };
		uint64_t best = UINT64_MAX, cpu = UINT64_MAX;
		for (int i = 0; i < ROUNDS && code == ERR_OK; i++) {
			buf_reset(&summary);
			used = cpu_ns();
			at = mono_now().v;
			code = evidence_verify(&verify, &summary, e);
			at = mono_now().v - at;
			used = cpu_ns() - used;
			best = at < best ? at : best;
			cpu = used < cpu ? used : cpu;
		}
		if (threads == 1)
			note(of, "verify, processor time", (double)cpu / (double)count, "ns/flow",
			     0);
		if (threads == 2)
			note(of, "verify, two threads", rate(count, best), "flows/s", 2e6);
		else
			note(of, "verify, one thread", rate(count, best), "flows/s", 0);
	}
	FILE *f = fopen(path, "re");
	if (f && fseek(f, 0, SEEK_END) == 0)
		note(of, "a bundle", (double)ftell(f) / (double)count, "bytes/flow", 0);
	if (f)
		(void)fclose(f);
	return code;
}

int main(void)
{
	static const char *const kinds[] = { "pods", "a busy node" };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char dir[] = "/tmp/tycho-bench-XXXXXX";
		if (!mkdtemp(dir))
			return 1;
		enum err_code code = run(dir, kinds[i], i == 1, &e);
		remove_folder(dir);
		if (code != ERR_OK) {
			(void)fprintf(stderr, "%s\n", e.msg);
			return 1;
		}
	}
	return 0;
}
