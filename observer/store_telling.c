#include "observer/store_telling.h"

#include "store/store.h"

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static void tell_gaps(struct metrics_page *p, const struct store_counts *c)
{
	page_family(p, "tycho_store_gaps_total", METRIC_COUNTER,
		    "Gaps noted since the start, by cause");
	for (unsigned i = 0; i < STORE_GAP_CAUSES_; i++) {
		struct page_label label = { "cause",
					    str_of(store_gap_cause_name((enum store_gap_cause)i)) };
		page_u64(p, &label, 1, c->gaps[i]);
	}
}

void store_telling_collect(void *ctx, struct metrics_page *p)
{
	struct store_counts c = store_counts(ctx);

	page_gauge(p, "tycho_store_writing", "1 if the last write worked, 0 if it did not",
		   c.is_writing);
	page_gauge(p, "tycho_store_file_bytes", "Size of the store's file", (double)c.file_bytes);
	page_gauge(p, "tycho_store_records", "Records in the store", (double)c.records);
	page_gauge(p, "tycho_store_blocks", "Blocks in the store", (double)c.blocks);
	page_gauge(p, "tycho_store_segments", "Segments in the store", (double)c.segments);
	page_gauge(p, "tycho_store_chain_entries", "Length of the chain", (double)c.entries);
	page_gauge(p, "tycho_store_oldest_timestamp_seconds",
		   "Time of the oldest record in the store; 0: there is none", seconds(c.oldest.v));
	page_counter(p, "tycho_store_put_records_total", "Records handed to the store", c.put);
	page_counter(p, "tycho_store_lost_records_total",
		     "Records that could not be written; each is within a gap", c.lost);
	page_counter(p, "tycho_store_nameless_flows_total",
		     "Flows on the map by the minute without the DNS name of the peer: too many",
		     c.edges_nameless);
	page_counter(p, "tycho_store_seals_total", "Blocks sealed and written", c.seals);
	page_counter(p, "tycho_store_seal_errors_total", "Blocks that could not be written",
		     c.seal_errors);
	page_family(p, "tycho_store_seal_seconds_total", METRIC_COUNTER,
		    "Time spent on sealing and writing blocks");
	page_double(p, NULL, 0, seconds(c.seal_ns_sum));
	page_gauge(p, "tycho_store_seal_max_seconds", "The longest that a block has taken",
		   seconds(c.seal_ns_max));
	page_counter(p, "tycho_store_merges_total", "Small segments merged into a larger one",
		     c.merges);
	page_counter(p, "tycho_store_pruned_records_total", "Records removed by retention",
		     c.pruned_records);
	page_counter(p, "tycho_store_pruned_blocks_total", "Blocks removed by retention",
		     c.pruned_blocks);
	page_counter(p, "tycho_store_tend_errors_total",
		     "Attempts at merging and retention that failed", c.tend_errors);
	tell_gaps(p, &c);
}
