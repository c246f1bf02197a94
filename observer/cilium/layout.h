/*
 * layout - where the fields of Cilium's datapath messages lie: one table by type and version.
 *
 *	sample  [ fixed message | packet … | padding ]
 *	          ▲ layout.at[FIELD]       layout.bytes: length of the fixed part
 *
 * Source   reference/cilium-events.md section 3. Numbers are in host byte order. Two releases use
 *          different layouts under one version number (policy verdict, socket trace): these have a
 *          row for each side of Cilium 1.19.
 * Threads  pure functions.
 */
#ifndef TYCHO_OBSERVER_CILIUM_LAYOUT_H
#define TYCHO_OBSERVER_CILIUM_LAYOUT_H

#include "base/str.h"

/* Byte 0 of each message. */
enum cilium_type {
	CILIUM_DROP = 1,
	CILIUM_DEBUG = 2,
	CILIUM_CAPTURE = 3, /* debug capture */
	CILIUM_TRACE = 4,
	CILIUM_POLICY_VERDICT = 5,
	CILIUM_TRACE_SOCK = 7,
	CILIUM_ACCESS_LOG = 129, /* from the agent: L7 records */
	CILIUM_AGENT = 130,      /* from the agent: notifications */
};

/* Which layouts the datapath writes where the version number does not tell. */
enum cilium_release {
	CILIUM_RELEASE_AUTO, /* 1.19 until a drop, a trace or a verdict of an older one shows
				otherwise */
	CILIUM_RELEASE_1_18, /* and before */
	CILIUM_RELEASE_1_19,
};

enum cilium_field {
	CILIUM_SRC_LABEL,   /* u32 */
	CILIUM_DST_LABEL,   /* u32 */
	CILIUM_DST_ID,      /* u16 of trace: endpoint id or proxy port */
	CILIUM_LINE,        /* u16 */
	CILIUM_FILE,        /* u8 */
	CILIUM_IFINDEX,     /* u32 */
	CILIUM_REASON,      /* u8 */
	CILIUM_FLAGS,       /* u8; of policy verdicts, too, with other bits */
	CILIUM_ORIG_IP,     /* 16 bytes */
	CILIUM_IP_TRACE_ID, /* u64 */
	CILIUM_REMOTE,      /* u32 */
	CILIUM_VERDICT,     /* s32 */
	CILIUM_AUTH_TYPE,   /* u8 */
	CILIUM_ARG1,        /* u32 */
	CILIUM_ARG2,        /* u32 */
	CILIUM_ARG3,        /* u32 */
	CILIUM_HASH,        /* u32 */
	CILIUM_L4_PROTO,    /* u8: 0 unknown, 1 TCP, 2 UDP */
	CILIUM_DST_PORT,    /* u16 */
	CILIUM_COOKIE,      /* u64 */
	CILIUM_CGROUP,      /* u64 */
	CILIUM_DST_IP,      /* 16 bytes */
	CILIUM_FIELD_COUNT_
};

struct cilium_layout {
	uint8_t type;
	uint8_t version;                 /* ignored where @any_version */
	bool any_version;                /* the message has none, or none that matters */
	uint8_t release;                 /* enum cilium_release; 0: any */
	uint8_t bytes;                   /* of the fixed part; the packet follows */
	uint8_t at[CILIUM_FIELD_COUNT_]; /* offset; 0: the message has no such field */
};

/* The layout of @sample; NULL for an unknown type or version, and for a sample that is shorter than
 * its fixed part. @release is not AUTO. Agent messages have no layout. */
const struct cilium_layout *cilium_layout_of(struct str sample, enum cilium_release release);

/* Fields of a sample that has this layout; 0 for one that the layout does not have. */
static inline uint8_t cilium_u8(const struct cilium_layout *l, const uint8_t *p,
				enum cilium_field f)
{
	return l->at[f] ? p[l->at[f]] : 0;
}
static inline uint16_t cilium_u16(const struct cilium_layout *l, const uint8_t *p,
				  enum cilium_field f)
{
	uint16_t v = 0;

	if (l->at[f])
		memcpy(&v, p + l->at[f], sizeof v);
	return v;
}
static inline uint32_t cilium_u32(const struct cilium_layout *l, const uint8_t *p,
				  enum cilium_field f)
{
	uint32_t v = 0;

	if (l->at[f])
		memcpy(&v, p + l->at[f], sizeof v);
	return v;
}
static inline uint64_t cilium_u64(const struct cilium_layout *l, const uint8_t *p,
				  enum cilium_field f)
{
	uint64_t v = 0;

	if (l->at[f])
		memcpy(&v, p + l->at[f], sizeof v);
	return v;
}

#endif
