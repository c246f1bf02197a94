#include "ui-server/status_text.h"

void ui_status_text_init(struct ui_status_text *t)
{
	*t = (struct ui_status_text){ .head = buf_init(UI_STATUS_PART_BYTES) };
	for (int i = 0; i < UI_STATUS_PARTS_; i++)
		t->parts[i].json = buf_init(UI_STATUS_PART_BYTES);
}

void ui_status_text_done(struct ui_status_text *t)
{
	buf_done(&t->head);
	for (int i = 0; i < UI_STATUS_PARTS_; i++)
		buf_done(&t->parts[i].json);
}

static void replace(struct buf *to, const struct buf *from)
{
	buf_reset(to);
	if (!from->failed)
		buf_str_put(to, buf_str(from));
	if (to->failed)
		buf_reset(to);
}

bool ui_status_text_take(struct ui_status_text *t, const struct ui_status_text *next)
{
	replace(&t->head, &next->head);
	if (!t->head.len)
		return false;
	t->version++;
	for (int i = 0; i < UI_STATUS_PARTS_; i++) {
		struct ui_status_part_text *to = &t->parts[i];
		const struct ui_status_part_text *from = &next->parts[i];
		bool is_new = !to->json.len || to->key != from->key;

		replace(&to->json, &from->json);
		to->key = from->key;
		if (is_new)
			to->version = t->version;
	}
	return true;
}

bool ui_status_text_copy(struct ui_status_text *to, const struct ui_status_text *from)
{
	bool whole = true;

	if (to->version == from->version)
		return true;
	replace(&to->head, &from->head);
	whole &= to->head.len == from->head.len;
	for (int i = 0; i < UI_STATUS_PARTS_; i++) {
		struct ui_status_part_text *part = &to->parts[i];
		replace(&part->json, &from->parts[i].json);
		whole &= part->json.len == from->parts[i].json.len;
		part->key = from->parts[i].key;
		part->version = from->parts[i].version;
	}
	to->version = whole ? from->version : 0;
	return whole;
}

unsigned ui_status_text_news(const struct ui_status_text *t, uint64_t told)
{
	unsigned parts = 0;

	for (int i = 0; i < UI_STATUS_PARTS_; i++)
		if (t->parts[i].json.len && t->parts[i].version > told)
			parts |= 1U << i;
	return parts;
}

void ui_status_text_put(const struct ui_status_text *t, unsigned parts, struct buf *b)
{
	static const char *const names[] = { "namespaces", "coverage", "history" };

	_Static_assert(ARRAY_LEN(names) == UI_STATUS_PARTS_, "a part without a name");
	buf_str_put(b, buf_str(&t->head));
	for (int i = 0; i < UI_STATUS_PARTS_; i++)
		if (parts & 1U << i) {
			buf_printf(b, ",\"%s\":", names[i]);
			buf_str_put(b, buf_str(&t->parts[i].json));
		}
	buf_char(b, '}');
}
