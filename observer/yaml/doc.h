/*
 * yaml_doc - one YAML document, as the reference's configuration files are read (YAML to JSON to
 * Go's structs): what the observer's files of metrics and of exports have in common.
 *
 *	struct yaml_doc d;
 *	if (yaml_doc_load(&d, text, MAX_BYTES, e) != ERR_OK)
 *		return e->code;
 *	const yaml_node_t *list = yaml_member(&d, yaml_doc_root(&d), "metrics");
 *	…
 *	yaml_doc_done(&d);
 *
 * Owner    nodes and their texts are the document's.
 * Errors   ERR_PARSE with "line N: …", in the struct err that yaml_doc_load was given.
 * Bounds   YAML_DOC_NODES looked at, as aliases repeat them, YAML_DOC_DEPTH levels of a filter.
 */
#ifndef TYCHO_OBSERVER_YAML_DOC_H
#define TYCHO_OBSERVER_YAML_DOC_H

#include <yaml.h>

#include "base/buf.h"
#include "base/err.h"

struct Flow__FlowFilter;

enum { YAML_DOC_NODES = 100000, YAML_DOC_DEPTH = 64 };

struct yaml_doc {
	yaml_parser_t parser;
	yaml_document_t doc;
	size_t nodes; /* looked at */
	struct err *e;
};

/* @text and @e are borrowed until yaml_doc_done. ERR_INVALID: larger than @max_bytes. On failure
 * nothing is to be done. */
MUST_CHECK enum err_code yaml_doc_load(struct yaml_doc *d, struct str text, size_t max_bytes,
				       struct err *e);
void yaml_doc_done(struct yaml_doc *d);
/* NULL: the document is empty, or null. */
const yaml_node_t *yaml_doc_root(struct yaml_doc *d);

/* "line N: @what", ERR_PARSE. */
enum err_code yaml_fault(const struct yaml_doc *d, const yaml_node_t *at, const char *what);
bool yaml_is_null(const yaml_node_t *n);
/* The bytes of a scalar. */
struct str yaml_scalar(const yaml_node_t *n);
/* The value of @key in a mapping, NULL if there is none or it is null. Keys are found in any case,
 * as Go's JSON does; of a key that is there twice the last counts. */
const yaml_node_t *yaml_member(struct yaml_doc *d, const yaml_node_t *map, const char *key);
/* A mapping without YAML's merge key: passed over as one that is not known, it would take members
 * with it. @what it should have been. */
MUST_CHECK enum err_code yaml_check_mapping(struct yaml_doc *d, const yaml_node_t *n,
					    const char *what);
/* … and with no key but those of @keys, up to a NULL. */
MUST_CHECK enum err_code yaml_check_keys(struct yaml_doc *d, const yaml_node_t *map,
					 const char *const *keys);
size_t yaml_items(const yaml_node_t *sequence);
const yaml_node_t *yaml_item(struct yaml_doc *d, const yaml_node_t *sequence, size_t i);
/* One more node looked at; ERR_PARSE: too many. */
MUST_CHECK enum err_code yaml_look(struct yaml_doc *d, const yaml_node_t *n);

/* A plain true or false, in YAML 1.1's words. */
bool yaml_truth(const yaml_node_t *n, bool *ret);
/* Where a text is wanted, a number or a truth is its text: [yes] is "true". @what it should have
 * been. *@ret is borrowed from the document. */
MUST_CHECK enum err_code yaml_text(struct yaml_doc *d, const yaml_node_t *n, const char *what,
				   struct str *ret);
/* A mapping as a flow.FlowFilter: its wire bytes are appended to @wire. Unknown members are errors:
 * a misspelt filter would let everything pass. */
MUST_CHECK enum err_code yaml_filter(struct yaml_doc *d, const yaml_node_t *n, struct buf *wire);

#endif
