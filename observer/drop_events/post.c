#include "observer/drop_events/post.h"

#include <jansson.h>

#include "base/log.h"
#include "observer/drop_events/event.h"

enum { URL_BYTES = 4096, BODY_BYTES = 16 << 10, AWAY = 0, NOT_TOLD = -1 };

struct drop_post {
	struct kube_config *config;
	const char *node;
	CURLM *multi;
	CURL *curl;
	struct curl_slist *headers;
	struct buf url, body, answer;
	char why[CURL_ERROR_SIZE];
	bool is_busy, is_patch;
	struct mono_ns at; /* not before */
	uint64_t pause_ns, random;
	long told_status; /* HTTP's, of the failure that was told last; AWAY; NOT_TOLD: it works */
};

static size_t take_bytes(char *p, size_t size, size_t n, void *ctx)
{
	struct drop_post *post = ctx;

	buf_str_put(&post->answer,
		    str_upto(str_n(p, size * n), KUBE_REFUSAL_MAX - post->answer.len));
	return size * n;
}

static enum err_code make(struct drop_post *p, struct err *e)
{
	p->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
	p->curl = p->multi ? kube_client_new(p->config, p->why) : NULL;
	if (!p->curl || curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, take_bytes) != CURLE_OK ||
	    curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, (void *)p) != CURLE_OK ||
	    curl_easy_setopt(p->curl, CURLOPT_TIMEOUT_MS, (long)DROP_POST_TIMEOUT_MS) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "a client of the API server");
	return ERR_OK;
}

enum err_code drop_post_new(struct kube_config *config, const char *node, uint64_t random,
			    struct drop_post **ret, struct err *e)
{
	AUTO(kube_config_free) struct kube_config *mine = config;
	AUTO(drop_post_free) struct drop_post *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(e, ERR_NOMEM, "drop events");
	*p = (struct drop_post){ .config = TAKE(mine),
				 .node = node,
				 .url = buf_init(URL_BYTES),
				 .body = buf_init(BODY_BYTES),
				 .answer = buf_init(KUBE_REFUSAL_MAX),
				 .random = random | 1,
				 .told_status = NOT_TOLD };
	enum err_code code = make(p, e);
	if (code == ERR_OK)
		*ret = TAKE(p);
	return code;
}

void drop_post_free(struct drop_post *p)
{
	if (!p)
		return;
	if (p->curl) {
		if (p->is_busy)
			(void)curl_multi_remove_handle(p->multi, p->curl);
		curl_easy_cleanup(p->curl);
	}
	if (p->multi)
		(void)curl_multi_cleanup(p->multi);
	curl_slist_free_all(p->headers);
	buf_done(&p->url);
	buf_done(&p->body);
	buf_done(&p->answer);
	kube_config_free(p->config);
	free(p);
}

/* ---- a request */

static void put_escaped(struct drop_post *p, struct str s)
{
	char *text = s.len ? curl_easy_escape(p->curl, s.p, (int)s.len) : NULL;

	buf_str_put(&p->url, str_of(text));
	curl_free(text);
}

static void put_request(struct drop_post *p, const struct drop_note *n)
{
	buf_reset(&p->url);
	buf_reset(&p->body);
	buf_reset(&p->answer);
	buf_str_put(&p->url, str_of(p->config->server));
	buf_lit(&p->url, "/api/v1/namespaces/");
	put_escaped(p, n->what.namespace_);
	buf_lit(&p->url, "/events");
	p->is_patch = n->is_made;
	if (!p->is_patch) {
		drop_event_put(&p->body, n, p->node);
		return;
	}
	char name[DROP_EVENT_NAME_MAX + 1];
	struct buf b = buf_fixed(name, sizeof name);
	drop_event_name_put(&b, n);
	buf_char(&p->url, '/');
	put_escaped(p, buf_str(&b));
	drop_event_patch_put(&p->body, n);
}

static enum err_code begin(struct drop_post *p, struct err *e)
{
	CURL *c = p->curl;

	p->why[0] = 0;
	enum err_code code = kube_client_headers(
		c, p->config, p->is_patch ? "application/merge-patch+json" : "application/json",
		&p->headers, e);
	if (code != ERR_OK)
		return code;
	if (curl_easy_setopt(c, CURLOPT_URL, buf_cstr(&p->url)) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, p->is_patch ? "PATCH" : NULL) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_POSTFIELDS, p->body.p) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)p->body.len) != CURLE_OK ||
	    curl_multi_add_handle(p->multi, c) != CURLM_OK)
		return err_set(e, ERR_NOMEM, "a request");
	p->is_busy = true;
	return ERR_OK;
}

/* ---- what comes of it */

/* By the words of Kubernetes' authorizers; admission (a quota, a webhook) says 403, too. */
static bool lacks_right(const struct drop_post *p, long status)
{
	struct str s = buf_str(&p->answer);

	return status == 403 && (memmem(s.p, s.len, " cannot create ", 15) ||
				 memmem(s.p, s.len, " cannot patch ", 14));
}

static void tell_failure(struct drop_post *p, long status, const char *why)
{
	if (status == p->told_status)
		return;
	p->told_status = status;
	if (lacks_right(p, status))
		log_warn("drops cannot be told as events: the observer's role needs create and "
			 "patch on events of the core API group",
			 "err=%s", LOG_QUOTE(why));
	else
		log_warn("drops cannot be told as events", "err=%s", LOG_QUOTE(why));
}

static void pause_from(struct drop_post *p, uint64_t least_ns, struct mono_ns now)
{
	uint64_t ns = kube_next_pause(&p->pause_ns, &p->random);

	p->at.v = now.v + (ns > least_ns ? ns : least_ns);
}

static enum drop_post_result works(struct drop_post *p, struct drop_note *n)
{
	n->is_made = true;
	p->pause_ns = 0;
	if (p->told_status != NOT_TOLD)
		log_info("drops are told as events again");
	p->told_status = NOT_TOLD;
	return POST_TOLD;
}

/* The right is there: it is the namespace that is being deleted. */
static bool is_ending(const struct drop_post *p)
{
	json_t *v = json_loadb(p->answer.p ? p->answer.p : "", p->answer.len, 0, NULL);
	const json_t *causes = json_object_get(json_object_get(v, "details"), "causes"), *cause;
	bool found = false;
	size_t i;

	json_array_foreach(causes, i, cause)
	{
		const char *reason = json_string_value(json_object_get(cause, "reason"));
		found |= reason && strcmp(reason, "NamespaceTerminating") == 0;
	}
	json_decref(v);
	return found;
}

static enum drop_post_result refused(struct drop_post *p, struct drop_note *n, long status,
				     struct mono_ns now)
{
	char why[KUBE_WHY_BYTES];

	kube_refusal_put(buf_str(&p->answer), status, why, sizeof why);
	if (status == 404 && p->is_patch) { /* it is too old by now */
		n->is_made = false;
		return POST_IDLE;
	}
	if (status == 404 || (status == 403 && is_ending(p))) {
		log_debug("a drop is not told as an event: its namespace is gone", "err=%s",
			  LOG_QUOTE(why));
		return POST_FAILED;
	}
	tell_failure(p, status, why);
	if (status == 401 || status == 408 || status == 429 || status == 409 || status >= 500) {
		bool is_its_own = status == 409 || status >= 500;
		pause_from(p, kube_retry_after_ns(p->curl), now);
		n->tries += is_its_own;
		return n->tries < DROP_POST_TRIES ? POST_IDLE : POST_FAILED;
	}
	if (lacks_right(p, status))
		pause_from(p, 0, now);
	return POST_FAILED;
}

static enum drop_post_result ended(struct drop_post *p, struct drop_note *n, CURLcode code,
				   struct mono_ns now)
{
	long status = 0;

	(void)curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_multi_remove_handle(p->multi, p->curl);
	p->is_busy = false;
	if (code != CURLE_OK) {
		tell_failure(p, AWAY, *p->why ? p->why : curl_easy_strerror(code));
		pause_from(p, 0, now);
		return POST_IDLE;
	}
	if ((status >= 200 && status < 300) || (status == 409 && !p->is_patch))
		return works(p, n);
	return refused(p, n, status, now);
}

enum drop_post_result drop_post_step(struct drop_post *p, struct drop_note *next,
				     struct mono_ns now)
{
	const CURLMsg *msg;
	struct err e;
	int left;

	if (!p->is_busy && (!next || now.v < p->at.v))
		return POST_IDLE;
	if (!p->is_busy) {
		put_request(p, next);
		if (p->url.failed || p->body.failed) {
			tell_failure(p, AWAY, "no memory for an event");
			return POST_FAILED;
		}
	}
	if (!p->is_busy && begin(p, &e) != ERR_OK) {
		tell_failure(p, AWAY, e.msg);
		pause_from(p, 0, now);
		return POST_IDLE;
	}
	(void)curl_multi_perform(p->multi, &left);
	while ((msg = curl_multi_info_read(p->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			return ended(p, next, msg->data.result, now);
	return POST_BUSY;
}

struct mono_ns drop_post_due(const struct drop_post *p)
{
	return p->at;
}

void drop_post_wait(struct drop_post *p, const int *fds, size_t n, int ms)
{
	struct curl_waitfd waits[DROP_POST_FDS];

	for (size_t i = 0; i < n && i < DROP_POST_FDS; i++)
		waits[i] = (struct curl_waitfd){ .fd = fds[i], .events = CURL_WAIT_POLLIN };
	(void)curl_multi_poll(p->multi, waits, n < DROP_POST_FDS ? (unsigned)n : DROP_POST_FDS, ms,
			      NULL);
}
