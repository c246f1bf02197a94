#include "filter/pred.h"

#include "filter/zone_sets.h"

void pred_free(struct pred *t)
{
	if (t)
		t->free(t);
}

bool pred_needs_l7(struct pred *t, const struct flow_zone *z)
{
	(void)t;
	return z->some_bits & FLOW_HAS_L7;
}

struct strs *strs_copy(char *const *values, size_t count)
{
	struct strs *s;
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += strlen(values[i]);
	s = malloc(sizeof *s + count * sizeof s->v[0] + bytes);
	if (!s)
		return NULL;
	s->count = count;
	char *to = (char *)&s->v[count];
	for (size_t i = 0; i < count; i++) {
		s->v[i] = str_n(to, strlen(values[i]));
		memcpy(to, values[i], s->v[i].len);
		to += s->v[i].len;
	}
	return s;
}

bool strs_have(const struct strs *s, struct str value)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_eq(s->v[i], value))
			return true;
	return false;
}
