/*
 * Which rules made the entry of the policy map that a key matched.
 */
#include "observer/upstream/agent_policy_inside.h"

#include <stdio.h>

#include "flow/fields.h"
#include "flow/wire.h"

enum {
	/* match types, reference 3.4 */
	MATCH_L3_ONLY = 1,
	MATCH_ALL = 4,
	MATCH_L4_ONLY = 3,
	MATCH_L3_PROTO = 5,
	MATCH_PROTO_ONLY = 6,
	IDENTITY_HOST = 1,
};

/* Does this filter make an entry of the policy map for such a key, or for ports that its port is
 * one of? */
static bool filter_is_asked(const struct filter *f, const struct agent_policy_key *k)
{
	if (f->is_localhost)
		return false;
	switch (k->match_type) {
	case MATCH_L3_ONLY:
	case MATCH_ALL:
		return f->any_protocol && !f->port;
	case MATCH_L3_PROTO:
	case MATCH_PROTO_ONLY:
		return !f->any_protocol && f->protocol == k->protocol && !f->port;
	default: /* with the port */
		return !f->any_protocol && f->protocol == k->protocol && f->port &&
		       f->port <= k->port && k->port <= f->end_port;
	}
}

/* Is the port one of several in the filter's entry? A range is made entries of 2, 4, 8 … ports, each
 * as large as can be; what has no room in one is an entry by itself. */
static bool is_one_of_several(const struct filter *f, uint16_t port)
{
	uint16_t twin = port ^ 1;

	return f->port && f->port <= twin && twin <= f->end_port;
}

/* Entries without an identity are made of wildcards, entries with one of the others. */
static bool origin_is_asked(const struct agent_policy *p, const struct origin *o,
			    const struct agent_policy_key *k)
{
	bool any_identity = k->match_type == MATCH_ALL || k->match_type == MATCH_L4_ONLY ||
			    k->match_type == MATCH_PROTO_ONLY;

	if (o->denies != k->denied)
		return false;
	if (any_identity)
		return p->selectors[o->selector].is_wildcard;
	return !p->selectors[o->selector].is_wildcard &&
	       agent_policy_selects(p, o->selector, k->identity);
}

enum {
	TOLD_MAX = 64,      /* rule sets of one flow; more are counted */
	SEEN_SLOTS = 4096,  /* power of two */
	ORDER_BYTES = 1024, /* of their labels, by which they are sorted */
	LABELS_FIELD = 3,   /* of flow.Policy */
};

struct told {
	const struct agent_policy *p;
	uint32_t list[TOLD_MAX];
	size_t count;
	size_t left_out;
	/* One and the number of each that was left out, by hash; nothing is in it before the first:
	 * nearly all flows have none. */
	uint32_t seen[SEEN_SLOTS];
};

static struct str policy_message(const struct agent_policy *p, uint32_t i)
{
	const struct span *s = &p->policies[i];

	return str_n(p->bytes.p ? p->bytes.p + s->at : "", s->len);
}

/* Labels with a blank between them, and a bracket at the end: the agent sorts by that. */
static struct str label_text(struct str message, char *out, size_t size)
{
	struct wire_reader r = wire_reader_of(message);
	struct buf b = buf_fixed(out, size);
	bool first = true;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == LABELS_FIELD) {
			if (!first)
				buf_char(&b, ' ');
			buf_str_put(&b, x.bytes);
			first = false;
		}
	buf_char(&b, ']');
	return buf_str(&b);
}

static bool comes_before(const struct agent_policy *p, uint32_t i, uint32_t k)
{
	char one[ORDER_BYTES], other[ORDER_BYTES];

	return str_cmp(label_text(policy_message(p, i), one, sizeof one),
		       label_text(policy_message(p, k), other, sizeof other)) < 0;
}

/* The place of the rule set in the list; its count where it is none of it. Equal ones are one. */
static size_t place_of(const struct told *t, uint32_t policy)
{
	struct str message = policy_message(t->p, policy);
	size_t at = 0;

	while (at < t->count && !str_eq(message, policy_message(t->p, t->list[at])))
		at++;
	return at;
}

/* Equal ones are one here, too; but for those behind the first SEEN_SLOTS / 2. */
static void leave_out(struct told *t, uint32_t policy)
{
	struct str message = policy_message(t->p, policy);
	size_t at = hash_bytes(message.p, message.len, 0) & (SEEN_SLOTS - 1);

	if (!t->left_out)
		memset(t->seen, 0, sizeof t->seen);
	for (; t->seen[at]; at = (at + 1) & (SEEN_SLOTS - 1))
		if (str_eq(message, policy_message(t->p, t->seen[at] - 1)))
			return;
	if (t->left_out++ < SEEN_SLOTS / 2)
		t->seen[at] = policy + 1;
}

/* What is told is in order of labels, as each list of the agent's is: they are merged. */
static void tell(struct told *t, uint32_t first, uint32_t count)
{
	size_t from = 0; /* behind the one before */

	for (uint32_t i = first; i < first + count; i++) {
		size_t at = place_of(t, i);
		if (at == t->count && t->count == TOLD_MAX) {
			leave_out(t, i);
			continue;
		}
		if (at == t->count) {
			for (at = from; at < t->count && comes_before(t->p, t->list[at], i);)
				at++;
			memmove(t->list + at + 1, t->list + at, (t->count - at) * sizeof *t->list);
			t->list[at] = i;
			t->count++;
		}
		from = at + 1;
	}
}

static void ask_filter(struct told *t, const struct filter *f, const struct agent_policy_key *k,
		       int precedence)
{
	const struct origin *o = f->count ? &t->p->origins[f->first] : NULL;
	size_t asked = 0;

	for (uint32_t i = 0; i < f->count; i++)
		asked += o[i].precedence == precedence && origin_is_asked(t->p, &o[i], k);
	for (uint32_t i = 0; asked && i < f->count; i++) {
		if (o[i].precedence != precedence || !origin_is_asked(t->p, &o[i], k))
			continue;
		/* of several selectors' rule sets without names, only if all of them match */
		if (o[i].is_sure || asked == f->count)
			tell(t, o[i].first, o[i].count);
	}
}

/* The next filter that has to do with the key, from *@at on; its entries are for the key's port
 * alone, or for @several. NULL if there is none. */
static const struct filter *next_asked(const struct agent_policy *p, size_t *at,
				       const struct agent_policy_key *k, bool several)
{
	while (*at < p->filter_count && p->filters[*at].endpoint == k->endpoint) {
		const struct filter *f = &p->filters[(*at)++];
		if (f->direction == k->direction && filter_is_asked(f, k) &&
		    is_one_of_several(f, k->port) == several)
			return f;
	}
	return NULL;
}

/* Those of the endpoint whose filters begin at @first. @return whether some have to do with the key,
 * told or not. */
static bool ask_filters(struct told *t, size_t first, const struct agent_policy_key *k,
			bool several)
{
	const struct agent_policy *p = t->p;
	const struct filter *f;
	int highest = -1;

	for (size_t at = first; (f = next_asked(p, &at, k, several));)
		for (uint32_t i = f->first; i < f->first + f->count; i++)
			if (p->origins[i].precedence > highest &&
			    origin_is_asked(p, &p->origins[i], k))
				highest = p->origins[i].precedence;
	for (size_t at = first; highest >= 0 && (f = next_asked(p, &at, k, several));)
		ask_filter(t, f, k, highest);
	return highest >= 0;
}

/* This host is let in by itself: where no rule lets it, that was it. */
static void ask_localhost(struct told *t, size_t at, const struct agent_policy_key *k)
{
	if (k->identity != IDENTITY_HOST || k->denied || k->direction != AGENT_INGRESS ||
	    k->match_type != MATCH_L3_ONLY)
		return;
	for (; at < t->p->filter_count && t->p->filters[at].endpoint == k->endpoint; at++)
		if (t->p->filters[at].is_localhost)
			tell(t, t->p->filters[at].all_first, t->p->filters[at].all_count);
}

size_t agent_policy_put(const struct agent_policy *p, const struct agent_policy_key *key,
			uint32_t field, struct buf *b)
{
	struct told t;
	size_t low = 0, high = p->filter_count;

	t.p = p;
	t.count = t.left_out = 0; /* the rest is written before it is read */
	while (low < high) {      /* the endpoint's first */
		size_t mid = low + (high - low) / 2;
		if (p->filters[mid].endpoint < key->endpoint)
			low = mid + 1;
		else
			high = mid;
	}
	/* Of an entry for several ports Hubble knows no rules; we do, if there is no other. */
	if (!ask_filters(&t, low, key, false) && !ask_filters(&t, low, key, true))
		ask_localhost(&t, low, key);
	for (size_t i = 0; i < t.count; i++)
		wire_put_len(b, field, policy_message(p, t.list[i]));
	if (t.left_out) {
		size_t mark = wire_begin(b, FLOW_FIELD_TYCHO);
		wire_put_u64(b, DETAIL_FIELD_POLICIES_LEFT_OUT, t.left_out);
		wire_end(b, mark);
	}
	return t.count;
}
