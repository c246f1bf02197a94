#include "metrics/https.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/watch.h"
#include "rpc/rpc.h"
#include "rpc/tls.h"

enum { PEM_BYTES = 4 << 20 };

struct https {
	const char *what;
	struct tls_files *files;
	SSL_CTX *ctx;
};

void https_free(struct https *h)
{
	if (!h)
		return;
	SSL_CTX_free(h->ctx);
	tls_files_free(h->files);
	free(h);
}

/* Own. NULL at the end of the text. */
static X509 *next_cert(BIO *bio)
{
	return bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
}

static bool use_chain(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = next_cert(bio);
	bool ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1;

	X509_free(cert);
	while (ok && (cert = next_cert(bio))) {
		ok = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
		if (!ok)
			X509_free(cert);
	}
	BIO_free(bio);
	return ok;
}

static bool use_key(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok;
}

static bool demand_clients(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	bool ok = bio != NULL;
	X509 *cert;

	while (ok && (cert = next_cert(bio))) {
		ok = X509_STORE_add_cert(store, cert) == 1 && SSL_CTX_add_client_CA(ctx, cert) == 1;
		X509_free(cert);
	}
	BIO_free(bio);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return ok;
}

static enum err_code make_context(struct tls_files *files, SSL_CTX **ret, struct err *e)
{
	static const unsigned char session[] = "tycho-metrics";
	struct tls_pem pem;
	enum err_code code = tls_files_read(files, &pem, e);

	if (code != ERR_OK)
		return err_in(e, "HTTPS");
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	bool ok = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		  SSL_CTX_set_session_id_context(ctx, session, sizeof session - 1) == 1 &&
		  use_chain(ctx, pem.cert) && use_key(ctx, pem.key) &&
		  (!pem.ca || demand_clients(ctx, pem.ca));
	tls_pem_done(&pem);
	ERR_clear_error(); /* the end of a PEM text is an "error" too */
	if (!ok) {
		SSL_CTX_free(ctx);
		return err_set(e, ERR_PARSE, "HTTPS: OpenSSL refuses these files");
	}
	(void)SSL_CTX_set_mode(ctx,
			       SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	*ret = ctx;
	return ERR_OK;
}

enum err_code https_new(const struct rpc_tls *tls, const char *what, struct https **ret,
			struct err *e)
{
	AUTO(https_free) struct https *h = calloc(1, sizeof *h);
	if (!h)
		return err_set(e, ERR_NOMEM, "HTTPS");
	h->what = what;
	enum err_code code = tls_files_new(tls, &h->files, e);
	if (code == ERR_OK)
		code = make_context(h->files, &h->ctx, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(h);
	return ERR_OK;
}

SSL_CTX *https_context(struct https *h)
{
	SSL_CTX *fresh;
	struct err e;

	if (!tls_files_changed(h->files))
		return h->ctx;
	if (make_context(h->files, &fresh, &e) == ERR_OK) {
		SSL_CTX_free(h->ctx); /* connections hold on to theirs */
		h->ctx = fresh;
		log_info("certificate read again", "of=%s", h->what);
	} else {
		log_warn("new certificate is broken, keeping the old one", "of=%s error=%s",
			 h->what, LOG_QUOTE(e.msg));
	}
	return h->ctx;
}

SSL *https_accept(struct https *h, int fd)
{
	SSL *ssl = SSL_new(https_context(h));
	if (ssl && SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		ssl = NULL;
	}
	if (ssl)
		SSL_set_accept_state(ssl);
	return ssl;
}

bool https_certificate_end(const char *path, int64_t *ret_s)
{
	AUTO_BUF struct buf text = buf_init_secret(PEM_BYTES); /* the key may be in it, too */
	struct tm tm;

	if (file_read(path, "certificate", &text, NULL) != ERR_OK || text.len > INT32_MAX)
		return false;
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
	X509 *cert = next_cert(bio);
	bool ok = cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1;
	if (ok)
		*ret_s = (int64_t)timegm(&tm);
	X509_free(cert);
	BIO_free(bio);
	ERR_clear_error();
	return ok;
}
