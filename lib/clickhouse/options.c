#include "clickhouse/options.h"

#include <string.h>

#include "clickhouse/place.h"

const struct opt_row clickhouse_rows[CLICKHOUSE_ROWS] = {
	{ "clickhouse", "URL", "http:// or https://host:port/database of a ClickHouse server",
	  OPT_TEXT(struct clickhouse_config, url) },
	{ "clickhouse-ca-file", "FILE", "authorities (PEM) that its certificate is checked by",
	  OPT_TEXT(struct clickhouse_config, ca_file) },
	{ "clickhouse-cert-file", "FILE", "certificate (PEM) that is shown to it",
	  OPT_TEXT(struct clickhouse_config, cert_file) },
	{ "clickhouse-key-file", "FILE", "private key (PEM) of --clickhouse-cert-file",
	  OPT_TEXT(struct clickhouse_config, key_file) },
	{ "clickhouse-password-file", "FILE", "file whose first line is the password there",
	  OPT_TEXT(struct clickhouse_config, password_file) },
	{ "clickhouse-user", "NAME", "user there; without it the server's default user",
	  OPT_TEXT(struct clickhouse_config, user) },
};

enum err_code clickhouse_options_check(const struct clickhouse_config *o, struct err *e)
{
	const char *const needing[] = { o->ca_file, o->cert_file, o->key_file, o->password_file,
					o->user };

	for (size_t i = 0; i < ARRAY_LEN(needing); i++)
		if (needing[i] && !o->url)
			return err_set(e, ERR_INVALID, "--%s needs --clickhouse",
				       clickhouse_rows[i + 1].name);
	if (!o->url)
		return ERR_OK;
	enum err_code code = opt_both("clickhouse-cert-file", o->cert_file, "clickhouse-key-file",
				      o->key_file, e);
	if (code != ERR_OK)
		return code;
	if (strncmp(o->url, "http://", strlen("http://")) == 0 && (o->ca_file || o->cert_file))
		return err_set(e, ERR_INVALID, "--%s needs an https:// URL with --clickhouse",
			       o->ca_file ? "clickhouse-ca-file" : "clickhouse-cert-file");
	struct clickhouse_place place;
	return clickhouse_place_parse(o->url, &place, e);
}

bool clickhouse_password_is_open(const struct clickhouse_config *o)
{
	struct clickhouse_place place;

	return o->password_file && clickhouse_place_parse(o->url, &place, NULL) == ERR_OK &&
	       !place.is_https && !place.is_local;
}
