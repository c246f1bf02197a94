/*
 * A filter asks mostly about what many records share. So it is asked about each shape first (what
 * is known of a record by its shape alone), then about each conversation that is left, once for
 * each direction; only records that both let pass are put together and looked at.
 */
#include "filter/zone.h"
#include "store/segment_read.h"

/* Answers are bits; 0: no. */
enum answer {
	YES = 1,
	OPEN = 2,      /* it depends on more */
	ODD = 4,       /* beside OPEN: on more than members; its conversation cannot say no */
	SWAPPED = 8,   /* not an answer: of a shape, where records find their conversation's */
	NOT_ASKED = 16 /* of a conversation */
};

enum { PIECE = SEGMENT_LOOK };

static const uint32_t odd_bits =
	FLOW_ODD_TIME | FLOW_ODD_IP | FLOW_ODD_MAC | FLOW_ODD_UUID | FLOW_ODD_L4 | FLOW_ODD_IFACE;

static bool is_odd(const struct shape_row *r)
{
	return r->bits & odd_bits || r->kind != FLOW_KIND_FLOW || r->verdict == UINT8_MAX ||
	       r->direction == UINT8_MAX || r->ip_version == UINT8_MAX;
}

static uint8_t ask_of_shape(const struct segment_question *q, const struct shape_row *r,
			    flow_members members)
{
	struct flow f = { .seq = 0 };
	uint32_t kind = r->kind < 32 ? UINT32_C(1) << r->kind : 0;

	if (!(q->kinds & kind))
		return 0;
	if (!q->filter || q->unfiltered & kind)
		return YES;
	if (is_odd(r))
		return OPEN | ODD;
	segment_shape_members(r, &f);
	if (!flow_filter_may_match_known(q->filter, &f, segment_members_of_shape))
		return 0;
	return members & ~segment_members_of_shape ? OPEN : YES;
}

void segment_ask(struct segment *s, const struct segment_question *q)
{
	s->asked = *q;
	s->shape_answers = NULL;
}

static enum err_code ask_of_shapes(struct segment *s, struct err *e)
{
	const struct segment_question *q = &s->asked;
	enum err_code code = segment_need(s, NEED_SHAPES, e);

	if (code != ERR_OK || s->shape_answers)
		return code;
	flow_members members = flow_filter_members(q->filter);
	uint8_t *shapes = segment_room(s, &s->rooms[ROOM_SHAPE_ANSWERS], s->shape_count);
	s->talk_answers = segment_room(s, &s->rooms[ROOM_TALK_ANSWERS], 2 * s->talk_count);
	if (!shapes || !s->talk_answers)
		return err_set(e, ERR_NOMEM, "segment of %zu records", s->count);
	for (size_t i = 0; i < s->shape_count; i++)
		shapes[i] = (uint8_t)(ask_of_shape(q, &s->shapes[i], members) |
				      (s->shapes[i].swapped ? SWAPPED : 0));
	memset(s->talk_answers,
	       members & segment_members_of_talk & ~segment_members_of_shape ? NOT_ASKED : OPEN,
	       2 * s->talk_count);
	s->shape_answers = shapes;
	return ERR_OK;
}

static uint8_t ask_of_talk(struct segment *s, struct flow_filter *filter, uint32_t talk,
			   bool swapped)
{
	struct flow f = { .bits = ~odd_bits };

	segment_talk_members(s, talk, swapped, &f);
	return flow_filter_may_match_known(filter, &f, segment_members_of_talk) ? OPEN : 0;
}

/* What shapes say of @n records from @from on, as bits; those of which they do not know, and whose
 * conversation has not said no, in *@ret_open. Without branches: hardly one would be foreseen. */
static uint64_t ask_block(const struct segment *s, size_t from, size_t n, uint64_t *ret_open)
{
	const uint32_t *of = s->shape_of + from, *talk_of = s->talk_of + from;
	const uint8_t *talk_answers = s->talk_answers;
	uint64_t yes = 0, open = 0;

	for (size_t i = n; i-- > 0;) { /* backwards: the first record ends up in the lowest bit */
		unsigned answer = s->shape_answers[of[i]];
		unsigned of_talk =
			talk_answers[2 * (size_t)talk_of[i] + (answer & SWAPPED) / SWAPPED];

		yes = yes << 1 | (answer & YES);
		open = open << 1 | ((answer & OPEN) / OPEN & ((of_talk | (answer & ODD)) != 0));
	}
	*ret_open = open;
	return yes;
}

/* Of a record whose shape lets it pass: may its conversation be meant? */
static inline bool is_open(struct segment *s, size_t row, bool *odd)
{
	uint8_t of_shape = s->shape_answers[s->shape_of[row]];
	bool swapped = of_shape & SWAPPED;
	uint8_t *of_talk = &s->talk_answers[2 * (size_t)s->talk_of[row] + swapped];

	if (of_shape & ODD) {
		*odd = true;
		return true;
	}
	if (*of_talk == NOT_ASKED)
		*of_talk = ask_of_talk(s, s->asked.filter, s->talk_of[row], swapped);
	return *of_talk & OPEN;
}

/* Looks at the records themselves. @rows: at most PIECE, @from among them. */
static enum err_code look_at(struct segment *s, const uint32_t *rows, size_t n, bool odd,
			     size_t from, uint64_t *bits, size_t *found, struct err *e)
{
	struct flow *flows = s->work->looked_at;
	flow_members members =
		flow_filter_members(s->asked.filter) | (odd ? FLOW_MEMBER(FLOW_MEMBER_EXT) : 0);
	uint64_t matches = 0;

	if (!n)
		return ERR_OK;
	memset(flows, 0, n * sizeof *flows);
	enum err_code code = segment_load_rows(s, members, rows, n, flows, e);
	if (code != ERR_OK)
		return code;
	*found += flow_filter_match_n(s->asked.filter, flows, n, &matches);
	for (; matches; matches &= matches - 1) {
		size_t i = rows[__builtin_ctzll(matches)] - from;

		bits[i / 64] |= UINT64_C(1) << i % 64;
	}
	return ERR_OK;
}

enum err_code segment_match(struct segment *s, size_t from, size_t n, uint64_t *ret_bits,
			    size_t *ret_found, struct err *e)
{
	uint32_t rows[PIECE];
	size_t left = 0, found = 0;
	bool odd = false;

	if (from > s->count || n > s->count - from)
		return err_set(e, ERR_INVALID, "records beyond the segment");
	enum err_code code = ask_of_shapes(s, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < n; i += PIECE) {
		uint64_t *bits = &ret_bits[i / PIECE], open;

		*bits = ask_block(s, from + i, n - i < PIECE ? n - i : PIECE, &open);
		found += (size_t)__builtin_popcountll(*bits);
		for (; open && code == ERR_OK; open &= open - 1) {
			size_t row = from + i + (size_t)__builtin_ctzll(open);

			if (!is_open(s, row, &odd))
				continue;
			rows[left++] = (uint32_t)row;
			if (left < PIECE)
				continue;
			code = look_at(s, rows, left, odd, from, ret_bits, &found, e);
			left = 0;
			odd = false;
		}
	}
	if (code == ERR_OK)
		code = look_at(s, rows, left, odd, from, ret_bits, &found, e);
	if (code == ERR_OK)
		*ret_found = found;
	return code;
}
