#include "perf_emitter.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/own.h"

enum { CPUS = 64, HEAD_BYTES = 8 };

#define INSN(op, dst, src, o, i)                                                                   \
	{                                                                                          \
		.code = (op), .dst_reg = (dst), .src_reg = (src), .off = (o), .imm = (i)           \
	}
#define MOVE(dst, src) INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define ADD(dst, i) INSN(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, i)
#define LOAD_MAP(dst, fd)                                                                          \
	INSN(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)
#define CALL(id) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, id)

/* perf_event_output(ctx, events, this CPU, payload[0].bytes, payload[0].size) */
static void load_program(struct perf_emitter *em)
{
	const struct bpf_insn insns[] = {
		MOVE(6, 1),
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),
		LOAD_MAP(1, em->payload_fd),
		MOVE(2, 10),
		ADD(2, -4),
		CALL(BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 10, 0), /* to the exit */
		MOVE(4, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 4, 0, 0),
		INSN(BPF_JMP | BPF_JGT | BPF_K, 5, 0, 6, EMITTER_BYTES_MAX), /* to the exit */
		ADD(4, HEAD_BYTES),
		MOVE(1, 6),
		LOAD_MAP(2, em->events_fd),
		INSN(BPF_ALU | BPF_MOV | BPF_K, 3, 0, 0, -1), /* BPF_F_CURRENT_CPU */
		CALL(BPF_FUNC_perf_event_output),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	if (em->prog_fd >= 0)
		(void)close(em->prog_fd);
	em->prog_fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "emit", "GPL", insns, ARRAY_LEN(insns),
				    NULL);
	if (em->prog_fd < 0)
		fail_msg("load the emitting program: errno %d", errno);
}

void perf_emitter_pin(int fd, const char *path)
{
	if (bpf_obj_pin(fd, path) < 0)
		fail_msg("pin a map at %s: errno %d", path, errno);
}

static void make_array(struct perf_emitter *em)
{
	em->events_fd =
		bpf_map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, "cilium_events", 4, 4, CPUS, NULL);
	if (em->events_fd < 0)
		fail_msg("make a perf event array: errno %d", errno);
	perf_emitter_pin(em->events_fd, em->path);
}

struct perf_emitter perf_emitter_open(void)
{
	struct perf_emitter em = { .dir = "/tmp/tycho-bpffs-XXXXXX", .prog_fd = -1 };

	assert_non_null(mkdtemp(em.dir));
	/* The mount is seen by us alone and goes with us. */
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", em.dir, "bpf", 0, NULL) < 0)
		fail_msg("a bpf file system at %s: errno %d; this test needs root", em.dir, errno);
	(void)snprintf(em.path, sizeof em.path, "%s/cilium_events", em.dir);
	em.payload_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "payload", 4,
				       HEAD_BYTES + EMITTER_BYTES_MAX, 1, NULL);
	assert_true(em.payload_fd >= 0);
	make_array(&em);
	load_program(&em);
	return em;
}

void perf_emitter_done(struct perf_emitter *em)
{
	(void)close(em->prog_fd);
	(void)close(em->payload_fd);
	(void)close(em->events_fd);
	(void)unlink(em->path);
	(void)umount2(em->dir, MNT_DETACH);
	(void)rmdir(em->dir);
}

void perf_emitter_pin_anew(struct perf_emitter *em)
{
	assert_int_equal(unlink(em->path), 0);
	(void)close(em->events_fd);
	make_array(em);
	load_program(em);
}

int perf_emit(const struct perf_emitter *em, int cpu, struct str bytes, uint32_t times)
{
	struct {
		uint32_t size, unused;
		char bytes[EMITTER_BYTES_MAX];
	} payload = { .size = (uint32_t)bytes.len };
	char packet[64] = { 0 };
	const uint32_t key = 0;
	cpu_set_t one, before;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof packet,
		    .repeat = (int)times);

	assert_in_range(bytes.len, 0, EMITTER_BYTES_MAX);
	memcpy(payload.bytes, bytes.p, bytes.len);
	assert_int_equal(bpf_map_update_elem(em->payload_fd, &key, &payload, BPF_ANY), 0);
	assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
	if (bpf_prog_test_run_opts(em->prog_fd, &opts) < 0)
		fail_msg("run the emitting program: errno %d", errno);
	assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
	return (int)opts.retval;
}
