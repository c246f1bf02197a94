#include "ui-server/options.h"

#include <stdio.h>

#include "base/net.h"
#include "base/str.h"
#include "config.h"
#include "ui-server/guard.h"

enum { HISTORY_DEFAULT = 10000, HISTORY_MOST = 1000000 };

static enum err_code take_listen(const struct opt_row *row, void *options, const char *value,
				 struct err *e)
{
	struct ui_options *o = options;
	struct str address = str_of(value), host;
	size_t colon = str_find_last(address, ':');

	if (!ui_host_name(address, &host) || host.len >= sizeof o->listen_host ||
	    colon == address.len || !parse_u16(str_from(address, colon + 1), &o->listen_port))
		return opt_bad(row, value, "HOST:PORT, such as 127.0.0.1:12000", e);
	(void)snprintf(o->listen_host, sizeof o->listen_host, "%.*s", STR_FMT(host));
	o->listen_is_loopback = address_is_local(value);
	return ERR_OK;
}

static const struct opt_row ask_rows[] = {
	{ "history", "N", "past flows that a new view begins with (default 10000)",
	  OPT_NUMBER(struct ui_options, history), .min = 1, .max = HISTORY_MOST,
	  .want = "a number of flows from 1 to 1000000" },
	{ "server", "ADDRESS",
	  "observer or relay: host:port, tls://host:port or unix:///path (default localhost:4245)",
	  OPT_TEXT(struct ui_options, server) },
	{ "tls", NULL, "speak TLS to the server", OPT_FLAG(struct ui_options, tls) },
	{ "tls-allow-insecure", NULL, "do not check the server's certificate",
	  OPT_FLAG(struct ui_options, tls_files.allow_insecure) },
	{ "tls-ca-cert-files", "FILE", "believe certificates signed by this (PEM); repeatable",
	  OPT_LIST(struct ui_options, tls_ca_files, tls_files.ca_file_count) },
	{ "tls-client-cert-file", "FILE", "our certificate (PEM), for servers that ask for one",
	  OPT_TEXT(struct ui_options, tls_files.cert_file) },
	{ "tls-client-key-file", "FILE", "its private key (PEM)",
	  OPT_TEXT(struct ui_options, tls_files.key_file) },
	{ "tls-server-name", "NAME", "name to expect in the server's certificate",
	  OPT_TEXT(struct ui_options, tls_files.server_name) },
};

static const struct opt_row page_rows[] = {
	{ "allow-host", "NAME",
	  "name by which browsers may call this server, beside addresses and localhost; "
	  "repeatable",
	  OPT_LIST(struct ui_options, allow_hosts, allow_host_count) },
	{ "insecure-listen", NULL,
	  "allow an address beyond loopback in plain text: passwords and flows can be read on the "
	  "way",
	  OPT_FLAG(struct ui_options, insecure_listen) },
	{ "listen", "HOST:PORT", "where to serve the page (default 127.0.0.1:12000)",
	  OPT_OWN(take_listen) },
	{ "login-file", "FILE",
	  "ask for a name and a password; lines name:hash, as htpasswd -B and openssl passwd -6 "
	  "make them",
	  OPT_TEXT(struct ui_options, login_file) },
	{ "no-auth", NULL,
	  "no login beyond loopback: everybody who can reach the address sees all flows",
	  OPT_FLAG(struct ui_options, no_auth) },
	{ "tls-server-cert-file", "FILE",
	  "certificate (PEM, with its chain) to serve the page by HTTPS with",
	  OPT_TEXT(struct ui_options, server_cert_file) },
	{ "tls-server-key-file", "FILE", "its private key (PEM)",
	  OPT_TEXT(struct ui_options, server_key_file) },
};

static const struct opt_group groups[] = {
	{ "Whom it asks", ask_rows, ARRAY_LEN(ask_rows), 0 },
	{ "The page", page_rows, ARRAY_LEN(page_rows), 0 },
	OPT_COMMON_GROUP(struct ui_options, common),
};

const struct opt_program ui_program = {
	"tycho-ui", TYCHO_VERSION,
	"tycho-ui serves a page that shows the flows of an observer or relay: a service map and a "
	"live table.",
	groups, ARRAY_LEN(groups)
};

/* Beyond loopback: what others could read on the way is encrypted, and who looks is asked who they
 * are, unless each is waived by name. */
static enum err_code check_listen(const struct ui_options *o, struct err *e)
{
	if (opt_both("tls-server-cert-file", o->server_cert_file, "tls-server-key-file",
		     o->server_key_file, e) != ERR_OK)
		return e->code;
	if (o->login_file && o->no_auth)
		return err_set(e, ERR_INVALID, "--login-file and --no-auth contradict each other");
	if (o->listen_is_loopback)
		return ERR_OK;
	if (!o->server_cert_file && !o->insecure_listen)
		return err_set(
			e, ERR_INVALID,
			"--listen %s:%u: plain text on an address that others can reach; give "
			"--tls-server-cert-file and --tls-server-key-file, or "
			"--insecure-listen",
			o->listen_host, o->listen_port);
	if (!o->login_file && !o->no_auth)
		return err_set(e, ERR_INVALID,
			       "--listen %s:%u: others can reach this address and would see all "
			       "flows; give --login-file, or --no-auth if that is meant",
			       o->listen_host, o->listen_port);
	return ERR_OK;
}

static enum err_code check_together(const struct ui_options *o, struct err *e)
{
	const struct rpc_tls *t = &o->tls_files;
	bool tls = o->tls || str_has_prefix(str_of(o->server), STR("tls://"));

	if (opt_both("tls-client-cert-file", t->cert_file, "tls-client-key-file", t->key_file, e) !=
	    ERR_OK)
		return e->code;
	if (!tls && (t->cert_file || t->ca_file_count || t->server_name || t->allow_insecure))
		return err_set(e, ERR_INVALID, "the --tls-… options need --tls");
	return check_listen(o, e);
}

enum err_code ui_options_read(int argc, const char *const *argv, struct ui_options *ret,
			      struct err *e)
{
	*ret = (struct ui_options){
		.server = "localhost:4245",
		.listen_host = "127.0.0.1",
		.listen_port = 12000,
		.listen_is_loopback = true,
		.history = HISTORY_DEFAULT,
		.common = OPT_COMMON_DEFAULT,
	};
	enum err_code code = opt_read(&ui_program, argc, argv, ret, e);
	if (code != ERR_OK || ret->common.help || ret->common.version)
		return code;
	ret->tls_files.ca_files = ret->tls_ca_files;
	return check_together(ret, e);
}
