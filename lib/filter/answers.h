/*
 * answers - what a predicate said of each dictionary entry: yes, no, or not asked yet.
 *
 * Shape    two bits an id, grown by doubling as ids come; without memory an answer is not kept.
 * Threads  one thread.
 */
#ifndef TYCHO_FILTER_ANSWERS_H
#define TYCHO_FILTER_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct answers {
	struct answer_word {
		uint64_t known, yes; /* bit id%64 */
	} * words;
	size_t count;
};

static inline bool answers_find(const struct answers *a, uint32_t id, bool *ret)
{
	size_t word = id / 64;

	if (word >= a->count || !(a->words[word].known >> id % 64 & 1))
		return false;
	*ret = a->words[word].yes >> id % 64 & 1;
	return true;
}

static inline void answers_keep(struct answers *a, uint32_t id, bool yes)
{
	size_t word = id / 64;

	if (word >= a->count) {
		size_t count = word * 2 + 16;
		struct answer_word *bigger = realloc(a->words, count * sizeof *bigger);

		if (!bigger)
			return;
		memset(bigger + a->count, 0, (count - a->count) * sizeof *bigger);
		a->words = bigger;
		a->count = count;
	}
	a->words[word].known |= UINT64_C(1) << id % 64;
	a->words[word].yes |= (uint64_t)yes << id % 64;
}

static inline void answers_forget(struct answers *a)
{
	if (a->count)
		memset(a->words, 0, a->count * sizeof *a->words);
}

static inline void answers_done(struct answers *a)
{
	free(a->words);
	*a = (struct answers){ 0 };
}

#endif
