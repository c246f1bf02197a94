#include "cli/policy_audit.h"

#include "base/time.h"
#include "cli/report.h"
#include "flow/text_table.h"

enum { TABLE_MAX = 64 << 20, TEXT_MAX = 8192, SEEN_TOLD = 8, ELSEWHERE_TOLD = 8 };

/* --- pieces ----------------------------------------------------------------------------------- */

static void put_count(struct buf *b, uint64_t n, const char *one)
{
	buf_grouped(b, n);
	buf_printf(b, " %s%s", one, n == 1 ? "" : "s");
}

static const char *direction_name(enum policy_direction direction)
{
	return direction == POLICY_INGRESS ? "ingress" : "egress";
}

/* "knp:shop/db#ingress[0]  (policies/db.yaml)" */
static void put_ref(struct buf *b, const struct policy_set *set, struct policy_ref ref)
{
	char text[TEXT_MAX];
	struct buf t = buf_fixed(text, sizeof text);
	struct str file = policy_set_info(set, ref.policy)->origin;

	policy_ref_put(set, ref, &t);
	report_cell(b, buf_str(&t));
	if (!file.len)
		return;
	buf_lit(b, "  (");
	report_cell(b, file);
	buf_char(b, ')');
}

static void put_policy(struct buf *b, const struct policy_set *set, uint32_t policy)
{
	put_ref(b, set, (struct policy_ref){ .policy = policy, .rule = POLICY_NO_RULE });
}

static void put_list(struct buf *b, const struct str *list, size_t n, size_t more)
{
	size_t told = n < SEEN_TOLD ? n : SEEN_TOLD;

	for (size_t i = 0; i < told; i++) {
		buf_str_put(b, i ? STR(", ") : STR(""));
		report_cell(b, list[i]);
	}
	more += n - told;
	if (more) {
		buf_lit(b, ", and ");
		buf_grouped(b, more);
		buf_lit(b, " more");
	}
}

/* "6d 23h", "59m 58s": the two that say most. */
static void put_length(struct buf *b, uint64_t ns)
{
	static const struct {
		uint64_t s;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	uint64_t left = ns / NS_PER_S;
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && left < units[i].s)
		i++;
	buf_printf(b, "%llu%c", (unsigned long long)(left / units[i].s), units[i].unit);
	left %= units[i].s;
	if (i + 1 < ARRAY_LEN(units) && left / units[i + 1].s)
		buf_printf(b, " %llu%c", (unsigned long long)(left / units[i + 1].s),
			   units[i + 1].unit);
}

uint64_t audit_flows_of(const struct audit_reason *list, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += list[i].flows;
	return sum;
}

/* --- head ------------------------------------------------------------------------------------- */

static void put_summary(struct buf *b, const struct audited *a)
{
	const struct audit_report *r = a->report;

	put_count(b, r->rule_count, "rule");
	buf_lit(b, " of ");
	buf_grouped(b, policy_set_count(a->set));
	buf_str_put(b, policy_set_count(a->set) == 1 ? STR(" policy: ") : STR(" policies: "));
	buf_grouped(b, r->results[AUDIT_UNUSED]);
	buf_lit(b, " unused, ");
	buf_grouped(b, r->results[AUDIT_WIDE]);
	buf_lit(b, " wider than seen, ");
	buf_grouped(b, r->results[AUDIT_UNJUDGED]);
	buf_lit(b, " not judged; ");
	put_count(b, r->open_count, "direction");
	buf_lit(b, " of workloads open, ");
	buf_grouped(b, r->default_count);
	buf_lit(b, " allowed by default\n");
}

static void put_record(struct buf *b, const struct audited *a)
{
	const struct audit_report *r = a->report;
	uint64_t unknown = audit_flows_of(r->unknown, r->unknown_count);

	put_count(b, r->flows, "flow");
	if (r->span.known) {
		buf_lit(b, ", ");
		put_length(b, r->span.last.v - r->span.first.v);
		buf_lit(b, ": ");
		timestamp_put(b, timestamp_of(r->span.first));
		buf_lit(b, " to ");
		timestamp_put(b, timestamp_of(r->span.last));
	}
	if (unknown) {
		buf_lit(b, "; of ");
		buf_grouped(b, unknown);
		buf_lit(b, " it is not known what the policies decide");
	}
	if (r->other) {
		buf_lit(b, "; ");
		buf_grouped(b, r->other);
		buf_lit(b, " more that no policy decided");
	}
	buf_char(b, '\n');
	report_text(b, a->remarks.p);
	if (a->chosen)
		buf_lit(b, "note: filters chose these flows: others may use what is unused here\n");
}

static void put_changes(struct buf *b, const struct audit_report *r)
{
	if (!r->newly_denied.flows && !r->newly_allowed.flows)
		return;
	buf_lit(b, "not as recorded: these policies would deny ");
	put_count(b, r->newly_denied.flows, "flow");
	buf_lit(b, " that passed, and allow ");
	buf_grouped(b, r->newly_allowed.flows);
	buf_lit(b, " that were denied; tycho policy preview shows which\n");
}

static void put_elsewhere(struct buf *b, const struct audit_report *r)
{
	if (!r->elsewhere_count)
		return;
	buf_lit(b, "incomplete: policies that are not among these decided ");
	put_count(b, audit_flows_of(r->elsewhere, r->elsewhere_count), "flow");
	buf_lit(b, ": ");
	for (size_t i = 0; i < r->elsewhere_count && i < ELSEWHERE_TOLD; i++) {
		buf_str_put(b, i ? STR(", ") : STR(""));
		report_cell(b, r->elsewhere[i].text);
	}
	buf_str_put(b, r->elsewhere_count > ELSEWHERE_TOLD ? STR(", …\n") : STR("\n"));
}

/* --- what is not covered ---------------------------------------------------------------------- */

static void put_table(struct buf *b, const char *title, const struct buf *rows)
{
	buf_printf(b, "\n%s\n", title);
	if (rows->failed || !text_table_put(b, buf_str(rows)))
		b->failed = true;
}

static void put_open(struct buf *b, const struct audit_report *r)
{
	AUTO_BUF struct buf rows = buf_init(TABLE_MAX);

	if (!r->open_count)
		return;
	buf_lit(&rows, "WORKLOAD\tDIRECTION\tPODS\tFLOWS\n");
	for (size_t i = 0; i < r->open_count; i++) {
		const struct audit_open *o = &r->open[i];

		report_cell(&rows, o->workload);
		buf_printf(&rows, "\t%s\t%zu of %zu\t", direction_name(o->direction), o->open_pods,
			   o->pods);
		buf_grouped(&rows, o->flows);
		buf_char(&rows, '\n');
	}
	put_table(b, "OPEN: no policy selects these pods, everything is allowed", &rows);
}

static void put_defaults(struct buf *b, const struct audit_report *r)
{
	AUTO_BUF struct buf rows = buf_init(TABLE_MAX);

	if (!r->default_count)
		return;
	buf_lit(&rows, "WORKLOAD\tDIRECTION\tFLOWS\tPOLICIES\n");
	for (size_t i = 0; i < r->default_count; i++) {
		const struct audit_default *d = &r->defaults[i];

		report_cell(&rows, d->workload);
		buf_printf(&rows, "\t%s\t", direction_name(d->direction));
		buf_grouped(&rows, d->flows);
		buf_char(&rows, '\t');
		report_cell(&rows, d->by);
		buf_char(&rows, '\n');
	}
	put_table(b,
		  "ALLOWED BY DEFAULT: no rule allows these, and the policies there deny nothing",
		  &rows);
}

/* --- rules ------------------------------------------------------------------------------------ */

static bool is_idle(const struct audit_report *r, uint32_t policy)
{
	for (size_t i = 0; i < r->idle_count; i++)
		if (r->idle[i] == policy)
			return true;
	return false;
}

static void put_unused(struct buf *b, const struct audited *a)
{
	const struct audit_report *r = a->report;

	if (!r->results[AUDIT_UNUSED] && !r->idle_count)
		return;
	buf_lit(b, "\nUNUSED: no flow was decided by these\n");
	for (size_t i = 0; i < r->idle_count; i++) {
		put_policy(b, a->set, r->idle[i]);
		buf_lit(b, ": selects no pod that is known\n");
	}
	for (size_t i = 0; i < r->rule_count; i++) {
		const struct audit_rule *rule = &r->rules[i];

		if (rule->result != AUDIT_UNUSED || is_idle(r, rule->ref.policy))
			continue;
		put_ref(b, a->set, rule->ref);
		buf_str_put(b, rule->denies ? STR(": denied nothing\n") : STR("\n"));
	}
}

static void put_part(struct buf *b, const struct audit_part *p)
{
	buf_str_put(b, p->ports ? STR("  ports  ") : STR("  peers  "));
	report_cell(b, p->allows);
	if (!p->flows) {
		buf_lit(b, ": never seen");
	} else if (p->more) {
		buf_lit(b, ": seen many");
	} else {
		buf_lit(b, ": seen ");
		put_list(b, p->seen, p->seen_count, 0);
	}
	if (p->within.len)
		buf_printf(b, " (all in %.*s)", STR_FMT(p->within));
	if (p->flows && p->unseen_count) {
		buf_lit(b, "; never ");
		put_list(b, p->unseen, p->unseen_count, p->unseen_left_out);
	}
	buf_char(b, '\n');
}

static void put_wide(struct buf *b, const struct audited *a)
{
	const struct audit_report *r = a->report;

	if (!r->results[AUDIT_WIDE])
		return;
	buf_lit(b, "\nWIDER THAN SEEN: of what these rules allow, not all was used\n");
	for (size_t i = 0; i < r->rule_count; i++) {
		const struct audit_rule *rule = &r->rules[i];

		if (rule->result != AUDIT_WIDE)
			continue;
		put_ref(b, a->set, rule->ref);
		buf_lit(b, ": ");
		put_count(b, rule->flows, "flow");
		buf_char(b, '\n');
		for (size_t j = 0; j < rule->part_count; j++)
			put_part(b, &rule->parts[j]);
	}
}

static void put_unjudged(struct buf *b, const struct audited *a)
{
	const struct audit_report *r = a->report;

	if (!r->results[AUDIT_UNJUDGED])
		return;
	buf_lit(b, "\nNOT JUDGED: no flow is known to have used these\n");
	for (size_t i = 0; i < r->rule_count; i++) {
		if (r->rules[i].result != AUDIT_UNJUDGED)
			continue;
		put_ref(b, a->set, r->rules[i].ref);
		buf_printf(b, ": %s\n", r->rules[i].why);
	}
}

static void put_unknown(struct buf *b, const struct audit_report *r)
{
	if (!r->unknown_count)
		return;
	buf_lit(b, "\nNOT KNOWN: what the policies decide\n");
	for (size_t i = 0; i < r->unknown_count; i++) {
		put_count(b, r->unknown[i].flows, "flow");
		buf_lit(b, ": ");
		report_cell(b, r->unknown[i].text);
		buf_char(b, '\n');
	}
}

void audit_put_text(struct buf *b, const struct audited *a)
{
	put_summary(b, a);
	put_record(b, a);
	put_elsewhere(b, a->report);
	put_changes(b, a->report);
	put_open(b, a->report);
	put_defaults(b, a->report);
	put_unused(b, a);
	put_wide(b, a);
	put_unjudged(b, a);
	put_unknown(b, a->report);
}
