/*
 * observe_filter - the filter flags of observe, made into flow.FlowFilter messages.
 *
 *	--pod a --to-port 80 --not --verdict DROPPED
 *
 *	allow: { source_pod a, destination_port 80 }   deny: { verdict DROPPED }
 *	       { destination_pod a, destination_port 80 }
 *
 * A two-sided flag makes two alternatives, one for each side of a flow; everything else is said in
 * both. Equal alternatives are one. --not sends the next flag to the deny list. Namespace flags
 * extend the pod and service names of their side, or stand as "ns/" where there are none. Rules and
 * sentences: reference/hubble-cli.md 4.2.
 */
#ifndef TYCHO_CLI_OBSERVE_FILTER_H
#define TYCHO_CLI_OBSERVE_FILTER_H

#include "base/err.h"
#include "base/str.h"
#include "flow/flow.pb-c.h"

struct buf;
struct observe_filter;

MUST_CHECK enum err_code observe_filter_new(struct observe_filter **ret, struct err *e);
void observe_filter_free(struct observe_filter *of);
AUTO_DEFINE(struct observe_filter, observe_filter_free);

/* One use of flag --@name. ERR_INVALID with the reference's sentence. */
MUST_CHECK enum err_code observe_filter_set(struct observe_filter *of, const char *name,
					    const char *text, struct err *e);
/* After the last flag: "trailing --not found in the arguments". */
MUST_CHECK enum err_code observe_filter_check(const struct observe_filter *of, struct err *e);

/* A list of filters; owns them. */
struct filter_list {
	Flow__FlowFilter **items;
	size_t count;
};
void filter_list_done(struct filter_list *list);
#define AUTO_FILTER_LIST __attribute__((cleanup(filter_list_done)))

/* The filters that the flags amount to; call once, after the last flag. */
MUST_CHECK enum err_code observe_filter_lists(struct observe_filter *of,
					      struct filter_list *ret_allow,
					      struct filter_list *ret_deny, struct err *e);
/* Appends the filters in @json: FlowFilter objects, several of which may follow each other.
 * ERR_PARSE: "failed to decode '…': …". */
MUST_CHECK enum err_code filter_list_add_json(struct filter_list *list, const char *json,
					      struct err *e);
/* Appends both lists as YAML, each filter as one JSON string: what --print-raw-filters prints and
 * --config reads. */
MUST_CHECK enum err_code filter_lists_put_yaml(struct buf *b, const struct filter_list *allow,
					       const struct filter_list *deny, struct err *e);

#endif
