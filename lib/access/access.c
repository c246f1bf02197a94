#include "access/access.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/watch.h"

enum { FILE_MAX_BYTES = 4 << 20, TOKEN_MAX_BYTES = 4096, NAME_MAX_BYTES = 512 };

enum rule_kind { RULE_CERT, RULE_TOKEN, RULE_LOCAL, RULE_ANYONE, RULE_COUNT_ };
static const char *const rule_names[] = {
	[RULE_CERT] = "cert",
	[RULE_TOKEN] = "token-file",
	[RULE_LOCAL] = "local",
	[RULE_ANYONE] = "anyone",
};
_Static_assert(ARRAY_LEN(rule_names) == RULE_COUNT_, "a kind of rule without a name");

struct held_rights {
	struct rights pub; /* first: the rights are these */
	atomic_size_t refs;
	char *who;
	char **namespaces;
	size_t count;
};

/* When a file was what it was. */
struct stamp {
	uint64_t mtime_ns, size, inode, device;
};

struct rule {
	enum rule_kind kind;
	char *name; /* RULE_CERT, RULE_TOKEN: certificate's name, token's file */
	unsigned char token[SHA256_DIGEST_LENGTH];
	struct stamp stamp; /* RULE_TOKEN */
	struct held_rights *rights;
};

struct rules {
	struct rule *list;
	size_t count, cap;
};

struct access {
	char *path;
	struct rules rules;
	struct stamp stamp;  /* of what the rules were read from … */
	struct stamp failed; /* … and of what could not be read, so that it is said once */
	struct mono_ns looked_at;
	uint64_t generation;
};

/* ---- rights */

const struct rights *rights_ref(const struct rights *r)
{
	struct held_rights *h = (struct held_rights *)(uintptr_t)r;

	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return r;
}

void rights_unref(const struct rights *r)
{
	struct held_rights *h = (struct held_rights *)(uintptr_t)r;

	if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < h->count; i++)
		free(h->namespaces[i]);
	free(h->namespaces);
	free(h->who);
	free(h);
}

bool rights_equal(const struct rights *a, const struct rights *b)
{
	if (a->all != b->all || a->namespace_count != b->namespace_count)
		return false;
	for (size_t i = 0; i < a->namespace_count; i++)
		if (strcmp(a->namespaces[i], b->namespaces[i]) != 0)
			return false;
	return true;
}

bool rights_see(const struct rights *r, struct str namespace_)
{
	for (size_t i = 0; !r->all && i < r->namespace_count; i++)
		if (str_is(namespace_, r->namespaces[i]))
			return true;
	return r->all;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name that Kubernetes would take (RFC 1123 label); it is put into filters as it is. */
static bool is_namespace(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    s.p[i] != '-')
			return false;
	return s.len > 0 && s.len <= 63;
}

static enum err_code read_namespaces(struct held_rights *h, struct str text, struct err *e)
{
	struct str word;

	if (str_is(text, "*")) {
		h->pub.all = true;
		return ERR_OK;
	}
	h->namespaces = calloc(ACCESS_NAMESPACES_MAX, sizeof(char *));
	if (!h->namespaces)
		return err_set(e, ERR_NOMEM, "rules");
	for (struct str rest = text; str_split(&rest, ',', &word);) {
		word = str_trim(word);
		if (!is_namespace(word))
			return err_set(e, ERR_PARSE, "'%s' is no namespace", EXCERPT(word));
		if (h->count == ACCESS_NAMESPACES_MAX)
			return err_set(e, ERR_PARSE, "more than %d namespaces",
				       ACCESS_NAMESPACES_MAX);
		h->namespaces[h->count] = str_dup(word);
		if (!h->namespaces[h->count])
			return err_set(e, ERR_NOMEM, "rules");
		h->count++;
	}
	qsort(h->namespaces, h->count, sizeof(char *), by_text);
	h->pub.namespaces = (const char *const *)h->namespaces;
	h->pub.namespace_count = h->count;
	return ERR_OK;
}

/* ---- files */

static struct stamp stamp_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return (struct stamp){ 0 };
	return (struct stamp){
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec,
		.size = (uint64_t)st.st_size,
		.inode = st.st_ino,
		.device = st.st_dev,
	};
}

static bool stamp_equal(struct stamp a, struct stamp b)
{
	return a.mtime_ns == b.mtime_ns && a.size == b.size && a.inode == b.inode &&
	       a.device == b.device;
}

static enum err_code read_token(struct rule *r, struct err *e)
{
	char text[TOKEN_MAX_BYTES];
	struct buf b = buf_fixed(text, sizeof text);
	struct stat st;

	r->stamp = stamp_of(r->name);
	if (stat(r->name, &st) == 0 && (st.st_mode & S_IRWXO))
		return err_set(e, ERR_PERMISSION,
			       "the token file '%s' is open to others (chmod o=)", r->name);
	enum err_code code = file_read(r->name, "the token file", &b, e);
	if (code != ERR_OK)
		return code;
	struct str token = str_trim(buf_str(&b));
	if (token.len < ACCESS_TOKEN_MIN)
		code = err_set(e, ERR_PARSE, "the token file '%s' holds less than %d characters",
			       r->name, ACCESS_TOKEN_MIN);
	else
		(void)SHA256((const unsigned char *)token.p, token.len, r->token);
	OPENSSL_cleanse(text, sizeof text);
	return code;
}

/* ---- rules */

static void rules_done(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		free(rules->list[i].name);
		rights_unref(&rules->list[i].rights->pub);
	}
	free(rules->list);
	*rules = (struct rules){ 0 };
}

static struct str take_word(struct str *rest)
{
	size_t n = 0;

	while (n < rest->len && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	struct str word = str_upto(*rest, n);
	*rest = str_trim(str_from(*rest, n));
	return word;
}

static enum err_code add_rule(struct rules *rules, enum rule_kind kind, struct str name,
			      struct str namespaces, struct err *e)
{
	if (rules->count == ACCESS_RULES_MAX)
		return err_set(e, ERR_PARSE, "more than %d rules", ACCESS_RULES_MAX);
	if (rules->count == rules->cap) {
		size_t cap = rules->cap ? 2 * rules->cap : 16;
		struct rule *list = realloc(rules->list, cap * sizeof *list);
		if (!list)
			return err_set(e, ERR_NOMEM, "rules");
		rules->list = list;
		rules->cap = cap;
	}
	struct held_rights *h = calloc(1, sizeof *h);
	if (!h)
		return err_set(e, ERR_NOMEM, "rules");
	struct rule *r = &rules->list[rules->count++]; /* from here on rules_done frees it */
	atomic_init(&h->refs, 1);
	*r = (struct rule){ .kind = kind, .name = str_dup(name), .rights = h };
	h->who = malloc(name.len + 32);
	if (!r->name || !h->who)
		return err_set(e, ERR_NOMEM, "rules");
	(void)snprintf(h->who, name.len + 32, "%s%s%.*s", rule_names[kind], name.len ? " " : "",
		       STR_FMT(name));
	h->pub.who = h->who;
	enum err_code code = read_namespaces(h, namespaces, e);
	return code == ERR_OK && kind == RULE_TOKEN ? read_token(r, e) : code;
}

static enum err_code add_line(struct rules *rules, struct str line, struct err *e)
{
	struct str kind_word = take_word(&line), name = STR("");
	size_t kind = 0;

	while (kind < RULE_COUNT_ && !str_is(kind_word, rule_names[kind]))
		kind++;
	if (kind == RULE_COUNT_)
		return err_set(e, ERR_PARSE, "'%s' is none of cert, token-file, local and anyone",
			       EXCERPT(kind_word));
	if (kind == RULE_CERT || kind == RULE_TOKEN)
		name = take_word(&line);
	if (!line.len)
		return err_set(e, ERR_PARSE, "no namespaces; '*' is all of them");
	if (name.len > NAME_MAX_BYTES || !utf8_is_valid(name))
		return err_set(e, ERR_PARSE, "a name is UTF-8 of at most %d bytes", NAME_MAX_BYTES);
	return add_rule(rules, (enum rule_kind)kind, name, line, e);
}

static enum err_code read_rules(const char *path, struct rules *rules, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(FILE_MAX_BYTES);
	size_t number = 0;
	struct str line;
	enum err_code code = file_read(path, "the access file", &text, e);

	for (struct str rest = buf_str(&text); code == ERR_OK && str_split(&rest, '\n', &line);) {
		number++;
		line = str_trim(str_upto(line, str_find(line, '#')));
		if (line.len)
			code = add_line(rules, line, e);
		if (code != ERR_OK)
			(void)err_in(e, "the access file '%s', line %zu", path, number);
	}
	return code;
}

static enum err_code load(struct access *a, struct err *e)
{
	struct rules fresh = { 0 };
	struct stamp stamp =
		stamp_of(a->path); /* before it is read: what changes meanwhile is seen */
	enum err_code code = read_rules(a->path, &fresh, e);

	if (code != ERR_OK) {
		rules_done(&fresh);
		a->failed = stamp;
		return code;
	}
	rules_done(&a->rules);
	a->rules = fresh;
	a->stamp = stamp;
	a->failed = (struct stamp){ 0 };
	a->generation++;
	return ERR_OK;
}

/* ---- access */

enum err_code access_new(const char *path, struct access **ret, struct err *e)
{
	AUTO(access_free) struct access *a = calloc(1, sizeof *a);
	if (!a)
		return err_set(e, ERR_NOMEM, "access");
	a->path = str_dup(str_of(path));
	if (!a->path)
		return err_set(e, ERR_NOMEM, "access");
	struct err mine;
	enum err_code code = load(a, e ? e : &mine);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(a);
	return ERR_OK;
}

void access_free(struct access *a)
{
	if (!a)
		return;
	rules_done(&a->rules);
	free(a->path);
	free(a);
}

static bool has_changed(const struct access *a)
{
	struct stamp now = stamp_of(a->path);

	if (a->failed.inode)
		return !stamp_equal(now, a->failed);
	if (!stamp_equal(now, a->stamp))
		return true;
	for (size_t i = 0; i < a->rules.count; i++) {
		const struct rule *r = &a->rules.list[i];
		if (r->kind == RULE_TOKEN && !stamp_equal(stamp_of(r->name), r->stamp))
			return true;
	}
	return false;
}

enum err_code access_poll(struct access *a, struct mono_ns now, struct err *e)
{
	struct err mine;

	if (a->looked_at.v && now.v - a->looked_at.v < ACCESS_LOOK_NS)
		return err_set(e, ERR_AGAIN, "it is not time to look");
	a->looked_at = now;
	if (!has_changed(a))
		return err_set(e, ERR_AGAIN, "the access file has not changed");
	return load(a, e ? e : &mine);
}

uint64_t access_generation(const struct access *a)
{
	return a->generation;
}

/* Names compare as DNS does; "*." stands for one label, as in certificates (RFC 6125 §6.4.3). */
static bool name_fits(struct str pattern, struct str name)
{
	if (!str_has_prefix(pattern, STR("*.")))
		return str_eq_nocase(pattern, name);
	size_t dot = str_find(name, '.');
	return dot > 0 && dot < name.len &&
	       str_eq_nocase(str_from(pattern, 1), str_from(name, dot));
}

static bool has_name(const struct credentials *c, struct str pattern)
{
	for (size_t i = 0; i < c->cert_name_count; i++)
		if (name_fits(pattern, str_of(c->cert_names[i])))
			return true;
	return false;
}

const struct rights *access_find(const struct access *a, const struct credentials *c)
{
	const struct str scheme = STR("Bearer ");
	unsigned char token[SHA256_DIGEST_LENGTH];
	bool has_token = c->authorization.len > scheme.len &&
			 str_eq_nocase(str_upto(c->authorization, scheme.len), scheme);

	if (has_token) {
		struct str text = str_trim(str_from(c->authorization, scheme.len));
		(void)SHA256((const unsigned char *)text.p, text.len, token);
	}
	for (size_t i = 0; i < a->rules.count; i++) {
		const struct rule *r = &a->rules.list[i];
		bool fits = r->kind == RULE_ANYONE || (r->kind == RULE_LOCAL && c->is_local) ||
			    (r->kind == RULE_CERT && has_name(c, str_of(r->name))) ||
			    (r->kind == RULE_TOKEN && has_token &&
			     CRYPTO_memcmp(token, r->token, sizeof token) == 0);
		if (fits)
			return rights_ref(&r->rights->pub);
	}
	return NULL;
}
