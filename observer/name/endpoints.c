#include "observer/name/endpoints.h"

#include <stdarg.h>
#include <stdio.h>

#include <yaml.h>

#include "base/buf.h"
#include "base/map.h"

/* Texts that outlive the YAML document, in blocks that never move. */
struct block {
	struct block *next;
	size_t used, size; /* bytes */
	char bytes[];
};

enum { BLOCK_BYTES = 65536, LIST_FIRST = 64, KEPT_MAX = 2 * ENDPOINTS_TEXT_MAX };

struct endpoints {
	struct name_prefix *prefixes;
	size_t prefix_count, prefix_room;
	struct name_service *services;
	size_t service_count, service_room;
	struct block *blocks;
	size_t kept; /* bytes in blocks */
};

/* One reading. */
struct reader {
	struct endpoints *to;
	yaml_document_t *doc;
	struct map *addresses, *service_addresses; /* prefix or service to the line that has it */
	struct err *e;
};

void endpoints_free(struct endpoints *ep)
{
	if (!ep)
		return;
	while (ep->blocks) {
		struct block *next = ep->blocks->next;
		free(ep->blocks);
		ep->blocks = next;
	}
	free(ep->prefixes);
	free(ep->services);
	free(ep);
}

struct name_view endpoints_view(const struct endpoints *ep)
{
	return (struct name_view){ .prefixes = ep->prefixes,
				   .prefix_count = ep->prefix_count,
				   .services = ep->services,
				   .service_count = ep->service_count };
}

/* --- memory and errors -------------------------------------------------------------------- */

static enum err_code no_memory(const struct reader *r)
{
	if (r->to->kept > KEPT_MAX)
		return err_set(r->e, ERR_INVALID,
			       "more than %d bytes of text when its aliases are followed",
			       KEPT_MAX);
	return err_set(r->e, ERR_NOMEM, "endpoint file");
}

/* NULL: no memory, or more than KEPT_MAX. */
static void *keep(struct endpoints *ep, size_t bytes)
{
	struct block *b = ep->blocks;

	bytes = (bytes + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
	ep->kept += bytes;
	if (ep->kept > KEPT_MAX)
		return NULL;
	if (!b || b->size - b->used < bytes) {
		size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
		b = malloc(sizeof *b + size);
		if (!b)
			return NULL;
		*b = (struct block){ .next = ep->blocks, .size = size };
		ep->blocks = b;
	}
	void *at = b->bytes + b->used;
	b->used += bytes;
	return at;
}

/* The texts one after the other. */
static enum err_code keep_joined(struct reader *r, struct str a, struct str b, struct str c,
				 struct str *ret)
{
	char *to = keep(r->to, a.len + b.len + c.len + 1);

	if (!to)
		return no_memory(r);
	memcpy(to, a.p, a.len);
	memcpy(to + a.len, b.p, b.len);
	memcpy(to + a.len + b.len, c.p, c.len);
	*ret = str_n(to, a.len + b.len + c.len);
	return ERR_OK;
}

/* Room for one more entry of @size bytes; false when there are too many or no memory. */
static bool grow(void **list, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return true;
	size_t more = *room ? *room * 2 : LIST_FIRST;
	void *p = realloc(*list, more * size);
	if (!p)
		return false;
	*list = p;
	*room = more;
	return true;
}

static enum err_code bad(const struct reader *r, const yaml_node_t *at, const char *fmt, ...)
	FORMAT(3, 4);
static enum err_code bad(const struct reader *r, const yaml_node_t *at, const char *fmt, ...)
{
	char what[300];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof what, fmt, args);
	va_end(args);
	return err_set(r->e, ERR_PARSE, "line %zu, column %zu: %s", at->start_mark.line + 1,
		       at->start_mark.column + 1, what);
}

static enum err_code too_many(const struct reader *r, const yaml_node_t *at, int max,
			      const char *what)
{
	return err_set(r->e, ERR_INVALID, "line %zu, column %zu: more than %d %s",
		       at->start_mark.line + 1, at->start_mark.column + 1, max, what);
}

/* --- YAML nodes --------------------------------------------------------------------------- */

static yaml_node_t *node(const struct reader *r, int id)
{
	return yaml_document_get_node(r->doc, id);
}

static struct str scalar(const yaml_node_t *n)
{
	return str_n(n->data.scalar.value, n->data.scalar.length);
}

/* As much of foreign text as a sentence can bear. */
#define QUOTED(s) (int)((s).len < 60 ? (s).len : 60), (s).p

static enum err_code text_of(const struct reader *r, const yaml_node_t *n, const char *what,
			     struct str *ret)
{
	if (n->type != YAML_SCALAR_NODE)
		return bad(r, n, "%s is one text, not a list or mapping", what);
	struct str s = scalar(n);
	if (!s.len)
		return bad(r, n, "%s is empty", what);
	*ret = s;
	return ERR_OK;
}

static enum err_code kept_text_of(struct reader *r, const yaml_node_t *n, const char *what,
				  struct str *ret)
{
	struct str s;
	enum err_code code = text_of(r, n, what, &s);

	return code == ERR_OK ? keep_joined(r, s, STR(""), STR(""), ret) : code;
}

static size_t sequence_length(const yaml_node_t *n)
{
	return (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
}

static size_t pair_count(const yaml_node_t *n)
{
	return (size_t)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
}

/* A mapping's values by key: @ret[i] is the value of @keys[i] or NULL. Other keys, and keys given
 * twice, are errors. */
static enum err_code take_mapping(const struct reader *r, yaml_node_t *n, const char *what,
				  const char *const *keys, size_t key_count, yaml_node_t **ret)
{
	if (n->type != YAML_MAPPING_NODE)
		return bad(r, n, "%s is a mapping with keys like '%s'", what, keys[0]);
	memset(ret, 0, key_count * sizeof *ret);
	for (size_t i = 0; i < pair_count(n); i++) {
		const yaml_node_pair_t *pair = &n->data.mapping.pairs.start[i];
		const yaml_node_t *key = node(r, pair->key);
		size_t k = 0;
		if (key->type != YAML_SCALAR_NODE)
			return bad(r, key, "a key of %s is not a text", what);
		while (k < key_count && !str_is(scalar(key), keys[k]))
			k++;
		if (k == key_count)
			return bad(r, key, "%s has no key '%.*s'", what, QUOTED(scalar(key)));
		if (ret[k])
			return bad(r, key, "'%s' is given twice", keys[k]);
		ret[k] = node(r, pair->value);
	}
	return ERR_OK;
}

/* An empty value ("endpoints:") is an empty list. */
static bool is_empty_value(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE &&
	       (!scalar(n).len || str_is(scalar(n), "~") || str_is(scalar(n), "null")) &&
	       n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* --- addresses ---------------------------------------------------------------------------- */

static enum err_code take_ip(const struct reader *r, const yaml_node_t *n, uint8_t ret[16])
{
	struct str s;
	enum err_code code = text_of(r, n, "an address", &s);

	if (code != ERR_OK)
		return code;
	if (!ip_parse(s, ret))
		return bad(r, n, "'%.*s' is no IP address", QUOTED(s));
	return ERR_OK;
}

static bool has_host_bits(const uint8_t ip[16], unsigned bits)
{
	for (unsigned i = bits; i < 128; i++)
		if (ip[i / 8] & (0x80 >> i % 8))
			return true;
	return false;
}

static enum err_code take_cidr(const struct reader *r, const yaml_node_t *n, uint8_t ret_ip[16],
			       uint8_t *ret_bits)
{
	struct str s;
	enum err_code code = text_of(r, n, "a prefix", &s);

	if (code != ERR_OK)
		return code;
	size_t slash = str_find(s, '/');
	uint8_t ip[16], bits;
	if (slash == s.len || !ip_parse(str_upto(s, slash), ip) ||
	    !parse_u8(str_from(s, slash + 1), &bits))
		return bad(r, n, "'%.*s' is no prefix like 10.0.2.0/24", QUOTED(s));
	bool v4 = str_find(str_upto(s, slash), ':') == slash;
	if (bits > (v4 ? 32 : 128))
		return bad(r, n, "'%.*s': a prefix of %s has at most %d bits", QUOTED(s),
			   v4 ? "IPv4" : "IPv6", v4 ? 32 : 128);
	bits = v4 ? (uint8_t)(bits + 96) : bits;
	if (has_host_bits(ip, bits))
		return bad(r, n, "'%.*s' has bits set beyond its length", QUOTED(s));
	memcpy(ret_ip, ip, 16);
	*ret_bits = bits;
	return ERR_OK;
}

/* Each address once, so that which of two entries counts is never in doubt. */
static enum err_code claim(const struct reader *r, struct map *lines, const uint8_t ip[16],
			   uint16_t number, const yaml_node_t *at)
{
	char key[18], tmp[FLOW_IP_TEXT_BYTES];
	uint32_t line;

	memcpy(key, ip, 16);
	memcpy(key + 16, &number, 2);
	if (map_get(lines, str_n(key, sizeof key), &line))
		return bad(r, at, "%.*s is given already in line %u", STR_FMT(ip_text(ip, tmp)),
			   line);
	if (map_count(lines) == ENDPOINTS_MAX)
		return too_many(r, at, ENDPOINTS_MAX,
				lines == r->addresses ? "addresses" : "services");
	return map_put(lines, str_n(key, sizeof key), (uint32_t)at->start_mark.line + 1, NULL,
		       r->e);
}

static enum err_code add_prefix(struct reader *r, const yaml_node_t *at, const uint8_t ip[16],
				uint8_t bits, const struct name_prefix *like)
{
	struct endpoints *to = r->to;
	enum err_code code = claim(r, r->addresses, ip, bits, at);

	if (code != ERR_OK)
		return code;
	void *list = to->prefixes;
	if (!grow(&list, to->prefix_count, &to->prefix_room, sizeof *to->prefixes))
		return no_memory(r);
	to->prefixes = list;
	struct name_prefix *p = &to->prefixes[to->prefix_count++];
	*p = *like;
	memcpy(p->ip, ip, 16);
	p->bits = bits;
	return ERR_OK;
}

static enum err_code add_ips(struct reader *r, const yaml_node_t *list,
			     const struct name_prefix *like)
{
	if (list->type != YAML_SEQUENCE_NODE || !sequence_length(list))
		return bad(r, list, "'ips' is a list of addresses");
	for (size_t i = 0; i < sequence_length(list); i++) {
		const yaml_node_t *n = node(r, list->data.sequence.items.start[i]);
		uint8_t ip[16];
		enum err_code code = take_ip(r, n, ip);
		if (code == ERR_OK)
			code = add_prefix(r, n, ip, 128, like);
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

/* --- endpoints ---------------------------------------------------------------------------- */

/* "k8s:app=cart"; a key without a source gets k8s:. Only a ':' before the '=' ends a source. */
static enum err_code keep_label(struct reader *r, struct str key, struct str value, bool has_value,
				struct str *ret)
{
	bool has_source = str_find(key, ':') < key.len;
	struct str rest = value;

	if (has_value) {
		enum err_code code = keep_joined(r, STR("="), value, STR(""), &rest);
		if (code != ERR_OK)
			return code;
	}
	return keep_joined(r, has_source ? STR("") : STR("k8s:"), key, rest, ret);
}

static enum err_code take_label_item(struct reader *r, const yaml_node_t *n, struct str *ret)
{
	struct str s;
	enum err_code code = text_of(r, n, "a label", &s);

	if (code != ERR_OK)
		return code;
	size_t equals = str_find(s, '=');
	if (!equals)
		return bad(r, n, "the label '%.*s' has no key", QUOTED(s));
	return keep_label(r, str_upto(s, equals), str_from(s, equals + 1), equals < s.len, ret);
}

static enum err_code take_label_pair(struct reader *r, const yaml_node_pair_t *pair,
				     struct str *ret)
{
	struct str key;
	const yaml_node_t *value = node(r, pair->value);
	enum err_code code = text_of(r, node(r, pair->key), "a label's key", &key);

	if (code != ERR_OK)
		return code;
	if (str_find(key, '=') < key.len)
		return bad(r, node(r, pair->key), "the label key '%.*s' holds a '='", QUOTED(key));
	if (value->type != YAML_SCALAR_NODE)
		return bad(r, value, "a label's value is one text");
	return keep_label(r, key, scalar(value), scalar(value).len > 0, ret);
}

static enum err_code take_labels(struct reader *r, const yaml_node_t *n, struct endpoint *ep)
{
	bool list = n->type == YAML_SEQUENCE_NODE;

	if (is_empty_value(n))
		return ERR_OK;
	if (!list && n->type != YAML_MAPPING_NODE)
		return bad(r, n, "'labels' is a list like [k8s:app=cart] or a mapping");
	size_t count = list ? sequence_length(n) : pair_count(n);
	if (count > ENDPOINTS_LABELS_MAX)
		return too_many(r, n, ENDPOINTS_LABELS_MAX, "labels");
	struct str *labels = keep(r->to, (count + 1) * sizeof *labels);
	if (!labels)
		return no_memory(r);
	for (size_t i = 0; i < count; i++) {
		enum err_code code =
			list ? take_label_item(r, node(r, n->data.sequence.items.start[i]),
					       &labels[i])
			     : take_label_pair(r, &n->data.mapping.pairs.start[i], &labels[i]);
		if (code != ERR_OK)
			return code;
	}
	ep->labels = labels;
	ep->label_count = count;
	return ERR_OK;
}

static enum err_code take_workload(struct reader *r, const yaml_node_t *n, struct endpoint *ep)
{
	struct str s;
	enum err_code code = kept_text_of(r, n, "'workload'", &s);

	if (code != ERR_OK)
		return code;
	size_t slash = str_find(s, '/');
	if (!slash || slash + 1 >= s.len)
		return bad(r, n, "'%.*s' is no workload like Deployment/cart", QUOTED(s));
	struct workload *w = keep(r->to, sizeof *w);
	if (!w)
		return no_memory(r);
	*w = (struct workload){ .name = str_from(s, slash + 1), .kind = str_upto(s, slash) };
	ep->workloads = w;
	ep->workload_count = 1;
	return ERR_OK;
}

static enum err_code take_identity(const struct reader *r, const yaml_node_t *n, uint32_t *ret)
{
	uint32_t identity;
	struct str s;
	enum err_code code = text_of(r, n, "'identity'", &s);

	if (code != ERR_OK)
		return code;
	if (!parse_u32(s, &identity) || !identity)
		return bad(r, n, "'%.*s' is no identity from 1 to 4294967295", QUOTED(s));
	*ret = identity;
	return ERR_OK;
}

static enum err_code take_local(const struct reader *r, const yaml_node_t *n, bool *ret)
{
	struct str s;
	enum err_code code = text_of(r, n, "'local'", &s);

	if (code == ERR_OK && !parse_bool(s, ret))
		return bad(r, n, "'local' is true or false, not '%.*s'", QUOTED(s));
	return code;
}

enum {
	EP_IP,
	EP_IPS,
	EP_CIDR,
	EP_NAMESPACE,
	EP_POD,
	EP_LABELS,
	EP_WORKLOAD,
	EP_IDENTITY,
	EP_LOCAL,
	EP_KEYS
};
static const char *const endpoint_keys[EP_KEYS] = {
	"ip", "ips", "cidr", "namespace", "pod", "labels", "workload", "identity", "local",
};

static enum err_code take_endpoint(struct reader *r, yaml_node_t *n)
{
	yaml_node_t *v[EP_KEYS];
	struct name_prefix p = { 0 };
	uint8_t ip[16], bits = 128;
	enum err_code code = take_mapping(r, n, "an endpoint", endpoint_keys, EP_KEYS, v);

	if (code == ERR_OK && !!v[EP_IP] + !!v[EP_IPS] + !!v[EP_CIDR] != 1)
		return bad(r, n, "an endpoint has one of 'ip', 'ips' and 'cidr'");
	if (code == ERR_OK && v[EP_NAMESPACE])
		code = kept_text_of(r, v[EP_NAMESPACE], "'namespace'", &p.endpoint.namespace_);
	if (code == ERR_OK && v[EP_POD])
		code = kept_text_of(r, v[EP_POD], "'pod'", &p.endpoint.pod);
	if (code == ERR_OK && v[EP_LABELS])
		code = take_labels(r, v[EP_LABELS], &p.endpoint);
	if (code == ERR_OK && v[EP_WORKLOAD])
		code = take_workload(r, v[EP_WORKLOAD], &p.endpoint);
	if (code == ERR_OK && v[EP_IDENTITY])
		code = take_identity(r, v[EP_IDENTITY], &p.endpoint.identity);
	if (code == ERR_OK && v[EP_LOCAL])
		code = take_local(r, v[EP_LOCAL], &p.local);
	if (code != ERR_OK)
		return code;
	if (v[EP_IPS])
		return add_ips(r, v[EP_IPS], &p);
	const yaml_node_t *at = v[EP_IP] ? v[EP_IP] : v[EP_CIDR];
	code = v[EP_IP] ? take_ip(r, at, ip) : take_cidr(r, at, ip, &bits);
	return code == ERR_OK ? add_prefix(r, at, ip, bits, &p) : code;
}

/* --- services ----------------------------------------------------------------------------- */

enum { SV_IP, SV_PORT, SV_NAME, SV_NAMESPACE, SV_KEYS };
static const char *const service_keys[SV_KEYS] = { "ip", "port", "name", "namespace" };

static enum err_code take_port(const struct reader *r, const yaml_node_t *n, uint16_t *ret)
{
	struct str s;
	enum err_code code = text_of(r, n, "'port'", &s);

	if (code != ERR_OK)
		return code;
	uint16_t port;
	if (!parse_u16(s, &port) || !port)
		return bad(r, n, "'%.*s' is no port from 1 to 65535", QUOTED(s));
	*ret = port;
	return ERR_OK;
}

static enum err_code take_service(struct reader *r, yaml_node_t *n)
{
	yaml_node_t *v[SV_KEYS];
	struct name_service s = { 0 };
	struct endpoints *to = r->to;
	enum err_code code = take_mapping(r, n, "a service", service_keys, SV_KEYS, v);

	if (code == ERR_OK && (!v[SV_IP] || !v[SV_NAME]))
		return bad(r, n, "a service has an 'ip' and a 'name'");
	if (code == ERR_OK)
		code = take_ip(r, v[SV_IP], s.ip);
	if (code == ERR_OK && v[SV_PORT])
		code = take_port(r, v[SV_PORT], &s.port);
	if (code == ERR_OK)
		code = kept_text_of(r, v[SV_NAME], "'name'", &s.service.name);
	if (code == ERR_OK && v[SV_NAMESPACE])
		code = kept_text_of(r, v[SV_NAMESPACE], "'namespace'", &s.service.namespace_);
	if (code == ERR_OK)
		code = claim(r, r->service_addresses, s.ip, s.port, v[SV_IP]);
	if (code != ERR_OK)
		return code;
	void *list = to->services;
	if (!grow(&list, to->service_count, &to->service_room, sizeof *to->services))
		return no_memory(r);
	to->services = list;
	to->services[to->service_count++] = s;
	return ERR_OK;
}

/* --- the file ----------------------------------------------------------------------------- */

static enum err_code take_list(struct reader *r, const yaml_node_t *n, const char *what,
			       enum err_code (*take)(struct reader *r, yaml_node_t *n))
{
	if (!n || is_empty_value(n))
		return ERR_OK;
	if (n->type != YAML_SEQUENCE_NODE)
		return bad(r, n, "'%s' is a list", what);
	for (size_t i = 0; i < sequence_length(n); i++) {
		enum err_code code = take(r, node(r, n->data.sequence.items.start[i]));
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

static enum err_code take_document(struct reader *r)
{
	static const char *const keys[] = { "endpoints", "services" };
	yaml_node_t *root = yaml_document_get_root_node(r->doc), *v[ARRAY_LEN(keys)];

	if (!root || is_empty_value(root))
		return ERR_OK;
	enum err_code code = take_mapping(r, root, "an endpoint file", keys, ARRAY_LEN(keys), v);
	if (code == ERR_OK)
		code = take_list(r, v[0], keys[0], take_endpoint);
	if (code == ERR_OK)
		code = take_list(r, v[1], keys[1], take_service);
	return code;
}

static enum err_code yaml_fault(const yaml_parser_t *p, struct err *e)
{
	if (p->error == YAML_MEMORY_ERROR)
		return err_set(e, ERR_NOMEM, "endpoint file");
	if (p->error == YAML_READER_ERROR)
		return err_set(e, ERR_PARSE, "byte %zu: %s", p->problem_offset,
			       p->problem ? p->problem : "bad text");
	return err_set(e, ERR_PARSE, "line %zu, column %zu: %s", p->problem_mark.line + 1,
		       p->problem_mark.column + 1, p->problem ? p->problem : "bad YAML");
}

/* @r->doc is loaded here and freed here; a second document in the stream is an error. */
static enum err_code take_stream(struct reader *r, yaml_parser_t *parser)
{
	yaml_document_t doc, second;

	if (!yaml_parser_load(parser, &doc))
		return yaml_fault(parser, r->e);
	r->doc = &doc;
	enum err_code code = take_document(r);
	if (code == ERR_OK && yaml_document_get_root_node(&doc)) {
		if (!yaml_parser_load(parser, &second)) {
			code = yaml_fault(parser, r->e);
		} else {
			const yaml_node_t *root = yaml_document_get_root_node(&second);
			if (root)
				code = bad(r, root, "a second YAML document: put all into one");
			yaml_document_delete(&second);
		}
	}
	yaml_document_delete(&doc);
	return code;
}

enum err_code endpoints_parse(struct str text, struct endpoints **ret, struct err *e)
{
	yaml_parser_t parser;
	AUTO(map_free) struct map *addresses = NULL;
	AUTO(map_free) struct map *services = NULL;
	AUTO(endpoints_free) struct endpoints *ep = calloc(1, sizeof *ep);

	if (!ep)
		return err_set(e, ERR_NOMEM, "endpoint file");
	if (text.len > ENDPOINTS_TEXT_MAX)
		return err_set(e, ERR_INVALID, "%zu bytes; at most %d", text.len,
			       ENDPOINTS_TEXT_MAX);
	enum err_code code = map_new(ENDPOINTS_MAX, 0, &addresses, e);
	if (code == ERR_OK)
		code = map_new(ENDPOINTS_MAX, 0, &services, e);
	if (code != ERR_OK)
		return code;
	if (!yaml_parser_initialize(&parser))
		return err_set(e, ERR_NOMEM, "endpoint file");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
	struct reader r = {
		.to = ep, .addresses = addresses, .service_addresses = services, .e = e
	};
	code = take_stream(&r, &parser);
	yaml_parser_delete(&parser);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(ep);
	return ERR_OK;
}
