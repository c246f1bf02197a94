#include "kube/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/watch.h"
#include "kube/kubeconfig.h"

/* The word before "/v1" and "/v1beta1". */
#define GROUP "client.authentication.k8s.io/"

enum { WORDS_MOST = 256, INFO_MAX = 4 << 20, CA_MAX = 1 << 20 };
#define SOON_NS (10 * NS_PER_S) /* what ends this soon is as good as over */

extern char **environ;

struct words {
	char *list[WORDS_MOST + 1]; /* own; ends with a NULL, as exec wants it */
	size_t count;
};

struct kube_exec {
	struct words argv, env; /* @env: what it gets beside ours */
	char *version;          /* GROUP "v1" */
	char *hint;             /* how to install it; NULL: not said */
	json_t *cluster;        /* for its KUBERNETES_EXEC_INFO; NULL: it does not want to know */
	bool may_ask, must_ask; /* somebody at the terminal */
	bool has_said;
	struct wall_ns until; /* what it said holds; 0: as long as we run */
};

static void words_done(struct words *w)
{
	for (size_t i = 0; i < w->count; i++) {
		explicit_bzero(w->list[i], strlen(w->list[i]));
		free(w->list[i]);
	}
	w->count = 0;
}

/* Takes @word; NULL: no memory. */
static enum err_code words_take(struct words *w, char *word, struct err *e)
{
	if (!word)
		return err_set(e, ERR_NOMEM, "exec");
	if (w->count == WORDS_MOST) {
		free(word);
		return err_set(e, ERR_INVALID, "exec: more than %d words", WORDS_MOST);
	}
	w->list[w->count++] = word;
	w->list[w->count] = NULL;
	return ERR_OK;
}

void kube_exec_free(struct kube_exec *x)
{
	if (!x)
		return;
	words_done(&x->argv);
	words_done(&x->env);
	free(x->version);
	free(x->hint);
	json_decref(x->cluster);
	free(x);
}

/* --- what the file says ------------------------------------------------------------------ */

static const char *text_of(const json_t *v, const char *key)
{
	const char *text = json_string_value(json_object_get(v, key));

	return text && *text ? text : NULL;
}

static enum err_code read_command(struct kube_exec *x, const json_t *exec, const char *folder,
				  struct err *e)
{
	const char *command = text_of(exec, "command");
	char *path = NULL;
	const json_t *arg;
	size_t i;

	if (!command)
		return err_set(e, ERR_INVALID, "exec: command is missing");
	bool is_relative = *command != '/' && strchr(command, '/');
	if (asprintf(&path, "%s%s%s", is_relative ? folder : "", is_relative ? "/" : "", command) <
	    0)
		path = NULL;
	enum err_code code = words_take(&x->argv, path, e);
	json_array_foreach(json_object_get(exec, "args"), i, arg)
	{
		if (code == ERR_OK && !json_is_string(arg))
			code = err_set(e, ERR_INVALID, "exec: args: texts are wanted");
		if (code == ERR_OK)
			code = words_take(&x->argv, str_dup(str_of(json_string_value(arg))), e);
	}
	return code;
}

static enum err_code read_environment(struct kube_exec *x, const json_t *exec, struct err *e)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(exec, "env"), i, entry)
	{
		const char *name = text_of(entry, "name");
		const char *value = json_string_value(json_object_get(entry, "value"));
		char *word = NULL;
		if (!name || strchr(name, '='))
			return err_set(e, ERR_INVALID, "exec: env: a name is wanted");
		if (asprintf(&word, "%s=%s", name, value ? value : "") < 0)
			word = NULL;
		if (words_take(&x->env, word, e) != ERR_OK)
			return e->code;
	}
	return ERR_OK;
}

/* The CA as the program is told of it: its PEM text in base64. */
static enum err_code put_ca(json_t *to, const char *path, const char *folder, struct err *e)
{
	AUTO_BUF struct buf pem = buf_init(CA_MAX);
	AUTO(own_free) char *full = NULL;
	const char *slash = *path == '/' ? "" : "/";

	if (asprintf(&full, "%s%s%s", *slash ? folder : "", slash, path) < 0)
		return err_set(e, ERR_NOMEM, "exec");
	if (file_read(full, "the certificate authority", &pem, e) != ERR_OK)
		return e->code;
	AUTO(own_free) unsigned char *coded = malloc(pem.len / 3 * 4 + 5);
	if (!coded)
		return err_set(e, ERR_NOMEM, "exec");
	(void)EVP_EncodeBlock(coded, (const unsigned char *)buf_cstr(&pem), (int)pem.len);
	return json_object_set_new(to, "certificate-authority-data",
				   json_string((const char *)coded)) == 0
		       ? ERR_OK
		       : err_set(e, ERR_NOMEM, "exec");
}

static enum err_code read_cluster(struct kube_exec *x, struct kube_piece cluster, struct err *e)
{
	static const char *const told[] = { "server", "tls-server-name", "insecure-skip-tls-verify",
					    "certificate-authority-data", "proxy-url" };
	const char *ca = text_of(cluster.json, "certificate-authority");
	const json_t *extension;
	size_t i;

	/* Copies: what was read is wiped. */
	x->cluster = json_object();
	bool ok = x->cluster;
	for (i = 0; ok && i < ARRAY_LEN(told); i++)
		if (json_object_get(cluster.json, told[i]))
			ok = json_object_set_new(
				     x->cluster, told[i],
				     json_deep_copy(json_object_get(cluster.json, told[i]))) == 0;
	json_array_foreach(json_object_get(cluster.json, "extensions"), i, extension)
	{
		const char *name = text_of(extension, "name");
		if (ok && name && strcmp(name, GROUP "exec") == 0)
			ok = json_object_set_new(
				     x->cluster, "config",
				     json_deep_copy(json_object_get(extension, "extension"))) == 0;
	}
	if (!ok)
		return err_set(e, ERR_NOMEM, "exec");
	return ca && !text_of(cluster.json, "certificate-authority-data")
		       ? put_ca(x->cluster, ca, cluster.folder, e)
		       : ERR_OK;
}

static enum err_code read_all(struct kube_exec *x, struct kube_piece from,
			      struct kube_piece cluster, struct err *e)
{
	const json_t *exec = from.json;
	const char *version = text_of(exec, "apiVersion"), *hint = text_of(exec, "installHint"),
		   *mode = text_of(exec, "interactiveMode");

	if (!version || (strcmp(version, GROUP "v1") != 0 && strcmp(version, GROUP "v1beta1") != 0))
		return err_set(e, ERR_UNSUPPORTED,
			       "exec: apiVersion: " GROUP "v1 or v1beta1 is wanted");
	x->may_ask = !mode || strcmp(mode, "Never") != 0;
	x->must_ask = mode && strcmp(mode, "Always") == 0;
	x->version = str_dup(str_of(version));
	x->hint = hint ? str_dup(str_of(hint)) : NULL;
	if (!x->version || (hint && !x->hint))
		return err_set(e, ERR_NOMEM, "exec");
	enum err_code code = read_command(x, exec, from.folder, e);
	if (code == ERR_OK)
		code = read_environment(x, exec, e);
	if (code == ERR_OK && json_is_true(json_object_get(exec, "provideClusterInfo")))
		code = read_cluster(x, cluster, e);
	return code;
}

enum err_code kube_exec_read(struct kube_piece exec, struct kube_piece cluster,
			     struct kube_exec **ret, struct err *e)
{
	AUTO(kube_exec_free) struct kube_exec *x = calloc(1, sizeof *x);

	if (!x)
		return err_set(e, ERR_NOMEM, "exec");
	if (read_all(x, exec, cluster, e) != ERR_OK)
		return e->code;
	*ret = TAKE(x);
	return ERR_OK;
}

/* --- the program ------------------------------------------------------------------------- */

/* "KUBERNETES_EXEC_INFO=…", own; NULL: no memory. */
static char *exec_info(const struct kube_exec *x, bool interactive)
{
	json_t *v = json_pack("{s:s,s:s,s:{s:b}}", "kind", "ExecCredential", "apiVersion",
			      x->version, "spec", "interactive", interactive);
	char *text = NULL, *word = NULL;

	if (v && (!x->cluster ||
		  json_object_set(json_object_get(v, "spec"), "cluster", x->cluster) == 0))
		text = json_dumps(v, JSON_COMPACT);
	if (text && asprintf(&word, "KUBERNETES_EXEC_INFO=%s", text) < 0)
		word = NULL;
	free(text);
	json_decref(v);
	return word;
}

static bool is_same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

/* Our environment, and instead or besides what the program is to have. Words are borrowed. */
static char **environment_of(const struct kube_exec *x, char *info)
{
	size_t count = 0, n = 0;

	while (environ[count])
		count++;
	char **all = calloc(count + x->env.count + 2, sizeof *all);
	if (!all)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		bool replaced = is_same_name(environ[i], info);
		for (size_t k = 0; !replaced && k < x->env.count; k++)
			replaced = is_same_name(environ[i], x->env.list[k]);
		if (!replaced)
			all[n++] = environ[i];
	}
	for (size_t k = 0; k < x->env.count; k++)
		all[n++] = x->env.list[k];
	all[n] = info;
	return all;
}

/* Its pid; *@ret_fd reads what it prints. */
static enum err_code start(const struct kube_exec *x, bool interactive, pid_t *ret_pid, int *ret_fd,
			   struct err *e)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t none, usual;
	int fds[2];

	AUTO(own_free) char *info = exec_info(x, interactive);
	AUTO(own_free) char **env = info ? environment_of(x, info) : NULL;
	if (!env)
		return err_set(e, ERR_NOMEM, "exec");
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_os(e, "pipe");
	AUTO_FD int in = fds[0];
	AUTO_FD int out = fds[1];
	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	int rc = posix_spawn_file_actions_init(&files);
	rc = rc ? rc : posix_spawnattr_init(&how);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (!interactive)
		rc = rc ? rc
			: posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
							   O_RDONLY, 0);
	rc = rc ? rc : posix_spawnattr_setsigmask(&how, &none);
	rc = rc ? rc : posix_spawnattr_setsigdefault(&how, &usual);
	rc = rc ? rc
		: posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = rc ? rc : posix_spawnp(ret_pid, x->argv.list[0], &files, &how, x->argv.list, env);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&how);
	if (rc) {
		errno = rc;
		(void)err_os(e, "start '%s'", x->argv.list[0]);
		return rc == ENOENT && x->hint ? err_set(e, ERR_NOT_FOUND, "there is no '%s': %s",
							 x->argv.list[0], x->hint)
					       : e->code;
	}
	*ret_fd = TAKE_FD(in);
	return ERR_OK;
}

static enum err_code read_output(int fd, struct buf *out, struct err *e)
{
	for (;;) {
		char *room = buf_reserve(out, 4096);
		ssize_t n = room ? read(fd, room, 4096) : 0;
		if (!room)
			return err_set(e, ERR_PARSE, "prints more than %d bytes",
				       KUBE_EXEC_ANSWER_MAX);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(e, "read");
		if (n == 0)
			return ERR_OK;
		out->len += (size_t)n;
	}
}

static enum err_code run(const struct kube_exec *x, struct buf *out, struct err *e)
{
	bool interactive = x->may_ask && isatty(STDIN_FILENO);
	int raw_fd = -1, status = 0;
	pid_t pid = 0;

	if (x->must_ask && !interactive)
		return err_set(e, ERR_UNAVAILABLE, "'%s' wants to ask somebody at a terminal",
			       x->argv.list[0]);
	if (start(x, interactive, &pid, &raw_fd, e) != ERR_OK)
		return e->code;
	AUTO_FD int fd = raw_fd;
	enum err_code code = read_output(fd, out, e);
	if (code != ERR_OK)
		(void)kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (code != ERR_OK)
		return err_in(e, "'%s'", x->argv.list[0]);
	if (WIFSIGNALED(status))
		return err_set(e, ERR_UNAVAILABLE, "'%s' was ended by signal %d", x->argv.list[0],
			       WTERMSIG(status));
	return WEXITSTATUS(status) == 0 ? ERR_OK
					: err_set(e, ERR_UNAVAILABLE, "'%s' ended with status %d",
						  x->argv.list[0], WEXITSTATUS(status));
}

/* --- what it said ------------------------------------------------------------------------ */

/* jansson lends its texts for reading; these are about to go. */
void kube_wipe_texts(json_t *v)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_string(v))
		explicit_bzero((void *)(uintptr_t)json_string_value(v), json_string_length(v));
	json_object_foreach(v, key, member) kube_wipe_texts(member);
	json_array_foreach(v, i, member) kube_wipe_texts(member);
}

static void replace(char **at, char *with)
{
	if (*at)
		explicit_bzero(*at, strlen(*at));
	free(*at);
	*at = with;
}

static enum err_code take_answer(struct kube_config *config, struct str text, struct err *e)
{
	struct kube_exec *x = config->exec;
	json_t *v = json_loadb(text.p ? text.p : "", text.len, 0, NULL);
	const json_t *status = json_object_get(v, "status");
	const char *token = text_of(status, "token"),
		   *cert = text_of(status, "clientCertificateData"),
		   *key = text_of(status, "clientKeyData"),
		   *until = text_of(status, "expirationTimestamp"),
		   *version = text_of(v, "apiVersion");
	struct timestamp end;
	struct wall_ns ends = { 0 };
	enum err_code code = ERR_OK;

	if (!v || !version || strcmp(version, x->version) != 0)
		code = err_set(e, ERR_PARSE, "what '%s' prints is no ExecCredential of %s",
			       x->argv.list[0], x->version);
	else if ((!token && !cert) || !cert != !key)
		code = err_set(e, ERR_PARSE,
			       "'%s' prints neither a token nor a certificate and its "
			       "key",
			       x->argv.list[0]);
	else if (until && (!timestamp_parse(str_of(until), &end) || !timestamp_to_wall(end, &ends)))
		code = err_set(e, ERR_PARSE, "'%s': expirationTimestamp is no time",
			       x->argv.list[0]);
	if (code == ERR_OK) {
		replace(&config->token, token ? str_dup(str_of(token)) : NULL);
		replace(&config->cert_pem, cert ? str_dup(str_of(cert)) : NULL);
		replace(&config->key_pem, key ? str_dup(str_of(key)) : NULL);
		x->until = ends;
		x->has_said = true;
		if ((token && !config->token) || (cert && (!config->cert_pem || !config->key_pem)))
			code = err_set(e, ERR_NOMEM, "credentials");
	}
	kube_wipe_texts(v);
	json_decref(v);
	return code;
}

enum err_code kube_exec_sign_in(struct kube_config *config, struct wall_ns now, struct err *e)
{
	AUTO_BUF struct buf out = buf_init_secret(KUBE_EXEC_ANSWER_MAX);
	struct kube_exec *x = config->exec;
	struct err mine;

	e = e ? e : &mine;
	if (!x || (x->has_said && (!x->until.v || now.v + SOON_NS < x->until.v)))
		return ERR_OK;
	enum err_code code = run(x, &out, e);
	return code == ERR_OK ? take_answer(config, buf_str(&out), e) : code;
}

void kube_exec_forget(struct kube_config *config)
{
	if (config->exec)
		config->exec->has_said = false;
}
