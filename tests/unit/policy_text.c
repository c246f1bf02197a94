#include "policy_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct policy_builder *builder(void)
{
	static const struct policy_config config = { .cluster = "c1" };
	struct policy_builder *b = NULL;

	assert_int_equal(policy_builder_new(&config, &b, NULL), ERR_OK);
	return b;
}

struct policy_set *set_by(const char *text, bool served)
{
	AUTO(policy_builder_free) struct policy_builder *b = builder();
	struct policy_set *set = NULL;
	struct err e;

	policy_builder_served(b, served);
	if (policy_builder_add_text(b, str_of(text), &e) != ERR_OK ||
	    policy_builder_finish(b, &set, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return set;
}

struct policy_set *set_of(const char *text)
{
	return set_by(text, false);
}
