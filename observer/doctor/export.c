/*
 * Of exporters: that filters and fields are such, and that their files can be written. Nothing is
 * made or opened.
 */
#include "observer/doctor/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/watch.h"
#include "flow/dict.h"
#include "observer/export/exporter.h"

enum { DICT_NAMES = 64, GROUPS_MAX = 256 };
#define MIB (UINT64_C(1) << 20)

static const char write_fix[] =
	"let its owner or group be the one who runs the observer; below the unit of the package "
	"only /var/log/tycho and /var/lib/tycho can be written (docs/operations.md)";

/* As the mode says: a capability that root has here, the observer's unit may withhold. */
static bool is_let(const struct stat *st, unsigned wanted)
{
	gid_t groups[GROUPS_MAX];
	int n = getgroups(GROUPS_MAX, groups);
	bool in_group = st->st_gid == getegid();

	for (int i = 0; i < n; i++)
		in_group |= groups[i] == st->st_gid;
	unsigned shift = st->st_uid == geteuid() ? 6 : in_group ? 3 : 0;
	return (st->st_mode >> shift & wanted) == wanted;
}

/* @wanted: W_OK and X_OK, which have the bits of a mode. @return ERR_OK, or why not. */
static enum err_code may(const char *path, const struct stat *st, int wanted, bool *ret_by_mode,
			 struct err *e)
{
	if (faccessat(AT_FDCWD, path, wanted, AT_EACCESS) < 0)
		return err_os(e, "'%s'", path);
	*ret_by_mode = is_let(st, (unsigned)wanted);
	return ERR_OK;
}

struct place {
	char found[PATH_MAX]; /* the path, or the last folder of it that there is */
	struct stat st;
	bool is_there;
};

static enum err_code find(const char *path, struct place *ret, struct err *e)
{
	if ((size_t)snprintf(ret->found, sizeof ret->found, "%s", path) >= sizeof ret->found)
		return err_set(e, ERR_INVALID, "the path is too long");
	ret->is_there = true;
	while (stat(ret->found, &ret->st) < 0) {
		if (errno != ENOENT)
			return err_os(e, "'%s'", ret->found);
		ret->is_there = false;
		char *slash = strrchr(ret->found, '/');
		if (!slash)
			(void)snprintf(ret->found, sizeof ret->found, ".");
		else
			slash[slash == ret->found] = 0;
	}
	return ERR_OK;
}

/* Where the file is, in full; the folder that renames are made in. */
static void folder_of(const char *path, char folder[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	(void)snprintf(folder, PATH_MAX, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
		       slash ? path : ".");
}

static void check_room(struct doctor *d, const struct export_spec *s, const struct place *at)
{
	const uint64_t most = s->max_bytes * (s->max_backups + UINT64_C(1));
	struct statvfs fs;

	if (statvfs(at->found, &fs) < 0)
		return;
	const uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (!room || (fs.f_files && !fs.f_favail))
		doctor_say(d, VERDICT_FAIL, "export", "make room there",
			   "no %s is left where '%s' is", room ? "inode" : "room", s->path);
	else if (room < most)
		doctor_say(d, VERDICT_WARN, "export",
			   "make room, or keep fewer and smaller files (the size and count of "
			   "backups)",
			   "%llu MiB are left where '%s' is, and its files may take %llu MiB",
			   (unsigned long long)(room / MIB), s->path,
			   (unsigned long long)(most / MIB));
}

static void tell_file(struct doctor *d, const struct export_spec *s, bool by_mode,
		      const char *words)
{
	if (by_mode)
		doctor_say(d, VERDICT_OK, "export", "", "'%s' %s", s->path, words);
	else
		doctor_say(d, VERDICT_WARN, "export", write_fix,
			   "'%s' %s, but only with CAP_DAC_OVERRIDE, which the unit of the package "
			   "has not",
			   s->path, words);
}

static void check_file(struct doctor *d, const struct export_spec *s)
{
	char folder[PATH_MAX];
	struct place at, dir;
	bool by_mode = true, dir_by_mode = true;
	struct err e;

	if (strcmp(s->path, "stdout") == 0) {
		doctor_say(d, VERDICT_OK, "export", "", "lines go to standard output");
		return;
	}
	folder_of(s->path, folder);
	enum err_code code = find(s->path, &at, &e);
	if (code == ERR_OK)
		code = may(at.found, &at.st, at.is_there ? W_OK : W_OK | X_OK, &by_mode, &e);
	if (code == ERR_OK && at.is_there == S_ISDIR(at.st.st_mode))
		code = err_set(&e, ERR_INVALID, "'%s' is %s folder", at.found,
			       at.is_there ? "a" : "no");
	if (code != ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "export", write_fix, "%s", e.msg);
		return;
	}
	if (at.is_there && !S_ISREG(at.st.st_mode)) {
		tell_file(d, s, by_mode, "is a pipe or a device, and can be written");
		return;
	}
	if (at.is_there && (find(folder, &dir, &e) != ERR_OK ||
			    may(folder, &dir.st, W_OK | X_OK, &dir_by_mode, &e) != ERR_OK)) {
		doctor_say(d, VERDICT_FAIL, "export", write_fix,
			   "'%s' can be written, but not renamed when it is full: %s", s->path,
			   e.msg);
		return;
	}
	tell_file(d, s, by_mode && dir_by_mode, at.is_there ? "can be written" : "can be made");
	check_room(d, s, &at);
}

static void check_spec(struct doctor *d, const struct export_spec *s, const struct flow_dict *dict)
{
	struct err e;

	if (exporter_check(s, dict, &e) != ERR_OK) {
		if (*s->name)
			(void)err_in(&e, "'%s'", EXCERPT(str_of(s->name)));
		doctor_say(d, VERDICT_FAIL, "export", "", "%s", e.msg);
		return;
	}
	if (s->aggregate_count && !s->interval_ns)
		doctor_say(d, VERDICT_WARN, "export",
			   "give the interval (--export-aggregation-interval, "
			   "aggregationInterval)",
			   "'%s': fields to count flows by, but no interval: every flow is written",
			   s->path);
	check_file(d, s);
}

static void check_fixed(struct doctor *d, const struct flow_dict *dict)
{
	AUTO(export_specs_free) struct export_specs *specs = NULL;
	struct err e;

	if (!d->o->exports.path)
		return;
	if (export_specs_options(&d->o->exports, &specs, &e) != ERR_OK)
		doctor_say(d, VERDICT_FAIL, "export", "", "%s", e.msg);
	else
		check_spec(d, &specs->specs[0], dict);
}

static void check_dynamic(struct doctor *d, const struct flow_dict *dict)
{
	AUTO_BUF struct buf text = buf_init(EXPORT_CONFIG_BYTES);
	AUTO(export_specs_free) struct export_specs *specs = NULL;
	const char *file = d->o->exports.config, *fixed = d->o->exports.path;
	struct err e;

	if (!file)
		return;
	if (file_read(file, "the file of exporters", &text, &e) != ERR_OK ||
	    export_specs_yaml(buf_str(&text), &specs, &e) != ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "export",
			   "see docs/export.md for its form; until it can be read, the observer "
			   "runs without what it says",
			   "%s: %s", file, e.msg);
		return;
	}
	doctor_say(d, VERDICT_OK, "export", "", "%s names %zu exporter%s", file, specs->count,
		   specs->count == 1 ? "" : "s");
	for (size_t i = 0; i < specs->count; i++) {
		const struct export_spec *s = &specs->specs[i];
		if (fixed && strcmp(fixed, s->path) == 0)
			doctor_say(d, VERDICT_FAIL, "export", "give it a file of its own",
				   "'%s': filePath is that of --export-file-path",
				   EXCERPT(str_of(s->name)));
		else
			check_spec(d, s, dict);
	}
}

void doctor_export(struct doctor *d)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;

	if (flow_dict_new(DICT_NAMES, &dict, NULL) != ERR_OK)
		return;
	check_fixed(d, dict);
	check_dynamic(d, dict);
}
