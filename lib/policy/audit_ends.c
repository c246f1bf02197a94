/* Ends of the record: whom policies select, who is open, and whom rules allow that never came. */
#include "policy/audit_inside.h"

enum { TEXT_MAX = 8192 };

struct end {
	const struct endpoint *ep;
	uint32_t who; /* a text */
};

struct ends {
	struct audit *a;
	struct policy_row *row;
	struct end *list; /* sorted by name, then pod */
	size_t count;
	struct audit_open *open;
	size_t open_count, open_room;
};

static int by_name(const void *pa, const void *pb, void *audit)
{
	const struct end *a = pa, *b = pb;
	const struct audit *of = audit;
	int c = str_cmp(of->texts[a->who], of->texts[b->who]);

	return c ? c : str_cmp(a->ep->pod, b->ep->pod);
}

/* Outside there are addresses, which the dictionary does not know one by one. */
static bool is_outside(const struct endpoint *ep)
{
	return !ep->namespace_.len && ep->label_count &&
	       str_has_prefix(ep->labels[0], STR("reserved:world"));
}

static enum err_code list_ends(struct ends *ends, struct err *e)
{
	static const uint8_t nowhere[16];
	struct audit *a = ends->a;
	size_t n = flow_dict_counts(a->dict).endpoints;

	ends->list = calloc(n + 1, sizeof *ends->list);
	ends->row = malloc(policy_row_bytes(a->set));
	if (!ends->list || !ends->row)
		return err_set(e, ERR_NOMEM, "audit of policies");
	for (uint32_t i = 1; i <= n; i++) {
		char text[TEXT_MAX];
		struct buf b = buf_fixed(text, sizeof text);
		struct policy_asked q = { .ips = { nowhere, nowhere } };
		struct end *to = &ends->list[ends->count];

		q.ends[0] = to->ep = flow_dict_get_endpoint(a->dict, (struct endpoint_id){ i });
		if (!policy_end_is_known(to->ep) || is_outside(to->ep))
			continue;
		policy_asked_put_end(&q, 0, &b);
		if (audit_text(a, buf_str(&b), &to->who, e) != ERR_OK)
			return e->code;
		ends->count += to->who != 0;
	}
	qsort_r(ends->list, ends->count, sizeof *ends->list, by_name, a);
	return ERR_OK;
}

/* --- peers ------------------------------------------------------------------------------------ */

static void know_peer(struct audit *a, uint32_t part, uint32_t who)
{
	const uint32_t key[2] = { part, who };
	struct part *p = &a->parts[part];
	uint32_t at;

	if (p->last_known == who) /* another pod of it */
		return;
	p->last_known = who;
	p->known++;
	if (map_get(a->by_seen, str_n(key, sizeof key), &at) && a->seen[at].flows)
		return;
	if (p->unseen_count < AUDIT_TOLD_MAX)
		p->unseen[p->unseen_count] = who;
	p->unseen_count++;
}

/* --- subjects --------------------------------------------------------------------------------- */

/* 1: no policy selects it in this direction, 0: one does, -1: it is not known. */
static int is_open(struct ends *ends, enum policy_direction direction)
{
	static const uint8_t nowhere[1][16];
	struct policy_answer *answer = &ends->a->answer;
	const struct policy_query query = {
		.direction = direction,
		.subject = ends->row,
		.peer = { ends->row, nowhere, 1, NULL, 0 },
		.protocol = IPPROTO_TCP,
	};

	policy_ask(ends->a->set, &query, answer);
	if (answer->verdict != POLICY_NOT_SELECTED)
		return 0;
	return answer->unsure || policy_lacks(ends->a->set, &query, answer) ? -1 : 1;
}

static enum err_code count_open(struct ends *ends, const struct end *end,
				enum policy_direction direction, bool same_pod, struct err *e)
{
	struct str who = ends->a->texts[end->who];
	struct audit_open *last = NULL;
	int open = is_open(ends, direction);

	/* of both directions in turn: the last but one is the same's */
	for (size_t i = ends->open_count; i-- && i + 2 >= ends->open_count && !last;)
		if (ends->open[i].direction == direction && ends->open[i].workload.p == who.p)
			last = &ends->open[i];
	if (!last) {
		if (policy_grow(&ends->open, ends->open_count, &ends->open_room, sizeof *ends->open,
				e) != ERR_OK)
			return e->code;
		last = &ends->open[ends->open_count++];
		*last = (struct audit_open){
			.workload = who,
			.direction = direction,
			.flows = ends->a->open_flows[2 * end->who + direction],
		};
		same_pod = false;
	}
	last->pods += !same_pod;
	last->open_pods += open > 0 && !same_pod;
	return ERR_OK;
}

static enum err_code look_at(struct ends *ends, const struct end *end, bool same_pod, struct err *e)
{
	struct audit *a = ends->a;
	const struct policy_end as_end = policy_end_of(end->ep, NULL);

	policy_row_fill(a->set, &as_end, ends->row);
	for (uint32_t i = 0; i < a->part_count; i++)
		if (a->parts[i].kind == PART_PODS && audit_part_selects(a, &a->parts[i], ends->row))
			know_peer(a, i, end->who);
	if (!(ends->row->flags & ROW_POD) || !(ends->row->flags & ROW_ENFORCED))
		return ERR_OK;
	policy_row_count_selected(a->set, ends->row, a->selected);
	if (count_open(ends, end, POLICY_INGRESS, same_pod, e) != ERR_OK)
		return e->code;
	return count_open(ends, end, POLICY_EGRESS, same_pod, e);
}

static int by_flows(const void *pa, const void *pb)
{
	const struct audit_open *a = pa, *b = pb;
	int c = str_cmp(a->workload, b->workload);

	if (a->flows != b->flows)
		return a->flows > b->flows ? -1 : 1;
	return c ? c : (int)a->direction - (int)b->direction;
}

static enum err_code keep_open(struct ends *ends, struct audit_report *ret, struct err *e)
{
	struct audit_open *kept = mem_get(&ends->a->mem, (ends->open_count + 1) * sizeof *kept);
	size_t n = 0;

	if (!kept)
		return err_set(e, ERR_NOMEM, "audit of policies");
	for (size_t i = 0; i < ends->open_count; i++)
		if (ends->open[i].open_pods)
			kept[n++] = ends->open[i];
	qsort(kept, n, sizeof *kept, by_flows);
	ret->open = kept;
	ret->open_count = n;
	return ERR_OK;
}

enum err_code audit_ends(struct audit *a, struct audit_report *ret, struct err *e)
{
	struct ends ends = { .a = a };
	enum err_code code = list_ends(&ends, e);

	for (size_t i = 0; code == ERR_OK && i < ends.count; i++) {
		const struct end *end = &ends.list[i], *before = i ? end - 1 : NULL;

		code = look_at(&ends, end,
			       before && before->who == end->who &&
				       str_eq(before->ep->pod, end->ep->pod),
			       e);
	}
	if (code == ERR_OK)
		code = keep_open(&ends, ret, e);
	free(ends.list);
	free(ends.row);
	free(ends.open);
	return code;
}
