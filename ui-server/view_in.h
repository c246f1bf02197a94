/*
 * view_in - what the files of a view share; nobody else includes it.
 *
 * view.c is its life and its thread, view_take.c what becomes of the server's answers, view_read.c
 * what pages are told.
 */
#ifndef TYCHO_UI_VIEW_IN_H
#define TYCHO_UI_VIEW_IN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "rpc/client.h"
#include "ui-server/backlog.h"
#include "ui-server/frame.h"
#include "ui-server/pulse.h"
#include "ui-server/recent.h"
#include "ui-server/servicemap.h"
#include "ui-server/view.h"

enum {
	VIEW_DICT_FULL = 1 << 15, /* a long stream of a large cluster: start anew from here on */
	VIEW_ROWS_PAST = 4000,    /* of a past range, which comes at once */
};
#define VIEW_TICK_NS (200 * NS_PER_MS)

enum view_state { VIEW_CONNECTING, VIEW_LIVE, VIEW_AWAY, VIEW_PAST };

/* Pages at the same place are told the same: what was told from one place, in this round. */
struct view_told {
	struct ui_view_cursor from, to;
	struct ui_frame *frame;
};
enum { VIEW_TOLD = 8 };

struct ui_view {
	/* immutable after start */
	struct ui_view_config config;
	struct buf filters;
	struct wall_ns since, until; /* 0: what comes */
	bool only_rates;             /* of a range: no flows, no map */
	pthread_t thread;
	bool has_thread;

	/* the view's thread only */
	struct flow_dict *dict;
	struct wall_ns connected;   /* start of this stream: older flows are history */
	bool server_has_no_map;     /* of a range; it said so */
	bool server_has_no_batches; /* it said so, since it was last away */
	bool map_is_whole;          /* it came from the server: flows add nothing to it */
	struct wall_ns last_good;   /* when the server was last known to be there; 0 never */
	struct ui_backlog *backlog; /* NULL: of a range, or all of it has come */

	atomic_bool ended;

	pthread_mutex_t mx;
	pthread_cond_t wake;
	/* guarded by mx */
	bool stopping;
	struct rpc_stream *stream; /* of the thread; for stop to cancel */
	struct ui_map *map;
	struct ui_recent *recent;
	struct ui_pulse pulse; /* of the flows that came */
	uint64_t pulse_flows;  /* in it */
	struct ui_pulse
		recorded;   /* of a range: of all its flows, by the minute; without steps: none */
	bool has_caught_up; /* what the view begins with is here; for good */
	enum view_state state;
	char reason[ERR_MSG_BYTES];    /* of VIEW_AWAY */
	struct wall_ns away_since;     /* of VIEW_AWAY */
	uint64_t changes;              /* of anything a reader is told */
	uint64_t ticks;                /* grows when it is time to tell */
	uint64_t flows, dropped, lost; /* lost: as the server said */
	uint64_t gaps, gap_ns;         /* times that nobody watched: the server was a new one */
	struct wall_ns oldest, newest; /* flows; of clocks that are not ahead of ours */
	struct wall_ns newest_ahead;   /* of the others */
	uint64_t lag_ns;               /* longest from flow to here in the last tick */
	uint64_t tick_lag_ns;          /* in the tick that goes on */

	/* reader only */
	struct buf raw, rows, text;
	uint64_t round_tick, round_second; /* the round that goes on */
	struct ui_view_cursor round_end;   /* where everybody is after it */
	bool round_has_caught_up;          /* has_caught_up when it began: rows are of then */
	struct view_told told[VIEW_TOLD];
	size_t told_count;
	/* The map goes to all pages in the same rounds: up to which version, and when. */
	uint64_t map_told;
	struct mono_ns map_told_at;
	size_t map_bytes; /* of the last one */
};

/* View's thread: the state changed, and is told. */
void view_set_state(struct ui_view *v, enum view_state state, const char *reason);
/* View's thread: asks whether the server is there, and still the one that we knew. */
enum err_code view_greet(struct ui_view *v, struct err *e);
/* View's thread: takes what the stream gives until it ends. @is_batched: tycho.v1.FlowBatch. */
enum err_code view_pump(struct ui_view *v, struct rpc_stream *stream, bool is_batched,
			struct err *e);
/* Reader: forgets what was told. */
void view_forget(struct ui_view *v);

#endif
