/*
 * bench_dump.h - what a benchmark measures with, in a file, so that another program is measured with
 * the same (bench_hubble.py). Records: a length, 32 bits in the machine's order, and as many bytes.
 *
 * What fails says so on standard error and returns NULL or false.
 */
#ifndef TYCHO_BENCH_DUMP_H
#define TYCHO_BENCH_DUMP_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "flow/wire.h"

static inline FILE *bench_dump_open(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		perror(path);
	return file;
}

static inline bool bench_dump_record(FILE *file, struct str record)
{
	uint32_t len = (uint32_t)record.len;

	if (fwrite(&len, sizeof len, 1, file) == 1 &&
	    fwrite(record.p, 1, record.len, file) == record.len)
		return true;
	perror("dump");
	return false;
}

/* @file may be NULL: that was said when it was opened. */
static inline bool bench_dump_close(FILE *file)
{
	if (!file || fclose(file) == 0)
		return file != NULL;
	perror("dump");
	return false;
}

/* Each a flow.Flow. */
static inline bool bench_dump_flows(const char *path, const struct flow *flows, size_t n,
				    const struct flow_dict *dict)
{
	AUTO_BUF struct buf b = buf_init(1 << 20);
	FILE *file = bench_dump_open(path);
	bool ok = file != NULL;

	for (size_t i = 0; ok && i < n; i++) {
		buf_reset(&b);
		flow_encode(&b, &flows[i], dict);
		ok = bench_dump_record(file, buf_str(&b));
	}
	return bench_dump_close(file) && ok;
}

#endif
