/* lib/rpc: TLS, one way and mutual, what is refused and why, and certificates that change under a
 * running server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "rpc_fixture.h"

enum { DAY_S = 86400 };

struct party {
	EVP_PKEY *key;
	X509 *cert;
	char cert_file[200], key_file[200];
};

static void extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	assert_int_equal(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static void write_pem(const struct party *p)
{
	FILE *f = fopen(p->cert_file, "we");
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, p->cert), 1);
	assert_int_equal(fclose(f), 0);
	f = fopen(p->key_file, "we");
	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(f), 0);
}

/* A P-256 certificate for @name, signed by @ca (NULL: by itself), valid from @from_s to @to_s from
 * now. */
static struct party *party_of(const char *name, const char *san, const struct party *ca,
			      long from_s, long to_s)
{
	static long serial = 1;
	struct party *p = calloc(1, sizeof *p);

	(void)snprintf(p->cert_file, sizeof p->cert_file, "%s/%s.crt", fixture_dir(), name);
	(void)snprintf(p->key_file, sizeof p->key_file, "%s/%s.key", fixture_dir(), name);
	p->key = EVP_EC_gen("P-256");
	p->cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(p->cert);
	assert_int_equal(X509_set_version(p->cert, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(p->cert), serial++), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(p->cert), from_s));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(p->cert), to_s));
	assert_int_equal(X509_set_pubkey(p->cert, p->key), 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
						    (const unsigned char *)name, -1, -1, 0),
			 1);
	assert_int_equal(
		X509_set_issuer_name(p->cert, ca ? X509_get_subject_name(ca->cert) : subject), 1);
	extension(p->cert, ca ? ca->cert : p->cert, NID_basic_constraints,
		  ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (san)
		extension(p->cert, ca ? ca->cert : p->cert, NID_subject_alt_name, san);
	assert_true(X509_sign(p->cert, ca ? ca->key : p->key, EVP_sha256()) > 0);
	write_pem(p);
	return p;
}

static void party_free(struct party *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->cert);
	free(p);
}

/* Everybody in this play. */
static struct party *ca, *other_ca, *server, *client, *stranger, *expired, *early;

static int set_stage(void **state)
{
	(void)state;
	ca = party_of("ca", NULL, NULL, -DAY_S, DAY_S);
	other_ca = party_of("other-ca", NULL, NULL, -DAY_S, DAY_S);
	server = party_of("server", "IP:127.0.0.1,DNS:*.default.hubble-grpc.cilium.io", ca, -DAY_S,
			  DAY_S);
	client = party_of("client", NULL, ca, -DAY_S, DAY_S);
	stranger = party_of("stranger", NULL, other_ca, -DAY_S, DAY_S);
	expired = party_of("expired", "IP:127.0.0.1", ca, -2 * DAY_S, -DAY_S);
	early = party_of("early", "IP:127.0.0.1", ca, DAY_S, 2 * DAY_S);
	return 0;
}

static int clear_stage(void **state)
{
	(void)state;
	struct party *all[] = { ca, other_ca, server, client, stranger, expired, early };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		party_free(all[i]);
	return 0;
}

static struct rpc_server *serve(const struct party *who, const struct party *clients_ca)
{
	const char *cas[] = { clients_ca ? clients_ca->cert_file : NULL };
	const struct rpc_tls tls = { .cert_file = who->cert_file,
				     .key_file = who->key_file,
				     .ca_files = cas,
				     .ca_file_count = clients_ca ? 1 : 0 };
	const struct rpc_listen listen = { .address = "127.0.0.1:0", .tls = &tls };
	return fixture_serve((struct rpc_server_config){ .listens = &listen, .listen_count = 1 });
}

/* A call as @who (NULL: nobody), believing @trust; *e has the sentence. */
static enum err_code try(const struct rpc_server *s, const struct party *who,
			 const struct party *trust, const char *name, bool insecure, struct err *e)
{
	const char *cas[] = { trust ? trust->cert_file : NULL };
	const struct rpc_tls tls = { .cert_file = who ? who->cert_file : NULL,
				     .key_file = who ? who->key_file : NULL,
				     .ca_files = cas,
				     .ca_file_count = trust ? 1 : 0,
				     .server_name = name,
				     .allow_insecure = insecure };
	char address[64];
	(void)snprintf(address, sizeof address, "tls://127.0.0.1:%d", rpc_server_port(s, 0));
	struct rpc_channel *ch = fixture_channel_to(address, &tls);
	AUTO_BUF struct buf answer = buf_init(100);
	enum err_code code =
		rpc_unary(ch, "/test.T/Echo", STR("hi"), 30 * NS_PER_S, &answer, NULL, e);
	assert_int_equal(answer.len, code == ERR_OK ? 2 : 0);
	rpc_channel_free(ch);
	return code;
}

static void the_server_proves_who_it_is(void **state)
{
	(void)state;
	struct rpc_server *s = serve(server, NULL);
	struct err e = { .msg = "" };

	assert_int_equal(try(s, NULL, ca, NULL, false, &e), ERR_OK);
	assert_int_equal(try(s, NULL, ca, "node1.default.hubble-grpc.cilium.io", false, &e),
			 ERR_OK);
	assert_int_equal(try(s, NULL, other_ca, NULL, false, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.msg, "authentication handshake failed"));
	assert_int_equal(try(s, NULL, ca, "elsewhere.example", false, &e), ERR_UNAVAILABLE);
	/* The system knows nothing of our CA. */
	assert_int_equal(try(s, NULL, NULL, NULL, false, &e), ERR_UNAVAILABLE);
	/* … and who does not care is let in whoever answers. */
	assert_int_equal(try(s, NULL, NULL, "elsewhere.example", true, &e), ERR_OK);
	rpc_server_free(s, NS_PER_S);
}

static void a_certificate_out_of_its_time_is_not_believed(void **state)
{
	(void)state;
	/* One that has expired would keep the server from starting; one that is not valid yet does
	 * not. */
	struct rpc_server *s = serve(early, NULL);
	struct err e = { .msg = "" };

	assert_int_equal(try(s, NULL, ca, NULL, false, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.msg, "authentication handshake failed"));
	assert_int_equal(try(s, NULL, NULL, NULL, true, &e), ERR_OK);
	rpc_server_free(s, NS_PER_S);
}

static void the_client_proves_who_it_is(void **state)
{
	(void)state;
	struct rpc_server *s = serve(server, ca);
	struct err e = { .msg = "" };

	assert_int_equal(try(s, client, ca, NULL, false, &e), ERR_OK);
	assert_int_equal(try(s, client, NULL, NULL, true, &e), ERR_OK);
	assert_int_equal(try(s, NULL, ca, NULL, false, &e), ERR_UNAVAILABLE);
	assert_int_equal(try(s, stranger, ca, NULL, false, &e), ERR_UNAVAILABLE);
	assert_int_equal(try(s, NULL, NULL, NULL, true, &e), ERR_UNAVAILABLE);
	rpc_server_free(s, NS_PER_S);
}

static void plain_text_and_tls_do_not_meet(void **state)
{
	(void)state;
	struct rpc_server *s = serve(server, NULL),
			  *plain = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(100);
	struct err e = { .msg = "" };

	assert_int_equal(rpc_unary(ch, "/test.T/Echo", STR("hi"), 30 * NS_PER_S, &answer, NULL, &e),
			 ERR_UNAVAILABLE);
	assert_int_equal(try(plain, NULL, ca, NULL, false, &e), ERR_UNAVAILABLE);
	rpc_channel_free(ch);
	rpc_server_free(plain, NS_PER_S);
	rpc_server_free(s, NS_PER_S);
}

static void a_bad_identity_is_named_at_the_start(void **state)
{
	(void)state;
	const char *missing = "/nonexistent/tls.crt", *not_pem = "/proc/self/status";
	const struct {
		const char *cert, *key, *ca;
		enum err_code code;
		const char *word;
	} bad[] = {
		{ missing, server->key_file, NULL, ERR_NOT_FOUND, missing },
		{ server->cert_file, missing, NULL, ERR_NOT_FOUND, missing },
		{ not_pem, server->key_file, NULL, ERR_PARSE, "no PEM certificate" },
		{ server->cert_file, not_pem, NULL, ERR_PARSE, "no PEM private key" },
		{ server->cert_file, client->key_file, NULL, ERR_PARSE, "does not belong to key" },
		{ expired->cert_file, expired->key_file, NULL, ERR_PARSE, "expired on" },
		{ server->cert_file, server->key_file, missing, ERR_NOT_FOUND, missing },
		{ server->cert_file, server->key_file, not_pem, ERR_PARSE, "CA certificates" },
		{ server->cert_file, NULL, NULL, ERR_INVALID, "needs" },
		{ NULL, NULL, NULL, ERR_INVALID, "needs" },
		{ "/proc", server->key_file, NULL, ERR_INVALID, "/proc" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *cas[] = { bad[i].ca };
		const struct rpc_tls tls = { .cert_file = bad[i].cert,
					     .key_file = bad[i].key,
					     .ca_files = cas,
					     .ca_file_count = bad[i].ca ? 1 : 0 };
		const struct rpc_listen listen = { .address = "127.0.0.1:0", .tls = &tls };
		const struct rpc_server_config config = { .listens = &listen, .listen_count = 1 };
		struct rpc_server *s = NULL;
		struct err e = { .msg = "" };
		enum err_code code = rpc_server_new(&config, &s, &e);
		if (code != bad[i].code || !strstr(e.msg, bad[i].word))
			fail_msg("case %zu: %s: %s", i, err_code_name(code), e.msg);
		assert_null(s);
		if (!bad[i].cert)
			continue; /* which is fine for a client */
		struct rpc_channel *ch = NULL;
		const struct rpc_channel_config to = { .address = "tls://127.0.0.1:1",
						       .tls = &tls };
		assert_int_equal(rpc_channel_new(&to, &ch, &e), bad[i].code);
		assert_null(ch);
	}
}

static void a_certificate_is_replaced_without_a_restart(void **state)
{
	(void)state;
	struct party *live = party_of("live", "IP:127.0.0.1", ca, -DAY_S, DAY_S);
	struct rpc_server *s = serve(live, NULL);
	struct err e = { .msg = "" };

	assert_int_equal(try(s, NULL, ca, NULL, false, &e), ERR_OK);
	assert_int_equal(try(s, NULL, other_ca, NULL, false, &e), ERR_UNAVAILABLE);
	/* Same files, another CA's certificate: the next handshake has it. */
	struct party *next = party_of("live", "IP:127.0.0.1", other_ca, -DAY_S, DAY_S);
	assert_int_equal(try(s, NULL, other_ca, NULL, false, &e), ERR_OK);
	assert_int_equal(try(s, NULL, ca, NULL, false, &e), ERR_UNAVAILABLE);
	/* A broken file, a foreign key, an expired certificate: the one before stays. */
	FILE *f = fopen(next->cert_file, "we");
	assert_non_null(f);
	(void)fputs("not a certificate\n", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(try(s, NULL, other_ca, NULL, false, &e), ERR_OK);
	EVP_PKEY *key = next->key;
	next->key = client->key;
	write_pem(next);
	next->key = key;
	assert_int_equal(try(s, NULL, other_ca, NULL, false, &e), ERR_OK);
	struct party *late = party_of("live", "IP:127.0.0.1", ca, -2 * DAY_S, -DAY_S);
	assert_int_equal(try(s, NULL, other_ca, NULL, false, &e), ERR_OK);
	/* A good one again. */
	write_pem(live);
	assert_int_equal(try(s, NULL, ca, NULL, false, &e), ERR_OK);
	party_free(live);
	party_free(next);
	party_free(late);
	rpc_server_free(s, NS_PER_S);
}

static void a_channel_takes_up_its_new_certificate(void **state)
{
	(void)state;
	struct rpc_server *s = serve(server, ca);
	struct party *me = party_of("me", NULL, other_ca, -DAY_S, DAY_S);
	const char *cas[] = { ca->cert_file };
	const struct rpc_tls tls = { .cert_file = me->cert_file,
				     .key_file = me->key_file,
				     .ca_files = cas,
				     .ca_file_count = 1 };
	char address[64];
	(void)snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(s, 0));
	struct rpc_channel *ch = fixture_channel_to(address, &tls);
	AUTO_BUF struct buf answer = buf_init(100);
	struct err e = { .msg = "" };

	assert_int_equal(rpc_unary(ch, "/test.T/Echo", STR("hi"), 30 * NS_PER_S, &answer, NULL, &e),
			 ERR_UNAVAILABLE);
	struct party *next = party_of("me", NULL, ca, -DAY_S, DAY_S);
	if (rpc_unary(ch, "/test.T/Echo", STR("hi"), 30 * NS_PER_S, &answer, NULL, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	party_free(me);
	party_free(next);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_server_proves_who_it_is),
		cmocka_unit_test(a_certificate_out_of_its_time_is_not_believed),
		cmocka_unit_test(the_client_proves_who_it_is),
		cmocka_unit_test(plain_text_and_tls_do_not_meet),
		cmocka_unit_test(a_bad_identity_is_named_at_the_start),
		cmocka_unit_test(a_certificate_is_replaced_without_a_restart),
		cmocka_unit_test(a_channel_takes_up_its_new_certificate),
	};

	rpc_init();
	int failed = cmocka_run_group_tests(tests, set_stage, clear_stage);
	rpc_shutdown();
	return failed;
}
