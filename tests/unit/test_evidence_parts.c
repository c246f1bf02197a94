/* lib/evidence's smaller parts: keys, redaction, the sender, signed and flat texts, the archive. */
#include <openssl/pem.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/time.h"
#include "evidence/archive.h"
#include "evidence/key.h"
#include "evidence/lines.h"
#include "evidence/redact.h"
#include "evidence/send.h"
#include "evidence/text.h"
#include "flow/fields.h"
#include "flow/wire.h"

static char folder[] = "/tmp/tycho-evidence-XXXXXX";

static int folder_make(void **state)
{
	(void)state;
	memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static const char *in_folder(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

/* --- keys --- */

static void a_key_is_made_once_and_only_its_owner_reads_it(void **state)
{
	(void)state;
	AUTO(evidence_key_free) struct evidence_key *a = NULL, *b = NULL;
	struct stat st;
	struct err e;

	assert_int_equal(evidence_key_open(in_folder("k"), false, &a, &e), ERR_NOT_FOUND);
	assert_int_equal(evidence_key_open(in_folder("k"), true, &a, &e), ERR_OK);
	assert_int_equal(stat(in_folder("k"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(in_folder("k.new"), &st), -1);
	assert_int_equal(evidence_key_open(in_folder("k"), true, &b, &e), ERR_OK);
	assert_string_equal(evidence_key_fingerprint(a), evidence_key_fingerprint(b));
	assert_int_equal(chmod(in_folder("k"), 0604), 0);
	struct evidence_key *none = NULL;
	assert_int_equal(evidence_key_open(in_folder("k"), true, &none, &e), ERR_PERMISSION);
	assert_non_null(strstr(e.msg, "everybody can read"));
	assert_null(none);
}

static void what_is_no_ed25519_key_is_refused(void **state)
{
	(void)state;
	struct evidence_key *none = NULL;
	struct err e;
	FILE *f = fopen(in_folder("no"), "we");

	assert_non_null(f);
	(void)fputs("-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----\n", f);
	(void)fclose(f);
	assert_int_equal(chmod(in_folder("no"), 0600), 0);
	assert_int_equal(evidence_key_open(in_folder("no"), true, &none, &e), ERR_PARSE);
	assert_int_equal(evidence_key_open("/", true, &none, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "'/' is a folder"));
	assert_int_equal(evidence_key_of_pem(STR("nothing"), &none, &e), ERR_PARSE);
	assert_int_equal(evidence_key_of_public(STR("short"), &none, &e), ERR_PARSE);
	assert_null(none);
}

static void a_passphrase_is_not_asked_for(void **state)
{
	(void)state;
	int ends[2], stdin_before = dup(STDIN_FILENO);
	struct evidence_key *none = NULL;
	struct err e;
	FILE *f = fopen(in_folder("secret"), "we");
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	assert_non_null(f);
	assert_int_equal(
		PEM_write_PKCS8PrivateKey(f, pkey, EVP_aes_128_cbc(), "open", 4, NULL, NULL), 1);
	(void)fclose(f);
	EVP_PKEY_free(pkey);
	assert_int_equal(chmod(in_folder("secret"), 0600), 0);
	/* whoever asked would be answered here */
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "open\n", 5), 5);
	(void)close(ends[1]);
	assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	assert_int_equal(evidence_key_open(in_folder("secret"), false, &none, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "has a passphrase"));
	assert_null(none);
	const struct send_tls tls = { .key_file = in_folder("secret") };
	assert_int_equal(send_tls_check(&tls, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "secret: "));
	(void)dup2(stdin_before, STDIN_FILENO);
	(void)close(stdin_before);
	(void)close(ends[0]);
}

enum { MAKERS = 8 };

static void *make_key(void *arg)
{
	struct evidence_key *k = NULL;

	(void)!evidence_key_open(arg, true, &k, NULL);
	return k;
}

static void of_many_that_make_a_key_at_once_one_wins_and_all_read_it(void **state)
{
	(void)state;
	pthread_t threads[MAKERS];
	char name[16], path[128];

	for (int round = 0; round < 30; round++) {
		struct evidence_key *keys[MAKERS] = { NULL };
		void *made;
		(void)snprintf(name, sizeof name, "key%d", round);
		(void)snprintf(path, sizeof path, "%s", in_folder(name));
		for (int i = 0; i < MAKERS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, make_key, path), 0);
		for (int i = 0; i < MAKERS; i++) {
			assert_int_equal(pthread_join(threads[i], &made), 0);
			keys[i] = made;
		}
		for (int i = 0; i < MAKERS; i++) {
			assert_non_null(keys[i]);
			assert_string_equal(evidence_key_fingerprint(keys[i]),
					    evidence_key_fingerprint(keys[0]));
		}
		for (int i = 0; i < MAKERS; i++)
			evidence_key_free(keys[i]);
	}
}

/* RFC 8032 §7.1, test 2: a public key, the message 0x72, its signature. */
static void a_signature_of_the_rfc_verifies_and_no_other(void **state)
{
	(void)state;
	AUTO(evidence_key_free) struct evidence_key *k = NULL;
	uint8_t public_[32], signature[64];

	assert_true(
		hex_parse(STR("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
			  public_, 32));
	assert_true(
		hex_parse(STR("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
			      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
			  signature, 64));
	assert_int_equal(evidence_key_of_public(str_n(public_, 32), &k, NULL), ERR_OK);
	assert_true(evidence_key_verifies(k, STR("\x72"), str_n(signature, 64)));
	assert_false(evidence_key_verifies(k, STR("\x73"), str_n(signature, 64)));
	assert_false(evidence_key_verifies(k, STR("\x72"), str_n(signature, 63)));
	signature[9] ^= 1;
	assert_false(evidence_key_verifies(k, STR("\x72"), str_n(signature, 64)));
}

/* --- texts --- */

static void flat_objects_give_their_members_and_nothing_else(void **state)
{
	(void)state;
	struct str o = STR("{\"a\":\"x\",\"n\":12,\"m\":\"34\",\"q\":\"a\\\"b\",\"z\":true}"), v;
	uint64_t n;

	assert_true(flat_get(o, "a", &v) && str_eq(v, STR("x")));
	assert_true(flat_u64(o, "n", &n) && n == 12);
	assert_true(flat_u64(o, "m", &n) && n == 34);
	assert_true(flat_get(o, "z", &v) && str_eq(v, STR("true")));
	assert_false(flat_get(o, "q", &v)); /* an escape */
	assert_false(flat_get(o, "b", &v));
	assert_false(flat_get(o, "x", &v)); /* a value is no name */
	static const char *const bad[] = {
		"",          "{",         "{\"a\"", "{\"a\":",
		"{\"a\":\"", "[\"a\":1]", "{a:1}",  "{\"b\":{},\"a\":1}"
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(flat_get(str_of(bad[i]), "a", &v) && v.len);
}

static void a_signed_text_has_one_form(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(4096), scratch = buf_init(4096);
	struct signed_text s = { .text = STR("{\"a\":\"\xc3\xa4\"}") }, got;

	signed_text_put(&b, &s);
	assert_int_equal(signed_text_parse(buf_str(&b), &scratch, &got, NULL), ERR_OK);
	assert_true(str_eq(got.text, s.text));
	buf_char(&b, ' ');
	assert_int_equal(signed_text_parse(buf_str(&b), &scratch, &got, NULL), ERR_PARSE);
	b.len--;
	b.p[b.len - 3] = 'A'; /* hex in capitals */
	assert_int_equal(signed_text_parse(buf_str(&b), &scratch, &got, NULL), ERR_PARSE);
}

/* --- redaction --- */

static void put_label(struct buf *b, const char *label)
{
	size_t mark = wire_begin(b, FLOW_FIELD_SOURCE);

	wire_put_str(b, ENDPOINT_FIELD_LABELS, str_of(label));
	wire_end(b, mark);
}

static void each_class_replaces_its_own_and_leaves_the_rest(void **state)
{
	(void)state;
	static const struct {
		const char *label, *ip, *labels, *dns; /* what is left in front of '~'; NULL: all */
	} cases[] = {
		{ "k8s:app=shop", NULL, "k8s:app=", NULL },
		{ "cidr:10.0.0.0/8", "cidr:", "cidr:", NULL },
		{ "fqdn:*.example.com", NULL, "fqdn:", "fqdn:" },
		{ "reserved:world", NULL, NULL, NULL },
		{ "plain", NULL, "", NULL },
	};
	static const unsigned classes[] = { REDACT_IP, REDACT_LABELS, REDACT_DNS };
	struct redact_key key = { { 7 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t k = 0; k < ARRAY_LEN(classes); k++) {
			AUTO_BUF struct buf in = buf_init(256), out = buf_init(256);
			const char *left = k == 0   ? cases[i].ip
					   : k == 1 ? cases[i].labels
						    : cases[i].dns;
			struct str ep, label;
			put_label(&in, cases[i].label);
			redact_part(&out, &key, classes[k], buf_str(&in));
			assert_true(wire_find(buf_str(&out), FLOW_FIELD_SOURCE, &ep));
			assert_true(wire_find(ep, ENDPOINT_FIELD_LABELS, &label));
			if (!left) {
				assert_true(str_is(label, cases[i].label));
				continue;
			}
			assert_true(str_has_prefix(label, str_of(left)));
			assert_int_equal(label.p[strlen(left)], '~');
			assert_int_equal(label.len, strlen(left) + 17);
		}
}

static void what_is_not_known_is_left_out(void **state)
{
	(void)state;
	AUTO_BUF struct buf in = buf_init(256), out = buf_init(256);
	struct redact_key key = { { 7 } };
	struct str ip, text;

	size_t mark = wire_begin(&in, FLOW_FIELD_IP);
	wire_put_str(&in, 1, STR("10.0.0.1"));
	wire_put_str(&in, 99, STR("10.0.0.1"));
	wire_put_u64(&in, 3, 1);
	wire_end(&in, mark);
	wire_put_str(&in, 4711, STR("10.0.0.1"));
	redact_part(&out, &key, REDACT_IP, buf_str(&in));
	assert_null(memmem(out.p, out.len, "10.0.0.1", 8));
	assert_true(wire_find(buf_str(&out), FLOW_FIELD_IP, &ip));
	assert_true(wire_find(ip, 1, &text) && text.len == 17 && text.p[0] == '~');
	assert_false(wire_find(ip, 99, &text));
	/* the same value, the same text; another key, another text */
	AUTO_BUF struct buf again = buf_init(256), other = buf_init(256);
	redact_part(&again, &key, REDACT_IP, buf_str(&in));
	assert_true(str_eq(buf_str(&out), buf_str(&again)));
	key.v[0]++;
	redact_part(&other, &key, REDACT_IP, buf_str(&in));
	assert_false(str_eq(buf_str(&out), buf_str(&other)));
}

/* --- the archive --- */

static void an_archive_is_read_as_it_was_written_and_no_other_way(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(1 << 16);
	struct tar_file f;
	enum err_code code;
	bool end;

	tar_put(&b, "a", STR(""), 7);
	tar_put(&b, "b/c", STR("hello"), 7);
	tar_end(&b);
	for (size_t i = 0; i < b.len; i++) {
		b.p[i] ^= 4;
		struct str rest = buf_str(&b);
		size_t files = 0;
		bool same = true;
		while (tar_next(&rest, 7, &f, &end, &code, NULL))
			same &= files++ ? str_eq(f.name, STR("b/c")) &&
						  str_eq(f.content, STR("hello"))
					: str_eq(f.name, STR("a"));
		assert_false(code == ERR_OK && end && files == 2 && same);
		b.p[i] ^= 4;
	}
	struct str rest = buf_str(&b);
	assert_true(tar_next(&rest, 7, &f, &end, &code, NULL));
	assert_true(tar_next(&rest, 7, &f, &end, &code, NULL));
	assert_false(tar_next(&rest, 7, &f, &end, &code, NULL));
	assert_true(end);
	assert_int_equal(code, ERR_OK);
}

/* docs/evidence.md: H of the concatenated H of each 16,384 bytes; however they come. */
static void the_sum_is_that_of_the_pieces_sums(void **state)
{
	enum { PIECE = 16384, BYTES = 5 * PIECE + 77 };
	static const size_t lengths[] = { 0, 1, PIECE - 1, PIECE, 4 * PIECE, BYTES };
	static const size_t steps[] = { 1000, PIECE, PIECE + 1, 3 * PIECE - 5, BYTES };
	static char bytes[BYTES];
	(void)state;

	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (char)(i * i >> 3);
	for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
		for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
			AUTO_BUF struct buf sums = buf_init(BYTES);
			uint8_t sum[SHA256_BYTES], want[SHA256_BYTES];
			struct archive_sum s;
			for (size_t at = 0; at < lengths[l]; at += PIECE) {
				size_t left = lengths[l] - at;
				sha256(str_n(bytes + at, left < PIECE ? left : PIECE), sum);
				buf_put(&sums, sum, sizeof sum);
			}
			sha256(buf_str(&sums), want);
			archive_sum_init(&s);
			for (size_t at = 0; at < lengths[l]; at += steps[k]) {
				size_t left = lengths[l] - at;
				archive_sum_add(
					&s, str_n(bytes + at, left < steps[k] ? left : steps[k]));
			}
			archive_sum_end(&s, sum);
			assert_memory_equal(sum, want, sizeof want);
		}
}

static void a_name_that_is_too_long_fails(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(1 << 16);
	char name[TAR_NAME_MAX + 1];

	memset(name, 'n', sizeof name);
	name[TAR_NAME_MAX - 1] = 0;
	tar_put(&b, name, STR(""), 0);
	assert_false(b.failed);
	name[TAR_NAME_MAX - 1] = 'n';
	name[TAR_NAME_MAX] = 0;
	tar_put(&b, name, STR(""), 0);
	assert_true(b.failed);
}

/* --- the sender --- */

static enum err_code new_sender(const char *const *target, struct evidence_sender **ret,
				struct err *e)
{
	const struct evidence_sender_config config = { .targets = target, .target_count = 1 };

	return evidence_sender_new(&config, ret, e);
}

static void targets_that_nobody_knows_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "",      "file:",      "ftp://x",      "syslogd",
					   "/path", "syslog:log", "syslog://host" };
	struct evidence_sender *none = NULL;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(new_sender(&bad[i], &none, &e), ERR_INVALID);
	assert_null(none);
}

/* One that was down gets what it missed, in order, once it is there. */
static void a_target_that_comes_back_gets_what_it_missed(void **state)
{
	(void)state;
	char target[256], dir[128], path[160], line[64];
	struct evidence_sender *s = NULL;
	struct err e;

	(void)snprintf(dir, sizeof dir, "%s", in_folder("later"));
	(void)snprintf(path, sizeof path, "%s/lines", dir);
	(void)snprintf(target, sizeof target, "file:%s", path);
	const char *const targets[] = { target };
	assert_int_equal(new_sender(targets, &s, &e), ERR_OK);
	for (int i = 0; i < 5; i++) {
		(void)snprintf(line, sizeof line, "line %d", i);
		evidence_sender_put(s, str_of(line));
	}
	while (!evidence_sender_counts(s).failed)
		(void)poll(NULL, 0, 1);
	assert_int_equal(mkdir(dir, 0700), 0);
	evidence_sender_put(s, STR("line 5")); /* each new one tries again */
	while (evidence_sender_counts(s).sent < 6)
		(void)poll(NULL, 0, 1);
	evidence_sender_free(s);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	for (int i = 0; i < 6; i++) {
		char want[64];
		(void)snprintf(want, sizeof want, "line %d\n", i);
		assert_non_null(fgets(line, sizeof line, f));
		assert_string_equal(line, want);
	}
	assert_null(fgets(line, sizeof line, f));
	(void)fclose(f);
}

/* What a full disk cut off does not stand in front of the line when it comes again. */
static void a_line_that_was_cut_off_is_whole_when_it_comes_again(void **state)
{
	(void)state;
	enum { ROOM = 20 };
	char target[160], path[128], text[128];
	struct evidence_sender *s = NULL;
	struct rlimit limit;
	struct err e;

	(void)snprintf(path, sizeof path, "%s", in_folder("lines"));
	(void)snprintf(target, sizeof target, "file:%s", path);
	const char *const targets[] = { target };
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	const struct rlimit tight = { ROOM, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(new_sender(targets, &s, &e), ERR_OK);
	evidence_sender_put(s, STR("the first line"));
	evidence_sender_put(s, STR("the second line"));
	while (!evidence_sender_counts(s).failed)
		(void)poll(NULL, 0, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	evidence_sender_put(s, STR("the third line"));
	while (evidence_sender_counts(s).sent < 3)
		(void)poll(NULL, 0, 1);
	evidence_sender_free(s);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	(void)fclose(f);
	assert_string_equal(text, "the first line\nthe second line\nthe third line\n");
}

/* A target that never answers holds nobody up, and what does not fit is dropped and counted. */
static void a_full_queue_drops_the_oldest_and_says_so(void **state)
{
	(void)state;
	char target[160], dir[128];
	struct evidence_sender *s = NULL;
	struct err e;

	(void)snprintf(dir, sizeof dir, "%s", in_folder("full"));
	(void)snprintf(target, sizeof target, "file:%s/lines", dir);
	const char *const targets[] = { target };
	assert_int_equal(new_sender(targets, &s, &e), ERR_OK);
	for (int i = 0; i < SENDER_QUEUE + 10; i++)
		evidence_sender_put(s, STR("x"));
	assert_int_equal(mkdir(dir, 0700), 0);
	evidence_sender_put(s, STR("x"));
	while (evidence_sender_counts(s).sent + evidence_sender_counts(s).dropped <
	       SENDER_QUEUE + 11)
		(void)poll(NULL, 0, 1);
	assert_true(evidence_sender_counts(s).dropped >= 10);
	evidence_sender_free(s);
}

/* No memory is asked for what a proof claims, and no line could say. */
static void a_proof_claims_no_more_records_than_lines(void **state)
{
	AUTO(lines_checker_free) struct lines_checker *c = NULL;
	const struct evidence_proof proof = { .count = SIZE_MAX / 64 };
	struct lines_files files = { .dir = "d", .json = { STR("{\"flow\":{}}\n"), 0 } };
	struct chain_hash root, items;
	struct err e;

	(void)state;
	assert_int_equal(lines_checker_new(&c, NULL), ERR_OK);
	assert_int_equal(lines_check(c, &proof, 1, &files, &root, &items, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "d/flows.jsonl lacks lines of"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define F(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)
		F(a_key_is_made_once_and_only_its_owner_reads_it),
		F(what_is_no_ed25519_key_is_refused),
		F(a_passphrase_is_not_asked_for),
		F(of_many_that_make_a_key_at_once_one_wins_and_all_read_it),
		cmocka_unit_test(a_signature_of_the_rfc_verifies_and_no_other),
		cmocka_unit_test(flat_objects_give_their_members_and_nothing_else),
		cmocka_unit_test(a_signed_text_has_one_form),
		cmocka_unit_test(each_class_replaces_its_own_and_leaves_the_rest),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(an_archive_is_read_as_it_was_written_and_no_other_way),
		cmocka_unit_test(the_sum_is_that_of_the_pieces_sums),
		cmocka_unit_test(a_name_that_is_too_long_fails),
		cmocka_unit_test(a_proof_claims_no_more_records_than_lines),
		cmocka_unit_test(targets_that_nobody_knows_are_refused),
		F(a_target_that_comes_back_gets_what_it_missed),
		F(a_line_that_was_cut_off_is_whole_when_it_comes_again),
		F(a_full_queue_drops_the_oldest_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
