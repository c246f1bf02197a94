/*
 * explain - what an observe command will show, in words and as JSON, without asking anybody.
 *
 *	--pod web --to-port 80 --not --verdict DROPPED --not --protocol udp
 *
 *	Shows flows for which any of these holds:
 *	  1. all of:
 *	       the source is a pod of namespace default whose name begins with web
 *	       the destination port is 80
 *	  2. all of:
 *	       the destination is a pod of namespace default whose name begins with web
 *	       the destination port is 80
 *	Of these it hides flows for which all of:
 *	       the verdict is DROPPED
 *	       the protocol is udp
 *
 * The JSON is one object in one line. A flow is shown if "show" is true of it and "hide" is not,
 * where any_of and all_of mean what they say, also when empty: no filter at all is an alternative
 * without conditions.
 *
 *	{"source":{"server":"localhost:4245"},
 *	 "select":{"order":"newest","number":20,"follow":false,"since":"2024-03-01T10:00:00Z"},
 *	 "show":{"any_of":[{"from":"flags",
 *	                    "all_of":[{"field":"verdict","any_of":["DROPPED"],"words":"…"}]}]},
 *	 "hide":{"any_of":[]},
 *	 "fields":["time","verdict"]}
 *
 * select.order says which of the flows that are there already: the "newest" or "oldest" number of
 * them, "all", or "none" (a follower that begins now). Fields are names and values those of
 * flow.FlowFilter in proto3 JSON. "fields" is there if not the whole flow is asked for.
 */
#ifndef TYCHO_CLI_EXPLAIN_H
#define TYCHO_CLI_EXPLAIN_H

#include "base/buf.h"
#include "cli/observe.h"

struct explain {
	const struct observe_request *request;
	const char *server; /* its address; not looked at if there is a file */
	const char *file;   /* "-": standard input; NULL: a server is asked */
};

MUST_CHECK enum err_code explain_put_words(const struct explain *x, struct buf *b, struct err *e);
/* Only which flows, not from where or how many: "Takes flows from …. Shows flows for which …". */
MUST_CHECK enum err_code explain_put_scope(const struct observe_request *r, struct buf *b,
					   struct err *e);
MUST_CHECK enum err_code explain_put_json(const struct explain *x, struct buf *b, struct err *e);

#endif
