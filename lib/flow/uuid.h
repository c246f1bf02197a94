/*
 * uuid - names of flows made here: from a run's seed and the record's number, both ways.
 *
 *	seed, seq ──► uuid (version 4, RFC 9562 §5.4)          uuid, seq ──► seed
 *
 * A run's uuids look random and collide as rarely as random ones do (within a run, never); but
 * whoever keeps the records' numbers need not keep the uuids: the seed, one for the whole run,
 * brings them back. They are names, no secrets: who knows one uuid and its number knows the others.
 */
#ifndef TYCHO_FLOW_UUID_H
#define TYCHO_FLOW_UUID_H

#include <stdbool.h>
#include <stdint.h>

/* @seed: any random 122 bits; what is beyond 60 bits in [0] and 62 bits in [1] is ignored. */
void flow_uuid_make(const uint64_t seed[2], uint64_t seq, uint64_t ret_uuid[2]);
/* The seed that yields @uuid for @seq: every uuid of version 4 has exactly one. False, and
 * @ret_seed untouched, for other versions. */
bool flow_uuid_seed(const uint64_t uuid[2], uint64_t seq, uint64_t ret_seed[2]);

#endif
