#include "rpc_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/time.h"

atomic_size_t fixture_done, fixture_streams;
atomic_size_t fixture_toils;

struct state {
	uint64_t next, end;
	bool ticks;
};

static void done(void *p)
{
	free(p);
	atomic_fetch_add(&fixture_done, 1);
}

static enum rpc_fill fill_count(struct rpc_call *call, void *p)
{
	struct state *st = p;
	char text[24];

	for (; st->next < st->end; st->next++) {
		int n = snprintf(text, sizeof text, "%llu", (unsigned long long)st->next);
		if (!rpc_call_send(call, str_n(text, (size_t)n)))
			return RPC_MORE;
	}
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}

static enum rpc_fill fill_flood(struct rpc_call *call, void *p)
{
	(void)p;
	for (uint8_t *room; (room = rpc_call_reserve(call, 2048));) {
		memset(room, 'x', 1024);
		rpc_call_commit(call, 1024);
	}
	return RPC_MORE;
}

static enum rpc_fill fill_heavy(struct rpc_call *call, void *p)
{
	enum { BYTES = 1 << 20 };

	(void)p;
	for (uint8_t *room; (room = rpc_call_reserve(call, BYTES));) {
		memset(room, 'x', BYTES);
		rpc_call_commit(call, BYTES);
	}
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}

static enum rpc_fill fill_idle(struct rpc_call *call, void *p)
{
	struct state *st = p;

	if (st->ticks)
		(void)rpc_call_send(call, STR("tick"));
	return RPC_IDLE;
}

static enum rpc_fill fill_toil(struct rpc_call *call, void *p)
{
	const struct state *st = p;
	uint64_t until = mono_now().v + st->end * NS_PER_US;

	(void)call;
	while (st->end && mono_now().v < until)
		;
	atomic_fetch_add(&fixture_toils, 1);
	return RPC_MORE;
}

static const struct rpc_stream_ops ops_count = { fill_count, done },
				   ops_heavy = { fill_heavy, done },
				   ops_flood = { fill_flood, done }, ops_idle = { fill_idle, done },
				   ops_toil = { fill_toil, done };

static void stream(struct rpc_call *call, const struct rpc_stream_ops *ops, struct str request)
{
	struct state *st = calloc(1, sizeof *st);

	(void)parse_u64(request, UINT64_MAX, &st->end);
	st->ticks = str_is(request, "tick");
	atomic_fetch_add(&fixture_streams, 1);
	rpc_call_stream(call, ops, st);
}

static void begin_echo(struct rpc_call *call, struct str request, void *ctx)
{
	(void)ctx;
	rpc_call_reply(call, request);
}

static void begin_fail(struct rpc_call *call, struct str request, void *ctx)
{
	(void)ctx;
	rpc_call_end(call, RPC_INVALID_ARGUMENT, "%.*s", STR_FMT(request));
}

static void begin_stream(struct rpc_call *call, struct str request, void *ctx)
{
	stream(call, ctx, request);
}

static void begin_silent(struct rpc_call *call, struct str request, void *ctx)
{
	(void)call, (void)request, (void)ctx;
}

static void begin_peer(struct rpc_call *call, struct str request, void *ctx)
{
	char text[300];
	struct str header = rpc_call_header(call, "x-who");
	(void)request, (void)ctx;
	int n = snprintf(text, sizeof text, "%s %.*s", rpc_call_peer(call), STR_FMT(header));
	rpc_call_reply(call, str_n(text, (size_t)n));
}

struct rpc_server *fixture_serve(struct rpc_server_config config)
{
	static const struct rpc_listen anywhere = { .address = "127.0.0.1:0" };
	const struct rpc_method methods[] = {
		{ "/test.T/Echo", begin_echo, NULL },
		{ "/test.T/Fail", begin_fail, NULL },
		{ "/test.T/Count", begin_stream, (void *)(uintptr_t)&ops_count },
		{ "/test.T/Heavy", begin_stream, (void *)(uintptr_t)&ops_heavy },
		{ "/test.T/Flood", begin_stream, (void *)(uintptr_t)&ops_flood },
		{ "/test.T/Idle", begin_stream, (void *)(uintptr_t)&ops_idle },
		{ "/test.T/Toil", begin_stream, (void *)(uintptr_t)&ops_toil },
		{ "/test.T/Silent", begin_silent, NULL },
		{ "/test.T/Peer", begin_peer, NULL },
	};
	struct rpc_server *s = NULL;
	struct err e = { .code = ERR_OK };

	atomic_store(&fixture_done, 0);
	atomic_store(&fixture_streams, 0);
	config.methods = methods;
	config.method_count = ARRAY_LEN(methods);
	if (config.listen_count == 0) {
		config.listens = &anywhere;
		config.listen_count = 1;
	}
	if (rpc_server_new(&config, &s, &e) != ERR_OK)
		fail_msg("server: %s", e.msg);
	return s;
}

struct rpc_channel *fixture_channel_to(const char *address, const struct rpc_tls *tls)
{
	struct rpc_channel *ch = NULL;
	struct err e;

	if (rpc_channel_new(&(struct rpc_channel_config){ .address = address, .tls = tls }, &ch,
			    &e) != ERR_OK)
		fail_msg("channel: %s", e.msg);
	return ch;
}

struct rpc_channel *fixture_channel(const struct rpc_server *s)
{
	char address[64];

	(void)snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(s, 0));
	return fixture_channel_to(address, NULL);
}

void fixture_wait(bool (*fn)(void *), void *arg, const char *what)
{
	struct mono_ns start = mono_now();

	while (!fn(arg)) {
		if (mono_now().v - start.v > 120 * NS_PER_S)
			fail_msg("waited in vain until %s", what);
		(void)usleep(1000); /* between looks; what is awaited has no descriptor to poll */
	}
}

size_t fixture_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static char dir[64];

static void remove_dir(void)
{
	DIR *d = opendir(dir);
	char path[400];

	for (struct dirent *ent; d && (ent = readdir(d));) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, ent->d_name);
		(void)unlink(path);
	}
	if (d)
		(void)closedir(d);
	(void)rmdir(dir);
}

const char *fixture_dir(void)
{
	if (!*dir) {
		(void)snprintf(dir, sizeof dir, "/tmp/tycho-rpc-XXXXXX");
		assert_non_null(mkdtemp(dir));
		(void)atexit(remove_dir);
	}
	return dir;
}

struct rpc_stream *fixture_open(struct rpc_channel *ch, const char *method, const char *request)
{
	struct rpc_stream *s = NULL;
	struct err e;

	if (rpc_stream_open(ch, method, str_of(request), &s, &e) != ERR_OK)
		fail_msg("%s: %s", method, e.msg);
	return s;
}

const char *fixture_next(struct rpc_stream *s)
{
	static _Thread_local char text[4096];
	struct str message;
	struct err e;
	enum err_code code = rpc_stream_next(s, 30 * NS_PER_S, &message, &e);

	if (code == ERR_CLOSED)
		return NULL;
	if (code != ERR_OK)
		fail_msg("stream: %s", e.msg);
	size_t n = message.len < sizeof text - 1 ? message.len : sizeof text - 1;
	memcpy(text, message.p, n);
	text[n] = 0;
	return text;
}
