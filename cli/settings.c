#include "cli/settings.h"

#include <limits.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/file.h"
#include "cli/yaml_text.h"

static const struct flag_def global_defs[] = {
	{ .name = "config",
	  .type = FLAG_STRING,
	  .values = "FILE",
	  .placeholder = "FILE",
	  .help = "Configuration file, in place of $XDG_CONFIG_HOME/tycho/config.yaml" },
	{ .name = "debug", .short_ = 'D', .type = FLAG_BOOL, .help = "Enable debug messages" },
};
const struct flag_set global_flags = { "Global", global_defs, ARRAY_LEN(global_defs) };

static const struct flag_def server_defs[] = {
	{ .name = "server",
	  .type = FLAG_STRING,
	  .def = "localhost:4245",
	  .placeholder = "ADDRESS",
	  .help = "Address of the observer or relay: host:port, tls://host:port or unix:///path. "
		  "Ignored when --input-file or --port-forward is provided." },
	{ .name = "timeout",
	  .type = FLAG_DURATION,
	  .def = "5s",
	  .help = "Dialing timeout. Accepted for compatibility; a refused connection fails at "
		  "once." },
	{ .name = "request-timeout",
	  .type = FLAG_DURATION,
	  .def = "12s",
	  .help = "Timeout of calls with one answer (status, list nodes, list namespaces)." },
	{ .name = "tls",
	  .type = FLAG_BOOL,
	  .help = "Use TLS for the connection. Also on when the server address starts with "
		  "'tls://'." },
	{ .name = "tls-allow-insecure",
	  .type = FLAG_BOOL,
	  .help = "Do not verify the server's certificate chain and host name. Not recommended: "
		  "anybody in between can then read and change the connection." },
	{ .name = "tls-ca-cert-files",
	  .type = FLAG_STRING_SLICE,
	  .values = "FILE",
	  .placeholder = "FILES",
	  .help = "Paths to certificate authorities to trust, PEM." },
	{ .name = "tls-client-cert-file",
	  .type = FLAG_STRING,
	  .values = "FILE",
	  .placeholder = "FILE",
	  .help = "Path to the client's certificate, PEM (needs TLS and the key)." },
	{ .name = "tls-client-key-file",
	  .type = FLAG_STRING,
	  .values = "FILE",
	  .placeholder = "FILE",
	  .help = "Path to the client's private key, PEM (needs TLS and the certificate)." },
	{ .name = "tls-server-name",
	  .type = FLAG_STRING,
	  .placeholder = "NAME",
	  .help = "Name to expect in the server's certificate (e.g. "
		  "'instance.hubble-relay.cilium.io')." },
	{ .name = "basic-auth-username",
	  .type = FLAG_STRING,
	  .placeholder = "NAME",
	  .help = "User name for basic authentication (needs TLS)" },
	{ .name = "basic-auth-password",
	  .type = FLAG_STRING,
	  .placeholder = "PASSWORD",
	  .help = "Password for basic authentication (needs TLS)" },
	{ .name = "token-file",
	  .type = FLAG_STRING,
	  .values = "FILE",
	  .placeholder = "FILE",
	  .help = "File with a bearer token to show to the server (needs TLS or a unix socket)" },
	{ .name = "port-forward",
	  .short_ = 'P',
	  .type = FLAG_BOOL,
	  .help = "Ask the relay in a Kubernetes cluster: service tycho-relay or hubble-relay, "
		  "through its API server, as 'kubectl port-forward' does." },
	{ .name = "port-forward-port",
	  .type = FLAG_UINT16,
	  .def = "4245",
	  .help = "Local port for --port-forward; 0 selects a free one." },
	{ .name = "kube-context",
	  .type = FLAG_STRING,
	  .placeholder = "NAME",
	  .help = "Kubernetes configuration context for --port-forward." },
	{ .name = "kube-namespace",
	  .type = FLAG_STRING,
	  .def = "kube-system",
	  .placeholder = "NAME",
	  .help = "Namespace of the relay for --port-forward." },
	{ .name = "kubeconfig",
	  .type = FLAG_STRING,
	  .values = "FILE",
	  .placeholder = "FILE",
	  .help = "Path to the kubeconfig file for --port-forward." },
};
const struct flag_set server_flags = { "Server", server_defs, ARRAY_LEN(server_defs) };

static const struct flag_set *const setting_sets[] = { &global_flags, &server_flags };
enum { SETTING_COUNT = ARRAY_LEN(global_defs) + ARRAY_LEN(server_defs) };

struct settings {
	const struct flags *flags;
	struct config_file file;
	const char *file_path;       /* of the file that was read, NULL if none was */
	struct err file_fault;       /* why not, if that is to be told; else ERR_OK */
	char default_path[PATH_MAX]; /* of the configuration file; "" when there is no home */
	const char *own_server;      /* settings_set_server */
	char **words; /* lists from the environment, split; NULL-terminated, see settings_item */
};

static const struct flag_def *setting_at(size_t i)
{
	return i < ARRAY_LEN(global_defs) ? &global_defs[i]
					  : &server_defs[i - ARRAY_LEN(global_defs)];
}

const struct flag_def *settings_flag(const char *key)
{
	return flag_find(setting_sets, ARRAY_LEN(setting_sets), str_of(key));
}

static const char *env_of(const char *key)
{
	static const char *const prefixes[] = { "TYCHO_", "HUBBLE_" };

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		char name[80];
		int n = snprintf(name, sizeof name, "%s%s", prefixes[i], key);
		for (char *c = name; n < (int)sizeof name && *c; c++)
			*c = (char)(*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c & ~0x20 : *c);
		const char *v = n < (int)sizeof name ? getenv(name) : NULL;
		if (v && *v)
			return v;
	}
	return NULL;
}

static void find_default_path(struct settings *s)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n = 0;

	if (xdg && *xdg)
		n = snprintf(s->default_path, sizeof s->default_path, "%s/tycho/config.yaml", xdg);
	else if (home && *home)
		n = snprintf(s->default_path, sizeof s->default_path,
			     "%s/.config/tycho/config.yaml", home);
	if (n >= (int)sizeof s->default_path)
		s->default_path[0] = '\0';
}

/* The file's value, if it is the file's to say: where the file is, it cannot. */
static const struct config_value *file_value(const struct settings *s, const char *key)
{
	return strcmp(key, "config") == 0 ? NULL : config_file_find(&s->file, key);
}

const char *settings_default(const struct settings *s, const struct flag_def *def)
{
	if (strcmp(def->name, "config") == 0)
		return s->default_path;
	return def->def ? def->def : def->type == FLAG_BOOL ? "false" : "";
}

void settings_set_server(struct settings *s, const char *address)
{
	s->own_server = address;
}

const char *settings_text(const struct settings *s, const char *key)
{
	const struct config_value *v;
	const struct flag_def *def;
	const char *env;

	if (s->own_server && strcmp(key, "server") == 0)
		return s->own_server;
	if (flags_given(s->flags, key))
		return flags_text(s->flags, key);
	if ((env = env_of(key)))
		return env;
	if ((v = file_value(s, key)))
		return v->count && !v->is_list ? v->items[0] : "";
	return (def = settings_flag(key)) ? settings_default(s, def) : "";
}

bool settings_bool(const struct settings *s, const char *key)
{
	bool yes = false;

	return parse_bool(str_of(settings_text(s, key)), &yes) && yes;
}

int64_t settings_duration_ns(const struct settings *s, const char *key)
{
	struct str text = str_of(settings_text(s, key));
	uint64_t number;
	int64_t ns;

	if (duration_parse(text, &ns))
		return ns;
	return parse_u64(text, INT64_MAX, &number) ? (int64_t)number : 0;
}

/* Words of a variable: separated by blanks, as viper has it; where the values are paths also by
 * commas. */
static const char *env_item(const struct settings *s, const char *key, size_t i)
{
	for (size_t k = 0; s->words && s->words[k]; k += 2)
		if (strcmp(s->words[k], key) == 0 && i-- == 0)
			return s->words[k + 1];
	return NULL;
}

const char *settings_item(const struct settings *s, const char *key, size_t i)
{
	const struct config_value *v;

	if (flags_given(s->flags, key))
		return flags_item(s->flags, key, i);
	if (env_of(key))
		return env_item(s, key, i);
	v = file_value(s, key);
	return v && i < v->count ? v->items[i] : NULL;
}

static enum err_code add_word(struct settings *s, size_t *count, const char *key, struct str word,
			      struct err *e)
{
	char **grown = reallocarray(s->words, *count + 3, sizeof *grown);

	if (!grown)
		return err_set(e, ERR_NOMEM, "environment");
	s->words = grown;
	grown[*count] = str_dup(str_of(key));
	grown[*count + 1] = str_dup(word);
	grown[*count + 2] = NULL;
	if (!grown[*count] || !grown[*count + 1])
		return err_set(e, ERR_NOMEM, "environment");
	*count += 2;
	return ERR_OK;
}

static enum err_code split_env_lists(struct settings *s, struct err *e)
{
	size_t count = 0;

	/* Filters are JSON objects, several of which may follow each other: the JSON reader splits
	 * them. */
	static const char *const filters[] = { "allowlist", "denylist" };
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		const char *env = env_of(filters[i]);
		if (env && add_word(s, &count, filters[i], str_of(env), e) != ERR_OK)
			return e->code;
	}
	const char *files = env_of("tls-ca-cert-files");
	struct str rest = str_of(files), word;
	for (size_t i = 0; files && i < rest.len;) {
		size_t from = i;
		while (i < rest.len && !strchr(" \t\n,", rest.p[i]))
			i++;
		word = str_n(rest.p + from, i - from);
		if (word.len && add_word(s, &count, "tls-ca-cert-files", word, e) != ERR_OK)
			return e->code;
		i++;
	}
	return ERR_OK;
}

enum err_code settings_load(const struct flags *flags, struct settings **ret, struct err *e)
{
	AUTO(settings_free) struct settings *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "settings");
	s->flags = flags;
	find_default_path(s);
	if (split_env_lists(s, e) != ERR_OK)
		return e->code;
	const char *path = settings_text(s, "config");
	const bool is_named = flags_given(flags, "config") || env_of("config");
	struct err fault = { .code = ERR_OK };
	if (*path && config_file_load(path, &s->file, &fault) == ERR_OK)
		s->file_path = path;
	else
		s->file = (struct config_file){ 0 };
	if (fault.code != ERR_NOT_FOUND || is_named)
		s->file_fault = fault;
	*ret = TAKE(s);
	return ERR_OK;
}

const char *settings_file(const struct settings *s)
{
	return s->file_path;
}

const struct err *settings_file_fault(const struct settings *s)
{
	return s->file_fault.code != ERR_OK ? &s->file_fault : NULL;
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	config_file_done(&s->file);
	for (size_t i = 0; s->words && s->words[i]; i++)
		free(s->words[i]);
	free(s->words);
	free(s);
}

bool settings_want_tls(const struct settings *s)
{
	return settings_bool(s, "tls") ||
	       str_has_prefix(str_of(settings_text(s, "server")), STR("tls://"));
}

/* Does the file hold PEM, and of the kind @marker begins? */
static enum err_code check_pem(const char *path, const char *marker, bool *ret_is_pem,
			       struct err *e)
{
	char text[65536];
	AUTO_FD int fd = -1;

	if (file_open(path, &fd, e) != ERR_OK)
		return e->code;
	ssize_t n = read(fd, text, sizeof text);
	if (n < 0)
		return err_os(e, "read %s", path);
	*ret_is_pem = memmem(text, (size_t)n, marker, strlen(marker)) != NULL;
	return ERR_OK;
}

static enum err_code check_certificates(const struct settings *s, struct err *e)
{
	static const char *const pair[] = { "tls-client-cert-file", "tls-client-key-file" };
	const char *path;
	bool is_pem = true;

	for (size_t i = 0; (path = settings_item(s, "tls-ca-cert-files", i)); i++) {
		if (check_pem(path, "-----BEGIN CERTIFICATE-----", &is_pem, e) != ERR_OK)
			return err_in(e, "cannot load cert '%s'", path);
		if (!is_pem)
			return err_set(
				e, ERR_PARSE,
				"cannot process cert '%s': must be a PEM encoded certificate",
				path);
	}
	for (size_t i = 0; i < ARRAY_LEN(pair); i++) {
		path = settings_text(s, pair[i]);
		if (*path && check_pem(path, "-----BEGIN ", &is_pem, e) != ERR_OK)
			return e->code;
		if (!is_pem)
			return err_set(e, ERR_PARSE, "tls: failed to find any PEM data in %s",
				       path);
	}
	return ERR_OK;
}

enum err_code settings_check_values(const struct settings *s, struct err *e)
{
	/* Flags were checked when they were read. */
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct flag_def *def = setting_at(i);
		const char *text = settings_text(s, def->name), *wanted = NULL;
		int64_t ns;
		uint64_t number;
		bool yes;

		if (flags_given(s->flags, def->name) || !*text)
			continue;
		if (def->type == FLAG_BOOL && !parse_bool(str_of(text), &yes))
			wanted = "true or false";
		if (def->type == FLAG_DURATION && !duration_parse(str_of(text), &ns) &&
		    !parse_u64(str_of(text), INT64_MAX, &number))
			wanted = "a duration such as 5s";
		if (wanted && env_of(def->name))
			return err_set(
				e, ERR_INVALID,
				"invalid value \"%s\" of '%s' in the environment: expected %s",
				text, def->name, wanted);
		if (wanted)
			return err_set(e, ERR_INVALID,
				       "invalid value \"%s\" of '%s' in %s: expected %s", text,
				       def->name, s->file_path, wanted);
	}
	return ERR_OK;
}

enum err_code settings_check(const struct settings *s, struct err *e)
{
	bool cert = *settings_text(s, "tls-client-cert-file"),
	     key = *settings_text(s, "tls-client-key-file");
	bool user = *settings_text(s, "basic-auth-username"),
	     password = *settings_text(s, "basic-auth-password");

	if (user != password)
		return err_set(e, ERR_INVALID,
			       "invalid flag(s): must specify both basic-auth-username and "
			       "basic-auth-password");
	if (cert != key)
		return err_set(e, ERR_INVALID,
			       "invalid flag(s): certificate and private key are both required, "
			       "but only one was provided");
	if (cert && !settings_want_tls(s))
		return err_set(e, ERR_INVALID,
			       "invalid flag(s): transport layer security required");
	return settings_want_tls(s) ? check_certificates(s, e) : ERR_OK;
}

bool settings_has_key(const struct settings *s, const char *key)
{
	return settings_flag(key) || config_file_find(&s->file, key);
}

/* The text of a flag or default as it is shown: durations in their one normal form. */
static void put_typed(struct buf *b, const struct flag_def *def, const char *text)
{
	AUTO_BUF struct buf normal = buf_init(64);
	uint64_t number;
	int64_t ns;
	bool yes;

	if (def->type == FLAG_UINT16 && flag_parse_uint(text, 0, 16, &number, NULL) == ERR_OK) {
		buf_u64(&normal, number);
		yaml_put_string(b, buf_str(&normal));
	} else if (def->type == FLAG_BOOL && parse_bool(str_of(text), &yes)) {
		buf_str_put(b, yes ? STR("true") : STR("false"));
	} else if (def->type == FLAG_DURATION && duration_parse(str_of(text), &ns)) {
		duration_put(&normal, ns);
		yaml_put_string(b, buf_str(&normal));
	} else {
		yaml_put_string(b, str_of(text));
	}
}

static void put_list(const struct settings *s, const char *key, const char *indent, struct buf *b)
{
	const char *item;

	for (size_t i = 0; (item = settings_item(s, key, i)); i++) {
		buf_printf(b, "%s- ", indent);
		yaml_put_string(b, str_of(item));
		buf_char(b, '\n');
	}
}

/* Value of @def as "key: value" shows it, from wherever it comes, after "key:". */
static void put_setting(const struct settings *s, const struct flag_def *def, struct buf *b)
{
	bool flag = flags_given(s->flags, def->name);
	const struct config_value *v = file_value(s, def->name);

	if (!flag && !env_of(def->name) && v) {
		config_value_put(b, v);
		return;
	}
	buf_printf(b, "%s:", def->name);
	if (def->type == FLAG_STRING_SLICE && (flag || !env_of(def->name))) {
		buf_str_put(b, settings_item(s, def->name, 0) ? STR("\n") : STR(" []\n"));
		put_list(s, def->name, "    ", b);
		return;
	}
	buf_char(b, ' ');
	if (!flag && env_of(def->name))
		yaml_put_string(b, str_of(env_of(def->name)));
	else
		put_typed(b, def, settings_text(s, def->name));
	buf_char(b, '\n');
}

void settings_put_yaml(const struct settings *s, struct buf *b)
{
	const struct flag_def *sorted[SETTING_COUNT];
	size_t count = 0, from_file = 0;

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		/* The reference does not know it: it is shown where it is used. */
		if (strcmp(setting_at(i)->name, "token-file") == 0 &&
		    !*settings_text(s, "token-file"))
			continue;
		size_t at = count++;
		for (; at && strcmp(sorted[at - 1]->name, setting_at(i)->name) > 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = setting_at(i);
	}
	for (size_t i = 0; i < count || from_file < s->file.count;) {
		const struct config_value *v =
			from_file < s->file.count ? &s->file.values[from_file] : NULL;
		if (v && (i == count || strcmp(v->key, sorted[i]->name) < 0)) {
			if (!settings_flag(v->key))
				config_value_put(b, v);
			from_file++;
		} else {
			put_setting(s, sorted[i++], b);
		}
	}
}

enum err_code settings_put_one(const struct settings *s, const char *key, struct buf *b,
			       struct err *e)
{
	const struct flag_def *def = settings_flag(key);
	AUTO_BUF struct buf normal = buf_init(64);

	if (!settings_has_key(s, key))
		return err_set(e, ERR_NOT_FOUND, "unknown key: %s", key);
	if (!def)
		return err_set(e, ERR_INVALID, "key=%s not bound to a flag", key);
	if (def->type == FLAG_STRING_SLICE) {
		if (!settings_item(s, key, 0))
			buf_lit(b, "[]\n");
		put_list(s, key, "", b);
		return ERR_OK;
	}
	if (def->type == FLAG_BOOL) {
		buf_str_put(b, settings_bool(s, key) ? STR("true") : STR("false"));
	} else if (def->type == FLAG_DURATION) {
		duration_put(&normal, settings_duration_ns(s, key));
		yaml_put_string(b, buf_str(&normal));
	} else if (flags_given(s->flags, key)) {
		put_typed(b, def, settings_text(s, key));
	} else {
		yaml_put_string(b, str_of(settings_text(s, key)));
	}
	buf_char(b, '\n');
	return ERR_OK;
}
