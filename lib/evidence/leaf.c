#include "evidence/leaf.h"

#include "base/pages.h"
#include "chain/sha256.h"

enum {
	AT_ONCE = 2 * SHA256_AT_ONCE, /* records */
	LABELS = 4096,                /* that are remembered; a power of two */
	COMMITMENTS_BYTES = (CHAIN_PARTS_ - 1) * SHA256_BYTES,
	/* Messages of so many bytes are hashed together: nearly all. Leaves are an odd number of a
	 * cache's lines apart, or they would share a few places of it. */
	LEAF_BYTES = 15 * 64,
	COMMITMENT_BYTES = 6 * 64,
	/* Kinds of commitments that a record may need: to two pairs of labels, addresses and DNS. */
	TO_COMMIT = AT_ONCE * (CHAIN_PARTS_ - 1),
};

/* Messages that wait to be hashed together. */
struct waiting {
	struct str messages[TO_COMMIT];
	uint8_t *to[TO_COMMIT];
	size_t count;
};

struct known_labels {
	uint64_t key, block;
	struct chain_hash commitment;
};

struct leaf_hasher {
	const struct chain_secret *secrets[CHAIN_PARTS_]; /* NULL: withheld */
	struct chain_hash nothing[CHAIN_PARTS_];          /* commitments to "" */
	uint64_t block;
	struct known_labels labels[2][LABELS];
	struct waiting leaves, commitments;
	/* Of the records that wait: where their commitments are, those that are made now, and the
	 * labels among these. */
	const struct chain_hash *parts[AT_ONCE][CHAIN_PARTS_];
	struct chain_hash made[AT_ONCE][CHAIN_PARTS_];
	uint64_t labels_keys[AT_ONCE][2]; /* 0: not to be remembered */
	_Alignas(64) char leaf_bytes[AT_ONCE][LEAF_BYTES];
	char commitment_bytes[TO_COMMIT][COMMITMENT_BYTES];
};

enum err_code leaf_hasher_new(struct leaf_hasher **ret, struct err *e)
{
	struct leaf_hasher *h = pages_new(1, sizeof *h);

	if (!h)
		return err_set(e, ERR_NOMEM, "leaves of a bundle");
	*ret = h;
	return ERR_OK;
}

void leaf_hasher_free(struct leaf_hasher *h)
{
	if (h)
		pages_free(h, 1, sizeof *h);
}

void leaf_begin(struct leaf_hasher *h, const struct chain_secret *const secrets[CHAIN_PARTS_])
{
	h->block++;
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++) {
		h->secrets[p] = secrets[p];
		if (secrets[p])
			h->nothing[p] = chain_commit(p, secrets[p], STR(""));
	}
}

/* Commits to @bytes, now or at the flush. */
static void commit(struct leaf_hasher *h, enum chain_part part, struct str bytes,
		   struct chain_hash *to)
{
	struct waiting *w = &h->commitments;
	size_t len = CHAIN_COMMIT_HEAD + bytes.len;
	char *p = h->commitment_bytes[w->count];

	if (len > sizeof h->commitment_bytes[0]) {
		*to = chain_commit(part, h->secrets[part], bytes);
		return;
	}
	w->messages[w->count] = str_n(p, len);
	w->to[w->count++] = to->v;
	chain_commit_head((uint8_t *)p, part, h->secrets[part]);
	memcpy(p + CHAIN_COMMIT_HEAD, bytes.p, bytes.len);
}

static void hash_waiting(struct waiting *w)
{
	sha256_many(w->messages, w->to, w->count);
	w->count = 0;
}

static struct known_labels *known_labels(struct leaf_hasher *h, size_t side, uint64_t key)
{
	return &h->labels[side][key % LABELS];
}

/* Where the commitment to a shown part of the record that waits as @i is, or will be. */
static const struct chain_hash *commitment(struct leaf_hasher *h, size_t i, enum chain_part part,
					   struct str bytes, uint64_t labels_key)
{
	if (!bytes.len)
		return &h->nothing[part];
	if (labels_key) {
		size_t side = part == CHAIN_DESTINATION_LABELS;
		const struct known_labels *known = known_labels(h, side, labels_key);
		if (known->key == labels_key && known->block == h->block)
			return &known->commitment;
		h->labels_keys[i][side] = labels_key;
	}
	commit(h, part, bytes, &h->made[i][part]);
	return &h->made[i][part];
}

static char *put(char *p, const void *from, size_t len)
{
	memcpy(p, from, len);
	return p + len;
}

/* A leaf that is too long to wait: nearly never. */
static struct chain_hash long_leaf(const struct leaf_hasher *h, uint64_t seq,
				   const struct str parts[CHAIN_PARTS_],
				   const struct chain_hash *const commitments[CHAIN_PARTS_])
{
	struct chain_hash c[CHAIN_PARTS_ - 1];

	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		c[p - 1] =
			h->secrets[p] ? chain_commit(p, h->secrets[p], parts[p]) : *commitments[p];
	return chain_leaf(FLOW_KIND_FLOW, seq, parts[CHAIN_CORE], c);
}

_Static_assert(CHAIN_LEAF_HEAD + LEAF_CORE_BYTES <= LEAF_BYTES, "a core that fits is one's own");

char *leaf_core(struct leaf_hasher *h)
{
	if (h->leaves.count == AT_ONCE)
		leaf_flush(h);
	return h->leaf_bytes[h->leaves.count] + CHAIN_LEAF_HEAD;
}

void leaf_add(struct leaf_hasher *h, uint64_t seq, const struct str parts[CHAIN_PARTS_],
	      const struct chain_hash *const commitments[CHAIN_PARTS_],
	      const uint64_t labels_key[2], struct chain_hash *to)
{
	size_t len = CHAIN_LEAF_HEAD + parts[CHAIN_CORE].len + COMMITMENTS_BYTES;

	if (len > LEAF_BYTES) {
		*to = long_leaf(h, seq, parts, commitments);
		return;
	}
	if (h->leaves.count == AT_ONCE)
		leaf_flush(h);
	size_t i = h->leaves.count++;
	h->leaves.messages[i] = str_n(h->leaf_bytes[i], len);
	h->leaves.to[i] = to->v;
	char *p = h->leaf_bytes[i];
	chain_leaf_head((uint8_t *)p, FLOW_KIND_FLOW, seq);
	if (parts[CHAIN_CORE].p != p + CHAIN_LEAF_HEAD)
		(void)put(p + CHAIN_LEAF_HEAD, parts[CHAIN_CORE].p, parts[CHAIN_CORE].len);
	h->labels_keys[i][0] = h->labels_keys[i][1] = 0;
	for (enum chain_part part = CHAIN_ADDRESSES; part < CHAIN_PARTS_; part++) {
		uint64_t key = part == CHAIN_SOURCE_LABELS        ? labels_key[0]
			       : part == CHAIN_DESTINATION_LABELS ? labels_key[1]
								  : 0;
		h->parts[i][part] = h->secrets[part] ? commitment(h, i, part, parts[part], key)
						     : commitments[part];
	}
}

void leaf_flush(struct leaf_hasher *h)
{
	size_t n = h->leaves.count;

	hash_waiting(&h->commitments);
	for (size_t i = 0; i < n; i++) {
		char *to = h->leaf_bytes[i] + h->leaves.messages[i].len - COMMITMENTS_BYTES;
		for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
			to = put(to, h->parts[i][p]->v, SHA256_BYTES);
	}
	hash_waiting(&h->leaves);
	/* Not before: a record may still have looked at whom they replace. */
	for (size_t i = 0; i < n; i++)
		for (size_t side = 0; side < 2; side++) {
			uint64_t key = h->labels_keys[i][side];
			enum chain_part p = side ? CHAIN_DESTINATION_LABELS : CHAIN_SOURCE_LABELS;
			if (key)
				*known_labels(h, side, key) =
					(struct known_labels){ key, h->block, h->made[i][p] };
		}
}
