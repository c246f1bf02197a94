/*
 * monitor_stream - what Cilium's agent writes to its monitor socket, for tests and benchmarks.
 *
 * Source   the bytes are those observed of Cilium 1.19 (reference/cilium-events.md section 5).
 */
#ifndef TYCHO_TESTS_MONITOR_STREAM_H
#define TYCHO_TESTS_MONITOR_STREAM_H

#include "base/buf.h"

/* Definition of Payload { Data, CPU, Lost, Type }. */
static const uint8_t monitor_definition[] = {
	0x37, 0x7f, 0x03, 0x01, 0x01, 0x07, 'P',  'a',  'y',  'l',  'o',  'a',  'd',  0x01,
	0xff, 0x80, 0x00, 0x01, 0x04, 0x01, 0x04, 'D',  'a',  't',  'a',  0x01, 0x0a, 0x00,
	0x01, 0x03, 'C',  'P',  'U',  0x01, 0x04, 0x00, 0x01, 0x04, 'L',  'o',  's',  't',
	0x01, 0x06, 0x00, 0x01, 0x04, 'T',  'y',  'p',  'e',  0x01, 0x04, 0x00, 0x00, 0x00,
};
/* Data 04 00 01 02 03, CPU 0, Type 9. */
static const uint8_t monitor_sample_cpu0[] = { 0x0c, 0xff, 0x80, 0x01, 0x05, 0x04, 0x00,
					       0x01, 0x02, 0x03, 0x03, 0x12, 0x00 };
/* Data 01 85, CPU 3. */
static const uint8_t monitor_sample_cpu3[] = { 0x0b, 0xff, 0x80, 0x01, 0x02, 0x01,
					       0x85, 0x01, 0x06, 0x02, 0x12, 0x00 };
/* Lost 300 on CPU 5. */
static const uint8_t monitor_lost_300_cpu5[] = { 0x0b, 0xff, 0x80, 0x02, 0x0a, 0x01,
						 0xfe, 0x01, 0x2c, 0x01, 0x04, 0x00 };

/* The definition and the three messages. */
static inline void monitor_stream_put(struct buf *b)
{
	buf_put(b, monitor_definition, sizeof monitor_definition);
	buf_put(b, monitor_sample_cpu0, sizeof monitor_sample_cpu0);
	buf_put(b, monitor_sample_cpu3, sizeof monitor_sample_cpu3);
	buf_put(b, monitor_lost_300_cpu5, sizeof monitor_lost_300_cpu5);
}

static inline void monitor_put_uint(struct buf *b, uint64_t v)
{
	if (v < 128) {
		buf_char(b, (char)v);
		return;
	}
	unsigned bytes = 8 - (unsigned)__builtin_clzll(v) / 8;
	buf_char(b, (char)-bytes);
	for (; bytes; bytes--)
		buf_char(b, (char)(v >> (8 * (bytes - 1))));
}

/* A sample of CPU @cpu (below 32) that carries @data. */
static inline void monitor_put_sample(struct buf *b, struct str data, unsigned cpu)
{
	char head[16];
	struct buf len = buf_fixed(head, sizeof head);

	monitor_put_uint(&len, data.len);
	monitor_put_uint(b, 2 + 1 + len.len + data.len + (cpu ? 2 : 0) + 3);
	buf_put(b, "\xff\x80\x01", 3);
	buf_str_put(b, buf_str(&len));
	buf_str_put(b, data);
	if (cpu) {
		buf_char(b, 1);
		buf_char(b, (char)(cpu * 2));
	}
	buf_char(b, cpu ? 2 : 3); /* from CPU, or from Data, on to Type */
	buf_put(b, "\x12\x00", 2);
}

#endif
