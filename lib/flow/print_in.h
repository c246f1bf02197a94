/*
 * print_in - what the files of the printer share; nobody else includes it.
 *
 * print.c owns the buffers and hands messages on; print_flow.c, print_event.c and print_status.c
 * know the texts. Each record goes through print_escape as a whole, once it is complete.
 */
#ifndef TYCHO_FLOW_PRINT_IN_H
#define TYCHO_FLOW_PRINT_IN_H

#include "base/buf.h"
#include "base/time.h"
#include "flow/print.h"
#include "flow/wire.h"

struct flow_printer {
	struct flow_printer_options options;
	struct buf out, status; /* not yet given to the sinks */
	struct buf table;       /* cells and lines of the table, until end */
	bool printed;           /* something was: dict puts a line between blocks */
};

/* Colours of the reference's terminal output, as SGR numbers; none is for text left alone. */
enum print_color {
	PRINT_COLOR_NONE = 0,
	PRINT_COLOR_RED = 31,
	PRINT_COLOR_GREEN = 32,
	PRINT_COLOR_YELLOW = 33,
	PRINT_COLOR_MAGENTA = 35,
	PRINT_COLOR_CYAN = 36,
};
/* No-ops unless @on. */
void print_color_begin(struct buf *b, bool on, enum print_color color);
void print_color_end(struct buf *b, bool on, enum print_color color);

/* Where a record of the printer's format goes: table or out. */
struct buf *print_output(struct flow_printer *p);
/* Escapes what was appended since @from, so that text from outside cannot steer the terminal: ESC
 * becomes "^[", CR becomes "\r". In coloured output the printer's own colour sequences pass,
 * whoever wrote them. */
void print_escape(const struct flow_printer *p, struct buf *b, size_t from);
/* The time in the printer's format, "N/A" for none and for what no timestamp may hold. */
void print_time(const struct flow_printer *p, struct buf *b, const struct timestamp *t);
/* The line between two blocks of a dict; @unfinished: without its line feed, as the reference has
 * it for events. */
void print_dict_begin(struct flow_printer *p, struct buf *b, bool unfinished);
/* The table's header, once: @columns are separated by tabs; NODE is put behind the first if node
 * names are printed. */
void print_table_header(struct flow_printer *p, const char *first, const char *rest);

void print_flow(struct flow_printer *p, const struct flow *f);
enum err_code print_lost(struct flow_printer *p, const struct flow_response *r, struct err *e);
enum err_code print_status(struct flow_printer *p, const struct flow_response *r,
			   struct str response, struct err *e);
enum err_code print_agent_event(struct flow_printer *p, struct str response, struct err *e);
enum err_code print_debug_event(struct flow_printer *p, struct str response, struct err *e);

#endif
