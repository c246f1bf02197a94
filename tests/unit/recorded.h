/*
 * recorded - the recorded data and reference tables that tests compare with.
 *
 * They lie outside the project: in the folder that TYCHO_SHARED names in the environment, else where
 * the build was told. Names are relative to it: "golden/flows/real.jsonl". What is missing fails the
 * test.
 */
#ifndef TYCHO_TESTS_RECORDED_H
#define TYCHO_TESTS_RECORDED_H

#include <stdio.h>

#include "base/buf.h"

enum { RECORDED_PATH_BYTES = 4096 };

/* @return @out. */
const char *recorded_path(char out[RECORDED_PATH_BYTES], const char *name);
/* For reading; the caller closes it. */
FILE *recorded_open(const char *name);
/* The whole file; of the caller. The name comes printf-like: recorded_read("golden/%s", name). */
struct buf recorded_read(const char *fmt, ...) FORMAT(1, 2);
/* Calls @each for every file of the folder @name that ends in @suffix. @return the sum of what it
 * returned. */
size_t recorded_each(const char *name, const char *suffix, size_t (*each)(FILE *in));

#endif
