#include "suggest_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/policy_suggest.h"
#include "flow/fields.h"
#include "flow/wire.h"

int suggest_setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_int_equal(flow_dict_new(5000, &w->dict, NULL), ERR_OK);
	w->ext = buf_init(1 << 16);
	*state = w;
	return 0;
}

int suggest_teardown(void **state)
{
	struct world *w = *state;

	buf_done(&w->ext);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}

struct endpoint_id pod(struct world *w, const char *ns, const char *name, const char *workload,
		       const char *labels)
{
	struct str list[16], rest = str_of(labels);
	struct workload wl = { str_of(workload), STR("Deployment") };
	size_t n = 0;

	while (*labels && str_split(&rest, ',', &list[n]))
		n++;
	return flow_dict_endpoint(w->dict, &(struct endpoint){ .namespace_ = str_of(ns),
							       .pod = str_of(name),
							       .labels = list,
							       .label_count = n,
							       .workloads = &wl,
							       .workload_count = *workload != 0 });
}

struct endpoint_id entity(struct world *w, const char *label)
{
	return pod(w, "", "", "", label);
}

const struct suggest_config plain = { .ingress = true, .egress = true, .bits4 = 32, .bits6 = 128 };

struct suggest_config cilium(void)
{
	struct suggest_config c = plain;

	c.kind = SUGGEST_CILIUM;
	return c;
}

struct made made_of(const struct world *w, const struct suggest_config *config,
		    const struct flow *flows, size_t n)
{
	AUTO(suggest_free) struct suggest *s = NULL;
	struct made m = { .text = buf_init(SUGGESTED_MAX) };
	json_t *policies, *one;
	struct err e = { 0 };
	size_t i;

	assert_int_equal(suggest_new(config, w->dict, &s, NULL), ERR_OK);
	for (i = 0; i < n; i++) {
		const struct endpoint *src = flow_dict_get_endpoint(w->dict, flows[i].src_ep);
		const struct endpoint *dst = flow_dict_get_endpoint(w->dict, flows[i].dst_ep);

		assert_int_equal(suggest_flow(s, &flows[i],
					      src && !str_is(src->namespace_, "kube-system"),
					      dst && !str_is(dst->namespace_, "kube-system"), NULL),
				 ERR_OK);
	}
	m.code = suggest_policies(s, &policies, &m.counts, &e);
	if (m.code != ERR_OK)
		return m;
	json_array_foreach(policies, i, one) suggest_put_yaml(&m.text, one);
	if (suggest_check(s, buf_str(&m.text), &e) != ERR_OK)
		fail_msg("%s\n%s", e.msg, buf_cstr(&m.text));
	AUTO_BUF struct buf json = buf_init(SUGGESTED_MAX);
	suggest_put_json(&json, policies);
	if (suggest_check(s, buf_str(&json), &e) != ERR_OK)
		fail_msg("%s\n%s", e.msg, buf_cstr(&json));
	json_decref(policies);
	return m;
}

bool says(struct made *m, const char *text)
{
	return strstr(buf_cstr(&m->text), text) != NULL;
}

void with_name(struct world *w, struct flow *f, const char *name)
{
	size_t at = w->ext.len;

	wire_put_str(&w->ext, FLOW_FIELD_DESTINATION_NAMES, str_of(name));
	f->bits |= FLOW_HAS_NAMES;
	f->ext = (const uint8_t *)w->ext.p + at;
	f->ext_len = (uint32_t)(w->ext.len - at);
}
