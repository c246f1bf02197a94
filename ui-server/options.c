#include "ui-server/options.h"

#include <stdio.h>

#include "base/net.h"
#include "base/opt.h"
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
	OPT_LOGIN_FILE,
	OPT_LOG_LEVEL,
	OPT_NO_AUTH,
	OPT_READY_FD,
	OPT_SERVER,
	OPT_TLS,
	OPT_TLS_ALLOW_INSECURE,
	OPT_TLS_CA_CERT_FILE,
	OPT_TLS_CLIENT_CERT_FILE,
	OPT_TLS_CLIENT_KEY_FILE,
	OPT_TLS_SERVER_CERT_FILE,
	OPT_TLS_SERVER_KEY_FILE,
	OPT_TLS_SERVER_NAME,
	OPT_VERSION,
	OPT_COUNT_
};

static const struct opt_row table[] = {
	[OPT_ALLOW_HOST] = { "allow-host", "NAME",
			     "name by which browsers may call this server, beside addresses and "
			     "localhost; repeatable" },
	[OPT_HELP] = { "help", NULL, "print this text" },
	[OPT_HISTORY] = { "history", "N",
			  "past flows that a new view begins with (default 10000)" },
	[OPT_INSECURE_LISTEN] = { "insecure-listen", NULL,
				  "allow an address beyond loopback in plain text: passwords and "
				  "flows can be read on the way" },
	[OPT_LISTEN] = { "listen", "HOST:PORT",
			 "where to serve the page (default 127.0.0.1:12000)" },
	[OPT_LOGIN_FILE] = { "login-file", "FILE",
			     "ask for a name and a password; lines name:hash, as htpasswd -B and "
			     "openssl passwd -6 make them" },
	[OPT_LOG_LEVEL] = { "log-level", "LEVEL", "debug, info, warn or error (default info)" },
	[OPT_NO_AUTH] = { "no-auth", NULL,
			  "no login beyond loopback: everybody who can reach the address sees all "
			  "flows" },
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
	[OPT_TLS_SERVER_CERT_FILE] = { "tls-server-cert-file", "FILE",
				       "certificate (PEM, with its chain) to serve the page by "
				       "HTTPS "
				       "with" },
	[OPT_TLS_SERVER_KEY_FILE] = { "tls-server-key-file", "FILE", "its private key (PEM)" },
	[OPT_TLS_SERVER_NAME] = { "tls-server-name", "NAME",
				  "name to expect in the server's certificate" },
	[OPT_VERSION] = { "version", NULL, "print the version" },
};
_Static_assert(ARRAY_LEN(table) == OPT_COUNT_, "an option without a row");

void ui_options_help(void)
{
	opt_help("tycho-ui serves a page that shows the flows of an observer or relay: a service "
		 "map and a live table.\n"
		 "\n"
		 "Usage: tycho-ui [OPTION]…",
		 table, OPT_COUNT_);
}

static enum err_code bad_value(struct err *e, enum option_id id, const char *value,
			       const char *want)
{
	return opt_bad(&table[id], value, want, e);
}

static enum err_code add_text(const char **list, size_t *count, enum option_id id,
			      const char *value, struct err *e)
{
	return opt_add(list, count, UI_OPTIONS_LIST, &table[id], value, e);
}

static enum err_code set_listen(struct ui_options *o, const char *value, struct err *e)
{
	struct str address = str_of(value), host;
	size_t colon = str_find_last(address, ':');

	if (!ui_host_name(address, &host) || host.len >= sizeof o->listen_host ||
	    colon == address.len || !parse_u16(str_from(address, colon + 1), &o->listen_port))
		return bad_value(e, OPT_LISTEN, value, "HOST:PORT, such as 127.0.0.1:12000");
	(void)snprintf(o->listen_host, sizeof o->listen_host, "%.*s", STR_FMT(host));
	o->listen_is_loopback = address_is_local(value);
	return ERR_OK;
}

static enum err_code set_history(struct ui_options *o, const char *value, struct err *e)
{
	uint64_t n;

	if (!parse_u64(str_of(value), HISTORY_MOST, &n) || !n)
		return bad_value(e, OPT_HISTORY, value, "a number of flows from 1 to 1000000");
	o->history = (uint32_t)n;
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
	case OPT_LOGIN_FILE:
		o->login_file = value;
		return ERR_OK;
	case OPT_LOG_LEVEL:
		return opt_log_level(&table[id], value, &o->log_level, e);
	case OPT_NO_AUTH:
		o->no_auth = true;
		return ERR_OK;
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
	case OPT_TLS_SERVER_CERT_FILE:
		o->server_cert_file = value;
		return ERR_OK;
	case OPT_TLS_SERVER_KEY_FILE:
		o->server_key_file = value;
		return ERR_OK;
	case OPT_TLS_SERVER_NAME:
		o->tls_files.server_name = value;
		return ERR_OK;
	case OPT_VERSION:
		o->version = true;
		return ERR_OK;
	case OPT_READY_FD:
		return opt_fd(&table[id], value, &o->ready_fd, e);
	default:
		return set_history(o, value, e);
	}
}

/* Beyond loopback: what others could read on the way is encrypted, and who looks is asked who they
 * are, unless each is waived by name. */
static enum err_code check_listen(const struct ui_options *o, struct err *e)
{
	if (!o->server_cert_file != !o->server_key_file)
		return err_set(e, ERR_INVALID,
			       "--tls-server-cert-file and --tls-server-key-file are needed "
			       "together");
	if (o->login_file && o->no_auth)
		return err_set(e, ERR_INVALID, "--login-file and --no-auth contradict each other");
	if (o->listen_is_loopback)
		return ERR_OK;
	if (!o->server_cert_file && !o->insecure_listen)
		return err_set(e, ERR_INVALID,
			       "--listen %s: plain text on an address that others can reach; give "
			       "--tls-server-cert-file and --tls-server-key-file, or "
			       "--insecure-listen",
			       o->listen_host);
	if (!o->login_file && !o->no_auth)
		return err_set(e, ERR_INVALID,
			       "--listen %s: others can reach this address and would see all "
			       "flows; give --login-file, or --no-auth if that is meant",
			       o->listen_host);
	return ERR_OK;
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
	return check_listen(o, e);
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

	struct opt_reader r = opt_reader_of(table, OPT_COUNT_, argc, argv);
	const char *value;
	enum err_code code;
	size_t id;
	while ((code = opt_next(&r, &id, &value, e)) == ERR_OK) {
		code = set_option(&o, (enum option_id)id, value, e);
		if (code != ERR_OK)
			return code;
	}
	if (code != ERR_CLOSED)
		return code;
	*ret = o;
	ret->tls_files.ca_files = ret->tls_ca_files;
	return o.help || o.version ? ERR_OK : check_together(ret, e);
}
