/* Private keys and tokens are in no memory that is given back: the linker sends this program's calls
 * of free and realloc here, and those of the libraries it is made of, jansson's too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <malloc.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "metrics/https.h"
#include "kube/kubeconfig.h"
#include "rpc/rpc.h"
#include "rpc/tls.h"

void __real_free(void *p);
void *__real_realloc(void *p, size_t bytes);
void __wrap_free(void *p);
void *__wrap_realloc(void *p, size_t bytes);

static char secret[48]; /* some of its text; "": nothing is looked for */
static unsigned found;

static void look(void *p)
{
	size_t len = strlen(secret);

	if (p && len && memmem(p, malloc_usable_size(p), secret, len))
		found++;
}

void __wrap_free(void *p)
{
	look(p);
	__real_free(p);
}

void *__wrap_realloc(void *p, size_t bytes)
{
	look(p); /* whether it moves or not */
	return __real_realloc(p, bytes);
}

static void look_for(const char *text)
{
	size_t len = strlen(text) < sizeof secret - 1 ? strlen(text) : sizeof secret - 1;

	memcpy(secret, text, len);
	secret[len] = 0;
	found = 0;
}

/* How often it was in what was given back since. */
static unsigned found_until_now(void)
{
	secret[0] = 0;
	return found;
}

/* --- an identity ------------------------------------------------------------------------- */

static char dir[] = "/tmp/tycho-wiped-XXXXXX";
static char file[64];         /* a certificate and its key */
static char key_pem[1024];    /* that key */
static const char *key_text;  /* from its second line on, which is only its own */
static char key_base64[1400]; /* of key_pem */
static const char token[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static int make_identity(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof file, "%s/it", dir);
	FILE *f = fopen(file, "we");
	assert_true(key && cert && bio && f);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	int n = BIO_read(bio, key_pem, sizeof key_pem - 1);
	assert_true(n > 0);
	assert_true(EVP_EncodeBlock((unsigned char *)key_base64, (unsigned char *)key_pem, n) > 0);
	key_text = strchr(key_pem, '\n') + 1;
	/* certificates first, so that the key lies beyond the first step of a buffer that grows */
	for (int i = 0; i < 40; i++)
		assert_int_equal(PEM_write_X509(f, cert), 1);
	assert_true(fputs(key_pem, f) >= 0);
	for (int i = 0; i < 40; i++)
		assert_int_equal(PEM_write_X509(f, cert), 1);
	assert_int_equal(fclose(f), 0);
	EVP_PKEY_free(key);
	X509_free(cert);
	BIO_free(bio);
	return 0;
}

static int remove_identity(void **state)
{
	(void)state;
	(void)unlink(file);
	(void)rmdir(dir);
	return 0;
}

/* --- where they are read ----------------------------------------------------------------- */

static void what_is_looked_for_is_found(void **state)
{
	(void)state;
	struct buf b = buf_init(100);
	look_for(token);
	buf_str_put(&b, str_of(token));
	buf_done(&b);
	assert_int_equal(found_until_now(), 1);
}

static void a_buffer_of_secrets_leaves_none_behind(void **state)
{
	(void)state;
	struct buf b = buf_init_secret(100000);
	look_for(token);
	buf_str_put(&b, str_of(token));
	for (int i = 0; i < 1000; i++)
		buf_lit(&b, "and much more, so that it must move");
	assert_false(b.failed);
	assert_memory_equal(b.p, token, strlen(token));
	buf_done(&b);
	assert_int_equal(found_until_now(), 0);
	assert_true(b.secret);
}

static void the_key_of_a_certificate_is_wiped(void **state)
{
	(void)state;
	const struct rpc_tls tls = { .cert_file = file, .key_file = file };
	AUTO(tls_files_free) struct tls_files *files = NULL;
	struct tls_pem pem;
	int64_t end_s;

	assert_int_equal(tls_files_new(&tls, &files, NULL), ERR_OK);
	look_for(key_text);
	assert_int_equal(tls_files_read(files, &pem, NULL), ERR_OK);
	assert_non_null(strstr(pem.key, secret));
	tls_pem_done(&pem);
	assert_int_equal(found_until_now(), 0);
	look_for(key_text);
	assert_true(https_certificate_end(file, &end_s));
	assert_int_equal(found_until_now(), 0);
}

/* From the file to the end; whether it can be read or not. @return how often @text was found. */
static unsigned read_kubeconfig(const char *text, const char *key_data, enum err_code code)
{
	char path[72];
	struct kube_config *c = NULL;

	(void)snprintf(path, sizeof path, "%s/kubeconfig", dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fprintf(f,
			    "current-context: c\n"
			    "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
			    "clusters: [{name: k, cluster: {server: https://localhost}}]\n"
			    "users:\n"
			    "- {name: other, user: {token: %s}}\n"
			    "- {name: u, user: {client-certificate: x, client-key-data: %s, "
			    "token: %s}}\n"
			    "# %4000s\n",
			    token, key_data, token, "") > 0);
	assert_int_equal(fclose(f), 0);
	look_for(text);
	assert_int_equal(kube_config_read(path, NULL, &c, NULL), code);
	kube_config_free(c);
	(void)unlink(path);
	return found_until_now();
}

static void keys_and_tokens_of_a_kubeconfig_are_wiped(void **state)
{
	char broken[sizeof key_base64 + 1];

	(void)state;
	(void)snprintf(broken, sizeof broken, "%s!", key_base64);
	assert_int_equal(read_kubeconfig(key_text, key_base64, ERR_OK), 0);
	assert_int_equal(read_kubeconfig(key_base64, key_base64, ERR_OK), 0);
	assert_int_equal(read_kubeconfig(token, key_base64, ERR_OK), 0);
	assert_int_equal(read_kubeconfig(key_text, broken, ERR_INVALID), 0);
	broken[strlen(key_base64) - 3] = 0; /* a digit too few */
	assert_int_equal(read_kubeconfig(key_text, broken, ERR_INVALID), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_looked_for_is_found),
		cmocka_unit_test(a_buffer_of_secrets_leaves_none_behind),
		cmocka_unit_test(the_key_of_a_certificate_is_wiped),
		cmocka_unit_test(keys_and_tokens_of_a_kubeconfig_are_wiped),
	};

	json_set_alloc_funcs(malloc, free);
	return cmocka_run_group_tests(tests, make_identity, remove_identity);
}
