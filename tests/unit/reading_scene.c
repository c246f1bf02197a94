#include "reading_scene.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"

static bool collect(struct reading_sink *sink, const struct flow *f)
{
	struct collector *c = (struct collector *)sink;

	if (!c->room)
		return false;
	c->room--;
	c->seqs[c->count++] = f->seq;
	return true;
}

static bool collect_loss(struct reading_sink *sink, const struct reading_loss *loss)
{
	struct collector *c = (struct collector *)sink;

	if (!c->room)
		return false;
	c->lost += loss->records;
	c->lost_first = loss->first;
	c->lost_last = loss->last;
	c->losses++;
	return true;
}

int make_scene(void **state)
{
	struct scene *s = calloc(1, sizeof *s);
	struct err e;

	*state = s;
	if (!s || flow_dict_new(100, &s->dict, &e) != ERR_OK ||
	    flow_log_new(&(struct flow_log_config){ CAPACITY, 0, FIRST_SEQ }, &s->log, &e) !=
		    ERR_OK ||
	    flow_batch_new(s->log, 64, &s->batch, &e) != ERR_OK)
		return -1;
	return 0;
}

void give_store(struct scene *s)
{
	struct store_config config = { .dir = s->dir,
				       .dict = s->dict,
				       .node = "n",
				       .version = "test",
				       .seal_flows = 37,
				       .retention_ns = s->retention_ns };

	(void)strcpy(s->dir, "/tmp/tycho-reading-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(
		store_open(&config, (struct wall_ns){ NS_PER_S }, FIRST_SEQ, &s->store, NULL),
		ERR_OK);
	assert_int_equal(past_new(s->store, &s->past, NULL), ERR_OK);
}

void keep(struct scene *s, bool seal)
{
	struct wall_ns now = { NS_PER_S }, later = { 3 * NS_PER_S };

	assert_int_equal(store_put(s->store, &s->put[s->kept], s->count - s->kept, now, NULL),
			 ERR_OK);
	s->kept = s->count;
	if (seal)
		assert_int_equal(store_tick(s->store, later, NULL), ERR_OK);
}

static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);

	for (struct dirent *d = dir ? readdir(dir) : NULL; d; d = readdir(dir))
		(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		(void)closedir(dir);
	(void)rmdir(path);
}

int free_scene(void **state)
{
	struct scene *s = *state;

	past_free(s->past);
	store_close(s->store, (struct wall_ns){ 4 * NS_PER_S });
	if (*s->dir)
		remove_dir(s->dir);
	flow_batch_free(s->batch);
	flow_log_free(s->log);
	flow_dict_free(s->dict);
	free(s);
	return 0;
}

void put(struct scene *s, enum flow_kind kind, uint8_t verdict, uint64_t time_s)
{
	struct flow f = { .kind = (uint8_t)kind,
			  .verdict = verdict,
			  .bits = time_s ? FLOW_HAS_TIME : 0,
			  .time = { time_s * NS_PER_S } };

	assert_true(s->count < RECORDS_MAX);
	f.seq = flow_log_put(s->log, &f);
	s->put[s->count++] = f;
}

void collector_init(struct collector *c, size_t room)
{
	*c = (struct collector){ .sink = { collect, collect_loss, NULL }, .room = room };
}

enum reading_state pull_all(const struct scene *s, struct reading *r, struct collector *c,
			    size_t room)
{
	for (;;) {
		c->room = room;
		enum reading_state state = reading_pull(r, s->batch, (struct mono_ns){ NS_PER_S },
							(struct wall_ns){ 1 }, &c->sink, NULL);
		if (state != READING_MORE)
			return state;
	}
}

enum reading_state pull_once(const struct scene *s, struct reading *r, struct collector *c,
			     struct mono_ns now, struct wall_ns wall)
{
	return reading_pull(r, s->batch, now, wall, &c->sink, NULL);
}

/* A pull ends after some milliseconds, too, which a busy machine may take for anything. */
static enum reading_state pull_on(const struct scene *s, struct reading *r, struct collector *c,
				  struct mono_ns now, struct wall_ns wall)
{
	for (;;) {
		const uint64_t at = r->at, walk_at = r->walk_at;
		const size_t heard = c->count + c->losses;
		enum reading_state state = pull_once(s, r, c, now, wall);
		bool is_stuck =
			at == r->at && walk_at == r->walk_at && heard == c->count + c->losses;
		if (state != READING_MORE || is_stuck)
			return state;
	}
}

enum reading_state pull_at(const struct scene *s, struct reading *r, struct collector *c,
			   uint64_t ms)
{
	return pull_on(s, r, c, (struct mono_ns){ ms * NS_PER_MS }, (struct wall_ns){ ms });
}

enum reading_state pull_at_wall(const struct scene *s, struct reading *r, struct collector *c,
				uint64_t ms)
{
	return pull_on(s, r, c, (struct mono_ns){ NS_PER_S }, (struct wall_ns){ ms * NS_PER_MS });
}

void expect_numbers(const struct collector *c, uint64_t first, size_t count)
{
	assert_int_equal(c->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(c->seqs[i], first + i);
}
