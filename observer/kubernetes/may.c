#include "observer/kubernetes/may.h"

#include <jansson.h>

#include "base/buf.h"

struct asking {
	CURL *curl;
	struct curl_slist *headers;
	char *body; /* own */
	struct buf url, answer;
	char why[CURL_ERROR_SIZE];
};

static void asking_done(struct asking *a)
{
	if (a->curl)
		curl_easy_cleanup(a->curl);
	curl_slist_free_all(a->headers);
	buf_done(&a->url);
	buf_done(&a->answer);
	free(a->body);
}

static size_t take_bytes(char *p, size_t size, size_t n, void *ctx)
{
	struct asking *a = ctx;

	buf_str_put(&a->answer, str_upto(str_n(p, size * n), KUBE_REFUSAL_MAX - a->answer.len));
	return size * n;
}

static char *review_of(const char *verb, const char *group, const char *resource)
{
	json_t *v =
		json_pack("{s:s,s:s,s:{s:{s:s,s:s,s:s}}}", "apiVersion", "authorization.k8s.io/v1",
			  "kind", "SelfSubjectAccessReview", "spec", "resourceAttributes", "verb",
			  verb, "group", group, "resource", resource);
	char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;

	json_decref(v);
	return text;
}

static enum err_code read_answer(const struct asking *a, bool *ret_may, struct err *e)
{
	json_t *v = json_loadb(a->answer.p ? a->answer.p : "", a->answer.len, 0, NULL);
	const json_t *allowed = json_object_get(json_object_get(v, "status"), "allowed");
	enum err_code code = ERR_OK;

	if (json_is_boolean(allowed))
		*ret_may = json_is_true(allowed);
	else
		code = err_set(e, ERR_UNAVAILABLE, "the answer says neither yes nor no");
	json_decref(v);
	return code;
}

static enum err_code ask(struct asking *a, const struct kube_config *config, struct err *e)
{
	CURL *c = a->curl;
	long status = 0;
	char why[KUBE_WHY_BYTES];

	buf_str_put(&a->url, str_of(config->server));
	buf_lit(&a->url, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
	enum err_code code = kube_client_headers(c, config, "application/json", &a->headers, e);
	if (code != ERR_OK)
		return code;
	if (curl_easy_setopt(c, CURLOPT_URL, buf_cstr(&a->url)) != CURLE_OK || a->url.failed ||
	    curl_easy_setopt(c, CURLOPT_POSTFIELDS, a->body) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_WRITEDATA, (void *)a) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)KUBE_CONNECT_MS) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "a request");
	CURLcode done = curl_easy_perform(c);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (done != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, "%s",
			       *a->why ? a->why : curl_easy_strerror(done));
	if (status == 200 || status == 201)
		return ERR_OK;
	kube_refusal_put(buf_str(&a->answer), status, why, sizeof why);
	return err_set(e, ERR_UNAVAILABLE, "%s", why);
}

enum err_code kube_may(const struct kube_config *config, const char *verb, const char *group,
		       const char *resource, bool *ret_may, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	struct asking a = { .url = buf_init(4096), .answer = buf_init(KUBE_REFUSAL_MAX) };
	a.curl = kube_client_new(config, a.why);
	a.body = review_of(verb, group, resource);
	enum err_code code =
		a.curl && a.body ? ask(&a, config, e) : err_set(e, ERR_NOMEM, "a request");
	if (code == ERR_OK)
		code = read_answer(&a, ret_may, e);
	asking_done(&a);
	return code;
}
