/*
 * numbers - stable small numbers for texts: the same text gets the same number after a restart,
 * without a file.
 *
 * A text's number is FNV-1a (64 bit) of it, folded into the range; if another text has that number,
 * the next free one. So numbers repeat exactly whenever the same texts come in the same order, and
 * nearly all of them in any order. A number stays with its text as long as it is held, and
 * afterwards until the room is needed.
 *
 * Threads  one at a time.
 * Loss     a range that is in use to the last number: the text shares the number that its hash
 *          points to.
 */
#ifndef TYCHO_OBSERVER_NUMBERS_H
#define TYCHO_OBSERVER_NUMBERS_H

#include "base/err.h"
#include "base/str.h"

struct numbers;

/* Numbers @first … @last. */
MUST_CHECK enum err_code numbers_new(uint32_t first, uint32_t last, struct numbers **ret,
				     struct err *e);
void numbers_free(struct numbers *n);
AUTO_DEFINE(struct numbers, numbers_free);

/* The number of @text, held once more from now on. */
uint32_t numbers_get(struct numbers *n, struct str text);
/* @number, which get gave, is held once less. */
void numbers_drop(struct numbers *n, uint32_t number);

#endif
