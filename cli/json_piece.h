/*
 * json_piece - where the JSON value at the front of a text ends, or why none stands there, in the
 * words that Go's users know.
 *
 *	{"verdict":["DROPPED"]} {"reply":[true]}
 *	└─────── piece ───────┘
 *
 * The reference cuts lists of filters apart with encoding/json before protojson reads each: what is
 * no JSON is refused by the former, whatever it would mean.
 *
 * Source   Go's encoding/json (scanner.go, stream.go): its grammar, nesting limit and sentences.
 * Threads  pure functions.
 */
#ifndef TYCHO_CLI_JSON_PIECE_H
#define TYCHO_CLI_JSON_PIECE_H

#include "base/err.h"
#include "base/str.h"

/* @text begins with what is no blank. *@ret: bytes of its first value; what follows is not looked
 * at. ERR_PARSE: "invalid character 'x' looking for beginning of value", "unexpected EOF", … */
MUST_CHECK enum err_code json_piece(struct str text, size_t *ret, struct err *e);

#endif
