/*
 * source - where raw events come from. One small interface; one file (and one struct) per source.
 *
 *	kernel ring, netlink socket, file … ──► source_drain ──► sink->event(raw)   once per event
 *
 * Threads  everything here runs on the capture thread, which polls source_fd of all sources and
 *          drains the readable ones. Nothing in drain blocks, allocates, locks or logs.
 * Loss     a source counts what it lost since the last drain and hands it over as a RAW_LOST event.
 */
#ifndef TYCHO_OBSERVER_SOURCE_H
#define TYCHO_OBSERVER_SOURCE_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

enum raw_kind {
	RAW_TRACE,          /* a packet passed */
	RAW_DROP,           /* the kernel dropped a packet */
	RAW_VERDICT,        /* a rule logged a packet: @verdict, @policy, @direction */
	RAW_FLOW,           /* @packet is a complete flow.Flow message (replay, other servers) */
	RAW_LOST,           /* @lost events of this source were lost (kernel ring full, …) */
	RAW_AGENT,          /* @packet is a flow.AgentEvent message */
	RAW_DEBUG,          /* @packet is a flow.DebugEvent message */
	RAW_LOST_MESSAGE,   /* @packet is a flow.LostEvent message (replay) */
	RAW_CILIUM,         /* @packet is a sample of Cilium's perf ring, of @cpu */
	RAW_CILIUM_MONITOR, /* @packet is what Cilium's monitor socket carried: a sample, or a
			     * record of the agent's */
};

enum raw_direction { RAW_DIR_UNKNOWN, RAW_DIR_INGRESS, RAW_DIR_EGRESS };
enum raw_verdict { RAW_ALLOW, RAW_DENY, RAW_AUDIT };

/* One event. All pointers are borrowed until the sink's call returns. */
struct raw_event {
	enum raw_kind kind;
	struct mono_ns mono;     /* when, by the kernel's monotonic clock; 0: unknown, take now */
	struct wall_ns wall;     /* RAW_FLOW and messages: their own time; 0: unknown */
	struct str packet;       /* captured bytes, or a message */
	uint32_t packet_bytes;   /* length on the wire */
	uint64_t packets, bytes; /* what the event stands for; 0, 0: just this packet */
	uint32_t ifindex;
	const char *ifname; /* "" or NULL unknown */
	uint32_t netns;
	uint16_t ethertype; /* with @l3: which network protocol */
	bool l3;            /* the packet starts at the network header */
	bool reply_known, reply;
	bool endpoint_side; /* trace: the interface's far end is a pod (another namespace), not the
			       network */
	uint8_t cause;      /* enum bpf_event_cause */
	enum raw_direction direction; /* trace: of the interface. verdict: of the policy */
	struct str kernel_reason;     /* drop: "NETFILTER_DROP" */
	enum raw_verdict verdict;     /* verdict */
	struct str policy;            /* verdict: policy name, may be "" */
	struct str policy_namespace, policy_kind; /* of @policy; "" or p NULL: not told */
	struct str prefix;                        /* verdict: the whole log prefix */
	uint64_t lost;                            /* lost: how many */
	int32_t cpu;                              /* -1 unknown */
	struct str node; /* messages: whose, as node_name says it; "": our own */
};

struct raw_sink {
	void (*event)(struct raw_sink *sink, const struct raw_event *ev);
};

struct source;

/* What a source knows about itself beside what it hands over; told as the metric
 * tycho_source_<name>{source="…"}. Kinds are static; sources may share a name and its meaning. */
struct source_figure_kind {
	const char *name, *help; /* name with "_total" for counts that only grow */
	bool is_counter;
};
struct source_figure {
	const struct source_figure_kind *kind;
	uint64_t value;
};
enum { SOURCE_FIGURES = 12 };

struct source_ops {
	const char *name; /* "bpf", "nflog", "replay" */
	int (*fd)(const struct source *s);
	/* Hands over at most @max events and returns how many (lost reports included). 0: nothing
	 * there. */
	size_t (*drain)(struct source *s, struct raw_sink *sink, size_t max);
	/* Optional. Makes the next drain hand over what is held back until its time has come
	 * (counts of connections that go on). For a last drain before a stop. True if not all of it
	 * fitted: drain and call again. May take 100 ms. */
	bool (*flush)(struct source *s);
	/* Optional. Fills at most SOURCE_FIGURES, always the same ones, and returns how many. Asked
	 * about once a second. */
	size_t (*figures)(const struct source *s, struct source_figure out[SOURCE_FIGURES]);
	/* True when it will never say anything again (end of a replay). */
	bool (*ended)(const struct source *s);
	void (*free)(struct source *s); /* takes its hooks back */
};

/* First member of every source's own struct. */
struct source {
	const struct source_ops *ops;
};

static inline int source_fd(const struct source *s)
{
	return s->ops->fd(s);
}
static inline size_t source_drain(struct source *s, struct raw_sink *sink, size_t max)
{
	return s->ops->drain(s, sink, max);
}
static inline bool source_flush(struct source *s)
{
	return s->ops->flush && s->ops->flush(s);
}
static inline bool source_ended(const struct source *s)
{
	return s->ops->ended && s->ops->ended(s);
}
static inline void source_free(struct source *s)
{
	if (s)
		s->ops->free(s);
}
AUTO_DEFINE(struct source, source_free);

#endif
