/* What a record takes in a segment, and what it costs to write and to find. "--columns" prints
 * where the bytes are. */
#include <stdio.h>
#include <string.h>

#include "filter/zone.h"
#include "flow/flow.pb-c.h"
#include "store/segment.h"
#include "store/segment_read.h"
#include "tests/bench/bench.h"
#include "tests/bench/made_flows.h"

enum { FLOWS = 1 << 17, ROUNDS = 5, PIECE = 256, WARM = 1 << 19, OUT_BYTES = 64 << 20 };

struct bench {
	struct flow_dict *dict;
	struct flow *flows;
	struct buf ext, out;
	struct segment_encoder *encoder;
	struct segment *segment;
};

static void say(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "%s\n", e->msg);
	exit(1);
}

/* FLOWS records of a node that has run for a while. */
static void make(struct bench *b)
{
	AUTO(made_flows_free) struct made_flows *m = NULL;
	struct err e;

	say(flow_dict_new(1 << 14, &b->dict, &e), &e);
	say(made_flows_new(b->dict, 1546, UINT64_C(1700000000000000001),
			   (struct wall_ns){ UINT64_C(1700000000) * NS_PER_S }, &m, &e),
	    &e);
	b->flows = calloc(FLOWS, sizeof *b->flows);
	b->ext = buf_init((size_t)FLOWS * 256);
	b->out = buf_init(OUT_BYTES);
	if (!b->flows || !buf_reserve(&b->ext, (size_t)FLOWS * 256))
		exit(1);
	for (size_t i = 0; i < WARM; i += PIECE)
		made_flows_next(m, b->flows, PIECE);
	for (size_t i = 0; i < FLOWS; i += PIECE) {
		made_flows_next(m, b->flows + i, PIECE);
		for (size_t k = i; k < i + PIECE; k++) {
			size_t at = b->ext.len;

			buf_put(&b->ext, b->flows[k].ext, b->flows[k].ext_len);
			b->flows[k].ext = (const uint8_t *)b->ext.p + at;
		}
	}
	say(segment_new(&b->segment, &e), &e);
}

static double encode(struct bench *b, int level, size_t per_segment, double *ret_add_ns)
{
	double best = 1e9, best_add = 1e9;
	struct err e;

	segment_encoder_free(b->encoder);
	b->encoder = NULL;
	say(segment_encoder_new(level, &b->encoder, &e), &e);
	for (int r = 0; r < ROUNDS; r++) {
		double add = 0;
		struct mono_ns start = mono_now();

		buf_reset(&b->out);
		for (size_t i = 0; i < FLOWS; i += per_segment) {
			struct mono_ns from = mono_now();

			for (size_t k = i; k < i + per_segment; k += PIECE)
				say(segment_add(b->encoder, b->flows + k, PIECE, &e), &e);
			add += (double)(mono_now().v - from.v);
			say(segment_finish(b->encoder, &b->out, &e), &e);
		}
		double ns = (double)(mono_now().v - start.v) / FLOWS;
		best = ns < best ? ns : best;
		best_add = add / FLOWS < best_add ? add / FLOWS : best_add;
	}
	*ret_add_ns = best_add;
	return best;
}

static void print_columns(struct bench *b)
{
	static const char *const names[] = {
		"talk",   "shape",     "point",   "rare",    "ext",       "time",      "counts",
		"seq",    "uuid",      "packets", "bytes",   "talk link", "talk port", "link a",
		"link b", "link port", "link l4", "host ep", "host svc",  "ext lens",
	};
	static const char *const tables[] = {
		"shapes", "hosts", "points", "rares", "uuids", "exts"
	};
	const struct segment *s = b->segment;

	_Static_assert(ARRAY_LEN(names) == COLUMNS_, "a name for each");
	for (size_t i = 0; i < STREAMS_; i++)
		if (s->streams[i].bytes.len * 1000 > s->count)
			(void)printf("%8.3f bytes a record  %s%s\n",
				     (double)s->streams[i].bytes.len / (double)s->count,
				     i < 2 * COLUMNS_ ? names[i / 2] : tables[i - 2 * COLUMNS_],
				     i < 2 * COLUMNS_ && i % 2 ? " (bits)" : "");
	(void)printf(
		"of %zu records: shapes %zu, hosts %zu, links %zu, talks %zu, points %zu, rares "
		"%zu, exts %zu\n",
		s->count, s->shape_count, s->host_count, s->link_count, s->talk_count,
		s->point_count, s->rare_count, s->ext_count);
}

static double load(struct bench *b, flow_members members)
{
	static struct flow chunk[PIECE];
	double best = 1e9;
	struct err e;

	for (int r = 0; r < ROUNDS; r++) {
		struct mono_ns start = mono_now();

		say(segment_open(b->segment, buf_str(&b->out), &e), &e);
		for (size_t i = 0; i < segment_count(b->segment); i += PIECE)
			say(segment_load(b->segment, members, i, PIECE, chunk, &e), &e);
		double ns = (double)(mono_now().v - start.v) / FLOWS;
		best = ns < best ? ns : best;
	}
	return best;
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	double add;

	make(&b);
	double ns = encode(&b, 1, 1 << 16, &add);
	bench_at_most("write, 65,536 records at level 1", ns, "ns a record", 350);
	bench_note("of that before the compressor", add, "ns");
	bench_at_most("bytes a record, 65,536 at level 1", (double)b.out.len / FLOWS, "bytes", 12);
	ns = encode(&b, 1, 1 << 12, &add);
	bench_note("write, 4,096 records at level 1", ns, "ns a record");
	bench_note("bytes a record, 4,096 at level 1", (double)b.out.len / FLOWS, "bytes");
	ns = encode(&b, 9, FLOWS, &add);
	bench_note("write, 131,072 records at level 9", ns, "ns a record");
	bench_at_most("bytes a record, 131,072 at level 9", (double)b.out.len / FLOWS, "bytes", 12);
	bench_at_most("read all members", load(&b, FLOW_MEMBERS_ALL), "ns a record", 200);
	bench_note("read kind, bits, verdict",
		   load(&b, FLOW_MEMBER(FLOW_MEMBER_VERDICT) | FLOW_MEMBER(FLOW_MEMBER_BITS)),
		   "ns a record");
	bench_at_most("read kind, bits, protocol, ports",
		      load(&b, FLOW_MEMBER(FLOW_MEMBER_L4) | FLOW_MEMBER(FLOW_MEMBER_BITS)),
		      "ns a record", 50);
	if (argc > 1 && strcmp(argv[1], "--columns") == 0)
		print_columns(&b);
	AUTO(flow_zone_free) struct flow_zone *z = NULL;
	struct err e;
	say(flow_zone_new(&z, &e), &e);
	struct mono_ns start = mono_now();
	for (size_t i = 0; i < FLOWS; i += PIECE)
		flow_zone_add(z, b.flows + i, PIECE);
	bench_note("zone", (double)(mono_now().v - start.v) / FLOWS, "ns a record");
	buf_reset(&b.out);
	flow_zone_put(&b.out, z);
	bench_note("zone of 131,072", (double)b.out.len, "bytes");
	return 0;
}
