/*
 * recorded - flows of a range of a server's record, or of a file, one by one: for commands that
 * compute on flows.
 *
 *	--since, --until, --input-file ──► server, or file ──► flow, decoded ──► take
 *	                                                  └──► lost events, nodes that are away ──► says
 */
#ifndef TYCHO_CLI_RECORDED_H
#define TYCHO_CLI_RECORDED_H

#include "cli/history.h"
#include "cli/observe.h"

/* Rows of a command's flags. */
#define RECORDED_FLAGS                                                                             \
	{ .name = "since",                                                                         \
	  .type = FLAG_STRING,                                                                     \
	  .placeholder = "TIME",                                                                   \
	  .help = "Flows from a time on, relative (\"24h\") or absolute (RFC 3339); 1h "           \
		  "where no time is said" },                                                       \
		{ .name = "until",                                                                 \
		  .type = FLAG_STRING,                                                             \
		  .placeholder = "TIME",                                                           \
		  .help = "Up to a time" },                                                        \
	{                                                                                          \
		.name = "input-file", .type = FLAG_STRING, .placeholder = "FILE",                  \
		.help = "Flows from a file, as tycho observe -o json writes it, \"-\" for stdin; " \
			"no server is asked"                                                       \
	}

enum { RECORDED_DICT_ENTRIES = 1 << 17 };

struct recorded {
	struct flow_dict *dict; /* of the flows given out; borrowed, grows */
	struct print_sink says; /* lines about what is no flow */
	/* @flow and its bytes are borrowed for the call. */
	enum err_code (*take)(void *ctx, const struct flow *flow, struct err *e);
	void *ctx;
};

/* All flows that @request's filters choose, in the range of RECORDED_FLAGS, which is filled in. Where
 * no range is said, a server is asked for the last hour; where only its end is, for all before it.
 * Lines of a file that are no flows are counted, to @says. SIGINT is ERR_CANCELLED.
 * *@ret_of_server: one was asked, so there may be something to say of its record. */
MUST_CHECK enum err_code recorded_each(const struct cli *cli, struct observe_request *request,
				       const struct recorded *r, bool *ret_of_server,
				       struct err *e);

#endif
