#include "observer/export/lines.h"

#include "base/counter.h"
#include "base/log.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/lost.h"
#include "flow/wire.h"
#include "observer/export/file.h"
#include "observer/observer.pb-c.h"

enum {
	MESSAGE_BYTES = 64 << 20,
	WRITE_BYTES = 64 << 10, /* lines that are written at once */
	TELL_EVERY_S = 1,       /* that the log overtook us, at most */
};

struct loss {
	uint64_t count;
	struct wall_ns first, last;
};

struct export_lines {
	struct export_lines_config config;
	struct export_file *file;
	struct buf message, lines;
	uint64_t line_count;   /* in lines */
	struct loss overtaken; /* by the log, not told yet */
	struct loss telling;   /* that, as one of the lines to be written says */
	uint64_t telling_at;   /* which of them */
	struct mono_ns told;   /* when that was told last */
	struct loss unwritten; /* since writing failed; told when it works again */
	bool failing;          /* the last write failed, and that was told */
	uint64_t failing_lost; /* lines, since then */
	_Atomic uint64_t written, bytes, lost, rotations;
};

enum err_code export_lines_new(const struct export_lines_config *config, struct export_file *file,
			       struct export_lines **ret, struct err *e)
{
	struct export_lines *l = calloc(1, sizeof *l);

	if (!l)
		return err_set(e, ERR_NOMEM, "exporter");
	*l = (struct export_lines){ .config = *config,
				    .file = file,
				    .message = buf_init(MESSAGE_BYTES),
				    .lines = buf_init(MESSAGE_BYTES) };
	*ret = l;
	return ERR_OK;
}

void export_lines_free(struct export_lines *l)
{
	if (!l)
		return;
	export_file_free(l->file);
	buf_done(&l->message);
	buf_done(&l->lines);
	free(l);
}

struct buf *export_lines_message(struct export_lines *l)
{
	buf_reset(&l->message);
	return &l->message;
}

/* The message as a line in @b. @return false: it cannot be one. */
static bool put_line(const struct export_lines *l, struct buf *b)
{
	if (l->message.failed || json_put_message(b, &observer__export_event__descriptor,
						  buf_str(&l->message), NULL) != ERR_OK)
		return false;
	buf_char(b, '\n');
	return !b->failed;
}

/* --- loss ------------------------------------------------------------------------------------- */

static void note_loss(struct loss *l, uint64_t count, struct wall_ns first, struct wall_ns last)
{
	l->first = l->count ? l->first : first;
	l->last = last;
	l->count += count;
}

void export_lines_lose(struct export_lines *l, uint64_t n, struct export_now now)
{
	counter_add(&l->lost, n);
	l->failing_lost += n;
	note_loss(&l->unwritten, n, now.wall, now.wall);
}

static void put_timestamp(struct buf *b, uint32_t field, struct timestamp t)
{
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, 1, (uint64_t)t.s);
	wire_put_u64(b, 2, (uint64_t)t.ns);
	wire_end(b, mark);
}

static bool put_lost_line(struct export_lines *l, const struct loss *loss, int32_t source,
			  struct buf *b)
{
	const struct flow_lost lost = { .source = source,
					.count = loss->count,
					.cpu = -1,
					.first = timestamp_of(loss->first),
					.last = timestamp_of(loss->last),
					.has_first = true,
					.has_last = true };
	struct buf *m = export_lines_message(l);

	size_t mark = wire_begin(m, RESPONSE_FIELD_LOST_EVENTS);
	flow_lost_put(m, &lost);
	wire_end(m, mark);
	wire_put_str(m, RESPONSE_FIELD_NODE_NAME, l->config.node);
	put_timestamp(m, RESPONSE_FIELD_TIME, timestamp_of(loss->last));
	return put_line(l, b);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void tell(struct export_lines *l, enum err_code code, const struct err *e)
{
	if (code != ERR_OK && !l->failing)
		log_warn("exported flows cannot be written; tried again with the next",
			 "exporter=%s file=%s err=%s", LOG_QUOTE(l->config.name),
			 LOG_QUOTE(l->config.path), LOG_QUOTE(e->msg));
	if (code == ERR_OK && l->failing) {
		log_info("exported flows are written again", "exporter=%s file=%s lost=%llu",
			 LOG_QUOTE(l->config.name), LOG_QUOTE(l->config.path),
			 (unsigned long long)l->failing_lost);
		l->failing_lost = 0;
	}
	l->failing = code != ERR_OK;
}

static uint64_t count_lines(struct str s)
{
	uint64_t n = 0;

	for (size_t at; (at = str_find(s, '\n')) < s.len; s = str_from(s, at + 1))
		n++;
	return n;
}

/* *@ret_written of the @count lines are in the file; all of them: ERR_OK. */
static enum err_code write_lines(struct export_lines *l, struct str lines, uint64_t count,
				 struct export_now now, uint64_t *ret_written, struct err *e)
{
	size_t bytes;
	enum err_code code = export_file_write(l->file, lines, now.wall, &bytes, e);

	*ret_written = code == ERR_OK ? count : count_lines(str_upto(lines, bytes));
	counter_add(&l->written, *ret_written);
	counter_add(&l->bytes, bytes);
	atomic_store_explicit(&l->rotations, export_file_rotations(l->file), memory_order_relaxed);
	return code;
}

/* How much could not be written, now that it can: behind the first lines, as those may still fail
 * where this one finds room. */
static enum err_code write_unwritten(struct export_lines *l, struct export_now now, struct err *e)
{
	AUTO_BUF struct buf line = buf_init(1024);
	uint64_t written;

	if (!l->unwritten.count)
		return ERR_OK;
	if (l->config.tells_loss && put_lost_line(l, &l->unwritten, 0, &line)) {
		enum err_code code = write_lines(l, buf_str(&line), 1, now, &written, e);
		if (code != ERR_OK)
			return code;
	}
	l->unwritten = (struct loss){ 0 };
	return ERR_OK;
}

static void write_out(struct export_lines *l, struct export_now now)
{
	uint64_t written = 0;
	struct err e;

	if (!l->lines.len)
		return;
	enum err_code code = write_lines(l, buf_str(&l->lines), l->line_count, now, &written, &e);
	if (code == ERR_OK)
		code = write_unwritten(l, now, &e);
	uint64_t lost = l->line_count - written;
	if (l->telling.count && written <= l->telling_at) {
		lost--; /* it is told again, with what has come since */
		if (l->overtaken.count)
			note_loss(&l->telling, l->overtaken.count, l->overtaken.first,
				  l->overtaken.last);
		l->overtaken = l->telling;
	}
	l->telling = (struct loss){ 0 };
	if (lost)
		export_lines_lose(l, lost, now);
	tell(l, code, &e);
	l->line_count = 0;
	buf_reset(&l->lines);
}

void export_lines_add(struct export_lines *l, struct export_now now)
{
	if (!put_line(l, &l->lines)) {
		export_lines_lose(l, 1, now);
		return;
	}
	l->line_count++;
	if (l->lines.len >= WRITE_BYTES)
		write_out(l, now);
}

static void tell_overtaken(struct export_lines *l, struct export_now now, bool at_once)
{
	if (!l->overtaken.count ||
	    (!at_once && l->told.v && now.mono.v - l->told.v < TELL_EVERY_S * NS_PER_S))
		return;
	if (l->telling.count)
		write_out(l, now); /* one at a time */
	if (l->config.tells_loss &&
	    put_lost_line(l, &l->overtaken, FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER,
			  &l->lines)) {
		l->telling = l->overtaken;
		l->telling_at = l->line_count++;
	}
	l->overtaken = (struct loss){ 0 };
	l->told = now.mono;
}

void export_lines_overtaken(struct export_lines *l, uint64_t records, struct wall_ns first,
			    struct wall_ns last, struct export_now now)
{
	note_loss(&l->overtaken, records, first, last);
	tell_overtaken(l, now, false);
}

void export_lines_write(struct export_lines *l, bool is_last, struct export_now now)
{
	tell_overtaken(l, now, is_last);
	write_out(l, now);
	if (is_last)
		export_file_free(TAKE(l->file));
}

struct export_lines_counts export_lines_counts(const struct export_lines *l)
{
	return (struct export_lines_counts){
		.written = counter_get(&l->written),
		.bytes = counter_get(&l->bytes),
		.lost = counter_get(&l->lost),
		.rotations = counter_get(&l->rotations),
	};
}
