#include "observer/upstream/rest.h"

#include <curl/curl.h>
#include <string.h>

#include "base/buf.h"

struct rest {
	char *socket;
	CURL *curl;
	struct buf answer;
	atomic_bool is_stopped;
};

static size_t take_bytes(char *p, size_t size, size_t n, void *ctx)
{
	struct rest *r = ctx;

	buf_put(&r->answer, p, size * n);
	return r->answer.failed ? 0 : size * n; /* less than given: curl ends the transfer */
}

static int look_around(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	const struct rest *r = ctx;

	(void)down_total, (void)down, (void)up_total, (void)up;
	return atomic_load_explicit(&r->is_stopped, memory_order_acquire);
}

static bool set_options(struct rest *r)
{
	CURL *c = r->curl;

	return curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, r->socket) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)REST_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, look_around) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFODATA, r) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, r) == CURLE_OK;
}

enum err_code rest_new(const char *socket, struct rest **ret, struct err *e)
{
	AUTO(rest_free) struct rest *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(e, ERR_NOMEM, "socket '%s'", socket);
	r->answer = buf_init(REST_ANSWER_MAX);
	r->socket = str_dup(str_of(socket));
	r->curl = r->socket && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init()
										 : NULL;
	if (!r->curl || !set_options(r))
		return err_set(e, ERR_NOMEM, "socket '%s'", socket);
	*ret = TAKE(r);
	return ERR_OK;
}

void rest_free(struct rest *r)
{
	if (!r)
		return;
	if (r->curl)
		curl_easy_cleanup(r->curl);
	buf_done(&r->answer);
	free(r->socket);
	free(r);
}

void rest_stop(struct rest *r)
{
	atomic_store_explicit(&r->is_stopped, true, memory_order_release);
}

static enum err_code failed(const struct rest *r, const char *path, CURLcode code, struct err *e)
{
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(e, ERR_CANCELLED, "%s: stopped", path);
	case CURLE_WRITE_ERROR:
		return err_set(e, ERR_NOMEM, "%s: an answer of more than %d bytes", path,
			       REST_ANSWER_MAX);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_TIMEOUT, "%s: no answer in %d s", path,
			       REST_TIMEOUT_MS / 1000);
	default:
		return err_set(e, ERR_UNAVAILABLE, "%s%s: %s", r->socket, path,
			       curl_easy_strerror(code));
	}
}

enum err_code rest_get(struct rest *r, const char *path, json_t **ret, struct err *e)
{
	char url[512];
	struct buf b = buf_fixed(url, sizeof url);
	json_error_t where;
	long status = 0;

	buf_printf(&b, "http://localhost%s", path);
	(void)buf_cstr(&b);
	if (b.failed)
		return err_set(e, ERR_INVALID, "a path of %zu bytes", strlen(path));
	if (curl_easy_setopt(r->curl, CURLOPT_URL, url) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "%s", path);
	buf_reset(&r->answer);
	CURLcode code = curl_easy_perform(r->curl);
	if (code != CURLE_OK)
		return failed(r, path, code, e);
	(void)curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status == 404)
		return err_set(e, ERR_NOT_FOUND, "%s: not found", path);
	if (status != 200)
		return err_set(e, ERR_UNAVAILABLE, "%s: status %ld", path, status);
	json_t *v = json_loadb(r->answer.p ? r->answer.p : "", r->answer.len, 0, &where);
	if (r->answer.cap > 1 << 20) { /* rarely so large again */
		buf_done(&r->answer);
		r->answer = buf_init(REST_ANSWER_MAX);
	}
	if (!v)
		return err_set(e, ERR_PARSE, "%s: %s", path, where.text);
	*ret = v;
	return ERR_OK;
}
