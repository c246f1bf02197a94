#include "base/time.h"
#include "cli/policy_audit.h"
#include "flow/json.h"

enum { TEXT_MAX = 8192 };

static void put_key(struct buf *b, const char *key)
{
	buf_printf(b, "%s\"%s\":", b->len && b->p[b->len - 1] == '{' ? "" : ",", key);
}

static void put_text(struct buf *b, const char *key, struct str text)
{
	put_key(b, key);
	json_put_string(b, text);
}

static void put_number(struct buf *b, const char *key, uint64_t n)
{
	put_key(b, key);
	buf_u64(b, n);
}

static void put_texts(struct buf *b, const char *key, const struct str *list, size_t n)
{
	put_key(b, key);
	buf_char(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_str_put(b, i ? STR(",") : STR(""));
		json_put_string(b, list[i]);
	}
	buf_char(b, ']');
}

static void put_time(struct buf *b, const char *key, struct wall_ns at)
{
	char text[64];
	struct buf t = buf_fixed(text, sizeof text);

	timestamp_put(&t, timestamp_of(at));
	put_text(b, key, buf_str(&t));
}

static void put_span(struct buf *b, struct policy_span span)
{
	if (!span.known)
		return;
	put_time(b, "first", span.first);
	put_time(b, "last", span.last);
}

static const char *direction_name(enum policy_direction direction)
{
	return direction == POLICY_INGRESS ? "ingress" : "egress";
}

static void put_result(struct buf *b, const char *result)
{
	buf_lit(b, "{");
	put_text(b, "result", str_of(result));
}

static void put_policy(struct buf *b, const struct policy_set *set, uint32_t policy)
{
	char text[TEXT_MAX];
	struct buf t = buf_fixed(text, sizeof text);
	struct str file = policy_set_info(set, policy)->origin;

	policy_key_put(set, policy, &t);
	put_text(b, "policy", buf_str(&t));
	if (file.len)
		put_text(b, "file", file);
}

/* --- rules ------------------------------------------------------------------------------------ */

static void put_part(struct buf *b, const struct audit_part *p)
{
	buf_char(b, '{');
	put_text(b, "of", p->ports ? STR("ports") : STR("peers"));
	put_text(b, "allows", p->allows);
	put_number(b, "flows", p->flows);
	put_texts(b, "seen", p->seen, p->seen_count);
	put_key(b, "more");
	buf_str_put(b, p->more ? STR("true") : STR("false"));
	if (p->within.len)
		put_text(b, "within", p->within);
	if (p->known) {
		put_number(b, "known", p->known);
		put_texts(b, "unseen", p->unseen, p->unseen_count);
		put_number(b, "unseen_left_out", p->unseen_left_out);
	}
	buf_char(b, '}');
}

static void put_rule(struct buf *b, const struct policy_set *set, const struct audit_rule *rule)
{
	char text[TEXT_MAX];
	struct buf t = buf_fixed(text, sizeof text);

	policy_ref_put(set, rule->ref, &t);
	put_result(b, audit_result_name(rule->result));
	put_policy(b, set, rule->ref.policy);
	put_text(b, "rule", buf_str(&t));
	put_text(b, "action", rule->denies ? STR("deny") : STR("allow"));
	put_number(b, "flows", rule->flows);
	put_span(b, rule->span);
	if (rule->why)
		put_text(b, "reason", str_of(rule->why));
	if (rule->part_count) {
		put_key(b, "parts");
		for (size_t i = 0; i < rule->part_count; i++) {
			buf_char(b, i ? ',' : '[');
			put_part(b, &rule->parts[i]);
		}
		buf_char(b, ']');
	}
	buf_lit(b, "}\n");
}

/* --- what is no rule -------------------------------------------------------------------------- */

static void put_open(struct buf *b, const struct audit_open *o)
{
	put_result(b, "open");
	put_text(b, "workload", o->workload);
	put_text(b, "direction", str_of(direction_name(o->direction)));
	put_number(b, "pods", o->pods);
	put_number(b, "open_pods", o->open_pods);
	put_number(b, "flows", o->flows);
	buf_lit(b, "}\n");
}

static void put_default(struct buf *b, const struct audit_default *d)
{
	put_result(b, "default");
	put_text(b, "workload", d->workload);
	put_text(b, "direction", str_of(direction_name(d->direction)));
	put_number(b, "flows", d->flows);
	put_text(b, "by", d->by);
	buf_lit(b, "}\n");
}

static void put_reasons(struct buf *b, const char *result, const char *key,
			const struct audit_reason *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put_result(b, result);
		put_text(b, key, list[i].text);
		put_number(b, "flows", list[i].flows);
		buf_lit(b, "}\n");
	}
}

/* --- summary ---------------------------------------------------------------------------------- */

static void put_pair(struct buf *b, const char *key, struct audit_count n)
{
	put_key(b, key);
	buf_char(b, '{');
	put_number(b, "flows", n.flows);
	put_number(b, "connections", n.connections);
	buf_char(b, '}');
}

static void put_remarks(struct buf *b, struct str remarks)
{
	struct str line;
	size_t n = 0;

	put_key(b, "remarks");
	buf_char(b, '[');
	while (remarks.len && str_split(&remarks, '\n', &line) && line.len) {
		buf_str_put(b, n++ ? STR(",") : STR(""));
		json_put_string(b, line);
	}
	buf_char(b, ']');
}

static void put_summary(struct buf *b, const struct audited *a)
{
	const struct audit_report *r = a->report;

	buf_lit(b, "{\"summary\":{");
	put_number(b, "policies", policy_set_count(a->set));
	put_number(b, "rules", r->rule_count);
	for (int i = 0; i < AUDIT_RESULT_COUNT_; i++)
		put_number(b, audit_result_name((enum audit_result)i), r->results[i]);
	put_number(b, "idle", r->idle_count);
	put_number(b, "open", r->open_count);
	put_number(b, "default", r->default_count);
	put_pair(b, "newly_denied", r->newly_denied);
	put_pair(b, "newly_allowed", r->newly_allowed);
	put_number(b, "flows", r->flows);
	put_span(b, r->span);
	put_number(b, "unknown", audit_flows_of(r->unknown, r->unknown_count));
	put_number(b, "elsewhere", audit_flows_of(r->elsewhere, r->elsewhere_count));
	put_number(b, "other", r->other);
	put_key(b, "filtered");
	buf_str_put(b, a->chosen ? STR("true") : STR("false"));
	put_remarks(b, a->remarks);
	buf_lit(b, "}}\n");
}

void audit_put_json(struct buf *b, const struct audited *a)
{
	const struct audit_report *r = a->report;

	for (size_t i = 0; i < r->rule_count; i++)
		put_rule(b, a->set, &r->rules[i]);
	for (size_t i = 0; i < r->idle_count; i++) {
		put_result(b, "idle");
		put_policy(b, a->set, r->idle[i]);
		buf_lit(b, "}\n");
	}
	for (size_t i = 0; i < r->open_count; i++)
		put_open(b, &r->open[i]);
	for (size_t i = 0; i < r->default_count; i++)
		put_default(b, &r->defaults[i]);
	put_reasons(b, "unknown", "reason", r->unknown, r->unknown_count);
	put_reasons(b, "elsewhere", "policy", r->elsewhere, r->elsewhere_count);
	put_summary(b, a);
}
