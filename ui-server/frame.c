#include "ui-server/frame.h"

struct ui_frame {
	struct ui_frames *frames;
	size_t refs, len;
	char text[];
};

struct ui_frame *ui_frame_new(struct ui_frames *frames, struct str text)
{
	struct ui_frame *f = malloc(sizeof *f + text.len);

	if (!f)
		return NULL;
	*f = (struct ui_frame){ .frames = frames, .refs = 1, .len = text.len };
	memcpy(f->text, text.p, text.len);
	frames->bytes += text.len;
	return f;
}

struct ui_frame *ui_frame_ref(struct ui_frame *f)
{
	f->refs++;
	return f;
}

void ui_frame_unref(struct ui_frame *f)
{
	if (!f || --f->refs)
		return;
	f->frames->bytes -= f->len;
	free(f);
}

struct str ui_frame_text(const struct ui_frame *f)
{
	return str_n(f->text, f->len);
}
