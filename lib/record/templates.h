/*
 * templates - what lines have in common: the text between the values that differ from flow to flow.
 *
 *	{"flow":{"time":▒▒▒,"uuid":▒▒▒,"verdict":"FORWARDED","IP":▒▒▒,"l4":▒▒▒ … }\n
 *	└──── piece ───┘   └ piece ┘   └────────── piece ────────┘   └ piece┘
 *
 * Lines share the pieces with which they begin: a tree. What comes after a piece is nearly always
 * what came after it last, and tried first. At the end of a line is known how the parts of its
 * record are put together (chain.h): bytes that the text stands for, and the values' fields,
 * in the order of protobuf's numbers, which is not that of the line.
 *
 * Threads  one thread per struct templates.
 */
#ifndef TYCHO_RECORD_TEMPLATES_H
#define TYCHO_RECORD_TEMPLATES_H

#include "chain/chain.h"
#include "flow/schema.h"
#include "record/memory.h"
#include "record/scan.h"

/* Where values stand, by the member's field. The caller has its own, from TEMPLATE_SLOTS on. */
enum {
	TEMPLATE_NONE,  /* the member is text like any other */
	TEMPLATE_END,   /* behind the last piece */
	TEMPLATE_AGAIN, /* the time, which a line says twice: in quotes, as the first time */
	TEMPLATE_SLOTS
};

struct piece {
	memory_ref next;  /* another that may stand in its place */
	memory_ref first; /* those that may come next */
	memory_ref leaf;  /* of an end */
	uint16_t text_len;
	uint8_t slot; /* what follows */
	bool is_dns;  /* an end: of a flow with a DNS record, which is cut into other parts */
	char text[];
};

/* How a record's parts are put together. */
struct leaf {
	uint16_t len; /* of its own bytes */
	uint8_t ends
		[CHAIN_PARTS_]; /* chunks of each part; labels, which are values' alone, have none */
	struct chunk {
		uint8_t slot; /* TEMPLATE_NONE: @len bytes at @at behind the chunks */
		uint16_t at, len;
	} chunks[];
};
static inline const char *leaf_bytes(const struct leaf *l)
{
	return (const char *)(l->chunks + l->ends[CHAIN_PARTS_ - 1]);
}

struct templates {
	struct memory *memory;
	const struct schema_message *flow;
	uint8_t slots[SCHEMA_MAX_FIELDS]; /* by index in the schema */
	memory_ref first;
};
/* The piece at the front of @s; *@children are those that may stand there. NULL: it is not known. */
static inline struct piece *templates_next(const struct templates *t, memory_ref *children,
					   const struct scan *s, bool is_dns);
/* A line, and the parts that canon.h has read from it. */
void templates_learn(struct templates *t, struct str line, const struct str parts[CHAIN_PARTS_]);

/* --- inline: some ten times a line --- */

static inline bool piece_is_there(const struct piece *p, const struct scan *s, bool is_dns)
{
	return scan_left(s) >= p->text_len && is_same(s->p, p->text, p->text_len) &&
	       (p->slot != TEMPLATE_END || p->is_dns == is_dns);
}

/* The same, of those that are not the first; it becomes that. */
struct piece *templates_search(const struct templates *t, memory_ref *children,
			       const struct scan *s, bool is_dns);

static inline struct piece *templates_next(const struct templates *t, memory_ref *children,
					   const struct scan *s, bool is_dns)
{
	struct piece *p = memory_at(t->memory, *children);

	if (*children && piece_is_there(p, s, is_dns))
		return p;
	return templates_search(t, children, s, is_dns);
}

#endif
