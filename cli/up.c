/*
 * up - an observer on this machine for as long as this command runs, and its flows in this
 * terminal.
 */
#include <signal.h>
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "cli/observe.h"
#include "cli/child.h"

enum { ARGS_MOST = 200, ARG_BYTES = 4096, STOP_GRACE_S = 10 };

/* These go to the observer as they are, under the same names. */
static const struct flag_def observer_defs[] = {
	{ .name = "interface",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "NAME",
	  .help = "Interface to watch, or a glob such as 'veth*'; '!' excludes. Repeatable. "
		  "Without it: those with a peer in another namespace or a route out." },
	{ .name = "endpoints",
	  .type = FLAG_STRING,
	  .placeholder = "FILE",
	  .values = "FILE",
	  .help = "YAML file that gives addresses their names; read again when it changes" },
	{ .name = "nflog-group",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "N",
	  .help = "Netfilter log group to read policy verdicts from. Repeatable." },
	{ .name = "nflog-pattern",
	  .type = FLAG_STRING,
	  .placeholder = "REGEX",
	  .help = "How to read a log prefix" },
	{ .name = "no-bpf", .type = FLAG_BOOL, .help = "Load no kernel programs" },
	{ .name = "drops-everywhere",
	  .type = FLAG_BOOL,
	  .help = "Report drops of every network namespace of the machine, also when running "
		  "inside one of several" },
	{ .name = "noise",
	  .type = FLAG_BOOL,
	  .help = "Report also the kernel drop reasons of normal operation" },
	{ .name = "interval",
	  .type = FLAG_STRING,
	  .placeholder = "DURATION",
	  .help = "How often a connection that goes on is reported (default 5s)" },
	{ .name = "replay",
	  .type = FLAG_STRING,
	  .placeholder = "FILE",
	  .values = "FILE",
	  .help = "Take flows from a file of JSON lines" },
	{ .name = "replay-speed",
	  .type = FLAG_STRING,
	  .placeholder = "X",
	  .help = "1: as recorded, 2: twice as fast, 0: as fast as possible" },
	{ .name = "replay-repeat",
	  .type = FLAG_STRING,
	  .placeholder = "N",
	  .help = "Read the file N times" },
	{ .name = "replay-keep-time", .type = FLAG_BOOL, .help = "Keep the recorded times" },
	{ .name = "listen",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "ADDRESS",
	  .help = "Where to answer: host:port or unix:///path. Repeatable. Without it: "
		  "localhost:4245 and a local socket." },
	{ .name = "insecure-listen",
	  .type = FLAG_BOOL,
	  .help = "Allow plain text on addresses beyond loopback" },
	{ .name = "node-name",
	  .type = FLAG_STRING,
	  .placeholder = "NAME",
	  .help = "Name of this node" },
	{ .name = "node-label",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "KEY=VALUE",
	  .help = "Label of this node. Repeatable." },
	{ .name = "cluster",
	  .type = FLAG_STRING,
	  .placeholder = "NAME",
	  .help = "Cluster that this node belongs to" },
	{ .name = "ring-capacity",
	  .type = FLAG_STRING,
	  .placeholder = "N",
	  .help = "Flows kept in memory: 2^k - 1" },
	{ .name = "state-dir",
	  .type = FLAG_STRING,
	  .placeholder = "DIR",
	  .help = "What must survive a restart" },
	{ .name = "log-level",
	  .type = FLAG_CHOICE,
	  .def = "warn",
	  .placeholder = "LEVEL",
	  .values = "debug info warn error",
	  .help = "How much the observer says about itself" },
};
static const struct flag_set observer_flags = { "Observer", observer_defs,
						ARRAY_LEN(observer_defs) };

static const struct flag_def page_defs[] = {
	{ .name = "ui-listen",
	  .type = FLAG_STRING,
	  .def = "127.0.0.1:12000",
	  .placeholder = "HOST:PORT",
	  .help = "Where the page is served" },
	{ .name = "no-ui", .type = FLAG_BOOL, .help = "Serve no page" },
};
static const struct flag_set page_flags = { "Page", page_defs, ARRAY_LEN(page_defs) };

/* Words for the observer; own their texts. */
struct arguments {
	char *words[ARGS_MOST];
	size_t count;
};

static void arguments_done(struct arguments *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->words[i]);
}

static enum err_code add_argument(struct arguments *a, const char *name, const char *value,
				  struct err *e)
{
	char word[ARG_BYTES];

	if (a->count == ARGS_MOST)
		return err_set(e, ERR_INVALID, "more than %d options for the observer", ARGS_MOST);
	if ((size_t)snprintf(word, sizeof word, "--%s%s%s", name, value ? "=" : "",
			     value ? value : "") >= sizeof word)
		return err_set(e, ERR_INVALID, "--%s: too long", name);
	if (!(a->words[a->count] = str_dup(str_of(word))))
		return err_set(e, ERR_NOMEM, "arguments");
	a->count++;
	return ERR_OK;
}

/* The local socket: where root's observers listen, or below the user's own run-time directory. */
static bool local_socket(char *out, size_t size)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		return (size_t)snprintf(out, size, "unix:///run/tycho/observer.sock") < size;
	return run && *run &&
	       (size_t)snprintf(out, size, "unix://%s/tycho-observer.sock", run) < size;
}

static enum err_code gather_arguments(const struct cli *cli, struct arguments *a, struct err *e)
{
	char socket[ARG_BYTES];
	const char *item;

	for (size_t i = 0; i < ARRAY_LEN(observer_defs); i++) {
		const struct flag_def *def = &observer_defs[i];
		if (def->type == FLAG_BOOL) {
			if (flags_bool(cli->flags, def->name) &&
			    add_argument(a, def->name, NULL, e) != ERR_OK)
				return e->code;
		} else if (def->type == FLAG_STRING_ARRAY) {
			for (size_t k = 0; (item = flags_item(cli->flags, def->name, k)); k++)
				if (add_argument(a, def->name, item, e) != ERR_OK)
					return e->code;
		} else if (*flags_text(cli->flags, def->name)) {
			if (add_argument(a, def->name, flags_text(cli->flags, def->name), e) !=
			    ERR_OK)
				return e->code;
		}
	}
	if (flags_given(cli->flags, "listen"))
		return ERR_OK;
	if (add_argument(a, "listen", "localhost:4245", e) != ERR_OK)
		return e->code;
	return local_socket(socket, sizeof socket) ? add_argument(a, "listen", socket, e) : ERR_OK;
}

/* The first address of the observer, or with @local the first local socket if there is one. */
static struct str address_of(const struct child *o, bool local)
{
	struct str rest = str_of(o->addresses), first = STR(""), one;

	for (bool any = false; str_split(&rest, ' ', &one); any = true) {
		if (!any)
			first = one;
		if (local && str_has_prefix(one, STR("unix:")))
			return one;
	}
	return first;
}

/* The page is a comfort: without it, the rest goes on. */
static void start_page(const struct cli *cli, const char *server, struct child *ret)
{
	char listen[ARG_BYTES + 16], from[ARG_BYTES + 16];
	const char *const args[] = { listen, from, "--log-level=warn" };
	struct err e;

	if (flags_bool(cli->flags, "no-ui") || !child_is_there("tycho-ui"))
		return;
	(void)snprintf(listen, sizeof listen, "--listen=%s", flags_text(cli->flags, "ui-listen"));
	(void)snprintf(from, sizeof from, "--server=%s", server);
	if (child_start("tycho-ui", args, ARRAY_LEN(args), ret, &e) != ERR_OK)
		fprintf(stderr, "%s; going on without a page\n", e.msg);
}

static void tell(const struct child *o, const struct child *page)
{
	struct str server = address_of(o, false);
	const char *us = program_invocation_name; /* as typed: it need not be in $PATH */
	char option[ARG_BYTES + 16] = "";

	if (!str_is(server, "localhost:4245"))
		(void)snprintf(option, sizeof option, " --server %.*s", STR_FMT(server));
	fprintf(stderr,
		"The observer answers on: %s\n"
		"Ask it from another terminal:\n"
		"  %s observe%s --follow --verdict DROPPED\n"
		"  %s status%s\n"
		"%s%s%s"
		"Ctrl-C here stops it.\n\n",
		o->addresses, us, option, us, option, page->pid ? "See it in a browser: " : "",
		page->pid ? page->addresses : "", page->pid ? "\n" : "");
}

/* Flows until Ctrl-C; everything since the start, so that nothing is missed in between. */
static enum err_code follow(struct cli *cli, struct flow_printer_options *options, struct err *e)
{
	const struct observe_request everything = { .number = UINT64_MAX, .follow = true };

	return observe_from_server(cli, &everything, options, e);
}

static enum err_code run_up(struct cli *cli, struct err *e)
{
	__attribute__((cleanup(arguments_done))) struct arguments args = { .count = 0 };
	struct child observer = { .pid = 0 }, page = { .pid = 0 };
	struct flow_printer_options options;
	char address[ARG_BYTES];

	if (observe_read_format(cli, &options, e) != ERR_OK ||
	    gather_arguments(cli, &args, e) != ERR_OK ||
	    child_start("tycho-observer", (const char *const *)args.words, args.count, &observer,
			e) != ERR_OK)
		return e->code;
	/* Rather not through an interface that is being watched: our own questions would be among
	 * the answers. */
	(void)snprintf(address, sizeof address, "%.*s", STR_FMT(address_of(&observer, true)));
	settings_set_server(cli->settings, address);
	start_page(cli, address, &page);
	/* Ctrl-C is promised from here on: one that comes before the stream waits for it. */
	sigset_t interrupts, before;
	sigemptyset(&interrupts);
	sigaddset(&interrupts, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &interrupts, &before);
	tell(&observer, &page);
	enum err_code code = follow(cli, &options, e);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (code != ERR_OK && child_has_ended(&observer))
		code = err_set(e, ERR_UNAVAILABLE, "the observer has ended");
	child_stop(&page, STOP_GRACE_S);
	child_stop(&observer, STOP_GRACE_S);
	return code;
}

static const struct flag_set *const up_sets[] = { &observer_flags, &page_flags, &formatting_flags,
						  &flow_format_flags };

const struct command up_command = {
	.name = "up",
	.help = "Observe this machine: start an observer and follow its flows",
	.details = "Starts tycho-observer on this machine, and tycho-ui if it is installed, says "
		   "where they answer, and prints flows as they happen until Ctrl-C, which stops "
		   "them. Watching the kernel needs root; "
		   "without it, --no-bpf with --replay shows recorded flows.",
	.examples = "  sudo tycho up\n"
		    "  sudo tycho up --interface 'veth*' --endpoints endpoints.yaml\n"
		    "  tycho up --no-bpf --replay flows.json --replay-speed 1",
	.sets = up_sets,
	.set_count = ARRAY_LEN(up_sets),
	.run = run_up,
};
