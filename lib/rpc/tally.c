#include "rpc/tally.h"

#include "base/counter.h"
#include "base/time.h"
#include "rpc/serving.h"

static const struct {
	const char *path;
	enum rpc_kind kind;
} builtin[] = {
	{ "/grpc.health.v1.Health/Check", RPC_UNARY },
	{ "/grpc.health.v1.Health/List", RPC_UNARY },
	{ "/grpc.health.v1.Health/Watch", RPC_SERVER_STREAM },
	{ "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", RPC_BIDI_STREAM },
	{ "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", RPC_BIDI_STREAM },
};

const uint64_t rpc_duration_bounds_ns[RPC_DURATION_BOUNDS] = {
	5 * NS_PER_MS,    10 * NS_PER_MS,  25 * NS_PER_MS,  50 * NS_PER_MS,
	100 * NS_PER_MS,  250 * NS_PER_MS, 500 * NS_PER_MS, 1000 * NS_PER_MS,
	2500 * NS_PER_MS, 5 * NS_PER_S,    10 * NS_PER_S,
};

struct tally *tally_new(const struct rpc_method *methods, size_t count, const struct reflection *r,
			size_t *ret_count)
{
	struct tally *all = calloc(count + ARRAY_LEN(builtin), sizeof *all);

	if (!all)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		all[i].path = methods[i].path;
		all[i].kind = reflection_kind(r, str_of(methods[i].path));
	}
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
		all[count + i].path = builtin[i].path;
		all[count + i].kind = builtin[i].kind;
	}
	*ret_count = count + ARRAY_LEN(builtin);
	return all;
}

struct tally *tally_find(struct tally *all, size_t count, struct str path)
{
	for (size_t i = 0; i < count; i++)
		if (str_is(path, all[i].path))
			return &all[i];
	return NULL;
}

void tally_started(struct tally *t)
{
	if (t)
		counter_add(&t->started, 1);
}

void tally_received(struct tally *t)
{
	if (t)
		counter_add(&t->received, 1);
}

void tally_sent(struct tally *t)
{
	if (t)
		counter_add(&t->sent, 1);
}

void tally_handled(struct tally *t, enum rpc_status status, uint64_t duration_ns)
{
	size_t bucket = 0;

	if (!t)
		return;
	while (bucket < RPC_DURATION_BOUNDS && duration_ns > rpc_duration_bounds_ns[bucket])
		bucket++;
	counter_add(&t->handled[(unsigned)status < RPC_STATUS_COUNT ? status : RPC_UNKNOWN], 1);
	counter_add(&t->durations[bucket], 1);
	counter_add(&t->duration_ns, duration_ns);
}

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

struct rpc_method_counts tally_counts(const struct tally *t)
{
	struct rpc_method_counts c = { .path = t->path,
				       .kind = t->kind,
				       .started = load(&t->started),
				       .received = load(&t->received),
				       .sent = load(&t->sent),
				       .duration_ns = load(&t->duration_ns) };

	for (size_t i = 0; i < RPC_STATUS_COUNT; i++)
		c.handled[i] = load(&t->handled[i]);
	for (size_t i = 0; i <= RPC_DURATION_BOUNDS; i++)
		c.durations[i] = load(&t->durations[i]);
	return c;
}
