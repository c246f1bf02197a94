/*
 * inside - the name table's struct, for the files that it consists of: name.c (life, capture
 * thread) and update.c (providers).
 */
#ifndef TYCHO_OBSERVER_NAME_INSIDE_H
#define TYCHO_OBSERVER_NAME_INSIDE_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "observer/name/dns_names.h"
#include "observer/name/name.h"
#include "observer/name/numbers.h"
#include "observer/name/part.h"
#include "observer/name/said.h"
#include "observer/name/seen.h"

enum {
	HOST_PART = NAME_PROVIDERS, /* last in precedence */
	PARTS,
	IDENTITY_HOST = 1,
};

enum { CACHE_LINE = 64 };

/*
 * Old snapshots
 *
 * Only the capture thread looks into snapshots, and only into the one it loaded last. When it loads
 * one that it has not seen, it stores its number in capture_at (release): what it did with earlier
 * ones is over. An update frees what is older than the number it reads there (acquire).
 *
 * A version also holds what was true before it, for flows that are read late: the last NAME_PAST
 * states at most, NAME_PAST_S and NAME_PAST_BYTES.
 */
struct version {
	const struct snapshot *snapshot; /* that of states[0], and since when */
	struct wall_ns since;
	struct state *states[NAME_PAST + 1]; /* what is true now, then what was before it */
	size_t state_count;
	uint64_t number;
	struct version *older; /* guarded by mx */
};
/* A snapshot and its time, held by the versions that know it. */
struct state {
	struct snapshot *snapshot;
	uint64_t number;      /* of its version */
	struct wall_ns since; /* 0: as long as anybody knows */
	unsigned refs;        /* guarded by mx */
	size_t bytes;         /* that keeping it costs, once there is a newer one */
};

struct name_table {
	/* immutable after construction */
	struct flow_dict *dict;
	char *cluster_text; /* owned */
	struct str cluster; /* it; "" for none */
	struct endpoint_id world, host;
	struct node_id node;
	struct seen *seen;

	pthread_mutex_t mx;                        /* between updates */
	struct numbers *identities, *endpoint_ids; /* guarded by mx */
	struct snapshot_part parts[PARTS];         /* guarded by mx */
	bool has_spoken[PARTS];                    /* guarded by mx */
	struct version *newest; /* guarded by mx; with all not yet freed behind it */

	_Atomic(struct version *) current;
	_Atomic uint64_t generation; /* updates by providers */

	/* capture thread only */
	alignas(CACHE_LINE) struct dns_names *dns;
	uint64_t at;        /* number of the snapshot it uses */
	struct wall_ns now; /* of name_quiet; 0: none yet */
	struct said *said;  /* where no event says identities, no page of it is touched */

	alignas(CACHE_LINE) _Atomic uint64_t capture_at; /* written by capture, read by updates */
};

/* With mx, or before anybody else has the table. Makes @s what the capture thread sees from now on,
 * and true since @since (0: as long as anybody knows; what was before is forgotten); takes it.
 * ERR_NOMEM: it is freed. */
MUST_CHECK enum err_code name_publish(struct name_table *t, struct snapshot *s,
				      struct wall_ns since, struct err *e);
/* Frees @v and all older ones. */
void name_free_versions(struct version *v);

#endif
