#include "observer/kubernetes/may.h"

#include <jansson.h>

enum { ANSWER_MAX = 64 << 10 };

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

enum err_code kube_may(const struct kube_config *config, const char *verb, const char *group,
		       const char *resource, bool *ret_may, struct err *e)
{
	AUTO(own_free) char *review = review_of(verb, group, resource);
	char why[CURL_ERROR_SIZE] = "";
	CURL *c = kube_client_new(config, why);
	json_t *v = NULL;
	struct err mine;

	e = e ? e : &mine;
	enum err_code code =
		c && review
			? kube_client_ask(c, why, config,
					  "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
					  review, ANSWER_MAX, &v, e)
			: err_set(e, ERR_NOMEM, "a request");
	if (c)
		curl_easy_cleanup(c);
	if (code != ERR_OK)
		return code;
	const json_t *allowed = json_object_get(json_object_get(v, "status"), "allowed");
	if (json_is_boolean(allowed))
		*ret_may = json_is_true(allowed);
	else
		code = err_set(e, ERR_UNAVAILABLE, "the answer says neither yes nor no");
	json_decref(v);
	return code;
}
