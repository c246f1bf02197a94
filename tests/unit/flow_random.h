/*
 * flow_random - random flows and dictionary entries for the tests of lib/flow, and a place for
 * protobuf-c's messages.
 *
 * The same seed yields the same sequence; a test prints its seed, and TYCHO_TEST_SEED replaces it.
 * Messages live in one pool that is emptied as a whole: nothing of them is freed one by one.
 */
#ifndef TYCHO_TESTS_FLOW_RANDOM_H
#define TYCHO_TESTS_FLOW_RANDOM_H

#include <protobuf-c/protobuf-c.h>

#include "flow/dict.h"

void pool_reset(void);
void *pool_take(size_t bytes);
char *pool_text(struct str s);
extern ProtobufCAllocator pool_allocator;
/* A message of @desc with its defaults, in the pool: Flow__IP *ip = NEW(flow__ip); */
void *new_message(const ProtobufCMessageDescriptor *desc);
#define NEW(name) new_message(&name##__descriptor)
/* Bytes of a message, in the pool. */
struct str pack(const void *message);
void assert_bytes_equal(struct str got, struct str want);

struct random {
	uint64_t state;
};
struct random random_of(const char *who, uint64_t seed);
uint64_t random_u64(struct random *r);
uint64_t random_below(struct random *r, uint64_t n); /* 0 to @n - 1 */
bool random_bool(struct random *r);
/* Often zero or small, sometimes @max or anything below: numbers as they are met, and the edges of
 * varints. */
uint64_t random_number(struct random *r, uint64_t max);
/* One of few short texts, so that entries repeat; some have letters of two and three bytes. */
struct str random_text(struct random *r);
/* 16 bytes; half of them IPv4. */
void random_ip(struct random *r, uint8_t ip[16]);
struct endpoint_id random_endpoint(struct random *r, struct flow_dict *d);
struct node_id random_node(struct random *r, struct flow_dict *d);
struct service_id random_service(struct random *r, struct flow_dict *d);
/* A made flow; its ext lies in the pool. */
struct flow random_made(struct random *r, struct flow_dict *d);

struct flow_dict *dict_of(size_t max);

#endif
