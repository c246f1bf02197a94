#include "evidence/send_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/own.h"

AUTO_DEFINE(SSL_CTX, SSL_CTX_free);
AUTO_DEFINE(SSL, SSL_free);

/* OpenSSL's own would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *user)
{
	(void)buf, (void)size, (void)writing, (void)user;
	return -1;
}

/* The library's reason, behind @what. */
static enum err_code library_error(struct err *e, enum err_code code, const char *what)
{
	unsigned long last = ERR_peek_last_error();
	const char *why = last ? ERR_reason_error_string(last) : NULL;

	if (last && ERR_SYSTEM_ERROR(last)) /* a file that is not there, … */
		why = strerror(ERR_GET_REASON(last));
	ERR_clear_error();
	return err_set(e, code, "%s: %s", what, why ? why : "the TLS library does not say why");
}

static enum err_code make_context(const struct send_tls *tls, SSL_CTX **ret, struct err *e)
{
	ERR_clear_error();
	AUTO(SSL_CTX_free) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx)
		return err_set(e, ERR_NOMEM, "TLS");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (!tls->ca_file)
		(void)SSL_CTX_set_default_verify_paths(ctx);
	else if (SSL_CTX_load_verify_locations(ctx, tls->ca_file, NULL) != 1)
		return library_error(e, ERR_INVALID, tls->ca_file);
	if (tls->cert_file && SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1)
		return library_error(e, ERR_INVALID, tls->cert_file);
	if (tls->key_file && SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1)
		return library_error(e, ERR_INVALID, tls->key_file);
	*ret = TAKE(ctx);
	return ERR_OK;
}

enum err_code send_tls_check(const struct send_tls *tls, struct err *e)
{
	SSL_CTX *ctx = NULL;
	enum err_code code = make_context(tls, &ctx, e);

	SSL_CTX_free(ctx);
	return code;
}

/* What went wrong when @step of @ssl gave @n. */
static enum err_code step_error(SSL *ssl, int n, const char *step, struct err *e)
{
	const int os = errno;
	const long verdict = SSL_get_verify_result(ssl);

	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_WANT_READ: /* the socket's time is over */
	case SSL_ERROR_WANT_WRITE:
		return err_set(e, ERR_TIMEOUT, "%s: no answer in time", step);
	case SSL_ERROR_SYSCALL:
		if (os)
			return err_errno(e, os, "%s", step);
		return err_set(e, ERR_CLOSED, "%s: the connection was closed", step);
	case SSL_ERROR_ZERO_RETURN:
		return err_set(e, ERR_CLOSED, "%s: the connection was closed", step);
	default:
		if (verdict == X509_V_OK)
			return library_error(e, ERR_UNAVAILABLE, step);
		ERR_clear_error();
		return err_set(e, ERR_PERMISSION, "certificate: %s",
			       X509_verify_cert_error_string(verdict));
	}
}

/* Whose certificate it has to be, and whom it is told that we want. */
static bool expect_host(SSL *ssl, const char *host)
{
	struct in6_addr any;

	if (inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	/* the macro for it trips over const */
	return SSL_set1_host(ssl, host) == 1 &&
	       SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
			(void *)(uintptr_t)host) == 1;
}

/* A receiver of TLS 1.3 says what it thinks of our certificate only after the handshake: what it
 * says last counts. */
static enum err_code close_both(SSL *ssl, struct err *e)
{
	char bytes[64];
	int n;

	(void)SSL_shutdown(ssl);
	while ((n = SSL_read(ssl, bytes, sizeof bytes)) > 0)
		;
	if (SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN)
		return ERR_OK;
	return step_error(ssl, n, "close", e);
}

enum err_code send_over_tls(int fd, const char *host, const struct send_tls *tls, struct str s,
			    struct err *e)
{
	AUTO(SSL_CTX_free) SSL_CTX *ctx = NULL;
	enum err_code code = make_context(tls, &ctx, e);
	int n;

	if (code != ERR_OK)
		return code;
	AUTO(SSL_free) SSL *ssl = SSL_new(ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || !expect_host(ssl, host))
		return library_error(e, ERR_UNAVAILABLE, "TLS");
	errno = 0;
	if ((n = SSL_connect(ssl)) != 1)
		return step_error(ssl, n, "TLS handshake", e);
	errno = 0;
	if ((n = SSL_write(ssl, s.p, (int)s.len)) <= 0)
		return step_error(ssl, n, "send", e);
	errno = 0;
	return close_both(ssl, e);
}
