/* observer/source/ring over memory of our own, laid out as kernel/bpf/ringbuf.c does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/own.h"
#include "observer/source/ring.h"

enum { BYTES = 4096, BUSY = 1U << 31, DISCARDED = 1U << 30, RECORD = 8 + sizeof(struct bpf_event) };

struct kernel {
	_Atomic(unsigned long) consumer, producer;
	_Alignas(8) uint8_t data[BYTES];
	struct ring ring;
};

static void poke(struct kernel *k, uint64_t at, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		k->data[(at + i) % BYTES] = ((const uint8_t *)p)[i];
}

/* A record stamped @mono_ns; @return where it lies. */
static uint64_t put(struct kernel *k, uint64_t mono_ns, uint32_t bits)
{
	uint64_t at = atomic_load(&k->producer);
	uint32_t header[2] = { sizeof(struct bpf_event) | bits };
	struct bpf_event ev = { .mono_ns = mono_ns, .kind = BPF_EVENT_TRACE };

	assert_true(at + RECORD - atomic_load(&k->consumer) <= BYTES);
	poke(k, at, header, sizeof header);
	poke(k, at + 8, &ev, sizeof ev);
	atomic_store(&k->producer, at + RECORD);
	return at;
}

/* A record with @n bytes of packet, each of them @fill. */
static void put_packet(struct kernel *k, uint8_t fill, uint16_t n)
{
	uint64_t at = atomic_load(&k->producer);
	uint32_t header[2] = { (uint32_t)sizeof(struct bpf_event) + n };
	struct bpf_event ev = { .mono_ns = fill, .kind = BPF_EVENT_TRACE, .cap_bytes = n };
	uint8_t packet[BPF_EVENT_DNS_CAP_BYTES];

	assert_true(n <= sizeof packet);
	memset(packet, fill, sizeof packet);
	memset(ev.ifname, fill, sizeof ev.ifname);
	poke(k, at, header, sizeof header);
	poke(k, at + 8, &ev, sizeof ev);
	poke(k, at + 8 + sizeof ev, packet, n);
	atomic_store(&k->producer, at + (8 + sizeof ev + n + 7) / 8 * 8);
}

static void commit(struct kernel *k, uint64_t at)
{
	poke(k, at, &(uint32_t){ sizeof(struct bpf_event) }, 4);
}

static uint64_t take(struct kernel *k)
{
	const struct bpf_event *ev = ring_peek(&k->ring);
	uint64_t mono_ns = ev ? ev->mono_ns : 0;

	if (ev)
		ring_take(&k->ring);
	return mono_ns;
}

static int setup(void **state)
{
	struct kernel *k = calloc(1, sizeof *k);

	assert_non_null(k);
	k->ring = ring_over(&k->consumer, &k->producer, k->data, BYTES);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void a_ring_that_is_not_there_is_empty(void **state)
{
	struct ring none = { 0 };

	(void)state;
	ring_look(&none);
	assert_null(ring_peek(&none));
	ring_release(&none);
	assert_int_equal(ring_used(&none), 0);
	ring_unmap(&none);
}

static void what_comes_after_the_look_waits_for_the_next(void **state)
{
	struct kernel *k = *state;

	put(k, 1, 0);
	assert_int_equal(take(k), 0);
	ring_look(&k->ring);
	put(k, 2, 0);
	assert_int_equal(take(k), 1);
	assert_int_equal(take(k), 0);
	ring_look(&k->ring);
	assert_int_equal(take(k), 2);
}

static void neighbours_the_wrong_way_round_are_put_right(void **state)
{
	static const uint64_t stamps[] = { 5, 3, 4, 1, 2, 9, 8, 8, 7, 6 };
	struct kernel *k = *state;
	uint64_t last = 0;

	for (size_t i = 0; i < ARRAY_LEN(stamps); i++)
		put(k, stamps[i], 0);
	ring_look(&k->ring);
	for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
		uint64_t now = take(k);

		assert_true(now >= last && now > 0);
		last = now;
	}
	assert_int_equal(take(k), 0);
}

/* One place more than the window reaches is the limit. */
static void a_record_may_be_as_late_as_the_window_is_wide(void **state)
{
	struct kernel *k = *state;

	for (uint64_t i = 1; i < RING_WINDOW; i++)
		put(k, 100 + i, 0);
	put(k, 1, 0);
	put(k, 2, 0);
	ring_look(&k->ring);
	assert_int_equal(take(k), 1);
	assert_int_equal(take(k), 2);
	assert_int_equal(take(k), 101);
}

static void room_is_given_back_up_to_the_first_record_still_held(void **state)
{
	struct kernel *k = *state;

	put(k, 9, 0);
	put(k, 1, 0);
	put(k, 2, 0);
	ring_look(&k->ring);
	assert_int_equal(take(k), 1);
	assert_int_equal(take(k), 2);
	ring_release(&k->ring);
	assert_int_equal(atomic_load(&k->consumer), 0); /* 9 lies in front */
	assert_int_equal(ring_used(&k->ring), 3 * RECORD);
	assert_int_equal(take(k), 9);
	ring_release(&k->ring);
	assert_int_equal(atomic_load(&k->consumer), 3 * RECORD);
	assert_int_equal(ring_used(&k->ring), 0);
}

static void a_record_being_written_holds_back_those_behind_it(void **state)
{
	struct kernel *k = *state;
	uint64_t at;

	put(k, 1, 0);
	at = put(k, 2, BUSY);
	put(k, 3, 0);
	ring_look(&k->ring);
	assert_int_equal(take(k), 1);
	assert_int_equal(take(k), 0);
	ring_release(&k->ring);
	assert_int_equal(atomic_load(&k->consumer), RECORD);
	commit(k, at);
	ring_look(&k->ring);
	assert_int_equal(take(k), 2);
	assert_int_equal(take(k), 3);
}

static void a_discarded_record_is_passed_over_and_its_room_given_back(void **state)
{
	struct kernel *k = *state;

	put(k, 1, DISCARDED);
	ring_look(&k->ring);
	assert_int_equal(take(k), 0);
	ring_release(&k->ring);
	assert_int_equal(atomic_load(&k->consumer), RECORD);
	put(k, 2, DISCARDED);
	put(k, 3, 0);
	ring_look(&k->ring);
	assert_int_equal(take(k), 3);
}

/* Many times round, with records across the end of the memory. */
static void it_goes_round(void **state)
{
	struct kernel *k = *state;
	uint64_t written = 0, read = 0;

	for (int round = 0; round < 1000; round++) {
		while (atomic_load(&k->producer) + RECORD - atomic_load(&k->consumer) <= BYTES)
			put(k, ++written, 0);
		ring_look(&k->ring);
		for (int i = 0; i < 1 + round % 40; i++) {
			uint64_t got = take(k);

			if (!got)
				break;
			assert_int_equal(got, ++read);
		}
		ring_release(&k->ring);
	}
	assert_true(read > 10000);
}

/* Wherever the end of the memory falls: in the event, between it and its packet, in the packet. */
static void a_record_across_the_end_is_whole(void **state)
{
	struct kernel *k = *state;
	uint16_t n = 0;

	for (int i = 0; i < 4000; i++, n = (uint16_t)((n + 37) % (BPF_EVENT_DNS_CAP_BYTES + 1))) {
		uint8_t fill = (uint8_t)(1 + i % 255);
		const struct bpf_event *ev;

		put_packet(k, fill, n);
		put_packet(k, fill, 8); /* while the one before is held */
		ring_look(&k->ring);
		for (int one = 0; one < 2; one++) {
			ev = ring_peek(&k->ring);
			assert_non_null(ev);
			assert_int_equal(ev->cap_bytes, one ? 8 : n);
			for (size_t b = 0; b < sizeof ev->ifname; b++)
				assert_int_equal((uint8_t)ev->ifname[b], fill);
			for (size_t b = 0; b < ev->cap_bytes; b++)
				assert_int_equal(((const uint8_t *)(ev + 1))[b], fill);
			ring_take(&k->ring);
		}
		ring_release(&k->ring);
	}
}

static void a_record_larger_than_any_of_ours_is_passed_over(void **state)
{
	struct kernel *k = *state;
	uint32_t header[2] = { RING_RECORD_MAX + 1 };

	poke(k, 0, header, sizeof header);
	atomic_store(&k->producer, (8 + RING_RECORD_MAX + 1 + 7) / 8 * 8);
	put(k, 3, 0);
	ring_look(&k->ring);
	assert_int_equal(take(k), 3);
	assert_int_equal(take(k), 0);
}

/* As no program of ours writes it: what it says of itself would lead behind its end. */
static void a_record_that_is_shorter_than_it_says_is_passed_over(void **state)
{
	struct kernel *k = *state;
	const uint32_t no_event[2] = { sizeof(struct bpf_event) - 8 };
	const struct bpf_event ev = { .mono_ns = 2, .kind = BPF_EVENT_TRACE, .cap_bytes = 1 };

	poke(k, 0, no_event, sizeof no_event);
	poke(k, 8, &(struct bpf_event){ .mono_ns = 1 }, sizeof ev - 8);
	atomic_store(&k->producer, RECORD - 8);
	put(k, 2, 0);
	poke(k, RECORD - 8 + 8, &ev, sizeof ev);
	put(k, 3, 0);
	ring_look(&k->ring);
	assert_int_equal(take(k), 3);
	assert_int_equal(take(k), 0);
}

/* Of "ring", as memfd_create() calls it there. */
static size_t mapped_pages(void)
{
	size_t bytes = 0;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "re");

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		unsigned long from, to;

		if (strstr(line, "/memfd:ring") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			bytes += to - from;
	}
	assert_int_equal(fclose(f), 0);
	return bytes / (size_t)sysconf(_SC_PAGESIZE);
}

/* A file in the place of the map: the consumer's page, the producer's, and the data. */
static void nothing_stays_mapped_of_a_ring_that_is_unmapped(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 4 * page;
	const uint32_t header[2] = { sizeof(struct bpf_event) };
	const struct bpf_event ev = { .mono_ns = 7, .kind = BPF_EVENT_TRACE };
	const unsigned long end = RECORD;
	unsigned long read_to = 0;
	struct ring ring;
	struct err e;
	AUTO_FD int fd = memfd_create("ring", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(2 * page + bytes)), 0);
	assert_int_equal(pwrite(fd, &end, sizeof end, (off_t)page), sizeof end);
	assert_int_equal(pwrite(fd, header, sizeof header, (off_t)(2 * page)), sizeof header);
	assert_int_equal(pwrite(fd, &ev, sizeof ev, (off_t)(2 * page + sizeof header)), sizeof ev);
	assert_int_equal(ring_map(fd, bytes, &ring, &e), ERR_OK);
	assert_int_equal(mapped_pages(), 2 + bytes / page);
	ring_look(&ring);
	assert_int_equal(ring_peek(&ring)->mono_ns, 7);
	ring_take(&ring);
	ring_release(&ring);
	assert_int_equal(pread(fd, &read_to, sizeof read_to, 0), sizeof read_to);
	assert_int_equal(read_to, RECORD);
	ring_unmap(&ring);
	assert_int_equal(mapped_pages(), 0);
	ring_unmap(&ring); /* zero by now */
	/* more than there are addresses: the first page is there, and is given back */
	assert_int_not_equal(ring_map(fd, SIZE_MAX / 2 / page * page, &ring, &e), ERR_OK);
	assert_int_equal(mapped_pages(), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_ring_that_is_not_there_is_empty),
	cmocka_unit_test_setup_teardown(what_comes_after_the_look_waits_for_the_next, setup,
					teardown),
	cmocka_unit_test_setup_teardown(neighbours_the_wrong_way_round_are_put_right, setup,
					teardown),
	cmocka_unit_test_setup_teardown(a_record_may_be_as_late_as_the_window_is_wide, setup,
					teardown),
	cmocka_unit_test_setup_teardown(room_is_given_back_up_to_the_first_record_still_held, setup,
					teardown),
	cmocka_unit_test_setup_teardown(a_record_being_written_holds_back_those_behind_it, setup,
					teardown),
	cmocka_unit_test_setup_teardown(a_discarded_record_is_passed_over_and_its_room_given_back,
					setup, teardown),
	cmocka_unit_test_setup_teardown(it_goes_round, setup, teardown),
	cmocka_unit_test_setup_teardown(a_record_across_the_end_is_whole, setup, teardown),
	cmocka_unit_test_setup_teardown(a_record_larger_than_any_of_ours_is_passed_over, setup,
					teardown),
	cmocka_unit_test_setup_teardown(a_record_that_is_shorter_than_it_says_is_passed_over, setup,
					teardown),
	cmocka_unit_test(nothing_stays_mapped_of_a_ring_that_is_unmapped),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
