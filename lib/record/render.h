/*
 * render - an exported record as people and programs read it: a JSON line, a CSV row, an edge of
 * the report. What collects a bundle writes them; line.h reads the JSON back.
 *
 * JSON     one observer.GetFlowsResponse as `tycho observe -o jsonpb` prints it, so that `tycho
 *          observe --input-file` reads it.
 * CSV      RFC 4180 with the columns of render_csv_head, lines end in "\n"; text that begins like a
 *          formula (= + - @, tab, CR) has a "'" before it.
 */
#ifndef TYCHO_RECORD_RENDER_H
#define TYCHO_RECORD_RENDER_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/chain.h"

struct renderer;

MUST_CHECK enum err_code renderer_new(struct renderer **ret, struct err *e);
void renderer_free(struct renderer *r);
AUTO_DEFINE(struct renderer, renderer_free);

/* Takes a record: what the functions below speak of, until the next. @parts: as shown; borrowed no
 * longer than the call. */
MUST_CHECK enum err_code renderer_take(struct renderer *r, const struct str parts[CHAIN_PARTS_],
				       struct err *e);
/* Reads it into numbers: needed before all but render_json. ERR_PARSE: it is no flow. */
MUST_CHECK enum err_code renderer_read(struct renderer *r, struct err *e);
/* With the newline. ERR_PARSE: it is no flow. */
MUST_CHECK enum err_code render_json(struct renderer *r, struct buf *b, struct err *e);
void render_csv(struct renderer *r, struct buf *b);
struct str render_csv_head(void);

/* The record in numbers, names through the dictionary; borrowed until the next take. */
const struct flow *renderer_flow(const struct renderer *r);
const struct flow_dict *renderer_dict(const struct renderer *r);

#endif
