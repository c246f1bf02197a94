/*
 * events_flows WORLD.json < questions > answers
 *
 * What our decoders make of Cilium's events: the side of tests/oracle/events that is ours. Questions and answers have the
 * form that main.go beside it gives; the payload of a "stream" is what an agent writes to its monitor socket.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "cilium_ask.h"
#include "stream.h"

static void answer(struct cilium_asker *a, struct str line)
{
	struct cilium_question q = { 0 };
	struct str id, *columns[] = { &id, &q.kind, &q.payload, &q.cpu, &q.node, &q.options };
	json_t *json = NULL;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		if (!str_split(&line, '\t', columns[i])) {
			(void)fputs("events_flows: a question of too few columns\n", stderr);
			exit(2);
		}
	const char *outcome = "flow";
	if (str_is(q.kind, "stream")) {
		AUTO_BUF struct buf bytes = cilium_unhex(q.payload);
		json = stream_read(buf_str(&bytes));
	} else {
		outcome = cilium_ask(a, &q, &json);
	}
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	(void)printf("%.*s\t%s\t%s\t\n", STR_FMT(id), outcome, text ? text : "");
	free(text);
	json_decref(json);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (argc != 2) {
		(void)fputs("usage: events_flows WORLD.json < questions\n", stderr);
		return 2;
	}
	log_set_level(LOG_WARN);
	AUTO_CILIUM_WORLD w = cilium_world_open(argv[1]);
	AUTO(cilium_asker_free) struct cilium_asker *asker = cilium_asker_new(&w);
	while ((len = getline(&line, &size, stdin)) > 0)
		answer(asker, str_n(line, (size_t)len - (line[len - 1] == '\n')));
	free(line);
	return fflush(stdout) == 0 ? 0 : 2;
}
