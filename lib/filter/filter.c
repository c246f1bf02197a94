#include "filter/filter.h"

#include "filter/rule.h"
#include "filter/zone_sets.h"
#include "flow/flow.pb-c.h"

_Static_assert(FLOW_KIND_FLOW == 0, "kinds are or-ed to see whether all are flows");

struct rules {
	struct rule *v;
	size_t count;
};

struct flow_filter {
	struct rules whitelist, blacklist;
	const struct flow_dict *dict;
	uint64_t generation; /* of the dictionary when the predicates last remembered something */
};

static void rules_done(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		rule_done(&rules->v[i]);
	free(rules->v);
}

static enum err_code rules_init(struct rules *rules, struct Flow__FlowFilter *const *list,
				size_t count, const struct flow_dict *dict, struct err *e)
{
	if (!count)
		return ERR_OK;
	rules->v = calloc(count, sizeof *rules->v);
	if (!rules->v)
		return err_set(e, ERR_NOMEM, "flow filter");
	for (; rules->count < count; rules->count++) {
		enum err_code code =
			rule_init(&rules->v[rules->count], list[rules->count], dict, e);

		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

struct costly {
	size_t filters, cel, regex, glob;
};

static void count_costly(struct Flow__FlowFilter *const *list, size_t count, struct costly *to)
{
	for (size_t i = 0; i < count; i++) {
		const Flow__FlowFilter *f = list[i];

		to->filters++;
		to->cel += f->experimental ? f->experimental->n_cel_expression : 0;
		to->regex += f->n_http_path + f->n_http_url + f->n_dns_query;
		to->glob += f->n_source_fqdn + f->n_destination_fqdn + f->n_node_name;
	}
}

static enum err_code check_most(const char *what, size_t n, size_t most, struct err *e)
{
	return n <= most ? ERR_OK
			 : err_set(e, ERR_INVALID, "%zu %s in one request: at most %zu are taken",
				   n, what, most);
}

static enum err_code check_costly(const struct costly *c, struct err *e)
{
	enum err_code code = check_most("filters", c->filters, FLOW_FILTER_MAX, e);

	if (code == ERR_OK)
		code = check_most("CEL expressions", c->cel, FLOW_FILTER_CEL_MAX, e);
	if (code == ERR_OK)
		code = check_most("regular expressions", c->regex, FLOW_FILTER_REGEX_MAX, e);
	if (code == ERR_OK)
		code = check_most("patterns of FQDNs and nodes", c->glob, FLOW_FILTER_GLOB_MAX, e);
	return code;
}

static void share_cost(struct rules *rules, size_t n)
{
	for (size_t i = 0; i < rules->count; i++)
		for (size_t k = 0; k < rules->v[i].count; k++)
			if (rules->v[i].preds[k]->share)
				rules->v[i].preds[k]->share(rules->v[i].preds[k], n);
}

enum err_code flow_filter_new(struct Flow__FlowFilter *const *whitelist, size_t whitelist_count,
			      struct Flow__FlowFilter *const *blacklist, size_t blacklist_count,
			      const struct flow_dict *dict, struct flow_filter **ret, struct err *e)
{
	AUTO(flow_filter_free) struct flow_filter *ff = calloc(1, sizeof *ff);
	enum err_code code;
	struct err local;

	e = e ? e : &local;
	if (!ff)
		return err_set(e, ERR_NOMEM, "flow filter");
	ff->dict = dict;
	ff->generation = flow_dict_generation(dict);
	struct costly costly = { 0 };
	count_costly(whitelist, whitelist_count, &costly);
	count_costly(blacklist, blacklist_count, &costly);
	code = check_costly(&costly, e);
	if (code == ERR_OK)
		code = rules_init(&ff->whitelist, whitelist, whitelist_count, dict, e);
	if (code == ERR_OK)
		code = rules_init(&ff->blacklist, blacklist, blacklist_count, dict, e);
	if (code != ERR_OK)
		return code;
	if (costly.cel > 1) {
		share_cost(&ff->whitelist, costly.cel);
		share_cost(&ff->blacklist, costly.cel);
	}
	*ret = TAKE(ff);
	return ERR_OK;
}

void flow_filter_free(struct flow_filter *ff)
{
	if (!ff)
		return;
	rules_done(&ff->whitelist);
	rules_done(&ff->blacklist);
	free(ff);
}

static void rules_forget(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		for (size_t k = 0; k < rules->v[i].count; k++)
			if (rules->v[i].preds[k]->forget)
				rules->v[i].preds[k]->forget(rules->v[i].preds[k]);
}

/* Ids mean something else after a reset of the dictionary. */
static void check_generation(struct flow_filter *ff)
{
	uint64_t now = flow_dict_generation(ff->dict);

	if (now == ff->generation)
		return;
	rules_forget(&ff->whitelist);
	rules_forget(&ff->blacklist);
	ff->generation = now;
}

static bool pred_matches(struct pred *t, const struct flow *f)
{
	return (f->kind == FLOW_KIND_FLOW || t->sees_events) && t->matches(t, f);
}

static bool rule_matches(const struct rule *r, const struct flow *f)
{
	for (size_t i = 0; i < r->count; i++)
		if (!pred_matches(r->preds[i], f))
			return false;
	return true;
}

static bool any_matches(const struct rules *rules, const struct flow *f)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rule_matches(&rules->v[i], f))
			return true;
	return false;
}

bool flow_filter_match(struct flow_filter *ff, const struct flow *f)
{
	if (!ff)
		return true;
	check_generation(ff);
	return (!ff->whitelist.count || any_matches(&ff->whitelist, f)) &&
	       !any_matches(&ff->blacklist, f);
}

/* Which of @asked the rule matches. @events: the records of the block that are no flows. */
static uint64_t rule_matches_block(const struct rule *r, const struct block *b, uint64_t asked,
				   uint64_t events)
{
	for (size_t i = 0; i < r->count && asked; i++) {
		struct pred *t = r->preds[i];
		uint64_t in_block = t->matches_block ? asked & ~events : 0,
			 one_by_one = asked & ~in_block;

		if (in_block)
			in_block &= t->matches_block(t, b, in_block);
		for (asked = in_block; one_by_one; one_by_one &= one_by_one - 1) {
			size_t k = (size_t)__builtin_ctzll(one_by_one);

			asked |= (uint64_t)pred_matches(t, &b->flows[k]) << k;
		}
	}
	return asked;
}

static uint64_t any_matches_block(const struct rules *rules, const struct block *b, uint64_t asked,
				  uint64_t events)
{
	uint64_t found = 0;

	for (size_t i = 0; i < rules->count && asked & ~found; i++)
		found |= rule_matches_block(&rules->v[i], b, asked & ~found, events);
	return found;
}

static uint64_t all_of(size_t n)
{
	return n == BLOCK_FLOWS ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* The members that lie together in front of a record, to be or-ed at one go. */
struct head {
	uint32_t bits;
	uint8_t kind, verdict, type, l4;
};
_Static_assert(sizeof(struct head) == sizeof(uint64_t) &&
		       offsetof(struct flow, kind) - offsetof(struct flow, bits) ==
			       offsetof(struct head, kind),
	       "a head is as it stands in the record");

static struct head or_heads(const struct flow *flows, size_t n)
{
	uint64_t all = 0;
	struct head ret;

	for (size_t i = 0; i < n; i++) {
		uint64_t head;

		memcpy(&head, (const char *)&flows[i] + offsetof(struct flow, bits), sizeof head);
		all |= head;
	}
	memcpy(&ret, &all, sizeof ret);
	return ret;
}

static uint64_t match_block(const struct flow_filter *ff, const struct flow *flows, size_t n)
{
	struct head some = or_heads(flows, n);
	struct block b = { .flows = flows, .n = n, .some_bits = some.bits };
	uint64_t asked = all_of(n), events = 0;

	for (size_t i = 0; some.kind != FLOW_KIND_FLOW && i < n; i++)
		events |= (uint64_t)(flows[i].kind != FLOW_KIND_FLOW) << i;
	if (ff->whitelist.count)
		asked = any_matches_block(&ff->whitelist, &b, asked, events);
	return asked & ~any_matches_block(&ff->blacklist, &b, asked, events);
}

size_t flow_filter_match_n(struct flow_filter *ff, const struct flow *flows, size_t n,
			   uint64_t *ret_bits)
{
	bool empty = flow_filter_is_empty(ff);
	size_t found = 0;

	if (ff)
		check_generation(ff);
	for (size_t i = 0; i < n; i += BLOCK_FLOWS) {
		size_t len = n - i < BLOCK_FLOWS ? n - i : BLOCK_FLOWS;
		uint64_t bits = empty ? all_of(len) : match_block(ff, flows + i, len);

		ret_bits[i / BLOCK_FLOWS] = bits;
		found += (size_t)__builtin_popcountll(bits);
	}
	return found;
}

static uint64_t rules_faults(const struct rules *rules, const char **ret_why)
{
	uint64_t faults = 0;

	for (size_t i = 0; i < rules->count; i++)
		for (size_t k = 0; k < rules->v[i].count; k++) {
			struct pred *t = rules->v[i].preds[k];

			faults += t->faults ? t->faults(t, ret_why) : 0;
		}
	return faults;
}

uint64_t flow_filter_faults(struct flow_filter *ff, const char **ret_why)
{
	if (!ff)
		return 0;
	return rules_faults(&ff->whitelist, ret_why) + rules_faults(&ff->blacklist, ret_why);
}

/* --- what is known of many records, or of a part of one --------------------------------------- */

static bool rule_may_match(const struct rule *r, const struct flow_zone *z)
{
	bool flows = z->kinds & 1 << FLOW_KIND_FLOW, others = z->kinds & ~(1u << FLOW_KIND_FLOW);

	for (size_t i = 0; i < r->count; i++) {
		struct pred *t = r->preds[i];

		/* of what is no flow a zone knows nothing but that it is there */
		if (others && t->sees_events)
			continue;
		if (!flows || (t->may_match && !t->may_match(t, z)))
			return false;
	}
	return true;
}

bool flow_filter_may_match(struct flow_filter *ff, const struct flow_zone *z)
{
	bool may = !ff || !ff->whitelist.count;

	if (z->is_empty)
		return false;
	if (ff)
		check_generation(ff);
	for (size_t i = 0; !may && i < ff->whitelist.count; i++)
		may = rule_may_match(&ff->whitelist.v[i], z);
	return may;
}

static flow_members rules_members(const struct rules *rules)
{
	flow_members members = 0;

	for (size_t i = 0; i < rules->count; i++)
		for (size_t k = 0; k < rules->v[i].count; k++)
			members |= rules->v[i].preds[k]->members;
	return members;
}

flow_members flow_filter_members(const struct flow_filter *ff)
{
	flow_members always = FLOW_MEMBER(FLOW_MEMBER_BITS) | FLOW_MEMBER(FLOW_MEMBER_KIND);

	return always | (ff ? rules_members(&ff->whitelist) | rules_members(&ff->blacklist) : 0);
}

enum known { NO, UNKNOWN, YES };

static enum known rule_known(const struct rule *r, const struct flow *f, flow_members known)
{
	enum known answer = YES;

	for (size_t i = 0; i < r->count; i++) {
		struct pred *t = r->preds[i];

		if (!flow_is(f, t->needs))
			return NO;
		if (t->members & ~known)
			answer = UNKNOWN;
		else if (!pred_matches(t, f))
			return NO;
	}
	return answer;
}

static enum known any_known(const struct rules *rules, const struct flow *f, flow_members known)
{
	enum known best = NO;

	for (size_t i = 0; i < rules->count && best != YES; i++) {
		enum known answer = rule_known(&rules->v[i], f, known);

		best = answer > best ? answer : best;
	}
	return best;
}

enum {
	ODD_BITS = FLOW_ODD_TIME | FLOW_ODD_IP | FLOW_ODD_MAC | FLOW_ODD_UUID | FLOW_ODD_L4 |
		   FLOW_ODD_IFACE,
};

/* Predicates would look into ext. */
static bool asks_ext(const struct flow *f, flow_members known)
{
	enum { BEYOND = 255 };

	return !(known & FLOW_MEMBER(FLOW_MEMBER_EXT)) &&
	       (f->bits & ODD_BITS || f->kind != FLOW_KIND_FLOW || f->verdict == BEYOND ||
		f->direction == BEYOND || f->ip_version == BEYOND);
}

bool flow_filter_may_match_known(struct flow_filter *ff, const struct flow *f, flow_members known)
{
	if (!ff || asks_ext(f, known))
		return true;
	check_generation(ff);
	/* with bits that it may not have, a yes is none */
	bool sure = known & FLOW_MEMBER(FLOW_MEMBER_BITS);
	return (!ff->whitelist.count || any_known(&ff->whitelist, f, known) != NO) &&
	       (!sure || any_known(&ff->blacklist, f, known) != YES);
}

bool flow_filter_must_match_known(struct flow_filter *ff, const struct flow *f, flow_members known)
{
	struct flow most;

	if (!ff)
		return true;
	if (asks_ext(f, known))
		return false;
	check_generation(ff);
	if (ff->whitelist.count && any_known(&ff->whitelist, f, known) != YES)
		return false;
	if (!ff->blacklist.count)
		return true;
	most = *f;
	if (!(known & FLOW_MEMBER(FLOW_MEMBER_BITS)))
		most.bits = ~(uint32_t)ODD_BITS;
	return any_known(&ff->blacklist, &most, known) == NO;
}

bool flow_filter_is_empty(const struct flow_filter *ff)
{
	bool all = !ff || !ff->whitelist.count;

	for (size_t i = 0; !all && i < ff->whitelist.count; i++)
		all = !ff->whitelist.v[i].count;
	return all && (!ff || !ff->blacklist.count);
}
