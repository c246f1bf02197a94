/*
 * reading_scene - a small log, perhaps with a store behind it, and what comes out of a reading.
 */
#ifndef TYCHO_TESTS_READING_SCENE_H
#define TYCHO_TESTS_READING_SCENE_H

#include "observer/api/reading.h"

enum { CAPACITY = 255, RECORDS_MAX = 1000, FIRST_SEQ = 1000 };

/* A log, perhaps with a store, and all that was ever put into it. */
struct scene {
	struct flow_dict *dict;
	struct flow_log *log;
	char dir[32];
	uint64_t retention_ns;
	struct store *store; /* NULL: none */
	struct past *past;
	size_t kept; /* of @put, in the store */
	struct flow_batch *batch;
	struct flow put[RECORDS_MAX];
	size_t count;
};
int make_scene(void **state); /* cmocka's setup and teardown; no store */
int free_scene(void **state);
/* Blocks are small, so that a history has many. */
void give_store(struct scene *s);
/* The store takes what was put since; @seal: and seals it. */
void keep(struct scene *s, bool seal);
/* @time_s 0: without one. */
void put(struct scene *s, enum flow_kind kind, uint8_t verdict, uint64_t time_s);

/* What came out. */
struct collector {
	struct reading_sink sink;
	uint64_t seqs[RECORDS_MAX];
	size_t count, room; /* room: records taken before it says full */
	uint64_t lost;
	size_t losses;
	struct wall_ns lost_first, lost_last; /* of the newest loss */
	bool is_over;                         /* a follower saw a record later than `until` */
};
void collector_init(struct collector *c, size_t room);
/* Pulls until the reading is idle or over; @room records at a time. */
enum reading_state pull_all(const struct scene *s, struct reading *r, struct collector *c,
			    size_t room);
/* One pull, which may end before all is told. */
enum reading_state pull_once(const struct scene *s, struct reading *r, struct collector *c,
			     struct mono_ns now, struct wall_ns wall);
/* Pulls until the reading is idle, over, or gets no further: there is no room. */
enum reading_state pull_at(const struct scene *s, struct reading *r, struct collector *c,
			   uint64_t ms);
/* The same at a time of the wall, in ms since the epoch. */
enum reading_state pull_at_wall(const struct scene *s, struct reading *r, struct collector *c,
				uint64_t ms);
/* @count of them, without a hole. */
void expect_numbers(const struct collector *c, uint64_t first, size_t count);

#endif
