#include "observer/metrics/context.h"

#include <sys/random.h>

#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

enum { NEED_ENDPOINTS = 1, NEED_SRC_IP = 2, NEED_DST_IP = 4, NEED_NAMES = 8, NEED_DIRECTION = 16 };

/* Upper bits of a key's first word. */
enum {
	KEY_DIRECTION_SHIFT = 62,
	KEY_SRC_ODD = 61,
	KEY_DST_ODD = 60,
	KEY_SRC_IP = 59,
	KEY_DST_IP = 58,
};

static const char *const context_names[] = {
	[CONTEXT_IDENTITY] = "identity",
	[CONTEXT_NAMESPACE] = "namespace",
	[CONTEXT_POD] = "pod",
	[CONTEXT_POD_NAME] = "pod-name",
	[CONTEXT_DNS] = "dns",
	[CONTEXT_IP] = "ip",
	[CONTEXT_RESERVED_IDENTITY] = "reserved-identity",
	[CONTEXT_WORKLOAD] = "workload",
	[CONTEXT_WORKLOAD_NAME] = "workload-name",
	[CONTEXT_APP] = "app",
};
_Static_assert(ARRAY_LEN(context_names) == CONTEXT_COUNT_, "a context without a name");

static const char *const label_names[] = {
	"source_ip",
	"source_pod",
	"source_namespace",
	"source_workload",
	"source_workload_kind",
	"source_app",
	"destination_ip",
	"destination_pod",
	"destination_namespace",
	"destination_workload",
	"destination_workload_kind",
	"destination_app",
	"traffic_direction",
};
_Static_assert(ARRAY_LEN(label_names) == CONTEXT_LABELS, "a label without a name");

/* --- texts -------------------------------------------------------------------------------- */

enum err_code texts_init(struct texts *t, struct err *e)
{
	uint64_t seed;

	*t = (struct texts){ .next = 1, .scratch = buf_init(CONTEXT_TEXT_BYTES) };
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	return map_new(TEXTS_MAX, seed, &t->map, e);
}

void texts_done(struct texts *t)
{
	map_free(t->map);
	buf_done(&t->scratch);
}

static bool put_text(struct texts *t, struct str s)
{
	if (t->bytes + s.len > TEXTS_BYTES || map_put(t->map, s, t->next, NULL, NULL) != ERR_OK)
		return false;
	t->bytes += s.len;
	return true;
}

static void forget_texts(struct texts *t)
{
	map_reset(t->map);
	t->bytes = 0;
}

uint32_t texts_id(struct texts *t, struct str s)
{
	uint32_t id;

	if (map_get(t->map, s, &id))
		return id;
	if (t->next == UINT32_MAX) {
		forget_texts(t);
		t->next = 1;
		t->generation++;
	}
	if (put_text(t, s))
		return t->next++;
	forget_texts(t); /* full: those in use come again */
	return put_text(t, s) ? t->next++ : 0;
}

/* --- options ------------------------------------------------------------------------------ */

static enum err_code read_list(const struct metric_option *o, struct context_list *ret,
			       struct err *e)
{
	struct context_list list = { .count = 0 };

	for (size_t i = 0; i < o->value_count; i++) {
		uint8_t id = 0;
		while (id < CONTEXT_COUNT_ &&
		       !str_eq_nocase(o->values[i], str_of(context_names[id])))
			id++;
		if (id == CONTEXT_COUNT_)
			return err_set(e, ERR_INVALID, "unknown context '%s'",
				       EXCERPT(o->values[i]));
		if (!memchr(list.ids, id, list.count))
			list.ids[list.count++] = id;
	}
	*ret = list;
	return ERR_OK;
}

static enum err_code read_labels(const struct metric_option *o, uint16_t *ret, struct err *e)
{
	uint16_t labels = 0;

	for (size_t i = 0; i < o->value_count; i++) {
		size_t at = 0;
		while (at < CONTEXT_LABELS && !str_is(o->values[i], label_names[at]))
			at++;
		if (at == CONTEXT_LABELS)
			return err_set(e, ERR_INVALID, "invalid labelsContext value: %s",
				       EXCERPT(o->values[i]));
		labels |= (uint16_t)(1u << at);
	}
	*ret = labels;
	return ERR_OK;
}

static uint8_t needs_of_list(const struct context_list *l, size_t side)
{
	uint8_t needs = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->ids[i] == CONTEXT_IP)
			needs |= side == FLOW_SRC ? NEED_SRC_IP : NEED_DST_IP;
		else
			needs |= l->ids[i] == CONTEXT_DNS ? NEED_NAMES : NEED_ENDPOINTS;
	return needs;
}

static void find_needs(struct contexts *c)
{
	for (size_t side = 0; side < 2; side++) {
		c->needs |= needs_of_list(&c->plain[side], side) |
			    needs_of_list(&c->egress[side], side) |
			    needs_of_list(&c->ingress[side], side);
		c->has_side[side] =
			c->plain[side].count || c->egress[side].count || c->ingress[side].count;
		if (c->egress[side].count || c->ingress[side].count)
			c->needs |= NEED_DIRECTION;
		/* unlike the lists, labels are of the side that their names say after the swap */
		size_t named = side ^ c->swapped;
		uint16_t mine = (uint16_t)(c->labels >> (named * LABEL_COUNT_)) &
				((1u << LABEL_COUNT_) - 1);
		if (mine & (1u << LABEL_IP))
			c->needs |= side == FLOW_SRC ? NEED_SRC_IP : NEED_DST_IP;
		if (mine & ~(1u << LABEL_IP))
			c->needs |= NEED_ENDPOINTS;
	}
	if (c->labels & (1u << LABEL_DIRECTION))
		c->needs |= NEED_DIRECTION;
	c->words = 1;
	c->words += !!(c->needs & NEED_ENDPOINTS) + !!(c->needs & NEED_NAMES);
	c->words += (c->needs & NEED_SRC_IP ? 2 : 0) + (c->needs & NEED_DST_IP ? 2 : 0);
}

static const char *const list_names[] = {
	"sourceContext",        "destinationContext",
	"sourceEgressContext",  "destinationEgressContext",
	"sourceIngressContext", "destinationIngressContext",
};
static const char labels_name[] = "labelsContext";

bool contexts_option_is_known(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(list_names); i++)
		if (str_eq_nocase(name, str_of(list_names[i])))
			return true;
	return str_eq_nocase(name, str_of(labels_name));
}

enum err_code contexts_read(const struct metric_config *m, bool swapped, struct contexts *ret,
			    struct err *e)
{
	struct contexts c = { .swapped = swapped };
	struct context_list *const lists[] = {
		&c.plain[FLOW_SRC],  &c.plain[FLOW_DST],   &c.egress[FLOW_SRC],
		&c.egress[FLOW_DST], &c.ingress[FLOW_SRC], &c.ingress[FLOW_DST],
	};
	_Static_assert(ARRAY_LEN(lists) == ARRAY_LEN(list_names), "a list without a name");

	for (size_t i = 0; i < m->option_count; i++) {
		const struct metric_option *o = &m->options[i];
		enum err_code code = ERR_OK;
		for (size_t j = 0; j < ARRAY_LEN(lists); j++)
			if (str_eq_nocase(o->name, str_of(list_names[j])))
				code = read_list(o, lists[j], e);
		if (str_eq_nocase(o->name, str_of(labels_name)))
			code = read_labels(o, &c.labels, e);
		if (code != ERR_OK)
			return code;
	}
	find_needs(&c);
	*ret = c;
	return ERR_OK;
}

size_t contexts_labels(const struct contexts *c, struct metric_label *labels)
{
	size_t n = 0;

	for (size_t i = 0; i < CONTEXT_LABELS; i++)
		if (c->labels & (1u << i))
			labels[n++] = (struct metric_label){ label_names[i], i != LABEL_DIRECTION };
	if (c->has_side[FLOW_SRC])
		labels[n++] = (struct metric_label){ "source", true };
	if (c->has_side[FLOW_DST])
		labels[n++] = (struct metric_label){ "destination", true };
	return n;
}

/* --- keys --------------------------------------------------------------------------------- */

/* By flow.TrafficDirection; one that a newer server knows is told by its number. */
static const char *const directions[] = {
	[FLOW__TRAFFIC_DIRECTION__TRAFFIC_DIRECTION_UNKNOWN] = "unknown",
	[FLOW__TRAFFIC_DIRECTION__INGRESS] = "ingress",
	[FLOW__TRAFFIC_DIRECTION__EGRESS] = "egress",
};

static void put_direction(struct page_value *v, const struct flow *f)
{
	char bytes[16];
	struct buf number = buf_fixed(bytes, sizeof bytes);

	if (f->direction < ARRAY_LEN(directions)) {
		page_value_put(v, str_of(directions[f->direction]));
		return;
	}
	buf_i64(&number, flow_enum(f, FLOW_FIELD_TRAFFIC_DIRECTION, f->direction));
	page_value_put(v, buf_str(&number));
}

/* The text of source_names or destination_names, comma-joined. */
static void put_names(struct page_value *v, const struct flow *f, size_t side)
{
	uint32_t field = side == FLOW_SRC ? FLOW_FIELD_SOURCE_NAMES : FLOW_FIELD_DESTINATION_NAMES;
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	bool first = true;

	if (!flow_is(f, FLOW_HAS_NAMES))
		return;
	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.number != field || x.type != WIRE_LEN)
			continue;
		if (!first)
			page_value_put(v, STR(","));
		page_value_put(v, x.bytes);
		first = false;
	}
}

static uint32_t names_id(struct texts *t, const struct flow *f, size_t side)
{
	buf_reset(&t->scratch);
	struct page_value v = page_value_begin(&t->scratch);
	put_names(&v, f, side);
	(void)page_value_end(&v);
	return texts_id(t, buf_str(&t->scratch));
}

static size_t ip_key(const struct flow *f, enum flow_side side, struct texts *t, uint64_t *key,
		     size_t at)
{
	const uint8_t *ip = side == FLOW_SRC ? f->src_ip : f->dst_ip;

	if (flow_is(f, FLOW_ODD_IP)) {
		char tmp[FLOW_IP_TEXT_BYTES];
		key[0] |= UINT64_C(1) << (side == FLOW_SRC ? KEY_SRC_ODD : KEY_DST_ODD);
		key[at] = texts_id(t, flow_ip_text(f, side, tmp));
		key[at + 1] = 0;
		return at + 2;
	}
	if (flow_is(f, side == FLOW_SRC ? FLOW_HAS_SRC_IP : FLOW_HAS_DST_IP))
		key[0] |= UINT64_C(1) << (side == FLOW_SRC ? KEY_SRC_IP : KEY_DST_IP);
	memcpy(&key[at], ip, 16);
	return at + 2;
}

bool contexts_key_slow_(const struct contexts *c, const struct flow *f, struct texts *texts,
			uint64_t *key)
{
	size_t at = 1;

	if (c->needs & NEED_DIRECTION) {
		if (f->direction >= ARRAY_LEN(directions))
			return false;
		key[0] |= (uint64_t)f->direction << KEY_DIRECTION_SHIFT;
	}
	if (c->needs & NEED_ENDPOINTS)
		key[at++] = (uint64_t)f->src_ep.v << 32 | f->dst_ep.v;
	if (c->needs & NEED_SRC_IP)
		at = ip_key(f, FLOW_SRC, texts, key, at);
	if (c->needs & NEED_DST_IP)
		at = ip_key(f, FLOW_DST, texts, key, at);
	if (c->needs & NEED_NAMES) {
		uint32_t src = names_id(texts, f, FLOW_SRC), dst = names_id(texts, f, FLOW_DST);
		key[at++] = (uint64_t)src << 32 | dst;
	}
	return true;
}

/* --- values ------------------------------------------------------------------------------- */

static const struct endpoint nobody = { .cluster = STR(""), .namespace_ = STR(""), .pod = STR("") };

static const struct endpoint *endpoint_of(const struct flow_dict *dict, const struct flow *f,
					  size_t side)
{
	const struct endpoint *ep =
		flow_dict_get_endpoint(dict, side == FLOW_SRC ? f->src_ep : f->dst_ep);

	return ep ? ep : &nobody;
}

/* What was appended to @b since @from. The text may move while it grows: offsets are kept, and made
 * texts at the end. */
struct piece {
	size_t from, len;
};

static void put_path(struct page_value *v, struct str ns, struct str name)
{
	if (ns.len) {
		page_value_put(v, ns);
		page_value_put(v, STR("/"));
	}
	page_value_put(v, name);
}

static void put_labels(struct page_value *v, const struct endpoint *ep)
{
	for (size_t i = 0; i < ep->label_count; i++) {
		if (i)
			page_value_put(v, STR(","));
		page_value_put(v, ep->labels[i]);
	}
}

static struct str reserved_of(const struct endpoint *ep)
{
	struct str first = STR("");

	for (size_t i = 0; i < ep->label_count; i++) {
		if (str_is(ep->labels[i], "reserved:kube-apiserver"))
			return ep->labels[i];
		if (!first.len && str_has_prefix(ep->labels[i], STR("reserved:")))
			first = ep->labels[i];
	}
	return first;
}

static struct str app_of(const struct endpoint *ep)
{
	static const char *const keys[] = { "k8s:app.kubernetes.io/name=", "k8s:k8s-app=",
					    "k8s:app=" };

	for (size_t i = 0; i < ep->label_count; i++)
		for (size_t j = 0; j < ARRAY_LEN(keys); j++)
			if (str_has_prefix(ep->labels[i], str_of(keys[j])) &&
			    ep->labels[i].len > strlen(keys[j]))
				return str_from(ep->labels[i], strlen(keys[j]));
	return STR("");
}

static struct str workload_name(const struct endpoint *ep)
{
	return ep->workload_count ? ep->workloads[0].name : STR("");
}

static void put_context(struct page_value *v, enum context_id id, const struct flow *f, size_t side,
			const struct endpoint *ep)
{
	char tmp[FLOW_IP_TEXT_BYTES];

	switch (id) {
	case CONTEXT_IDENTITY:
		put_labels(v, ep);
		break;
	case CONTEXT_NAMESPACE:
		page_value_put(v, ep->namespace_);
		break;
	case CONTEXT_POD:
		put_path(v, ep->namespace_, ep->pod);
		break;
	case CONTEXT_POD_NAME:
		page_value_put(v, ep->pod);
		break;
	case CONTEXT_DNS:
		put_names(v, f, side);
		break;
	case CONTEXT_IP:
		page_value_put(v, flow_ip_text(f, (enum flow_side)side, tmp));
		break;
	case CONTEXT_RESERVED_IDENTITY:
		page_value_put(v, reserved_of(ep));
		break;
	case CONTEXT_WORKLOAD:
		if (workload_name(ep).len) /* a namespace alone would be a value */
			put_path(v, ep->namespace_, workload_name(ep));
		break;
	case CONTEXT_WORKLOAD_NAME:
		page_value_put(v, workload_name(ep));
		break;
	default:
		page_value_put(v, app_of(ep));
		break;
	}
}

static void put_label(struct page_value *v, enum context_label label, const struct flow *f,
		      size_t side, const struct endpoint *ep)
{
	switch (label) {
	case LABEL_IP:
		put_context(v, CONTEXT_IP, f, side, ep);
		break;
	case LABEL_POD:
		page_value_put(v, ep->pod);
		break;
	case LABEL_NAMESPACE:
		page_value_put(v, ep->namespace_);
		break;
	case LABEL_WORKLOAD:
		page_value_put(v, workload_name(ep));
		break;
	case LABEL_WORKLOAD_KIND:
		page_value_put(v, ep->workload_count ? ep->workloads[0].kind : STR(""));
		break;
	default:
		page_value_put(v, app_of(ep));
		break;
	}
}

static const struct context_list *list_for(const struct contexts *c, const struct flow *f,
					   size_t side)
{
	if (f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS && c->ingress[side].count)
		return &c->ingress[side];
	if (f->direction == FLOW__TRAFFIC_DIRECTION__EGRESS && c->egress[side].count)
		return &c->egress[side];
	return &c->plain[side];
}

size_t contexts_values(const struct contexts *c, const struct flow *f, const struct flow_dict *dict,
		       struct buf *text, struct str *values)
{
	struct piece pieces[CONTEXT_LABELS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < CONTEXT_LABELS; i++) {
		if (!(c->labels & (1u << i)))
			continue;
		size_t side = (i / LABEL_COUNT_) ^ (c->swapped && i < LABEL_DIRECTION);
		struct page_value v = page_value_begin(text);
		if (i == LABEL_DIRECTION)
			put_direction(&v, f);
		else
			put_label(&v, (enum context_label)(i % LABEL_COUNT_), f, side,
				  endpoint_of(dict, f, side));
		pieces[n++] = (struct piece){ v.from, page_value_end(&v) };
	}
	for (size_t i = 0; i < 2; i++) {
		if (!c->has_side[i])
			continue;
		/* httpV2 swaps the finished values, so that a label may be without a list */
		size_t side = i ^ c->swapped;
		const struct context_list *list = list_for(c, f, side);
		struct page_value v = page_value_begin(text);
		for (size_t j = 0; j < list->count && text->len == v.from; j++)
			put_context(&v, (enum context_id)list->ids[j], f, side,
				    endpoint_of(dict, f, side));
		pieces[n++] = (struct piece){ v.from, page_value_end(&v) };
	}
	for (size_t i = 0; i < n; i++)
		values[i] = text->failed ? STR("") : str_n(text->p + pieces[i].from, pieces[i].len);
	return n;
}

/* --- pods that are gone ------------------------------------------------------------------- */

static bool lists_pods(const struct contexts *c, size_t side)
{
	const struct context_list *lists[] = { &c->plain[side], &c->egress[side],
					       &c->ingress[side] };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (memchr(lists[i]->ids, CONTEXT_POD, lists[i]->count))
			return true;
	return false;
}

/* Where a label of labelsContext stands among the labels. */
static size_t label_at(const struct contexts *c, size_t label)
{
	return (size_t)__builtin_popcount(c->labels & ((1u << label) - 1));
}

size_t contexts_remove_pod(const struct contexts *c, struct metric_family *family,
			   struct str namespace_, struct str pod)
{
	char path[PAGE_VALUE_BYTES];
	struct buf text = buf_fixed(path, sizeof path);
	struct page_value v = page_value_begin(&text);
	size_t removed = 0, at = (size_t)__builtin_popcount(c->labels);

	put_path(&v, namespace_, pod);
	(void)page_value_end(&v);
	for (size_t side = 0; side < 2; side++) {
		size_t first = side * LABEL_COUNT_;
		if (c->has_side[side]) {
			struct metric_match match = { at++, buf_str(&text) };
			if (lists_pods(c, side ^ c->swapped))
				removed += metric_series_remove(family, &match, 1);
		}
		if (!(c->labels & (1u << (first + LABEL_POD))) ||
		    !(c->labels & (1u << (first + LABEL_NAMESPACE))))
			continue;
		const struct metric_match match[] = {
			{ label_at(c, first + LABEL_POD), pod },
			{ label_at(c, first + LABEL_NAMESPACE), namespace_ },
		};
		removed += metric_series_remove(family, match, 2);
	}
	return removed;
}
