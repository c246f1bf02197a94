/*
 * perf_emitter - a perf event array as Cilium pins it, and a BPF program that writes to it what it
 * is told, on the CPU it is told.
 *
 * A tc program, run by BPF_PROG_TEST_RUN; its own mount namespace with a bpf file system. Needs
 * root. Failures end the test.
 * Threads  one.
 */
#ifndef TYCHO_TESTS_PERF_EMITTER_H
#define TYCHO_TESTS_PERF_EMITTER_H

#include "base/str.h"

enum { EMITTER_BYTES_MAX = 1024 };

struct perf_emitter {
	char dir[64];   /* the bpf file system */
	char path[96];  /* where the array is pinned */
	int events_fd;  /* the array */
	int payload_fd; /* what to write: u32 size, u32 unused, bytes */
	int prog_fd;
};

struct perf_emitter perf_emitter_open(void);
void perf_emitter_done(struct perf_emitter *em);
#define AUTO_EMITTER __attribute__((cleanup(perf_emitter_done))) struct perf_emitter

/* Pins a map. */
void perf_emitter_pin(int fd, const char *path);
/* Unpins the array, and pins a new one: an agent that was restarted. */
void perf_emitter_pin_anew(struct perf_emitter *em);
/* Writes @bytes @times times on CPU @cpu. @return what the last call of the helper said: 0, or a
 * negative errno. */
int perf_emit(const struct perf_emitter *em, int cpu, struct str bytes, uint32_t times);

#endif
