/*
 * line - does this line say what that record says? For nearly every record of a bundle, without
 * writing the line.
 *
 *	{"flow":{ time uuid │A│ addresses l4 endpoints │B│ names l7 │C│ services │D│ interface │E│ tycho }, … }
 *
 * What is different from flow to flow is compared as it is read (eat.h); an endpoint, and A to E
 * together, are written once by lib/flow's JSON writer and remembered by all bytes that they came
 * from, in tables of fixed size where a newcomer takes the place of whoever has it.
 *
 * How a core was made up is remembered, too, of the last few: what is common to many flows is then
 * compared in runs instead of being read field by field. Endpoints are the block's shared fragments:
 * met again in it, they are found by their number.
 *
 * It may answer "not known" for a line that is right (fields in another order, text that JSON
 * escapes): then render.h writes the line. It never says yes to one that render.h would
 * write otherwise; tests/unit/test_evidence_line.c holds the two against each other.
 *
 * Threads  one thread per struct line_matcher.
 */
#ifndef TYCHO_EVIDENCE_LINE_H
#define TYCHO_EVIDENCE_LINE_H

#include "base/err.h"
#include "base/own.h"
#include "evidence/block.h"

struct line_matcher;
MUST_CHECK enum err_code line_matcher_new(struct line_matcher **ret, struct err *e);
void line_matcher_free(struct line_matcher *r);
AUTO_DEFINE(struct line_matcher, line_matcher_free);

/* Length of the line, with its newline, if @text begins with the line of record @i; 0 if that is
 * not known. Notes in b->shared where it has found what: a block is one matcher's. */
size_t line_match(struct line_matcher *r, struct evidence_block *b, size_t i, struct str text);
/* Asks for what line_match will want of record @i, if there is one: a block is larger than what a
 * core keeps near. */
void line_prefetch(const struct evidence_block *b, size_t i);

#endif
