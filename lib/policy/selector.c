/* Label selectors: read, made equal, matched. */
#include "policy/inside.h"

enum { SELECTOR_REQUIREMENTS_MAX = 256, SELECTOR_VALUES_MAX = 1024, LABEL_NAME_MAX = 63 };

uint32_t label_hash(struct str s)
{
	return (uint32_t)hash_bytes(s.p, s.len, 0);
}

struct label label_read(struct str text)
{
	size_t equals = str_find(text, '='), colon = str_find(str_upto(text, equals), ':');
	struct label l = { .source = STR("any"), .value = str_from(text, equals + 1) };

	l.key = str_upto(text, equals);
	if (colon < equals) {
		l.source = str_upto(l.key, colon);
		l.key = str_from(l.key, colon + 1);
	}
	l.key_hash = label_hash(l.key);
	l.value_hash = label_hash(l.value);
	return l;
}

bool policy_label_is_given(struct str key)
{
	return str_eq(key, KEY_NAMESPACE) || str_has_prefix(key, STR("io.cilium.k8s"));
}

bool policy_label_counts(struct str key)
{
	static const char *const counted[] = { "io.kubernetes.pod.namespace", "app.kubernetes.io" };
	static const char *const left_out[] = { "io.kubernetes",
						"kubernetes.io",
						"k8s.io",
						"pod-template-generation",
						"pod-template-hash",
						"controller-revision-hash",
						"controller-uid",
						"etcd_node",
						"statefulset.kubernetes.io/pod-name",
						"batch.kubernetes.io/job-completion-index",
						"batch.kubernetes.io/controller-uid",
						"apps.kubernetes.io/pod-index",
						"topology.kubernetes.io",
						"annotation" };

	if (policy_label_is_given(key))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(counted); i++)
		if (str_has_prefix(key, str_of(counted[i])))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
		if (str_has_prefix(key, str_of(left_out[i])))
			return false;
	return !memmem(key.p, key.len, "beta.kubernetes.io", strlen("beta.kubernetes.io"));
}

/* --- matching ----------------------------------------------------------------------------- */

static bool has_value(const struct requirement *q, const struct label *l)
{
	for (size_t i = 0; i < q->value_count; i++)
		if (q->value_hashes[i] == l->value_hash && str_eq(q->values[i], l->value))
			return true;
	return false;
}

static const struct label *find(const struct requirement *q, const struct label *labels,
				size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (labels[i].key_hash == q->key_hash && str_eq(labels[i].key, q->key) &&
		    (str_is(q->source, "any") || str_eq(labels[i].source, q->source)))
			return &labels[i];
	return NULL;
}

bool selector_matches(const struct selector *s, const struct label *labels, size_t count)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct requirement *q = &s->requirements[i];
		const struct label *l = find(q, labels, count);
		bool holds = false;

		switch (q->op) {
		case REQ_IN:
			holds = l && has_value(q, l);
			break;
		case REQ_NOT_IN: /* a label that is not there has none of the values */
			holds = !l || !has_value(q, l);
			break;
		case REQ_EXISTS:
			holds = l != NULL;
			break;
		case REQ_ABSENT:
			holds = !l;
			break;
		}
		if (!holds)
			return false;
	}
	return true;
}

/* --- checks (the rules of Kubernetes for qualified names and label values) ------------------ */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name(struct str s)
{
	if (!s.len || s.len > LABEL_NAME_MAX || !is_alnum(s.p[0]) || !is_alnum(s.p[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.p[i]) && !memchr("-_.", s.p[i], 3))
			return false;
	return true;
}

static bool is_qualified_name(struct str s)
{
	size_t slash = str_find(s, '/');

	if (slash == s.len)
		return is_name(s);
	return slash && is_subdomain(str_upto(s, slash)) && is_name(str_from(s, slash + 1));
}

/* @source: "" of what Kubernetes checks. Cilium's agent checks "SOURCE.KEY", and so allows a key
 * shorter by that much; up to 1.19 with the prefix of namespaces' labels, too (Cilium's issue
 * 47817). */
static void check_key(struct reading *r, struct str source, struct str key)
{
	char text[512];
	struct buf whole = buf_fixed(text, sizeof text);

	if (source.len)
		buf_printf(&whole, "%.*s.", STR_FMT(source));
	buf_str_put(&whole, key);
	if (whole.failed || !is_qualified_name(buf_str(&whole)))
		bad(r, "'%.*s' is no key of a label", (int)(key.len < 80 ? key.len : 80), key.p);
}

bool label_is_selectable(struct str key, struct str value)
{
	enum { ANY = sizeof "any." - 1 };
	size_t name = str_find(key, '/') < key.len ? 0 : key.len;

	return is_qualified_name(key) && key.len <= 253 && name + ANY <= LABEL_NAME_MAX &&
	       is_name(value);
}

static void check_value(struct reading *r, struct str value)
{
	if (value.len > LABEL_NAME_MAX)
		bad(r, "a label's value of %zu bytes: at most %d", value.len, LABEL_NAME_MAX);
	else if (value.len && !is_name(value))
		bad(r,
		    "'%.*s' is no value of a label: letters, digits, '-', '_', '.' only, a letter "
		    "or digit at both ends",
		    STR_FMT(value));
}

void check_labels(struct reading *r, const json_t *labels)
{
	const char *key;
	json_t *value;
	size_t at = step(r, "labels");

	/* jansson's iterators take what they do not change without const */
	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
	{
		size_t below = step(r, key);

		check_key(r, STR(""), str_of(key));
		check_value(r, text_of(r, value));
		back(r, below);
	}
	back(r, at);
}

/* --- reading ------------------------------------------------------------------------------ */

static void set_key(struct reading *r, struct requirement *q, struct str text, struct str source,
		    struct str key_prefix)
{
	size_t colon = str_find(text, ':');
	AUTO_BUF struct buf joined = buf_init(1024);
	struct str reserved = STR("reserved.");

	if (source.len) {
		q->source = source;
	} else if (colon == text.len &&
		   str_has_prefix(text, reserved)) { /* as older ones wrote it */
		q->source = str_upto(reserved, reserved.len - 1);
		text = str_from(text, reserved.len);
	} else if (colon < text.len) {
		q->source = keep(r, str_upto(text, colon));
		text = str_from(text, colon + 1);
		if (!q->source.len)
			q->source = STR("any");
	} else {
		q->source = STR("any");
	}
	/* Keys in its own objects Kubernetes has checked, and the agent does not. The agent of a
	 * server may be a newer one, which takes what 1.19 finds too long. */
	size_t prefix = r->served && str_has_prefix(text, KEY_NAMESPACE_LABELS)
				? KEY_NAMESPACE_LABELS.len
				: 0;
	check_key(r, str_is(source, "k8s") || r->served ? STR("") : q->source,
		  str_from(text, prefix));
	r->uncounted |= r->set->kubernetes && r->set->counted_labels && str_is(source, "k8s") &&
			!key_prefix.len && !policy_label_counts(text);
	buf_str_put(&joined, key_prefix);
	buf_str_put(&joined, text);
	if (joined.failed) {
		bad(r, "a key of a label that is longer than 1024 bytes");
		return;
	}
	q->key = keep(r, buf_str(&joined));
	q->key_hash = label_hash(q->key);
}

static void set_values(struct reading *r, struct requirement *q, const json_t *values)
{
	size_t n = json_array_size(values);
	struct str *texts = room(r, n * sizeof *texts);
	uint32_t *hashes = room(r, n * sizeof *hashes);

	if (n > SELECTOR_VALUES_MAX)
		bad(r, "%zu values: at most %d", n, SELECTOR_VALUES_MAX);
	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		size_t at = step_to(r, i);
		struct str value = text_of(r, json_array_get(values, i));

		check_value(r, value);
		texts[i] = keep(r, value);
		hashes[i] = label_hash(texts[i]);
		back(r, at);
	}
	q->values = texts;
	q->value_hashes = hashes;
	q->value_count = n;
}

static void set_one_value(struct reading *r, struct requirement *q, struct str value)
{
	struct str *text = room(r, sizeof *text);
	uint32_t *hash = room(r, sizeof *hash);

	if (r->code != ERR_OK)
		return;
	*text = keep(r, value);
	*hash = label_hash(*text);
	q->values = text;
	q->value_hashes = hash;
	q->value_count = 1;
}

static void read_expression(struct reading *r, const json_t *json, struct requirement *q,
			    struct str source, struct str key_prefix)
{
	static const char *const keys[] = { "key", "operator", "values", NULL };
	static const struct {
		const char *name;
		enum requirement_op op;
	} ops[] = { { "In", REQ_IN },
		    { "NotIn", REQ_NOT_IN },
		    { "Exists", REQ_EXISTS },
		    { "DoesNotExist", REQ_ABSENT } };

	if (!is_object(r, json))
		return;
	only(r, json, keys);
	struct str key = member_text(r, json, "key"), op = member_text(r, json, "operator");
	const json_t *values = member_array(r, json, "values");
	size_t i = 0;

	while (i < ARRAY_LEN(ops) && !str_is(op, ops[i].name))
		i++;
	if (i == ARRAY_LEN(ops)) {
		bad(r, "operator '%.*s': must be In, NotIn, Exists or DoesNotExist",
		    (int)(op.len < 40 ? op.len : 40), op.p ? op.p : "");
		return;
	}
	q->op = ops[i].op;
	bool takes = q->op == REQ_IN || q->op == REQ_NOT_IN;
	if (takes && !json_array_size(values))
		bad(r, "operator %s needs values", ops[i].name);
	if (!takes && json_array_size(values))
		bad(r, "operator %s takes no values", ops[i].name);
	set_key(r, q, key.p ? key : STR(""), source, key_prefix);
	size_t at = step(r, "values");
	set_values(r, q, values);
	back(r, at);
}

struct selector *read_selector(struct reading *r, const json_t *json, struct str source,
			       struct str key_prefix)
{
	static const char *const keys[] = { "matchLabels", "matchExpressions", NULL };

	if (!is_object(r, json))
		return NULL;
	only(r, json, keys);
	json_t *labels = member_object(r, json, "matchLabels");
	json_t *expressions = member_array(r, json, "matchExpressions");
	size_t n = json_object_size(labels) + json_array_size(expressions);

	if (n > SELECTOR_REQUIREMENTS_MAX)
		bad(r, "a selector with %zu requirements: at most %d", n,
		    SELECTOR_REQUIREMENTS_MAX);
	struct selector *s = room(r, sizeof *s);
	/* room for what selector_require may add */
	struct requirement *q = room(r, (n + 3) * sizeof *q);
	if (r->code != ERR_OK)
		return NULL;
	s->requirements = q;
	const char *key;
	json_t *value;
	size_t at = step(r, "matchLabels");
	json_object_foreach(labels, key, value)
	{
		struct requirement *one = &q[s->count++];
		size_t below = step(r, key);
		struct str text = text_of(r, value);

		set_key(r, one, str_of(key), source, key_prefix);
		check_value(r, text);
		set_one_value(r, one, text);
		back(r, below);
	}
	s->labels = s->count;
	back(r, at);
	at = step(r, "matchExpressions");
	for (size_t i = 0; i < json_array_size(expressions) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);

		read_expression(r, json_array_get(expressions, i), &q[s->count++], source,
				key_prefix);
		back(r, below);
	}
	back(r, at);
	return r->code == ERR_OK ? s : NULL;
}

bool selector_has_key(const struct selector *s, struct str source, struct str key)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_eq(s->requirements[i].source, source) &&
		    str_eq(s->requirements[i].key, key))
			return true;
	return false;
}

bool selector_has_key_prefix(const struct selector *s, struct str source, struct str prefix)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_eq(s->requirements[i].source, source) &&
		    str_has_prefix(s->requirements[i].key, prefix))
			return true;
	return false;
}

void selector_require(struct reading *r, struct selector *s, enum requirement_op op,
		      struct str source, struct str key, struct str value)
{
	size_t at = s->count;

	if (op == REQ_IN)
		for (size_t i = 0; i < s->labels; i++)
			if (str_eq(s->requirements[i].source, source) &&
			    str_eq(s->requirements[i].key, key))
				at = i;
	struct requirement *q = &s->requirements[at];
	*q = (struct requirement){
		.op = op, .source = source, .key = key, .key_hash = label_hash(key)
	};
	if (op == REQ_IN)
		set_one_value(r, q, value);
	if (at == s->count)
		s->count++;
}

/* --- one of each -------------------------------------------------------------------------- */

static void put_canonical(struct buf *b, const struct selector *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct requirement *q = &s->requirements[i];

		buf_printf(b, "%d %zu:%.*s %zu:%.*s", q->op, q->source.len, STR_FMT(q->source),
			   q->key.len, STR_FMT(q->key));
		for (size_t j = 0; j < q->value_count; j++)
			buf_printf(b, " %zu:%.*s", q->values[j].len, STR_FMT(q->values[j]));
		buf_char(b, ';');
	}
}

uint32_t intern_selector(struct reading *r, const struct selector *s)
{
	AUTO_BUF struct buf text = buf_init(1 << 20);
	uint32_t found = 0;

	if (r->code != ERR_OK || !s)
		return 0;
	put_canonical(&text, s);
	if (text.failed) {
		no_memory(r);
		return 0;
	}
	if (map_get(r->set->by_selector, buf_str(&text), &found))
		return found;
	found = (uint32_t)r->set->selectors.count;
	if (found == POLICY_SELECTORS_MAX) {
		bad(r, "more than %d different selectors in all policies", POLICY_SELECTORS_MAX);
		return 0;
	}
	struct selector *to = list_add(&r->set->mem, &r->set->selectors, sizeof *to);
	if (!to) {
		no_memory(r);
		return 0;
	}
	*to = *s;
	if (map_put(r->set->by_selector, buf_str(&text), found, NULL, NULL) != ERR_OK)
		no_memory(r);
	return found;
}

void rule_add_selector(struct reading *r, struct rule *rule, size_t room_for,
		       const struct selector *s)
{
	uint32_t id = intern_selector(r, s);

	if (r->code != ERR_OK)
		return;
	if (!rule->selectors)
		rule->selectors = room(r, room_for * sizeof *rule->selectors);
	if (r->code == ERR_OK)
		rule->selectors[rule->selector_count++] = id;
}
