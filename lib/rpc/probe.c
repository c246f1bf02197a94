#include "rpc/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/time.h"
#include "rpc/address.h"
#include "rpc/rpc.h"

/* ---- connecting */

static socklen_t sockaddr_of(const struct address *a, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_un *local = (struct sockaddr_un *)ret;

	*ret = (struct sockaddr_storage){ 0 };
	if (a->is_unix) {
		local->sun_family = AF_UNIX;
		(void)snprintf(local->sun_path, sizeof local->sun_path, "%s", a->path);
		return sizeof *local;
	}
	if (inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(a->port);
		return sizeof *v4;
	}
	if (inet_pton(AF_INET6, a->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(a->port);
		return sizeof *v6;
	}
	return 0;
}

/* Until @fd is ready for @events. */
static enum err_code wait_for(int fd, short events, struct mono_ns until, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		struct mono_ns now = mono_now();
		uint64_t left_ms = until.v > now.v ? (until.v - now.v) / NS_PER_MS + 1 : 0;
		int n = left_ms ? poll(&p, 1, left_ms < INT32_MAX ? (int)left_ms : -1) : 0;
		if (n > 0)
			return ERR_OK;
		if (n == 0)
			return err_set(e, ERR_TIMEOUT, "no answer in time");
		if (errno != EINTR)
			return err_os(e, "poll");
	}
}

enum err_code probe_connect(const struct address *numeric, uint64_t timeout_ns, int *ret_fd,
			    struct err *e)
{
	struct mono_ns until = { mono_now().v + timeout_ns };
	struct sockaddr_storage to;
	socklen_t len = sockaddr_of(numeric, &to), size = sizeof(int);
	int os = 0;

	if (!len)
		return err_set(e, ERR_INVALID, "'%s' is no address", numeric->host);
	AUTO_FD int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_os(e, "socket");
	if (connect(fd, (const struct sockaddr *)&to, len) < 0) {
		if (errno != EINPROGRESS)
			return err_os(e, "connect");
		if (wait_for(fd, POLLOUT, until, e) != ERR_OK)
			return e->code;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &os, &size) < 0 || os)
			return err_errno(e, os ? os : errno, "connect");
	}
	*ret_fd = TAKE_FD(fd);
	return ERR_OK;
}

/* ---- certificates */

static void name_text(const X509_NAME *name, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
		n = BIO_read(bio, out, (int)size - 1);
	out[n > 0 ? n : 0] = 0;
	BIO_free(bio);
}

static void add_name(char *out, size_t size, const char *name)
{
	size_t len = strlen(out);

	if (len < size)
		(void)snprintf(out + len, size - len, "%s%s", len ? ", " : "", name);
}

static void put_names(X509 *cert, char *out, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		char text[INET6_ADDRSTRLEN];
		if (g->type == GEN_DNS || g->type == GEN_URI || g->type == GEN_EMAIL) {
			add_name(out, size, (const char *)ASN1_STRING_get0_data(g->d.ia5));
		} else if (g->type == GEN_IPADD) {
			int len = ASN1_STRING_length(g->d.iPAddress);
			if (inet_ntop(len == 4 ? AF_INET : AF_INET6,
				      ASN1_STRING_get0_data(g->d.iPAddress), text, sizeof text))
				add_name(out, size, text);
		}
	}
	GENERAL_NAMES_free(names);
}

static int64_t expiry_s(const X509 *cert)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static bool fits(X509 *cert, const char *name)
{
	struct in6_addr any;
	bool is_ip = inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;

	return (is_ip ? X509_check_ip_asc(cert, name, 0)
		      : X509_check_host(cert, name, 0, 0, NULL)) == 1;
}

static void look_at(SSL *ssl, const char *name, struct probe_tls *ret)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	long verdict = SSL_get_verify_result(ssl);

	(void)snprintf(ret->protocol, sizeof ret->protocol, "%s", SSL_get_version(ssl));
	if (!cert) {
		(void)snprintf(ret->chain, sizeof ret->chain, "the server shows no certificate");
		return;
	}
	name_text(X509_get_subject_name(cert), ret->subject, sizeof ret->subject);
	put_names(cert, ret->names, sizeof ret->names);
	ret->expires_s = expiry_s(cert);
	for (int i = 0; chain && i < sk_X509_num(chain); i++) {
		int64_t one = expiry_s(sk_X509_value(chain, i));
		ret->expires_s = one < ret->expires_s ? one : ret->expires_s;
		name_text(X509_get_issuer_name(sk_X509_value(chain, i)), ret->issuer,
			  sizeof ret->issuer);
	}
	ret->name_fits = fits(cert, name);
	ret->has_expired = verdict == X509_V_ERR_CERT_HAS_EXPIRED;
	ret->is_self_signed = verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
	if (verdict != X509_V_OK)
		(void)snprintf(ret->chain, sizeof ret->chain, "%s",
			       X509_verify_cert_error_string(verdict));
}

/* ---- the handshake */

static int go_on(int ok, X509_STORE_CTX *ctx)
{
	(void)ok, (void)ctx; /* what is wrong stands in the verify result */
	return 1;
}

/* OpenSSL's own would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *user)
{
	(void)buf, (void)size, (void)writing, (void)user;
	return -1;
}

static enum err_code library_error(struct err *e, enum err_code code, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	(void)err_set(e, code, "%s: %s", what, why ? why : "no reason is given");
	ERR_clear_error();
	return code;
}

static enum err_code make_context(const struct rpc_tls *tls, SSL_CTX **ret, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	enum err_code code = ERR_OK;

	if (!ctx)
		return err_set(e, ERR_NOMEM, "TLS");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, go_on);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	if (!tls->ca_file_count)
		(void)SSL_CTX_set_default_verify_paths(ctx);
	for (size_t i = 0; code == ERR_OK && i < tls->ca_file_count; i++)
		if (SSL_CTX_load_verify_locations(ctx, tls->ca_files[i], NULL) != 1)
			code = library_error(e, ERR_PARSE, tls->ca_files[i]);
	if (code == ERR_OK && tls->cert_file &&
	    SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1)
		code = library_error(e, ERR_PARSE, tls->cert_file);
	if (code == ERR_OK && tls->key_file &&
	    SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1)
		code = library_error(e, ERR_PARSE, tls->key_file);
	if (code != ERR_OK) {
		SSL_CTX_free(ctx);
		return code;
	}
	*ret = ctx;
	return ERR_OK;
}

static bool is_about_our_certificate(int reason)
{
	switch (reason) {
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
		return true;
	default:
		return false;
	}
}

static enum err_code handshake_error(struct err *e)
{
	unsigned long last = ERR_peek_last_error();
	int reason = ERR_GET_REASON(last);

	if (last && is_about_our_certificate(reason))
		return library_error(e, ERR_PERMISSION, "the server refuses us");
	if (last && (reason == SSL_R_WRONG_VERSION_NUMBER ||
		     reason == SSL_R_PACKET_LENGTH_TOO_LONG || reason == SSL_R_HTTP_REQUEST))
		return library_error(e, ERR_UNSUPPORTED, "the server speaks no TLS");
	if (last)
		return library_error(e, ERR_UNSUPPORTED, "TLS handshake");
	return err_set(e, ERR_CLOSED, "the server closed the connection in the TLS handshake");
}

/* @step again and again until it is done. */
static enum err_code run(SSL *ssl, int fd, int (*step)(SSL *), struct mono_ns until, struct err *e)
{
	for (;;) {
		ERR_clear_error();
		int n = step(ssl);
		if (n > 0)
			return ERR_OK;
		int why = SSL_get_error(ssl, n);
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return handshake_error(e);
		if (wait_for(fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until, e) != ERR_OK)
			return e->code;
	}
}

/* HTTP/2's first words: a server of TLS 1.3 says what it thinks of our certificate only after the
 * handshake, and a gRPC server answers them with its settings. */
static int greet(SSL *ssl)
{
	static const char words[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

	return SSL_write(ssl, words, sizeof words - 1);
}

static int listen_to(SSL *ssl)
{
	char byte;

	return SSL_read(ssl, &byte, 1);
}

enum err_code probe_tls(int fd, const struct rpc_tls *tls, const char *name, uint64_t timeout_ns,
			struct probe_tls *ret, struct err *e)
{
	static const unsigned char h2[] = { 2, 'h', '2' };
	struct mono_ns until = { mono_now().v + timeout_ns };
	SSL_CTX *ctx = NULL;
	struct in6_addr any;

	*ret = (struct probe_tls){ 0 };
	enum err_code code = make_context(tls, &ctx, e);
	if (code != ERR_OK)
		return code;
	SSL *ssl = SSL_new(ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1) {
		code = err_set(e, ERR_NOMEM, "TLS");
	} else {
		(void)SSL_set_alpn_protos(ssl, h2, sizeof h2);
		if (inet_pton(AF_INET, name, &any) != 1 && inet_pton(AF_INET6, name, &any) != 1)
			(void)SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
				       (void *)(uintptr_t)name); /* the macro trips over const */
		code = run(ssl, fd, SSL_connect, until, e);
		look_at(ssl, name, ret);
		if (code == ERR_OK)
			code = run(ssl, fd, greet, until, e);
		if (code == ERR_OK)
			code = run(ssl, fd, listen_to, until, e);
		/* Some say why, others just go: all is well with them but us. */
		if (*ret->subject && (code == ERR_CLOSED || code == ERR_UNSUPPORTED))
			code = err_set(
				e, ERR_PERMISSION,
				"the server ends the connection once it has seen who we are");
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return code;
}
