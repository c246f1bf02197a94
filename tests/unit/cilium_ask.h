/*
 * cilium_ask - what our decoders make of one of Cilium's events: a recorded one, or one that is made up.
 *
 *	kind, payload, cpu, node, options  ──►  "flow" and JSON | "skip" | "error"
 *
 * Shape    the columns of golden/events/events.tsv; its README says what they hold.
 * Threads  one. Failures end the test.
 */
#ifndef TYCHO_TESTS_CILIUM_ASK_H
#define TYCHO_TESTS_CILIUM_ASK_H

#include "base/buf.h"
#include "cilium_world.h"

struct cilium_question {
	struct str kind, payload, cpu, node, options;
};

/* Decoders by what is in the options column: what L7 lines leave behind must not mix. */
struct cilium_asker;
struct cilium_asker *cilium_asker_new(struct cilium_world *w); /* borrows @w */
void cilium_asker_free(struct cilium_asker *a);
AUTO_DEFINE(struct cilium_asker, cilium_asker_free);

struct buf cilium_unhex(
	struct str hex); /* of the size of what there is: a sanitizer sees who reads on. Own. */
/* @return the outcome; with "flow", *@ret is the message without what is no function of the question. Own. */
const char *cilium_ask(struct cilium_asker *a, const struct cilium_question *q, json_t **ret);

#endif
