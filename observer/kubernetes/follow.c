#include "observer/kubernetes/follow.h"

#include "base/log.h"

#define MISSING_NS (60 * NS_PER_S)
#define FOR_LONG_NS (5 * NS_PER_S) /* a watch that worked for so long has worked */
enum { STALL_S = 30 /* a list that gives nothing for so long is over */ };

/* Where the objects are; the newer version first. */
static const struct {
	const char *paths[2];
	bool is_everywhere;
} places[KUBE_KINDS] = {
	[KUBE_NAMESPACES] = { { "/api/v1/namespaces" }, true },
	[KUBE_NODES] = { { "/api/v1/nodes" }, true },
	[KUBE_PODS] = { { "/api/v1/pods" }, true },
	[KUBE_SERVICES] = { { "/api/v1/services" }, true },
	[KUBE_SLICES] = { { "/apis/discovery.k8s.io/v1/endpointslices",
			    "/apis/discovery.k8s.io/v1beta1/endpointslices" },
			  false },
	[KUBE_NETWORK_POLICIES] = { { "/apis/networking.k8s.io/v1/networkpolicies" }, true },
	[KUBE_CILIUM_POLICIES] = { { "/apis/cilium.io/v2/ciliumnetworkpolicies" }, false },
	[KUBE_CLUSTERWIDE_POLICIES] = { { "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies" },
					false },
	[KUBE_CIDR_GROUPS] = { { "/apis/cilium.io/v2/ciliumcidrgroups",
				 "/apis/cilium.io/v2alpha1/ciliumcidrgroups" },
			       false },
	[KUBE_CILIUM_ENDPOINTS] = { { "/apis/cilium.io/v2/ciliumendpoints" }, false },
	[KUBE_CILIUM_IDENTITIES] = { { "/apis/cilium.io/v2/ciliumidentities" }, false },
};

/* ---- what arrives */

/* Without one the next request would ask for what has come already. @of: "the list" */
static enum err_code keep_version(struct kube_follow *f, const char *of, const json_t *metadata,
				  struct err *e)
{
	const json_t *version = json_object_get(metadata, "resourceVersion");
	size_t len = json_string_length(version);

	if (!json_is_object(metadata))
		return err_set(e, ERR_PARSE, "%s has no metadata", of);
	if (!len || len >= sizeof f->version)
		return err_set(e, ERR_PARSE, "%s has no resourceVersion of 1 to %zu bytes", of,
			       sizeof f->version - 1);
	memcpy(f->version, json_string_value(version), len + 1);
	return ERR_OK;
}

static enum err_code take_item(void *ctx, struct str json, struct err *e)
{
	struct kube_follow *f = ctx;
	json_error_t where;
	json_t *object = json_loadb(json.p, json.len, 0, &where);

	if (!object)
		return err_set(e, ERR_PARSE, "an object of the list: %s", where.text);
	(void)kube_world_put(f->world, f->kind, object);
	json_decref(object);
	return ERR_OK;
}

static enum err_code keep_next_page(struct kube_follow *f, const json_t *metadata, struct err *e)
{
	const char *next = json_string_value(json_object_get(metadata, "continue"));

	next = next ? next : "";
	if (strlen(next) >= sizeof f->next_page)
		return err_set(e, ERR_PARSE, "a continue token of %zu bytes", strlen(next));
	if (*next && strcmp(next, f->next_page) == 0)
		return err_set(e, ERR_PARSE, "a page of the list names itself as the next one");
	memcpy(f->next_page, next, strlen(next) + 1);
	return ERR_OK;
}

static enum err_code take_member(void *ctx, struct str key, struct str json, struct err *e)
{
	struct kube_follow *f = ctx;
	json_error_t where;

	if (!str_is(key, "metadata"))
		return ERR_OK;
	json_t *metadata = json_loadb(json.p, json.len, 0, &where);
	if (!metadata)
		return err_set(e, ERR_PARSE, "metadata of the list: %s", where.text);
	enum err_code code = keep_version(f, "the list", metadata, e);
	if (code == ERR_OK)
		code = keep_next_page(f, metadata, e);
	f->has_metadata = true;
	json_decref(metadata);
	return code;
}

static enum err_code take_error(struct kube_follow *f, const json_t *status, struct err *e)
{
	json_int_t code = json_integer_value(json_object_get(status, "code"));
	const char *message = json_string_value(json_object_get(status, "message"));
	char shown[204];

	/* the watch ends, and the list has the rest */
	f->is_gone = true;
	if (code == 410)
		return ERR_OK;
	return err_set(e, ERR_UNAVAILABLE, "the watch: %s",
		       str_excerpt(str_of(message ? message : "no reason"), shown, sizeof shown));
}

static enum err_code take_event(struct kube_follow *f, const json_t *event, struct err *e)
{
	const char *type = json_string_value(json_object_get(event, "type"));
	json_t *object = json_object_get(event, "object");

	if (!type || !json_is_object(object))
		return err_set(e, ERR_PARSE, "an event without type or object");
	if (strcmp(type, "ERROR") == 0)
		return take_error(f, object, e);
	/* before the object loses members */
	if (keep_version(f, "an event's object", json_object_get(object, "metadata"), e) != ERR_OK)
		return e->code;
	if (strcmp(type, "BOOKMARK") == 0)
		return ERR_OK;
	f->counts.events++;
	if (strcmp(type, "DELETED") == 0)
		kube_world_remove(f->world, f->kind, object);
	else
		(void)kube_world_put(f->world, f->kind, object);
	return ERR_OK;
}

static enum err_code take_line(struct kube_follow *f, struct str line, struct err *e)
{
	json_error_t where;

	if (!str_trim(line).len)
		return ERR_OK;
	json_t *event = json_loadb(line.p, line.len, 0, &where);
	if (!event)
		return err_set(e, ERR_PARSE, "an event: %s", where.text);
	enum err_code code = take_event(f, event, e);
	json_decref(event);
	return code;
}

static enum err_code take_watch(struct kube_follow *f, struct str in, struct err *e)
{
	enum err_code code = ERR_OK;

	while (in.len && code == ERR_OK) {
		size_t end = str_find(in, '\n');
		bool is_whole = end < in.len;
		struct str part = str_upto(in, end);
		if (is_whole && !f->line.len) {
			code = take_line(f, part, e);
		} else {
			buf_str_put(&f->line, part);
			if (f->line.failed)
				return err_set(e, ERR_NOMEM, "an event of more than %d bytes",
					       KUBE_ITEM_MAX);
			if (is_whole) {
				code = take_line(f, buf_str(&f->line), e);
				buf_reset(&f->line);
			}
		}
		in = str_from(in, end + is_whole);
	}
	return code;
}

static size_t take_bytes(char *p, size_t size, size_t n, void *ctx)
{
	struct kube_follow *f = ctx;
	struct str in = str_n(p, size * n);
	long status = 0;
	enum err_code code;

	(void)curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) {
		buf_str_put(&f->refusal, str_upto(in, KUBE_REFUSAL_MAX - f->refusal.len));
		return in.len;
	}
	if (f->state == KUBE_WATCHING)
		code = take_watch(f, in, &f->error);
	else
		code = kube_split_feed(&f->split, in, &f->error);
	return code == ERR_OK ? in.len : CURL_WRITEFUNC_ERROR;
}

/* ---- requests */

enum err_code kube_follow_init(struct kube_follow *f, enum kube_kind kind,
			       const struct kube_config *config, struct kube_world *world,
			       CURLM *multi, uint64_t *random, struct err *e)
{
	const struct kube_split_to to = { take_item, take_member, f };

	*f = (struct kube_follow){ .kind = kind,
				   .config = config,
				   .world = world,
				   .multi = multi,
				   .random = random,
				   .line = buf_init(KUBE_ITEM_MAX),
				   .refusal = buf_init(KUBE_REFUSAL_MAX),
				   .url = buf_init(KUBE_CONTINUE_BYTES * 4) };
	kube_split_init(&f->split, &to);
	f->curl = kube_client_new(config, f->why);
	if (!f->curl || curl_easy_setopt(f->curl, CURLOPT_PRIVATE, (void *)f) != CURLE_OK ||
	    curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, take_bytes) != CURLE_OK ||
	    curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, (void *)f) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "a client of the API server");
	return ERR_OK;
}

void kube_follow_done(struct kube_follow *f)
{
	if (f->curl) {
		if (f->state != KUBE_PAUSED)
			(void)curl_multi_remove_handle(f->multi, f->curl);
		curl_easy_cleanup(f->curl);
	}
	curl_slist_free_all(f->headers);
	kube_split_done(&f->split);
	buf_done(&f->line);
	buf_done(&f->refusal);
	buf_done(&f->url);
}

static void put_path(struct kube_follow *f)
{
	buf_reset(&f->url);
	buf_str_put(&f->url, str_of(f->config->server));
	buf_str_put(&f->url, str_of(places[f->kind].paths[f->path]));
}

static bool set_list(struct kube_follow *f)
{
	put_path(f);
	buf_printf(&f->url, "?limit=%d", KUBE_PAGE);
	if (*f->next_page) {
		char *token = curl_easy_escape(f->curl, f->next_page, 0);
		if (!token)
			return false;
		buf_printf(&f->url, "&continue=%s", token);
		curl_free(token);
	}
	return curl_easy_setopt(f->curl, CURLOPT_ACCEPT_ENCODING, "gzip") == CURLE_OK &&
	       curl_easy_setopt(f->curl, CURLOPT_TIMEOUT, 0L) == CURLE_OK &&
	       curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S) == CURLE_OK;
}

static bool set_watch(struct kube_follow *f)
{
	unsigned s = KUBE_WATCH_S - KUBE_WATCH_S / 10 +
		     (unsigned)kube_random_below(f->random, KUBE_WATCH_S / 5);

	put_path(f);
	buf_printf(&f->url,
		   "?allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%u&watch=true",
		   f->version, s);
	return curl_easy_setopt(f->curl, CURLOPT_ACCEPT_ENCODING, NULL) == CURLE_OK &&
	       curl_easy_setopt(f->curl, CURLOPT_TIMEOUT, (long)(s + STALL_S)) == CURLE_OK &&
	       curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_LIMIT, 0L) == CURLE_OK &&
	       curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_TIME, 0L) == CURLE_OK;
}

static enum err_code start(struct kube_follow *f, struct err *e)
{
	bool list = !f->is_listed;

	if (list && !f->has_begun) {
		kube_world_begin(f->world, f->kind);
		f->has_begun = true;
		f->next_page[0] = 0;
	}
	kube_split_reset(&f->split);
	buf_reset(&f->line);
	buf_reset(&f->refusal);
	f->why[0] = 0;
	f->error = (struct err){ .code = ERR_OK };
	f->is_gone = f->has_metadata = false;
	enum err_code code = kube_client_headers(f->curl, f->config, NULL, &f->headers, e);
	if (code != ERR_OK)
		return code;
	if (!(list ? set_list(f) : set_watch(f)) || f->url.failed ||
	    curl_easy_setopt(f->curl, CURLOPT_URL, buf_cstr(&f->url)) != CURLE_OK ||
	    curl_multi_add_handle(f->multi, f->curl) != CURLM_OK)
		return err_set(e, ERR_NOMEM, "a request");
	f->state = list ? KUBE_LISTING : KUBE_WATCHING;
	f->events_before = f->counts.events;
	f->counts.lists += list;
	f->counts.watches += !list;
	return ERR_OK;
}

/* ---- what comes of it */

static void go_on(struct kube_follow *f, struct mono_ns now, uint64_t pause_ns)
{
	f->state = KUBE_PAUSED;
	f->at.v = now.v + pause_ns;
}

/* @status: of an answer that refuses, 0 where there is none. */
static void fail(struct kube_follow *f, long status, const char *why, uint64_t least_ns,
		 struct mono_ns now)
{
	uint64_t pause_ns = kube_next_pause(&f->pause_ns, f->random);

	f->counts.failures++;
	f->is_settled = true;
	f->has_begun = false;
	/* one break alone is nothing to tell: balancers and updates make them */
	bool is_news =
		f->was_told ? status && status != f->told_status : f->pause_ns > KUBE_PAUSE_MIN_NS;
	if (is_news)
		log_warn("the API server of Kubernetes does not give what it is asked; what it "
			 "gave stays",
			 "kind=%s err=%s", kube_kind_name(f->kind), LOG_QUOTE(why));
	f->was_told |= is_news;
	f->told_status = is_news ? status : f->told_status;
	go_on(f, now, pause_ns > least_ns ? pause_ns : least_ns);
}

struct mono_ns kube_follow_tick(struct kube_follow *f, struct mono_ns now)
{
	struct err e;

	if (f->state == KUBE_PAUSED && now.v >= f->at.v) {
		f->began = now;
		if (start(f, &e) != ERR_OK)
			fail(f, 0, e.msg, 0, now);
	}
	return f->state == KUBE_PAUSED ? f->at : (struct mono_ns){ UINT64_MAX };
}

static void works(struct kube_follow *f)
{
	if (f->was_told)
		log_info("the API server of Kubernetes answers again", "kind=%s",
			 kube_kind_name(f->kind));
	f->was_told = false;
}

static void list_complete(struct kube_follow *f, struct mono_ns now)
{
	if (*f->next_page) {
		go_on(f, now, 0);
		return;
	}
	kube_world_end(f->world, f->kind);
	f->is_listed = f->is_settled = true;
	f->is_missing = f->has_begun = false;
	works(f);
	go_on(f, now, 0);
}

static void list_missing(struct kube_follow *f, struct mono_ns now)
{
	f->has_begun = false;
	if (!f->path && places[f->kind].paths[1]) {
		f->path = 1;
		go_on(f, now, 0);
		return;
	}
	f->path = 0;
	if (places[f->kind].is_everywhere) {
		fail(f, 404, "404 Not Found", 0, now);
		return;
	}
	kube_world_begin(f->world, f->kind);
	kube_world_end(f->world, f->kind);
	f->is_missing = f->is_settled = true;
	works(f);
	go_on(f, now, MISSING_NS - kube_random_below(f->random, MISSING_NS / 5));
}

static void refused(struct kube_follow *f, long status, struct mono_ns now)
{
	char why[KUBE_WHY_BYTES];

	/* 410: the version, or the page, is too old. 400, 500, 504: not one it can take. Both: the
	 * whole list again. */
	if (status == 410 && f->is_listed) {
		f->counts.gone++;
		f->is_listed = false;
		go_on(f, now, kube_next_pause(&f->pause_ns, f->random));
		return;
	}
	if (status == 404 && !f->is_listed) {
		list_missing(f, now);
		return;
	}
	if (status == 400 || status == 404 || status == 500 || status == 504)
		f->is_listed = false;
	f->counts.gone += status == 410;
	kube_refusal_put(buf_str(&f->refusal), status, why, sizeof why);
	fail(f, status, why, kube_retry_after_ns(f->curl), now);
}

static void watch_ended(struct kube_follow *f, struct mono_ns now)
{
	bool was_long = now.v - f->began.v >= FOR_LONG_NS;

	if (was_long || f->counts.events > f->events_before)
		f->pause_ns = 0;
	works(f);
	if (f->is_gone) {
		f->counts.gone++;
		f->is_listed = false;
	}
	go_on(f, now, was_long ? 0 : kube_next_pause(&f->pause_ns, f->random));
}

void kube_follow_ended(struct kube_follow *f, CURLcode code, struct mono_ns now)
{
	long status = 0;
	bool was_list = f->state == KUBE_LISTING;

	(void)curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_multi_remove_handle(f->multi, f->curl);
	f->state = KUBE_PAUSED;
	if (!was_list && status == 200 && now.v - f->began.v >= FOR_LONG_NS)
		f->pause_ns = 0;
	if (f->error.code != ERR_OK) { /* what came was not to be read */
		f->is_listed = false;
		fail(f, 0, f->error.msg, 0, now);
	} else if (code != CURLE_OK) {
		fail(f, 0, *f->why ? f->why : curl_easy_strerror(code), 0, now);
	} else if (status != 200) {
		refused(f, status, now);
	} else if (!was_list) {
		watch_ended(f, now);
	} else if (!kube_split_is_complete(&f->split)) {
		fail(f, 0, "the list breaks off", 0, now);
	} else if (!f->has_metadata) { /* whether this page is the last is not known */
		fail(f, 0, "the list has no metadata", 0, now);
	} else {
		list_complete(f, now);
	}
}

/* ---- one question */

struct asking {
	struct kube_follow *f;
	struct kube_answer *answer;
	bool watch;
};

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
	struct asking *a = ctx;
	struct str line = str_trim(str_n(p, size * n)), date = STR("Date:");
	char text[64];
	long status = 0;

	if (line.len > date.len && line.len < sizeof text &&
	    str_eq_nocase(str_upto(line, date.len), date)) {
		(void)snprintf(text, sizeof text, "%.*s",
			       STR_FMT(str_trim(str_from(line, date.len))));
		time_t t = curl_getdate(text, NULL);
		a->answer->their_time.v = t > 0 ? (uint64_t)t * NS_PER_S : 0;
	}
	(void)curl_easy_getinfo(a->f->curl, CURLINFO_RESPONSE_CODE, &status);
	/* a watch that has begun is all there is to know: leave */
	return !line.len && a->watch && status == 200 ? 0 : size * n;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
	struct asking *a = ctx;

	buf_put(&a->f->line, p, size * n);
	return a->f->line.failed ? 0 : size * n;
}

static void read_answer(struct asking *a, CURLcode code)
{
	struct kube_follow *f = a->f;
	struct kube_answer *answer = a->answer;
	json_t *v = json_loadb(f->line.p ? f->line.p : "", f->line.len, 0, NULL);
	const json_t *items = json_object_get(v, "items");

	(void)curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &answer->status);
	if (json_is_array(items) || json_is_null(items))
		answer->items = json_array_size(items) > 0;
	json_decref(v);
	if (!answer->status) {
		(void)snprintf(answer->why, sizeof answer->why, "%s",
			       *f->why ? f->why : curl_easy_strerror(code));
	} else if (answer->status != 200) {
		buf_put(&f->refusal, f->line.p ? f->line.p : "",
			f->line.len < KUBE_REFUSAL_MAX ? f->line.len : KUBE_REFUSAL_MAX);
		kube_refusal_put(buf_str(&f->refusal), answer->status, answer->why,
				 sizeof answer->why);
	}
}

/* The two versions of a kind's path: the second where the first is not there. */
static void ask_path(struct asking *a, const char *name)
{
	struct kube_follow *f = a->f;
	struct err e;

	put_path(f);
	buf_lit(&f->url, "?limit=1");
	if (name) {
		char *escaped = curl_easy_escape(f->curl, name, 0);
		buf_printf(&f->url, "&fieldSelector=metadata.name%%3D%s", escaped ? escaped : "");
		curl_free(escaped);
	}
	if (a->watch) {
		put_path(f);
		buf_lit(&f->url, "?timeoutSeconds=1&watch=true");
	}
	buf_reset(&f->line);
	buf_reset(&f->refusal);
	*f->why = 0;
	if (kube_client_headers(f->curl, f->config, NULL, &f->headers, &e) != ERR_OK) {
		(void)str_excerpt(str_of(e.msg), a->answer->why, sizeof a->answer->why);
		return;
	}
	CURL *c = f->curl;
	if (curl_easy_setopt(c, CURLOPT_URL, buf_cstr(&f->url)) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_WRITEDATA, (void *)a) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_HEADERDATA, (void *)a) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)KUBE_CONNECT_MS) != CURLE_OK) {
		(void)snprintf(a->answer->why, sizeof a->answer->why, "no memory");
		return;
	}
	a->answer->asked = wall_now();
	read_answer(a, curl_easy_perform(c));
}

void kube_follow_ask(struct kube_follow *f, const char *name, bool watch, struct kube_answer *ret)
{
	struct asking a = { f, ret, watch };

	*ret = (struct kube_answer){ .items = -1 };
	ask_path(&a, name);
	if (ret->status == 404 && !f->path && places[f->kind].paths[1]) {
		f->path = 1;
		*ret = (struct kube_answer){ .items = -1 };
		ask_path(&a, name);
	}
}
