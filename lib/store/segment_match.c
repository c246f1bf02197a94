/*
 * A filter asks mostly about what many records share. So it is asked about each shape first (what
 * is known of a record by its shape alone), then about each conversation that is left, once for
 * each direction; only records that both let pass are put together and looked at.
 */
#include "filter/zone.h"
#include "store/segment_read.h"

/* ODD: it depends on more than its members; its conversation cannot say no. */
enum answer { ANSWER_NO, ANSWER_YES, ANSWER_PERHAPS, ANSWER_ODD, ANSWER_NOT_ASKED };

enum { PIECE = SEGMENT_LOOK };

static const uint32_t odd_bits =
	FLOW_ODD_TIME | FLOW_ODD_IP | FLOW_ODD_MAC | FLOW_ODD_UUID | FLOW_ODD_L4 | FLOW_ODD_IFACE;

static bool is_odd(const struct shape_row *r)
{
	return r->bits & odd_bits || r->kind != FLOW_KIND_FLOW || r->verdict == UINT8_MAX ||
	       r->direction == UINT8_MAX || r->ip_version == UINT8_MAX;
}

static enum answer ask_of_shape(const struct segment_question *q, const struct shape_row *r,
				flow_members members)
{
	struct flow f = { .seq = 0 };
	uint32_t kind = r->kind < 32 ? UINT32_C(1) << r->kind : 0;

	if (!(q->kinds & kind))
		return ANSWER_NO;
	if (!q->filter || q->unfiltered & kind)
		return ANSWER_YES;
	if (is_odd(r))
		return ANSWER_ODD;
	segment_shape_members(r, &f);
	if (!flow_filter_may_match_known(q->filter, &f, segment_members_of_shape))
		return ANSWER_NO;
	return members & ~segment_members_of_shape ? ANSWER_PERHAPS : ANSWER_YES;
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
		shapes[i] = (uint8_t)ask_of_shape(q, &s->shapes[i], members);
	memset(s->talk_answers,
	       members & segment_members_of_talk & ~segment_members_of_shape ? ANSWER_NOT_ASKED
									     : ANSWER_PERHAPS,
	       2 * s->talk_count);
	s->shape_answers = shapes;
	return ERR_OK;
}

static enum answer ask_of_talk(struct segment *s, struct flow_filter *filter, uint32_t talk,
			       bool swapped)
{
	struct flow f = { .bits = ~odd_bits };

	segment_talk_members(s, talk, swapped, &f);
	return flow_filter_may_match_known(filter, &f, segment_members_of_talk) ? ANSWER_PERHAPS
										: ANSWER_NO;
}

static enum answer answer_for(struct segment *s, size_t row)
{
	uint32_t shape = s->shape_of[row];
	enum answer answer = (enum answer)s->shape_answers[shape];

	if (answer != ANSWER_PERHAPS)
		return answer;
	bool swapped = s->shapes[shape].swapped;
	uint8_t *of_talk = &s->talk_answers[2 * (size_t)s->talk_of[row] + swapped];
	if (*of_talk == ANSWER_NOT_ASKED)
		*of_talk = (uint8_t)ask_of_talk(s, s->asked.filter, s->talk_of[row], swapped);
	return (enum answer) * of_talk;
}

/* Looks at the records themselves. @rows: at most PIECE, @from among them. */
static enum err_code look_at(struct segment *s, const uint32_t *rows, size_t n, bool odd,
			     size_t from, uint64_t *bits, size_t *found, struct err *e)
{
	struct flow *flows = s->looked_at;
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
	memset(ret_bits, 0, (n + 63) / 64 * sizeof *ret_bits);
	for (size_t i = 0; code == ERR_OK && i < n; i++) {
		enum answer answer = answer_for(s, from + i);

		if (answer == ANSWER_NO)
			continue;
		if (answer == ANSWER_YES) {
			ret_bits[i / 64] |= UINT64_C(1) << i % 64;
			found++;
			continue;
		}
		odd |= answer == ANSWER_ODD;
		rows[left++] = (uint32_t)(from + i);
		if (left == PIECE) {
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
