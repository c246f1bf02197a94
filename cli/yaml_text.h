/*
 * yaml_text - scalars as YAML, quoted where they must be.
 *
 * Follows what Go's yaml.v3 writes, because the reference's output is compared byte for byte: a
 * string that could be taken for something else ("true", "4245", "") stands in double quotes, one
 * that no plain scalar can hold in single quotes, and one with unprintable characters in double
 * quotes with escapes. Lists are indented by four.
 */
#ifndef TYCHO_CLI_YAML_TEXT_H
#define TYCHO_CLI_YAML_TEXT_H

#include "base/buf.h"

/* What a plain scalar means (YAML 1.2 core schema with yaml.v3's additions). */
enum yaml_kind {
	YAML_KIND_STRING,
	YAML_KIND_BOOL,
	YAML_KIND_NUMBER,
	YAML_KIND_NULL,
	YAML_KIND_OTHER
};
enum yaml_kind yaml_kind_of(struct str plain);

/* Appends @s as a string scalar. */
void yaml_put_string(struct buf *b, struct str s);

#endif
