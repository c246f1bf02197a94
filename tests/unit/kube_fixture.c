#include "kube_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct kube_world *world_new(void)
{
	struct kube_world *w;

	assert_int_equal(kube_world_new("", "node-a", &w, NULL), ERR_OK);
	return w;
}

json_t *json_of(const char *text)
{
	json_error_t where;
	json_t *v = json_loads(text, 0, &where);

	if (!v)
		fail_msg("%s: %s", where.text, text);
	return v;
}

void put(struct kube_world *w, enum kube_kind kind, const char *text)
{
	json_t *v = json_of(text);

	assert_true(kube_world_put(w, kind, v));
	json_decref(v);
}

void take_out(struct kube_world *w, enum kube_kind kind, const char *text)
{
	json_t *v = json_of(text);

	kube_world_remove(w, kind, v);
	json_decref(v);
}

const struct name_prefix *who(const struct kube_view *v, const char *ip)
{
	uint8_t want[16];

	assert_true(ip_parse(str_of(ip), want));
	for (size_t i = 0; i < v->names.prefix_count; i++)
		if (memcmp(v->names.prefixes[i].ip, want, 16) == 0)
			return &v->names.prefixes[i];
	return NULL;
}

void view_of(struct kube_world *w, struct kube_view *v)
{
	assert_int_equal(kube_world_view(w, v, NULL), ERR_OK);
}

void assert_str(struct str s, const char *text)
{
	if (!str_is(s, text))
		fail_msg("'%.*s' is not '%s'", STR_FMT(s), text);
}

bool has_label(const struct name_prefix *p, const char *text)
{
	for (size_t i = 0; i < p->endpoint.label_count; i++)
		if (str_is(p->endpoint.labels[i], text))
			return true;
	return false;
}

void pod_named(struct kube_world *w, const char *name, const char *created, const char *more,
	       const char *ip)
{
	char text[1024];

	(void)snprintf(text, sizeof text,
		       "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\",\"creationTimestamp\":"
		       "\"%s\"},\"spec\":{},\"status\":{%s\"podIP\":\"%s\"}}",
		       name, created, more, ip);
	put(w, KUBE_PODS, text);
}
