/*
 * lib/chain's hashes, trees and blocks.
 *
 * Roots and paths of the eight inputs are those that Certificate Transparency's own tests have
 * (google/certificate-transparency, merkletree tests); the other fixed values were computed with
 * Python's hashlib and hmac from the formulas in chain.h, not with this code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "chain/chain.h"
#include "chain/sha256.h"
#include "chain/tree.h"
#include "flow/fields.h"
#include "flow/wire.h"
#include "flow_random.h"

static struct chain_hash hash_of_hex(const char *hex)
{
	struct chain_hash h;

	assert_int_equal(strlen(hex), 64);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &h.v[i]), 1);
	return h;
}

static void assert_hash(struct chain_hash got, const char *want)
{
	struct chain_hash h = hash_of_hex(want);

	assert_memory_equal(got.v, h.v, sizeof h.v);
}

/* --- SHA-256 --- */

static void libcrypto_sha256(struct str message, uint8_t ret[32])
{
	assert_int_equal(EVP_Digest(message.p, message.len, ret, NULL, EVP_sha256(), NULL), 1);
}

static void every_length_of_two_messages_hashes_as_libcrypto_says(void **state)
{
	(void)state;
	static char bytes[2][400];
	struct random r = random_of(__func__, 1);
	uint8_t got[2][32], want[2][32];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i / sizeof bytes[0]][i % sizeof bytes[0]] = (char)random_u64(&r);
	for (size_t a = 0; a < 300; a++) {
		size_t b = a % 7 ? random_below(&r, 400) : a;
		struct str messages[2] = { str_n(bytes[0], a), str_n(bytes[1], b) };
		libcrypto_sha256(messages[0], want[0]);
		libcrypto_sha256(messages[1], want[1]);
		sha256_two(messages, (uint8_t *const[]){ got[0], got[1] });
		assert_memory_equal(got, want, sizeof want);
		memset(got, 0, sizeof got);
		sha256_two_plain(messages, (uint8_t *const[]){ got[0], got[1] });
		assert_memory_equal(got, want, sizeof want);
		sha256(messages[0], got[0]);
		assert_memory_equal(got[0], want[0], sizeof want[0]);
	}
}

static void a_message_in_pieces_hashes_as_one(void **state)
{
	(void)state;
	char bytes[300];
	struct random r = random_of(__func__, 2);
	uint8_t got[32], want[32];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)random_u64(&r);
	for (int round = 0; round < 500; round++) {
		struct str all = str_n(bytes, random_below(&r, sizeof bytes + 1)), rest = all;
		struct sha256 s;
		sha256_init(&s);
		while (rest.len) {
			size_t n = random_below(&r, rest.len + 1);
			sha256_put(&s, str_upto(rest, n));
			rest = str_from(rest, n);
		}
		sha256_end(&s, got);
		libcrypto_sha256(all, want);
		assert_memory_equal(got, want, sizeof want);
	}
}

/* RFC 4231, test cases 1 and 2; and libcrypto's own for every length of key. */
static void hmac_is_that_of_rfc_2104(void **state)
{
	static const char by_eleven[] = "b0344c61d8db38535ca8afceaf0bf12b"
					"881dc200c9833da726e9376c2e32cff7",
			  of_jefe[] = "5bdcc146bf60754e6a042426089575c7"
				      "5a003f089d2739839dec58b964ec3843";
	struct random r = random_of(__func__, 1);
	struct chain_hash got, want;
	char key[64];
	(void)state;

	memset(key, 0x0b, 20);
	sha256_hmac(str_n(key, 20), STR("Hi There"), got.v);
	assert_hash(got, by_eleven);
	sha256_hmac(STR("Jefe"), STR("what do ya want for nothing?"), got.v);
	assert_hash(got, of_jefe);
	for (size_t n = 0; n < sizeof key; n++)
		key[n] = (char)random_below(&r, 256);
	for (size_t n = 1; n <= sizeof key; n++) {
		unsigned len = sizeof want.v;
		assert_non_null(HMAC(EVP_sha256(), key, (int)n, (const uint8_t *)"message", 7,
				     want.v, &len));
		sha256_hmac(str_n(key, n), STR("message"), got.v);
		assert_memory_equal(got.v, want.v, sizeof got.v);
	}
}

/* --- trees --- */

static void leaves_of(struct chain_hash leaves[8])
{
	static const struct {
		const char *p;
		size_t len;
	} inputs[8] = {
		{ "", 0 },
		{ "\x00", 1 },
		{ "\x10", 1 },
		{ "\x20\x21", 2 },
		{ "\x30\x31", 2 },
		{ "\x40\x41\x42\x43", 4 },
		{ "\x50\x51\x52\x53\x54\x55\x56\x57", 8 },
		{ "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16 },
	};

	for (size_t i = 0; i < 8; i++) {
		char bytes[17] = { 0 };
		memcpy(bytes + 1, inputs[i].p, inputs[i].len);
		sha256(str_n(bytes, inputs[i].len + 1), leaves[i].v);
	}
}

static const char *const roots[9] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void roots_are_those_of_certificate_transparency(void **state)
{
	(void)state;
	struct chain_hash leaves[8];

	leaves_of(leaves);
	for (size_t n = 0; n <= 8; n++) {
		struct chain_hash copy[8];
		memcpy(copy, leaves, sizeof copy);
		assert_hash(chain_root(leaves, n), roots[n]);
		assert_hash(chain_root_in_place(copy, n), roots[n]);
	}
}

static void paths_are_those_of_certificate_transparency(void **state)
{
	(void)state;
	static const char *const first_of_8[] = {
		"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
	};
	static const char *const sixth_of_7[] = {
		"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
		"b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	};
	struct chain_hash leaves[8], proof[CHAIN_PROOF_MAX];

	leaves_of(leaves);
	assert_int_equal(chain_proof(leaves, 8, 0, proof), 3);
	for (size_t i = 0; i < 3; i++)
		assert_hash(proof[i], first_of_8[i]);
	assert_int_equal(chain_proof(leaves, 7, 5, proof), 3);
	for (size_t i = 0; i < 3; i++)
		assert_hash(proof[i], sixth_of_7[i]);
	assert_int_equal(chain_proof(leaves, 1, 0, proof), 0);
}

static void every_proof_holds_and_no_other(void **state)
{
	(void)state;
	enum { MAX = 67 };
	struct chain_hash leaves[MAX], proof[CHAIN_PROOF_MAX];
	struct random r = random_of(__func__, 3);

	for (size_t i = 0; i < sizeof leaves; i++)
		leaves[i / 32].v[i % 32] = (uint8_t)random_u64(&r);
	for (size_t n = 1; n <= MAX; n++) {
		struct chain_hash root = chain_root(leaves, n);
		for (size_t i = 0; i < n; i++) {
			size_t len = chain_proof(leaves, n, i, proof);
			assert_true(chain_proof_holds(&leaves[i], i, n, proof, len, &root));
			assert_false(
				chain_proof_holds(&leaves[(i + 1) % MAX], i, n, proof, len, &root));
			assert_false(chain_proof_holds(&leaves[i], n, n, proof, len, &root));
			if (n > 1)
				assert_false(
					chain_proof_holds(&leaves[i], i ^ 1, n, proof, len, &root));
			if (len)
				assert_false(
					chain_proof_holds(&leaves[i], i, n, proof, len - 1, &root));
			proof[len] = root;
			assert_false(chain_proof_holds(&leaves[i], i, n, proof, len + 1, &root));
			if (len) {
				proof[len / 2].v[7] ^= 1;
				assert_false(
					chain_proof_holds(&leaves[i], i, n, proof, len, &root));
			}
		}
	}
}

/* Two leaves of a larger tree are no proof that one of them is all of a tree with that root. */
static void a_path_is_as_long_as_the_tree_is_high(void **state)
{
	(void)state;
	struct chain_hash leaves[8], path[CHAIN_PROOF_MAX];

	leaves_of(leaves);
	struct chain_hash root = chain_root(leaves, 2);
	assert_true(chain_proof_holds(&leaves[1], 1, 2, &leaves[0], 1, &root));
	assert_false(chain_proof_holds(&leaves[1], 0, 1, &leaves[0], 1, &root));
	root = chain_root(leaves, 8);
	assert_int_equal(chain_proof(leaves, 8, 7, path), 3);
	assert_false(chain_proof_holds(&leaves[7], 3, 4, path, 3, &root));
}

static void one_proof_for_several_leaves_leads_to_the_root(void **state)
{
	(void)state;
	enum { MAX = 67 };
	struct chain_hash leaves[MAX], some[MAX], got;
	uint32_t places[MAX];
	struct random r = random_of(__func__, 5);
	AUTO_BUF struct buf proof = buf_init(1 << 16);

	for (size_t i = 0; i < sizeof leaves; i++)
		leaves[i / 32].v[i % 32] = (uint8_t)random_u64(&r);
	for (int round = 0; round < 2000; round++) {
		size_t n = 1 + random_below(&r, MAX), count = 0;
		uint64_t rare = 1 + random_below(&r, 10);
		for (uint32_t i = 0; i < n; i++)
			if (random_below(&r, rare) == 0) {
				some[count] = leaves[i];
				places[count++] = i;
			}
		const struct chain_places p = { places, count };
		struct chain_hash root = chain_root(leaves, n), copy[MAX];
		buf_reset(&proof);
		chain_proof_put(leaves, n, p, &proof);
		memcpy(copy, some, sizeof copy);
		assert_true(chain_proof_root(copy, p, n, buf_str(&proof), &got));
		assert_memory_equal(got.v, root.v, sizeof root.v);
		if (count) {
			memcpy(copy, some, sizeof copy);
			copy[random_below(&r, count)].v[3] ^= 1;
			assert_true(chain_proof_root(copy, p, n, buf_str(&proof), &got));
			assert_memory_not_equal(got.v, root.v, sizeof root.v);
		}
		memcpy(copy, some, sizeof copy);
		buf_char(&proof, 'x');
		assert_false(chain_proof_root(copy, p, n, buf_str(&proof), &got));
		if (proof.len > 32)
			assert_false(chain_proof_root(
				copy, p, n, str_upto(buf_str(&proof), proof.len - 33), &got));
	}
}

/* --- commitments, leaves, entries --- */

static struct chain_secret counting_secret(void)
{
	struct chain_secret s;

	for (size_t i = 0; i < sizeof s.v; i++)
		s.v[i] = (uint8_t)i;
	return s;
}

static void commitments_leaves_and_entries_follow_their_formulas(void **state)
{
	(void)state;
	struct chain_secret store = counting_secret(), secrets[CHAIN_PARTS_];
	struct chain_hash c[4], zero = { { 0 } };
	char hundred[100];

	memset(hundred, 'x', sizeof hundred);
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		secrets[p] = chain_part_secret(&store, 7, p);
	struct chain_hash secret;
	memcpy(secret.v, secrets[CHAIN_ADDRESSES].v, sizeof secret.v);
	assert_hash(secret, "4faced6ad21c276de7ae0f2cbff777e8e0eae38a1f49359c80982e875ab2dcfc");
	c[0] = chain_commit(CHAIN_ADDRESSES, &secrets[CHAIN_ADDRESSES], STR("addresses"));
	c[1] = chain_commit(CHAIN_SOURCE_LABELS, &secrets[CHAIN_SOURCE_LABELS], STR(""));
	c[2] = chain_commit(CHAIN_DESTINATION_LABELS, &secrets[CHAIN_DESTINATION_LABELS],
			    str_n(hundred, sizeof hundred));
	c[3] = chain_commit(CHAIN_DNS, &secrets[CHAIN_DNS], STR("dns"));
	assert_hash(c[0], "8402a7c662f8ed13b8cd02ff79a99505e97be786e024c1f9b8f98412866e6f51");
	assert_hash(c[1], "3ad5c809d21a70b328ebc834930f8ffd7f89bf3f0ca54c9552aa44b497e1497c");
	assert_hash(c[2], "3dd6225e76d5716fd8121db0dad2ba0dc58eaec058125e3d5ca22b0373fb8401");
	assert_hash(c[3], "e110bca526738e9c7583bf183c847400c60e1c6ef999c625ab37197b7e1e466f");
	assert_hash(chain_leaf(0, 0x0102030405060708, STR("core"), c),
		    "33a5223453e812dd823a443a116fcb478ba8061fc95841500cd60feba23c78d5");
	struct chain_hash first = chain_entry(1, &zero, STR("{\"kind\":\"start\"}"));
	assert_hash(first, "7d17967d51e4cc8dbd5ccce42810be260e4f67aafca3e5c26b0557572794519f");
	assert_hash(chain_entry(2, &first, STR("{}")),
		    "0742f60e51b450103fab7302853cdcd1ff0d620dd8b5f8d0b869a92ae29cf034");
}

/* --- blocks --- */

/* The leaf of a record by the pure functions, nothing remembered. */
static struct chain_hash plain_leaf(const struct flow *f, const struct flow_dict *d,
				    const struct chain_secret *store, uint64_t block)
{
	struct buf parts[CHAIN_PARTS_];
	struct chain_hash c[CHAIN_PARTS_ - 1], leaf;

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		parts[i] = buf_init(1 << 20);
	chain_split(f, d, parts);
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++) {
		struct chain_secret s = chain_part_secret(store, block, p);
		c[p - 1] = chain_commit(p, &s, buf_str(&parts[p]));
	}
	leaf = chain_leaf(f->kind, f->seq, buf_str(&parts[CHAIN_CORE]), c);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&parts[i]);
	return leaf;
}

static void a_block_remembers_and_still_says_the_same(void **state)
{
	(void)state;
	enum { FLOWS = 301, BLOCKS = 5 };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(4096);
	AUTO(chain_block_free) struct chain_block *b = NULL;
	struct chain_secret store = counting_secret();
	struct random r = random_of(__func__, 4);
	static struct chain_hash want[FLOWS];

	assert_int_equal(chain_block_new(&b, NULL), ERR_OK);
	for (uint64_t block = 1; block <= BLOCKS; block++) {
		struct flow last = { 0 };
		chain_block_start(b, &store, block);
		for (size_t i = 0; i < FLOWS; i++) {
			struct flow f = random_made(&r, d);
			if (i && random_below(&r, 3)) { /* again the same two */
				f.src_ep = last.src_ep;
				f.dst_ep = last.dst_ep;
				memcpy(f.src_ip, last.src_ip, sizeof f.src_ip);
				memcpy(f.dst_ip, last.dst_ip, sizeof f.dst_ip);
				memcpy(f.src_xlated, last.src_xlated, sizeof f.src_xlated);
				memcpy(f.src_mac, last.src_mac, sizeof f.src_mac);
				memcpy(f.dst_mac, last.dst_mac, sizeof f.dst_mac);
			}
			if (random_below(&r, 10) == 0)
				f.kind = FLOW_KIND_LOST;
			last = f;
			want[i] = plain_leaf(&f, d, &store, block);
			assert_int_equal(chain_block_add(b, &f, d, NULL), ERR_OK);
			if (i % 50 == 0) {
				assert_memory_equal(chain_block_leaves(b), want,
						    (i + 1) * sizeof *want);
				pool_reset();
				last.ext_len = 0;
			}
		}
		struct chain_hash root, all = chain_root(want, FLOWS);
		assert_int_equal(chain_block_count(b), FLOWS);
		assert_memory_equal(chain_block_leaves(b), want, sizeof want);
		assert_int_equal(chain_block_root(b, &root, NULL), ERR_OK);
		assert_memory_equal(root.v, all.v, sizeof root.v);
		/* the leaves stay */
		assert_memory_equal(chain_block_leaves(b), want, sizeof want);
	}
}

/* Commitments wait to be hashed together: to DNS names, and to pairs of addresses that are new, that
 * come again while they wait and after it, that take each other's place, that there are none of,
 * and that are forgotten with the dictionary. */
static void commitments_wait_and_no_leaf_gets_those_of_another(void **state)
{
	(void)state;
	enum { FLOWS = 40000, AGAIN = 301, BEFORE = 70 };
	static const uint8_t source_name[] = { FLOW_FIELD_SOURCE_NAMES << 3 | WIRE_LEN, 1, 'a' };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(64);
	AUTO(chain_block_free) struct chain_block *b = NULL;
	const struct chain_secret store = counting_secret();
	static struct flow flows[FLOWS];
	struct chain_secret secrets[CHAIN_PARTS_];
	struct random r = random_of(__func__, 6);

	assert_int_equal(chain_block_new(&b, NULL), ERR_OK);
	chain_block_start(b, &store, 1);
	for (size_t i = 0; i < FLOWS; i++) {
		struct flow *f = &flows[i];
		*f = (struct flow){ .bits = FLOW_HAS_IP | FLOW_HAS_SRC_IP, .ip_version = 1 };
		if (random_below(&r, 3) == 0)
			f->bits = 0;
		ip_from_v4(f->src_ip,
			   (uint8_t[]){ 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i });
		uint64_t back = random_below(&r, 4) ? 0 : 1 + random_below(&r, AGAIN);
		if (back && back <= i)
			*f = flows[i - back];
		f->seq = i;
		if (random_below(&r, 4) == 0) {
			f->ext = source_name;
			f->ext_len = sizeof source_name;
		}
		if (i == BEFORE) /* what waits is of no block any longer */
			chain_block_start(b, &store, 2);
		if (i % 997 % 40 == 0 && i % 997 < 100)
			flow_dict_reset(d);
		assert_int_equal(chain_block_add(b, f, d, NULL), ERR_OK);
	}
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		secrets[p] = chain_part_secret(&store, 2, p);
	const struct chain_hash *got = chain_block_leaves(b);
	for (size_t i = BEFORE; i < FLOWS; i++) {
		AUTO_BUF struct buf core = buf_init(1 << 10), addresses = buf_init(1 << 10);
		const struct str dns = str_n(flows[i].ext, flows[i].ext_len);
		const struct str no_endpoint[2] = { { NULL, 0 }, { NULL, 0 } };
		struct chain_hash c[CHAIN_PARTS_ - 1];
		flow_encode_core(&core, &flows[i], d, no_endpoint, no_endpoint);
		flow_encode_addresses(&addresses, &flows[i]);
		for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
			c[p - 1] = chain_commit(p, &secrets[p],
						p == CHAIN_ADDRESSES ? buf_str(&addresses)
						: p == CHAIN_DNS     ? dns
								     : STR(""));
		struct chain_hash want = chain_leaf(FLOW_KIND_FLOW, i, buf_str(&core), c);
		assert_memory_equal(got[i - BEFORE].v, want.v, sizeof want.v);
	}
}

/* Ids begin anew with a reset: what was remembered of the one before means somebody else. */
static void a_dictionary_may_be_reset_in_the_middle_of_a_block(void **state)
{
	(void)state;
	static const char *const pods[] = { "cart-0", "front-0" };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(64);
	AUTO(chain_block_free) struct chain_block *b = NULL;
	struct chain_secret store = counting_secret();
	struct chain_hash want[ARRAY_LEN(pods)];

	assert_int_equal(chain_block_new(&b, NULL), ERR_OK);
	chain_block_start(b, &store, 1);
	for (size_t i = 0; i < ARRAY_LEN(pods); i++) {
		const struct str label = str_of(pods[i]);
		const struct endpoint ep = { .pod = label, .labels = &label, .label_count = 1 };
		flow_dict_reset(d);
		struct flow f = { .seq = 5 + i, .src_ep = flow_dict_endpoint(d, &ep) };
		want[i] = plain_leaf(&f, d, &store, 1);
		assert_int_equal(chain_block_add(b, &f, d, NULL), ERR_OK);
	}
	assert_memory_equal(chain_block_leaves(b), want, sizeof want);
}

static void one_changed_member_is_another_leaf(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(64);
	AUTO(chain_block_free) struct chain_block *b = NULL;
	struct chain_secret store = counting_secret();
	struct flow f = { .seq = 5,
			  .bits = FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP,
			  .verdict = 1,
			  .ip_version = 1 };
	struct flow g = f, h = f, other_seq = f;

	ip_from_v4(f.src_ip, (uint8_t[]){ 10, 0, 0, 1 });
	g.verdict = 2;
	h.src_ip[15] = 2;
	other_seq.seq = 6;
	assert_int_equal(chain_block_new(&b, NULL), ERR_OK);
	chain_block_start(b, &store, 1);
	const struct flow *all[] = { &f, &g, &h, &other_seq, &f };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		assert_int_equal(chain_block_add(b, all[i], d, NULL), ERR_OK);
	const struct chain_hash *leaves = chain_block_leaves(b);
	for (size_t i = 1; i < 4; i++)
		assert_memory_not_equal(leaves[0].v, leaves[i].v, 32);
	assert_memory_equal(leaves[0].v, leaves[4].v, 32);
}

static void an_empty_block_has_the_empty_root(void **state)
{
	(void)state;
	AUTO(chain_block_free) struct chain_block *b = NULL;
	struct chain_secret store = counting_secret();
	struct chain_hash root;

	assert_int_equal(chain_block_new(&b, NULL), ERR_OK);
	chain_block_start(b, &store, 1);
	assert_int_equal(chain_block_root(b, &root, NULL), ERR_OK);
	assert_hash(root, roots[0]);
}

/* However many, however long: as libcrypto has each by itself. */
static void many_messages_are_hashed_as_each_alone(void **state)
{
	enum { MOST = 3 * SHA256_AT_ONCE + 1, LONGEST = 600 };
	static uint8_t bytes[MOST][LONGEST];
	uint8_t got[MOST][SHA256_BYTES], want[2][SHA256_BYTES];
	struct str messages[MOST];
	uint8_t *to[MOST];
	uint64_t x = 1;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		((uint8_t *)bytes)[i] = (uint8_t)(x >> 56);
	}
	for (size_t n = 0; n <= MOST; n++)
		for (size_t base = 0; base < LONGEST; base += 41) {
			for (size_t i = 0; i < n; i++) {
				/* of one length, of nearly one, and of any */
				size_t len = base + (n % 3 == 0   ? 0
						     : n % 3 == 1 ? i % 17
								  : i * 97 % LONGEST);
				messages[i] = str_n(bytes[i], len % LONGEST);
				to[i] = got[i];
			}
			sha256_many(messages, to, n);
			for (size_t i = 0; i < n; i++) {
				sha256_two_plain((const struct str[]){ messages[i], STR("") },
						 (uint8_t *const[]){ want[0], want[1] });
				assert_memory_equal(got[i], want[0], SHA256_BYTES);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_messages_are_hashed_as_each_alone),
		cmocka_unit_test(every_length_of_two_messages_hashes_as_libcrypto_says),
		cmocka_unit_test(a_message_in_pieces_hashes_as_one),
		cmocka_unit_test(hmac_is_that_of_rfc_2104),
		cmocka_unit_test(roots_are_those_of_certificate_transparency),
		cmocka_unit_test(paths_are_those_of_certificate_transparency),
		cmocka_unit_test(every_proof_holds_and_no_other),
		cmocka_unit_test(a_path_is_as_long_as_the_tree_is_high),
		cmocka_unit_test(one_proof_for_several_leaves_leads_to_the_root),
		cmocka_unit_test(commitments_leaves_and_entries_follow_their_formulas),
		cmocka_unit_test(a_block_remembers_and_still_says_the_same),
		cmocka_unit_test(commitments_wait_and_no_leaf_gets_those_of_another),
		cmocka_unit_test(a_dictionary_may_be_reset_in_the_middle_of_a_block),
		cmocka_unit_test(one_changed_member_is_another_leaf),
		cmocka_unit_test(an_empty_block_has_the_empty_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
