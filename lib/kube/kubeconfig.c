#include "kube/kubeconfig.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "base/watch.h"
#include "kube/exec.h"
#include "policy/policy.h"

#define POD_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount/"

/* One file of several: what it says, and where names of files in it begin. */
struct part {
	json_t *documents; /* as policy_yaml makes them */
	const json_t *all; /* the first one */
	char *folder;
};
struct parts {
	struct part list[KUBE_CONFIG_FILES];
	size_t count;
	bool of_person;
};

void kube_config_free(struct kube_config *c)
{
	if (!c)
		return;
	free(c->server);
	curl_slist_free_all(c->connect_to);
	free(c->proxy);
	kube_exec_free(c->exec);
	free(c->ca_file);
	free(c->ca_pem);
	free(c->cert_file);
	free(c->cert_pem);
	free(c->key_file);
	if (c->key_pem)
		explicit_bzero(c->key_pem, strlen(c->key_pem));
	free(c->key_pem);
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	free(c->token_file);
	free(c->context);
	free(c);
}

/* RFC 4648 §4, blanks between allowed. NULL: it is none, or no memory. */
static char *base64_text(struct str s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = malloc(s.len / 4 * 3 + 4);
	uint32_t bits = 0;
	unsigned count = 0, padding = 0;
	size_t n = 0;

	for (size_t i = 0; out && i < s.len; i++) {
		const char *at = s.p[i] ? strchr(digits, s.p[i]) : NULL;
		if (s.p[i] == '\n' || s.p[i] == '\r' || s.p[i] == ' ')
			continue;
		if (s.p[i] == '=' && count >= 2 && count + ++padding <= 4)
			continue;
		if (!at || padding) {
			explicit_bzero(out, n);
			free(out);
			return NULL;
		}
		bits = bits << 6 | (uint32_t)(at - digits);
		if (++count == 4) {
			out[n++] = (char)(bits >> 16);
			out[n++] = (char)(bits >> 8);
			out[n++] = (char)bits;
			count = 0;
			bits = 0;
		}
	}
	if (!out)
		return NULL;
	if (count == 1 || (count && padding && count + padding != 4)) {
		explicit_bzero(out, n);
		free(out);
		return NULL;
	}
	if (count >= 2)
		out[n++] = (char)(bits >> (count == 2 ? 4 : 10));
	if (count == 3)
		out[n++] = (char)(bits >> 2);
	out[n] = 0;
	return out;
}

/* The first entry of @list that is called @name: its member @what, and the folder of its file. */
static const json_t *named(const struct parts *parts, const char *list, const char *name,
			   const char *what, const char **ret_folder)
{
	const json_t *entry;
	size_t i;

	for (size_t p = 0; p < parts->count; p++)
		json_array_foreach(json_object_get(parts->list[p].all, list), i, entry)
		{
			const char *n = json_string_value(json_object_get(entry, "name"));
			if (n && strcmp(n, name) == 0) {
				*ret_folder = parts->list[p].folder;
				return json_object_get(entry, what);
			}
		}
	return NULL;
}

static bool is_given(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return v && !json_is_null(v) && !json_is_false(v) &&
	       !(json_is_string(v) && !json_string_length(v));
}

static enum err_code refuse(const json_t *object, const char *const (*keys)[2], size_t count,
			    struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (is_given(object, keys[i][0]))
			return err_set(e, ERR_UNSUPPORTED, "%s: %s", keys[i][0], keys[i][1]);
	return ERR_OK;
}

static enum err_code take_text(const json_t *from, const char *key, char **ret, struct err *e)
{
	const json_t *v = json_object_get(from, key);

	if (!is_given(from, key))
		return ERR_OK;
	if (!json_is_string(v))
		return err_set(e, ERR_INVALID, "%s: text is wanted", key);
	*ret = str_dup(str_n(json_string_value(v), json_string_length(v)));
	return *ret ? ERR_OK : err_set(e, ERR_NOMEM, "%s", key);
}

static enum err_code take_path(const json_t *from, const char *key, const char *folder, char **ret,
			       struct err *e)
{
	AUTO(own_free) char *text = NULL;
	char *joined = NULL;
	enum err_code code = take_text(from, key, &text, e);

	if (code != ERR_OK || !text)
		return code;
	if (*text == '/')
		joined = TAKE(text);
	else if (asprintf(&joined, "%s/%s", folder, text) < 0)
		return err_set(e, ERR_NOMEM, "%s", key);
	*ret = joined;
	return ERR_OK;
}

/* A file, or "-data": the text itself in base64, which wins. */
static enum err_code take_pem(const json_t *from, const char *key, const char *folder,
			      char **ret_file, char **ret_pem, struct err *e)
{
	char data_key[64];
	const json_t *v;

	(void)snprintf(data_key, sizeof data_key, "%s-data", key);
	v = json_object_get(from, data_key);
	if (!is_given(from, data_key))
		return take_path(from, key, folder, ret_file, e);
	if (json_is_string(v))
		*ret_pem = base64_text(str_n(json_string_value(v), json_string_length(v)));
	return *ret_pem ? ERR_OK : err_set(e, ERR_INVALID, "%s: base64 is wanted", data_key);
}

/* The server's certificate has @name, not the name or address in @c->server: that becomes part of
 * the URL, and curl is told where it really is. */
static enum err_code call_it(struct kube_config *c, const char *name, struct err *e)
{
	const char *host = strstr(c->server, "://") + 3;
	size_t len = strcspn(host, "/");
	const char *colon = memrchr(host, ':', len);
	bool has_port = colon && !memchr(colon, ']', (size_t)(host + len - colon));
	size_t host_len = has_port ? (size_t)(colon - host) : len;
	struct str port =
		has_port ? str_n(colon + 1, (size_t)(host + len - colon) - 1) : STR("443");
	bool is_v6 = strchr(name, ':');
	AUTO(own_free) char *url = NULL;
	AUTO(own_free) char *to = NULL;

	if (name[strcspn(name, "/@?# ")])
		return err_set(e, ERR_INVALID, "tls-server-name: a name is wanted");
	if (asprintf(&url, "%.*s%s%s%s:%.*s%s", (int)(host - c->server), c->server,
		     is_v6 ? "[" : "", name, is_v6 ? "]" : "", STR_FMT(port), host + len) < 0)
		url = NULL;
	if (asprintf(&to, "::%.*s:%.*s", (int)host_len, host, STR_FMT(port)) < 0)
		to = NULL;
	c->connect_to = to ? curl_slist_append(NULL, to) : NULL;
	if (!url || !c->connect_to)
		return err_set(e, ERR_NOMEM, "tls-server-name");
	free(c->server);
	c->server = TAKE(url);
	return ERR_OK;
}

static enum err_code take_cluster(struct kube_piece from, struct kube_config *c, struct err *e)
{
	const json_t *cluster = from.json;
	AUTO(own_free) char *name = NULL;
	enum err_code code = take_text(cluster, "server", &c->server, e);

	if (code == ERR_OK)
		code = take_text(cluster, "proxy-url", &c->proxy, e);
	if (code == ERR_OK)
		code = take_text(cluster, "tls-server-name", &name, e);
	if (code == ERR_OK)
		code = take_pem(cluster, "certificate-authority", from.folder, &c->ca_file,
				&c->ca_pem, e);
	if (code != ERR_OK)
		return code;
	c->insecure = json_is_true(json_object_get(cluster, "insecure-skip-tls-verify"));
	if (!c->server ||
	    (strncmp(c->server, "https://", 8) != 0 && strncmp(c->server, "http://", 7) != 0))
		return err_set(e, ERR_INVALID, "server: https://host:port is wanted");
	for (size_t n = strlen(c->server); n && c->server[n - 1] == '/'; n--)
		c->server[n - 1] = 0;
	return name && c->server[4] == 's' ? call_it(c, name, e) : ERR_OK;
}

static enum err_code take_user(struct kube_piece from, struct kube_piece cluster, bool of_person,
			       struct kube_config *c, struct err *e)
{
	static const char *const refused[][2] = {
		{ "exec", "no other program is started for credentials; give a token, a tokenFile "
			  "or a client certificate" },
		{ "auth-provider", "is not supported; give a token, a tokenFile or a client "
				   "certificate" },
		{ "username", "names and passwords are not supported by API servers any more" },
		{ "as", "acting for somebody else is not supported" },
	};
	const json_t *user = from.json;
	const char *folder = from.folder;
	const size_t first = of_person ? 1 : 0; /* a person may well have one started */
	enum err_code code = refuse(user, refused + first, ARRAY_LEN(refused) - first, e);

	if (code == ERR_OK)
		code = take_pem(user, "client-certificate", folder, &c->cert_file, &c->cert_pem, e);
	if (code == ERR_OK)
		code = take_pem(user, "client-key", folder, &c->key_file, &c->key_pem, e);
	if (code == ERR_OK)
		code = take_text(user, "token", &c->token, e);
	if (code == ERR_OK)
		code = take_path(user, "tokenFile", folder, &c->token_file, e);
	if (code == ERR_OK && is_given(user, "exec"))
		code = kube_exec_read((struct kube_piece){ json_object_get(user, "exec"), folder },
				      cluster, &c->exec, e);
	if (code != ERR_OK)
		return code;
	if (!(c->cert_file || c->cert_pem) != !(c->key_file || c->key_pem))
		return err_set(e, ERR_INVALID, "client-certificate and client-key belong together");
	return ERR_OK;
}

static const char *current_context(const struct parts *parts)
{
	for (size_t p = 0; p < parts->count; p++)
		if (is_given(parts->list[p].all, "current-context"))
			return json_string_value(
				json_object_get(parts->list[p].all, "current-context"));
	return NULL;
}

static enum err_code take_all(const struct parts *parts, const char *context, struct kube_config *c,
			      struct err *e)
{
	const char *name = context ? context : current_context(parts), *folder = NULL;
	struct kube_piece cluster, user;

	if (!name || !*name)
		return err_set(e, ERR_NOT_FOUND, "there is no current-context; name one");
	const json_t *at = named(parts, "contexts", name, "context", &folder);
	if (!at)
		return err_set(e, ERR_NOT_FOUND, "there is no context '%s'", name);
	c->context = str_dup(str_of(name));
	if (!c->context)
		return err_set(e, ERR_NOMEM, "context");
	const char *cluster_name = json_string_value(json_object_get(at, "cluster"));
	const char *user_name = json_string_value(json_object_get(at, "user"));
	cluster.json = cluster_name
			       ? named(parts, "clusters", cluster_name, "cluster", &cluster.folder)
			       : NULL;
	if (!cluster.json)
		return err_set(e, ERR_NOT_FOUND, "there is no cluster '%s'",
			       cluster_name ? cluster_name : "");
	if (take_cluster(cluster, c, e) != ERR_OK)
		return err_in(e, "cluster '%s'", cluster_name);
	if (!user_name || !*user_name)
		return ERR_OK;
	user.json = named(parts, "users", user_name, "user", &user.folder);
	if (!user.json)
		return err_set(e, ERR_NOT_FOUND, "there is no user '%s'", user_name);
	if (take_user(user, cluster, parts->of_person, c, e) != ERR_OK)
		return err_in(e, "user '%s'", user_name);
	return ERR_OK;
}

static void parts_done(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++) {
		kube_wipe_texts(parts->list[i].documents);
		json_decref(parts->list[i].documents);
		free(parts->list[i].folder);
	}
	parts->count = 0;
}

/* One file more, whose text is @text. */
static enum err_code add_part(struct parts *parts, struct str text, struct str folder,
			      struct err *e)
{
	if (parts->count == KUBE_CONFIG_FILES)
		return err_set(e, ERR_INVALID, "more than %d files", KUBE_CONFIG_FILES);
	struct part *part = &parts->list[parts->count];
	*part = (struct part){ .folder = str_dup(folder) };
	if (!part->folder)
		return err_set(e, ERR_NOMEM, "kubeconfig");
	if (policy_yaml(text, &part->documents, e) != ERR_OK) {
		free(part->folder);
		return e->code;
	}
	part->all = json_array_get(part->documents, 0);
	parts->count++;
	return ERR_OK;
}

static enum err_code config_of(const struct parts *parts, const char *context,
			       struct kube_config **ret, struct err *e)
{
	AUTO(kube_config_free) struct kube_config *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "kubeconfig");
	c->proxy_from_environment = parts->of_person;
	if (take_all(parts, context, c, e) != ERR_OK)
		return e->code;
	*ret = TAKE(c);
	return ERR_OK;
}

enum err_code kube_config_parse(struct str text, const char *folder, const char *context,
				struct kube_config **ret, struct err *e)
{
	struct parts parts = { .count = 0 };
	struct err mine;

	e = e ? e : &mine;
	enum err_code code = add_part(&parts, text, str_of(folder), e);
	if (code == ERR_OK)
		code = config_of(&parts, context, ret, e);
	parts_done(&parts);
	return code;
}

static enum err_code add_file(struct parts *parts, const char *path, struct err *e)
{
	AUTO_BUF struct buf text = buf_init_secret(KUBE_CONFIG_MAX);
	size_t slash = str_find_last(str_of(path), '/');
	enum err_code code = file_read(path, "the kubeconfig", &text, e);

	if (code == ERR_OK && add_part(parts, buf_str(&text),
				       path[slash] ? str_n(path, slash) : STR("."), e) != ERR_OK)
		code = err_in(e, "kubeconfig '%s'", path);
	return code;
}

static enum err_code in_pod(struct kube_config **ret, struct err *e)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	AUTO(kube_config_free) struct kube_config *c = calloc(1, sizeof *c);

	if (!host || !*host || !port || !*port)
		return err_set(e, ERR_NOT_FOUND,
			       "this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST is not set); "
			       "give --kubeconfig");
	if (!c)
		return err_set(e, ERR_NOMEM, "Kubernetes");
	char server[512];
	bool is_v6 = strchr(host, ':');
	(void)snprintf(server, sizeof server, "https://%s%s%s:%s", is_v6 ? "[" : "", host,
		       is_v6 ? "]" : "", port);
	c->server = str_dup(str_of(server));
	c->ca_file = str_dup(STR(POD_FOLDER "ca.crt"));
	c->token_file = str_dup(STR(POD_FOLDER "token"));
	if (!c->server || !c->ca_file || !c->token_file)
		return err_set(e, ERR_NOMEM, "Kubernetes");
	*ret = TAKE(c);
	return ERR_OK;
}

static enum err_code read_one(const char *path, const char *context, bool of_person,
			      struct kube_config **ret, struct err *e)
{
	struct parts parts = { .of_person = of_person };
	enum err_code code = add_file(&parts, path, e);

	if (code == ERR_OK && config_of(&parts, context, ret, e) != ERR_OK)
		code = err_in(e, "kubeconfig '%s'", path);
	parts_done(&parts);
	return code;
}

enum err_code kube_config_read(const char *path, const char *context, struct kube_config **ret,
			       struct err *e)
{
	struct err mine;

	e = e ? e : &mine;
	return path ? read_one(path, context, false, ret, e) : in_pod(ret, e);
}

/* The files of @list, "a:b", that are there. */
static enum err_code add_files(struct parts *parts, const char *list, struct err *e)
{
	struct str rest = str_of(list), path;

	while (str_split(&rest, ':', &path)) {
		AUTO(own_free) char *name = str_dup(path);
		if (!name)
			return err_set(e, ERR_NOMEM, "kubeconfig");
		if (path.len && (access(name, F_OK) == 0 || errno != ENOENT) &&
		    add_file(parts, name, e) != ERR_OK)
			return e->code;
	}
	return ERR_OK;
}

enum err_code kube_config_find(const char *path, const char *context, struct kube_config **ret,
			       struct err *e)
{
	const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
	AUTO(own_free) char *usual = NULL;
	struct parts parts = { .of_person = true };
	struct err mine;

	e = e ? e : &mine;
	if (path)
		return read_one(path, context, true, ret, e);
	if (!list || !*list) {
		if (asprintf(&usual, "%s/.kube/config", home ? home : "") < 0)
			return err_set(e, ERR_NOMEM, "kubeconfig");
		list = usual;
	}
	enum err_code code = add_files(&parts, list, e);
	if (code == ERR_OK && parts.count) {
		code = config_of(&parts, context, ret, e);
		if (code != ERR_OK)
			(void)err_in(e, "kubeconfig '%s'", list);
	} else if (code == ERR_OK && (context || in_pod(ret, e) != ERR_OK)) {
		code = err_set(e, ERR_NOT_FOUND, "there is no kubeconfig ('%s'); give --kubeconfig",
			       list);
	}
	parts_done(&parts);
	return code;
}
