/*
 * suggest_make - JSON values made without a check at each step: what failed once has failed, and
 * one look at the end suffices. Values may be NULL after that, which jansson refuses.
 */
#ifndef TYCHO_POLICY_SUGGEST_MAKE_H
#define TYCHO_POLICY_SUGGEST_MAKE_H

#include "policy/suggest_inside.h"

enum { SUGGEST_COMMENT_MAX = 1 << 16 }; /* bytes of one line */

struct maker {
	const struct suggest *s;
	bool cilium;
	bool failed;
};

json_t *made(struct maker *m, json_t *value);
json_t *make_text(struct maker *m, struct str s);
/* These take @value. */
void make_set(struct maker *m, json_t *object, const char *key, json_t *value);
void make_append(struct maker *m, json_t *array, json_t *value);
json_t *make_mapping(struct maker *m, const char *key, json_t *value); /* { key: value } */

/* A line of a comment; the buffer is empty afterwards. */
void make_line(struct maker *m, json_t *comment, struct buf *line);
void make_words(struct maker *m, json_t *comment, const char *words);
/* "1,204 flows" */
void make_flows(struct buf *b, uint64_t n);

/* The labels that select a workload, as a selector. */
json_t *make_selector(struct maker *m, const struct suggest_group *g);

/* What one policy says of one direction. */
struct part {
	const struct suggest_group *subject;
	const struct fact *facts; /* sorted */
	size_t count;
	bool ingress;
};
/* Its list of rules. */
json_t *make_rules(struct maker *m, const struct part *p);

#endif
