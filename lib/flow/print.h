/*
 * print - messages as people and scripts read them: compact lines, dict blocks, a table, JSON.
 *
 *	GetFlowsResponse  ──► flow, lost events ──► out      (stdout)
 *	                  └─► node status ───────► status   (stderr)
 *	GetAgentEventsResponse, GetDebugEventsResponse ──► out
 *
 * The texts are those of Hubble's CLI 1.19.4 (hubble-cli.md, sections 5 to 8), byte for byte. Text
 * that comes from a flow cannot steer the terminal: ESC and CR are escaped in every format (JSON
 * escapes by itself); with colours on, the seven colour sequences that the printer itself uses
 * pass, as they do in the reference. What else a terminal would obey is escaped by print_sink_fd on
 * its way to one, and there only.
 *
 * Owner    the printer owns its buffers; dictionary and sinks are borrowed for its life.
 * Threads  one thread's.
 * Output   is collected and handed to the sink when 64 KiB are full and at flush and end; node
 *          status at once. A table is held back until end, where its columns' widths are known.
 */
#ifndef TYCHO_FLOW_PRINT_H
#define TYCHO_FLOW_PRINT_H

#include "base/err.h"
#include "base/str.h"

struct buf;
struct flow;
struct flow_dict;
struct timestamp;

enum flow_format {
	FLOW_FORMAT_COMPACT,
	FLOW_FORMAT_DICT,
	FLOW_FORMAT_TABLE,
	FLOW_FORMAT_JSON,
	FLOW_FORMAT_JSON_LEGACY, /* the bare Flow or LostEvent, no node status:
				    HUBBLE_COMPAT=legacy-json-output */
};

/* Layouts of --time-format. All times are printed in UTC. */
enum time_format {
	TIME_FORMAT_STAMP_MILLI,                /* Mar  1 10:00:00.123 */
	TIME_FORMAT_YEAR_MONTH_DAY,             /* 2024-03-01 */
	TIME_FORMAT_YEAR_MONTH_DAY_HOUR,        /* 2024-03-01T10Z */
	TIME_FORMAT_YEAR_MONTH_DAY_HOUR_MINUTE, /* 2024-03-01T10:00Z */
	TIME_FORMAT_RFC3339,                    /* 2024-03-01T10:00:00Z */
	TIME_FORMAT_RFC3339_MILLI,
	TIME_FORMAT_RFC3339_MICRO,
	TIME_FORMAT_RFC3339_NANO, /* as many fraction digits as it takes */
	TIME_FORMAT_RFC1123Z,     /* Fri, 01 Mar 2024 10:00:00 +0000 */
};
/* By name ("RFC3339Milli"), in any case; what is unknown is StampMilli. */
enum time_format time_format_parse(struct str name);
/* @t within the years 1 to 9999. */
void time_format_put(struct buf *b, enum time_format format, struct timestamp t);

/* Where output goes. @write takes all of @bytes or fails; ERR_CLOSED when nobody reads any more. */
struct print_sink {
	enum err_code (*write)(void *ctx, struct str bytes, struct err *e);
	void *ctx;
};
/* Writes to the file descriptor *@fd (blocking), which must outlive the sink, as terminal_write. A
 * closed pipe is ERR_CLOSED. */
struct print_sink print_sink_fd(int *fd);

struct flow_printer_options {
	enum flow_format format;
	enum time_format time_format;
	bool color;        /* compact and dict; table and JSON never are */
	bool node_name;    /* --print-node-name */
	bool policy_names; /* --print-policy-names */
	bool numeric;      /* addresses instead of names: --numeric, --ip-translation=false */
	bool status_quiet; /* no node status at all: --silent-errors */
	bool status_all;   /* also nodes connected and gone: --debug */
	struct print_sink out, status;
	/* Where flows have their names. Flows that come undecoded are interned here, and when it is
	 * full it is reset: a caller that keeps ids of its own decodes for itself. */
	struct flow_dict *dict;
};
struct flow_printer;

/* Options are copied. */
MUST_CHECK enum err_code flow_printer_new(const struct flow_printer_options *options,
					  struct flow_printer **ret, struct err *e);
/* Output not yet flushed is dropped. */
void flow_printer_free(struct flow_printer *p);
AUTO_DEFINE(struct flow_printer, flow_printer_free);

/* Each prints one message, given as its wire bytes. They fail with ERR_PARSE on malformed bytes
 * (nothing is printed; the printer may go on) and with what the sink says. */

/* @response is an observer.GetFlowsResponse (or ExportEvent: agent and debug events print as
 * nothing). @flow is its flow, decoded into the printer's dictionary, if the caller has it; NULL
 * otherwise. An empty response, or one of an unknown kind, prints nothing. */
MUST_CHECK enum err_code flow_printer_response(struct flow_printer *p, struct str response,
					       const struct flow *flow, struct err *e);
/* observer.GetAgentEventsResponse; one without an event is malformed. */
MUST_CHECK enum err_code flow_printer_agent_event(struct flow_printer *p, struct str response,
						  struct err *e);
/* observer.GetDebugEventsResponse, likewise. */
MUST_CHECK enum err_code flow_printer_debug_event(struct flow_printer *p, struct str response,
						  struct err *e);

/* Hands everything collected so far to the sinks; a table stays. */
MUST_CHECK enum err_code flow_printer_flush(struct flow_printer *p, struct err *e);
/* The end of the stream, whether it went well or not: writes the table, flushes. Nothing may be
 * printed afterwards. */
MUST_CHECK enum err_code flow_printer_end(struct flow_printer *p, struct err *e);

#endif
