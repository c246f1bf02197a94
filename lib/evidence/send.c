#include "evidence/send.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/thread.h"
#include "base/time.h"
#include "evidence/send_syslog.h"

enum { RETRY_S = 1, GRACE_MS = 5000, TIMEOUT_MS = 5000 };

enum target_kind { TO_FILE, TO_SYSLOG, TO_HTTP };

struct target {
	struct evidence_sender *sender;
	enum target_kind kind;
	const char *where; /* path or URL; borrowed from the line below */
	char *text;        /* as it was given; own */
	struct syslog_place syslog;
	CURL *curl;      /* its thread's */
	bool is_failing; /* its thread's */
	uint64_t next;   /* guarded by mx: number of the line it wants next */
};

/* Shared by its owner and the targets' threads; whoever leaves last frees it. */
struct evidence_sender {
	struct target targets[SENDER_TARGETS]; /* immutable after start, but as above */
	size_t target_count;
	char *tls_files[3];
	struct send_tls tls; /* borrows from tls_files */
	unsigned timeout_ms, grace_ms;

	pthread_mutex_t mx;
	pthread_cond_t changed;
	char *lines[SENDER_QUEUE]; /* guarded by mx: line n is at n % SENDER_QUEUE; own */
	uint64_t first, end;       /* guarded by mx: [first, end) are kept */
	bool is_stopping;          /* guarded by mx */
	struct mono_ns stop_at;    /* guarded by mx: of one that is stopping */
	unsigned threads, refs;    /* guarded by mx */
	struct evidence_sender_counts counts; /* guarded by mx */
};

/* --- one line to one target --- */

static enum err_code to_file(const char *path, struct str line, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	struct stat before;

	if (fd < 0 || fstat(fd, &before) != 0)
		return err_os(e, "open '%s'", path);
	ssize_t put = write(fd, line.p, line.len); /* one write: lines stay whole */
	if (put >= 0 && (size_t)put != line.len) {
		/* the line will come again, and not behind a part of itself */
		if (S_ISREG(before.st_mode))
			(void)!ftruncate(fd, before.st_size);
		return err_errno(e, ENOSPC, "write '%s'", path);
	}
	if (put < 0 || fdatasync(fd) != 0)
		return err_os(e, "write '%s'", path);
	return ERR_OK;
}

static size_t swallow(char *p, size_t size, size_t n, void *ctx)
{
	(void)p;
	(void)ctx;
	return size * n;
}

/* With mx. */
static bool is_over(const struct evidence_sender *s)
{
	return s->is_stopping && mono_now().v >= s->stop_at.v;
}

/* Breaks off when the sender ends: the TLS library's memory goes with the process. */
static int on_progress(void *ctx, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
		       curl_off_t up)
{
	struct evidence_sender *s = ctx;

	(void)down_all;
	(void)down;
	(void)up_all;
	(void)up;
	(void)pthread_mutex_lock(&s->mx);
	bool over = is_over(s);
	(void)pthread_mutex_unlock(&s->mx);
	return over;
}

static enum err_code to_http(struct target *t, struct str line, struct err *e)
{
	struct evidence_sender *s = t->sender;
	const char *url = t->where;
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char why[CURL_ERROR_SIZE] = "";
	long status = 0;

	if (!t->curl)
		t->curl = curl_easy_init();
	if (!t->curl || !headers) {
		curl_slist_free_all(headers);
		return err_set(e, ERR_NOMEM, "POST to '%s'", url);
	}
	CURL *c = t->curl;
	curl_easy_reset(c);
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, line.p);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)line.len);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, s);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, "tycho");
	if (s->tls.ca_file)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, s->tls.ca_file);
	if (s->tls.cert_file)
		(void)curl_easy_setopt(c, CURLOPT_SSLCERT, s->tls.cert_file);
	if (s->tls.key_file)
		(void)curl_easy_setopt(c, CURLOPT_SSLKEY, s->tls.key_file);
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

static enum err_code deliver(struct target *t, struct str line, struct err *e)
{
	switch (t->kind) {
	case TO_FILE:
		return to_file(t->where, line, e); /* with its newline */
	case TO_SYSLOG:
		return send_to_syslog(&t->syslog, line, &t->sender->tls, t->sender->timeout_ms, e);
	case TO_HTTP:
		return to_http(t, line, e);
	}
	return ERR_OK;
}

/* --- a target's thread --- */

static void sender_unref(struct evidence_sender *s)
{
	(void)pthread_mutex_lock(&s->mx);
	bool is_last = --s->refs == 0;
	(void)pthread_mutex_unlock(&s->mx);
	if (!is_last)
		return;
	for (uint64_t n = s->first; n < s->end; n++)
		free(s->lines[n % SENDER_QUEUE]);
	for (size_t i = 0; i < s->target_count; i++)
		free(s->targets[i].text);
	for (size_t i = 0; i < ARRAY_LEN(s->tls_files); i++)
		free(s->tls_files[i]);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->mx);
	free(s);
}

static bool try_line(struct target *t, struct str line)
{
	struct err e;

	if (deliver(t, line, &e) != ERR_OK) {
		if (!t->is_failing)
			log_warn("a checkpoint was not sent; tried again each second",
				 "target=%s err=%s", LOG_QUOTE(t->text), LOG_QUOTE(e.msg));
		t->is_failing = true;
		return false;
	}
	if (t->is_failing)
		log_info("checkpoints are sent again", "target=%s", LOG_QUOTE(t->text));
	t->is_failing = false;
	return true;
}

/* Passes over what @t can never get any more. With mx, which it gives up while it logs. */
static void drop_lines(struct target *t, uint64_t up_to, const char *why)
{
	struct evidence_sender *s = t->sender;
	const uint64_t lines = up_to - t->next;

	if (up_to <= t->next) /* the owner has gone, and given them up before */
		return;
	s->counts.dropped += lines;
	t->next = up_to;
	(void)pthread_mutex_unlock(&s->mx);
	log_warn("checkpoints were not sent", "target=%s lines=%llu why=%s", LOG_QUOTE(t->text),
		 (unsigned long long)lines, LOG_QUOTE(why));
	(void)pthread_mutex_lock(&s->mx);
}

/* With mx, which it gives up while it sends. */
static void send_next(struct target *t)
{
	struct evidence_sender *s = t->sender;
	const uint64_t number = t->next, end = s->end;
	const bool was_stopping = s->is_stopping;
	bool is_taken = false, fits = true;
	AUTO(own_free) char *line = strdup(s->lines[number % SENDER_QUEUE]);

	(void)pthread_mutex_unlock(&s->mx);
	if (line)
		fits = t->kind != TO_SYSLOG || syslog_takes(&t->syslog, str_of(line));
	if (line && fits)
		is_taken = try_line(t, str_of(line));
	(void)pthread_mutex_lock(&s->mx);
	if (!fits) {
		drop_lines(t, number + 1, "too long for a datagram");
		return;
	}
	if (is_taken) {
		s->counts.sent++;
		t->next = number + 1;
		return;
	}
	s->counts.failed++;
	const struct mono_ns again = { mono_now().v + RETRY_S * NS_PER_S };
	while (s->end == end && s->is_stopping == was_stopping && !is_over(s) &&
	       thread_cond_wait(&s->changed, &s->mx, again))
		;
}

static void *run(void *arg)
{
	struct target *t = arg;
	struct evidence_sender *s = t->sender;

	(void)pthread_mutex_lock(&s->mx);
	while (!is_over(s)) {
		if (t->next < s->first)
			drop_lines(t, s->first, "the target was away for too long");
		else if (t->next < s->end)
			send_next(t);
		else if (s->is_stopping)
			break;
		else
			(void)pthread_cond_wait(&s->changed, &s->mx);
	}
	(void)pthread_mutex_unlock(&s->mx);
	if (t->curl)
		curl_easy_cleanup(t->curl);
	(void)pthread_mutex_lock(&s->mx);
	s->threads--;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->mx);
	sender_unref(s);
	return NULL;
}

/* --- life --- */

static enum err_code read_target(struct target *t, const char *text, struct err *e)
{
	struct str s = str_of(text);

	t->text = str_dup(s);
	if (!t->text)
		return err_set(e, ERR_NOMEM, "target '%s'", text);
	t->where = t->text;
	if (syslog_place_parse(t->text, &t->syslog)) {
		t->kind = TO_SYSLOG;
	} else if (str_has_prefix(s, STR("file:")) && s.len > strlen("file:")) {
		t->kind = TO_FILE;
		t->where = t->text + strlen("file:");
	} else if (str_has_prefix(s, STR("http://")) || str_has_prefix(s, STR("https://"))) {
		t->kind = TO_HTTP;
	} else {
		return err_set(e, ERR_INVALID,
			       "checkpoints cannot be sent to '%s': file:/path, syslog, "
			       "syslog:/path, syslog+tls://host:port, syslog+tcp://host:port, "
			       "syslog+udp://host:port, http://… and https://… are known",
			       text);
	}
	return ERR_OK;
}

/* Detached: what hangs in the system's resolver cannot be waited for. */
static enum err_code start(struct target *t, struct err *e)
{
	struct evidence_sender *s = t->sender;
	pthread_t thread;

	(void)pthread_mutex_lock(&s->mx);
	s->threads++;
	s->refs++;
	(void)pthread_mutex_unlock(&s->mx);
	enum err_code code = thread_start("tycho-witness", run, t, &thread, e);
	if (code == ERR_OK) {
		(void)pthread_detach(thread);
		return ERR_OK;
	}
	(void)pthread_mutex_lock(&s->mx);
	s->threads--;
	s->refs--;
	(void)pthread_mutex_unlock(&s->mx);
	return code;
}

static bool take_tls(struct evidence_sender *s, const struct send_tls *given)
{
	const char *const texts[] = { given->ca_file, given->cert_file, given->key_file };
	const char **const kept[] = { &s->tls.ca_file, &s->tls.cert_file, &s->tls.key_file };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i] && !(s->tls_files[i] = str_dup(str_of(texts[i]))))
			return false;
		*kept[i] = s->tls_files[i];
	}
	return true;
}

enum err_code evidence_sender_new(const struct evidence_sender_config *config,
				  struct evidence_sender **ret, struct err *e)
{
	AUTO(evidence_sender_free) struct evidence_sender *s = calloc(1, sizeof *s);
	enum err_code code = ERR_OK;

	if (!s)
		return err_set(e, ERR_NOMEM, "sender of checkpoints");
	s->refs = 1;
	(void)pthread_mutex_init(&s->mx, NULL);
	thread_cond_init(&s->changed);
	s->timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
	s->grace_ms = config->grace_ms ? config->grace_ms : GRACE_MS;
	if (config->target_count > SENDER_TARGETS)
		return err_set(e, ERR_INVALID, "checkpoints are sent to at most %d targets",
			       SENDER_TARGETS);
	if (!take_tls(s, &config->tls))
		return err_set(e, ERR_NOMEM, "sender of checkpoints");
	for (; code == ERR_OK && s->target_count < config->target_count; s->target_count++) {
		s->targets[s->target_count].sender = s;
		code = read_target(&s->targets[s->target_count], config->targets[s->target_count],
				   e);
	}
	if (code == ERR_OK)
		code = send_tls_check(&s->tls, e);
	if (code == ERR_OK && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		code = err_set(e, ERR_NOMEM, "sender of checkpoints");
	for (size_t i = 0; code == ERR_OK && i < s->target_count; i++)
		code = start(&s->targets[i], e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(s);
	return ERR_OK;
}

void evidence_sender_free(struct evidence_sender *s)
{
	if (!s)
		return;
	(void)pthread_mutex_lock(&s->mx);
	s->is_stopping = true;
	s->stop_at.v = mono_now().v + s->grace_ms * NS_PER_MS;
	(void)pthread_cond_broadcast(&s->changed);
	const struct mono_ns leave_at = { s->stop_at.v + s->grace_ms * NS_PER_MS / 2 };
	while (s->threads && thread_cond_wait(&s->changed, &s->mx, leave_at))
		;
	for (size_t i = 0; i < s->target_count; i++)
		if (s->targets[i].next < s->end)
			drop_lines(&s->targets[i], s->end, "the program ends");
	(void)pthread_mutex_unlock(&s->mx);
	sender_unref(s);
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
		(void)pthread_cond_broadcast(&s->changed);
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
