/*
 * One flow as people read it. Texts and their conditions: hubble-cli.md sections 5.1 to 5.5; where
 * an odd flow needs more than they say, Cilium 1.19.4's hubble/pkg/printer.
 */
#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/names.h"
#include "flow/print_in.h"

#include "flow/flow.pb-c.h"

/* Cilium's message types in event_type.type (pkg/monitor/api). */
enum {
	EVENT_DROP = 1,
	EVENT_CAPTURE = 3,
	EVENT_TRACE = 4,
	EVENT_POLICY_VERDICT = 5,
	EVENT_TRACE_SOCK = 7,
};

/* Fields of flow.Layer7 and flow.DNS, flow.Policy. */
enum { L7_TYPE = 1, L7_DNS = 100, L7_HTTP = 101, L7_KAFKA = 102, DNS_OBSERVATION_SOURCE = 5 };
enum { POLICY_NAME = 1, POLICY_LABELS = 3, POLICY_KIND = 5 };

struct side {
	const struct endpoint *endpoint; /* NULL: absent */
	const struct service *service;
	enum flow_side side;
	uint32_t names_field; /* of flow.Flow: source_names or destination_names */
};

static struct side side_of(const struct flow_printer *p, const struct flow *f, enum flow_side side)
{
	bool source = side == FLOW_SRC;

	return (struct side){
		.endpoint = flow_dict_get_endpoint(p->options.dict, source ? f->src_ep : f->dst_ep),
		.service = flow_dict_get_service(p->options.dict, source ? f->src_svc : f->dst_svc),
		.side = side,
		.names_field = source ? FLOW_FIELD_SOURCE_NAMES : FLOW_FIELD_DESTINATION_NAMES,
	};
}

/* --- hosts -------------------------------------------------------------------------- */

/* Go's path.Clean of what stands behind @from: "a//b/../c/" is "a/c". Names of pods and namespaces
 * are clean already, unless somebody made them up. */
static void clean_path(struct buf *b, size_t from)
{
	char *path = b->p + from;
	size_t length = b->len - from, to = 0, at = 0;
	bool rooted = length && path[0] == '/';
	size_t floor = rooted; /* ".." does not climb above */

	if (b->failed)
		return;
	at = to = rooted;
	while (at < length) {
		size_t end = at;
		while (end < length && path[end] != '/')
			end++;
		size_t n = end - at;
		if (n == 0 || (n == 1 && path[at] == '.')) {
			/* nothing, or here */
		} else if (n == 2 && path[at] == '.' && path[at + 1] == '.') {
			if (to > floor) {
				for (to--; to > floor && path[to] != '/'; to--)
					;
			} else if (!rooted) {
				if (to)
					path[to++] = '/';
				path[to++] = '.';
				path[to++] = '.';
				floor = to;
			}
		} else {
			if (to > (size_t)rooted)
				path[to++] = '/';
			memmove(path + to, path + at, n);
			to += n;
		}
		at = end + 1;
	}
	b->len = from + to;
	if (!to)
		buf_char(b, '.');
}

/* "namespace/name", or "name"; Go's path.Join. */
static void put_joined(struct buf *b, struct str namespace_, struct str name)
{
	size_t from = b->len;

	buf_str_put(b, namespace_);
	if (namespace_.len)
		buf_char(b, '/');
	buf_str_put(b, name);
	if (memchr(name.p, '/', name.len) || memchr(namespace_.p, '/', namespace_.len) ||
	    name.p[0] == '.' || (namespace_.len && namespace_.p[0] == '.'))
		clean_path(b, from);
}

/* DNS names of one side with commas between; false if there are none. */
static bool put_names(struct buf *b, const struct flow *f, uint32_t field)
{
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	struct wire_field wf;
	bool any = false;

	if (!flow_is(f, FLOW_HAS_NAMES))
		return false;
	while (wire_next(&r, &wf)) {
		if (wf.number != field || wf.type != WIRE_LEN)
			continue;
		if (any)
			buf_char(b, ',');
		buf_str_put(b, wf.bytes);
		any = true;
	}
	return any;
}

static void put_name(const struct flow_printer *p, struct buf *b, const struct flow *f,
		     const struct side *s)
{
	char tmp[FLOW_IP_TEXT_BYTES];
	struct str namespace_ = s->service    ? s->service->namespace_
				: s->endpoint ? s->endpoint->namespace_
					      : STR("");

	if (!p->options.numeric) {
		if (s->endpoint && s->endpoint->pod.len) {
			put_joined(b, namespace_, s->endpoint->pod);
			return;
		}
		if (s->service && s->service->name.len) {
			put_joined(b, namespace_, s->service->name);
			return;
		}
		if (put_names(b, f, s->names_field))
			return;
	}
	buf_str_put(b, flow_ip_text(f, s->side, tmp));
}

/* Brackets around what was put since @from, if it holds a colon: Go's net.JoinHostPort. */
static void bracket(struct buf *b, size_t from)
{
	if (b->failed || !memchr(b->p + from, ':', b->len - from) || !buf_reserve(b, 2))
		return;
	memmove(b->p + from + 1, b->p + from, b->len - from);
	b->p[from] = '[';
	b->len++;
	buf_char(b, ']');
}

static void put_host(const struct flow_printer *p, struct buf *b, const struct flow *f,
		     const struct side *s, bool color)
{
	char tmp[FLOW_MAC_TEXT_BYTES];
	uint32_t port;
	bool has_ip = flow_is(f, FLOW_HAS_IP);

	if (!has_ip && !flow_is(f, FLOW_HAS_ETHERNET))
		return;
	print_color_begin(b, color, PRINT_COLOR_CYAN);
	size_t from = b->len;
	if (has_ip)
		put_name(p, b, f, s);
	else
		buf_str_put(b, flow_mac_text(f, s->side, tmp));
	if (has_ip && flow_port(f, s->side, &port) && port) {
		bracket(b, from);
		buf_char(b, ':');
		print_color_begin(b, color, PRINT_COLOR_YELLOW);
		buf_u64(b, port);
		print_color_end(b, color, PRINT_COLOR_YELLOW);
	}
	print_color_end(b, color, PRINT_COLOR_CYAN);
}

static void put_identity(struct buf *b, const struct side *s, bool color)
{
	uint32_t identity = s->endpoint ? s->endpoint->identity : 0;
	const char *name = identity_name(identity);

	print_color_begin(b, color, PRINT_COLOR_MAGENTA);
	if (name) {
		buf_char(b, '(');
		buf_str_put(b, str_of(name));
	} else {
		buf_lit(b, "(ID:");
		buf_u64(b, identity);
	}
	buf_char(b, ')');
	print_color_end(b, color, PRINT_COLOR_MAGENTA);
}

/* --- type --------------------------------------------------------------------------- */

static void put_lower(struct buf *b, size_t from)
{
	for (size_t i = from; i < b->len; i++)
		if (b->p[i] >= 'A' && b->p[i] <= 'Z')
			b->p[i] = (char)(b->p[i] - 'A' + 'a');
}

/* "dns-request proxy", "http-response", "l7-unknown_l7_type". */
static void put_l7_type(struct buf *b, struct str l7)
{
	struct wire_reader r = wire_reader_of(l7);
	struct wire_field wf;
	int32_t type = 0;
	struct str protocol = STR("l7"), dns = STR(""), source = STR("");

	while (wire_next(&r, &wf)) {
		if (wf.number == L7_TYPE && wf.type == WIRE_VARINT)
			type = (int32_t)wf.value;
		if (wf.type != WIRE_LEN)
			continue;
		if (wf.number == L7_DNS) {
			protocol = STR("dns");
			dns = wf.bytes;
		} else if (wf.number == L7_HTTP) {
			protocol = STR("http");
		} else if (wf.number == L7_KAFKA) {
			protocol = STR("kafka");
		}
	}
	buf_str_put(b, protocol);
	buf_char(b, '-');
	size_t from = b->len;
	enum_put(b, &flow__l7_flow_type__descriptor, type);
	put_lower(b, from);
	if (protocol.p[0] != 'd')
		return;
	(void)wire_find(dns, DNS_OBSERVATION_SOURCE, &source);
	buf_char(b, ' ');
	buf_str_put(b, source);
}

static void put_sock_type(struct buf *b, int32_t point)
{
	static const char *const texts[] = {
		[1] = "pre-xlate-fwd",
		[2] = "post-xlate-fwd",
		[3] = "pre-xlate-rev",
		[4] = "post-xlate-rev",
	};

	if (point > 0 && point < (int32_t)ARRAY_LEN(texts))
		buf_str_put(b, str_of(texts[point]));
	else
		enum_put(b, &flow__socket_translation_point__descriptor, point);
}

static void put_type(struct buf *b, const struct flow *f)
{
	/* The reference narrows sub types to the 8 bits they have in the kernel's event. */
	uint8_t sub_type = (uint8_t)f->event_sub_type;
	struct str l7;
	const char *text;

	if (flow_is(f, FLOW_HAS_L7) && wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_L7, &l7)) {
		put_l7_type(b, l7);
		return;
	}
	switch (flow_is(f, FLOW_HAS_EVENT_TYPE) ? f->event_type : 0) {
	case EVENT_TRACE:
		text = trace_point_text(sub_type);
		if (text)
			buf_str_put(b, str_of(text));
		else
			buf_u64(b, sub_type);
		break;
	case EVENT_DROP:
		text = drop_reason_text(sub_type);
		if (text)
			buf_str_put(b, str_of(text));
		else
			buf_printf(b, "%u, 0", sub_type);
		break;
	case EVENT_POLICY_VERDICT:
		buf_lit(b, "policy-verdict:");
		buf_str_put(b, str_of(policy_match_text(f->policy_match_type)));
		buf_char(b, ' ');
		enum_put(b, &flow__traffic_direction__descriptor,
			 flow_enum(f, FLOW_FIELD_TRAFFIC_DIRECTION, f->direction));
		break;
	case EVENT_CAPTURE:
		enum_put(b, &flow__debug_capture_point__descriptor,
			 flow_enum(f, FLOW_FIELD_DEBUG_CAPTURE_POINT, f->capture_point));
		break;
	case EVENT_TRACE_SOCK:
		put_sock_type(b, flow_enum(f, FLOW_FIELD_SOCK_XLATE_POINT, f->sock_point));
		break;
	default:
		buf_lit(b, "UNKNOWN");
	}
}

/* --- verdict and summary ------------------------------------------------------------ */

/* Evaluated by Tycho, not told by whoever decided: the policy carries a label that says so. */
static bool is_derived(struct str policy)
{
	struct wire_reader r = wire_reader_of(policy);
	struct wire_field wf;

	while (wire_next(&r, &wf))
		if (wf.number == POLICY_LABELS && str_is(wf.bytes, FLOW_POLICY_DERIVED_LABEL))
			return true;
	return false;
}

/* " BY name (Kind), name (Kind)" of one of the policy lists; what lacks either is left out, and with
 * @derived_only what others told. */
static void put_policies(struct buf *b, const struct flow *f, uint32_t field, bool derived_only)
{
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	struct wire_field wf;
	bool any = false, derived = false;

	while (wire_next(&r, &wf)) {
		struct str name = STR(""), kind = STR("");
		if (wf.number != field || wf.type != WIRE_LEN)
			continue;
		(void)wire_find(wf.bytes, POLICY_NAME, &name);
		(void)wire_find(wf.bytes, POLICY_KIND, &kind);
		bool is_ours = is_derived(wf.bytes);
		if (!name.len || !kind.len || (derived_only && !is_ours))
			continue;
		buf_str_put(b, any ? STR(", ") : STR(" BY "));
		any = true;
		buf_str_put(b, name);
		buf_lit(b, " (");
		buf_str_put(b, kind);
		buf_char(b, ')');
		derived |= is_ours;
	}
	if (derived)
		buf_lit(b, " [derived]");
}

static void put_verdict(const struct flow_printer *p, struct buf *b, const struct flow *f,
			bool color)
{
	static const struct {
		enum print_color color;
		const char *policy;       /* what a policy verdict calls it, NULL as others do */
		uint32_t ingress, egress; /* fields of the policies behind it, 0 for none */
	} kinds[] = {
		[FLOW__VERDICT__FORWARDED] = { PRINT_COLOR_GREEN, "ALLOWED",
					       FLOW_FIELD_INGRESS_ALLOWED_BY,
					       FLOW_FIELD_EGRESS_ALLOWED_BY },
		[FLOW__VERDICT__REDIRECTED] = { PRINT_COLOR_GREEN, "ALLOWED",
						FLOW_FIELD_INGRESS_ALLOWED_BY,
						FLOW_FIELD_EGRESS_ALLOWED_BY },
		[FLOW__VERDICT__DROPPED] = { PRINT_COLOR_RED, "DENIED",
					     FLOW_FIELD_INGRESS_DENIED_BY,
					     FLOW_FIELD_EGRESS_DENIED_BY },
		[FLOW__VERDICT__ERROR] = { PRINT_COLOR_RED, "DENIED", FLOW_FIELD_INGRESS_DENIED_BY,
					   FLOW_FIELD_EGRESS_DENIED_BY },
		[FLOW__VERDICT__AUDIT] = { PRINT_COLOR_YELLOW, "AUDITED", 0, 0 },
		[FLOW__VERDICT__TRACED] = { PRINT_COLOR_YELLOW, NULL, 0, 0 },
		[FLOW__VERDICT__TRANSLATED] = { PRINT_COLOR_YELLOW, NULL, 0, 0 },
	};
	size_t kind = f->verdict < ARRAY_LEN(kinds) ? f->verdict : 0;
	bool by_policy = flow_is(f, FLOW_HAS_EVENT_TYPE) && f->event_type == EVENT_POLICY_VERDICT;

	print_color_begin(b, color, kinds[kind].color);
	if (by_policy && kinds[kind].policy)
		buf_str_put(b, str_of(kinds[kind].policy));
	else
		enum_put(b, &flow__verdict__descriptor,
			 flow_enum(f, FLOW_FIELD_VERDICT, f->verdict));
	bool named = p->options.policy_names && flow_is(f, FLOW_HAS_POLICIES);
	if (named && flow_is(f, FLOW_HAS_EVENT_TYPE) && f->event_type == EVENT_DROP) {
		/* Hubble names none in drops, whatever the flow says */
		put_policies(b, f, FLOW_FIELD_EGRESS_DENIED_BY, true);
		put_policies(b, f, FLOW_FIELD_INGRESS_DENIED_BY, true);
	}
	if (named && by_policy) {
		uint32_t field =
			f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS  ? kinds[kind].ingress
			: f->direction == FLOW__TRAFFIC_DIRECTION__EGRESS ? kinds[kind].egress
									  : 0;
		if (field)
			put_policies(b, f, field, false);
	}
	print_color_end(b, color, kinds[kind].color);
}

static void put_summary(const struct flow_printer *p, struct buf *b, const struct flow *f,
			bool color)
{
	enum print_color auth_color = f->auth_type == FLOW__AUTH_TYPE__TEST_ALWAYS_FAIL
					      ? PRINT_COLOR_RED
					      : PRINT_COLOR_GREEN;

	if (flow_is(f, FLOW_HAS_IP_TRACE_ID) && f->ip_trace_id) {
		buf_lit(b, "IP Trace ID: ");
		buf_u64(b, f->ip_trace_id);
		buf_lit(b, "; ");
	}
	flow_summary_put(b, f, p->options.dict);
	if (f->auth_type != FLOW__AUTH_TYPE__DISABLED) {
		buf_lit(b, "; Auth: ");
		print_color_begin(b, color, auth_color);
		enum_put(b, &flow__auth_type__descriptor,
			 flow_enum(f, FLOW_FIELD_AUTH_TYPE, f->auth_type));
		print_color_end(b, color, auth_color);
	}
}

/* --- the three forms ---------------------------------------------------------------- */

static void put_flow_time(const struct flow_printer *p, struct buf *b, const struct flow *f)
{
	struct timestamp t;

	print_time(p, b, flow_time(f, &t) ? &t : NULL);
}

static void put_node(const struct flow_printer *p, struct buf *b, const struct flow *f)
{
	const struct node *node = flow_dict_get_node(p->options.dict, f->node);

	if (node)
		buf_str_put(b, node->name);
}

static void put_compact(const struct flow_printer *p, struct buf *b, const struct flow *f)
{
	bool color = p->options.color, swapped = f->is_reply == FLOW_REPLY_TRUE;
	struct side left = side_of(p, f, swapped ? FLOW_DST : FLOW_SRC);
	struct side right = side_of(p, f, swapped ? FLOW_SRC : FLOW_DST);
	static const char arrows[][5] = {
		[FLOW_REPLY_ABSENT] = " <> ",
		[FLOW_REPLY_FALSE] = " -> ",
		[FLOW_REPLY_TRUE] = " <- ",
	};

	put_flow_time(p, b, f);
	if (p->options.node_name) {
		buf_lit(b, " [");
		put_node(p, b, f);
		buf_char(b, ']');
	}
	buf_lit(b, ": ");
	put_host(p, b, f, &left, color);
	buf_char(b, ' ');
	put_identity(b, &left, color);
	buf_put(b, arrows[f->is_reply], 4);
	put_host(p, b, f, &right, color);
	buf_char(b, ' ');
	put_identity(b, &right, color);
	buf_char(b, ' ');
	put_type(b, f);
	buf_char(b, ' ');
	put_verdict(p, b, f, color);
	buf_lit(b, " (");
	put_summary(p, b, f, color);
	buf_lit(b, ")\n");
}

static void put_dict(struct flow_printer *p, struct buf *b, const struct flow *f)
{
	bool color = p->options.color;
	struct side source = side_of(p, f, FLOW_SRC), destination = side_of(p, f, FLOW_DST);

	print_dict_begin(p, b, false);
	buf_lit(b, "  TIMESTAMP: ");
	put_flow_time(p, b, f);
	if (p->options.node_name) {
		buf_lit(b, "\n       NODE: ");
		put_node(p, b, f);
	}
	buf_lit(b, "\n     SOURCE: ");
	put_host(p, b, f, &source, color);
	buf_lit(b, "\nDESTINATION: ");
	put_host(p, b, f, &destination, color);
	buf_lit(b, "\n       TYPE: ");
	put_type(b, f);
	buf_lit(b, "\n    VERDICT: ");
	put_verdict(p, b, f, color);
	buf_lit(b, "\n    SUMMARY: ");
	put_summary(p, b, f, color);
	buf_char(b, '\n');
}

static void put_row(struct flow_printer *p, struct buf *b, const struct flow *f)
{
	struct side source = side_of(p, f, FLOW_SRC), destination = side_of(p, f, FLOW_DST);

	print_table_header(p, "TIMESTAMP", "SOURCE\tDESTINATION\tTYPE\tVERDICT\tSUMMARY");
	put_flow_time(p, b, f);
	buf_char(b, '\t');
	if (p->options.node_name) {
		put_node(p, b, f);
		buf_char(b, '\t');
	}
	put_host(p, b, f, &source, false);
	buf_char(b, '\t');
	put_host(p, b, f, &destination, false);
	buf_char(b, '\t');
	put_type(b, f);
	buf_char(b, '\t');
	put_verdict(p, b, f, false);
	buf_char(b, '\t');
	put_summary(p, b, f, false);
	buf_char(b, '\n');
}

void print_flow(struct flow_printer *p, const struct flow *f)
{
	struct buf *b = print_output(p);
	size_t from = b->len;

	switch (p->options.format) {
	case FLOW_FORMAT_COMPACT:
		put_compact(p, b, f);
		break;
	case FLOW_FORMAT_DICT:
		put_dict(p, b, f);
		break;
	case FLOW_FORMAT_TABLE:
		put_row(p, b, f);
		break;
	case FLOW_FORMAT_JSON:
	case FLOW_FORMAT_JSON_LEGACY:
		break; /* goes from wire bytes to JSON without a flow record */
	}
	print_escape(p, b, from);
}
