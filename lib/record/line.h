/*
 * line - which record does this line say?
 *
 *	{"flow":{"time":▒▒▒,"uuid":▒▒▒,"verdict":"FORWARDED","IP":▒▒▒ … }\n
 *
 * What lines have in common is remembered (templates.h) with the fields that it stands for. What
 * differs from flow to flow, ▒ above, is read (values.h); endpoints (endpoints.h) and members of
 * which a node has few values (recent.h) are remembered, too. All of it in memory of fixed size:
 * when that is full, all is forgotten and learned anew. A line unlike all others is read by
 * canon.h.
 *
 * A line that is not exactly as render.h writes the record is refused: no two lines say the same
 * record. tests/unit/test_record_line.c holds the two ways of reading against each other and
 * against what was recorded.
 *
 * Threads  one thread per struct line_parser.
 */
#ifndef TYCHO_RECORD_LINE_H
#define TYCHO_RECORD_LINE_H

#include "base/err.h"
#include "base/own.h"
#include "chain/chain.h"

struct line_parser;
MUST_CHECK enum err_code line_parser_new(struct line_parser **ret, struct err *e);
void line_parser_free(struct line_parser *r);
AUTO_DEFINE(struct line_parser, line_parser_free);

/* A record as its line says it. */
struct line_record {
	size_t len;                     /* of the line, with its newline */
	struct str parts[CHAIN_PARTS_]; /* borrowed until the next line */
	/* Of the labels, by enum flow_side: where they are the same of two lines, so are the
	 * labels. 0: not known. */
	uint64_t labels_key[2];
};

/* The line at the front of @text. False: it says no record. */
bool line_parse(struct line_parser *r, struct str text, struct line_record *ret);
/* The same. Where the core is to be copied to next, it is put at once, at @core, if it fits well into
 * @core_bytes, any of which may be written: *@ret tells where it is. */
bool line_parse_to(struct line_parser *r, struct str text, char *core, size_t core_bytes,
		   struct line_record *ret);
/* The same, for tests: without what is remembered. */
bool line_parse_generally(struct line_parser *r, struct str text, struct line_record *ret);

#endif
