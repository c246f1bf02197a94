#include "evidence/key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>

#include "chain/sha256.h"
#include "evidence/text.h"

enum { PEM_MAX_BYTES = 8192 };

struct evidence_key {
	EVP_PKEY *pkey;
	uint8_t public_[KEY_PUBLIC_BYTES];
	char fingerprint[KEY_FINGERPRINT_CHARS + 1];
};

static void bio_free_guard(BIO **bio)
{
	BIO_free_all(*bio);
}
#define AUTO_BIO __attribute__((cleanup(bio_free_guard)))

/* OpenSSL's own would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *user)
{
	(void)buf, (void)size, (void)writing, (void)user;
	return -1;
}

void evidence_key_free(struct evidence_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

/* Takes @pkey, also when it fails. */
static enum err_code key_take(EVP_PKEY *pkey, struct evidence_key **ret, struct err *e)
{
	struct evidence_key *k = calloc(1, sizeof *k);
	uint8_t sum[SHA256_BYTES];
	size_t len = sizeof k->public_;

	if (!k || !pkey) {
		EVP_PKEY_free(pkey);
		free(k);
		return pkey ? err_set(e, ERR_NOMEM, "a key")
			    : err_set(e, ERR_PARSE, "no Ed25519 key in PEM");
	}
	k->pkey = pkey;
	if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(pkey, k->public_, &len) != 1 || len != sizeof k->public_) {
		evidence_key_free(k);
		return err_set(e, ERR_PARSE, "the key is not an Ed25519 key");
	}
	sha256(str_n(k->public_, sizeof k->public_), sum);
	struct buf b = buf_fixed(k->fingerprint, sizeof k->fingerprint);
	hex_put(&b, str_n(sum, sizeof sum));
	*ret = k;
	return ERR_OK;
}

static enum err_code read_file(const char *path, char pem[PEM_MAX_BYTES], struct str *ret,
			       struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "open the key '%s'", path);
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "the key '%s' is a folder", path);
	if (st.st_mode & S_IROTH)
		return err_set(
			e, ERR_PERMISSION,
			"everybody can read the key '%s' (mode %04o): chmod 600 it, or have a "
			"new one made",
			path, (unsigned)st.st_mode & 07777);
	ssize_t n = read(fd, pem, PEM_MAX_BYTES);
	if (n < 0)
		return err_os(e, "read the key '%s'", path);
	*ret = str_n(pem, (size_t)n);
	return ERR_OK;
}

/* Written beside its place and moved there: a key is whole or not there at all. */
static enum err_code make_file(const char *path, struct err *e)
{
	char fresh[4096];
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	AUTO_BIO BIO *bio = BIO_new(BIO_s_secmem());
	char *pem = NULL;

	bool ok = pkey && bio &&
		  PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;
	EVP_PKEY_free(pkey);
	if (!ok)
		return err_set(e, ERR_NOMEM, "make the key '%s'", path);
	size_t len = (size_t)BIO_get_mem_data(bio, &pem);
	if ((size_t)snprintf(fresh, sizeof fresh, "%s.XXXXXX", path) >= sizeof fresh)
		return err_set(e, ERR_INVALID, "the name of the key '%s' is too long", path);
	AUTO_FD int fd = mkostemp(fresh, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return err_os(e, "make the key '%s'", path);
	ssize_t put = write(fd, pem, len);
	if (put >= 0 && (size_t)put != len)
		errno = ENOSPC;
	/* link, not rename: of two that make it at once, one wins and both read it */
	bool written = put >= 0 && (size_t)put == len && fsync(fd) == 0;
	enum err_code code = ERR_OK;
	if (!written || (link(fresh, path) != 0 && errno != EEXIST))
		code = err_os(e, "make the key '%s'", path);
	(void)unlink(fresh);
	return code;
}

enum err_code evidence_key_open(const char *path, bool make, struct evidence_key **ret,
				struct err *e)
{
	char pem[PEM_MAX_BYTES];
	struct str text = { "", 0 };

	if (make && access(path, F_OK) != 0 && errno == ENOENT && make_file(path, e) != ERR_OK)
		return e ? e->code : ERR_IO;
	enum err_code code = read_file(path, pem, &text, e);
	if (code != ERR_OK)
		return code;
	if (memmem(text.p, text.len, "ENCRYPTED", 9)) { /* in the first line, or the second */
		explicit_bzero(pem, sizeof pem);
		return err_set(e, ERR_PARSE,
			       "the key '%s' has a passphrase, and nobody is there to type it",
			       path);
	}
	AUTO_BIO BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
	code = key_take(bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL, ret,
			e);
	explicit_bzero(pem, sizeof pem);
	return code == ERR_OK ? ERR_OK : err_in(e, "key '%s'", path);
}

enum err_code evidence_key_of_public(struct str raw, struct evidence_key **ret, struct err *e)
{
	if (raw.len != KEY_PUBLIC_BYTES)
		return err_set(e, ERR_PARSE, "a public key has %d bytes, not %zu", KEY_PUBLIC_BYTES,
			       raw.len);
	return key_take(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const uint8_t *)raw.p,
						    raw.len),
			ret, e);
}

enum err_code evidence_key_of_pem(struct str pem, struct evidence_key **ret, struct err *e)
{
	if (pem.len > PEM_MAX_BYTES)
		return err_set(e, ERR_PARSE, "no Ed25519 key in PEM");
	AUTO_BIO BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);

	return key_take(bio ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL, ret, e);
}

struct str evidence_key_public(const struct evidence_key *k)
{
	return str_n(k->public_, sizeof k->public_);
}

const char *evidence_key_fingerprint(const struct evidence_key *k)
{
	return k->fingerprint;
}

bool evidence_key_is_among(const struct evidence_key *k, const struct str *given, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO(evidence_key_free) struct evidence_key *one = NULL;
		if (str_is(str_trim(given[i]), evidence_key_fingerprint(k)))
			return true;
		if (evidence_key_of_pem(given[i], &one, NULL) == ERR_OK &&
		    str_eq(evidence_key_public(one), evidence_key_public(k)))
			return true;
	}
	return false;
}

void evidence_key_put_pem(const struct evidence_key *k, struct buf *b)
{
	AUTO_BIO BIO *bio = BIO_new(BIO_s_mem());
	char *pem = NULL;

	if (!bio || PEM_write_bio_PUBKEY(bio, k->pkey) != 1) {
		b->failed = true;
		return;
	}
	size_t len = (size_t)BIO_get_mem_data(bio, &pem);
	buf_put(b, pem, len);
}

enum err_code evidence_key_sign(const struct evidence_key *k, struct str text,
				uint8_t ret[KEY_SIGNATURE_BYTES], struct err *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = KEY_SIGNATURE_BYTES;
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
		  EVP_DigestSign(ctx, ret, &len, (const uint8_t *)text.p, text.len) == 1 &&
		  len == KEY_SIGNATURE_BYTES;

	EVP_MD_CTX_free(ctx);
	return ok ? ERR_OK : err_set(e, ERR_INVALID, "sign with key %s", k->fingerprint);
}

bool evidence_key_verifies(const struct evidence_key *k, struct str text, struct str signature)
{
	if (signature.len != KEY_SIGNATURE_BYTES)
		return false;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
		  EVP_DigestVerify(ctx, (const uint8_t *)signature.p, signature.len,
				   (const uint8_t *)text.p, text.len) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}
