/*
 * compose - raw events to flow records: what kind of event means which verdict, direction, type and
 * reason.
 *
 *	raw event ──► packet decoded ──► event members ──► named ──► one or two records
 *
 * A packet event yields one L3/L4 flow; a DNS message yields an L7 flow as well. The rules are
 * those of Cilium's parser (reference/cilium-events.md 6.2), applied to what our own sources know.
 *
 * Threads  the capture thread's own. No allocation, lock or system call per event.
 */
#ifndef TYCHO_OBSERVER_COMPOSE_H
#define TYCHO_OBSERVER_COMPOSE_H

#include "base/buf.h"
#include "observer/cilium/cilium.h"
#include "observer/clock.h"
#include "observer/log/log.h"
#include "observer/name/name.h"
#include "observer/policy/table.h"
#include "observer/source/source.h"

/* Kernel reasons arrive as names; each is looked up once and remembered by the address of its text,
 * where another may stand the next time. */
enum { COMPOSE_REASONS = 256, COMPOSE_EXT_BYTES = 65536, COMPOSE_CPUS = 4096 };

struct agent_names;
struct agent_policies;

struct compose {
	struct flow_log *log;
	struct flow_dict *dict;
	struct name_table *names;
	const struct flow_clock *clock;
	uint64_t uuid_seed[2]; /* of this run: flow/uuid.h */
	struct {
		const char *text;
		uint16_t id;
		uint8_t code; /* flow.DropReason */
	} reasons[COMPOSE_REASONS];
	struct policy_table *policies; /* names policies; NULL: none are known. Borrowed */
	struct cilium *cilium;         /* reads Cilium's events; NULL: they are refused. Borrowed */
	/* which policies made Cilium's verdicts; NULL: not known. Borrowed */
	struct agent_policies *agent_policies;
	struct agent_names *agent; /* poked when Cilium's agent tells something; NULL: none */
	struct buf ext;            /* the record's ext is written here */
	char ext_bytes[COMPOSE_EXT_BYTES];
	/* counts since start; read by other threads through compose_counts */
	_Atomic uint64_t events, refused, bad_messages, lost, cut, cut_dns;
	_Atomic uint64_t lost_of[COMPOSE_CPUS]; /* of @lost, what a CPU is known of */
};

/* Everything borrowed for the life of @c; @seed is any random 16 bytes. */
void compose_init(struct compose *c, struct flow_log *log, struct flow_dict *dict,
		  struct name_table *names, const struct flow_clock *clock, const uint64_t seed[2]);

/* Appends what @ev says to the log. @now: when the loop pass began, for events without a stamp of
 * their own. */
void compose_event(struct compose *c, const struct raw_event *ev, struct mono_ns now);

struct compose_counts {
	uint64_t events;  /* raw events seen */
	uint64_t refused; /* packets that no decoder accepts (truncated or malformed headers) */
	uint64_t bad_messages; /* replayed messages that are no valid protobuf */
	uint64_t lost;         /* what the sources say they lost */
	uint64_t cut;          /* flows whose text was too large to keep: without ext in the log */
	uint64_t cut_dns;      /* DNS messages that were not there to their end (dns_message.cut) */
};
/* Any thread. */
struct compose_counts compose_counts(const struct compose *c);
/* Any thread: what was lost on @cpu, below COMPOSE_CPUS, where the kernel said so. */
uint64_t compose_lost_of(const struct compose *c, uint32_t cpu);

#endif
