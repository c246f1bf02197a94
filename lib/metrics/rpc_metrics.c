#include "metrics/rpc_metrics.h"

#include "rpc/server.h"

enum { METHODS_MAX = 64, LABELS = 4 };

struct methods {
	struct rpc_method_counts counts[METHODS_MAX];
	size_t n;
};

/* "/service/method" and what kind it is. @return how many labels. */
static size_t put_labels(struct page_label *labels, const struct rpc_method_counts *m)
{
	static const char *const kinds[] = {
		[RPC_UNARY] = "unary",
		[RPC_SERVER_STREAM] = "server_stream",
		[RPC_BIDI_STREAM] = "bidi_stream",
	};
	struct str path = str_from(str_of(m->path), 1);
	size_t slash = str_find(path, '/');

	labels[0] = (struct page_label){ "grpc_method", str_from(path, slash + 1) };
	labels[1] = (struct page_label){ "grpc_service", str_upto(path, slash) };
	labels[2] = (struct page_label){ "grpc_type", str_of(kinds[m->kind]) };
	return 3;
}

static void tell(struct metrics_page *p, const struct methods *all, const char *name,
		 const char *help, size_t offset)
{
	page_family(p, name, METRIC_COUNTER, help);
	for (size_t i = 0; i < all->n; i++) {
		struct page_label labels[LABELS];
		uint64_t v;
		memcpy(&v, (const char *)&all->counts[i] + offset, sizeof v);
		size_t n = put_labels(labels, &all->counts[i]);
		page_u64(p, labels, n, v);
	}
}

static void tell_handled(struct metrics_page *p, const struct methods *all)
{
	page_family(p, "grpc_server_handled_total", METRIC_COUNTER,
		    "Total number of RPCs completed on the server, regardless of success or "
		    "failure.");
	for (size_t i = 0; i < all->n; i++)
		for (unsigned status = 0; status < RPC_STATUS_COUNT; status++) {
			struct page_label labels[LABELS];
			/* OK is always there, so that a rate has where to start */
			if (!all->counts[i].handled[status] && status != RPC_OK)
				continue;
			size_t n = put_labels(labels, &all->counts[i]);
			labels[n++] = (struct page_label){
				"grpc_code", str_of(rpc_status_name((enum rpc_status)status))
			};
			page_u64(p, labels, n, all->counts[i].handled[status]);
		}
}

static void tell_durations(struct metrics_page *p, const struct methods *all)
{
	_Static_assert((int)RPC_DURATION_BOUNDS == (int)HISTOGRAM_BOUNDS, "two kinds of histogram");

	page_family(p, "tycho_rpc_duration_seconds", METRIC_HISTOGRAM,
		    "How long calls took that are over; streams last as long as clients want");
	for (size_t i = 0; i < all->n; i++) {
		struct page_label labels[LABELS];
		struct histogram h = { .sum = (double)all->counts[i].duration_ns / 1e9 };
		if (all->counts[i].kind != RPC_UNARY)
			continue;
		memcpy(h.buckets, all->counts[i].durations, sizeof h.buckets);
		page_histogram(p, labels, put_labels(labels, &all->counts[i]), &h);
	}
}

void rpc_metrics_collect(void *ctx, struct metrics_page *p)
{
	const struct rpc_server *server = ctx;
	struct rpc_server_stats stats = rpc_server_stats(server);
	struct methods all;

	all.n = rpc_server_method_counts(server, all.counts, METHODS_MAX);
	if (all.n > METHODS_MAX)
		all.n = METHODS_MAX;
	tell(p, &all, "grpc_server_started_total", "Total number of RPCs started on the server.",
	     offsetof(struct rpc_method_counts, started));
	tell(p, &all, "grpc_server_msg_received_total",
	     "Total number of RPC stream messages received on the server.",
	     offsetof(struct rpc_method_counts, received));
	tell(p, &all, "grpc_server_msg_sent_total",
	     "Total number of gRPC stream messages sent by the server.",
	     offsetof(struct rpc_method_counts, sent));
	tell_handled(p, &all);
	tell_durations(p, &all);
	page_gauge(p, "tycho_rpc_live_calls", "Calls in progress", (double)stats.live_calls);
	page_counter(p, "tycho_rpc_sent_bytes_total", "Bytes of messages sent", stats.bytes_sent);
	page_counter(p, "tycho_rpc_stalled_calls_total",
		     "Calls cut off because the client took nothing", stats.stalled_calls);
}
