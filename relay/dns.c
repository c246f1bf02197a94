#include "relay/dns.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/thread.h"
#include "relay/peers.h"
#include "rpc/address.h"

enum { ANSWER_MAX_BYTES = 64 << 10, TARGET_TEXT_BYTES = DNS_NAME_BYTES + 16 };

/* What one question was answered with. */
struct answer {
	struct dns_target *targets; /* own; sorted */
	size_t count;
	bool is_failing; /* and that was said */
	char tls_name[DNS_NAME_BYTES];
};

/* Shared by main and the thread; whoever leaves last frees it. */
struct shared {
	pthread_mutex_t mx;
	pthread_cond_t changed;
	int fd;                         /* eventfd; immutable */
	uint64_t interval_ns;           /* immutable */
	size_t count;                   /* immutable */
	struct dns_question *questions; /* immutable; with texts of its own */
	/* guarded by mx */
	struct answer *answers; /* of each question */
	bool is_stopping, is_due, has_news;
	unsigned refs;
};

struct dns_peers {
	struct shared *shared;
	struct peers *peers;
};

static void shared_unref(struct shared *s)
{
	pthread_mutex_lock(&s->mx);
	bool last = --s->refs == 0;
	pthread_mutex_unlock(&s->mx);
	if (!last)
		return;
	for (size_t i = 0; i < s->count; i++) {
		free(s->answers[i].targets);
		free((void *)(uintptr_t)s->questions[i].text);
	}
	free(s->answers);
	free(s->questions);
	if (s->fd >= 0)
		(void)close(s->fd);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mx);
	free(s);
}

/* ---- answers of the name service */

enum err_code dns_read_srv(struct str message, struct dns_target *out, size_t max,
			   size_t *ret_count, struct err *e)
{
	const unsigned char *bytes = (const unsigned char *)message.p;
	size_t n = 0;
	ns_msg m;
	ns_rr rr;

	if (message.len > ANSWER_MAX_BYTES || ns_initparse(bytes, (int)message.len, &m) < 0)
		return err_set(e, ERR_PARSE, "the answer is no message of a name service");
	for (int i = 0; i < ns_msg_count(m, ns_s_an) && n < max; i++) {
		if (ns_parserr(&m, ns_s_an, i, &rr) < 0)
			return err_set(e, ERR_PARSE, "a record of the answer is cut short");
		if (ns_rr_type(rr) != ns_t_srv || ns_rr_class(rr) != ns_c_in)
			continue;
		const unsigned char *data = ns_rr_rdata(rr);
		struct dns_target t = { 0 };
		/* priority and weight are for who picks one; we take all */
		if (ns_rr_rdlen(rr) < 7 ||
		    dn_expand(ns_msg_base(m), ns_msg_end(m), data + 6, t.host, sizeof t.host) < 0)
			return err_set(e, ERR_PARSE, "an SRV record of the answer is cut short");
		t.port = (uint16_t)(data[4] << 8 | data[5]);
		size_t len = strlen(t.host);
		if (len && t.host[len - 1] == '.')
			t.host[--len] = 0;
		if (len && t.port && utf8_is_valid(str_of(t.host)))
			out[n++] = t;
	}
	*ret_count = n;
	return ERR_OK;
}

/* ERR_NOT_FOUND is an answer, too. */
static enum err_code ask_srv(const char *name, struct dns_target *out, size_t *ret_count,
			     struct err *e)
{
	AUTO(own_free) unsigned char *bytes = malloc(ANSWER_MAX_BYTES);
	struct __res_state state = { 0 };

	if (!bytes)
		return err_set(e, ERR_NOMEM, "answer");
	if (res_ninit(&state) < 0)
		return err_set(e, ERR_IO, "the resolver cannot be set up");
	int len = res_nquery(&state, name, ns_c_in, ns_t_srv, bytes, ANSWER_MAX_BYTES);
	int why = state.res_h_errno;
	res_nclose(&state);
	if (len < 0 && (why == HOST_NOT_FOUND || why == NO_DATA))
		return err_set(e, ERR_NOT_FOUND, "%s", hstrerror(why));
	if (len < 0)
		return err_set(e, ERR_UNAVAILABLE, "%s", hstrerror(why));
	return dns_read_srv(str_n(bytes, (size_t)len), out, DNS_TARGETS_MAX, ret_count, e);
}

static enum err_code ask_family(const struct address *a, int family, struct dns_target *out,
				size_t *ret_count, struct err *e)
{
	const struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	size_t n = 0;
	int why = getaddrinfo(a->host, NULL, &hints, &list);

	if (why == EAI_NONAME || why == EAI_NODATA || why == EAI_ADDRFAMILY)
		return err_set(e, ERR_NOT_FOUND, "%s", gai_strerror(why));
	if (why)
		return err_set(e, ERR_UNAVAILABLE, "%s",
			       why == EAI_SYSTEM ? strerror(errno) : gai_strerror(why));
	for (const struct addrinfo *i = list; i && n < DNS_TARGETS_MAX; i = i->ai_next) {
		out[n].port = a->port;
		if (getnameinfo(i->ai_addr, i->ai_addrlen, out[n].host, DNS_NAME_BYTES, NULL, 0,
				NI_NUMERICHOST) == 0)
			n++;
	}
	freeaddrinfo(list);
	*ret_count = n;
	return ERR_OK;
}

static enum err_code ask_host(const char *text, struct dns_target *out, size_t *ret_count,
			      struct err *e)
{
	struct address a;
	enum err_code code = address_parse(str_of(text), &a, e);

	if (code != ERR_OK)
		return code;
	code = ask_family(&a, AF_INET, out, ret_count, e);
	return code == ERR_NOT_FOUND ? ask_family(&a, AF_INET6, out, ret_count, e) : code;
}

static int by_host_and_port(const void *x, const void *y)
{
	const struct dns_target *a = x, *b = y;
	int order = strcmp(a->host, b->host);

	return order ? order : (int)a->port - (int)b->port;
}

static size_t sort_and_unify(struct dns_target *t, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(t, n, sizeof *t, by_host_and_port);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || by_host_and_port(&t[i - 1], &t[i]) != 0)
			t[kept++] = t[i];
	return kept;
}

/* ---- the thread */

static void put_answer(struct shared *s, size_t i, struct dns_target *targets_take, size_t n)
{
	pthread_mutex_lock(&s->mx);
	struct answer *a = &s->answers[i];
	bool same = a->count == n && a->targets &&
		    memcmp(a->targets, targets_take, n * sizeof *targets_take) == 0;
	struct dns_target *old = a->targets;
	a->targets = targets_take;
	a->count = n;
	s->has_news |= !same;
	bool was_failing = a->is_failing;
	a->is_failing = false;
	pthread_mutex_unlock(&s->mx);
	free(old);
	if (was_failing)
		log_info("name service answers again", "name=%s", LOG_QUOTE(s->questions[i].text));
}

static void put_failure(struct shared *s, size_t i, const struct err *e)
{
	pthread_mutex_lock(&s->mx);
	bool was_failing = s->answers[i].is_failing;
	s->answers[i].is_failing = true;
	pthread_mutex_unlock(&s->mx);
	if (!was_failing)
		log_warn("name service gives no answer; its peers stay", "name=%s err=%s",
			 LOG_QUOTE(s->questions[i].text), LOG_QUOTE(e->msg));
}

static void ask(struct shared *s, size_t i)
{
	struct dns_target *targets = calloc(DNS_TARGETS_MAX, sizeof *targets);
	const struct dns_question *q = &s->questions[i];
	size_t n = 0;
	struct err e;

	if (!targets)
		return; /* the next time */
	enum err_code code =
		q->is_srv ? ask_srv(q->text, targets, &n, &e) : ask_host(q->text, targets, &n, &e);
	if (code != ERR_OK && code != ERR_NOT_FOUND) {
		put_failure(s, i, &e);
		free(targets);
		return;
	}
	n = sort_and_unify(targets, code == ERR_OK ? n : 0);
	struct dns_target *fit = realloc(targets, (n + 1) * sizeof *targets);
	put_answer(s, i, fit ? fit : targets, n);
}

static void wait_for_turn(struct shared *s)
{
	const struct mono_ns until = { mono_now().v + s->interval_ns };

	while (!s->is_stopping && !s->is_due && thread_cond_wait(&s->changed, &s->mx, until))
		;
	s->is_due = false;
}

static void *resolver_main(void *arg)
{
	struct shared *s = arg;
	const uint64_t one = 1;
	bool is_stopping = false;

	while (!is_stopping) {
		for (size_t i = 0; i < s->count; i++)
			ask(s, i);
		pthread_mutex_lock(&s->mx);
		if (s->has_news)
			(void)!write(s->fd, &one, sizeof one); /* a full counter is readable, too */
		wait_for_turn(s);
		is_stopping = s->is_stopping;
		pthread_mutex_unlock(&s->mx);
	}
	shared_unref(s);
	return NULL;
}

/* ---- main's side */

static enum err_code shared_new(const struct dns_question *questions, size_t count,
				uint64_t interval_ns, struct shared **ret, struct err *e)
{
	struct shared *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "resolver");
	pthread_mutex_init(&s->mx, NULL);
	thread_cond_init(&s->changed);
	s->refs = 1;
	s->interval_ns = interval_ns;
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	enum err_code code = s->fd < 0 ? err_os(e, "eventfd") : ERR_OK;
	s->questions = calloc(count + 1, sizeof *s->questions);
	s->answers = calloc(count + 1, sizeof *s->answers);
	if (!s->questions || !s->answers)
		code = err_set(e, ERR_NOMEM, "resolver");
	for (; code == ERR_OK && s->count < count; s->count++) {
		struct address a;
		const struct dns_question *q = &questions[s->count];
		s->questions[s->count] =
			(struct dns_question){ q->is_srv, str_dup(str_of(q->text)) };
		if (!s->questions[s->count].text)
			code = err_set(e, ERR_NOMEM, "resolver");
		else if (!q->is_srv && address_parse(str_of(q->text), &a, e) != ERR_OK)
			code = e->code;
		else if (!q->is_srv && (a.is_unix || a.is_tls || !a.port || !*a.host))
			code = err_set(e, ERR_INVALID, "'%s' is not HOST:PORT", q->text);
		else if (!q->is_srv)
			(void)snprintf(s->answers[s->count].tls_name, DNS_NAME_BYTES, "%.255s",
				       a.host);
	}
	if (code != ERR_OK) {
		shared_unref(s);
		return code;
	}
	*ret = s;
	return ERR_OK;
}

static enum err_code start_thread(struct shared *s, struct err *e)
{
	pthread_t thread;

	s->refs++;
	enum err_code code = thread_start("resolver", resolver_main, s, &thread, e);
	if (code != ERR_OK) {
		s->refs--;
		return code;
	}
	/* A resolver may be silent for half a minute; nobody waits for it at the end either. */
	(void)pthread_detach(thread);
	return ERR_OK;
}

enum err_code dns_peers_new(const struct dns_question *questions, size_t count,
			    uint64_t interval_ns, struct peers *peers, struct dns_peers **ret,
			    struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(dns_peers_free) struct dns_peers *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(e, ERR_NOMEM, "resolver");
	d->peers = peers;
	if (shared_new(questions, count, interval_ns, &d->shared, e) != ERR_OK ||
	    start_thread(d->shared, e) != ERR_OK)
		return e->code;
	*ret = TAKE(d);
	return ERR_OK;
}

void dns_peers_free(struct dns_peers *d)
{
	if (!d)
		return;
	if (d->shared) {
		pthread_mutex_lock(&d->shared->mx);
		d->shared->is_stopping = true;
		pthread_cond_signal(&d->shared->changed);
		pthread_mutex_unlock(&d->shared->mx);
		shared_unref(d->shared);
	}
	free(d);
}

int dns_peers_fd(const struct dns_peers *d)
{
	return d->shared->fd;
}

void dns_peers_refresh(struct dns_peers *d)
{
	pthread_mutex_lock(&d->shared->mx);
	d->shared->is_due = true;
	pthread_cond_signal(&d->shared->changed);
	pthread_mutex_unlock(&d->shared->mx);
}

/* What a peer is called and where it is, on memory of its own: the specs point into it. */
struct text {
	char name[TARGET_TEXT_BYTES], address[TARGET_TEXT_BYTES];
};

static void name_target(const struct answer *a, size_t i, bool is_srv, struct text *t)
{
	const struct dns_target *one = &a->targets[i];
	bool is_v6 = strchr(one->host, ':') != NULL;
	bool is_twice = (i && strcmp(a->targets[i - 1].host, one->host) == 0) ||
			(i + 1 < a->count && strcmp(a->targets[i + 1].host, one->host) == 0);

	(void)snprintf(t->address, sizeof t->address, "%s%s%s:%u", is_v6 ? "[" : "", one->host,
		       is_v6 ? "]" : "", (unsigned)one->port);
	(void)snprintf(t->name, sizeof t->name, "%s", is_srv && !is_twice ? one->host : t->address);
}

static enum err_code tell_peers(struct dns_peers *d, struct err *e)
{
	struct shared *s = d->shared;
	size_t total = 0, n = 0;

	for (size_t i = 0; i < s->count; i++)
		total += s->answers[i].count;
	AUTO(own_free) struct text *texts = calloc(total + 1, sizeof *texts);
	AUTO(own_free) struct peer_spec *specs = calloc(total + 1, sizeof *specs);
	if (!texts || !specs)
		return err_set(e, ERR_NOMEM, "peers");
	for (size_t i = 0; i < s->count; i++) {
		const struct answer *a = &s->answers[i];
		for (size_t k = 0; k < a->count; k++) {
			bool is_there = false;
			name_target(a, k, s->questions[i].is_srv, &texts[n]);
			/* Two questions may lead to one node. */
			for (size_t j = 0; j < n && !is_there; j++)
				is_there = strcmp(texts[j].name, texts[n].name) == 0;
			if (is_there)
				continue;
			specs[n] = (struct peer_spec){ .name = str_of(texts[n].name),
						       .address = str_of(texts[n].address),
						       .tls_name = str_of(a->tls_name) };
			n++;
		}
	}
	return peers_set(d->peers, PEER_DNS, specs, n, e);
}

void dns_peers_run(struct dns_peers *d)
{
	uint64_t rings;
	struct err e = { .code = ERR_OK };

	(void)!read(d->shared->fd, &rings, sizeof rings);
	pthread_mutex_lock(&d->shared->mx);
	bool has_news = d->shared->has_news;
	d->shared->has_news = false;
	/* Under the lock, which the thread takes for moments only. */
	enum err_code code = has_news ? tell_peers(d, &e) : ERR_OK;
	pthread_mutex_unlock(&d->shared->mx);
	if (code != ERR_OK)
		log_warn("peers from the name service not taken; the old ones stay", "err=%s",
			 LOG_QUOTE(e.msg));
}
