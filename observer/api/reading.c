#include "observer/api/reading.h"

enum { CHUNK = 64 }; /* records of one look into the log; one word of filter answers */

/* The words of Go's timestamppb (CheckValid), which the reference returns. */
static enum err_code take_timestamp(const Google__Protobuf__Timestamp *in, struct timestamp *ret,
				    struct err *e)
{
	long long s = (long long)in->seconds;
	int ns = (int)in->nanos;

	if (s < TIMESTAMP_MIN_S)
		return err_set(e, ERR_PARSE,
			       "proto: timestamp (seconds:%lld nanos:%d) before 0001-01-01", s, ns);
	if (s > TIMESTAMP_MAX_S)
		return err_set(e, ERR_PARSE,
			       "proto: timestamp (seconds:%lld nanos:%d) after 9999-12-31", s, ns);
	if (ns < 0 || ns >= (int)NS_PER_S)
		return err_set(e, ERR_PARSE,
			       "proto: timestamp (seconds:%lld nanos:%d) has out-of-range nanos", s,
			       ns);
	*ret = (struct timestamp){ s, ns };
	return ERR_OK;
}

enum err_code reading_init(struct reading *r, const struct reading_request *request,
			   const struct flow_log *log, enum flow_kind kind,
			   struct flow_filter *filter, struct err *e)
{
	struct flow_log_range range = flow_log_range(log);
	struct reading new = {
		.log = log,
		.kind = kind,
		.filter = filter,
		.has_since = request->since,
		.has_until = request->until,
		.follow = request->follow,
		.live = range.next,
		.end = request->follow ? UINT64_MAX : range.next,
		.at = range.oldest,
		.left = request->number && !request->follow ? request->number : UINT64_MAX,
	};
	enum err_code code = ERR_OK;

	if (request->first && request->follow)
		return err_set(e, ERR_INVALID, "first cannot be specified with follow");
	if (request->since)
		code = take_timestamp(request->since, &new.since, e);
	if (code == ERR_OK && request->until)
		code = take_timestamp(request->until, &new.until, e);
	if (code != ERR_OK)
		return code;
	if (!request->first && !request->since) {
		if (request->number) {
			new.is_walking = true;
			new.walk_at = range.next;
			new.walk_left = request->number;
		} else if (request->follow) {
			new.at = range.next;
		}
	}
	*r = new;
	return ERR_OK;
}

/* Negative: before the time range; positive: after it. A record without a time is in every range.
 * */
static int place_in_time(const struct reading *r, const struct flow *f)
{
	struct timestamp t;

	if ((!r->has_since && !r->has_until) || !flow_time(f, &t))
		return 0;
	if (r->has_since && timestamp_cmp(t, r->since) < 0)
		return -1;
	return r->has_until && timestamp_cmp(t, r->until) > 0;
}

/* Which records of @b are of the reading's kind and pass its filter. */
static uint64_t matches(const struct reading *r, const struct flow_batch *b)
{
	uint64_t bits = 0, of_kind = 0;

	for (size_t i = 0; i < b->count; i++)
		of_kind |= (uint64_t)(b->flows[i].kind == r->kind) << i;
	if (of_kind)
		(void)flow_filter_match_n(r->filter, b->flows, b->count, &bits);
	return bits & of_kind;
}

/* --- back --------------------------------------------------------------------------------- */

/* Numbers of the records in [@from, @to), at most CHUNK, that match and are in the time range.
 * @return how many. */
static size_t find_matches(const struct reading *r, uint64_t from, uint64_t to,
			   struct flow_batch *b, uint64_t found[CHUNK])
{
	uint64_t at = from, lost;
	size_t n = 0;

	/* More than once where the batch has no room for all the text. */
	while (at < to && (flow_log_read(r->log, &at, to, b, &lost) || lost)) {
		uint64_t bits = matches(r, b);
		for (size_t i = 0; i < b->count; i++)
			if ((bits >> i & 1) && place_in_time(r, &b->flows[i]) == 0)
				found[n++] = b->flows[i].seq;
	}
	return n;
}

/* One chunk further back; finds the start when enough match or nothing older is left. */
static void walk(struct reading *r, struct flow_batch *b)
{
	uint64_t oldest = flow_log_range(r->log).oldest, found[CHUNK];
	uint64_t from = r->walk_at > oldest + CHUNK ? r->walk_at - CHUNK : oldest;
	size_t n = from < r->walk_at ? find_matches(r, from, r->walk_at, b, found) : 0;

	if (n >= r->walk_left) {
		r->at = found[n - (size_t)r->walk_left];
		r->is_walking = false;
	} else if (from >= r->walk_at || from == oldest) {
		r->at = from;
		r->is_walking = false;
	}
	r->walk_left -= n < r->walk_left ? n : r->walk_left;
	r->walk_at = from;
}

/* --- forward ------------------------------------------------------------------------------ */

static void note_loss(struct reading *r, struct wall_ns wall)
{
	if (!r->unsure)
		return;
	if (!r->loss.records)
		r->loss.first = wall;
	r->loss.last = wall;
	r->loss.records += r->unsure;
	r->unsure = 0;
}

/* Before @b's records, @lost were lost. If even the record after them is older than `since`, so
 * were they. */
static void judge_loss(struct reading *r, uint64_t lost, const struct flow_batch *b,
		       struct wall_ns wall)
{
	r->unsure += lost;
	if (!b->count)
		return; /* the next batch will show */
	if (place_in_time(r, &b->flows[0]) < 0)
		r->unsure = 0;
	note_loss(r, wall);
}

/* @return false: no room. */
static bool tell_loss(struct reading *r, struct mono_ns now, bool at_once,
		      struct reading_sink *sink)
{
	if (!r->loss.records || (!at_once && r->told.v && now.v - r->told.v < NS_PER_S))
		return true;
	if (!sink->loss(sink, &r->loss))
		return false;
	r->loss = (struct reading_loss){ 0 };
	r->told = now;
	return true;
}

enum offered { TAKEN, FULL, LAST };

static enum offered offer(struct reading *r, const struct flow *f, bool is_match,
			  struct reading_sink *sink)
{
	int place = place_in_time(r, f);
	bool is_loss = f->kind == FLOW_KIND_LOST && r->kind == FLOW_KIND_FLOW;

	/* Not the end yet: a later record may stand before an earlier one, sources differ by a
	 * bit. */
	if (place > 0 && f->kind == r->kind)
		r->is_past = true;
	if (place != 0 || !(is_match || is_loss))
		return TAKEN;
	if (!sink->record(sink, f))
		return FULL;
	if (is_match && r->left != UINT64_MAX)
		r->left--;
	return r->left ? TAKEN : LAST;
}

/* One batch. */
static enum offered offer_all(struct reading *r, const struct flow_batch *b,
			      struct reading_sink *sink)
{
	uint64_t bits = matches(r, b);

	for (size_t i = 0; i < b->count; i++) {
		enum offered done = offer(r, &b->flows[i], bits >> i & 1, sink);
		if (done == FULL)
			r->at = b->flows[i].seq; /* again, when there is room */
		if (done != TAKEN)
			return done;
	}
	return TAKEN;
}

static enum reading_state finish(struct reading *r, struct mono_ns now, struct wall_ns wall,
				 struct reading_sink *sink)
{
	note_loss(r, wall);
	r->has_ended = true;
	return tell_loss(r, now, true, sink) ? READING_ENDED : READING_MORE;
}

enum reading_state reading_pull(struct reading *r, struct flow_batch *batch, struct mono_ns now,
				struct wall_ns wall, struct reading_sink *sink)
{
	if (r->has_ended)
		return finish(r, now, wall, sink);
	for (int i = 0; i < READING_PORTION / CHUNK; i++) {
		uint64_t lost;
		if (r->is_walking) {
			walk(r, batch);
			continue;
		}
		size_t n = flow_log_read(r->log, &r->at, r->end, batch, &lost);
		judge_loss(r, lost, batch, wall);
		if (!tell_loss(r, now, false, sink)) {
			r->at = n ? batch->flows[0].seq : r->at;
			return READING_MORE;
		}
		switch (n ? offer_all(r, batch, sink) : TAKEN) {
		case FULL:
			return READING_MORE;
		case LAST:
			return finish(r, now, wall, sink);
		case TAKEN:
			break;
		}
		if (r->at >= r->end || (r->is_past && r->at >= r->live))
			return finish(r, now, wall, sink);
		if (!n && !lost)
			return READING_IDLE;
	}
	return READING_MORE;
}
