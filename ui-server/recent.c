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

/* Index in puts of the lane's oldest message after @cursor. */
static uint64_t lane_start(const struct lane *l, uint64_t cursor)
{
	uint64_t i = l->puts;

	while (i > 0 && l->puts - i < l->count) {
		const struct slot *s = &l->slots[(i - 1) % l->count];
		if (s->number <= cursor)
			break;
		i--;
	}
	return i;
}

static const struct slot *lane_at(const struct lane *l, uint64_t i)
{
	return i < l->puts ? &l->slots[i % l->count] : NULL;
}

size_t ui_recent_read(const struct ui_recent *r, uint64_t *cursor, struct buf *out,
		      uint64_t *ret_left_out)
{
	uint64_t at[2] = { lane_start(&r->lanes[0], *cursor), lane_start(&r->lanes[1], *cursor) };
	size_t n = 0;

	*ret_left_out = 0;
	for (;;) {
		const struct slot *a = lane_at(&r->lanes[0], at[0]);
		const struct slot *b = lane_at(&r->lanes[1], at[1]);
		if (!a && !b)
			break;
		bool second = !a || (b && b->number < a->number);
		const struct slot *s = second ? b : a;
		at[second]++;
		uint32_t bytes = (uint32_t)s->bytes.len;
		buf_put(out, &bytes, sizeof bytes);
		buf_str_put(out, buf_str(&s->bytes));
		n++;
	}
	if (out->failed)
		return 0;
	*ret_left_out = r->newest - *cursor - n;
	*cursor = r->newest;
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
