#include "evidence/report_inside.h"

#include "flow/fields.h"
#include "flow/names.h"
#include "flow/wire.h"

enum { KEY_MAX = 2048, VERDICT_DROPPED = 2 };

enum err_code report_new(struct report **ret, struct err *e)
{
	AUTO(report_free) struct report *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "a report");
	r->edges = calloc(REPORT_EDGES, sizeof *r->edges);
	r->verdicts = schema_find_enum(STR("flow.Verdict"));
	r->drops = schema_find_enum(STR("flow.DropReason"));
	if (!r->edges || !r->verdicts || !r->drops)
		return err_set(e, ERR_NOMEM, "a report");
	enum err_code code = map_new(REPORT_EDGES, (uint64_t)(uintptr_t)r, &r->index, e);
	if (code == ERR_OK)
		*ret = TAKE(r);
	return code;
}

void report_free(struct report *r)
{
	if (!r)
		return;
	map_free(r->index);
	free(r->edges);
	free(r);
}

/* --- counting --- */

static void put_clean(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_char(b, s.p[i] ? s.p[i] : ' ');
}

/* "shop/web (Deployment)", else the pod, a reserved name, a DNS name, an address. */
static void put_party(struct buf *b, const struct renderer *rendered, enum flow_side side)
{
	const struct flow *f = renderer_flow(rendered);
	const struct endpoint *ep = flow_dict_get_endpoint(
		renderer_dict(rendered), side == FLOW_SRC ? f->src_ep : f->dst_ep);
	char tmp[FLOW_IP_TEXT_BYTES];
	struct str name = { "", 0 };

	if (ep && ep->namespace_.len) {
		put_clean(b, ep->namespace_);
		buf_char(b, '/');
	}
	if (ep && ep->workload_count) {
		put_clean(b, ep->workloads[0].name);
		return;
	}
	if (ep && ep->pod.len) {
		put_clean(b, ep->pod);
		return;
	}
	for (size_t i = 0; ep && i < ep->label_count && !name.len; i++)
		if (str_has_prefix(ep->labels[i], STR("reserved:")))
			name = str_from(ep->labels[i], strlen("reserved:"));
	put_clean(b, name);
	if (!name.len || str_eq(name, STR("world"))) {
		if (name.len)
			buf_char(b, ' ');
		put_clean(b, flow_ip_text(f, side, tmp));
	}
}

static void put_service(struct buf *b, const struct flow *f, bool is_reply)
{
	uint32_t port;

	buf_str_put(b, str_of(l4_name(f->l4)));
	if (flow_port(f, is_reply ? FLOW_SRC : FLOW_DST, &port))
		buf_printf(b, " %u", port);
}

static void put_enum(struct buf *b, const struct schema_enum *e, int32_t number)
{
	struct str name = schema_enum_name(e, number);

	if (name.len)
		buf_str_put(b, name);
	else
		buf_printf(b, "%d", number);
}

/* By the kernel's name where there is no other. */
static void put_reason(struct buf *b, const struct report *r, const struct flow *f,
		       const struct flow_dict *dict)
{
	struct str kernel = { "", 0 };

	if (flow_is(f, FLOW_HAS_DETAIL) &&
	    (!f->drop_desc || !schema_enum_name(r->drops, (int32_t)f->drop_desc).len))
		kernel = flow_dict_get_kernel_reason(dict, f->kernel_reason);
	if (kernel.len)
		put_clean(b, kernel);
	else if (f->drop_desc)
		put_enum(b, r->drops, (int32_t)f->drop_desc);
}

/* Names of the policies that allowed or denied; of a drop without one, its reason. */
static void put_by(struct buf *b, const struct report *r, const struct flow *f,
		   const struct flow_dict *dict)
{
	struct wire_reader reader = wire_reader_of(str_n(f->ext, f->ext_len));
	size_t start = b->len;

	for (struct wire_field x; wire_next(&reader, &x);) {
		struct str name = { "", 0 }, ns = { "", 0 };
		if (x.type != WIRE_LEN || (x.number != FLOW_FIELD_EGRESS_ALLOWED_BY &&
					   x.number != FLOW_FIELD_INGRESS_ALLOWED_BY &&
					   x.number != FLOW_FIELD_EGRESS_DENIED_BY &&
					   x.number != FLOW_FIELD_INGRESS_DENIED_BY))
			continue;
		(void)wire_find(x.bytes, 1, &name);
		(void)wire_find(x.bytes, 2, &ns);
		if (b->len > start)
			buf_lit(b, ", ");
		put_clean(b, ns);
		if (ns.len)
			buf_char(b, '/');
		put_clean(b, name);
	}
	if (b->len == start && (f->drop_desc || f->verdict == VERDICT_DROPPED))
		put_reason(b, r, f, dict);
}

/* Flows of an edge; without a key: of one that cannot be shown. */
static enum err_code add_edge(struct report *r, const struct edge *more, struct err *e)
{
	uint32_t at;
	bool is_known = map_get(r->index, more->key, &at);

	if (!more->key.len || (!is_known && r->count == REPORT_EDGES)) {
		r->beyond += more->flows;
		return ERR_OK;
	}
	if (!is_known) {
		struct str key;
		at = (uint32_t)r->count;
		if (map_put(r->index, more->key, at, &key, e) != ERR_OK)
			return ERR_NOMEM;
		r->edges[r->count++] = *more;
		r->edges[at].key = key;
		return ERR_OK;
	}
	struct edge *edge = &r->edges[at];
	edge->flows += more->flows;
	if (more->first.v < edge->first.v)
		edge->first = more->first;
	if (more->last.v > edge->last.v)
		edge->last = more->last;
	return ERR_OK;
}

enum err_code report_add(struct report *r, const struct renderer *rendered, struct err *e)
{
	const struct flow *f = renderer_flow(rendered);
	char space[KEY_MAX];
	struct buf key = buf_fixed(space, sizeof space);
	bool is_reply = f->is_reply == FLOW_REPLY_TRUE;

	/* An answer belongs to the question's edge: who asked stands first. */
	put_party(&key, rendered, is_reply ? FLOW_DST : FLOW_SRC);
	buf_char(&key, 0);
	put_party(&key, rendered, is_reply ? FLOW_SRC : FLOW_DST);
	buf_char(&key, 0);
	put_service(&key, f, is_reply);
	buf_char(&key, 0);
	put_enum(&key, r->verdicts, flow_enum(f, FLOW_FIELD_VERDICT, f->verdict));
	buf_char(&key, 0);
	put_by(&key, r, f, renderer_dict(rendered));
	r->flows++;
	r->dropped += f->verdict == VERDICT_DROPPED;
	const struct edge one = { .key = key.failed ? STR("") : buf_str(&key),
				  .flows = 1,
				  .first = f->time,
				  .last = f->time,
				  .is_drop = f->verdict == VERDICT_DROPPED };
	return add_edge(r, &one, e);
}

enum err_code report_merge(struct report *r, const struct report *from, struct err *e)
{
	r->flows += from->flows;
	r->dropped += from->dropped;
	r->beyond += from->beyond;
	for (size_t i = 0; i < from->count; i++)
		if (add_edge(r, &from->edges[i], e) != ERR_OK)
			return ERR_NOMEM;
	return ERR_OK;
}
