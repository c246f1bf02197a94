/*
 * bench_rpc - messages per second on one stream over loopback, beside the budget (docs: 700,000/s).
 *
 *	bench_rpc [millions of messages]
 *
 * Server and client are processes of this program; a message is 350 bytes, about one flow.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/bench/bench.h"

enum { MESSAGE_BYTES = 350, BUDGET_PER_S = 700000, ROUNDS = 5 };

struct flood {
	uint64_t left;
};

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct flood *f = state;

	for (; f->left > 0; f->left--) {
		uint8_t *room = rpc_call_reserve(call, MESSAGE_BYTES);
		if (!room)
			return RPC_MORE;
		memset(room, (int)f->left, MESSAGE_BYTES);
		rpc_call_commit(call, MESSAGE_BYTES);
	}
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}

static const struct rpc_stream_ops ops = { fill, free };

static void begin(struct rpc_call *call, struct str request, void *ctx)
{
	(void)ctx;
	struct flood *f = calloc(1, sizeof *f);

	if (!f || !parse_u64(request, UINT64_MAX, &f->left)) {
		free(f);
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "how many?");
		return;
	}
	rpc_call_stream(call, &ops, f);
}

/* Messages per second; 0 when the stream failed. */
static double run(struct rpc_channel *ch, const char *count)
{
	AUTO(rpc_stream_free) struct rpc_stream *s = NULL;
	struct str message;
	struct err e;
	uint64_t n = 0, start = mono_now().v;
	enum err_code code = rpc_stream_open(ch, "/bench.B/Flood", str_of(count), &s, &e);

	if (code == ERR_OK)
		while ((code = rpc_stream_next(s, 0, &message, &e)) == ERR_OK)
			n++;
	if (code != ERR_CLOSED) {
		(void)fprintf(stderr, "bench_rpc: %s\n", e.msg);
		return 0;
	}
	return (double)n * 1e9 / (double)(mono_now().v - start);
}

/* Serves until its parent closes the other end of @from_parent; tells its port to @to_parent. */
static int serve(int to_parent, int from_parent)
{
	const struct rpc_method method = { "/bench.B/Flood", begin, NULL };
	const struct rpc_listen listen = { .address = "127.0.0.1:0" };
	const struct rpc_server_config config = {
		.methods = &method, .method_count = 1, .listens = &listen, .listen_count = 1
	};
	struct rpc_server *s = NULL;
	struct err e;
	char byte;

	rpc_init();
	if (rpc_server_new(&config, &s, &e) != ERR_OK) {
		(void)fprintf(stderr, "bench_rpc: %s\n", e.msg);
		return 1;
	}
	int port = rpc_server_port(s, 0);
	bool ok = write(to_parent, &port, sizeof port) == sizeof port &&
		  read(from_parent, &byte, 1) == 0;
	rpc_server_free(s, NS_PER_S);
	rpc_shutdown();
	return ok ? 0 : 1;
}

static double cpu_s(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	struct rpc_channel *ch = NULL;
	struct err e;
	uint64_t millions = 1;
	char address[64], count[32];
	double best = 0;
	int port, down[2], up[2], status;

	if (argc > 1 && !parse_u64(str_of(argv[1]), 1000, &millions)) {
		(void)fprintf(stderr, "usage: bench_rpc [millions of messages]\n");
		return 1;
	}
	if (pipe(down) < 0 || pipe(up) < 0)
		return 1;
	pid_t child = fork(); /* before rpc_init: the C core does not survive it afterwards */
	if (child < 0)
		return 1;
	if (child == 0) {
		(void)close(down[1]);
		return serve(up[1], down[0]);
	}
	(void)close(up[1]);
	if (read(up[0], &port, sizeof port) != sizeof port)
		return 1;
	rpc_init();
	(void)snprintf(address, sizeof address, "127.0.0.1:%d", port);
	(void)snprintf(count, sizeof count, "%llu", (unsigned long long)millions * 1000000);
	if (rpc_channel_new(&(struct rpc_channel_config){ .address = address }, &ch, &e) !=
	    ERR_OK) {
		(void)fprintf(stderr, "bench_rpc: %s\n", e.msg);
		return 1;
	}
	for (int i = 0; i < ROUNDS; i++) {
		double rate = run(ch, count);
		if (rate > best)
			best = rate;
	}
	rpc_channel_free(ch);
	rpc_shutdown();
	(void)close(down[1]);
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	double messages = (double)millions * 1e6 * ROUNDS;
	bench_at_least("messages of 350 bytes on one stream", best, "/s", BUDGET_PER_S);
	bench_note("the same: server's CPU a message", cpu_s(RUSAGE_CHILDREN) * 1e9 / messages,
		   "ns");
	bench_note("the same: client's CPU a message", cpu_s(RUSAGE_SELF) * 1e9 / messages, "ns");
	return best > 0 ? 0 : 1;
}
