/*
 * export_config - what is to be exported where: one static exporter by options, any number of
 * dynamic ones by a file.
 *
 *	--export-file-path /var/log/tycho/flows.log --export-allowlist '{"verdict":["DROPPED"]}'
 *
 *	flowLogs:                                             --flowlogs-config-path
 *	- name: drops
 *	  filePath: /var/log/tycho/drops.log
 *	  fieldMask: [time, source.pod_name]
 *	  includeFilters: [{verdict: [DROPPED]}]
 *	  end: "2026-12-31T23:00:00Z"
 *
 * Keys and defaults are Hubble's (reference/hubble-exporter-relay.md section 2). Unlike there, a key
 * that is not known is an error: what is misspelt would export everything.
 *
 * Owner    a list owns all its texts and filters.
 * Bounds   EXPORT_CONFIG_BYTES of text, EXPORT_SPECS entries.
 */
#ifndef TYCHO_OBSERVER_EXPORT_CONFIG_H
#define TYCHO_OBSERVER_EXPORT_CONFIG_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct Flow__FlowFilter;

enum {
	EXPORT_CONFIG_BYTES = 4 << 20,
	EXPORT_SPECS = 64,
	EXPORT_OPTION_LIST = 64,
	EXPORT_MAX_SIZE_MB = 1 << 20,
	EXPORT_MAX_BACKUPS = 10000,
	EXPORT_DEFAULT_SIZE_MB = 10,
	EXPORT_DEFAULT_BACKUPS = 5,
};
#define EXPORT_INTERVAL_MIN_NS (100 * NS_PER_MS)

/* Of the command line; texts are borrowed from argv. */
struct export_options {
	const char *path;   /* NULL: no static exporter */
	const char *config; /* the file of dynamic ones; NULL: none */
	const char *allow[EXPORT_OPTION_LIST], *deny[EXPORT_OPTION_LIST];
	size_t allow_count, deny_count;
	const char *mask, *aggregate; /* comma lists; NULL: none */
	uint64_t interval_ns;         /* 0: no aggregation */
	uint64_t max_size_mb;
	uint32_t max_backups;
	bool compress;
};

/* How the parts of an exporter are called where it comes from, for sentences about them. */
struct export_words {
	const char *path, *include, *exclude, *mask, *aggregate;
};

/* One exporter. */
struct export_spec {
	const char *name; /* "": the static one */
	const char *path; /* or "stdout" */
	uint64_t max_bytes;
	uint32_t max_backups;
	bool compress;
	const char **mask, **aggregate; /* paths into flow.Flow */
	size_t mask_count, aggregate_count;
	uint64_t interval_ns; /* 0: flows are written as they are */
	struct Flow__FlowFilter **include, **exclude;
	size_t include_count, exclude_count;
	bool has_end;
	struct timestamp end;
	struct str text; /* equal where all of the above is */
	const struct export_words *words;
};

struct export_specs {
	const struct export_spec *specs;
	size_t count;
};

/* The one static exporter. ERR_INVALID names the option. What masks and filters mean is not looked
 * into here. */
MUST_CHECK enum err_code export_specs_options(const struct export_options *o,
					      struct export_specs **ret, struct err *e);
/* ERR_PARSE: no YAML, wrong types, unknown keys, names or paths that are missing or there twice,
 * values out of their bounds: "line 3: …". */
MUST_CHECK enum err_code export_specs_yaml(struct str text, struct export_specs **ret,
					   struct err *e);
void export_specs_free(struct export_specs *s);
AUTO_DEFINE(struct export_specs, export_specs_free);

#endif
