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
	uint8_t bytes[SHA256_AT_ONCE][NODE_BYTES];
	struct str messages[SHA256_AT_ONCE];
	uint8_t *to[SHA256_AT_ONCE];
	size_t made = 0, pairs = count / 2;

	/* @out may be @level: what is written lies below what is still to be read. */
	while (made < pairs) {
		size_t n = pairs - made < SHA256_AT_ONCE ? pairs - made : SHA256_AT_ONCE;
		for (size_t i = 0; i < n; i++) {
			node_put(bytes[i], &level[2 * (made + i)], &level[2 * (made + i) + 1]);
			messages[i] = str_n(bytes[i], NODE_BYTES);
			to[i] = out[made + i].v;
		}
		sha256_many(messages, to, n);
		made += n;
	}
	if (count % 2)
		out[made++] = level[count - 1];
	return made;
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

/* --- one by one: complete subtrees wait for a neighbour, as a binary counter holds digits --- */

void chain_tree_add(struct chain_tree *t, const struct chain_hash *leaf)
{
	struct chain_hash h = *leaf;

	for (uint64_t n = t->count; n & 1; n >>= 1)
		h = node_of(&t->waiting[--t->depth], &h);
	t->waiting[t->depth++] = h;
	t->count++;
}

struct chain_hash chain_tree_root(const struct chain_tree *t)
{
	if (!t->count)
		return chain_root_in_place(NULL, 0);
	size_t depth = t->depth;
	struct chain_hash h = t->waiting[--depth];
	while (depth)
		h = node_of(&t->waiting[--depth], &h);
	return h;
}

struct chain_hash chain_root(const struct chain_hash *leaves, size_t count)
{
	struct chain_tree t = { .depth = 0 };

	for (size_t i = 0; i < count; i++)
		chain_tree_add(&t, &leaves[i]);
	return chain_tree_root(&t);
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

/* --- one proof for several leaves --- */

static size_t places_below(struct chain_places p, size_t limit)
{
	size_t from = 0, to = p.count;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (p.index[mid] < limit)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

void chain_proof_put(const struct chain_hash *leaves, size_t count, struct chain_places places,
		     struct buf *out)
{
	if (!places.count) {
		struct chain_hash h = chain_root(leaves, count);
		buf_put(out, h.v, sizeof h.v);
		return;
	}
	/* @places count from the start of the whole; @leaves too */
	struct {
		size_t lo, n;
	} stack[CHAIN_PROOF_MAX + 1];
	size_t depth = 0;
	stack[depth].lo = 0;
	stack[depth++].n = count;
	while (depth) {
		size_t lo = stack[--depth].lo, n = stack[depth].n;
		size_t first = places_below(places, lo), behind = places_below(places, lo + n);
		if (first == behind) {
			struct chain_hash h = chain_root(leaves + lo, n);
			buf_put(out, h.v, sizeof h.v);
		} else if (behind - first < n) {
			size_t k = split_of(n);
			stack[depth].lo = lo + k; /* the left side is to be next */
			stack[depth++].n = n - k;
			stack[depth].lo = lo;
			stack[depth++].n = k;
		}
	}
}

struct proof_reader {
	struct chain_hash *leaves;
	struct chain_places places;
	struct str proof;
	bool bad;
};

/* Depth is that of the tree: 64 at most. */
static struct chain_hash proven(struct proof_reader *r, size_t first, size_t behind, size_t lo,
				size_t n)
{
	struct chain_hash h = { { 0 } };

	if (first == behind) {
		if (r->proof.len < sizeof h.v) {
			r->bad = true;
			return h;
		}
		memcpy(h.v, r->proof.p, sizeof h.v);
		r->proof = str_from(r->proof, sizeof h.v);
		return h;
	}
	if (behind - first == n)
		return chain_root_in_place(r->leaves + first, n);
	size_t k = split_of(n);
	size_t mid = first +
		     places_below((struct chain_places){ r->places.index + first, behind - first },
				  lo + k);
	struct chain_hash left = proven(r, first, mid, lo, k);
	struct chain_hash right = proven(r, mid, behind, lo + k, n - k);
	return node_of(&left, &right);
}

bool chain_proof_root(struct chain_hash *leaves, struct chain_places places, size_t count,
		      struct str proof, struct chain_hash *ret)
{
	struct proof_reader r = { leaves, places, proof, false };

	for (size_t i = 0; i < places.count; i++)
		if (places.index[i] >= count || (i && places.index[i] <= places.index[i - 1]))
			return false;
	if (!count)
		return false;
	struct chain_hash h = proven(&r, 0, places.count, 0, count);
	if (r.bad || r.proof.len)
		return false;
	*ret = h;
	return true;
}
