#include "ui-server/recent.h"

#include "base/buf.h"

struct slot {
	uint64_t number; /* 0: never filled */
	struct buf bytes;
};

struct lane {
	struct slot *slots;
	size_t count;
	uint64_t puts; /* slot of the next put: puts % count */
};

struct ui_recent {
	struct lane lanes[2]; /* all that is no refusal; refusals */
	uint64_t newest;      /* number of the last message */
};

static void lane_done(struct lane *l)
{
	for (size_t i = 0; l->slots && i < l->count; i++)
		buf_done(&l->slots[i].bytes);
	free(l->slots);
}

void ui_recent_free(struct ui_recent *r)
{
	if (!r)
		return;
	lane_done(&r->lanes[0]);
	lane_done(&r->lanes[1]);
	free(r);
}

enum err_code ui_recent_new(size_t all, size_t refused, struct ui_recent **ret, struct err *e)
{
	AUTO(ui_recent_free) struct ui_recent *r = calloc(1, sizeof *r);
	const size_t counts[] = { all, refused };

	for (size_t k = 0; r && k < 2; k++) {
		struct lane *l = &r->lanes[k];
		l->count = counts[k];
		l->slots = calloc(l->count, sizeof *l->slots);
		if (!l->slots)
			return err_set(e, ERR_NOMEM, "recent flows");
		for (size_t i = 0; i < l->count; i++)
			l->slots[i].bytes = buf_init(UI_RECENT_MESSAGE_BYTES);
	}
	if (!r)
		return err_set(e, ERR_NOMEM, "recent flows");
	*ret = TAKE(r);
	return ERR_OK;
}

void ui_recent_put(struct ui_recent *r, struct str message, bool refused)
{
	struct lane *l = &r->lanes[refused];
	struct slot *s = &l->slots[l->puts % l->count];

	r->newest++;
	buf_reset(&s->bytes);
	buf_str_put(&s->bytes, message);
	if (s->bytes.failed) { /* too long, or no memory: the slot is free for the next */
		s->number = 0;
		return;
	}
	s->number = r->newest;
	l->puts++;
}

static const struct slot *slot_before(const struct lane *l, uint64_t i)
{
	return i > 0 && l->puts - i < l->count ? &l->slots[(i - 1) % l->count] : NULL;
}

/* What a reader gets of one lane: indices in puts. */
struct span {
	uint64_t at, end;
};

static struct span span_of(const struct lane *l, uint64_t cursor, uint64_t until, size_t most)
{
	struct span s = { .end = l->puts };
	const struct slot *slot;

	while ((slot = slot_before(l, s.end)) && slot->number > until)
		s.end--;
	s.at = s.end;
	while (s.end - s.at < most && (slot = slot_before(l, s.at)) && slot->number > cursor)
		s.at--;
	return s;
}

static const struct slot *span_next(const struct lane *l, const struct span *s)
{
	return s->at < s->end ? &l->slots[s->at % l->count] : NULL;
}

uint64_t ui_recent_newest(const struct ui_recent *r)
{
	return r->newest;
}

size_t ui_recent_read(const struct ui_recent *r, uint64_t cursor, uint64_t until,
		      struct ui_recent_most most, struct buf *out, uint64_t *ret_left_out)
{
	struct span spans[] = { span_of(&r->lanes[0], cursor, until, most.all),
				span_of(&r->lanes[1], cursor, until, most.refused) };
	size_t n = 0;

	*ret_left_out = 0;
	for (;;) {
		const struct slot *a = span_next(&r->lanes[0], &spans[0]);
		const struct slot *b = span_next(&r->lanes[1], &spans[1]);
		if (!a && !b)
			break;
		bool second = !a || (b && b->number < a->number);
		const struct slot *s = second ? b : a;
		spans[second].at++;
		uint32_t bytes = (uint32_t)s->bytes.len;
		buf_put(out, &bytes, sizeof bytes);
		buf_str_put(out, buf_str(&s->bytes));
		n++;
	}
	if (out->failed)
		return 0;
	*ret_left_out = until - cursor - n;
	return n;
}

bool ui_recent_next(struct str *rest, struct str *ret_message)
{
	uint32_t bytes;

	if (rest->len < sizeof bytes)
		return false;
	memcpy(&bytes, rest->p, sizeof bytes);
	*ret_message = str_upto(str_from(*rest, sizeof bytes), bytes);
	*rest = str_from(*rest, sizeof bytes + bytes);
	return true;
}
