/* RFC 9162 §2.1: trees, proofs. A tree of n leaves is made level by level: neighbours become a
 * node, a last one without a neighbour moves up as it is. That is the RFC's tree, which splits at
 * the largest power of two below n. */
#include "chain/chain.h"

#include "chain/sha256.h"
#include "chain/tree.h"

enum { NODE_BYTES = 1 + 2 * SHA256_BYTES };

static void node_put(uint8_t to[NODE_BYTES], const struct chain_hash *left,
		     const struct chain_hash *right)
{
	to[0] = 0x01;
	memcpy(to + 1, left->v, SHA256_BYTES);
	memcpy(to + 1 + SHA256_BYTES, right->v, SHA256_BYTES);
}

static struct chain_hash node_of(const struct chain_hash *left, const struct chain_hash *right)
{
	uint8_t bytes[NODE_BYTES];
	struct chain_hash h;

	node_put(bytes, left, right);
	sha256(str_n(bytes, sizeof bytes), h.v);
	return h;
}

size_t chain_level_up(const struct chain_hash *level, size_t count, struct chain_hash *out)
{
	uint8_t bytes[2][NODE_BYTES];
	size_t i = 0, to = 0;

	/* @out may be @level: what is written lies below what is still to be read. */
	for (; i + 4 <= count; i += 4, to += 2) {
		node_put(bytes[0], &level[i], &level[i + 1]);
		node_put(bytes[1], &level[i + 2], &level[i + 3]);
		sha256_two((const struct str[]){ str_n(bytes[0], NODE_BYTES),
						 str_n(bytes[1], NODE_BYTES) },
			   (uint8_t *const[]){ out[to].v, out[to + 1].v });
	}
	for (; i + 2 <= count; i += 2)
		out[to++] = node_of(&level[i], &level[i + 1]);
	if (i < count)
		out[to++] = level[i];
	return to;
}

struct chain_hash chain_root_in_place(struct chain_hash *hashes, size_t count)
{
	struct chain_hash h;

	if (!count) {
		sha256(STR(""), h.v);
		return h;
	}
	while (count > 1)
		count = chain_level_up(hashes, count, hashes);
	return hashes[0];
}

/* --- without memory: complete subtrees, from the largest down --- */

/* Nodes that wait for a neighbour, as a binary counter holds digits: one for each bit of the number
 * of leaves so far. */
struct peaks {
	struct chain_hash h[64];
	size_t depth;
};

static void peaks_add(struct peaks *p, size_t index, const struct chain_hash *leaf)
{
	struct chain_hash h = *leaf;

	for (; index & 1; index >>= 1)
		h = node_of(&p->h[--p->depth], &h);
	p->h[p->depth++] = h;
}

struct chain_hash chain_root(const struct chain_hash *leaves, size_t count)
{
	struct peaks p = { .depth = 0 };

	if (!count)
		return chain_root_in_place(NULL, 0);
	for (size_t i = 0; i < count; i++)
		peaks_add(&p, i, &leaves[i]);
	struct chain_hash h = p.h[--p.depth];
	while (p.depth)
		h = node_of(&p.h[--p.depth], &h);
	return h;
}

/* The largest power of two below @n, which is at least 2. */
static size_t split_of(size_t n)
{
	size_t k = 1;

	while (k < n - k)
		k <<= 1;
	return k;
}

size_t chain_proof(const struct chain_hash *leaves, size_t count, size_t index,
		   struct chain_hash ret[CHAIN_PROOF_MAX])
{
	struct chain_hash down[CHAIN_PROOF_MAX]; /* from the root to the leaf */
	size_t n = 0;

	while (count > 1) {
		size_t k = split_of(count);
		if (index < k) {
			down[n++] = chain_root(leaves + k, count - k);
			count = k;
		} else {
			down[n++] = chain_root(leaves, k);
			leaves += k;
			index -= k;
			count -= k;
		}
	}
	for (size_t i = 0; i < n; i++)
		ret[i] = down[n - 1 - i];
	return n;
}

/* RFC 9162 §2.1.3.2 */
bool chain_proof_holds(const struct chain_hash *leaf, size_t index, size_t count,
		       const struct chain_hash *proof, size_t proof_len,
		       const struct chain_hash *root)
{
	if (index >= count)
		return false;
	size_t fn = index, sn = count - 1;
	struct chain_hash r = *leaf;
	for (size_t i = 0; i < proof_len; i++) {
		if (!sn)
			return false;
		if (fn & 1 || fn == sn) {
			r = node_of(&proof[i], &r);
			for (; !(fn & 1) && fn; fn >>= 1)
				sn >>= 1;
		} else {
			r = node_of(&r, &proof[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return !sn && memcmp(r.v, root->v, sizeof r.v) == 0;
}
