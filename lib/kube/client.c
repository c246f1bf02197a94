#include "kube/client.h"

#include <jansson.h>

#include "base/watch.h"

enum { TOKEN_MAX = 64 << 10, ALIVE_S = 30, RETRY_AFTER_MAX_S = 60 };
#define PAUSE_MAX_NS (30 * NS_PER_S)

static bool set_blob(CURL *c, CURLoption option, const char *text)
{
	struct curl_blob blob = { (void *)(uintptr_t)text, strlen(text), CURL_BLOB_COPY };

	return curl_easy_setopt(c, option, &blob) == CURLE_OK;
}

static bool set_credentials(CURL *c, const struct kube_config *k)
{
	bool ok = true;

	if (k->proxy || !k->proxy_from_environment)
		ok = curl_easy_setopt(c, CURLOPT_PROXY, k->proxy ? k->proxy : "") == CURLE_OK &&
		     curl_easy_setopt(c, CURLOPT_NOPROXY, k->proxy ? "" : "*") == CURLE_OK;
	if (k->connect_to)
		ok = ok && curl_easy_setopt(c, CURLOPT_CONNECT_TO, k->connect_to) == CURLE_OK;
	if (k->insecure)
		ok = ok && curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
		     curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK;
	if (k->ca_pem)
		ok = ok && set_blob(c, CURLOPT_CAINFO_BLOB, k->ca_pem);
	else if (k->ca_file)
		ok = ok && curl_easy_setopt(c, CURLOPT_CAINFO, k->ca_file) == CURLE_OK;
	if (k->cert_pem)
		ok = ok && set_blob(c, CURLOPT_SSLCERT_BLOB, k->cert_pem);
	else if (k->cert_file)
		ok = ok && curl_easy_setopt(c, CURLOPT_SSLCERT, k->cert_file) == CURLE_OK;
	if (k->key_pem)
		ok = ok && set_blob(c, CURLOPT_SSLKEY_BLOB, k->key_pem);
	else if (k->key_file)
		ok = ok && curl_easy_setopt(c, CURLOPT_SSLKEY, k->key_file) == CURLE_OK;
	return ok;
}

/* Each watch its own connection: HTTP/1.1. An agent that begins with "curl" is sent indented JSON. */
static bool set_options(CURL *c, char *why)
{
	return curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_USERAGENT, KUBE_USER_AGENT) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)KUBE_CONNECT_MS) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TCP_KEEPIDLE, (long)ALIVE_S) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TCP_KEEPINTVL, (long)ALIVE_S / 3) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why) == CURLE_OK;
}

CURL *kube_client_new(const struct kube_config *config, char why[CURL_ERROR_SIZE])
{
	CURL *c = curl_easy_init();

	if (c && !(set_options(c, why) && set_credentials(c, config))) {
		curl_easy_cleanup(c);
		c = NULL;
	}
	return c;
}

/* One more, if @ok still holds; the list stays as it is if there is no memory. */
static bool add_header(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	*list = longer ? longer : *list;
	return longer;
}

enum err_code kube_client_headers(CURL *c, const struct kube_config *config,
				  const char *content_type, struct curl_slist **headers,
				  struct err *e)
{
	AUTO_BUF struct buf b = buf_init_secret(TOKEN_MAX), file = buf_init_secret(TOKEN_MAX);
	struct str token = str_of(config->token);
	char type[128];

	curl_slist_free_all(*headers);
	*headers = NULL;
	bool ok = add_header(headers, "Accept: application/json");
	if (content_type) {
		(void)snprintf(type, sizeof type, "Content-Type: %s", content_type);
		/* else curl waits for leave to send a body of some size */
		ok = ok && add_header(headers, type) && add_header(headers, "Expect:");
	}
	if (config->token_file) {
		enum err_code code = file_read(config->token_file, "the token", &file, e);
		if (code != ERR_OK)
			return code;
		token = str_trim(buf_str(&file));
	}
	for (size_t i = 0; i < token.len; i++)
		if ((unsigned char)token.p[i] <= ' ')
			return err_set(e, ERR_INVALID, "the token holds blanks");
	if (token.len) {
		buf_lit(&b, "Authorization: Bearer ");
		buf_str_put(&b, token);
		ok = ok && add_header(headers, buf_cstr(&b));
	}
	if (!ok || b.failed || curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "a request");
	return ERR_OK;
}

static size_t take_bytes(char *p, size_t size, size_t n, void *ctx)
{
	struct buf *to = ctx;

	buf_put(to, p, size * n);
	return to->failed ? 0 : size * n; /* curl then ends with CURLE_WRITE_ERROR */
}

/* *@ret_status: 0 where there was no answer. */
static enum err_code ask(CURL *c, const char *url, const char *body, struct buf *answer,
			 long *ret_status, const char *why, struct err *e)
{
	if (curl_easy_setopt(c, CURLOPT_URL, url) != CURLE_OK ||
	    (body ? curl_easy_setopt(c, CURLOPT_POSTFIELDS, body)
		  : curl_easy_setopt(c, CURLOPT_HTTPGET, 1L)) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_WRITEDATA, (void *)answer) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 2L * KUBE_CONNECT_MS) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "a request");
	CURLcode done = curl_easy_perform(c);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, ret_status);
	if (answer->failed)
		return err_set(e, ERR_NOMEM, "the answer is larger than %zu bytes", answer->max);
	if (done != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, "%s", *why ? why : curl_easy_strerror(done));
	return ERR_OK;
}

enum err_code kube_client_ask(CURL *c, const char *why, const struct kube_config *config,
			      const char *path, const char *body, size_t max, json_t **ret,
			      struct err *e)
{
	AUTO_BUF struct buf url = buf_init(8192), answer = buf_init(max);
	struct curl_slist *headers = NULL;
	char said[KUBE_WHY_BYTES];
	long status = 0;

	buf_str_put(&url, str_of(config->server));
	buf_str_put(&url, str_of(path));
	enum err_code code =
		url.failed ? err_set(e, ERR_NOMEM, "a request")
			   : kube_client_headers(c, config, body ? "application/json" : NULL,
						 &headers, e);
	if (code == ERR_OK)
		code = ask(c, buf_cstr(&url), body, &answer, &status, why, e);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	if (code != ERR_OK)
		return code;
	if (status != 200 && status != 201) {
		kube_refusal_put(buf_str(&answer), status, said, sizeof said);
		return err_set(e, kube_refusal_code(status), "%s", said);
	}
	json_t *v = json_loadb(answer.p ? answer.p : "", answer.len, 0, NULL);
	if (!json_is_object(v)) {
		json_decref(v);
		return err_set(e, ERR_PARSE, "the answer is no JSON object");
	}
	*ret = v;
	return ERR_OK;
}

enum err_code kube_refusal_code(long status)
{
	return status == 404                    ? ERR_NOT_FOUND
	       : status == 401 || status == 403 ? ERR_PERMISSION
						: ERR_UNAVAILABLE;
}

void kube_refusal_put(struct str body, long status, char *out, size_t size)
{
	json_t *v = json_loadb(body.p, body.len, 0, NULL);
	const char *message = json_string_value(json_object_get(v, "message"));
	struct str text = str_trim(message ? str_of(message) : body);
	char shown[204];

	(void)str_excerpt(text, shown, sizeof shown);
	for (char *p = shown; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' '; /* one sentence, one line */
	(void)snprintf(out, size, "status %ld%s%s", status, *shown ? ": " : "", shown);
	json_decref(v);
}

uint64_t kube_random_below(uint64_t *random, uint64_t n)
{
	*random ^= *random << 13; /* xorshift64 */
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return n ? *random % n : 0;
}

uint64_t kube_next_pause(uint64_t *pause_ns, uint64_t *random)
{
	*pause_ns = *pause_ns ? 2 * *pause_ns : KUBE_PAUSE_MIN_NS;
	*pause_ns = *pause_ns < PAUSE_MAX_NS ? *pause_ns : PAUSE_MAX_NS;
	return *pause_ns - kube_random_below(random, *pause_ns / 2);
}

uint64_t kube_retry_after_ns(CURL *c)
{
	curl_off_t s = 0;

	(void)curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &s);
	return (uint64_t)(s < 0 ? 0 : s < RETRY_AFTER_MAX_S ? s : RETRY_AFTER_MAX_S) * NS_PER_S;
}
