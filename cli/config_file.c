#include "cli/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <yaml.h>

#include "base/buf.h"
#include "cli/flags.h"
#include "cli/yaml_text.h"

enum { CONFIG_MAX_BYTES = 1 << 20 };

static void value_done(struct config_value *v)
{
	for (size_t i = 0; i < v->count; i++)
		free(v->items[i]);
	free(v->items);
	free(v->key);
}

void config_file_done(struct config_file *f)
{
	for (size_t i = 0; i < f->count; i++)
		value_done(&f->values[i]);
	free(f->values);
	*f = (struct config_file){ 0 };
}

const struct config_value *config_file_find(const struct config_file *f, const char *key)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->values[i].key, key) == 0)
			return &f->values[i];
	return NULL;
}

/* Room for @key in its place, empty; a value that was there is gone. NULL: no memory. */
static struct config_value *value_at(struct config_file *f, struct str key)
{
	size_t at = 0;
	char *name = str_dup(key);

	if (!name)
		return NULL;
	for (char *c = name; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
	while (at < f->count && strcmp(f->values[at].key, name) < 0)
		at++;
	if (at < f->count && strcmp(f->values[at].key, name) == 0) {
		value_done(&f->values[at]);
	} else {
		struct config_value *grown = reallocarray(f->values, f->count + 1, sizeof *grown);
		if (!grown) {
			free(name);
			return NULL;
		}
		f->values = grown;
		memmove(&grown[at + 1], &grown[at], (f->count - at) * sizeof *grown);
		f->count++;
	}
	f->values[at] = (struct config_value){ .key = name };
	return &f->values[at];
}

static bool add_item(struct config_value *v, struct str text)
{
	char **grown = reallocarray(v->items, v->count + 1, sizeof *grown);

	if (!grown)
		return false;
	v->items = grown;
	v->items[v->count] = str_dup(text);
	return v->items[v->count] && ++v->count;
}

enum err_code config_file_set(struct config_file *f, const char *key, const char *const *items,
			      size_t count, bool is_list, bool is_string, struct err *e)
{
	struct config_value *v = value_at(f, str_of(key));

	if (!v)
		return err_set(e, ERR_NOMEM, "setting '%s'", key);
	v->is_list = is_list;
	v->quoted = is_string;
	for (size_t i = 0; i < count; i++)
		if (!add_item(v, str_of(items[i])))
			return err_set(e, ERR_NOMEM, "setting '%s'", key);
	return ERR_OK;
}

static struct str scalar_text(const yaml_node_t *node)
{
	return str_n(node->data.scalar.value, node->data.scalar.length);
}

static bool whole_number_put(struct buf *b, struct str s)
{
	char digits[72]; /* more than 64 bits have */
	size_t n = 0;
	bool negative = str_has_prefix(s, STR("-"));
	uint64_t v;

	for (size_t i = negative || str_has_prefix(s, STR("+")); i < s.len; i++) {
		if (n + 1 == sizeof digits)
			return false;
		if (s.p[i] != '_')
			digits[n++] = s.p[i];
	}
	digits[n] = '\0';
	if (flag_parse_uint(digits, 0, 64, &v, NULL) != ERR_OK &&
	    flag_parse_uint(digits, 10, 64, &v, NULL) != ERR_OK)
		return false;
	buf_printf(b, "%s%llu", negative && v ? "-" : "", (unsigned long long)v);
	return true;
}

/* What is not quoted may be a truth value or a number, and is then kept in its one form, as the
 * reference does, whose reader keeps values, not words: 0x10 is 16. Fractions stay as they stand. */
static bool add_node(struct config_value *v, const yaml_node_t *node)
{
	struct str text = scalar_text(node);
	enum yaml_kind kind = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
				      ? yaml_kind_of(text)
				      : YAML_KIND_STRING;
	AUTO_BUF struct buf number = buf_init(CONFIG_MAX_BYTES);

	v->quoted &= kind != YAML_KIND_BOOL && kind != YAML_KIND_NUMBER;
	if (kind == YAML_KIND_BOOL)
		return add_item(v, str_eq_nocase(text, STR("true")) ? STR("true") : STR("false"));
	if (kind == YAML_KIND_NUMBER && whole_number_put(&number, text))
		return !number.failed && add_item(v, buf_str(&number));
	return add_item(v, text);
}

/* As good as not there. */
static bool is_null(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       yaml_kind_of(scalar_text(n)) == YAML_KIND_NULL;
}

/* Is the key of @pair also that of one before it? A fault to the reference's reader, which
 * libyaml's lets pass. */
static bool is_repeated(yaml_document_t *doc, const yaml_node_t *root, const yaml_node_pair_t *pair)
{
	const yaml_node_t *key = yaml_document_get_node(doc, pair->key);

	for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *before = yaml_document_get_node(doc, p->key);
		if (key->type == YAML_SCALAR_NODE && before->type == YAML_SCALAR_NODE &&
		    str_eq(scalar_text(key), scalar_text(before)))
			return true;
	}
	return false;
}

static enum err_code take_pair(struct config_file *f, yaml_document_t *doc, const yaml_node_t *key,
			       const yaml_node_t *value, struct err *e)
{
	if (key->type != YAML_SCALAR_NODE || value->type == YAML_MAPPING_NODE || is_null(value))
		return ERR_OK;
	struct config_value *v = value_at(f, scalar_text(key));
	bool ok = v != NULL;
	if (ok)
		v->quoted = true;
	if (ok && value->type == YAML_SCALAR_NODE) {
		ok = add_node(v, value);
	} else if (ok) {
		v->is_list = true;
		for (yaml_node_item_t *i = value->data.sequence.items.start;
		     ok && i < value->data.sequence.items.top; i++) {
			const yaml_node_t *item = yaml_document_get_node(doc, *i);
			if (item && item->type == YAML_SCALAR_NODE)
				ok = add_node(v, item);
		}
	}
	return ok ? ERR_OK : err_set(e, ERR_NOMEM, "settings");
}

enum err_code config_file_parse(struct str text, struct config_file *ret, struct err *e)
{
	AUTO_CONFIG_FILE struct config_file f = { 0 };
	yaml_parser_t parser;
	yaml_document_t doc;

	if (!yaml_parser_initialize(&parser))
		return err_set(e, ERR_NOMEM, "YAML parser");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
	if (!yaml_parser_load(&parser, &doc)) {
		err_set(e, ERR_PARSE, "yaml: line %zu: %s", parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "cannot be read");
		yaml_parser_delete(&parser);
		return ERR_PARSE;
	}
	const yaml_node_t *root = yaml_document_get_root_node(&doc);
	enum err_code code = ERR_OK;
	if (root && root->type == YAML_MAPPING_NODE) {
		for (yaml_node_pair_t *p = root->data.mapping.pairs.start;
		     code == ERR_OK && p < root->data.mapping.pairs.top; p++) {
			const yaml_node_t *key = yaml_document_get_node(&doc, p->key);
			code = is_repeated(&doc, root, p)
				       ? err_set(e, ERR_PARSE,
						 "yaml: line %zu: mapping key \"%.*s\" already "
						 "defined",
						 key->start_mark.line + 1,
						 STR_FMT(scalar_text(key)))
				       : take_pair(&f, &doc, key,
						   yaml_document_get_node(&doc, p->value), e);
		}
	} else if (root && !(root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0)) {
		code = err_set(e, ERR_PARSE, "yaml: not a mapping of names to values");
	}
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	if (code == ERR_OK) {
		*ret = f;
		f = (struct config_file){ 0 };
	}
	return code;
}

enum err_code config_file_load(const char *path, struct config_file *ret, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_BUF struct buf text = buf_init(CONFIG_MAX_BYTES);

	if (fd < 0)
		return err_os(e, "open %s", path);
	for (;;) {
		char *to = buf_reserve(&text, 4096);
		if (!to)
			return err_set(e, ERR_PARSE, "%s: larger than %d bytes", path,
				       CONFIG_MAX_BYTES);
		ssize_t n = read(fd, to, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(e, "read %s", path);
		if (n == 0)
			break;
		text.len += (size_t)n;
	}
	if (config_file_parse(buf_str(&text), ret, e) != ERR_OK)
		return err_in(e, "While parsing config");
	return ERR_OK;
}

static void item_put(struct buf *b, const char *text, bool quoted)
{
	enum yaml_kind kind = yaml_kind_of(str_of(text));

	if (!quoted && (kind == YAML_KIND_BOOL || kind == YAML_KIND_NUMBER))
		buf_str_put(b, str_of(text));
	else
		yaml_put_string(b, str_of(text));
}

void config_value_put(struct buf *b, const struct config_value *v)
{
	yaml_put_string(b, str_of(v->key));
	buf_char(b, ':');
	if (!v->is_list) {
		buf_char(b, ' ');
		item_put(b, v->count ? v->items[0] : "", v->quoted);
		buf_char(b, '\n');
		return;
	}
	if (!v->count)
		buf_lit(b, " []");
	buf_char(b, '\n');
	for (size_t i = 0; i < v->count; i++) {
		buf_lit(b, "    - ");
		item_put(b, v->items[i], v->quoted);
		buf_char(b, '\n');
	}
}

static enum err_code make_parents(const char *path, struct err *e)
{
	char dir[PATH_MAX];

	if ((size_t)snprintf(dir, sizeof dir, "%s", path) >= sizeof dir)
		return err_set(e, ERR_INVALID, "path too long: '%s'", path);
	for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(dir, 0750) < 0 && errno != EEXIST)
			return err_os(e,
				      "configuration directory does not exist and cannot be "
				      "created: mkdir %s",
				      dir);
		*slash = '/';
	}
	return ERR_OK;
}

enum err_code config_file_save(const struct config_file *f, const char *path, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(2 * CONFIG_MAX_BYTES);
	char fresh[PATH_MAX];

	for (size_t i = 0; i < f->count; i++)
		config_value_put(&text, &f->values[i]);
	if (text.failed)
		return err_set(e, ERR_NOMEM, "write %s", path);
	if (make_parents(path, e) != ERR_OK)
		return e->code;
	if ((size_t)snprintf(fresh, sizeof fresh, "%s.%d.new", path, (int)getpid()) >= sizeof fresh)
		return err_set(e, ERR_INVALID, "path too long: '%s'", path);
	/* It may hold a password: nobody else needs to read it. */
	AUTO_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_os(e, "open %s", fresh);
	for (size_t at = 0; at < text.len;) {
		ssize_t n = write(fd, text.p + at, text.len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_os(e, "write %s", fresh);
			(void)unlink(fresh);
			return e->code;
		}
		at += (size_t)n;
	}
	if (rename(fresh, path) < 0) {
		err_os(e, "rename %s to %s", fresh, path);
		(void)unlink(fresh);
		return e->code;
	}
	return ERR_OK;
}
