/* What an export speaks of: the record as it stands when it begins. */
#include "evidence/export_inside.h"

/* --- policies --- */

static void add_policy(void *ctx, const struct store_policy *p)
{
	struct evidence_export *x = ctx;
	struct buf *b = &x->policies;
	uint8_t sum[SHA256_BYTES];

	sha256(p->json, sum);
	buf_char(b, '{');
	put_member_text(b, "kind", p->kind);
	put_member_text(b, "namespace", p->namespace_);
	put_member_text(b, "name", p->name);
	put_member_text(b, "uid", p->uid);
	put_member_text(b, "resource_version", p->resource_version);
	if (p->origin.len)
		put_member_text(b, "origin", p->origin);
	put_member_time(b, "from", p->from);
	if (p->to.v)
		put_member_time(b, "to", p->to);
	/* policies name addresses, labels and names: none of them with any redaction */
	if (!x->redact)
		put_member_text(b, "text", p->json);
	else
		put_member_bool(b, "withheld", true);
	put_member_hex(b, "sha256", str_n(sum, sizeof sum));
	buf_lit(b, "}\n");
	x->policy_count++;
}

/* --- gaps --- */

static void put_gap(struct buf *b, const struct store_gap *g)
{
	buf_char(b, '{');
	put_member_text(b, "cause", str_of(store_gap_cause_name(g->cause)));
	put_member_time(b, "from", g->from);
	put_member_time(b, "to", g->to);
	put_member_u64(b, "lost", g->lost);
	put_member_u64(b, "first_seq", g->first_seq);
	put_member_u64(b, "last_seq", g->last_seq);
	put_member_text(b, "node", g->node);
	put_member_text(b, "detail", g->detail);
	buf_char(b, '}');
}

static void add_gap(void *ctx, const struct store_gap *g)
{
	struct export_gaps *gaps = ctx;
	uint64_t *lost = &gaps->lost[g->cause];

	gaps->any = true;
	gaps->count[g->cause]++;
	*lost = *lost > UINT64_MAX - g->lost ? UINT64_MAX : *lost + g->lost;
	if (gaps->list.len)
		buf_char(&gaps->list, ',');
	put_gap(&gaps->list, g);
}

static void add_new_damage(void *ctx, const struct store_gap *g)
{
	struct evidence_export *x = ctx;

	if (g->cause != STORE_GAP_DAMAGED)
		return;
	buf_reset(&x->scratch);
	put_gap(&x->scratch, g);
	if (!x->gaps.list.len ||
	    !memmem(x->gaps.list.p, x->gaps.list.len, x->scratch.p, x->scratch.len))
		add_gap(&x->gaps, g);
}

static enum err_code gaps_end(const struct evidence_export *x, enum err_code code, struct err *e)
{
	if (code == ERR_OK && (x->gaps.list.failed || x->scratch.failed))
		return err_set(e, ERR_NOMEM, "the gaps of the range");
	return code;
}

enum err_code export_add_damage(struct evidence_export *x, struct err *e)
{
	return gaps_end(x, store_gaps(x->config.reader, x->since, x->until, add_new_damage, x, e),
			e);
}

/* --- the record --- */

enum err_code export_begin(struct evidence_export *x, struct err *e)
{
	struct store_reader *r = x->config.reader;
	enum err_code code = store_bounds(r, &x->began, e);

	if (code == ERR_OK)
		code = store_extent(r, &x->oldest, &x->newest, e);
	if (code == ERR_OK)
		code = gaps_end(x, store_gaps(r, x->since, x->until, add_gap, &x->gaps, e), e);
	if (code == ERR_OK)
		code = store_policies(r, x->since, x->until, add_policy, x, e);
	if (code == ERR_OK && x->policies.failed)
		code = err_set(e, ERR_NOMEM, "the policies of the range");
	if (code != ERR_OK)
		return code;
	const struct store_scan_config scan = {
		.range = { x->since, x->until, 0, x->began.last_seq + 1 },
		.filter = x->filter,
		.kinds = 1u << FLOW_KIND_FLOW,
	};
	x->end_entry = x->began.last_entry;
	return store_scan_new(r, &scan, &x->matching, e);
}

enum err_code export_check_held(struct evidence_export *x, uint64_t entry, uint64_t seq,
				struct err *e)
{
	struct store_bounds now;
	enum err_code code = store_bounds(x->config.reader, &now, e);

	if (code != ERR_OK)
		return code;
	if ((entry && now.first_entry > entry) || now.first_seq > seq)
		return err_set(
			e, ERR_AGAIN,
			"retention pruned what this export had still to read: ask again, for a "
			"range that begins later or holds less");
	return ERR_OK;
}
