#include "observer/telling.h"

#include "observer/api/api.h"
#include "observer/capture.h"
#include "observer/log/log.h"
#include "observer/metrics/reader.h"
#include "observer/name/name.h"
#include "store/store.h"

enum { SOURCES_MAX = 16 };

/* A family of one label. */
static void put_labelled(struct metrics_page *p, const char *label, const char *value, uint64_t v)
{
	const struct page_label labels[] = { { label, str_of(value) } };

	page_u64(p, labels, 1, v);
}

/* --- sources ------------------------------------------------------------------------------ */

static size_t list_sources(const struct telling *t, struct capture_source *sources)
{
	size_t n = 0;

	while (n < SOURCES_MAX && capture_source(t->capture, n, &sources[n]))
		n++;
	return n;
}

static bool has_figure(const struct capture_source *s, const char *name, uint64_t *ret)
{
	for (size_t i = 0; i < s->figure_count; i++)
		if (strcmp(s->figures[i].kind->name, name) == 0) {
			*ret = s->figures[i].value;
			return true;
		}
	return false;
}

/* All samples of a family together: those of the sources from @sources on that have it. */
static void tell_figure(struct metrics_page *p, const struct source_figure_kind *kind,
			const struct capture_source *sources, size_t n)
{
	char name[128];
	struct buf b = buf_fixed(name, sizeof name);
	uint64_t v;

	buf_lit(&b, "tycho_source_");
	buf_str_put(&b, str_of(kind->name));
	page_family(p, buf_cstr(&b), kind->is_counter ? METRIC_COUNTER : METRIC_GAUGE, kind->help);
	for (size_t i = 0; i < n; i++)
		if (has_figure(&sources[i], kind->name, &v))
			put_labelled(p, "source", sources[i].name, v);
}

/* The families that sources have of their own. */
static void tell_figures(struct metrics_page *p, const struct capture_source *sources, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < sources[i].figure_count; j++) {
			const struct source_figure_kind *kind = sources[i].figures[j].kind;
			bool told = false;
			for (size_t k = 0; k < i && !told; k++)
				told = has_figure(&sources[k], kind->name, &(uint64_t){ 0 });
			if (!told)
				tell_figure(p, kind, sources + i, n - i);
		}
}

/* CPUs that lost nothing are not told of: there may be thousands. If all did, nor is the family. */
static void tell_cpus(const struct telling *t, struct metrics_page *p)
{
	bool any = false;
	char cpu[12];

	for (uint32_t i = 0; i < COMPOSE_CPUS; i++) {
		uint64_t lost = capture_lost_of(t->capture, i);
		if (!lost)
			continue;
		if (!any)
			page_family(p, "tycho_lost_events_by_cpu_total", METRIC_COUNTER,
				    "Events that found a kernel buffer full, by the processor it"
				    " belongs to");
		any = true;
		(void)snprintf(cpu, sizeof cpu, "%u", i);
		put_labelled(p, "cpu", cpu, lost);
	}
}

static void tell_sources(const struct telling *t, struct metrics_page *p)
{
	struct capture_source sources[SOURCES_MAX];
	size_t n = list_sources(t, sources);

	page_family(p, "tycho_source_events_total", METRIC_COUNTER,
		    "Events by where they came from");
	for (size_t i = 0; i < n; i++)
		put_labelled(p, "source", sources[i].name, sources[i].events);
	page_family(p, "tycho_source_lost_events_total", METRIC_COUNTER,
		    "Events lost before they could be read, by where they came from");
	for (size_t i = 0; i < n; i++)
		put_labelled(p, "source", sources[i].name, sources[i].lost);
	tell_cpus(t, p);
	tell_figures(p, sources, n);
	page_gauge(p, "tycho_capture_silent_seconds",
		   "How long ago the capture thread last looked around",
		   (double)(mono_now().v - capture_seen(t->capture).v) / 1e9);
}

/* --- the way of a flow -------------------------------------------------------------------- */

static void tell_decoding(const struct telling *t, struct metrics_page *p)
{
	struct compose_counts counts = capture_counts(t->capture);

	page_family(p, "tycho_decode_errors_total", METRIC_COUNTER,
		    "Events that made no flow, by what was wrong with them");
	put_labelled(p, "kind", "refused_packet", counts.refused);
	put_labelled(p, "kind", "bad_message", counts.bad_messages);
	page_counter(
		p, "tycho_dns_cut_messages_total",
		"DNS messages that were not captured to their end: the flow has what was there",
		counts.cut_dns);
}

static void tell_policies(const struct telling *t, struct metrics_page *p)
{
	const struct policy_table *table = capture_policies(t->capture);

	if (!table)
		return;
	struct policy_counts counts = policy_table_counts(table);
	page_family(p, "tycho_policy_flows_total", METRIC_COUNTER,
		    "Drops and verdicts put to the policies in force, by what came of it");
	put_labelled(p, "outcome", "derived", counts.derived);
	put_labelled(p, "outcome", "likely", counts.likely);
	put_labelled(p, "outcome", "contradicted", counts.contradicted);
	put_labelled(p, "outcome", "unexplained", counts.unexplained);
	page_gauge(p, "tycho_policies", "Policies in force", (double)counts.policies);
}

static void tell_log(const struct telling *t, struct metrics_page *p)
{
	struct flow_log_counts counts = flow_log_counts(t->log);

	page_counter(p, "tycho_flows_seen_total", "Flows put into the log", counts.seen_flows);
	page_counter(p, "tycho_log_records_total", "Records of every kind put into the log",
		     counts.records);
	page_counter(p, "tycho_log_cut_records_total",
		     "Records whose variable part was too large to keep",
		     counts.cut + capture_counts(t->capture).cut);
	page_gauge(p, "tycho_log_held_records", "Records in the log", (double)counts.held);
	page_gauge(p, "tycho_log_capacity_records", "Records that the log can hold",
		   (double)counts.capacity);
	page_gauge(p, "tycho_log_oldest_timestamp_seconds",
		   "Time of the oldest record in the log; 0: there is none",
		   (double)counts.oldest_time.v / 1e9);
	page_gauge(p, "tycho_log_newest_timestamp_seconds",
		   "Time of the newest record in the log; 0: there is none",
		   (double)counts.newest_time.v / 1e9);
}

static void tell_names(const struct telling *t, struct metrics_page *p)
{
	struct flow_dict_counts counts = flow_dict_counts(t->dict);

	page_family(p, "tycho_names_entries", METRIC_GAUGE, "Names in the dictionary, by kind");
	put_labelled(p, "kind", "endpoint", counts.endpoints);
	put_labelled(p, "kind", "service", counts.services);
	put_labelled(p, "kind", "node", counts.nodes);
	put_labelled(p, "kind", "kernel_reason", counts.kernel_reasons);
	page_counter(p, "tycho_names_overflow_total",
		     "Names that a full dictionary could not hold: flows keep identities only",
		     counts.overflows);
	page_gauge(p, "tycho_names_bytes", "Memory of the dictionary", (double)counts.bytes);
	page_counter(p, "tycho_namespaces_unlisted_total",
		     "Sides of flows whose namespace is not listed, for there are too many",
		     name_unlisted(t->names));
	struct name_dns_counts dns = name_dns_counts(t->names);
	page_counter(p, "tycho_dns_names_pushed_out_total",
		     "DNS names learned that made room for others before their time",
		     dns.pushed_out);
	page_gauge(p, "tycho_dns_names_left_out",
		   "DNS names of an endpoint and an address beyond those that are kept",
		   (double)dns.left_out);
}

/* --- readers ------------------------------------------------------------------------------ */

static uint64_t store_lag(const struct telling *t)
{
	uint64_t next = flow_log_range(t->log).next, at = store_taken(t->store);

	return at < next ? next - at : 0;
}

/* The others, in a family of one label: what was lost, or the lag. */
static void tell_readers(const struct telling *t, struct metrics_page *p, bool lost)
{
	for (size_t i = 0; i < t->reader_count; i++) {
		const struct telling_reader *r = &t->readers[i];
		uint64_t counts[2];
		r->counts(r->ctx, &counts[0], &counts[1]);
		put_labelled(p, "reader", r->name, counts[!lost]);
	}
}

static void tell_loss(const struct telling *t, struct metrics_page *p)
{
	static const char *const sources[] = { "unknown_lost_event_source",
					       "perf_event_ring_buffer", "observer_events_queue",
					       "hubble_ring_buffer" };
	struct metrics_reader_counts reader = metrics_reader_counts(t->reader);
	struct api_counts api = api_counts(t->api);

	page_family(p, "hubble_lost_events_total", METRIC_COUNTER, "Number of lost events");
	for (size_t i = 1; i < ARRAY_LEN(sources); i++) {
		/* overtaken readers: each counts its own, as on the reference's server */
		uint64_t readers = i == 3 ? reader.missed + api.lost_records : 0;
		put_labelled(p, "source", sources[i], reader.lost_events[i] + readers);
	}
	page_family(p, "tycho_lost_records_total", METRIC_COUNTER,
		    "Records of the log that a reader was too slow for, by reader");
	put_labelled(p, "reader", "api", api.lost_records);
	put_labelled(p, "reader", "metrics", reader.missed);
	tell_readers(t, p, true);
	page_counter(p, "tycho_metrics_records_total", "Records of the log that were counted",
		     reader.records);
	page_family(p, "tycho_reader_lag_records", METRIC_GAUGE,
		    "Records of the log that a reader has not come to yet; of many, the furthest");
	put_labelled(p, "reader", "api", api.lag_records);
	put_labelled(p, "reader", "metrics", reader.lag);
	if (t->store)
		put_labelled(p, "reader", "store", store_lag(t));
	tell_readers(t, p, false);
	page_family(p, "tycho_metrics_reloads_total", METRIC_COUNTER,
		    "Readings of the metrics file, by how they went");
	put_labelled(p, "outcome", "good", reader.reloads);
	put_labelled(p, "outcome", "bad", reader.bad_reloads);
}

static void tell_series(const struct telling *t, struct metrics_page *p)
{
	struct metrics_counts counts = metrics_counts(t->metrics);

	page_gauge(p, "tycho_metrics_series", "Series of Hubble's metrics", (double)counts.series);
	page_gauge(p, "tycho_metrics_series_limit", "Most series of Hubble's metrics at a time",
		   (double)counts.series_max);
	page_counter(p, "tycho_metrics_series_folded_total",
		     "Series folded into others because there were too many", counts.folded);
	page_counter(p, "tycho_metrics_series_removed_total",
		     "Series removed because their pod is gone", counts.removed);
	page_counter(p, "tycho_metrics_refused_total",
		     "Increments that found no memory for their series", counts.refused);
}

static void tell_api(const struct telling *t, struct metrics_page *p)
{
	struct api_counts api = api_counts(t->api);

	page_gauge(p, "tycho_api_streams", "Streams of flows and events being answered",
		   (double)api.streams);
	page_gauge(p, "tycho_api_subscribers", "Streams that follow", (double)api.followers);
	page_counter(p, "tycho_api_filter_faults_total",
		     "Flows on which a filter's expression failed and which it did not match",
		     api.filter_faults);
}

void telling_collect(void *ctx, struct metrics_page *page)
{
	const struct telling *t = ctx;

	tell_loss(t, page);
	tell_sources(t, page);
	tell_decoding(t, page);
	tell_policies(t, page);
	tell_log(t, page);
	tell_names(t, page);
	tell_series(t, page);
	tell_api(t, page);
}
