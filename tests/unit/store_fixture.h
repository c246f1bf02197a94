/*
 * store_fixture - a folder, a dictionary and records for the tests of lib/store.
 */
#ifndef TYCHO_TESTS_STORE_FIXTURE_H
#define TYCHO_TESTS_STORE_FIXTURE_H

#include "store/store.h"

#define NOON ((struct wall_ns){ UINT64_C(1700000000) * NS_PER_S })
enum { FIRST_SEQ = 1000 };

struct fixture {
	char dir[64];
	struct flow_dict *dict;
	struct store_config config;
	struct store *store;
	uint64_t next_seq;
	struct wall_ns now;
};
int fixture_make(void **state); /* cmocka's setup and teardown; the store is not open yet */
int fixture_remove(void **state);

static inline struct wall_ns after(struct wall_ns t, double seconds)
{
	return (struct wall_ns){ t.v + (uint64_t)(int64_t)(seconds * (double)NS_PER_S) };
}
/* At fx->now; the store must open. */
void fixture_open(struct fixture *fx);
void fixture_close(struct fixture *fx);
/* As if the process had been killed: what was not sealed is gone, and no stop is written. */
void fixture_kill(struct fixture *fx);

/* Record @seq, as it always is: TCP from pod seq % 8 of a few, dropped where seq % 100 == 7. */
struct flow fixture_flow(struct fixture *fx, uint64_t seq, struct wall_ns time);
/* Is a record that was read the one that was put, names and all? */
bool fixture_is_as_put(struct fixture *fx, const struct flow *f);
/* Puts @n records, a microsecond each, from fx->now on; fx->now stays. */
enum err_code fixture_put(struct fixture *fx, size_t n, struct err *e);
/* One record more, whose source no other has: pod "other-@number". */
void fixture_put_other(struct fixture *fx, int number);
/* Puts @n records and seals them: a block. Then a second has passed. */
void fixture_block(struct fixture *fx, size_t n);
/* Tends until there is nothing left to do. */
void fixture_tend(struct fixture *fx);
/* Blocks of a second each, tended as the keeper does. */
void fixture_run(struct fixture *fx, int seconds, size_t records);

struct seen {
	uint64_t count, first, last; /* numbers, in the order they came */
	uint64_t wrong;              /* records that are not as they were put */
	bool ordered;
};
struct seen fixture_scan(struct fixture *fx, struct store_reader *r,
			 const struct store_scan_config *config);
#define ALL_RECORDS                                                                                \
	((struct store_scan_config){ .range = { { 0 }, { UINT64_MAX }, 0, UINT64_MAX },            \
				     .kinds = UINT32_MAX })

/* The gaps there are; texts cut. */
struct seen_gap {
	enum store_gap_cause cause;
	struct wall_ns from, to;
	uint64_t lost, first_seq, last_seq;
	char detail[200];
};
size_t fixture_gaps(struct store_reader *r, struct seen_gap *list, size_t max);
size_t count_gaps(struct store_reader *r, enum store_gap_cause cause);
/* There must be one. */
struct seen_gap fixture_only_gap(struct store_reader *r);

/* Walks the chain: every hash must follow from the body and the one before. @return entries. */
struct seen_chain {
	uint64_t entries, first, last, blocks;
	char last_body[1024];
	char kinds[4096]; /* first letter of each kind but blocks */
	struct chain_hash first_before, last_hash;
};
struct seen_chain fixture_chain(struct store_reader *r);
struct store_reader *fixture_reader(struct fixture *fx);
/* SQL on the file, by a connection of its own. @return the first number. */
uint64_t fixture_sql(struct fixture *fx, const char *sql);
/* All of the log goes into the file, and the log is empty. */
void fixture_move_log(struct fixture *fx);

/* Records that do not compress: a file of some size. */
void fixture_bulk(struct fixture *fx, size_t n);
/* Of a file in the folder. */
void fixture_path(const struct fixture *fx, const char *name, char path[100]);
/* Of the store's file, without its log. */
uint64_t fixture_file_bytes(const struct fixture *fx);

#endif
