/* Parts of rules beside what was seen of them: what is allowed, and not needed as far as is known. */
#include "policy/audit_inside.h"

enum { WIDER_BITS = 8, ONE_ADDRESS = 128, TEXT_MAX = 8192 };

/* --- is it wide? ------------------------------------------------------------------------------ */

static unsigned bits_of(size_t n)
{
	unsigned bits = 0;

	while (n > (size_t)1 << bits)
		bits++;
	return bits;
}

/* At least 256 times as many addresses as were seen, or as the block has that they are all in. */
static bool is_wide_block(const struct part *p, const struct block *b, size_t seen)
{
	unsigned free_bits = 128u - b->prefix.bits;

	if (p->covered && p->cover.bits >= b->prefix.bits + (unsigned)WIDER_BITS)
		return true;
	return !p->more && free_bits >= bits_of(seen) + (unsigned)WIDER_BITS;
}

static bool is_wide_port(const struct part *p, const struct port *port, size_t seen)
{
	size_t allowed = (size_t)(port->last - port->first) + 1;

	return !port->name.len && !p->more && seen < allowed;
}

static bool is_wide(const struct audit *a, const struct part *p, size_t seen)
{
	const struct rule *rule = a->rules[p->rule].rule;

	if (!p->flows)
		return !p->otherwise && !(p->kind == PART_NAME && a->rules[p->rule].is_nameless);
	switch ((enum part_kind)p->kind) {
	case PART_ALL_PORTS:
		return !p->more;
	case PART_PORTS:
		return is_wide_port(p, &rule->ports[p->first], seen);
	case PART_ANYBODY: /* open to the world, and used by it */
		return !p->more && !p->outside;
	case PART_PODS:
		return !p->more && (p->unseen_count || p->outside);
	case PART_BLOCK:
		return is_wide_block(p, &rule->blocks[p->first], seen);
	case PART_NAME:
		return !p->more && str_find(rule->names[p->first], '*') < rule->names[p->first].len;
	default:
		return false;
	}
}

/* --- what is told ----------------------------------------------------------------------------- */

static struct str kept(struct audit *a, const struct buf *b)
{
	return b->failed ? (struct str){ NULL, 0 } : mem_str(&a->mem, buf_str(b));
}

static struct str seen_text(struct audit *a, const struct part *p, uint32_t what)
{
	char text[64];
	struct buf b = buf_fixed(text, sizeof text);

	if (p->kind != PART_ALL_PORTS && p->kind != PART_PORTS)
		return a->texts[what];
	audit_port_put(what, &b);
	return kept(a, &b);
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int by_port(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

	return (a > b) - (a < b);
}

/* @what: ids of what was seen, sorted for ports. */
static struct str *seen_texts(struct audit *a, const struct part *p, uint32_t *what, size_t n)
{
	bool ports = p->kind == PART_ALL_PORTS || p->kind == PART_PORTS;
	struct str *list = mem_get(&a->mem, (n + 1) * sizeof *list);

	if (ports)
		qsort(what, n, sizeof *what, by_port);
	for (size_t i = 0; list && i < n; i++) {
		list[i] = seen_text(a, p, what[i]);
		if (!list[i].p)
			return NULL;
	}
	if (list && !ports)
		qsort(list, n, sizeof *list, by_text);
	return list;
}

static bool put_unseen(struct audit *a, const struct part *p, struct audit_part *to)
{
	size_t n = p->unseen_count < AUDIT_TOLD_MAX ? p->unseen_count : AUDIT_TOLD_MAX;
	struct str *list = mem_get(&a->mem, (n + 1) * sizeof *list);

	for (size_t i = 0; list && i < n; i++)
		list[i] = a->texts[p->unseen[i]];
	to->unseen = list;
	to->unseen_count = n;
	to->unseen_left_out = p->unseen_count - n;
	return list != NULL;
}

static bool put_within(struct audit *a, const struct part *p, struct audit_part *to)
{
	char text[64];
	struct buf b = buf_fixed(text, sizeof text);
	const struct block *block = &a->rules[p->rule].rule->blocks[p->first];

	if (p->kind != PART_BLOCK || !p->covered || p->cover.bits <= block->prefix.bits ||
	    p->cover.bits == ONE_ADDRESS)
		return true;
	audit_prefix_put(&p->cover, &b);
	to->within = kept(a, &b);
	return to->within.p != NULL;
}

static enum err_code tell_part(struct audit *a, const struct part *p, uint32_t *what, size_t n,
			       struct audit_part *to, struct err *e)
{
	char text[TEXT_MAX];
	struct buf b = buf_fixed(text, sizeof text);

	if (p->more)
		n = 0; /* which of them were kept is an accident of their order */
	audit_part_put(a, p, &b);
	b.failed = false; /* what does not fit is cut */
	*to = (struct audit_part){
		.ports = p->kind == PART_ALL_PORTS || p->kind == PART_PORTS,
		.allows = kept(a, &b),
		.flows = p->flows,
		.more = p->more,
		.seen = seen_texts(a, p, what, n),
		.seen_count = n,
		.known = p->known,
	};
	if (!to->allows.p || !to->seen || !put_unseen(a, p, to) || !put_within(a, p, to))
		return err_set(e, ERR_NOMEM, "audit of policies");
	return ERR_OK;
}

/* Which of what was seen is of which part: those of a part are in a row, from its start on. */
struct index {
	uint32_t *what, *start; /* start: by part, and one more */
};

static enum err_code make_index(const struct audit *a, struct index *ix, struct err *e)
{
	ix->what = calloc(a->seen_count + 1, sizeof *ix->what);
	ix->start = calloc(a->part_count + 2, sizeof *ix->start);
	if (!ix->what || !ix->start)
		return err_set(e, ERR_NOMEM, "audit of policies");
	for (size_t i = 0; i < a->seen_count; i++)
		ix->start[a->seen[i].part + 2] += a->seen[i].flows > 0;
	for (size_t i = 2; i < a->part_count + 2; i++)
		ix->start[i] += ix->start[i - 1];
	for (size_t i = 0; i < a->seen_count; i++)
		if (a->seen[i].flows)
			ix->what[ix->start[a->seen[i].part + 1]++] = a->seen[i].what;
	return ERR_OK;
}

static enum err_code tell_rule(struct audit *a, const struct used_rule *r, const struct index *ix,
			       struct audit_rule *to, struct err *e)
{
	struct audit_part *parts = mem_get(&a->mem, (r->part_count + 1) * sizeof *parts);
	size_t n = 0;

	if (!parts)
		return err_set(e, ERR_NOMEM, "audit of policies");
	for (uint32_t i = r->first_part; i < r->first_part + r->part_count; i++) {
		size_t seen = ix->start[i + 1] - ix->start[i];

		if (is_wide(a, &a->parts[i], seen) &&
		    tell_part(a, &a->parts[i], ix->what + ix->start[i], seen, &parts[n++], e) !=
			    ERR_OK)
			return e->code;
	}
	if (!n)
		return ERR_OK;
	to->result = AUDIT_WIDE;
	to->parts = parts;
	to->part_count = n;
	return ERR_OK;
}

enum err_code audit_widths(struct audit *a, struct audit_rule *rules, struct err *e)
{
	struct index ix = { NULL, NULL };
	enum err_code code = make_index(a, &ix, e);

	for (size_t i = 0; code == ERR_OK && i < a->rule_count; i++)
		if (a->rules[i].flows)
			code = tell_rule(a, &a->rules[i], &ix, &rules[i], e);
	free(ix.what);
	free(ix.start);
	return code;
}
