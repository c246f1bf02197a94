#include "observer/kubernetes/client.h"

#include <jansson.h>

#include "base/watch.h"
#include "config.h"

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

	if (k->insecure)
		ok = curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
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
	       curl_easy_setopt(c, CURLOPT_USERAGENT, "tycho-observer/" TYCHO_VERSION) ==
		       CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
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

void kube_refusal_put(struct str body, long status, char *out, size_t size)
{
	json_t *v = json_loadb(body.p, body.len, 0, NULL);
	const char *message = json_string_value(json_object_get(v, "message"));
	struct str text = str_trim(message ? str_of(message) : body);
	char shown[204];

	(void)snprintf(out, size, "status %ld: %s", status, str_excerpt(text, shown, sizeof shown));
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
