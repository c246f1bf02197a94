/*
 * policy_suggest - suggested policies as text that people review and kubectl applies.
 */
#ifndef TYCHO_CLI_POLICY_SUGGEST_H
#define TYCHO_CLI_POLICY_SUGGEST_H

#include <jansson.h>

#include "base/buf.h"

/* Appends @object as a document of YAML: mappings in their order, comments (SUGGEST_COMMENT) above
 * what they are about. Whatever names hold, a comment stays one, and a text stays that text. */
void suggest_put_yaml(struct buf *b, const json_t *object);
/* A line of a comment, unable to end it or to steer a terminal: "# …". */
void suggest_put_comment(struct buf *b, struct str line, size_t indent);
/* Appends a List of @policies as JSON, without comments. */
void suggest_put_json(struct buf *b, const json_t *policies);

#endif
