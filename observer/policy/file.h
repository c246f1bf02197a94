/*
 * policy_file - the policies in force from a file or a folder of files, reread when they change.
 *
 *	files ──► policy_file ──► policy_publish         alone
 *	                     └──► who asks for them      beside another provider, who publishes all
 *
 * YAML or JSON, Kubernetes objects as `kubectl get -o yaml` gives them (lib/policy/policy.h says
 * which kinds; others are skipped). Of a folder all *.yaml, *.yml and *.json. All of them together
 * are one set: if one cannot be read or holds a policy that is refused, the old set stays in force,
 * and the sentence names file, object and place.
 *
 * Threads  one at a time; not the capture thread (reading blocks). policy_file_each: any thread but
 *          capture.
 */
#ifndef TYCHO_OBSERVER_POLICY_FILE_H
#define TYCHO_OBSERVER_POLICY_FILE_H

#include "observer/policy/table.h"

struct policy_file;

/* Reads @path, publishes what it says to @t, and watches it. @config is borrowed for the file's
 * life. @shared: what it says later is not published; policy_file_each has it. */
MUST_CHECK enum err_code policy_file_new(const char *path, const struct policy_config *config,
					 struct policy_table *t, bool shared,
					 struct policy_file **ret, struct err *e);
void policy_file_free(struct policy_file *f);
AUTO_DEFINE(struct policy_file, policy_file_free);
/* Readable when something happened to it. */
int policy_file_fd(const struct policy_file *f);
/* Rereads if it changed. ERR_AGAIN: it did not. Other errors: the old policies stay in force. */
MUST_CHECK enum err_code policy_file_poll(struct policy_file *f, struct err *e);
/* Policies in force; objects of other kinds that were skipped. */
size_t policy_file_count(const struct policy_file *f, size_t *ret_skipped);
/* Calls @each with every object, other kinds too, items of lists one by one; ends with its error.
 * Of files that are not shared it reads them again, and may fail for that. @each borrows the object
 * and may not call back. */
MUST_CHECK enum err_code policy_file_each(struct policy_file *f,
					  enum err_code (*each)(void *ctx, const json_t *object,
								struct err *e),
					  void *ctx, struct err *e);

#endif
