/*
 * export_answer - what our exporters, made from a flowLogs file, write of events.
 *
 * Our side of the oracle: questions and answers are those of main.go, which asks the reference.
 */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/export/backups.h"
#include "observer/export/config.h"
#include "observer/export/exporter.h"
#include "observer/observer.pb-c.h"

enum { BYTES = 64 << 20, DICT_ENTRIES = 100000, PATH_BYTES = 512 };

static const struct export_now now = { { UINT64_C(1700000000) * NS_PER_S }, { NS_PER_S } };

static _Noreturn void die(const char *why)
{
	(void)fprintf(stderr, "export_answer: %s\n", why);
	exit(2);
}

static void must(enum err_code code, const struct err *e)
{
	if (code != ERR_OK)
		die(e->msg);
}

/* --- what is asked ------------------------------------------------------------------------------ */

static void put_config(struct buf *b, const char *config, const char *folder)
{
	static const char place[] = "{dir}";

	for (const char *at; (at = strstr(config, place)); config = at + strlen(place)) {
		buf_put(b, config, (size_t)(at - config));
		buf_str_put(b, str_of(folder));
	}
	buf_str_put(b, str_of(config));
}

/* @return false: no event. Its bytes are in @wire. */
static bool read_event(const char *line, struct flow_dict *dict, struct buf *wire, struct flow *ret)
{
	struct flow_response response;

	buf_reset(wire);
	if (json_read_message(str_of(line), &observer__export_event__descriptor, NULL, wire, NULL,
			      NULL) != ERR_OK ||
	    flow_response_split(buf_str(wire), &response, NULL) != ERR_OK || !response.has_message)
		return false;
	if (response.kind == FLOW_KIND_FLOW)
		return flow_decode(response.message, dict, ret, NULL) == ERR_OK;
	*ret = (struct flow){ .kind = (uint8_t)response.kind,
			      .ext = (const uint8_t *)response.message.p,
			      .ext_len = (uint32_t)response.message.len };
	if (response.has_time && timestamp_to_wall(response.time, &ret->time))
		ret->bits |= FLOW_HAS_TIME;
	return true;
}

static void put_events(struct exporter **made, size_t count, struct flow_dict *dict, json_t *events)
{
	AUTO_BUF struct buf wire = buf_init(BYTES);
	struct flow f;
	json_t *line;
	size_t n;

	json_array_foreach(events, n, line) if (read_event(json_string_value(line), dict, &wire,
							   &f)) for (size_t i = 0; i < count; i++)
		exporter_put(made[i], &f, 1, now);
}

/* @return NULL, or why not. */
static json_t *export(struct str config, json_t *events, struct flow_dict *dict)
{
	AUTO(export_backups_free) struct export_backups *backups = NULL;
	AUTO(export_specs_free) struct export_specs *specs = NULL;
	struct exporter *made[EXPORT_SPECS];
	size_t count = 0;
	struct err e;

	must(export_backups_new(&backups, &e), &e);
	const struct exporter_env env = { dict, "n1", backups };
	enum err_code code = export_specs_yaml(config, &specs, &e);
	for (; code == ERR_OK && count < specs->count; count++) {
		code = exporter_new(&specs->specs[count], &env, now, &made[count], &e);
		if (code != ERR_OK)
			break;
	}
	if (code == ERR_OK)
		put_events(made, count, dict, events);
	for (size_t i = 0; i < count; i++)
		exporter_free(made[i], now);
	return code == ERR_OK ? NULL : json_string(e.msg);
}

/* --- what is answered --------------------------------------------------------------------------- */

static json_t *lines_of(const char *path)
{
	json_t *lines = json_array();
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		die(path);
	for (ssize_t len; (len = getline(&line, &size, file)) > 0;)
		(void)json_array_append_new(lines, json_stringn(line, (size_t)len - 1));
	free(line);
	(void)fclose(file);
	return lines;
}

/* The files of @folder that have something in them; they and it are removed. */
static json_t *take_files(const char *folder)
{
	json_t *files = json_object();
	char path[PATH_BYTES];
	DIR *d = opendir(folder);

	if (!d)
		die("its folder is gone");
	for (const struct dirent *entry; (entry = readdir(d));) {
		if (*entry->d_name == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		json_t *lines = lines_of(path);
		if (json_array_size(lines))
			(void)json_object_set(files, entry->d_name, lines);
		json_decref(lines);
		(void)unlink(path);
	}
	(void)closedir(d);
	(void)rmdir(folder);
	return files;
}

static json_t *answer(json_t *question)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO_BUF struct buf config = buf_init(BYTES);
	char folder[] = "/tmp/oracle-export-XXXXXX";
	const char *text = json_string_value(json_object_get(question, "config"));
	struct err e;

	if (!text || !mkdtemp(folder))
		die("no question");
	must(flow_dict_new(DICT_ENTRIES, &dict, &e), &e);
	put_config(&config, text, folder);
	json_t *refused = export(buf_str(&config), json_object_get(question, "events"), dict);
	json_t *files = take_files(folder), *ret = json_object();
	if (refused)
		(void)json_object_set_new(ret, "refused", refused);
	else
		(void)json_object_set(ret, "files", files);
	json_decref(files);
	return ret;
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	for (ssize_t len; (len = getline(&line, &size, stdin)) > 0;) {
		json_t *question = json_loadb(line, (size_t)len, 0, NULL), *a = answer(question);
		(void)json_dumpf(a, stdout, JSON_COMPACT);
		(void)putchar('\n');
		(void)fflush(stdout);
		json_decref(a);
		json_decref(question);
	}
	free(line);
	return 0;
}
