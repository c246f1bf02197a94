#include "clickhouse/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>

#include "base/time.h"
#include "clickhouse/failure.h"
#include "clickhouse/place.h"

enum {
	FAILURE_BYTES = 16 << 10, /* of an error's text */
	URL_BYTES = 64 << 10,
	HEADER_BYTES = 1024,
	POLL_MS = 500,
};

struct clickhouse {
	struct clickhouse_place place;
	char *user, *password_file, *ca_file, *cert_file, *key_file;
	unsigned connect_ms, quiet_ms;
	CURL *curl;
	CURLM *multi;
	atomic_bool is_stopped;
	int code; /* of the last statement */

	/* of the statement that runs */
	const struct clickhouse_statement *statement;
	struct buf failure;  /* what does not go to on_piece */
	bool has_length;     /* the answer says where it ends */
	bool is_refused;     /* on_piece wanted no more */
	curl_off_t down, up; /* moved so far */
	struct mono_ns moved_at;
	char why[CURL_ERROR_SIZE];
};

/* --- life ---------------------------------------------------------------------------------- */

static bool take_text(char **to, const char *from)
{
	*to = from ? str_dup(str_of(from)) : NULL;
	return *to || !from;
}

static enum err_code check_file(const char *option, const char *path, struct err *e)
{
	if (!path)
		return ERR_OK;
	FILE *f = fopen(path, "re");
	if (!f) {
		(void)err_os(e, "--%s '%s'", option, path);
		if (e)
			e->code = ERR_INVALID;
		return ERR_INVALID;
	}
	(void)fclose(f);
	return ERR_OK;
}

/* A header's value is one line. */
static enum err_code check_line(const char *option, struct str s, struct err *e)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return err_set(e, ERR_INVALID, "--%s: control characters cannot be sent",
				       option);
	return s.len < HEADER_BYTES / 2 ? ERR_OK
					: err_set(e, ERR_INVALID, "--%s: more than %d bytes",
						  option, HEADER_BYTES / 2 - 1);
}

/* The first line of the file. */
static enum err_code read_password(const struct clickhouse *c, struct buf *ret, struct err *e)
{
	char line[HEADER_BYTES];

	if (!c->password_file)
		return ERR_OK;
	FILE *f = fopen(c->password_file, "re");
	if (!f)
		return err_os(e, "--clickhouse-password-file '%s'", c->password_file);
	(void)setvbuf(f, NULL, _IONBF, 0); /* no copy of it stays in a buffer */
	char *got = fgets(line, sizeof line, f);
	bool failed = ferror(f);
	(void)fclose(f);
	if (failed)
		return err_errno(e, EIO, "--clickhouse-password-file '%s'", c->password_file);
	struct str s = str_of(got);
	while (s.len && (s.p[s.len - 1] == '\n' || s.p[s.len - 1] == '\r'))
		s.len--;
	enum err_code code = check_line("clickhouse-password-file", s, e);
	if (code == ERR_OK)
		buf_str_put(ret, s);
	explicit_bzero(line, sizeof line);
	return code;
}

static enum err_code check(const struct clickhouse *c, struct err *e)
{
	AUTO_BUF struct buf password = buf_init_secret(HEADER_BYTES);
	enum err_code code = check_file("clickhouse-ca-file", c->ca_file, e);

	if (code == ERR_OK)
		code = check_file("clickhouse-cert-file", c->cert_file, e);
	if (code == ERR_OK)
		code = check_file("clickhouse-key-file", c->key_file, e);
	if (code == ERR_OK)
		code = check_file("clickhouse-password-file", c->password_file, e);
	if (code == ERR_OK && c->user)
		code = check_line("clickhouse-user", str_of(c->user), e);
	return code == ERR_OK ? read_password(c, &password, e) : code;
}

enum err_code clickhouse_new(const struct clickhouse_config *config, struct clickhouse **ret,
			     struct err *e)
{
	AUTO(clickhouse_free) struct clickhouse *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "ClickHouse client");
	c->failure = buf_init(FAILURE_BYTES);
	c->connect_ms = config->connect_ms ? config->connect_ms : CLICKHOUSE_CONNECT_MS;
	c->quiet_ms = config->quiet_ms ? config->quiet_ms : CLICKHOUSE_QUIET_MS;
	if (!take_text(&c->user, config->user) || !take_text(&c->ca_file, config->ca_file) ||
	    !take_text(&c->password_file, config->password_file) ||
	    !take_text(&c->cert_file, config->cert_file) ||
	    !take_text(&c->key_file, config->key_file) ||
	    curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "ClickHouse client");
	enum err_code code = clickhouse_place_parse(config->url, &c->place, e);
	if (code == ERR_OK)
		code = check(c, e);
	if (code != ERR_OK)
		return code;
	c->curl = curl_easy_init();
	c->multi = curl_multi_init();
	if (!c->curl || !c->multi)
		return err_set(e, ERR_NOMEM, "ClickHouse client");
	*ret = TAKE(c);
	return ERR_OK;
}

void clickhouse_free(struct clickhouse *c)
{
	if (!c)
		return;
	if (c->curl)
		curl_easy_cleanup(c->curl);
	if (c->multi)
		(void)curl_multi_cleanup(c->multi);
	buf_done(&c->failure);
	free(c->user);
	free(c->password_file);
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	free(c);
}

void clickhouse_stop(struct clickhouse *c)
{
	atomic_store_explicit(&c->is_stopped, true, memory_order_release);
	(void)curl_multi_wakeup(c->multi);
}

void clickhouse_go_on(struct clickhouse *c)
{
	atomic_store_explicit(&c->is_stopped, false, memory_order_release);
}

const char *clickhouse_server(const struct clickhouse *c)
{
	return c->place.server;
}

const char *clickhouse_database(const struct clickhouse *c)
{
	return c->place.database;
}

int clickhouse_code(const struct clickhouse *c)
{
	return c->code;
}

/* --- what libcurl calls -------------------------------------------------------------------- */

static size_t take_bytes(char *p, size_t size, size_t n, void *ctx)
{
	struct clickhouse *c = ctx;
	const struct str piece = { p, size * n };
	long status = 0;

	(void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 || !c->statement->on_piece) {
		/* a beginning is enough to say what it is */
		size_t room = FAILURE_BYTES - c->failure.len;
		buf_str_put(&c->failure, str_upto(piece, room));
		return piece.len;
	}
	if (!c->statement->on_piece(c->statement->ctx, piece))
		c->is_refused = true;
	c->moved_at = mono_now();             /* what that took was not the server's doing */
	return c->is_refused ? 0 : piece.len; /* less than given: curl ends the transfer */
}

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
	struct clickhouse *c = ctx;
	struct str line = str_trim(str_n(p, size * n)), name;

	if (str_has_prefix(line, STR("HTTP/"))) { /* another answer begins: what was, was "100" */
		c->has_length = false;
		return size * n;
	}
	if (str_split(&line, ':', &name))
		c->has_length |= str_eq_nocase(name, STR("content-length")) ||
				 (str_eq_nocase(name, STR("transfer-encoding")) && line.p &&
				  str_eq_nocase(str_trim(line), STR("chunked")));
	return size * n;
}

static int look_around(void *ctx, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
		       curl_off_t up)
{
	struct clickhouse *c = ctx;

	(void)down_all, (void)up_all;
	if (down != c->down || up != c->up)
		c->moved_at = mono_now();
	c->down = down;
	c->up = up;
	return 0;
}

/* --- a statement --------------------------------------------------------------------------- */

static void put_parameter(struct clickhouse *c, struct buf *url, const char *name, struct str value)
{
	char *escaped = value.len ? curl_easy_escape(c->curl, value.p, (int)value.len) : NULL;

	buf_printf(url, "&%s=", name);
	if (escaped)
		buf_str_put(url, str_of(escaped));
	else if (value.len)
		url->failed = true;
	curl_free(escaped);
}

static enum err_code make_url(struct clickhouse *c, const struct clickhouse_statement *s,
			      struct buf *url, struct err *e)
{
	buf_printf(url, "%s/?wait_end_of_query=1&buffer_size=%d", c->place.server,
		   CLICKHOUSE_KEPT_BYTES);
	put_parameter(c, url, "database", str_of(c->place.database));
	if (s->query_id)
		put_parameter(c, url, "query_id", str_of(s->query_id));
	for (size_t i = 0; i < s->setting_count; i++)
		put_parameter(c, url, s->settings[i].name, str_of(s->settings[i].value));
	if (s->rows.len)
		put_parameter(c, url, "query", s->sql);
	(void)buf_cstr(url);
	return url->failed ? err_set(e, ERR_NOMEM, "a statement of more than %d bytes", URL_BYTES)
			   : ERR_OK;
}

static bool add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer)
		*list = longer;
	return longer;
}

static bool add_field(struct curl_slist **list, const char *name, struct str value)
{
	AUTO_BUF struct buf line = buf_init_secret(HEADER_BYTES);

	buf_printf(&line, "%s: %.*s", name, STR_FMT(value));
	(void)buf_cstr(&line);
	return !line.failed && add_header(list, line.p);
}

static enum err_code make_headers(struct clickhouse *c, struct curl_slist **ret, struct err *e)
{
	AUTO_BUF struct buf password = buf_init_secret(HEADER_BYTES);
	enum err_code code = read_password(c, &password, e);

	if (code != ERR_OK)
		return code;
	/* a body is sent without asking first */
	if (!add_header(ret, "Expect:") ||
	    !add_header(ret, "Content-Type: application/octet-stream") ||
	    (c->user && !add_field(ret, "X-ClickHouse-User", str_of(c->user))) ||
	    (password.len && !add_field(ret, "X-ClickHouse-Key", buf_str(&password))))
		return err_set(e, ERR_NOMEM, "ClickHouse client");
	return ERR_OK;
}

/* Wipes them: curl's lists of headers are plain memory. */
static void free_headers(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

static void set_options(struct clickhouse *c, const struct clickhouse_statement *s, const char *url,
			struct curl_slist *headers)
{
	CURL *h = c->curl;
	const struct str body = s->rows.len ? s->rows : s->sql;

	curl_easy_reset(h); /* the connection stays */
	(void)curl_easy_setopt(h, CURLOPT_URL, url);
	(void)curl_easy_setopt(h, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.len ? body.p : "");
	(void)curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	(void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_ms);
	(void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, look_around);
	(void)curl_easy_setopt(h, CURLOPT_XFERINFODATA, c);
	(void)curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
	(void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_bytes);
	(void)curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
	(void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->why);
	(void)curl_easy_setopt(h, CURLOPT_USERAGENT, "tycho");
#if LIBCURL_VERSION_NUM >= 0x075700
	/* a name service that does not answer is not waited for by clickhouse_free */
	(void)curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
#endif
	if (c->ca_file)
		(void)curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
	if (c->cert_file)
		(void)curl_easy_setopt(h, CURLOPT_SSLCERT, c->cert_file);
	if (c->key_file)
		(void)curl_easy_setopt(h, CURLOPT_SSLKEY, c->key_file);
}

static enum err_code transfer_failed(struct clickhouse *c, CURLcode code, struct err *e)
{
	clickhouse_failure_steady(c->why);
	const char *why = *c->why ? c->why : curl_easy_strerror(code);

	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return err_set(e, ERR_PERMISSION, "%s: %s", c->place.server, why);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_TIMEOUT, "%s: %s", c->place.server, why);
	case CURLE_OUT_OF_MEMORY:
		return err_set(e, ERR_NOMEM, "%s", c->place.server);
	default:
		return err_set(e, ERR_UNAVAILABLE, "%s: %s", c->place.server, why);
	}
}

/* Until the transfer is over; *@ret_code says how. */
static enum err_code transfer(struct clickhouse *c, CURLcode *ret_code, struct err *e)
{
	const char *server = c->place.server;
	int running = 1, left;

	c->moved_at = mono_now();
	for (;;) {
		if (atomic_load_explicit(&c->is_stopped, memory_order_acquire))
			return err_set(e, ERR_CANCELLED, "%s: stopped", server);
		if (curl_multi_perform(c->multi, &running) != CURLM_OK)
			return err_set(e, ERR_NOMEM, "%s", server);
		CURLMsg *m = curl_multi_info_read(c->multi, &left);
		if (m && m->msg == CURLMSG_DONE) {
			*ret_code = m->data.result;
			return ERR_OK;
		}
		if (mono_now().v - c->moved_at.v > c->quiet_ms * NS_PER_MS)
			return err_set(e, ERR_TIMEOUT, "%s: no answer in %u s", server,
				       (c->quiet_ms + 999) / 1000);
		const int wait_ms = c->quiet_ms < POLL_MS ? (int)c->quiet_ms : POLL_MS;
		if (curl_multi_poll(c->multi, NULL, 0, wait_ms, NULL) != CURLM_OK)
			return err_set(e, ERR_NOMEM, "%s", server);
	}
}

/* The answer has come to its end. */
static enum err_code judge(struct clickhouse *c, struct err *e)
{
	const struct str text = buf_str(&c->failure);
	struct clickhouse_failure f;
	long status = 0;

	(void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (clickhouse_failure_read(text, &f)) {
		c->code = f.code;
		return clickhouse_failure_set(e, c->place.server, &f);
	}
	if (status >= 300 && status < 400)
		return err_set(e, ERR_INVALID,
			       "%s answers with a redirect (HTTP %ld), which is not followed",
			       c->place.server, status);
	if (status == 401 || status == 403)
		return err_set(e, ERR_PERMISSION, "%s does not let us in (HTTP %ld)",
			       c->place.server, status);
	if (status >= 500 || status == 429)
		return err_set(e, ERR_UNAVAILABLE, "%s answers HTTP %ld, not as ClickHouse does",
			       c->place.server, status);
	if (status != 200 || text.len)
		return err_set(e, ERR_PARSE, "%s does not answer as ClickHouse does (HTTP %ld)",
			       c->place.server, status);
	if (!c->has_length)
		return err_set(e, ERR_UNAVAILABLE,
			       "%s does not say where its answer ends: it may be cut",
			       c->place.server);
	return ERR_OK;
}

static enum err_code run(struct clickhouse *c, struct err *e)
{
	CURLcode code = CURLE_OK;

	if (curl_multi_add_handle(c->multi, c->curl) != CURLM_OK)
		return err_set(e, ERR_NOMEM, "%s", c->place.server);
	enum err_code result = transfer(c, &code, e);
	(void)curl_multi_remove_handle(c->multi, c->curl);
	if (result != ERR_OK)
		return result;
	if (c->is_refused)
		return err_set(e, ERR_CANCELLED, "%s: no more is wanted", c->place.server);
	return code == CURLE_OK ? judge(c, e) : transfer_failed(c, code, e);
}

enum err_code clickhouse_run(struct clickhouse *c, const struct clickhouse_statement *s,
			     struct err *e)
{
	AUTO_BUF struct buf url = buf_init(URL_BYTES);
	struct curl_slist *headers = NULL;

	c->code = 0;
	c->statement = s;
	c->has_length = c->is_refused = false;
	c->down = c->up = 0;
	c->why[0] = '\0';
	buf_reset(&c->failure);
	enum err_code code = make_url(c, s, &url, e);
	if (code == ERR_OK)
		code = make_headers(c, &headers, e);
	if (code == ERR_OK) {
		set_options(c, s, url.p, headers);
		code = run(c, e);
	}
	free_headers(headers);
	c->statement = NULL;
	return code;
}

static bool append(void *ctx, struct str piece)
{
	struct buf *b = ctx;

	buf_str_put(b, piece);
	return !b->failed;
}

enum err_code clickhouse_ask(struct clickhouse *c, struct clickhouse_statement s, struct buf *ret,
			     struct err *e)
{
	s.on_piece = append;
	s.ctx = ret;
	enum err_code code = clickhouse_run(c, &s, e);
	if (code == ERR_CANCELLED && ret->failed)
		return err_set(e, ERR_NOMEM, "%s: an answer of more than %zu bytes",
			       c->place.server, ret->max);
	return code;
}
