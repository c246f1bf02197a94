/*
 * history - how complete an answer from the past is: what the nodes say of their own records.
 *
 *	tycho.v1.History/GetCoverage ──► struct history ──► remarks on stderr, or a report
 */
#ifndef TYCHO_CLI_HISTORY_H
#define TYCHO_CLI_HISTORY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "tycho/v1/history.pb-c.h"

struct cli;
struct connection;
struct settings;

struct history_range {
	bool has_since, has_until;
	struct timestamp since, until;
};

/* The flags --since and --until; ERR_INVALID where the one is before the other, or --since is still
 * to come. */
MUST_CHECK enum err_code history_read_range(const struct cli *cli, struct history_range *ret,
					    struct err *e);

/* Into a request's fields: of @times, which are borrowed, those that the range has; for one that no
 * record can have, the nearest that one can. */
void history_set_range(const struct history_range *range, Google__Protobuf__Timestamp times[2],
		       Google__Protobuf__Timestamp **ret_since,
		       Google__Protobuf__Timestamp **ret_until);

/* What one node answered, and where its bytes are. */
struct history_node {
	Tycho__V1__GetCoverageResponse *said; /* own */
	size_t at, len;                       /* in history.wire */
};
/* What every node answered, in order of their names; zeros are empty. */
struct history {
	struct history_node *nodes;
	size_t count;
	struct buf wire;
};
#define AUTO_HISTORY __attribute__((cleanup(history_done)))
void history_done(struct history *h);

/* Asks the server of the settings; @counts: how many records are of the range, too. ERR_UNSUPPORTED: it knows no history (Hubble's). */
MUST_CHECK enum err_code history_ask(const struct settings *s, const struct history_range *range,
				     bool counts, struct history *ret, struct err *e);
/* The same over a connection that is there, within --request-timeout. */
MUST_CHECK enum err_code history_ask_over(const struct connection *c, const struct settings *s,
					  const struct history_range *range, struct history *ret,
					  struct err *e);
/* What an answer is made of. Minutes of the service map are kept for longer than flows are, and so
 * are gaps: those behind the oldest of what was asked for are not told. */
enum history_of { HISTORY_OF_FLOWS, HISTORY_OF_EDGES };

/* Does the record of @n begin after the range does, or after all of it? Nobody asked where to begin
 * or to end: no. */
bool history_begins_late(const Tycho__V1__GetCoverageResponse *n, const struct history_range *range,
			 enum history_of of);
/* A line on a range that no record can be of: true; false, and nothing, on others. */
bool history_put_empty(struct buf *b, const struct history_range *range, struct timestamp now);
/* One line "complete: …", or "incomplete: …" for each thing missing in the range; when there are
 * many, the first of them and how many more. */
void history_put_remarks(struct buf *b, const struct history *h, const struct history_range *range,
			 enum history_of of);
/* Asks, and appends whether the record of @range is whole, or why that is not known. False: the
 * server knows no history, and nothing is said. */
bool history_put_remark(struct buf *b, const struct settings *s, const struct history_range *range,
			enum history_of of);
/* The same on stderr. Servers that know no history are let be: the answer that this is about is
 * there already, nothing has failed. */
void history_remark(const struct settings *s, const struct history_range *range,
		    enum history_of of);
/* "no observer ran" */
const char *history_cause_words(Tycho__V1__Gap__Cause cause);

#endif
