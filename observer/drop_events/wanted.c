#include "observer/drop_events/wanted.h"

#include <ctype.h>

#include "base/meant.h"
#include "base/time.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"

enum { NAME_BYTES = 64 };

static void want(struct drop_wanted *w, uint32_t reason)
{
	w->reasons[reason / 64] |= UINT64_C(1) << reason % 64;
}

struct drop_wanted drop_wanted_default(void)
{
	struct drop_wanted w = { .interval_ns = 120 * NS_PER_S, .rate = 1 };

	want(&w, FLOW__DROP_REASON__AUTH_REQUIRED);
	want(&w, FLOW__DROP_REASON__POLICY_DENIED);
	return w;
}

static enum err_code unknown(struct str name, struct err *e)
{
	const ProtobufCEnumDescriptor *all = &flow__drop_reason__descriptor;
	struct meant meant = meant_of(name);
	char names[256][NAME_BYTES]; /* meant borrows */
	char guess[3 * NAME_BYTES];
	struct buf b = buf_fixed(guess, sizeof guess);
	char shown[EXCERPT_BYTES];

	for (unsigned i = 0; i < all->n_values && i < ARRAY_LEN(names); i++) {
		size_t n = 0;
		for (const char *p = all->values[i].name; *p && n < NAME_BYTES - 1; p++)
			names[i][n++] = (char)tolower((unsigned char)*p);
		names[i][n] = 0;
		meant_offer(&meant, names[i]);
	}
	meant_put(&b, &meant, "");
	return err_set(e, ERR_INVALID, "there is no drop reason '%s'%.*s",
		       str_excerpt(name, shown, sizeof shown), b.failed ? 0 : (int)b.len, guess);
}

static enum err_code take_one(struct drop_wanted *w, struct str name, struct err *e)
{
	char lower[NAME_BYTES], upper[NAME_BYTES];
	int32_t number;

	if (name.len >= sizeof upper)
		return unknown(name, e);
	for (size_t i = 0; i < name.len; i++) {
		lower[i] = (char)tolower((unsigned char)name.p[i]);
		upper[i] = (char)toupper((unsigned char)name.p[i]);
	}
	if (!enum_number(&flow__drop_reason__descriptor, str_n(upper, name.len), &number) ||
	    number < 0 || number >= DROP_REASONS)
		return unknown(str_n(lower, name.len), e);
	want(w, (uint32_t)number);
	return ERR_OK;
}

enum err_code drop_wanted_reasons(struct drop_wanted *w, struct str list, struct err *e)
{
	struct drop_wanted found = *w;
	bool any = false;

	memset(found.reasons, 0, sizeof found.reasons);
	while (list.len) {
		size_t n = 0;
		while (n < list.len && list.p[n] != ',' && !isspace((unsigned char)list.p[n]))
			n++;
		if (n) {
			enum err_code code = take_one(&found, str_upto(list, n), e);
			if (code != ERR_OK)
				return code;
			any = true;
		}
		list = str_from(list, n + 1);
	}
	if (!any)
		return err_set(e, ERR_INVALID, "a drop reason is wanted, such as policy_denied");
	*w = found;
	return ERR_OK;
}
