#include "metrics/users.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/thread.h"
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

enum stage { FREE, WAITING, UNDER_WAY, ANSWERED };

/* A password that is to be tried. */
struct attempt {
	enum stage stage;
	uint64_t number; /* grows; 0: none. A free one's is nobody's */
	bool is_user;    /* else the hash is somebody else's */
	bool is_same;    /* when answered */
	uint64_t read_count;
	unsigned char sum[DIGEST_BYTES];
	char password[PASSWORD_BYTES], hash[CRYPT_OUTPUT_SIZE];
};

/* What users and the worker have in common. The worker frees it, after users have closed it. */
struct desk {
	pthread_mutex_t mx;
	pthread_cond_t more;                    /* to do, or the end */
	struct attempt attempts[USERS_WAITING]; /* guarded by mx */
	uint64_t last_number;                   /* guarded by mx */
	bool is_closed;                         /* guarded by mx */
	int fd;                                 /* counts answers */
	/* the worker's own */
	struct crypt_data crypt;
	char password[PASSWORD_BYTES], hash[CRYPT_OUTPUT_SIZE];
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
	uint64_t read_count; /* of the file */
	struct desk *desk;   /* NULL: not yet */
};

/* --- the worker --------------------------------------------------------------------------- */

static void desk_free(struct desk *d)
{
	(void)close(d->fd);
	(void)pthread_cond_destroy(&d->more);
	(void)pthread_mutex_destroy(&d->mx);
	OPENSSL_cleanse(d, sizeof *d);
	free(d);
}

/* With mx. The one that has waited for longest. */
static struct attempt *next_waiting(struct desk *d)
{
	struct attempt *first = NULL;

	for (size_t i = 0; i < USERS_WAITING; i++)
		if (d->attempts[i].stage == WAITING &&
		    (!first || d->attempts[i].number < first->number))
			first = &d->attempts[i];
	return first;
}

/* With mx. */
static struct attempt *attempt_of(struct desk *d, uint64_t number)
{
	for (size_t i = 0; number && i < USERS_WAITING; i++)
		if (d->attempts[i].stage != FREE && d->attempts[i].number == number)
			return &d->attempts[i];
	return NULL;
}

static bool is_same(struct desk *d)
{
	/* not crypt_r, which the address sanitizer takes over and does not find */
	const char *got = crypt_rn(d->password, d->hash, &d->crypt, sizeof d->crypt);
	size_t len = strlen(d->hash);
	bool same = got && strlen(got) == len && CRYPTO_memcmp(got, d->hash, len) == 0;

	OPENSSL_cleanse(d->password, sizeof d->password);
	OPENSSL_cleanse(&d->crypt, sizeof d->crypt);
	return same;
}

static void *work(void *arg)
{
	struct desk *d = arg;

	(void)pthread_mutex_lock(&d->mx);
	while (!d->is_closed) {
		struct attempt *a = next_waiting(d);
		if (!a) {
			(void)pthread_cond_wait(&d->more, &d->mx);
			continue;
		}
		uint64_t number = a->number, one = 1;
		a->stage = UNDER_WAY;
		memcpy(d->password, a->password, sizeof d->password);
		memcpy(d->hash, a->hash, sizeof d->hash);
		OPENSSL_cleanse(a->password, sizeof a->password);
		(void)pthread_mutex_unlock(&d->mx);
		bool same = is_same(d);
		(void)pthread_mutex_lock(&d->mx);
		a = attempt_of(d, number); /* it may have been forgotten */
		if (a) {
			a->stage = ANSWERED;
			a->is_same = same;
			(void)!write(d->fd, &one, sizeof one);
		}
	}
	(void)pthread_mutex_unlock(&d->mx);
	desk_free(d);
	return NULL;
}

static enum err_code desk_new(struct desk **ret, struct err *e)
{
	pthread_t thread;
	struct desk *d = calloc(1, sizeof *d);

	if (!d)
		return err_set(e, ERR_NOMEM, "checking passwords");
	(void)pthread_mutex_init(&d->mx, NULL);
	(void)pthread_cond_init(&d->more, NULL);
	d->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	enum err_code code = d->fd < 0 ? err_os(e, "eventfd")
				       : thread_start("tycho-password", work, d, &thread, e);
	if (code != ERR_OK) {
		desk_free(d);
		return code;
	}
	(void)pthread_detach(thread); /* a hash may take hours: nobody waits for that */
	*ret = d;
	return ERR_OK;
}

static void desk_close(struct desk *d)
{
	(void)pthread_mutex_lock(&d->mx);
	d->is_closed = true;
	(void)pthread_cond_signal(&d->more);
	(void)pthread_mutex_unlock(&d->mx);
}

/* --- the file ----------------------------------------------------------------------------- */

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
	if (u->desk)
		desk_close(u->desk);
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
	if (hash.len >= CRYPT_OUTPUT_SIZE)
		return err_set(e, ERR_PARSE, "the hash of '%s' is longer than any", EXCERPT(name));
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
	u->read_count++;
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
	if (read_users(u, e) != ERR_OK || desk_new(&u->desk, e) != ERR_OK)
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
		log_warn("users not reread; the old ones stay", "err=%s", LOG_QUOTE(e.msg));
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

/* --- attempts ----------------------------------------------------------------------------- */

/* With the desk's mx. Nobody's name is tried against somebody's hash, so that it takes as long. */
static void fill(const struct users *u, struct attempt *a, uint64_t number, struct str name,
		 struct str password)
{
	const struct user *user = NULL;

	for (size_t i = 0; i < u->count; i++)
		if (str_is(name, u->users[i].name))
			user = &u->users[i];
	*a = (struct attempt){
		.stage = WAITING, .number = number, .is_user = user, .read_count = u->read_count
	};
	const char *hash = user ? user->hash : u->users[0].hash;
	memcpy(a->hash, hash, strlen(hash) + 1); /* read_line has looked */
	memcpy(a->password, password.p, password.len);
}

enum users_answer users_check(struct users *u, struct str name, struct str password,
			      struct mono_ns now, uint64_t *ret_attempt)
{
	unsigned char sum[DIGEST_BYTES];
	struct desk *d = u->desk;
	struct attempt *a = NULL;

	*ret_attempt = 0;
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
	if (password.len >= PASSWORD_BYTES)
		return USERS_NO;
	(void)pthread_mutex_lock(&d->mx);
	for (size_t i = 0; !a && i < USERS_WAITING; i++)
		if (d->attempts[i].stage == FREE)
			a = &d->attempts[i];
	if (a) {
		fill(u, a, ++d->last_number, name, password);
		memcpy(a->sum, sum, sizeof sum);
		*ret_attempt = a->number;
		(void)pthread_cond_signal(&d->more);
	}
	(void)pthread_mutex_unlock(&d->mx);
	return a ? USERS_PENDING : USERS_BUSY;
}

static void clear(struct attempt *a)
{
	OPENSSL_cleanse(a, sizeof *a);
	a->stage = FREE;
}

enum users_answer users_answer(struct users *u, uint64_t attempt)
{
	struct desk *d = u->desk;
	enum users_answer answer = USERS_NO;

	(void)pthread_mutex_lock(&d->mx);
	struct attempt *a = attempt_of(d, attempt);
	if (a && a->stage != ANSWERED) {
		answer = USERS_PENDING;
	} else if (a) {
		answer = a->is_user && a->is_same ? USERS_YES : USERS_NO;
		/* of the file as it was: once, but not again */
		if (answer == USERS_YES && a->read_count == u->read_count)
			memcpy(u->right[u->right_count++ % REMEMBERED], a->sum, DIGEST_BYTES);
		clear(a);
	}
	(void)pthread_mutex_unlock(&d->mx);
	return answer;
}

void users_forget(struct users *u, uint64_t attempt)
{
	struct desk *d = u->desk;

	(void)pthread_mutex_lock(&d->mx);
	struct attempt *a = attempt_of(d, attempt);
	if (a)
		clear(a);
	(void)pthread_mutex_unlock(&d->mx);
}

int users_fd(const struct users *u)
{
	return u->desk->fd;
}

void users_hear(struct users *u)
{
	uint64_t n;

	(void)!read(u->desk->fd, &n, sizeof n);
}
