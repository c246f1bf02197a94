/*
 * keep_policies - the texts of the policies that an observer has been given, on their way into the
 * store.
 *
 * Texts are canonical JSON: members in order, no blanks, without "status" and what managers of
 * fields have noted (metadata.managedFields): neither is policy.
 */
#ifndef TYCHO_OBSERVER_KEEP_POLICIES_H
#define TYCHO_OBSERVER_KEEP_POLICIES_H

#include <jansson.h>

#include "base/err.h"
#include "store/store.h"

struct keep_policies;

/* All policies of the file or folder @path (lib/policy says what they look like): NetworkPolicy,
 * CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and CiliumCIDRGroup. */
MUST_CHECK enum err_code keep_policies_read(const char *path, struct keep_policies **ret,
					    struct err *e);
/* The same, object by object: those of other kinds are passed over. @object is borrowed; it loses
 * what is no policy. */
MUST_CHECK enum err_code keep_policies_new(struct keep_policies **ret, struct err *e);
MUST_CHECK enum err_code keep_policies_add(struct keep_policies *p, json_t *object, struct err *e);
void keep_policies_free(struct keep_policies *p);
AUTO_DEFINE(struct keep_policies, keep_policies_free);
size_t keep_policies_count(const struct keep_policies *p);

/* Tells the store that these are in force from @now on, and all others no more. What is known is
 * not told again. On failure some may not have been told: call again. */
MUST_CHECK enum err_code keep_policies_note(const struct keep_policies *p, struct store *s,
					    struct wall_ns now, struct err *e);

#endif
