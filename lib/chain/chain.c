#include "chain/chain.h"

#include "chain/sha256.h"

_Static_assert(sizeof(struct chain_hash) == SHA256_BYTES, "hashes lie side by side");

void chain_be64_put(uint8_t to[8], uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(to, &v, sizeof v);
}

struct chain_secret chain_part_secret(const struct chain_secret *store, uint64_t block,
				      enum chain_part part)
{
	static const char label[] = "tycho part";
	uint8_t message[sizeof label - 1 + 8 + 1];
	struct chain_secret s;

	memcpy(message, label, sizeof label - 1);
	chain_be64_put(message + sizeof label - 1, block);
	message[sizeof message - 1] = (uint8_t)part;
	sha256_hmac(str_n(store->v, sizeof store->v), str_n(message, sizeof message), s.v);
	return s;
}

void chain_commit_head(uint8_t to[CHAIN_COMMIT_HEAD], enum chain_part part,
		       const struct chain_secret *part_secret)
{
	to[0] = 0x02;
	to[1] = (uint8_t)part;
	memcpy(to + 2, part_secret->v, sizeof part_secret->v);
}

struct chain_hash chain_commit(enum chain_part part, const struct chain_secret *part_secret,
			       struct str bytes)
{
	uint8_t head[CHAIN_COMMIT_HEAD];
	struct sha256 s;
	struct chain_hash h;

	chain_commit_head(head, part, part_secret);
	sha256_init(&s);
	sha256_put(&s, str_n(head, sizeof head));
	sha256_put(&s, bytes);
	sha256_end(&s, h.v);
	return h;
}

void chain_leaf_head(uint8_t to[CHAIN_LEAF_HEAD], uint8_t kind, uint64_t seq)
{
	to[0] = 0x00;
	to[1] = kind;
	chain_be64_put(to + 2, seq);
}

struct chain_hash chain_leaf(uint8_t kind, uint64_t seq, struct str core,
			     const struct chain_hash commitments[CHAIN_PARTS_ - 1])
{
	uint8_t head[CHAIN_LEAF_HEAD];
	struct sha256 s;
	struct chain_hash h;

	chain_leaf_head(head, kind, seq);
	sha256_init(&s);
	sha256_put(&s, str_n(head, sizeof head));
	sha256_put(&s, core);
	sha256_put(&s, str_n(commitments, (CHAIN_PARTS_ - 1) * sizeof *commitments));
	sha256_end(&s, h.v);
	return h;
}

struct chain_hash chain_entry(uint64_t number, const struct chain_hash *before, struct str body)
{
	uint8_t head[1 + 8 + SHA256_BYTES] = { 0x03 };
	struct sha256 s;
	struct chain_hash h;

	chain_be64_put(head + 1, number);
	memcpy(head + 9, before->v, SHA256_BYTES);
	sha256_init(&s);
	sha256_put(&s, str_n(head, sizeof head));
	sha256_put(&s, body);
	sha256_end(&s, h.v);
	return h;
}
