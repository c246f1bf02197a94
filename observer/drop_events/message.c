#include "observer/drop_events/message.h"

#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "flow/wire.h"

enum {
	POLICY_NAME = 1, /* flow.Policy */
	POLICY_NAMESPACE = 2,
	POLICY_KIND = 5,
	NAME_BYTES = 253, /* of names in Kubernetes: RFC 1123 */
	KIND_BYTES = 100,
	POLICIES_MAX = 64, /* looked at, and what a flow of ours names at most; more are counted */
	POLICY_BYTES = 3 * KIND_BYTES + NAME_BYTES + 2,
	COUNT_BYTES = 24, /* ",… (12 more)." */
};

/* What others wrote: valid UTF-8, cut to what a name may have, and nothing that steers the terminal
 * of who runs kubectl (ECMA-48: C0, DEL, C1). */
static void put_name(struct buf *b, struct str s)
{
	char clean[NAME_BYTES];
	size_t len = utf8_sanitize(s, clean, sizeof clean);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)clean[i];
		unsigned char next = i + 1 < len ? (unsigned char)clean[i + 1] : 0;
		bool is_c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
		buf_char(b, c < ' ' || c == 0x7f || is_c1 ? '?' : clean[i]);
		i += is_c1;
	}
}

static void put_reason(struct buf *b, uint32_t reason)
{
	const char *name = enum_name(&flow__drop_reason__descriptor, (int32_t)reason);

	for (; name && *name; name++)
		buf_char(b, (char)tolower((unsigned char)*name));
	if (!name)
		buf_u64(b, reason);
}

/* Whoever is at the other end. */
static void put_peer(struct buf *b, const struct flow *f, const struct flow_dict *dict,
		     enum flow_side side)
{
	char tmp[FLOW_IP_TEXT_BYTES];
	const struct endpoint *ep =
		flow_dict_get_endpoint(dict, side == FLOW_SRC ? f->src_ep : f->dst_ep);
	struct str ip = str_upto(flow_ip_text(f, side, tmp), FLOW_IP_TEXT_BYTES);
	const char *reserved = identity_name(ep ? ep->identity : 0);

	if (ep && ep->pod.len) {
		put_name(b, ep->namespace_);
		buf_char(b, '/');
		put_name(b, ep->pod);
	} else if (reserved) {
		buf_str_put(b, str_of(reserved));
	} else {
		put_name(b, ip.len ? ip : STR("an unknown address"));
		return;
	}
	if (ip.len) {
		buf_lit(b, " (");
		put_name(b, ip);
		buf_char(b, ')');
	}
}

static void put_l4(struct buf *b, const struct flow *f)
{
	const char *name = l4_name(f->l4);
	uint32_t port;

	if (!*name)
		return;
	buf_char(b, ' ');
	buf_str_put(b, str_of(name));
	if ((f->l4 == FLOW_L4_TCP || f->l4 == FLOW_L4_UDP) && flow_port(f, FLOW_DST, &port)) {
		buf_char(b, '/');
		buf_u64(b, port);
	}
}

/* ---- policies */

struct policies {
	char texts[POLICIES_MAX][POLICY_BYTES];
	size_t count, beyond;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Those of one list that are clusterwide, or those that are not: in order, each once. */
static void collect(struct policies *p, const struct flow *f, uint32_t list, bool clusterwide)
{
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	size_t kept = 0;

	p->count = p->beyond = 0;
	for (struct wire_field x; wire_next(&r, &x);) {
		struct str name, namespace_ = STR(""), kind = STR("");
		if (x.type != WIRE_LEN || x.number != list ||
		    !wire_find(x.bytes, POLICY_NAME, &name))
			continue;
		(void)wire_find(x.bytes, POLICY_NAMESPACE, &namespace_);
		(void)wire_find(x.bytes, POLICY_KIND, &kind);
		if (clusterwide == (namespace_.len > 0))
			continue;
		if (p->count == POLICIES_MAX) {
			p->beyond++;
			continue;
		}
		char text[POLICY_BYTES];
		struct buf b = buf_fixed(text, sizeof text);
		put_name(&b, str_upto(kind, KIND_BYTES));
		if (kind.len)
			buf_char(&b, '/');
		put_name(&b, name);
		(void)snprintf(p->texts[p->count++], POLICY_BYTES, "%.*s", (int)b.len, text);
	}
	qsort(p->texts, p->count, sizeof p->texts[0], by_text);
	for (size_t i = 0; i < p->count; i++)
		if (!kept || strcmp(p->texts[kept - 1], p->texts[i]) != 0)
			memmove(p->texts[kept++], p->texts[i], POLICY_BYTES);
	p->count = kept;
}

static void put_policies(struct buf *b, const struct policies *p, const char *before)
{
	size_t i = 0;

	if (!p->count || b->len + strlen(before) + COUNT_BYTES > DROP_MESSAGE_BYTES)
		return;
	buf_str_put(b, str_of(before));
	for (; i < p->count; i++) {
		size_t len = strlen(p->texts[i]);
		if (b->len + len + COUNT_BYTES > DROP_MESSAGE_BYTES)
			break;
		if (i)
			buf_char(b, ',');
		buf_put(b, p->texts[i], len);
	}
	if (i < p->count + p->beyond)
		buf_printf(b, "%s (%zu more)", i ? ",…" : "…", p->count - i + p->beyond);
	buf_char(b, '.');
}

static void put_extension(struct buf *b, const struct flow *f, bool incoming)
{
	bool is_rule = f->drop_desc == FLOW__DROP_REASON__POLICY_DENY;
	uint32_t list = incoming ? FLOW_FIELD_INGRESS_DENIED_BY : FLOW_FIELD_EGRESS_DENIED_BY;
	struct policies p;

	if (!flow_is(f, FLOW_HAS_POLICIES))
		return;
	collect(&p, f, list, false);
	put_policies(b, &p, is_rule ? " Denied by policies: " : " Applied policies: ");
	collect(&p, f, list, true);
	put_policies(b, &p,
		     is_rule ? " Denied by clusterwide policies: "
			     : " Applied clusterwide policies: ");
}

void drop_message_put(struct buf *to, const struct flow *f, const struct flow_dict *dict,
		      bool incoming, bool extended)
{
	buf_str_put(to,
		    incoming ? STR("Incoming packet dropped (") : STR("Outgoing packet dropped ("));
	put_reason(to, f->drop_desc);
	buf_str_put(to, incoming ? STR(") from ") : STR(") to "));
	put_peer(to, f, dict, incoming ? FLOW_SRC : FLOW_DST);
	put_l4(to, f);
	buf_char(to, '.');
	if (extended)
		put_extension(to, f, incoming);
}
