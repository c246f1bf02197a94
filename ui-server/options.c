#include "ui-server/options.h"

#include <stdio.h>

#include "base/str.h"
#include "ui-server/guard.h"

enum { HISTORY_DEFAULT = 10000, HISTORY_MOST = 1000000 };

/* One row per option: name, argument (NULL: none), help. Drives reading and --help alike. */
enum option_id {
	OPT_ALLOW_HOST,
	OPT_HELP,
	OPT_HISTORY,
	OPT_INSECURE_LISTEN,
	OPT_LISTEN,
	OPT_LOG_LEVEL,
	OPT_READY_FD,
	OPT_SERVER,
	OPT_TLS,
	OPT_TLS_ALLOW_INSECURE,
	OPT_TLS_CA_CERT_FILE,
	OPT_TLS_CLIENT_CERT_FILE,
	OPT_TLS_CLIENT_KEY_FILE,
	OPT_TLS_SERVER_NAME,
	OPT_VERSION,
	OPT_COUNT_
};

static const struct {
	const char *name, *arg, *help;
} table[] = {
	[OPT_ALLOW_HOST] = { "allow-host", "NAME",
			     "name by which browsers may call this server, beside addresses and "
			     "localhost; repeatable" },
	[OPT_HELP] = { "help", NULL, "print this text" },
	[OPT_HISTORY] = { "history", "N",
			  "past flows that a new view begins with (default 10000)" },
	[OPT_INSECURE_LISTEN] = { "insecure-listen", NULL,
				  "allow an address beyond loopback: everybody who can reach it "
				  "sees all flows" },
	[OPT_LISTEN] = { "listen", "HOST:PORT",
			 "where to serve the page (default 127.0.0.1:12000)" },
	[OPT_LOG_LEVEL] = { "log-level", "LEVEL", "debug, info, warn or error (default info)" },
	[OPT_READY_FD] = { "ready-fd", "FD",
			   "write one line to this descriptor when serving, then close it" },
	[OPT_SERVER] = { "server", "ADDRESS",
			 "observer or relay: host:port, tls://host:port or unix:///path (default "
			 "localhost:4245)" },
	[OPT_TLS] = { "tls", NULL, "speak TLS to the server" },
	[OPT_TLS_ALLOW_INSECURE] = { "tls-allow-insecure", NULL,
				     "do not check the server's certificate" },
	[OPT_TLS_CA_CERT_FILE] = { "tls-ca-cert-file", "FILE",
				   "believe certificates signed by this (PEM); repeatable" },
	[OPT_TLS_CLIENT_CERT_FILE] = { "tls-client-cert-file", "FILE",
				       "our certificate (PEM), for servers that ask for one" },
	[OPT_TLS_CLIENT_KEY_FILE] = { "tls-client-key-file", "FILE", "its private key (PEM)" },
	[OPT_TLS_SERVER_NAME] = { "tls-server-name", "NAME",
				  "name to expect in the server's certificate" },
	[OPT_VERSION] = { "version", NULL, "print the version" },
};
_Static_assert(ARRAY_LEN(table) == OPT_COUNT_, "an option without a row");

void ui_options_help(void)
{
	(void)puts("tycho-ui serves a page that shows the flows of an observer or relay: a service "
		   "map and a live table.\n"
		   "\n"
		   "Usage: tycho-ui [OPTION]…\n");
	for (size_t i = 0; i < OPT_COUNT_; i++) {
		char left[64];
		(void)snprintf(left, sizeof left, "--%s%s%s", table[i].name,
			       table[i].arg ? " " : "", table[i].arg ? table[i].arg : "");
		(void)printf("  %-28s %s\n", left, table[i].help);
	}
}

static enum err_code bad_value(struct err *e, enum option_id id, const char *value,
			       const char *want)
{
	return err_set(e, ERR_INVALID, "--%s %s: expected %s", table[id].name, value, want);
}

static enum err_code add_text(const char **list, size_t *count, enum option_id id,
			      const char *value, struct err *e)
{
	if (*count == UI_OPTIONS_LIST)
		return err_set(e, ERR_INVALID, "--%s is given more than %d times", table[id].name,
			       UI_OPTIONS_LIST);
	list[(*count)++] = value;
	return ERR_OK;
}

static enum err_code set_listen(struct ui_options *o, const char *value, struct err *e)
{
	struct str address = str_of(value), host;
	size_t colon = str_find_last(address, ':');

	if (!ui_host_name(address, &host) || host.len >= sizeof o->listen_host ||
	    colon == address.len || !parse_u16(str_from(address, colon + 1), &o->listen_port))
		return bad_value(e, OPT_LISTEN, value, "HOST:PORT, such as 127.0.0.1:12000");
	(void)snprintf(o->listen_host, sizeof o->listen_host, "%.*s", STR_FMT(host));
	o->listen_is_loopback = ui_address_is_loopback(address);
	return ERR_OK;
}

static enum err_code set_log_level(struct ui_options *o, const char *value, struct err *e)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(value, names[i]) == 0) {
			o->log_level = (enum log_level)i;
			return ERR_OK;
		}
	return bad_value(e, OPT_LOG_LEVEL, value, "debug, info, warn or error");
}

static enum err_code set_number(struct ui_options *o, enum option_id id, const char *value,
				struct err *e)
{
	uint64_t n;

	if (id == OPT_READY_FD) {
		if (!parse_u64(str_of(value), 1 << 20, &n))
			return bad_value(e, id, value, "a file descriptor");
		o->ready_fd = (int)n;
	} else {
		if (!parse_u64(str_of(value), HISTORY_MOST, &n) || !n)
			return bad_value(e, id, value, "a number of flows from 1 to 1000000");
		o->history = (uint32_t)n;
	}
	return ERR_OK;
}

static enum err_code set_option(struct ui_options *o, enum option_id id, const char *value,
				struct err *e)
{
	switch (id) {
	case OPT_ALLOW_HOST:
		return add_text(o->allow_hosts, &o->allow_host_count, id, value, e);
	case OPT_HELP:
		o->help = true;
		return ERR_OK;
	case OPT_INSECURE_LISTEN:
		o->insecure_listen = true;
		return ERR_OK;
	case OPT_LISTEN:
		return set_listen(o, value, e);
	case OPT_LOG_LEVEL:
		return set_log_level(o, value, e);
	case OPT_SERVER:
		o->server = value;
		return ERR_OK;
	case OPT_TLS:
		o->tls = true;
		return ERR_OK;
	case OPT_TLS_ALLOW_INSECURE:
		o->tls_files.allow_insecure = true;
		return ERR_OK;
	case OPT_TLS_CA_CERT_FILE:
		return add_text(o->tls_ca_files, &o->tls_files.ca_file_count, id, value, e);
	case OPT_TLS_CLIENT_CERT_FILE:
		o->tls_files.cert_file = value;
		return ERR_OK;
	case OPT_TLS_CLIENT_KEY_FILE:
		o->tls_files.key_file = value;
		return ERR_OK;
	case OPT_TLS_SERVER_NAME:
		o->tls_files.server_name = value;
		return ERR_OK;
	case OPT_VERSION:
		o->version = true;
		return ERR_OK;
	default:
		return set_number(o, id, value, e);
	}
}

static enum err_code check_together(const struct ui_options *o, struct err *e)
{
	const struct rpc_tls *t = &o->tls_files;
	bool tls = o->tls || str_has_prefix(str_of(o->server), STR("tls://"));

	if (!t->cert_file != !t->key_file)
		return err_set(
			e, ERR_INVALID,
			"--tls-client-cert-file and --tls-client-key-file are needed together");
	if (!tls && (t->cert_file || t->ca_file_count || t->server_name || t->allow_insecure))
		return err_set(e, ERR_INVALID, "the --tls-… options need --tls");
	if (!o->listen_is_loopback && !o->insecure_listen)
		return err_set(e, ERR_INVALID,
			       "--listen %s: an address that others can reach, and they would see "
			       "all flows; give --insecure-listen if that is meant",
			       o->listen_host);
	return ERR_OK;
}

enum err_code ui_options_read(int argc, const char *const *argv, struct ui_options *ret,
			      struct err *e)
{
	struct ui_options o = {
		.server = "localhost:4245",
		.listen_host = "127.0.0.1",
		.listen_port = 12000,
		.listen_is_loopback = true,
		.history = HISTORY_DEFAULT,
		.log_level = LOG_INFO,
		.ready_fd = -1,
	};

	for (int i = 1; i < argc; i++) {
		struct str word = str_of(argv[i]);
		if (!str_has_prefix(word, STR("--")) || word.len == 2)
			return err_set(e, ERR_INVALID, "unexpected argument \"%s\"; see --help",
				       argv[i]);
		size_t eq = str_find(word, '=');
		struct str name = str_from(str_upto(word, eq), 2);
		size_t id = 0;
		while (id < OPT_COUNT_ && !str_is(name, table[id].name))
			id++;
		if (id == OPT_COUNT_)
			return err_set(e, ERR_INVALID, "unknown option --%.*s; see --help",
				       STR_FMT(name));
		const char *value = eq < word.len ? argv[i] + eq + 1 : NULL;
		if (!table[id].arg && value)
			return err_set(e, ERR_INVALID, "--%s takes no value", table[id].name);
		if (table[id].arg && !value) {
			if (i + 1 == argc)
				return err_set(e, ERR_INVALID, "--%s needs a value: %s",
					       table[id].name, table[id].arg);
			value = argv[++i];
		}
		enum err_code code = set_option(&o, (enum option_id)id, value, e);
		if (code != ERR_OK)
			return code;
	}
	*ret = o;
	ret->tls_files.ca_files = ret->tls_ca_files;
	return o.help || o.version ? ERR_OK : check_together(ret, e);
}
