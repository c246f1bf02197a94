#include "metrics/users.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/watch.h"

enum {
	FILE_MAX_BYTES = 1 << 20,
	USERS_MAX = 1000,
	REMEMBERED = 16,
	ATTEMPTS_A_SECOND = 10,
	DIGEST_BYTES = 32,
	SECRET_BYTES = 32,
	PASSWORD_BYTES = CRYPT_MAX_PASSPHRASE_SIZE,
};

struct user {
	char *name, *hash; /* own */
};

struct users {
	char *path;
	struct user *users; /* own, @count */
	size_t count;
	struct timespec read_at; /* the file's time, size and inode when it was last read */
	off_t read_size;
	ino_t read_inode;
	unsigned char secret[SECRET_BYTES];
	unsigned char right[REMEMBERED][DIGEST_BYTES];
	size_t right_count; /* ever remembered: the next goes to right_count % REMEMBERED */
	uint64_t second;    /* of the monotonic clock: the attempts below were made in it */
	unsigned attempts;
	struct crypt_data crypt;
};

static void drop_users(struct user *users, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(users[i].name);
		free(users[i].hash);
	}
	free(users);
}

void users_free(struct users *u)
{
	if (!u)
		return;
	drop_users(u->users, u->count);
	free(u->path);
	OPENSSL_cleanse(u, sizeof *u);
	free(u);
}

static bool is_known_hash(struct str hash)
{
	static const char *const kinds[] = { "$2a$", "$2b$", "$2y$", "$y$",
					     "$gy$", "$7$",  "$6$",  "$5$" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_has_prefix(hash, str_of(kinds[i])))
			return true;
	return false;
}

static enum err_code read_line(struct str line, struct user *ret, struct err *e)
{
	size_t colon = str_find(line, ':');
	struct str name = str_upto(line, colon), hash = str_from(line, colon + 1);

	if (colon == line.len || !name.len)
		return err_set(e, ERR_PARSE, "expected name:hash");
	if (!is_known_hash(hash))
		return err_set(e, ERR_PARSE,
			       "the hash of '%s' is none of bcrypt, yescrypt, scrypt, SHA-512, "
			       "SHA-256 (crypt(5)); `openssl passwd -6` makes one",
			       EXCERPT(name));
	*ret = (struct user){ str_dup(name), str_dup(hash) };
	return ret->name && ret->hash ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code read_users(struct users *u, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(FILE_MAX_BYTES);
	size_t count = 0, number = 0;
	struct stat st = { 0 };
	struct str line;

	if (stat(u->path, &st) == 0) {
		u->read_at = st.st_mtim;
		u->read_size = st.st_size;
		u->read_inode = st.st_ino;
	}
	enum err_code code = file_read(u->path, "the users file", &text, e);
	if (code != ERR_OK)
		return code;
	struct user *users = calloc(USERS_MAX, sizeof *users);
	if (!users)
		return err_set(e, ERR_NOMEM, "the users file '%s'", u->path);
	for (struct str rest = buf_str(&text); code == ERR_OK && str_split(&rest, '\n', &line);) {
		number++;
		line = str_trim(line);
		if (!line.len || line.p[0] == '#')
			continue;
		if (count == USERS_MAX)
			code = err_set(e, ERR_INVALID, "more than %d users", USERS_MAX);
		else
			code = read_line(line, &users[count++], e);
	}
	if (code == ERR_OK && !count)
		code = err_set(e, ERR_PARSE, "nobody is in it");
	if (code != ERR_OK) {
		drop_users(users, count);
		return err_in(e, "the users file '%s', line %zu", u->path, number);
	}
	drop_users(u->users, u->count);
	u->users = users;
	u->count = count;
	u->right_count = 0;
	OPENSSL_cleanse(u->right, sizeof u->right);
	return ERR_OK;
}

enum err_code users_new(const char *path, struct users **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(users_free) struct users *u = calloc(1, sizeof *u);
	if (!u)
		return err_set(e, ERR_NOMEM, "the users file '%s'", path);
	u->path = str_dup(str_of(path));
	if (!u->path)
		return err_set(e, ERR_NOMEM, "the users file '%s'", path);
	if (getrandom(u->secret, sizeof u->secret, 0) != sizeof u->secret)
		return err_os(e, "random secret");
	if (read_users(u, e) != ERR_OK)
		return e->code;
	*ret = TAKE(u);
	return ERR_OK;
}

static void reread(struct users *u)
{
	struct stat st;
	struct err e;

	if (stat(u->path, &st) == 0 && st.st_mtim.tv_sec == u->read_at.tv_sec &&
	    st.st_mtim.tv_nsec == u->read_at.tv_nsec && st.st_size == u->read_size &&
	    st.st_ino == u->read_inode)
		return;
	if (stat(u->path, &st) != 0 && !u->read_inode)
		return; /* gone, and said so */
	if (stat(u->path, &st) != 0)
		u->read_inode = 0;
	if (read_users(u, &e) != ERR_OK)
		log_warn("users not reread; the old ones stay", "err=%s",
			 LOG_QUOTE(e.msg));
	else
		log_info("users reread", "file=%s", LOG_QUOTE(u->path));
}

static bool digest(const struct users *u, struct str name, struct str password,
		   unsigned char ret[DIGEST_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
		  EVP_DigestUpdate(ctx, u->secret, sizeof u->secret) &&
		  EVP_DigestUpdate(ctx, name.p, name.len) && EVP_DigestUpdate(ctx, "", 1) &&
		  EVP_DigestUpdate(ctx, password.p, password.len) &&
		  EVP_DigestFinal_ex(ctx, ret, NULL);

	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool is_remembered(const struct users *u, const unsigned char sum[DIGEST_BYTES])
{
	size_t n = u->right_count < REMEMBERED ? u->right_count : REMEMBERED;

	for (size_t i = 0; i < n; i++)
		if (CRYPTO_memcmp(u->right[i], sum, DIGEST_BYTES) == 0)
			return true;
	return false;
}

/* Nobody's name is tried against somebody's hash, so that it takes as long. */
static bool is_right(struct users *u, struct str name, struct str password)
{
	const struct user *user = NULL;
	char text[PASSWORD_BYTES];

	for (size_t i = 0; i < u->count; i++)
		if (str_is(name, u->users[i].name))
			user = &u->users[i];
	if (password.len >= sizeof text)
		return false;
	memcpy(text, password.p, password.len);
	text[password.len] = 0;
	const char *hash = user ? user->hash : u->users[0].hash;
	/* not crypt_r, which the address sanitizer takes over and does not find */
	const char *got = crypt_rn(text, hash, &u->crypt, sizeof u->crypt);
	bool same =
		got && strlen(got) == strlen(hash) && CRYPTO_memcmp(got, hash, strlen(hash)) == 0;
	OPENSSL_cleanse(text, sizeof text);
	OPENSSL_cleanse(&u->crypt, sizeof u->crypt);
	return same && user;
}

enum users_answer users_check(struct users *u, struct str name, struct str password,
			      struct mono_ns now)
{
	unsigned char sum[DIGEST_BYTES];

	reread(u);
	if (!digest(u, name, password, sum))
		return USERS_LATER;
	if (is_remembered(u, sum))
		return USERS_YES;
	if (u->second != now.v / NS_PER_S) {
		u->second = now.v / NS_PER_S;
		u->attempts = 0;
	}
	if (u->attempts++ >= ATTEMPTS_A_SECOND)
		return USERS_LATER;
	if (!is_right(u, name, password))
		return USERS_NO;
	memcpy(u->right[u->right_count++ % REMEMBERED], sum, DIGEST_BYTES);
	return USERS_YES;
}
