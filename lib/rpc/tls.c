#include "rpc/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/log.h"
#include "rpc/rpc.h"

enum { PEM_FILE_MAX_BYTES = 4 << 20 }; /* the system's whole CA store is a quarter of a megabyte */

struct stamp {
	struct timespec mtime;
	off_t size;
	ino_t inode;
};

struct tls_files {
	char *cert_file, *key_file, *server_name; /* NULL when not given */
	char **ca_files;
	size_t ca_count;
	bool allow_insecure;
	struct stamp *stamps; /* cert, key, then the CAs: as of the last read */
};

/* Certificate and key may stand in one file. */
static void wipe(char *pem)
{
	if (pem)
		explicit_bzero(pem, strlen(pem));
	free(pem);
}

void tls_pem_done(struct tls_pem *p)
{
	wipe(p->cert);
	wipe(p->key);
	free(p->ca);
	*p = (struct tls_pem){ 0 };
}

static bool dup_path(const char *from, char **to)
{
	*to = from ? str_dup(str_of(from)) : NULL;
	return !from || *to;
}

enum err_code tls_files_new(const struct rpc_tls *tls, struct tls_files **ret, struct err *e)
{
	if (!tls->cert_file != !tls->key_file)
		return err_set(e, ERR_INVALID,
			       "TLS: a certificate needs its key, and a key its certificate");
	AUTO(tls_files_free) struct tls_files *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "TLS");
	f->allow_insecure = tls->allow_insecure;
	f->ca_files = calloc(tls->ca_file_count + 1, sizeof *f->ca_files);
	f->stamps = calloc(tls->ca_file_count + 2, sizeof *f->stamps);
	bool ok = f->ca_files && f->stamps && dup_path(tls->cert_file, &f->cert_file) &&
		  dup_path(tls->key_file, &f->key_file) &&
		  dup_path(tls->server_name, &f->server_name);
	for (; ok && f->ca_count < tls->ca_file_count; f->ca_count++)
		ok = dup_path(tls->ca_files[f->ca_count], &f->ca_files[f->ca_count]);
	if (!ok)
		return err_set(e, ERR_NOMEM, "TLS");
	*ret = TAKE(f);
	return ERR_OK;
}

void tls_files_free(struct tls_files *f)
{
	if (!f)
		return;
	for (size_t i = 0; f->ca_files && i < f->ca_count; i++)
		free(f->ca_files[i]);
	free(f->ca_files);
	free(f->stamps);
	free(f->cert_file);
	free(f->key_file);
	free(f->server_name);
	free(f);
}

const char *tls_files_server_name(const struct tls_files *f)
{
	return f->server_name;
}

/* Zeroes for a file that is not there: it differs from every file that is. */
static struct stamp stamp_of(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return (struct stamp){ 0 };
	return (struct stamp){ st.st_mtim, st.st_size, st.st_ino };
}

static const char *path_of(const struct tls_files *f, size_t i)
{
	return i == 0 ? f->cert_file : i == 1 ? f->key_file : f->ca_files[i - 2];
}

bool tls_files_changed(const struct tls_files *f)
{
	for (size_t i = 0; i < f->ca_count + 2; i++) {
		struct stamp now = stamp_of(path_of(f, i)), was = f->stamps[i];
		if (now.mtime.tv_sec != was.mtime.tv_sec ||
		    now.mtime.tv_nsec != was.mtime.tv_nsec || now.size != was.size ||
		    now.inode != was.inode)
			return true;
	}
	return false;
}

static enum err_code read_file(const char *what, const char *path, struct buf *to, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_os(e, "open %s '%s'", what, path);
	for (;;) {
		char *room = buf_reserve(to, 4096);
		if (!room)
			return err_set(e, ERR_PARSE, "%s '%s': larger than %d bytes", what, path,
				       PEM_FILE_MAX_BYTES);
		ssize_t n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(e, "read %s '%s'", what, path);
		if (n == 0)
			return ERR_OK;
		to->len += (size_t)n;
	}
}

static void x509_free_(X509 **x)
{
	X509_free(*x);
}
static void key_free_(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
static void bio_free_(BIO **b)
{
	BIO_free(*b);
}
#define AUTO_X509 __attribute__((cleanup(x509_free_)))
#define AUTO_KEY __attribute__((cleanup(key_free_)))
#define AUTO_BIO __attribute__((cleanup(bio_free_)))

/* A key must not ask for its passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *user)
{
	(void)buf, (void)size, (void)writing, (void)user;
	return -1;
}

/* The first certificate of a PEM text; NULL when there is none. *ret_count, may be NULL: how many
 * there are. */
static X509 *first_cert(const char *pem, size_t *ret_count)
{
	AUTO_BIO BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *first = NULL, *next;
	size_t n = 0;

	while (bio && (next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		if (n++ == 0)
			first = next;
		else
			X509_free(next);
	}
	ERR_clear_error(); /* the end of the text is an "error" too */
	if (ret_count)
		*ret_count = n;
	return first;
}

/* Only the end is looked at: a certificate whose time begins in a moment will do in a moment, and
 * the file will not change once more to tell us. */
static enum err_code check_expiry(const char *path, const X509 *cert, struct err *e)
{
	char text[64] = "";
	const ASN1_TIME *end = X509_get0_notAfter(cert);

	if (X509_cmp_current_time(end) >= 0)
		return ERR_OK;
	AUTO_BIO BIO *bio = BIO_new(BIO_s_mem());
	if (bio && ASN1_TIME_print(bio, end)) {
		int n = BIO_read(bio, text, sizeof text - 1);
		text[n > 0 ? n : 0] = 0;
	}
	return err_set(e, ERR_PARSE, "certificate '%s': expired on %s", path, text);
}

static enum err_code check_identity(const struct tls_files *f, const struct tls_pem *p,
				    struct err *e)
{
	AUTO_X509 X509 *cert = first_cert(p->cert, NULL);
	if (!cert)
		return err_set(e, ERR_PARSE, "certificate '%s': no PEM certificate in it",
			       f->cert_file);
	AUTO_BIO BIO *bio = BIO_new_mem_buf(p->key, -1);
	AUTO_KEY EVP_PKEY *key =
		bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	ERR_clear_error();
	if (!key)
		return err_set(e, ERR_PARSE,
			       "key '%s': no PEM private key in it that opens without a passphrase",
			       f->key_file);
	bool fits = X509_check_private_key(cert, key) == 1;
	ERR_clear_error();
	if (!fits)
		return err_set(e, ERR_PARSE, "certificate '%s': does not belong to key '%s'",
			       f->cert_file, f->key_file);
	return check_expiry(f->cert_file, cert, e);
}

static enum err_code read_all(struct tls_files *f, struct tls_pem *p, struct err *e)
{
	if (f->cert_file) {
		AUTO_BUF struct buf cert = buf_init_secret(PEM_FILE_MAX_BYTES),
				    key = buf_init_secret(PEM_FILE_MAX_BYTES);
		if (read_file("certificate", f->cert_file, &cert, e) != ERR_OK ||
		    read_file("key", f->key_file, &key, e) != ERR_OK)
			return e->code;
		p->cert = str_dup(buf_str(&cert));
		p->key = str_dup(buf_str(&key));
		if (!p->cert || !p->key)
			return err_set(e, ERR_NOMEM, "certificate '%s'", f->cert_file);
		if (check_identity(f, p, e) != ERR_OK)
			return e->code;
	}
	if (f->ca_count == 0)
		return ERR_OK;
	AUTO_BUF struct buf ca = buf_init(PEM_FILE_MAX_BYTES);
	for (size_t i = 0; i < f->ca_count; i++) {
		size_t from = ca.len, found = 0;
		if (read_file("CA certificates", f->ca_files[i], &ca, e) != ERR_OK)
			return e->code;
		buf_char(&ca, '\n');
		X509_free(first_cert(buf_cstr(&ca) + from, &found));
		if (found == 0)
			return err_set(e, ERR_PARSE,
				       "CA certificates '%s': no PEM certificate in it",
				       f->ca_files[i]);
	}
	p->ca = str_dup(buf_str(&ca));
	return p->ca ? ERR_OK : err_set(e, ERR_NOMEM, "CA certificates");
}

/* The look comes first, so that a change while reading is seen the next time. */
enum err_code tls_files_read(struct tls_files *f, struct tls_pem *ret, struct err *e)
{
	struct err ignored;
	struct tls_pem p = { 0 };

	for (size_t i = 0; i < f->ca_count + 2; i++)
		f->stamps[i] = stamp_of(path_of(f, i));
	enum err_code code = read_all(f, &p, e ? e : &ignored);
	/* What is left in this thread's queue would be taken for a fault of the next handshake. */
	ERR_clear_error();
	if (code != ERR_OK) {
		tls_pem_done(&p);
		return code;
	}
	*ret = p;
	return ERR_OK;
}

/* "Encrypt, but believe anyone": gRPC needs a verifier that says yes. */
static int believe(void *user, grpc_tls_custom_verification_check_request *request,
		   grpc_tls_on_custom_verification_check_done_cb done, void *arg,
		   grpc_status_code *status, char **details)
{
	(void)user, (void)request, (void)done, (void)arg;
	*status = GRPC_STATUS_OK;
	*details = NULL;
	return 1; /* decided at once: @done is not used */
}

static void nothing_to_cancel(void *user, grpc_tls_custom_verification_check_request *request)
{
	(void)user, (void)request;
}

static void nothing_to_destroy(void *user)
{
	(void)user;
}

static grpc_channel_credentials *believing_creds(const struct tls_pem *p)
{
	static grpc_tls_certificate_verifier_external verifier = { NULL, believe, nothing_to_cancel,
								   nothing_to_destroy };
	grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
	grpc_tls_certificate_verifier *v = grpc_tls_certificate_verifier_external_create(&verifier);

	grpc_tls_credentials_options_set_certificate_verifier(options, v);
	grpc_tls_certificate_verifier_release(v);
	grpc_tls_credentials_options_set_verify_server_cert(options, 0);
	grpc_tls_credentials_options_set_check_call_host(options, 0);
	if (p->cert) {
		grpc_tls_identity_pairs *pairs = grpc_tls_identity_pairs_create();
		grpc_tls_identity_pairs_add_pair(pairs, p->key, p->cert);
		grpc_tls_certificate_provider *provider =
			grpc_tls_certificate_provider_static_data_create(NULL, pairs);
		grpc_tls_credentials_options_set_certificate_provider(options, provider);
		grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
		grpc_tls_certificate_provider_release(provider);
	}
	return grpc_tls_credentials_create(options);
}

enum err_code tls_channel_creds(struct tls_files *f, grpc_channel_credentials **ret, struct err *e)
{
	struct tls_pem p;
	if (tls_files_read(f, &p, e) != ERR_OK)
		return err_in(e, "TLS");
	grpc_ssl_pem_key_cert_pair pair = { p.key, p.cert };
	grpc_channel_credentials *creds =
		f->allow_insecure
			? believing_creds(&p)
			: grpc_ssl_credentials_create_ex(p.ca, p.cert ? &pair : NULL, NULL, NULL);
	tls_pem_done(&p);
	if (!creds)
		return err_set(e, ERR_PARSE, "TLS: gRPC refuses these certificates");
	*ret = creds;
	return ERR_OK;
}

struct tls_port {
	pthread_mutex_t mx;      /* handshakes may run on any of gRPC's threads */
	struct tls_files *files; /* guarded by mx */
	struct tls_pem fresh;    /* guarded by mx: read and checked, not handed to gRPC yet */
	bool has_fresh;          /* guarded by mx */
	grpc_server_credentials *creds;
};

static grpc_ssl_certificate_config_reload_status
on_handshake(void *user, grpc_ssl_server_certificate_config **ret)
{
	struct tls_port *p = user;
	grpc_ssl_certificate_config_reload_status status =
		GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
	struct err e;

	pthread_mutex_lock(&p->mx);
	if (!p->has_fresh && tls_files_changed(p->files)) {
		p->has_fresh = tls_files_read(p->files, &p->fresh, &e) == ERR_OK;
		if (p->has_fresh)
			log_info("certificate read again", "file=%s",
				 LOG_QUOTE(p->files->cert_file));
		else
			log_warn("new certificate is broken, keeping the old one", "error=%s",
				 LOG_QUOTE(e.msg));
	}
	if (p->has_fresh) {
		grpc_ssl_pem_key_cert_pair pair = { p->fresh.key, p->fresh.cert };
		/* gRPC 1.51 aborts when it is given no CA, even if no client certificate is asked
		 * for: then our own certificate stands in, and nobody is measured against it. */
		*ret = grpc_ssl_server_certificate_config_create(
			p->fresh.ca ? p->fresh.ca : p->fresh.cert, &pair, 1);
		tls_pem_done(&p->fresh);
		p->has_fresh = false;
		status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
	}
	pthread_mutex_unlock(&p->mx);
	return status;
}

enum err_code tls_port_new(const struct rpc_tls *tls, struct tls_port **ret, struct err *e)
{
	if (!tls->cert_file)
		return err_set(e, ERR_INVALID, "TLS: a server needs a certificate and its key");
	AUTO(tls_port_free) struct tls_port *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(e, ERR_NOMEM, "TLS");
	pthread_mutex_init(&p->mx, NULL);
	if (tls_files_new(tls, &p->files, e) != ERR_OK ||
	    tls_files_read(p->files, &p->fresh, e) != ERR_OK)
		return err_in(e, "TLS");
	p->has_fresh = true;
	p->creds = grpc_ssl_server_credentials_create_with_options(
		grpc_ssl_server_credentials_create_options_using_config_fetcher(
			tls->ca_file_count
				? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
				: GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
			on_handshake, p));
	if (!p->creds)
		return err_set(e, ERR_INTERNAL, "TLS: gRPC refuses the credentials");
	*ret = TAKE(p);
	return ERR_OK;
}

void tls_port_free(struct tls_port *p)
{
	if (!p)
		return;
	if (p->creds)
		grpc_server_credentials_release(p->creds);
	tls_files_free(p->files);
	tls_pem_done(&p->fresh);
	pthread_mutex_destroy(&p->mx);
	free(p);
}

grpc_server_credentials *tls_port_creds(const struct tls_port *p)
{
	return p->creds;
}
