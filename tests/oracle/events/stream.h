/*
 * stream - what our reader of the agent's monitor socket makes of a stream, played by a socket of ours.
 */
#ifndef TYCHO_TESTS_ORACLE_STREAM_H
#define TYCHO_TESTS_ORACLE_STREAM_H

#include <jansson.h>

#include "base/str.h"

/* @bytes: the whole stream. A list of samples {data, cpu} and losses {lost, cpu}, in order. Own. Ends the program where there
 * can be no socket. */
json_t *stream_read(struct str bytes);

#endif
