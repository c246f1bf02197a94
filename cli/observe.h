/*
 * observe - what the observe commands share: flags, output, and where flows come from.
 *
 *	flags, settings ──► struct observe_request
 *	    ├─► observe_from_file      a file or stdin, filtered here
 *	    └─► observe_from_server    a stream from an observer or relay
 */
#ifndef TYCHO_CLI_OBSERVE_H
#define TYCHO_CLI_OBSERVE_H

#include "base/time.h"
#include "cli/command.h"
#include "cli/observe_filter.h"
#include "flow/print.h"

struct flow_dict;

extern const struct flag_set selector_flags, formatting_flags, flow_format_flags, filter_flags,
	raw_filter_flags, other_flags, explain_flags;
extern const struct command observe_agent_events_command, observe_debug_events_command;

struct observe_request {
	uint64_t number; /* 0: no limit of its own; UINT64_MAX: everything */
	bool first, follow, has_since, has_until;
	struct timestamp since, until;
	struct filter_list allow, deny;
	/* The first so many of them come from the filter flags, the others from raw lists. */
	size_t allow_by_flags, deny_by_flags;
	const char *const *mask; /* field mask paths; borrowed */
	size_t mask_count;
};
void observe_request_done(struct observe_request *r);
#define AUTO_OBSERVE_REQUEST __attribute__((cleanup(observe_request_done)))

/* --since and --until (the latter not when following a file). */
MUST_CHECK enum err_code observe_read_times(const struct cli *cli, struct observe_request *r,
					    struct err *e);
/* The filters of the filter flags, --allowlist and --denylist. */
MUST_CHECK enum err_code observe_read_filters(const struct cli *cli, struct observe_request *r,
					      struct err *e);
/* Fails as whoever is asked would, where a filter has a fault. */
MUST_CHECK enum err_code observe_check_filters(const struct observe_request *r, struct err *e);
/* A printer to stdout and stderr after the formatting flags: "invalid output format: …". @dict is
 * borrowed, and @fds too: { 1, 2 }. */
MUST_CHECK enum err_code observe_read_format(const struct cli *cli,
					     struct flow_printer_options *ret, struct err *e);
MUST_CHECK enum err_code observe_printer_new(struct flow_printer_options *options,
					     struct flow_dict *dict, struct flow_printer **ret,
					     struct err *e);

/* Where an answer goes, message by message. */
struct observe_sink {
	/* @message: a GetFlowsResponse, borrowed for the call. @decoded: the flow in it, where it
	 * was looked at already; else NULL. */
	enum err_code (*take)(void *ctx, struct str message, const struct flow *decoded,
			      struct err *e);
	enum err_code (*pause)(void *ctx, struct err *e); /* no more for now; may be NULL */
	void *ctx;
	uint64_t *unread; /* grows by the lines of a file that are no messages; may be NULL */
};
/* All that the request chooses, to @sink; its errors end it. Names are interned in @dict, which
 * is emptied when it has many. An end by SIGINT is ERR_CANCELLED. */
MUST_CHECK enum err_code observe_file_each(const struct cli *cli, const struct observe_request *r,
					   struct flow_dict *dict, const struct observe_sink *sink,
					   struct err *e);
MUST_CHECK enum err_code observe_server_each(const struct cli *cli, const struct observe_request *r,
					     const struct observe_sink *sink, struct err *e);
/* Prints what a file holds. An end by SIGINT is ERR_OK. */
MUST_CHECK enum err_code observe_from_file(const struct cli *cli, const struct observe_request *r,
					   struct flow_printer_options *options, struct err *e);
/* Prints what the server at the settings' address streams. An end by SIGINT is ERR_OK. */
MUST_CHECK enum err_code observe_from_server(const struct cli *cli, const struct observe_request *r,
					     struct flow_printer_options *options, struct err *e);

#endif
