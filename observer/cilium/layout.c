#include "observer/cilium/layout.h"

#include "base/own.h"

enum {
	VERSION_AT = 14,
	NEW = CILIUM_RELEASE_1_19,
	OLD = CILIUM_RELEASE_1_18,
};

#define DROP_0                                                                                     \
	[CILIUM_SRC_LABEL] = 16, [CILIUM_DST_LABEL] = 20, [CILIUM_LINE] = 28, [CILIUM_FILE] = 30,  \
	[CILIUM_IFINDEX] = 32
#define TRACE_0                                                                                    \
	[CILIUM_SRC_LABEL] = 16, [CILIUM_DST_LABEL] = 20, [CILIUM_DST_ID] = 24,                    \
	[CILIUM_REASON] = 26, [CILIUM_FLAGS] = 27, [CILIUM_IFINDEX] = 28
#define POLICY_VERDICT                                                                             \
	[CILIUM_REMOTE] = 16, [CILIUM_VERDICT] = 20, [CILIUM_FLAGS] = 27, [CILIUM_AUTH_TYPE] = 28

/* Types in order; within a type, the newest first. */
static const struct cilium_layout layouts[] = {
	{ CILIUM_DROP,
	  3,
	  false,
	  0,
	  48,
	  { DROP_0, [CILIUM_FLAGS] = 36, [CILIUM_IP_TRACE_ID] = 40 } },
	{ CILIUM_DROP, 2, false, 0, 40, { DROP_0, [CILIUM_FLAGS] = 36 } },
	{ CILIUM_DROP, 1, false, 0, 36, { DROP_0 } },
	{ CILIUM_DROP, 0, false, 0, 36, { DROP_0 } },
	{ CILIUM_DEBUG,
	  0,
	  true,
	  0,
	  20,
	  { [CILIUM_HASH] = 4, [CILIUM_ARG1] = 8, [CILIUM_ARG2] = 12, [CILIUM_ARG3] = 16 } },
	{ CILIUM_CAPTURE, 0, true, 0, 24, { [CILIUM_ARG1] = 16, [CILIUM_ARG2] = 20 } },
	{ CILIUM_TRACE,
	  2,
	  false,
	  0,
	  56,
	  { TRACE_0, [CILIUM_ORIG_IP] = 32, [CILIUM_IP_TRACE_ID] = 48 } },
	{ CILIUM_TRACE, 1, false, 0, 48, { TRACE_0, [CILIUM_ORIG_IP] = 32 } },
	{ CILIUM_TRACE, 0, false, 0, 32, { TRACE_0 } },
	{ CILIUM_POLICY_VERDICT, 1, true, NEW, 40, { POLICY_VERDICT } },
	{ CILIUM_POLICY_VERDICT, 1, true, OLD, 32, { POLICY_VERDICT } },
	{ CILIUM_TRACE_SOCK,
	  0,
	  true,
	  NEW,
	  40,
	  { [CILIUM_L4_PROTO] = 2,
	    [CILIUM_FLAGS] = 3,
	    [CILIUM_DST_PORT] = 4,
	    [CILIUM_COOKIE] = 8,
	    [CILIUM_CGROUP] = 16,
	    [CILIUM_DST_IP] = 24 } },
	{ CILIUM_TRACE_SOCK,
	  0,
	  true,
	  OLD,
	  38,
	  { [CILIUM_DST_IP] = 2,
	    [CILIUM_DST_PORT] = 18,
	    [CILIUM_COOKIE] = 20,
	    [CILIUM_CGROUP] = 28,
	    [CILIUM_L4_PROTO] = 36,
	    [CILIUM_FLAGS] = 37 } },
};

/* Rows of a type: from, and how many. */
static const struct {
	uint8_t first, count;
} rows[] = {
	[CILIUM_DROP] = { 0, 4 },           [CILIUM_DEBUG] = { 4, 1 },
	[CILIUM_CAPTURE] = { 5, 1 },        [CILIUM_TRACE] = { 6, 3 },
	[CILIUM_POLICY_VERDICT] = { 9, 2 }, [CILIUM_TRACE_SOCK] = { 11, 2 },
};

const struct cilium_layout *cilium_layout_of(struct str sample, enum cilium_release release)
{
	const uint8_t *p = (const uint8_t *)sample.p;

	if (sample.len <= VERSION_AT || p[0] >= ARRAY_LEN(rows))
		return NULL;
	const struct cilium_layout *l = &layouts[rows[p[0]].first];
	for (size_t i = 0; i < rows[p[0]].count; i++, l++)
		if ((l->any_version || l->version == p[VERSION_AT]) &&
		    (!l->release || l->release == release))
			return sample.len >= l->bytes ? l : NULL;
	return NULL;
}
