#include "evidence/send.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "base/log.h"
#include "base/time.h"
#include "evidence/send_syslog.h"

enum { RETRY_S = 1, GRACE_S = 2, TIMEOUT_MS = 5000 };

enum target_kind { TO_FILE, TO_SYSLOG, TO_HTTP };

struct target {
	enum target_kind kind;
	const char *where; /* path or URL; borrowed from the line below */
	char *text;        /* as it was given; own */
	uint64_t next;     /* number of the line it wants next; sender thread */
	bool is_failing;   /* sender thread */
};

struct evidence_sender {
	struct target targets[SENDER_TARGETS];
	size_t target_count;
	char *ca_file; /* NULL: the system's */
	unsigned timeout_ms;
	CURL *curl; /* sender thread */

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t mx;
	pthread_cond_t cond;
	char *lines[SENDER_QUEUE]; /* guarded by mx: line n is at n % SENDER_QUEUE; own */
	uint64_t first, end;       /* guarded by mx: [first, end) are kept */
	bool stop;                 /* guarded by mx */
	struct evidence_sender_counts counts; /* guarded by mx */
};

/* --- one line to one target --- */

static enum err_code to_file(const char *path, struct str line, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		return err_os(e, "open '%s'", path);
	ssize_t put = write(fd, line.p, line.len); /* one write: lines stay whole */
	if (put >= 0 && (size_t)put != line.len)
		errno = ENOSPC;
	if (put < 0 || (size_t)put != line.len || fdatasync(fd) != 0)
		return err_os(e, "write '%s'", path);
	return ERR_OK;
}

static size_t swallow(char *p, size_t size, size_t n, void *ctx)
{
	(void)p;
	(void)ctx;
	return size * n;
}

static enum err_code to_http(struct evidence_sender *s, const char *url, struct str line,
			     struct err *e)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char why[CURL_ERROR_SIZE] = "";
	long status = 0;

	if (!s->curl)
		s->curl = curl_easy_init();
	if (!s->curl || !headers) {
		curl_slist_free_all(headers);
		return err_set(e, ERR_NOMEM, "POST to '%s'", url);
	}
	CURL *c = s->curl;
	curl_easy_reset(c);
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, line.p);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)line.len);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, "tycho");
	if (s->ca_file)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, s->ca_file);
	CURLcode code = curl_easy_perform(c);
	if (code == CURLE_OK)
		(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, "POST to '%s': %s", url,
			       *why ? why : curl_easy_strerror(code));
	if (status < 200 || status > 299)
		return err_set(e, ERR_UNAVAILABLE, "POST to '%s': the server answered %ld", url,
			       status);
	return ERR_OK;
}

static enum err_code deliver(struct evidence_sender *s, const struct target *t, struct str line,
			     struct err *e)
{
	switch (t->kind) {
	case TO_FILE:
		return to_file(t->where, line, e); /* with its newline */
	case TO_SYSLOG:
		return send_to_syslog(t->where, line, s->timeout_ms, e);
	case TO_HTTP:
		return to_http(s, t->where, line, e);
	}
	return ERR_OK;
}

/* --- the thread --- */

static void count(struct evidence_sender *s, uint64_t sent, uint64_t failed, uint64_t dropped)
{
	(void)pthread_mutex_lock(&s->mx);
	s->counts.sent += sent;
	s->counts.failed += failed;
	s->counts.dropped += dropped;
	(void)pthread_mutex_unlock(&s->mx);
}

/* Line @number copied, with a newline; NULL: it has been dropped (or there is no memory). */
static char *line_of(struct evidence_sender *s, uint64_t number)
{
	char *line = NULL;

	(void)pthread_mutex_lock(&s->mx);
	if (number >= s->first && number < s->end)
		line = strdup(s->lines[number % SENDER_QUEUE]);
	(void)pthread_mutex_unlock(&s->mx);
	return line;
}

/* Sends what @t has not got yet, up to line @end. @return false: it did not take one. */
static bool serve(struct evidence_sender *s, struct target *t, uint64_t first, uint64_t end)
{
	if (t->next < first) {
		log_warn("checkpoints were not sent: the target was away for too long",
			 "target=%s lines=%llu", LOG_QUOTE(t->text),
			 (unsigned long long)(first - t->next));
		count(s, 0, 0, first - t->next);
		t->next = first;
	}
	while (t->next < end) {
		struct err e;
		AUTO(own_free) char *line = line_of(s, t->next);
		if (!line)
			return true;
		if (deliver(s, t, str_of(line), &e) != ERR_OK) {
			if (!t->is_failing)
				log_warn("a checkpoint was not sent; tried again each second",
					 "target=%s err=%s", LOG_QUOTE(t->text), LOG_QUOTE(e.msg));
			t->is_failing = true;
			count(s, 0, 1, 0);
			return false;
		}
		if (t->is_failing)
			log_info("checkpoints are sent again", "target=%s", LOG_QUOTE(t->text));
		t->is_failing = false;
		t->next++;
		count(s, 1, 0, 0);
	}
	return true;
}

static void *run(void *arg)
{
	struct evidence_sender *s = arg;
	struct mono_ns stop_at = { 0 };

	(void)pthread_setname_np(pthread_self(), "tycho-witness");
	for (;;) {
		bool all_sent = true;
		(void)pthread_mutex_lock(&s->mx);
		uint64_t first = s->first, end = s->end;
		bool stop = s->stop;
		(void)pthread_mutex_unlock(&s->mx);
		for (size_t i = 0; i < s->target_count; i++)
			all_sent &= serve(s, &s->targets[i], first, end);
		if (stop && !stop_at.v)
			stop_at.v = mono_now().v + GRACE_S * NS_PER_S;
		if (stop && (all_sent || mono_now().v >= stop_at.v))
			return NULL;
		(void)pthread_mutex_lock(&s->mx);
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += RETRY_S;
		while (s->end == end && s->stop == stop)
			if (all_sent)
				(void)pthread_cond_wait(&s->cond, &s->mx);
			else if (pthread_cond_timedwait(&s->cond, &s->mx, &until) == ETIMEDOUT)
				break;
		(void)pthread_mutex_unlock(&s->mx);
	}
}

/* --- life --- */

/* Of "syslog:/path" and "syslog://host:port". */
static const char *syslog_where(const char *text)
{
	static const char far[] = "syslog://";

	return text + (strncmp(text, far, strlen(far)) == 0 ? strlen(far) : strlen("syslog:"));
}

static enum err_code read_target(struct target *t, const char *text, struct err *e)
{
	struct str s = str_of(text);

	t->text = str_dup(s);
	if (!t->text)
		return err_set(e, ERR_NOMEM, "target '%s'", text);
	t->where = t->text;
	if (str_eq(s, STR("syslog"))) {
		t->kind = TO_SYSLOG;
		t->where = "/dev/log";
	} else if (str_has_prefix(s, STR("syslog:/")) &&
		   syslog_where_is_valid(syslog_where(t->text))) {
		t->kind = TO_SYSLOG;
		t->where = syslog_where(t->text);
	} else if (str_has_prefix(s, STR("file:")) && s.len > strlen("file:")) {
		t->kind = TO_FILE;
		t->where = t->text + strlen("file:");
	} else if (str_has_prefix(s, STR("http://")) || str_has_prefix(s, STR("https://"))) {
		t->kind = TO_HTTP;
	} else {
		return err_set(
			e, ERR_INVALID,
			"checkpoints cannot be sent to '%s': file:/path, syslog, syslog:/path, "
			"syslog://host:port, http://… and https://… are known",
			text);
	}
	return ERR_OK;
}

enum err_code evidence_sender_new(const struct evidence_sender_config *config,
				  struct evidence_sender **ret, struct err *e)
{
	AUTO(evidence_sender_free) struct evidence_sender *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;

	if (!s)
		return err_set(e, ERR_NOMEM, "sender of checkpoints");
	(void)pthread_mutex_init(&s->mx, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	s->timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
	if (config->target_count > SENDER_TARGETS)
		return err_set(e, ERR_INVALID, "checkpoints are sent to at most %d targets",
			       SENDER_TARGETS);
	if (config->ca_file && !(s->ca_file = str_dup(str_of(config->ca_file))))
		return err_set(e, ERR_NOMEM, "sender of checkpoints");
	for (; s->target_count < config->target_count; s->target_count++) {
		enum err_code code = read_target(&s->targets[s->target_count],
						 config->targets[s->target_count], e);
		if (code != ERR_OK) {
			free(s->targets[s->target_count].text);
			return code;
		}
	}
	int os = pthread_create(&s->thread, NULL, run, s);
	if (os)
		return err_errno(e, os, "sender of checkpoints");
	s->has_thread = true;
	*ret = TAKE(s);
	return ERR_OK;
}

void evidence_sender_free(struct evidence_sender *s)
{
	if (!s)
		return;
	if (s->has_thread) {
		(void)pthread_mutex_lock(&s->mx);
		s->stop = true;
		(void)pthread_cond_signal(&s->cond);
		(void)pthread_mutex_unlock(&s->mx);
		(void)pthread_join(s->thread, NULL);
	}
	for (uint64_t n = s->first; n < s->end; n++)
		free(s->lines[n % SENDER_QUEUE]);
	for (size_t i = 0; i < s->target_count; i++)
		free(s->targets[i].text);
	if (s->curl)
		curl_easy_cleanup(s->curl);
	free(s->ca_file);
	(void)pthread_cond_destroy(&s->cond);
	(void)pthread_mutex_destroy(&s->mx);
	free(s);
}

void evidence_sender_put(struct evidence_sender *s, struct str line)
{
	char *copy = malloc(line.len + 2);

	(void)pthread_mutex_lock(&s->mx);
	if (!copy) {
		s->counts.dropped += s->target_count;
	} else {
		memcpy(copy, line.p, line.len);
		memcpy(copy + line.len, "\n", 2);
		/* The oldest goes; a target that still wants it finds out and says so. */
		if (s->end - s->first == SENDER_QUEUE)
			free(s->lines[s->first++ % SENDER_QUEUE]);
		s->lines[s->end++ % SENDER_QUEUE] = copy;
		(void)pthread_cond_signal(&s->cond);
	}
	(void)pthread_mutex_unlock(&s->mx);
}

struct evidence_sender_counts evidence_sender_counts(struct evidence_sender *s)
{
	(void)pthread_mutex_lock(&s->mx);
	struct evidence_sender_counts c = s->counts;
	(void)pthread_mutex_unlock(&s->mx);
	return c;
}
