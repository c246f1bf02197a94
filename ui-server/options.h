/*
 * options - the command line of tycho-ui, read into one struct.
 */
#ifndef TYCHO_UI_OPTIONS_H
#define TYCHO_UI_OPTIONS_H

#include "base/opt.h"
#include "rpc/rpc.h"

enum { UI_OPTIONS_LIST = 16, UI_HOST_BYTES = 256 };

/* Texts are borrowed from argv. */
struct ui_options {
	struct opt_common common;
	const char *server;
	char listen_host[UI_HOST_BYTES]; /* without brackets */
	uint16_t listen_port;            /* 0: any that is free */
	bool listen_is_loopback, insecure_listen;
	const char *login_file; /* NULL: none */
	bool no_auth;
	const char *server_cert_file, *server_key_file; /* NULL: plain HTTP */
	const char *allow_hosts[UI_OPTIONS_LIST];
	size_t allow_host_count;
	uint32_t history; /* flows */
	bool tls;
	struct rpc_tls tls_files;
	const char *tls_ca_files[UI_OPTIONS_LIST];
};

/* ERR_INVALID with one sentence that names the option. @ret holds a pointer into itself: it stays
 * where it is. */
MUST_CHECK enum err_code ui_options_read(int argc, const char *const *argv, struct ui_options *ret,
					 struct err *e);
/* For --help and --version. */
extern const struct opt_program ui_program;

#endif
