/*
 * observe_time - the texts that --since and --until take.
 *
 *	90s  1h30m  -5m                            that long ago (negative: ahead)
 *	7d  2w  1d12h                              days and weeks, which Hubble does not know
 *	2006-01-02                                 midnight UTC
 *	2006-01-02T15Z  2006-01-02T15:04+01:00     hours, minutes
 *	2006-01-02T15:04:05.999Z                   RFC 3339, any fraction
 *	Fri, 01 Mar 2024 10:00:10 +0000            RFC 1123 with a numeric zone
 *
 * What Go's time.Parse lets pass, passes: an hour of one digit, a decimal comma, any known day of
 * the week.
 */
#ifndef TYCHO_CLI_OBSERVE_TIME_H
#define TYCHO_CLI_OBSERVE_TIME_H

#include "base/err.h"
#include "base/time.h"

struct flags;

/* @now is what durations count from. ERR_PARSE: "failed to convert … to time". The result may be a
 * year 0 or other time that proto3 cannot say: see observe_time_check. */
MUST_CHECK enum err_code observe_time_parse(struct str text, struct timestamp now,
					    struct timestamp *ret, struct err *e);
/* Fails where a google.protobuf.Timestamp cannot hold @t: "proto: timestamp (…) before 0001-01-01".
 */
MUST_CHECK enum err_code observe_time_check(struct timestamp t, struct err *e);
/* The time that --@flag names, durations counting from now; *@ret_has stays as it is where the flag
 * was not given. The sentence begins with Hubble's, and ends in examples of what is taken. */
MUST_CHECK enum err_code observe_time_flag(const struct flags *f, const char *flag, bool *ret_has,
					   struct timestamp *ret, struct err *e);

#endif
