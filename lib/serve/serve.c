#include "serve/serve.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/net.h"

enum { SOCKET_MODE = 0660 };

const struct opt_row serve_rows[SERVE_ROWS] = {
	{ "access-file", "FILE",
	  "who may see the flows of which namespaces; reread when it changes",
	  OPT_TEXT(struct serve_options, access_file) },
	{ "insecure-listen", NULL, "allow plain text on addresses beyond loopback",
	  OPT_FLAG(struct serve_options, insecure_listen) },
	{ "tls-cert-file", "FILE", "certificate chain (PEM) for TCP addresses",
	  OPT_TEXT(struct serve_options, tls.cert_file) },
	{ "tls-client-ca-file", "FILE", "demand client certificates signed by this; repeatable",
	  OPT_LIST(struct serve_options, client_ca_files, tls.ca_file_count) },
	{ "tls-key-file", "FILE", "private key (PEM) of --tls-cert-file",
	  OPT_TEXT(struct serve_options, tls.key_file) },
};

const struct opt_row serve_metrics_rows[SERVE_METRICS_ROWS] = {
	{ "metrics-tls-cert-file", "FILE", "certificate chain (PEM) of the metrics address",
	  OPT_TEXT(struct serve_options, metrics_tls.cert_file) },
	{ "metrics-tls-client-ca-file", "FILE",
	  "demand certificates signed by this from who asks for metrics; repeatable",
	  OPT_LIST(struct serve_options, metrics_client_ca_files, metrics_tls.ca_file_count) },
	{ "metrics-tls-key-file", "FILE", "private key (PEM) of --metrics-tls-cert-file",
	  OPT_TEXT(struct serve_options, metrics_tls.key_file) },
	{ "metrics-users-file", "FILE", "name:hash lines (htpasswd -B): who may ask for /metrics",
	  OPT_TEXT(struct serve_options, metrics_users_file) },
};

/* @prefix is "" or "metrics-". */
static enum err_code check_tls(const struct rpc_tls *tls, const char *prefix, struct err *e)
{
	if (!tls->cert_file != !tls->key_file)
		return err_set(e, ERR_INVALID,
			       "--%stls-cert-file and --%stls-key-file are needed together", prefix,
			       prefix);
	if (tls->ca_file_count && !tls->cert_file)
		return err_set(e, ERR_INVALID,
			       "--%stls-client-ca-file needs --%stls-cert-file and "
			       "--%stls-key-file",
			       prefix, prefix, prefix);
	return ERR_OK;
}

enum err_code serve_check(struct serve_options *o, struct err *e)
{
	o->tls.ca_files = o->client_ca_files;
	o->metrics_tls.ca_files = o->metrics_client_ca_files;
	enum err_code code = check_tls(&o->metrics_tls, "metrics-", e);
	if (code == ERR_OK && !o->metrics_listen &&
	    (o->metrics_tls.cert_file || o->metrics_users_file))
		return err_set(e, ERR_INVALID, "%s needs --metrics-listen",
			       o->metrics_users_file ? "--metrics-users-file"
						     : "--metrics-tls-cert-file");
	return code == ERR_OK ? check_tls(&o->tls, "", e) : code;
}

static enum err_code check_plain(const struct serve_options *o, const char *prefix,
				 const char *address, bool has_tls, struct err *e)
{
	if (has_tls || address_is_local(address))
		return ERR_OK;
	if (!o->insecure_listen)
		return err_set(e, ERR_INVALID,
			       "--%slisten %s: plain text on an address that others can reach; "
			       "give --%stls-cert-file and --%stls-key-file, or --insecure-listen "
			       "if that is meant",
			       prefix, address, prefix, prefix);
	log_warn("listening in plain text on an address that others can reach", "address=%s",
		 LOG_QUOTE(address));
	return ERR_OK;
}

enum err_code serve_listens(const struct serve_options *o, struct rpc_listen ret[SERVE_LIST],
			    struct err *e)
{
	for (size_t i = 0; i < o->listen_count; i++) {
		const char *address = o->listen[i];
		bool has_tls = o->tls.cert_file && !address_is_unix(address);
		enum err_code code = check_plain(o, "", address, has_tls, e);
		if (code != ERR_OK)
			return code;
		ret[i] = (struct rpc_listen){ address, has_tls ? &o->tls : NULL, SOCKET_MODE };
	}
	return ERR_OK;
}

bool serve_network_listen(const struct serve_options *o, size_t *ret_i)
{
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < o->listen_count; i++)
			if (!address_is_unix(o->listen[i]) &&
			    (pass || !address_is_local(o->listen[i]))) {
				*ret_i = i;
				return true;
			}
	return false;
}

enum err_code serve_metrics(const struct serve_options *o,
			    const struct metrics_server_config *config, struct metrics_server **ret,
			    struct err *e)
{
	struct metrics_server_config whole = *config;

	whole.address = o->metrics_listen;
	whole.tls = o->metrics_tls.cert_file ? &o->metrics_tls : NULL;
	whole.users_file = o->metrics_users_file;
	enum err_code code = check_plain(o, "metrics-", o->metrics_listen, whole.tls, e);
	return code == ERR_OK ? metrics_server_new(&whole, ret, e) : code;
}

/* @address, whose port may be 0 or a service's name, with the port it has. */
static void put_address(struct buf *b, const char *address, int port)
{
	struct str s = str_of(address);

	if (port > 0)
		buf_printf(b, "%.*s:%d", (int)str_find_last(s, ':'), s.p, port);
	else
		buf_str_put(b, s);
}

void serve_tell_ready(const struct serve_options *o, const struct opt_common *common,
		      const char *event, const char *node, struct rpc_server *server,
		      int metrics_port)
{
	char line[4096], shown[4096];
	struct buf b = buf_fixed(line, sizeof line);

	buf_lit(&b, "ready");
	for (size_t i = 0; i < o->listen_count; i++) {
		buf_char(&b, ' ');
		put_address(&b, o->listen[i], rpc_server_port(server, i));
	}
	if (metrics_port) {
		buf_lit(&b, " metrics=");
		put_address(&b, o->metrics_listen, metrics_port);
	}
	struct str text = buf_str(&b);
	(void)snprintf(shown, sizeof shown, "%.*s", STR_FMT(text));
	log_info(event, "node=%s addresses=%s", LOG_QUOTE(node),
		 LOG_QUOTE(shown + (text.len > strlen("ready ") ? strlen("ready ") : text.len)));
	opt_tell_ready(common, shown);
}
