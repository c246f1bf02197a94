/*
 * policy_text - policies in force, from their texts.
 */
#ifndef TYCHO_TESTS_POLICY_TEXT_H
#define TYCHO_TESTS_POLICY_TEXT_H

#include "policy/policy.h"

/* Of cluster c1; nothing is in it yet. */
struct policy_builder *builder(void);
/* @text must be well; @served: as an API server gave it. */
struct policy_set *set_by(const char *text, bool served);
struct policy_set *set_of(const char *text);

#endif
