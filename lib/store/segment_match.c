/*
 * A filter asks mostly about what many records share. So it is asked about each shape first (what
 * is known of a record by its shape alone), then about each conversation that is left, once for
 * each direction; only records that both let pass are put together and looked at.
 */
#include "filter/zone.h"
#include "flow/swar.h"
#include "store/segment_read.h"

/*
 * A record's answer is its shape's & its conversation's: each has the other's bits that it does not
 * care about.
 */
enum answer {
	YES = 1,        /* of a shape: whatever the conversation */
	SURE = 2,       /* of a conversation: whatever else, if the shape lets it pass */
	OPEN = 4,       /* it depends on more */
	ODD = 8,        /* of a shape: on more than members; its conversation cannot say no */
	NOT_ASKED = 16, /* of a conversation, beside OPEN */
	SWAPPED = 128,  /* not an answer: of a shape, where records find their conversation's */
	SHAPE_PASSES = SURE | OPEN,
	TALK_CANNOT_SAY = YES | ODD,
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
		return ODD;
	segment_shape_members(r, &f);
	if (!flow_filter_may_match_known(q->filter, &f, segment_members_of_shape))
		return 0;
	return members & ~segment_members_of_shape ? SHAPE_PASSES : YES;
}

void segment_ask(struct segment *s, const struct segment_question *q)
{
	s->asked = *q;
	s->shape_answers = NULL;
}

static const flow_members members_of_link =
	FLOW_MEMBER(FLOW_MEMBER_SRC_IP) | FLOW_MEMBER(FLOW_MEMBER_DST_IP) |
	FLOW_MEMBER(FLOW_MEMBER_SRC_EP) | FLOW_MEMBER(FLOW_MEMBER_DST_EP) |
	FLOW_MEMBER(FLOW_MEMBER_SERVICES) | FLOW_MEMBER(FLOW_MEMBER_L4) |
	FLOW_MEMBER(FLOW_MEMBER_KIND);

/* Of *@f nothing is looked at but what is written here. */
static uint8_t ask_of_talk(struct segment *s, struct flow_filter *filter, uint32_t talk,
			   bool swapped, flow_members known, struct flow *f)
{
	f->bits = ~odd_bits;
	segment_talk_members(s, talk, swapped, f);
	if (!flow_filter_may_match_known(filter, f, known))
		return TALK_CANNOT_SAY;
	f->bits = 0;
	return TALK_CANNOT_SAY | (flow_filter_must_match_known(filter, f, known) ? SURE : OPEN);
}

/* A link's conversations differ in a port only: where that is not asked for, the first one says it
 * for all, in both directions. */
static void ask_of_links(struct segment *s, struct flow_filter *filter)
{
	uint8_t(*of_talk)[2] = (uint8_t(*)[2])s->talk_answers;
	uint32_t *first = s->work->first_talk;
	struct flow f = { .seq = 0 };

	for (uint32_t talk = 0; talk < s->talk_count; talk++) {
		uint32_t link = s->talks[talk].link, *same = &first[link % SEGMENT_FIRST_TALKS];

		if (*same < talk && s->talks[*same].link == link) {
			memcpy(of_talk[talk], of_talk[*same], sizeof *of_talk);
			continue;
		}
		*same = talk;
		for (unsigned swapped = 0; swapped < 2; swapped++)
			of_talk[talk][swapped] =
				ask_of_talk(s, filter, talk, swapped, members_of_link, &f);
	}
}

static enum err_code ask_of_shapes(struct segment *s, struct err *e)
{
	const struct segment_question *q = &s->asked;
	enum err_code code = segment_need(s, NEED_SHAPES, e);

	if (code != ERR_OK || s->shape_answers)
		return code;
	flow_members members = flow_filter_members(q->filter);
	uint8_t *shapes = s->answers; /* of a question before, perhaps */
	if (!shapes)
		shapes = segment_room(s, s->shape_count + 2 * s->talk_count);
	if (!shapes)
		return err_set(e, ERR_NOMEM, "segment of %zu records", s->count);
	s->answers = shapes;
	s->talk_answers = shapes + s->shape_count;
	for (size_t i = 0; i < s->shape_count; i++)
		shapes[i] = (uint8_t)(ask_of_shape(q, &s->shapes[i], members) |
				      (s->shapes[i].swapped ? SWAPPED : 0));
	members &= segment_members_of_talk & ~segment_members_of_shape;
	memset(s->talk_answers, TALK_CANNOT_SAY | OPEN | (members ? NOT_ASKED : 0),
	       2 * s->talk_count);
	if (members && !(members & ~members_of_link))
		ask_of_links(s, q->filter);
	s->shape_answers = shapes;
	return ERR_OK;
}

/* Bit i: byte i of @v has one of the bits of @mask, which a byte repeats. */
static inline uint64_t bytes_with(uint64_t v, uint64_t mask)
{
	v &= mask;
	v = (v + ~SWAR_HIGHS) & SWAR_HIGHS; /* the highest bit of answers is not in a mask */
	return (v >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/* What shapes and conversations say of @n records from @from on, as bits; those of which they do
 * not know in *@ret_open. Without branches: hardly one would be foreseen. */
static uint64_t ask_block(const struct segment *s, size_t from, size_t n, uint64_t *ret_open)
{
	const uint32_t *of = s->shape_of + from, *talk_of = s->talk_of + from;
	const uint8_t *of_shapes = s->shape_answers, *of_talks = s->talk_answers;
	uint8_t answers[PIECE] = { 0 };
	uint64_t yes = 0, open = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned of_shape = of_shapes[of[i]];

		answers[i] =
			(uint8_t)(of_shape & of_talks[2 * (size_t)talk_of[i] + of_shape / SWAPPED]);
	}
	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = swar_load((const char *)answers + i);

		yes |= bytes_with(v, SWAR_ONES * (YES | SURE)) << i;
		open |= bytes_with(v, SWAR_ONES * (OPEN | ODD)) << i;
	}
	*ret_open = open;
	return yes;
}

/* Of a record whose shape lets it pass: may its conversation be meant? */
static inline enum answer answer_of(struct segment *s, size_t row)
{
	uint8_t of_shape = s->shape_answers[s->shape_of[row]];
	bool swapped = of_shape & SWAPPED;
	uint8_t *of_talk = &s->talk_answers[2 * (size_t)s->talk_of[row] + swapped];

	if (*of_talk & NOT_ASKED && !(of_shape & ODD)) {
		struct flow f = { .seq = 0 };
		*of_talk = ask_of_talk(s, s->asked.filter, s->talk_of[row], swapped,
				       segment_members_of_talk, &f);
	}
	return of_shape & *of_talk;
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
			enum answer answer = answer_of(s, row);

			if (answer & SURE) {
				*bits |= open & -open;
				found++;
			}
			if (!(answer & (OPEN | ODD)))
				continue;
			odd |= (answer & ODD) != 0;
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
