#include "observer/api/reading.h"

enum { CHUNK = 64 }; /* records of one look into the log, at most; one word of filter answers */

/* Records that the store has, or will have: at most so many. */
static uint64_t past_most(const struct past *past)
{
	return past ? past_counts(past).records + past_taken(past) - past_sealed(past) : 0;
}

enum err_code reading_init(struct reading *r, const struct reading_request *request,
			   const struct flow_log *log, struct past *past, enum flow_kind kind,
			   struct flow_filter *filter, struct err *e)
{
	struct flow_log_range range = flow_log_range(log);
	struct reading new = {
		.log = log,
		.past = past,
		.kind = kind,
		.filter = filter,
		.has_since = request->since,
		.has_until = request->until,
		.follow = request->follow,
		.live = range.next,
		.run = flow_log_first(log),
		.end = request->follow ? UINT64_MAX : range.next,
		.at = range.oldest,
		.left = request->number && !request->follow ? request->number : UINT64_MAX,
		.chunk = CHUNK,
	};
	enum err_code code = ERR_OK;

	if (request->first && request->follow)
		return err_set(e, ERR_INVALID, "first cannot be specified with follow");
	if (request->since)
		code = timestamp_check(request->since->seconds, request->since->nanos, &new.since,
				       e);
	if (code == ERR_OK && request->until)
		code = timestamp_check(request->until->seconds, request->until->nanos, &new.until,
				       e);
	if (code != ERR_OK)
		return code;
	bool everything = request->number >= range.next - range.oldest + past_most(past);
	/* all before it: what Hubble's CLI asks for with --until, also beside --all */
	bool has_end_alone = request->until && !request->number && !request->follow;
	if (request->first || request->since || (request->number && everything) || has_end_alone) {
		new.at = !past ? range.oldest : past_is_older(past) ? 0 : new.run;
	} else if (request->number) {
		new.is_walking = true;
		new.walk_at = range.next;
		new.walk_left = request->number;
	} else if (request->follow && !request->with_log) {
		new.at = range.next;
	}
	*r = new;
	return ERR_OK;
}

void reading_done(struct reading *r)
{
	past_leave(r->past, &r->back);
	past_leave(r->past, &r->forth);
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

/* Records of one look into the store. */
static size_t portion(const struct reading *r)
{
	return READING_PORTION / CHUNK * r->chunk;
}

/* How one step of a reading went. */
enum step { STEP_ON, STEP_WAIT, STEP_FULL, STEP_LAST, STEP_FAILED };

/* One chunk further back in the log; finds the start when enough match. What is older than the log
 * is the store's. */
static void walk_log(struct reading *r, struct flow_batch *b)
{
	uint64_t oldest = flow_log_range(r->log).oldest, found[CHUNK];
	uint64_t from = r->walk_at > oldest + r->chunk ? r->walk_at - r->chunk : oldest;
	size_t n = from < r->walk_at ? find_matches(r, from, r->walk_at, b, found) : 0;

	if (n >= r->walk_left) {
		r->at = found[n - (size_t)r->walk_left];
		r->is_walking = false;
	} else if (from >= r->walk_at || from == oldest) {
		/* The log may have moved on: then the store has what was to be looked at next. */
		r->at = r->past && from > r->walk_at ? r->walk_at : from;
		r->is_walking = r->is_in_past = r->past != NULL;
	}
	r->walk_left -= n < r->walk_left ? n : r->walk_left;
	r->walk_at = from < r->walk_at ? from : r->walk_at;
}

/* The nearest that a wall_ns can hold. */
static struct wall_ns wall_or(bool has, struct timestamp t, uint64_t otherwise)
{
	struct wall_ns w = { t.s < 0 ? 0 : UINT64_MAX };

	if (!has)
		return (struct wall_ns){ otherwise };
	(void)timestamp_to_wall(t, &w);
	return w;
}

static struct past_place place_of(const struct reading *r, uint64_t from, uint64_t to,
				  bool backward)
{
	uint32_t lost = r->kind == FLOW_KIND_FLOW && !backward ? 1U << FLOW_KIND_LOST : 0;

	return (struct past_place){
		.config = {
			.range = { wall_or(r->has_since, r->since, 0),
				   wall_or(r->has_until, r->until, UINT64_MAX), from, to },
			.filter = r->filter,
			.kinds = 1U << r->kind | lost,
			.unfiltered = lost,
			.backward = backward,
			.takes_nameless = true,
		},
	};
}

/* Records below @seq that the store has taken and not sealed cannot be seen yet. */
static bool must_wait(const struct reading *r, uint64_t seq)
{
	uint64_t sealed = past_sealed(r->past);

	return sealed < seq && sealed < past_taken(r->past);
}

/* One portion further back in the store; ends the walk when enough match or nothing is older. */
static enum step walk_past(struct reading *r, struct err *e)
{
	const struct flow *flows;
	size_t n;
	bool more;

	if (!r->back.config.kinds) {
		if (must_wait(r, r->walk_at))
			return STEP_WAIT;
		r->back = place_of(r, 0, r->walk_at, true);
	}
	if (past_peek(r->past, &r->back, portion(r), &flows, &n, &more, e) != ERR_OK)
		return STEP_FAILED;
	size_t wanted = n < r->walk_left ? n : (size_t)r->walk_left;
	if (wanted)
		r->at = flows[wanted - 1].seq;
	past_took(&r->back, n);
	r->walk_left -= wanted;
	if (!r->walk_left || !more) {
		r->is_walking = r->is_in_past = false;
		past_leave(r->past, &r->back);
	}
	return STEP_ON;
}

/* --- forward ------------------------------------------------------------------------------ */

/* Flows tell the time to readers of rarer events, too; not these to readers of flows: a replay's
 * flows are older than what the observer itself has to say. */
static bool tells_time(const struct reading *r, const struct flow *f)
{
	return (f->kind == r->kind || f->kind == FLOW_KIND_FLOW) && flow_is(f, FLOW_HAS_TIME);
}

/* @n records are lost that come after what was seen at @from. */
static void miss(struct reading *r, uint64_t n, struct wall_ns from)
{
	if (n && !r->unsure)
		r->unsure_from = from;
	r->unsure += n;
}

/* What is missing is older than what was read at @until, and is told. */
static void note_loss(struct reading *r, struct wall_ns until)
{
	struct wall_ns since = wall_or(r->has_since, r->since, 0),
		       end = wall_or(r->has_until, r->until, UINT64_MAX),
		       last = until.v < end.v ? until : end,
		       first = r->unsure_from.v > since.v ? r->unsure_from : since;

	if (!r->unsure)
		return;
	if (!first.v ||
	    first.v > last.v) /* nothing was read before, or later records came earlier */
		first = last;
	if (!r->loss.records || first.v < r->loss.first.v)
		r->loss.first = first;
	if (!r->loss.records || last.v > r->loss.last.v)
		r->loss.last = last;
	r->loss.records += r->unsure;
	r->unsure = 0;
}

/* The time of the first record that tells it; @otherwise: none does. */
static struct wall_ns time_of(const struct reading *r, const struct flow_batch *b,
			      struct wall_ns otherwise)
{
	for (size_t i = 0; i < b->count; i++)
		if (tells_time(r, &b->flows[i]))
			return b->flows[i].time;
	return otherwise;
}

/* Before @b's records, @lost were lost. If even the record after them is older than `since`, so
 * were they. */
static void judge_loss(struct reading *r, uint64_t lost, const struct flow_batch *b,
		       struct wall_ns wall)
{
	miss(r, lost, r->seen);
	if (!b->count || !r->unsure)
		return; /* the next batch will show */
	if (place_in_time(r, &b->flows[0]) < 0)
		r->unsure = 0;
	note_loss(r, time_of(r, b, wall));
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

static enum step offer(struct reading *r, const struct flow *f, bool is_match,
		       struct reading_sink *sink)
{
	int place = place_in_time(r, f);
	bool is_loss = f->kind == FLOW_KIND_LOST && r->kind == FLOW_KIND_FLOW;

	/* Not the end yet: a later record may stand before an earlier one, sources differ by a
	 * bit. */
	if (tells_time(r, f)) {
		r->is_past |= place > 0;
		r->seen = f->time;
	}
	if (place != 0 || !(is_match || is_loss))
		return STEP_ON;
	if (!sink->record(sink, f))
		return STEP_FULL;
	if (is_match && r->left != UINT64_MAX)
		r->left--;
	return r->left ? STEP_ON : STEP_LAST;
}

/* One batch of the log. */
static enum step offer_all(struct reading *r, const struct flow_batch *b, struct reading_sink *sink)
{
	uint64_t bits = matches(r, b);

	for (size_t i = 0; i < b->count; i++) {
		enum step done = offer(r, &b->flows[i], bits >> i & 1, sink);
		if (done == STEP_FULL)
			r->at = b->flows[i].seq; /* again, when there is room */
		if (done != STEP_ON)
			return done;
	}
	return STEP_ON;
}

/* Numbers of this run among those just read that the store has no record for: it could not write
 * them, or came too late for them. What other runs lost, the gaps tell; what was kept for its time
 * and pruned is not missing. */
static enum err_code past_missing(const struct reading *r, uint64_t *ret_from, uint64_t *ret,
				  struct err *e)
{
	uint64_t from = r->past_from > r->run ? r->past_from : r->run, held;
	struct store_bounds bounds = { 0 };
	enum err_code code = ERR_OK;

	*ret = 0;
	if (past_counts(r->past).pruned_records)
		code = store_bounds(past_reader(r->past), &bounds, e);
	if (code == ERR_OK && bounds.first_seq > from)
		from = bounds.first_seq;
	if (code != ERR_OK || from >= r->past_end)
		return code;
	code = store_held(past_reader(r->past), from, r->past_end, &held, e);
	if (code == ERR_OK)
		*ret = r->past_end - from - held;
	*ret_from = from;
	return code;
}

/* What the gaps tell of the records numbered in [from, to). */
struct told_missing {
	uint64_t from, to, records;
	struct wall_ns first, last;
};

static void take_gap(void *ctx, const struct store_gap *gap)
{
	struct told_missing *t = ctx;
	uint64_t a = gap->first_seq > t->from ? gap->first_seq : t->from,
		 b = gap->last_seq < t->to ? gap->last_seq + 1 : t->to;

	if (!gap->first_seq || a >= b)
		return;
	if (!t->records || gap->from.v < t->first.v)
		t->first = gap->from;
	if (!t->records || gap->to.v > t->last.v)
		t->last = gap->to;
	t->records += b - a;
}

/* The store has been read, and the log comes next. What is missing lies in the gaps that it has
 * noted; if it has not noted all, between what was seen before and the log. */
static enum err_code miss_past(struct reading *r, struct wall_ns wall, struct err *e)
{
	const struct wall_ns oldest = flow_log_counts(r->log).oldest_time;
	struct told_missing told = { .to = r->past_end };
	uint64_t missing;
	enum err_code code = past_missing(r, &told.from, &missing, e);

	if (code == ERR_OK && missing)
		code = store_gaps(past_reader(r->past), (struct wall_ns){ 0 },
				  (struct wall_ns){ UINT64_MAX }, take_gap, &told, e);
	if (code != ERR_OK)
		return code;
	bool is_told = told.records >= missing;
	miss(r, missing, is_told ? told.first : r->past_seen);
	note_loss(r, is_told ? told.last : oldest.v ? oldest : wall);
	return ERR_OK;
}

/* One portion of the store, up to what the log held when the reading turned to it. */
static enum step read_past(struct reading *r, struct wall_ns wall, struct reading_sink *sink,
			   struct err *e)
{
	const struct flow *flows;
	enum step done = STEP_ON;
	size_t n, taken = 0;
	bool more;

	if (!r->is_in_past) {
		/* No further than need be: the log says what is later than `until`. */
		uint64_t sealed = past_sealed(r->past), oldest = flow_log_range(r->log).oldest;
		if (sealed <= r->at)
			return STEP_WAIT;
		r->past_end = sealed < oldest ? sealed : oldest;
		if (r->past_end > r->end)
			r->past_end = r->end;
		r->forth = place_of(r, r->at, r->past_end, false);
		/* What is older than `since` is not missed: count from the first one found. */
		r->past_from = r->has_since ? UINT64_MAX : r->at;
		r->past_seen = r->seen;
		r->is_in_past = true;
	}
	if (past_peek(r->past, &r->forth, portion(r), &flows, &n, &more, e) != ERR_OK)
		return STEP_FAILED;
	if (n && r->past_from == UINT64_MAX)
		r->past_from = flows[0].seq;
	if (n && !r->past_seen.v && tells_time(r, &flows[0]))
		r->past_seen = flows[0].time;
	while (taken < n && done == STEP_ON) {
		const struct flow *f = &flows[taken];
		done = offer(r, f, f->kind == r->kind, sink);
		taken += done != STEP_FULL;
	}
	past_took(&r->forth, taken);
	if (done != STEP_ON || more)
		return done;
	if (miss_past(r, wall, e) != ERR_OK)
		return STEP_FAILED;
	r->at = r->past_end;
	r->is_in_past = false;
	past_leave(r->past, &r->forth);
	return STEP_ON;
}

/* What the log no longer holds and the store has, or will have. */
static bool is_in_the_past(const struct reading *r)
{
	return r->past && (r->is_in_past ||
			   (r->at < flow_log_range(r->log).oldest && r->at < past_taken(r->past)));
}

static enum step read_log(struct reading *r, struct flow_batch *batch, struct mono_ns now,
			  struct wall_ns wall, struct reading_sink *sink)
{
	uint64_t from = r->at, lost;
	/* A whole chunk is all that a batch holds, and then a loss is told in one piece. */
	bool is_less = r->chunk < CHUNK && r->end - r->at > r->chunk;
	uint64_t end = is_less ? r->at + r->chunk : r->end;
	size_t n = flow_log_read(r->log, &r->at, end, batch, &lost);

	if (lost && r->past && from < past_taken(r->past)) {
		r->at = from; /* not lost: it is in the store by now */
		return STEP_ON;
	}
	judge_loss(r, lost, batch, wall);
	if (!tell_loss(r, now, false, sink)) {
		r->at = n ? batch->flows[0].seq : r->at;
		return STEP_FULL;
	}
	if (n)
		return offer_all(r, batch, sink);
	return lost ? STEP_ON : STEP_WAIT;
}

/* Nobody waits for what can no longer come: a quiet log has no later record to tell. */
static bool has_passed(const struct reading *r, struct wall_ns wall)
{
	uint64_t until = wall_or(r->has_until, r->until, UINT64_MAX).v;

	return wall.v > until && wall.v - until > READING_GRACE_NS;
}

static enum reading_state finish(struct reading *r, struct mono_ns now, struct wall_ns wall,
				 struct reading_sink *sink)
{
	note_loss(r, wall);
	r->has_ended = true;
	return tell_loss(r, now, true, sink) ? READING_ENDED : READING_MORE;
}

/* A look took so long: the next one is at fewer records, or at more again. */
static void adapt(struct reading *r, uint64_t ns)
{
	if (ns > READING_TURN_NS)
		r->chunk = r->chunk > 8 ? r->chunk / 8 : 1;
	else if (ns < READING_TURN_NS / 8 && r->chunk < CHUNK)
		r->chunk *= 2;
}

enum reading_state reading_pull(struct reading *r, struct flow_batch *batch, struct mono_ns now,
				struct wall_ns wall, struct reading_sink *sink, struct err *e)
{
	if (r->has_ended)
		return finish(r, now, wall, sink);
	if (!r->seen.v && r->at == r->live)
		r->seen = wall; /* nothing before this moment was asked for */
	uint64_t began = mono_now().v, at = began;
	for (int i = 0; i < READING_PORTION / CHUNK && at - began < READING_TURN_NS; i++) {
		enum step step = STEP_ON;
		bool is_past = r->is_walking ? r->is_in_past : is_in_the_past(r);
		if (r->is_walking && !r->is_in_past)
			walk_log(r, batch);
		else if (r->is_walking)
			step = walk_past(r, e);
		else if (is_past)
			step = read_past(r, wall, sink, e);
		else
			step = read_log(r, batch, now, wall, sink);
		if (step == STEP_FULL)
			return READING_MORE;
		if (step == STEP_FAILED)
			return READING_FAILED;
		if (step == STEP_LAST)
			return finish(r, now, wall, sink);
		if (!r->is_walking && !r->is_in_past &&
		    (r->at >= r->end || (r->is_past && r->at >= r->live)))
			return finish(r, now, wall, sink);
		if (step == STEP_WAIT && !is_past && has_passed(r, wall))
			return finish(r, now, wall, sink);
		if (step == STEP_WAIT)
			return READING_IDLE;
		uint64_t before = at;
		at = mono_now().v;
		adapt(r, at - before);
		/* A portion of the store is as much as all these chunks. */
		if (is_past)
			return READING_MORE;
	}
	return READING_MORE;
}
