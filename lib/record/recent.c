#include "record/recent.h"

static void keep(struct recent_value *to, struct str text, struct str field)
{
	if (text.len > RECENT_BYTES || field.len > RECENT_BYTES - text.len)
		return;
	to->text_len = (uint8_t)text.len;
	to->bytes_len = (uint8_t)field.len;
	memcpy(to->bytes, text.p, text.len);
	memcpy(to->bytes + text.len, field.p, field.len);
}

bool recent_read(struct recent *r, struct scan *s, const struct schema_field *f, size_t front,
		 struct values_out *o, struct str *ret)
{
	const char *text = s->p, *field = (const char *)o->p;
	struct recent_value *slot = NULL;

	if (scan_left(s) >= front) {
		slot = &r->slots[scan_hash(text, front) % RECENT_SLOTS];
		if (slot->text_len && scan_past(s, slot->bytes, slot->text_len)) {
			*ret = str_n(slot->bytes + slot->text_len, slot->bytes_len);
			return true;
		}
	}
	if (!values_put_field(o, s, f))
		return false;
	*ret = str_n(field, (size_t)((const char *)o->p - field));
	if (slot)
		keep(slot, str_n(text, (size_t)(s->p - text)), *ret);
	return true;
}
