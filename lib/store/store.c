#include "store/inside.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/pages.h"

enum {
	SEAL_FLOWS = 65536,
	SEGMENT_LEVEL_FAST = 1, /* of zstd, for what is sealed: it is soon written again */
	ALIVE_S = 10,           /* a quiet store says so often that it lives */
	DAMAGE_MOST = 3,        /* blocks in a row that fail so: another file is begun */
};
_Static_assert((int)STORE_PLACE_BYTES == (int)DISK_WORDS, "the same words");
#define EDGES_RETENTION_NS (400 * 86400 * NS_PER_S)

/* --- life --------------------------------------------------------------------------------- */

static void store_free(struct store *s)
{
	if (!s)
		return;
	sync_free(s->sync);
	db_close(&s->db);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	edges_free(s->edges);
	dict_rows_done(&s->rows);
	segment_encoder_free(s->encoder);
	segment_encoder_free(s->merger);
	flow_zone_free(s->zone);
	flow_zone_free(s->merge_zone);
	chain_block_free(s->tree);
	segment_free(s->segment);
	pages_free(s->scratch, STORE_CHUNK, sizeof *s->scratch);
	buf_done(&s->bytes);
	buf_done(&s->zone_bytes);
	buf_done(&s->piece);
	free(s->node);
	free(s->version);
	(void)pthread_mutex_destroy(&s->gaps.mx);
	(void)pthread_mutex_destroy(&s->faults.mx);
	(void)pthread_mutex_destroy(&s->counts_mx);
	free(s);
}
AUTO_DEFINE(struct store, store_free);

static enum err_code make_parts(struct store *s, struct err *e)
{
	s->node = str_dup(str_of(s->config.node));
	s->version = str_dup(str_of(s->config.version));
	s->scratch = pages_new(STORE_CHUNK, sizeof *s->scratch);
	if (!s->node || !s->version || !s->scratch)
		return err_set(e, ERR_NOMEM, "store");
	enum err_code code = segment_encoder_new(SEGMENT_LEVEL_FAST, &s->encoder, e);
	if (code == ERR_OK)
		code = flow_zone_new(&s->zone, e);
	if (code == ERR_OK)
		code = flow_zone_new(&s->merge_zone, e);
	if (code == ERR_OK)
		code = chain_block_new(&s->tree, e);
	if (code == ERR_OK)
		code = edges_new(s->dict, &s->edges, e);
	return code;
}

static bool is_final(enum err_code code)
{
	return code == ERR_EXISTS || code == ERR_UNSUPPORTED || code == ERR_NOMEM ||
	       code == ERR_INTERNAL;
}

static enum err_code seal(struct store *s, struct wall_ns now, bool last, struct err *e);

enum err_code store_open(const struct store_config *config, struct wall_ns now, uint64_t first_seq,
			 struct store **ret, struct err *e)
{
	struct err mine = { 0 };
	e = e ? e : &mine; /* its code decides */
	AUTO(store_free) struct store *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "store");
	*s = (struct store){ .config = *config,
			     .dict = config->dict,
			     .lock_fd = -1,
			     .start_due = true,
			     .first_seq = first_seq,
			     .last_now = now,
			     .bytes = buf_init(STORE_SEGMENT_BYTES),
			     .zone_bytes = buf_init(STORE_ZONE_BYTES),
			     .piece = buf_init(STORE_SEGMENT_BYTES) };
	(void)pthread_mutex_init(&s->gaps.mx, NULL);
	(void)pthread_mutex_init(&s->faults.mx, NULL);
	(void)pthread_mutex_init(&s->counts_mx, NULL);
	s->counts.edges_pending.v = UINT64_MAX;
	dict_rows_init(&s->rows, config->dict);
	atomic_init(&s->sealed, first_seq);
	atomic_init(&s->taken, first_seq);
	s->config.dir = NULL; /* not ours to keep */
	s->config.seal_ns = config->seal_ns ? config->seal_ns : NS_PER_S;
	s->config.seal_flows = config->seal_flows ? config->seal_flows : SEAL_FLOWS;
	if (s->config.seal_flows > SEGMENT_MAX)
		s->config.seal_flows = SEGMENT_MAX;
	if (!s->config.edges_retention_ns)
		s->config.edges_retention_ns = EDGES_RETENTION_NS;
	if ((size_t)snprintf(s->dir, sizeof s->dir, "%s", config->dir) >= sizeof s->dir)
		return err_set(e, ERR_INVALID, "the folder's name is longer than %zu bytes",
			       sizeof s->dir - 1);
	(void)snprintf(s->path, sizeof s->path, "%s/flows.db", s->dir);
	struct stat folder;
	if (stat(s->dir, &folder) != 0)
		return err_os(e, "store in '%s'", s->dir);
	if (make_parts(s, e) != ERR_OK || file_lock(s, e) != ERR_OK)
		return e->code;
	s->config.node = s->node;
	s->config.version = s->version;
	dict_rows_at(&s->rows, now);
	enum err_code code = file_open(s, now, e);
	if (code != ERR_OK && is_final(code))
		return err_in(e, "store in '%s'", s->dir);
	if (code == ERR_OK)
		code = seal(s, now, false, e);
	/* A disk that is full or read-only now may not be so for ever: the gap will tell. */
	s->tried = now;
	*ret = TAKE(s);
	return ERR_OK;
}

void store_close(struct store *s, struct wall_ns now)
{
	if (!s)
		return;
	if (!s->stopped || gaps_count(&s->gaps))
		(void)!seal(s, now, true, NULL);
	store_free(s);
}

/* --- the open block ----------------------------------------------------------------------- */

static void forget_block(struct store *s)
{
	segment_encoder_reset(s->encoder);
	s->block = (struct open_block){ 0 };
}

static void note_lost(struct store *s, struct wall_ns from, struct wall_ns to, uint64_t lost,
		      uint64_t first_seq, uint64_t last_seq, const char *why)
{
	const struct store_gap gap = { .cause = STORE_GAP_WRITE,
				       .from = from,
				       .to = to,
				       .lost = lost,
				       .first_seq = first_seq,
				       .last_seq = last_seq,
				       .node = STR(""),
				       .detail = str_of(why) };

	gaps_note(&s->gaps, &gap, false);
	/* Nobody need wait for them any longer. */
	if (last_seq >= atomic_load_explicit(&s->sealed, memory_order_relaxed))
		atomic_store_explicit(&s->sealed, last_seq + 1, memory_order_release);
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.lost += lost;
	s->counts.is_writing = false;
	(void)pthread_mutex_unlock(&s->counts_mx);
}

/* The span of time of a block: of its records, else of itself. */
static void block_span(const struct store *s, struct wall_ns now, struct wall_ns *ret_from,
		       struct wall_ns *ret_to)
{
	bool timed = s->block.untimed < s->block.count;

	*ret_from = timed ? s->block.from : s->block.opened;
	*ret_to = timed ? s->block.to : now;
}

static void lose_block(struct store *s, struct wall_ns now, const char *why)
{
	struct wall_ns from, to;

	if (s->block.count) {
		block_span(s, now, &from, &to);
		note_lost(s, from, to, s->block.count, s->block.first_seq, s->block.last_seq, why);
	}
	forget_block(s);
}

static void begin_block(struct store *s, struct wall_ns now)
{
	forget_block(s);
	s->block.opened = now;
	s->block.from.v = UINT64_MAX;
	s->block.number = s->head.number + 1;
	flow_zone_reset(s->zone);
	chain_block_start(s->tree, &s->secret, s->block.number);
}

static void count_into_block(struct store *s, const struct flow *flows, size_t n)
{
	struct open_block *b = &s->block;

	if (!b->count)
		b->first_seq = flows[0].seq;
	b->last_seq = flows[n - 1].seq;
	b->count += n;
	for (size_t i = 0; i < n; i++) {
		b->ext_bytes += flows[i].ext_len;
		if (!flow_is(&flows[i], FLOW_HAS_TIME)) {
			b->untimed++;
			continue;
		}
		if (flows[i].time.v < b->from.v)
			b->from = flows[i].time;
		if (flows[i].time.v > b->to.v)
			b->to = flows[i].time;
	}
}

/* At most STORE_CHUNK records, and no more than fit. ERR_AGAIN: the block must be sealed first. */
static enum err_code add_records(struct store *s, const struct flow *flows, size_t n, struct err *e)
{
	memcpy(s->scratch, flows, n * sizeof *flows);
	enum err_code code = dict_rows_store(&s->rows, &s->db, s->scratch, n, e);
	if (code != ERR_OK)
		return code;
	code = segment_add(s->encoder, s->scratch, n, e);
	if (code == ERR_INVALID && s->block.count)
		return ERR_AGAIN;
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < n && code == ERR_OK; i++)
		code = chain_block_add(s->tree, &flows[i], s->dict, e);
	if (code != ERR_OK)
		return code;
	flow_zone_add(s->zone, s->scratch, n);
	count_into_block(s, flows, n);
	return ERR_OK;
}

/* --- sealing ------------------------------------------------------------------------------ */

static enum err_code write_block(struct store *s, struct chain_head *head, struct wall_ns now,
				 struct err *e)
{
	const struct open_block *b = &s->block;
	struct block_row row = {
		.first_seq = b->first_seq, .last_seq = b->last_seq, .count = b->count, .sealed = now
	};

	buf_reset(&s->bytes);
	buf_reset(&s->zone_bytes);
	block_span(s, now, &row.from, &row.to);
	enum err_code code = segment_finish(s->encoder, &s->bytes, e);
	if (code == ERR_OK)
		code = chain_block_root(s->tree, &row.root, e);
	if (code != ERR_OK)
		return code;
	flow_zone_put(&s->zone_bytes, s->zone);
	if (s->bytes.failed || s->zone_bytes.failed)
		return err_set(e, ERR_NOMEM, "a block of the store");
	if (head->number + 1 != b->number)
		return err_set(e, ERR_IO, "the store's file was replaced");
	code = chain_append_block(&s->db, head, &row, e);
	if (code != ERR_OK)
		return code;
	const struct segment_row segment = {
		.first_seq = b->first_seq,
		.last_seq = b->last_seq,
		.count = b->count,
		.blocks = 1,
		.from = row.from,
		.to = row.to,
		.untimed = b->untimed,
		.sealed = now,
		.last_entry = head->number,
		.zone = buf_str(&s->zone_bytes),
		.data = buf_str(&s->bytes),
	};
	return segment_insert(&s->db, &segment, e);
}

static enum err_code write_start(struct store *s, struct chain_head *head, struct wall_ns now,
				 struct err *e)
{
	AUTO_BUF struct buf body = buf_init(STORE_BODY_BYTES);

	buf_lit(&body, "{\"kind\":\"start\"");
	put_time(&body, "time", now);
	put_text(&body, "node", str_of(s->node));
	put_text(&body, "version", str_of(s->version));
	put_number(&body, "first_seq", s->first_seq);
	buf_char(&body, '}');
	enum err_code code = chain_append(&s->db, head, ENTRY_START, buf_str(&body), e);
	if (code == ERR_OK)
		code = DB_RUN(&s->db, e, "INSERT OR IGNORE INTO meta VALUES ('began', ?1)",
			      DB_I(now.v));
	return code;
}

static enum err_code write_stop(struct store *s, struct chain_head *head, struct wall_ns now,
				struct err *e)
{
	AUTO_BUF struct buf body = buf_init(STORE_BODY_BYTES);

	buf_lit(&body, "{\"kind\":\"stop\"");
	put_time(&body, "time", now);
	put_number(&body, "next_seq", atomic_load_explicit(&s->taken, memory_order_relaxed));
	buf_char(&body, '}');
	return chain_append(&s->db, head, ENTRY_STOP, buf_str(&body), e);
}

struct written {
	bool edges;
	size_t gaps;
	uint64_t gap_counts[STORE_GAP_CAUSES_];
};

static enum err_code write_all(struct store *s, struct chain_head *head, struct wall_ns now,
			       bool last, struct written *w, struct err *e)
{
	enum err_code code = dict_rows_write(&s->rows, &s->db, e);

	if (code == ERR_OK && s->block.count)
		code = write_block(s, head, now, e);
	if (code == ERR_OK)
		code = gaps_write(&s->gaps, &s->db, head, &w->gaps, w->gap_counts, e);
	if (code == ERR_OK && s->start_due)
		code = write_start(s, head, now, e);
	w->edges = last || edges_are_due(s->edges, now);
	if (code == ERR_OK && w->edges)
		code = edges_write(s->edges, &s->db, s->rows.day,
				   atomic_load_explicit(&s->taken, memory_order_relaxed), e);
	if (code == ERR_OK && last)
		code = write_stop(s, head, now, e);
	/* Blocks say themselves when they were sealed. */
	if (code == ERR_OK && (last || !s->block.count))
		code = DB_RUN(&s->db, e, "INSERT OR REPLACE INTO meta VALUES ('alive', ?1)",
			      DB_I(now.v));
	return code;
}

static uint64_t file_bytes(const struct store *s)
{
	char path[sizeof s->path + 8];
	struct stat file, log;
	uint64_t bytes = 0;

	(void)snprintf(path, sizeof path, "%s-wal", s->path);
	if (stat(s->path, &file) == 0)
		bytes += (uint64_t)file.st_size;
	if (stat(path, &log) == 0)
		bytes += (uint64_t)log.st_size;
	return bytes;
}

static void count_seal(struct store *s, const struct written *w, struct mono_ns since)
{
	uint64_t took_ns = mono_now().v - since.v, bytes = file_bytes(s);

	(void)pthread_mutex_lock(&s->counts_mx);
	struct store_counts *c = &s->counts;
	c->file_bytes = bytes;
	c->is_writing = true;
	c->head = s->head.hash;
	c->entries = s->head.number;
	c->edges_pending = edges_pending(s->edges);
	for (int i = 0; i < STORE_GAP_CAUSES_; i++)
		c->gaps[i] += w->gap_counts[i];
	if (s->block.count) {
		struct wall_ns from, to;
		block_span(s, s->block.opened, &from, &to);
		c->oldest = c->records ? c->oldest : from;
		s->segment_bytes += s->bytes.len;
		c->records += s->block.count;
		c->blocks++;
		c->segments++;
		c->seals++;
		c->seal_ns_sum += took_ns;
		c->seal_ns_max = took_ns > c->seal_ns_max ? took_ns : c->seal_ns_max;
	}
	(void)pthread_mutex_unlock(&s->counts_mx);
}

void store_published(struct store *s)
{
	uint64_t bytes = file_bytes(s);

	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.head = s->head.hash;
	s->counts.entries = s->head.number;
	s->counts.file_bytes = bytes;
	(void)pthread_mutex_unlock(&s->counts_mx);
}

void store_fail(struct store *s, struct wall_ns now, const struct err *e)
{
	bool damaged = s->db.h && db_is_damaged(&s->db);
	int rc = s->db.rc & 0xff;

	s->is_failing = true;
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.seal_errors++;
	s->counts.is_writing = false;
	(void)pthread_mutex_unlock(&s->counts_mx);
	lose_block(s, now, s->db.os ? strerrordesc_np(s->db.os) : e->msg);
	if (damaged && ++s->damage_streak >= DAMAGE_MOST) {
		file_set_aside(s, now);
	} else if (damaged || rc == SQLITE_IOERR || rc == SQLITE_READONLY ||
		   rc == SQLITE_CANTOPEN) {
		sync_free(TAKE(s->sync));
		db_close(&s->db); /* what is wrong may be the connection's view of it */
	}
}

/* Writes what there is: the block, names, gaps, edges. @last: and the stop. */
static enum err_code seal(struct store *s, struct wall_ns now, bool last, struct err *e)
{
	struct err mine = { 0 };
	struct written w = { 0 };
	struct mono_ns since = mono_now();
	struct chain_head head = s->head;
	enum err_code code = ERR_OK;

	e = e ? e : &mine;
	s->tried = now;
	dict_rows_at(&s->rows, now);
	if (!s->db.h) {
		code = file_open(s, now, e);
		head = s->head;
	}
	if (code == ERR_OK)
		code = db_begin(&s->db, e);
	if (code == ERR_OK) {
		code = write_all(s, &head, now, last, &w, e);
		if (code == ERR_OK)
			code = db_commit(&s->db, e);
		if (code != ERR_OK) {
			db_rollback(&s->db);
			edges_not_written(s->edges);
		}
	}
	if (code != ERR_OK) {
		store_fail(s, now, e);
		return err_in(e, "store in '%s'", s->dir);
	}
	s->head = head;
	s->alive = now;
	s->is_failing = false;
	s->start_due = false;
	if (s->block.count) /* a gap may find a sound place where blocks do not */
		s->damage_streak = 0;
	dict_rows_written(&s->rows);
	gaps_drop(&s->gaps, w.gaps);
	if (w.edges)
		edges_written(s->edges, now);
	count_seal(s, &w, since);
	if (s->block.count)
		atomic_store_explicit(&s->sealed, s->block.last_seq + 1, memory_order_release);
	forget_block(s);
	return ERR_OK;
}

enum err_code store_seal(struct store *s, struct wall_ns now, struct err *e)
{
	return s->block.count ? seal(s, now, false, e) : ERR_OK;
}

enum err_code store_stop(struct store *s, struct wall_ns now, struct err *e)
{
	enum err_code code = seal(s, now, true, e);

	s->stopped = code == ERR_OK;
	return code;
}

/* --- putting ------------------------------------------------------------------------------ */

static void look_at_clock(struct store *s, struct wall_ns now)
{
	if (now.v + STORE_CLOCK_STEP_NS < s->last_now.v) {
		char detail[64];
		(void)snprintf(detail, sizeof detail, "set back by %llu ms",
			       (unsigned long long)((s->last_now.v - now.v) / NS_PER_MS));
		const struct store_gap gap = { .cause = STORE_GAP_CLOCK,
					       .from = now,
					       .to = s->last_now,
					       .node = STR(""),
					       .detail = str_of(detail) };
		gaps_note(&s->gaps, &gap, false);
	}
	s->last_now = now;
}

static bool is_time(struct wall_ns now, struct wall_ns since, uint64_t after_ns)
{
	return now.v < since.v || now.v - since.v >= after_ns;
}

static void lose_records(struct store *s, const struct flow *flows, size_t n, struct wall_ns now,
			 const char *why)
{
	struct wall_ns from = now, to = now;

	for (size_t i = 0; i < n; i++) {
		if (!flow_is(&flows[i], FLOW_HAS_TIME))
			continue;
		from = flows[i].time.v < from.v ? flows[i].time : from;
		to = flows[i].time.v > to.v ? flows[i].time : to;
	}
	note_lost(s, from, to, n, flows[0].seq, flows[n - 1].seq, why);
}

/* A port scan has as many edges as flows, and what finds no room would be missing in the map
 * without a word: they are written before, with the number up to which they count. While nothing
 * can be written the records go with them, and a gap tells. */
static enum err_code make_edge_room(struct store *s, size_t n, struct wall_ns now, struct err *e)
{
	if (edges_have_room(s->edges, n))
		return ERR_OK;
	if (!s->block.count && (!s->db.h || s->is_failing) &&
	    !is_time(now, s->tried, s->config.seal_ns))
		return err_set(e, ERR_AGAIN, "store in '%s': not written yet", s->dir);
	return seal(s, now, false, e);
}

static enum err_code put_chunk(struct store *s, const struct flow *flows, size_t n,
			       struct wall_ns now, struct err *e)
{
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < n; i++)
		edges_add(s->edges, &flows[i], now);
	if (!s->db.h && is_time(now, s->tried, s->config.seal_ns))
		code = seal(s, now, false, e); /* opens it, and says what it has to */
	if (!s->db.h) {
		if (code == ERR_OK)
			code = err_set(e, ERR_AGAIN, "store in '%s': not open yet", s->dir);
		lose_records(s, flows, n, now, e->msg);
		return code;
	}
	if (!s->block.count)
		begin_block(s, now);
	code = add_records(s, flows, n, e);
	if (code == ERR_AGAIN) {
		code = seal(s, now, false, e);
		if (code == ERR_OK) {
			begin_block(s, now);
			code = add_records(s, flows, n, e);
		}
	}
	if (code != ERR_OK) { /* tree and columns may not hold the same any more */
		lose_records(s, flows, n, now, e->msg);
		lose_block(s, now, e->msg);
	}
	return code;
}

enum err_code store_put(struct store *s, const struct flow *flows, size_t n, struct wall_ns now,
			struct err *e)
{
	struct err mine = { 0 }, one = { 0 };
	enum err_code first = ERR_OK;

	e = e ? e : &mine;
	look_at_clock(s, now);
	for (size_t done = 0; done < n;) {
		size_t room = s->config.seal_flows - s->block.count;
		size_t k = n - done < STORE_CHUNK ? n - done : STORE_CHUNK;
		k = k < room ? k : room;
		enum err_code code = make_edge_room(s, k, now, &one);
		atomic_store_explicit(&s->taken, flows[done + k - 1].seq + 1, memory_order_release);
		if (code == ERR_OK)
			code = put_chunk(s, &flows[done], k, now, &one);
		else
			lose_records(s, &flows[done], k, now, one.msg);
		if (code == ERR_OK && (s->block.count == s->config.seal_flows ||
				       s->block.ext_bytes >= STORE_EXT_BYTES))
			code = seal(s, now, false, &one);
		if (code != ERR_OK && first == ERR_OK) {
			first = code;
			*e = one;
		}
		done += k;
	}
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.put += n;
	s->counts.edges_nameless = edges_nameless(s->edges);
	s->counts.edges_pending = edges_pending(s->edges);
	(void)pthread_mutex_unlock(&s->counts_mx);
	return first;
}

enum err_code store_tick(struct store *s, struct wall_ns now, struct err *e)
{
	look_at_clock(s, now);
	if (s->block.count && is_time(now, s->block.opened, s->config.seal_ns))
		return seal(s, now, false, e);
	if (s->block.count || !is_time(now, s->tried, s->config.seal_ns))
		return ERR_OK;
	bool due = !s->db.h || s->start_due || gaps_count(&s->gaps) ||
		   edges_are_due(s->edges, now) || is_time(now, s->alive, ALIVE_S * NS_PER_S);
	return due ? seal(s, now, false, e) : ERR_OK;
}

enum err_code store_tend(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	static enum err_code (*const tasks[])(struct store *, struct wall_ns, bool *,
					      struct err *) = {
		prune_by_age, prune_by_size, prune_edges, prune_names, give_back, merge_portion,
	};
	struct err one;
	enum err_code first = ERR_OK;
	bool more = false;

	/* One that fails holds up no other; without the file there is nothing to do. */
	for (size_t i = 0; i < ARRAY_LEN(tasks) && s->db.h && !more; i++) {
		enum err_code code = tasks[i](s, now, &more, &one);
		if (code == ERR_OK || first != ERR_OK)
			continue;
		first = code;
		if (e)
			*e = one;
	}
	if (first == ERR_OK) {
		*ret_more = more;
		return ERR_OK;
	}
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.tend_errors++;
	(void)pthread_mutex_unlock(&s->counts_mx);
	return first;
}

void store_note_gap(struct store *s, const struct store_gap *gap)
{
	gaps_note(&s->gaps, gap, false);
}

/* --- what there is ------------------------------------------------------------------------ */

uint64_t store_sealed(const struct store *s)
{
	return atomic_load_explicit(&s->sealed, memory_order_acquire);
}

uint64_t store_taken(const struct store *s)
{
	return atomic_load_explicit(&s->taken, memory_order_acquire);
}

bool store_unreadable(struct store *s, char ret_place[STORE_PLACE_BYTES])
{
	struct disk_fault fault;
	bool any = disk_faults_next(&s->faults, &fault);

	if (any)
		(void)disk_words(&fault, ret_place);
	return any;
}

bool store_was_set_aside(struct store *s, char ret_what[STORE_ASIDE_BYTES])
{
	bool any = s->aside[0] != '\0';

	if (any)
		memcpy(ret_what, s->aside, sizeof s->aside);
	s->aside[0] = '\0';
	return any;
}

struct store_counts store_counts(struct store *s)
{
	(void)pthread_mutex_lock(&s->counts_mx);
	struct store_counts c = s->counts;
	(void)pthread_mutex_unlock(&s->counts_mx);
	return c;
}
