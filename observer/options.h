/*
 * options - the command line of tycho-observer, read into one struct.
 */
#ifndef TYCHO_OBSERVER_OPTIONS_H
#define TYCHO_OBSERVER_OPTIONS_H

#include "base/opt.h"
#include "clickhouse/options.h"
#include "evidence/send_tls.h"
#include "observer/cilium_part.h"
#include "observer/drop_events/wanted.h"
#include "observer/export/config.h"
#include "observer/source/bpf.h"
#include "observer/source/kernel_log.h"
#include "observer/source/nflog.h"
#include "observer/source/replay.h"
#include "observer/upstream/hubble.h"
#include "policy/policy.h"
#include "serve/serve.h"
#include "store/store.h"

enum { OPTIONS_LIST = 64 };

/* Texts are borrowed from argv. */
struct obs_options {
	struct opt_common common;
	struct serve_options serve;
	const char *node_name, *cluster;
	const char *node_labels[OPTIONS_LIST];
	size_t node_label_count;
	const char *endpoints; /* NULL: none */
	const char
		*cilium_agent; /* socket of an agent to take names from, "none"; NULL: not said */
	const char *doctor;    /* "compact", "json": say whether it can work, and end; NULL: no */
	bool kubernetes;
	const char *kubeconfig, *kube_context; /* NULL: the pod's own; the current one */
	struct drop_wanted drop_events;
	const char *interfaces[OPTIONS_LIST];
	uint32_t sources; /* bits of those named with --source; 0: none was */
	bool bpf;
	uint16_t nflog_groups[OPTIONS_LIST];
	struct source_bpf_config bpf_config;
	struct source_nflog_config nflog;
	const char *kernel_log;             /* device or pipe; NULL: not read */
	struct source_replay_config replay; /* path NULL: none */
	bool bpf_by_default; /* nobody asked for it: Cilium's socket takes its place */
	struct cilium_options cilium;
	struct source_hubble_config hubble; /* address NULL: none; tls: NULL or &hubble_tls */
	const char *hubble_ca_files[OPTIONS_LIST];
	struct rpc_tls hubble_tls;
	bool hubble_has_tls;
	size_t ring_capacity;
	uint64_t stall_timeout_ns; /* 0: the server's default */
	enum policy_meaning policy_meaning;
	const char *policies;       /* file or folder; NULL: none are known */
	const char *metrics;        /* list of Hubble's metrics; NULL: none */
	const char *metrics_config; /* or a file of them; NULL: none */
	size_t metrics_series;
	struct export_options exports; /* path and config NULL: none */
	const char *state_dir;
	const char *store_dir; /* NULL: the state directory */
	bool store_off;
	const char *evidence_key; /* NULL: evidence.key beside the store */
	const char *checkpoint_to[OPTIONS_LIST];
	size_t checkpoint_to_count;
	struct send_tls checkpoint_tls;
	struct store_config store;           /* periods and limits only */
	struct clickhouse_config clickhouse; /* url NULL: nothing is shipped */
	uint64_t clickhouse_period_ns;
};

/* ERR_INVALID with one sentence that names the option. *@ret holds pointers into itself: it stays
 * where it is. */
MUST_CHECK enum err_code obs_options_read(int argc, const char *const *argv,
					  struct obs_options *ret, struct err *e);
/* The kernel's drops are seen, once the sources are open: a rule's denial of the same packet is no
 * second drop. */
static inline bool obs_options_see_drops(const struct obs_options *o)
{
	return (o->bpf && o->bpf_config.drops) || o->cilium.monitor || o->cilium.perf;
}
/* For --help and --version. */
extern const struct opt_program obs_program;

#endif
