/*
 * exporter - one exporter: records that pass its filters become JSON lines in its file.
 *
 *	record ──► filters ──► mask ──► JSON line ──┐
 *	                  └──► aggregate ── interval ─┴──► lines.h ──► file.h
 *
 * Lines are observer.ExportEvent's; those of flows are as GetFlows answers, and `tycho observe -o
 * json` prints. A mask leaves lost, agent and debug events alone; groups have no mask.
 *
 * Loss     as lines.h says; where the filters let lost events pass, the file has it, too.
 * End      beyond its end an exporter writes nothing, and lets go of its file.
 * Threads  one; exporter_counts: any.
 */
#ifndef TYCHO_OBSERVER_EXPORT_EXPORTER_H
#define TYCHO_OBSERVER_EXPORT_EXPORTER_H

#include "base/err.h"
#include "flow/flow.h"
#include "observer/export/lines.h"

struct export_backups;
struct export_spec;
struct exporter;

struct exporter_env {
	const struct flow_dict *dict; /* borrowed, as is all */
	const char *node;             /* this node's name, for what is no flow */
	struct export_backups *backups;
};

/* Opens the file. ERR_INVALID, with the words of the spec: a mask or filter that is none. The spec
 * may go. */
MUST_CHECK enum err_code exporter_new(const struct export_spec *spec,
				      const struct exporter_env *env, struct export_now now,
				      struct exporter **ret, struct err *e);
/* What exporter_new says of filters and fields; no file is touched. */
MUST_CHECK enum err_code exporter_check(const struct export_spec *spec,
					const struct flow_dict *dict, struct err *e);
/* Writes what it still holds. */
void exporter_free(struct exporter *x, struct export_now now);

void exporter_put(struct exporter *x, const struct flow *flows, size_t n, struct export_now now);
/* @records of the log were overwritten before they were read, between @first and @last. */
void exporter_put_overtaken(struct exporter *x, uint64_t records, struct wall_ns first,
			    struct wall_ns last, struct export_now now);
/* The end of a pass: writes lines, and groups when it is time. */
void exporter_pass(struct exporter *x, struct export_now now);

const char *exporter_name(const struct exporter *x);
const char *exporter_path(const struct exporter *x);
struct str exporter_text(const struct exporter *x); /* its spec's */

struct exporter_counts {
	bool is_active;     /* false: its end has come */
	uint64_t lines;     /* written */
	uint64_t bytes;     /* of them */
	uint64_t lost;      /* lines that could not be written */
	uint64_t rotations; /* of its file */
	uint64_t faults;    /* flows on which an expression of a filter failed */
};
struct exporter_counts exporter_counts(const struct exporter *x);

#endif
