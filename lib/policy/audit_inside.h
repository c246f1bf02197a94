/*
 * audit_inside - what the parts of audit share. Nobody else includes it.
 *
 *	audit.c         flows ──► connections, asked at both ends
 *	audit_by.c      policies that a flow names
 *	audit_add.c     connections ──► counts of what they matched
 *	audit_rule.c    rules as parts: ports and peers; which of them a connection matches
 *	audit_text.c    parts as texts
 *	audit_report.c  counts ──► what is told
 *	audit_wide.c    parts ──► what of them is wider than what was seen
 *	audit_ends.c    ends of the record: who is selected, who is open
 */
#ifndef TYCHO_POLICY_AUDIT_INSIDE_H
#define TYCHO_POLICY_AUDIT_INSIDE_H

#include "base/map.h"
#include "policy/audit.h"
#include "policy/flow.h"
#include "policy/inside.h"

/* --- rules ------------------------------------------------------------------------------------ */

enum part_kind {
	PART_ALL_PORTS,
	PART_PORTS, /* of the rule's ports one, for some protocols */
	PART_ANYBODY,
	PART_PODS, /* of its selectors, those of one peer */
	PART_BLOCK,
	PART_NAME,
	PART_LINKED, /* services and groups of addresses, all together */
};
enum { MASK_TCP = 1, MASK_UDP = 2, MASK_SCTP = 4, MASK_OTHER = 8 };

struct part {
	uint32_t rule;
	uint32_t first, count; /* in the rule's list */
	uint8_t kind;
	uint8_t mask;   /* of PORTS: protocols; MASK_OTHER: that of the port */
	bool more;      /* more was seen than is kept */
	bool outside;   /* of those seen one is outside of the cluster */
	bool covered;   /* there is a cover */
	bool otherwise; /* flows match it that were recorded as decided otherwise */
	uint32_t seen;  /* how many are kept */
	uint64_t flows;
	struct prefix cover; /* of BLOCK: has all addresses that were seen */
	/* who of the record is selected: made at the end */
	uint32_t known, last_known, unseen_count;
	uint32_t unseen[AUDIT_TOLD_MAX];
};
/* A port or peer that a part was seen with. */
struct seen {
	uint32_t part, what; /* a text, or protocol << 16 | port */
	uint64_t flows;
};
struct used_rule {
	const struct spec *spec;
	const struct rule *rule;
	struct policy_ref ref;
	uint32_t first_part, part_count;
	uint64_t flows, otherwise; /* otherwise: of connections that were recorded otherwise */
	struct policy_span span;
	bool has_no_width; /* beyond a limit */
	bool is_nameless; /* it asks for DNS names, and none is known of an address it may be for */
};

/* --- connections ------------------------------------------------------------------------------ */

enum { CLIENT, SERVER };

/* Policies that a flow names in one direction. */
struct by_list {
	uint32_t policies[8];
	size_t count;
	bool more;    /* than are in the list */
	bool foreign; /* some are not in the set */
};
struct by {
	struct by_list of[2];   /* by enum policy_direction */
	uint64_t hash;          /* of all of them; 0: none */
	uint32_t first_foreign; /* a text; 0 none */
};

/* What the policies decide at one end. */
struct side {
	uint8_t verdict; /* enum policy_verdict */
	bool unknown, to_proxy, needs_auth, never;
	uint32_t who; /* a text: the subject, where it is told */
	uint32_t why; /* a text: of unknown; of POLICY_DEFAULT_ALLOWED by whom */
	uint32_t first_hit, hit_count;
};
struct tally {
	uint64_t passed, through, audited;
	uint64_t denied
		[3]; /* by flow.TrafficDirection: unknown, ingress, egress; audited ones, too */
	struct policy_span passed_span, denied_span;
};
/* Flows of one connection that name the same policies, or none. What the policies decide is the same for
 * all flows of a connection; which rules they count for is not. */
struct connection {
	struct side sides[2]; /* by enum policy_direction */
	struct tally own;
	struct tally all; /* of the first: of all flows of the connection */
	uint32_t first;   /* of the connection; itself */
	uint64_t by;      /* hash of what they name */
	uint32_t why;     /* a text: of both ends unknown; 0 they are known */
	uint32_t foreign; /* a text: a policy that it names, not in the set; 0 none */
};

enum hit_kind { HIT_RULE, HIT_PART, HIT_SEEN };
enum { HIT_SHIFT = 30 };

struct audit {
	const struct policy_set *set;
	const struct flow_dict *dict;
	struct map *by_key, *by_text, *by_seen, *by_default;
	struct str *texts; /* borrowed from by_text; [0] "" */
	size_t text_count, text_room;
	struct used_rule *rules;
	size_t rule_count;
	uint32_t *first_rule; /* by spec and section */
	struct part *parts;
	size_t part_count, part_room;
	struct seen *seen;
	size_t seen_count, seen_room;
	uint32_t *hits;
	size_t hit_count, hit_room;
	struct connection *connections;
	size_t connection_count, connection_room;
	bool *is_named; /* by policy: by flows that passed, and that none of its rules is for */
	struct policy_row *rows[2];
	struct policy_answer answer;
	uint64_t other, again;
	bool has_left_out; /* more rules matched than an answer holds */
	bool has_names,
		has_nameless; /* DNS names were seen; ends of whose namespace only the name is
					* known */
	/* sums */
	uint64_t *open_flows; /* by text and direction */
	size_t *selected;     /* by policy: pods of the record */
	struct mem mem;
	struct audit_count newly_denied, newly_allowed;
	uint64_t flows;
	struct policy_span span;
	struct audit_default *defaults;
	size_t default_count, default_room;
	uint64_t *unknown_flows, *foreign_flows; /* by text */
};

/* The id of @text, which is kept once; 0 beyond the limit. ERR_NOMEM. */
MUST_CHECK enum err_code audit_text(struct audit *a, struct str text, uint32_t *ret, struct err *e);

/* audit_by.c: what the flow names. ERR_NOMEM. */
MUST_CHECK enum err_code audit_by_read(struct audit *a, const struct flow *f, struct by *ret,
				       struct err *e);

/* audit_rule.c: rules and parts of the set. ERR_NOMEM. */
MUST_CHECK enum err_code audit_rules_make(struct audit *a, struct err *e);
/* Appends the parts of the rule that match to a->hits, and what was seen of them. ERR_NOMEM. */
MUST_CHECK enum err_code audit_rule_hit(struct audit *a, struct policy_ref ref,
					const struct policy_query *q, const struct policy_asked *of,
					struct err *e);
/* Rules for the subject by DNS names, which may be for an address that none is known of. */
void audit_note_nameless(struct audit *a, const struct policy_query *q);
/* Who of the peers it selects by labels the row is. */
bool audit_part_selects(const struct audit *a, const struct part *p, const struct policy_row *row);

/* audit_text.c */
void audit_part_put(const struct audit *a, const struct part *p, struct buf *out);
void audit_port_put(uint32_t what, struct buf *out);
void audit_prefix_put(const struct prefix *p, struct buf *out);

/* audit_wide.c: into @rules, one for each of a->rules, what is wide of those that were used. ERR_NOMEM. */
MUST_CHECK enum err_code audit_widths(struct audit *a, struct audit_rule *rules, struct err *e);

/* audit_ends.c: fills a->selected and parts' known; the open ones. ERR_NOMEM. */
MUST_CHECK enum err_code audit_ends(struct audit *a, struct audit_report *ret, struct err *e);

/* audit_add.c: the flows of @c to what they matched; @all of its connection. ERR_NOMEM. */
MUST_CHECK enum err_code audit_add(struct audit *a, const struct connection *c,
				   const struct tally *all, struct err *e);
/* The flows of a connection to what is told of it as a whole. @is_whole: these are all of them. */
void audit_add_connection(struct audit *a, const struct connection *first, bool is_whole);

#endif
