/*
 * segment_inside - the segment's form, for its writer and its reader.
 *
 * Records share nearly everything with others, so it is said once and referred to:
 *
 *	record ──► shape   what kind of event it is: verdict, flags, event type, reasons, …
 *	       ├─► talk    one conversation (both directions): link and the port drawn at random
 *	       │            └─► link   two hosts, protocol, service port
 *	       │                   └─► host   address, endpoint, service
 *	       ├─► point   where it was seen: interface, namespace, MAC addresses
 *	       ├─► rare    socket, trace id, translated address: all zero as a rule
 *	       ├─► ext     its bytes
 *	       └─  time, packets, bytes, number, uuid
 *
 * References are not written as such but as what a guess missed: writer and reader guess alike,
 * from what they have seen so far (the conversation's last record, the shape that followed this one
 * last time), and 0 says "as guessed". Columns of these small numbers compress to a bit or two.
 *
 * Rows of tables are compared and stored as they lie in memory, which must be little-endian.
 *
 * Bytes    "tyS" and the format's number; what the first record's number, time and uuid's seed are
 *          (8, 8 and 16 bytes); varints: records, shapes, hosts, links, talks, points,
 *          rares, exts; then for each stream of enum stream its length shifted left by two, +
 *          enum stored, and its stored length if that is another; then the streams, one after the
 *          other.
 */
#ifndef TYCHO_STORE_SEGMENT_INSIDE_H
#define TYCHO_STORE_SEGMENT_INSIDE_H

#include "flow/flow.h"
#include "store/nums.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are stored as they lie");

#define SEGMENT_MAGIC "tyS\003"
/* Where columns of differences begin. */
struct segment_start {
	uint64_t seq; /* of the first record, less 1 */
	uint64_t time, seed[2];
};
_Static_assert(sizeof(struct segment_start) == 32, "stored as it lies");

/* Columns of numbers (nums.h): two streams each. */
enum column {
	/* of each record */
	COLUMN_TALK,   /* 0: a new one; k: the k-th newest */
	COLUMN_SHAPE,  /* 0, 1: the two guesses; 2 + k: shape k, which is new if there are just k */
	COLUMN_POINT,  /* 0, 1: as the source's, the destination's place is guessed; 2 + k: point k,
			  perhaps new */
	COLUMN_RARE,   /* 0: as guessed; 1 + k: row k, perhaps new */
	COLUMN_EXT,    /* the same; ext 0 is the empty one */
	COLUMN_TIME,   /* zigzag of the difference to the record before */
	COLUMN_COUNTS, /* enum counts_from */
	COLUMN_SEQ,    /* difference to the record before, less 1 */
	COLUMN_UUID,   /* enum uuid_from; the seed in force at first is in the head */
	/* of those whose counts are not guessed */
	COLUMN_PACKETS,
	COLUMN_BYTES,
	/* of each talk */
	COLUMN_TALK_LINK, /* 0: a new one; 1 + k: link k */
	COLUMN_TALK_PORT,
	/* of each link */
	COLUMN_LINK_A, /* host; when there are just k, k is a new one */
	COLUMN_LINK_B,
	COLUMN_LINK_PORT,
	COLUMN_LINK_L4,
	/* of each host */
	COLUMN_HOST_EP,
	COLUMN_HOST_SVC,
	/* of each ext but the first */
	COLUMN_EXT_LEN,
	COLUMNS_
};

enum stream {
	/* columns: 2 * column: codes, + 1: bits */
	STREAM_SHAPES = 2 * COLUMNS_, /* tables: each with its first bytes, its second bytes, … */
	STREAM_HOSTS,                 /* addresses */
	STREAM_POINTS,
	STREAM_RARES,
	STREAM_UUIDS, /* 16 bytes for each that is not UUID_SAME or UUID_NONE */
	STREAM_EXTS,
	STREAMS_
};

enum stored { STORED_PLAIN, STORED_ZSTD, STORED_ONE }; /* ONE: a single byte, that often */

enum counts_from { COUNTS_OF_TALK, COUNTS_OF_SHAPE, COUNTS_GIVEN };
/* From the seed in force; from a new seed; as they are; both halves zero. */
enum uuid_from { UUID_SAME, UUID_SEED, UUID_GIVEN, UUID_NONE };

/* Rows of the tables: no padding, they are compared as bytes. */
struct shape_row {
	uint32_t bits;
	uint8_t kind, verdict, type, ip_version;
	uint8_t is_reply, direction, auth_type, trace_point;
	uint8_t trace_reason, capture_point, sock_point;
	uint8_t swapped; /* its source is the link's host b */
	uint32_t event_type, event_sub_type;
	uint32_t drop_reason, drop_desc;
	uint32_t policy_match_type, proxy_port;
	uint32_t node;
	uint16_t kernel_reason;
	uint16_t tcp_flags; /* the last two of l4_bytes */
};
_Static_assert(sizeof(struct shape_row) == 48, "no padding");

struct point_row {
	uint32_t ifindex, netns;
	uint8_t src_mac[6], dst_mac[6];
	char ifname[FLOW_IFNAME_BYTES];
};
_Static_assert(sizeof(struct point_row) == 36, "no padding");

struct rare_row {
	uint64_t ip_trace_id, socket_cookie, cgroup_id;
	uint8_t src_xlated[16];
};
_Static_assert(sizeof(struct rare_row) == 40, "no padding");

struct host {
	uint8_t ip[16];
	uint32_t ep, svc;
};
_Static_assert(sizeof(struct host) == 24, "no padding");

/* Host a is the one with the port drawn at random, if one can tell: the higher port. */
struct link {
	uint32_t a, b; /* hosts */
	uint16_t port; /* of b */
	uint16_t l4;
};
_Static_assert(sizeof(struct link) == 12, "no padding");

struct talk {
	uint32_t link;
	uint16_t port; /* of a */
	uint16_t zero_;
};
_Static_assert(sizeof(struct talk) == 8, "no padding");

/* --- guesses ------------------------------------------------------------------------------ */

/*
 * A guess that was right changes nothing of what is remembered.
 *
 * What is remembered of talks and shapes lies in tables of fixed size, by number modulo the size:
 * when two share a place, guesses get worse and nothing else happens. Both sides start with zeros.
 */
enum {
	GUESS_TALKS = 1 << 12,
	GUESS_SHAPES = 1 << 12,
	GUESS_POINTS = 1 << 13,
	GUESS_EXTS = 1 << 12,
	WAYS = 64,
};

/* What the shape says about where a record was seen and what its ext is about: few different
 * numbers, below WAYS. */
static inline unsigned shape_way(const struct shape_row *s)
{
	uint32_t mixed = s->event_type * 5 + s->event_sub_type * 3 + s->verdict * 7u +
			 (s->bits >> 13 & 7) * 11 + (s->bits >> 2 & 1) * 17;

	return (mixed % (WAYS / 2)) * 2 + (s->swapped & 1);
}

static inline uint32_t guess_mix(uint32_t id, unsigned way)
{
	uint32_t h = (id * WAYS + way) * UINT32_C(0x9e3779b1);

	return h ^ h >> 15;
}

/* Where sources and destinations are met: an interface is one host's as a rule. */
static inline size_t guess_point_at(uint32_t host, unsigned way)
{
	return guess_mix(host, way) % GUESS_POINTS;
}

struct guess_counts {
	uint64_t packets, bytes;
};

struct guesses {
	/* of a talk, emptied when a new one takes the place */
	uint32_t last_shape[GUESS_TALKS]; /* + 1; 0: none yet */
	uint32_t last_rare[GUESS_TALKS][2];
	struct guess_counts last_counts[GUESS_TALKS][2];
	/* what came after a shape; after nothing, by link */
	uint32_t next_shape[2 * GUESS_SHAPES][2];
	struct guess_counts shape_counts[GUESS_SHAPES];
	uint32_t point[2][GUESS_POINTS]; /* by source, by destination */
	struct {
		uint32_t talk, ext; /* talk + 1 */
	} ext[GUESS_EXTS];
	uint32_t link_ext[GUESS_EXTS];
};

/* What so many of something can touch of a table of @size. */
static inline size_t guess_touched(size_t count, size_t size)
{
	return count < size ? count : size;
}

static inline void guesses_new_talk(struct guesses *g, uint32_t talk)
{
	size_t at = talk % GUESS_TALKS;

	g->last_shape[at] = 0;
	g->last_rare[at][0] = g->last_rare[at][1] = 0;
	g->last_counts[at][0] = g->last_counts[at][1] = (struct guess_counts){ 0, 0 };
}

/* The two shapes guessed, the likelier one first. */
static inline uint32_t *guess_shape(struct guesses *g, uint32_t talk, uint32_t link)
{
	uint32_t last = g->last_shape[talk % GUESS_TALKS];

	return g->next_shape[last ? last % GUESS_SHAPES : GUESS_SHAPES + link % GUESS_SHAPES];
}
static inline void guess_shape_was(struct guesses *g, uint32_t talk, uint32_t guess[2],
				   uint32_t shape)
{
	if (guess[0] != shape) {
		guess[1] = guess[0];
		guess[0] = shape;
	}
	g->last_shape[talk % GUESS_TALKS] = shape + 1;
}

#endif
