/*
 * tycho doctor - the way to a server, and what is behind it, one step after the other; what is
 * wrong, and what to do about it.
 *
 *	name ► connect ► tls ► health ► version ► clock ► nodes ► stores ► flows
 *
 * A step that fails ends the way where the later ones could only say the same again.
 */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "cli/child.h"

void doctor_say(struct doctor *d, enum verdict verdict, const char *check, const char *fix,
		const char *fmt, ...)
{
	AUTO_BUF struct buf b = buf_init(16 << 10);
	va_list ap;

	va_start(ap, fmt);
	findings_put(&d->findings, &b, verdict, check, fix, fmt, ap);
	va_end(ap);
	if (d->write_error == ERR_OK)
		d->write_error = cli_write(buf_str(&b), d->e);
}

static void examine(struct doctor *d)
{
	if (!doctor_way(d))
		return;
	if (!doctor_health(d)) {
		doctor_look_for_tls(d);
		return;
	}
	if (!doctor_version(d))
		return;
	doctor_clock(d);
	doctor_ask_history(d);
	doctor_nodes(d);
	doctor_stores(d);
	doctor_flows(d);
}

/* What was typed is passed on, for the observer to refuse where it makes no sense. What the
 * environment or the configuration file says is a default: it counts only where it is @wanted. */
static const char *typed_or(const struct cli *cli, bool wanted, const char *key)
{
	return wanted || flags_given(cli->flags, key) ? settings_text(cli->settings, key) : "";
}

/* The observer itself knows best what it needs. */
static enum err_code examine_node(const struct cli *cli, const char *format, struct err *e)
{
	static const char *const names[] = { "kubeconfig", "kube-context", "node-name" };
	const char *config = typed_or(cli, flags_bool(cli->flags, "kubernetes"), "kubeconfig");
	const char *const texts[] = { config, typed_or(cli, *config, "kube-context"),
				      flags_text(cli->flags, "node-name") };
	static const char *const bools[] = { "kubernetes", "drop-events", "no-bpf" };
	char program[] = "tycho-observer", words[8][DOCTOR_TEXT_BYTES];
	char *argv[10] = { program };
	size_t n = 0;

	(void)snprintf(words[n++], sizeof words[0], "--doctor=%s", format);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (*texts[i] && (size_t)snprintf(words[n++], sizeof words[0], "--%s=%s", names[i],
						  texts[i]) >= sizeof words[0])
			return err_set(e, ERR_INVALID, "--%s is too long", names[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bools); i++)
		if (flags_bool(cli->flags, bools[i]))
			(void)snprintf(words[n++], sizeof words[0], "--%s", bools[i]);
	for (size_t i = 0; i < n; i++)
		argv[i + 1] = words[i];
	return child_become(program, argv, e);
}

/* The first is what the others need. */
static const struct flag_def node_defs[] = {
	{ .name = "node",
	  .type = FLAG_BOOL,
	  .help = "Not the way to a server, but whether an observer can work on this node, or in "
		  "this pod" },
	{ .name = "no-bpf", .type = FLAG_BOOL, .help = "With --node: one without kernel programs" },
	{ .name = "kubernetes",
	  .type = FLAG_BOOL,
	  .help = "With --node: one that takes names and policies from Kubernetes" },
	{ .name = "drop-events",
	  .type = FLAG_BOOL,
	  .help = "With --kubernetes: one that tells drops as events there" },
	{ .name = "node-name",
	  .type = FLAG_STRING,
	  .placeholder = "NAME",
	  .help = "With --kubernetes: this node's name there" },
};

static enum err_code run_doctor(struct cli *cli, struct err *e)
{
	const char *format = flags_text(cli->flags, "output");
	int64_t timeout_ns = settings_duration_ns(cli->settings, "request-timeout");
	struct doctor d = { .cli = cli,
			    .findings = { .json = strcmp(format, "json") == 0, .check_columns = 8 },
			    .timeout_ns = timeout_ns > 0 ? (uint64_t)timeout_ns : 1,
			    .e = e };

	if (flags_bool(cli->flags, "node"))
		return examine_node(cli, format, e);
	for (size_t i = 1; i < ARRAY_LEN(node_defs); i++)
		if (flags_given(cli->flags, node_defs[i].name))
			return err_set(e, ERR_INVALID, "--%s needs --node", node_defs[i].name);
	d.with_tls = connection_tls(cli->settings, d.ca_files, &d.tls);
	examine(&d);
	history_done(&d.history);
	connection_done(&d.connection);
	if (d.write_error != ERR_OK)
		return d.write_error;
	return d.findings.failed
		       ? err_set(e, ERR_UNAVAILABLE, "%u of the checks failed", d.findings.failed)
		       : ERR_OK;
}

/* As one word of a shell's. */
static void put_word(struct buf *b, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_./:=,@%+";

	if (strspn(text, plain) == strlen(text)) {
		buf_str_put(b, str_of(text));
		return;
	}
	buf_char(b, '\'');
	for (; *text; text++)
		if (*text == '\'')
			buf_lit(b, "'\\''");
		else
			buf_char(b, *text);
	buf_char(b, '\'');
}

void doctor_command_put(struct buf *b, const struct cli *cli)
{
	static const char *const names[] = {
		"server",
		"tls",
		"tls-allow-insecure",
		"tls-ca-cert-files",
		"tls-server-name",
		"tls-client-cert-file",
		"tls-client-key-file",
		"token-file",
		"basic-auth-username",
	};

	buf_lit(b, "tycho doctor");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct flag_def *def = settings_flag(names[i]);
		const char *item;
		if (!flags_given(cli->flags, names[i]))
			continue;
		if (flag_stands_alone(def)) {
			buf_printf(b, " --%s%s", names[i],
				   flags_bool(cli->flags, names[i]) ? "" : "=false");
		} else if (def->type != FLAG_STRING_SLICE) {
			buf_printf(b, " --%s ", names[i]);
			put_word(b, flags_text(cli->flags, names[i]));
		}
		for (size_t k = 0; (item = flags_item(cli->flags, names[i], k)); k++) {
			buf_printf(b, " --%s ", names[i]);
			put_word(b, item);
		}
	}
}

static const struct flag_def doctor_defs[] = {
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "compact",
	  .placeholder = "FORMAT",
	  .values = "compact json",
	  .help = "Output format: compact, json" },
};
static const struct flag_set node_flags = { "Node", node_defs, ARRAY_LEN(node_defs) };
static const struct flag_set doctor_flags = { "Formatting", doctor_defs, ARRAY_LEN(doctor_defs) };
static const struct flag_set *const doctor_sets[] = { &node_flags, &doctor_flags };

const struct command doctor_command = {
	.name = "doctor",
	.help = "Check the way to a server step by step",
	.details =
		"Checks name, connection, TLS chain and names, health, version, clock, each node "
		"behind a relay, whether history is written, and whether flows come; says what is "
		"wrong and what to do about it. A line is 'ok', 'warn' or 'fail', the check's "
		"name, and what was found; with "
		"-o json, an object with check, result, detail and fix. The exit status is 1 when "
		"a check failed. With --node, what tycho-observer needs: kernel, BTF, mounts, "
		"rights, "
		"folder, ports, certificates, and of Kubernetes what it may list and watch, its "
		"clock, "
		"this node's name, and with --drop-events whether it may tell of drops. For that, "
		"--kubeconfig and --kube-context say how to reach "
		"its API server, as with tycho-observer; without them it is asked as the pod that "
		"this runs in.",
	.examples = "  tycho doctor --server relay.example:4245 --tls\n"
		    "  tycho doctor --server unix:///run/tycho/observer.sock -o json\n"
		    "  tycho doctor --node --kubernetes --node-name \"$NODE_NAME\"",
	.sets = doctor_sets,
	.set_count = ARRAY_LEN(doctor_sets),
	.uses_server = true,
	.run = run_doctor,
};
