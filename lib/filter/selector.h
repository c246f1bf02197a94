/*
 * selector - label selectors: Kubernetes' syntax, Cilium's label sources.
 *
 *	app=web, !canary, tier in (front,back), k8s:team notin (red), reserved:host, replicas > 3
 *
 *	k  !k  k=v  k==v  k!=v  k in (v,…)  k notin (v,…)  k>n  k<n
 *	commas mean "and"; "" selects everything
 *
 * A key may name the source of the label before its first ':'; without one, or with "any:", every
 * source will do. Labels are "source:key=value"; without a source they are of source "unspec". Of
 * several labels with the asked key the first counts. Between labels and keys of source "cidr"
 * containment counts as equality: cidr:10.0.0.0/8 selects cidr:10.1.2.3/32.
 *
 * Source   Kubernetes apimachinery pkg/labels (grammar, limits, error sentences); Cilium 1.19.4
 *          pkg/hubble/filters (sources, kept before a '.' while parsing), pkg/labels (comparison).
 * Threads  immutable after construction.
 * Limits   the text of a selector has at most 65,536 bytes.
 */
#ifndef TYCHO_FILTER_SELECTOR_H
#define TYCHO_FILTER_SELECTOR_H

#include "base/err.h"
#include "base/str.h"

struct selector;

/* ERR_INVALID with the reference's sentence: "found 'bar', expected: ',' or 'end of string'". */
MUST_CHECK enum err_code selector_new(struct str text, struct selector **ret, struct err *e);
void selector_free(struct selector *s);
AUTO_DEFINE(struct selector, selector_free);
bool selector_match(const struct selector *s, const struct str *labels, size_t count);

/* Rules for label keys and values, in label_syntax.c. Each appends what is wrong to @b, parts
 * joined by "; ", and is true if nothing is. */
struct buf;
bool label_key_is_valid(struct str key, struct buf *b);
bool label_value_is_valid(struct str value, struct buf *b);

#endif
