/*
 * time - two clocks that cannot be mixed up, and the texts of times and durations.
 *
 * All values are nanoseconds. A wall_ns is an unsigned count since the epoch: it reaches from 1970
 * to 2554. Times outside that range (proto3 timestamps go from year 1 to 9999) are a struct
 * timestamp.
 */
#ifndef TYCHO_BASE_TIME_H
#define TYCHO_BASE_TIME_H

#include "base/err.h"
#include "base/str.h"

struct buf;

struct mono_ns {
	uint64_t v; /* CLOCK_MONOTONIC, what bpf_ktime_get_ns() stamps; for intervals */
};
struct wall_ns {
	uint64_t v; /* since 1970-01-01T00:00Z; what people and filters see */
};

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

struct mono_ns mono_now(void);
struct wall_ns wall_now(void);

/* google.protobuf.Timestamp: seconds since the epoch (may be negative) and 0..999,999,999 ns
 * forward. */
struct timestamp {
	int64_t s;
	int32_t ns;
};
#define TIMESTAMP_MIN_S INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define TIMESTAMP_MAX_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

struct timestamp timestamp_of(struct wall_ns w);
/* False where a wall_ns cannot hold it. */
bool timestamp_to_wall(struct timestamp t, struct wall_ns *ret);
/* A message's fields as a timestamp; ERR_PARSE, in the words of Go's timestamppb (CheckValid): it is
 * outside the years 1 to 9999, or has odd nanoseconds. */
MUST_CHECK enum err_code timestamp_check(int64_t s, int32_t ns, struct timestamp *ret,
					 struct err *e);
/* Negative, zero, positive, as memcmp. */
int timestamp_cmp(struct timestamp a, struct timestamp b);

/* Days since the epoch to the proleptic Gregorian calendar and back. @month 1..12, @day 1..31. */
struct civil {
	int64_t year;
	int month, day, hour, minute, second, weekday; /* weekday: 0 Sunday */
};
struct civil civil_of(int64_t epoch_s);
int64_t civil_to_s(int64_t year, int month, int day, int hour, int minute, int second);

/* "2024-03-01T10:00:00.123Z" with 0, 3, 6 or 9 fraction digits, as proto3 JSON prints it. */
void timestamp_put(struct buf *b, struct timestamp t);
/* RFC 3339 as proto3 JSON accepts it: 'T' and 'Z' in capitals or an offset, up to 9 fraction
 * digits, within the years 1 to 9999. */
bool timestamp_parse(struct str s, struct timestamp *ret);
/* And what Go's time.Parse takes besides: an hour of one digit, a comma before the fraction, more
 * digits than count, offsets of up to 24 hours and 60 minutes; the year 0 where an offset leads out
 * of it. */
bool timestamp_parse_lax(struct str s, struct timestamp *ret);

/* Go's duration text: "90s", "1h30m", "-1.5h", "300ms", "1us", "1µs", "0". False on bad text or
 * overflow. */
bool duration_parse(struct str s, int64_t *ret_ns);
/* The same, and before it weeks and days of 24 hours, whole numbers: "7d", "2w", "1d12h". */
bool duration_parse_days(struct str s, int64_t *ret_ns);
/* Go's Duration.String(): "4m5.114197398s", "1.5µs", "0s", "1h0m0s". */
void duration_put(struct buf *b, int64_t ns);

#endif
