/*
 * cilium_part - the observer's Cilium: which of its sources are read, and the decoder behind them.
 *
 *	options ──► monitor socket, perf buffers ──► capture
 *	        └─► decoder (names, interfaces) ──► capture
 */
#ifndef TYCHO_OBSERVER_CILIUM_PART_H
#define TYCHO_OBSERVER_CILIUM_PART_H

#include "observer/cilium/cilium.h"
#include "observer/cilium/monitor.h"
#include "observer/cilium/perf.h"
#include "observer/source/link_names.h"

enum { CILIUM_HEADERS = 64 };

struct cilium_options {
	bool monitor, perf;       /* read the socket, the perf buffers */
	bool take_events;         /* it is known what reading perf buffers does */
	const char *monitor_path; /* NULL: MONITOR_DEFAULT_PATH */
	const char *map_path;     /* NULL: the one of the two usual ones that is there */
	enum cilium_release release;
	struct redact redact; /* lists point to the two below */
	const char *headers_allow[CILIUM_HEADERS], *headers_deny[CILIUM_HEADERS];
};

/* Zero is one that reads nothing. */
struct cilium_part {
	struct cilium *decoder;
	struct link_names *links;
};

/* True if an agent's monitor socket is there. */
bool cilium_part_has_socket(const struct cilium_options *options);

enum { CILIUM_SOURCES = 2 };
/* Opens what @options ask for: up to CILIUM_SOURCES sources, own, and the decoder for them. On
 * failure *@part and the sources that were opened are still to be freed. */
MUST_CHECK enum err_code cilium_part_open(struct cilium_part *part,
					  const struct cilium_options *options,
					  struct flow_dict *dict, struct name_table *names,
					  struct source *sources[CILIUM_SOURCES], size_t *ret_count,
					  struct err *e);
/* After the capture thread has ended. */
void cilium_part_done(struct cilium_part *part);

#endif
