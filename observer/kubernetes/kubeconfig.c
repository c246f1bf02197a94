#include "observer/kubernetes/kubeconfig.h"

#include <jansson.h>

#include "base/watch.h"
#include "policy/policy.h"

#define POD_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount/"

void kube_config_free(struct kube_config *c)
{
	if (!c)
		return;
	free(c->server);
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

/* Keys and tokens may be among them. jansson lends its texts for reading; these are about to go. */
static void wipe_texts(json_t *v)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_string(v))
		explicit_bzero((void *)(uintptr_t)json_string_value(v), json_string_length(v));
	json_object_foreach(v, key, member) wipe_texts(member);
	json_array_foreach(v, i, member) wipe_texts(member);
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

/* The part of @list whose name is @name, its member @what. */
static const json_t *named(const json_t *all, const char *list, const char *name, const char *what)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(all, list), i, entry)
	{
		const char *n = json_string_value(json_object_get(entry, "name"));
		if (n && strcmp(n, name) == 0)
			return json_object_get(entry, what);
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

static enum err_code take_cluster(const json_t *cluster, const char *folder, struct kube_config *c,
				  struct err *e)
{
	static const char *const refused[][2] = {
		{ "proxy-url", "an API server behind a proxy is not supported" },
		{ "tls-server-name", "the server's certificate must have the server's own name" },
	};
	enum err_code code = refuse(cluster, refused, ARRAY_LEN(refused), e);

	if (code == ERR_OK)
		code = take_text(cluster, "server", &c->server, e);
	if (code == ERR_OK)
		code = take_pem(cluster, "certificate-authority", folder, &c->ca_file, &c->ca_pem,
				e);
	if (code != ERR_OK)
		return code;
	c->insecure = json_is_true(json_object_get(cluster, "insecure-skip-tls-verify"));
	if (!c->server ||
	    (strncmp(c->server, "https://", 8) != 0 && strncmp(c->server, "http://", 7) != 0))
		return err_set(e, ERR_INVALID, "server: https://host:port is wanted");
	for (size_t n = strlen(c->server); n && c->server[n - 1] == '/'; n--)
		c->server[n - 1] = 0;
	return ERR_OK;
}

static enum err_code take_user(const json_t *user, const char *folder, struct kube_config *c,
			       struct err *e)
{
	static const char *const refused[][2] = {
		{ "exec", "no other program is started for credentials; give a token, a tokenFile "
			  "or a client certificate" },
		{ "auth-provider", "is not supported; give a token, a tokenFile or a client "
				   "certificate" },
		{ "username", "names and passwords are not supported by API servers any more" },
		{ "as", "acting for somebody else is not supported" },
	};
	enum err_code code = refuse(user, refused, ARRAY_LEN(refused), e);

	if (code == ERR_OK)
		code = take_pem(user, "client-certificate", folder, &c->cert_file, &c->cert_pem, e);
	if (code == ERR_OK)
		code = take_pem(user, "client-key", folder, &c->key_file, &c->key_pem, e);
	if (code == ERR_OK)
		code = take_text(user, "token", &c->token, e);
	if (code == ERR_OK)
		code = take_path(user, "tokenFile", folder, &c->token_file, e);
	if (code != ERR_OK)
		return code;
	if (!(c->cert_file || c->cert_pem) != !(c->key_file || c->key_pem))
		return err_set(e, ERR_INVALID, "client-certificate and client-key belong together");
	return ERR_OK;
}

static enum err_code take_all(const json_t *all, const char *folder, const char *context,
			      struct kube_config *c, struct err *e)
{
	const char *name =
		context ? context : json_string_value(json_object_get(all, "current-context"));

	if (!name || !*name)
		return err_set(e, ERR_NOT_FOUND, "there is no current-context; name one");
	const json_t *at = named(all, "contexts", name, "context");
	if (!at)
		return err_set(e, ERR_NOT_FOUND, "there is no context '%s'", name);
	c->context = str_dup(str_of(name));
	if (!c->context)
		return err_set(e, ERR_NOMEM, "context");
	const char *cluster = json_string_value(json_object_get(at, "cluster"));
	const char *user = json_string_value(json_object_get(at, "user"));
	const json_t *in = cluster ? named(all, "clusters", cluster, "cluster") : NULL;
	if (!in)
		return err_set(e, ERR_NOT_FOUND, "there is no cluster '%s'",
			       cluster ? cluster : "");
	if (take_cluster(in, folder, c, e) != ERR_OK)
		return err_in(e, "cluster '%s'", cluster);
	if (!user || !*user)
		return ERR_OK;
	in = named(all, "users", user, "user");
	if (!in)
		return err_set(e, ERR_NOT_FOUND, "there is no user '%s'", user);
	if (take_user(in, folder, c, e) != ERR_OK)
		return err_in(e, "user '%s'", user);
	return ERR_OK;
}

enum err_code kube_config_parse(struct str text, const char *folder, const char *context,
				struct kube_config **ret, struct err *e)
{
	struct err mine;
	json_t *documents = NULL;
	e = e ? e : &mine;
	AUTO(kube_config_free) struct kube_config *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(e, ERR_NOMEM, "kubeconfig");
	enum err_code code = policy_yaml(text, &documents, e);
	if (code != ERR_OK)
		return code;
	code = take_all(json_array_get(documents, 0), folder, context, c, e);
	wipe_texts(documents);
	json_decref(documents);
	if (code == ERR_OK)
		*ret = TAKE(c);
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

enum err_code kube_config_read(const char *path, const char *context, struct kube_config **ret,
			       struct err *e)
{
	AUTO_BUF struct buf text = buf_init_secret(KUBE_CONFIG_MAX);
	struct err mine;

	e = e ? e : &mine;
	if (!path)
		return in_pod(ret, e);
	enum err_code code = file_read(path, "the kubeconfig", &text, e);
	if (code != ERR_OK)
		return code;
	size_t slash = str_find_last(str_of(path), '/');
	AUTO(own_free) char *folder = path[slash] ? str_dup(str_n(path, slash)) : str_dup(STR("."));
	if (!folder)
		return err_set(e, ERR_NOMEM, "kubeconfig");
	code = kube_config_parse(buf_str(&text), folder, context, ret, e);
	return code == ERR_OK ? code : err_in(e, "kubeconfig '%s'", path);
}
