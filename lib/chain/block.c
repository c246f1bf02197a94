/*
 * A block's leaves at speed. What repeats from flow to flow, labels and pairs of addresses, is
 * committed to once a block and remembered in two tables of fixed size, where a newcomer takes the
 * place of whoever has it: a miss costs a hash, never an answer.
 *
 * Leaves are hashed some at a time, and so are the commitments in them, which come first: a leaf
 * waits with places for them, a pair of addresses with the number of its own.
 */
#include "chain/chain.h"

#include "base/pages.h"
#include "chain/sha256.h"
#include "chain/split.h"
#include "chain/tree.h"
#include "flow/fields.h"
#include "flow/wire.h"

enum {
	ENDPOINT_SLOTS = 4096,
	PAIR_SLOTS = 16384,
	PAIR_KEY_BYTES = 64,               /* the last one is 0 */
	LEAVES_WAIT = 3 * SHA256_AT_ONCE,  /* about as many bring so many commitments */
	COMMITS_WAIT = 2 * SHA256_AT_ONCE, /* of addresses and DNS */
	COMMITS_OF_LEAF = 2,
	COMMIT_BYTES = 4 * 64 - 9, /* longer ones do not wait */
	RECORD_MAX_BYTES = 64 << 20,
	COMMITMENTS_BYTES = (CHAIN_PARTS_ - 1) * SHA256_BYTES,
};

struct endpoint_slot {
	uint64_t epoch; /* valid if the block's */
	uint32_t id;
	bool has[2]; /* of labels[], by enum flow_side */
	struct split_endpoint split;
	struct chain_hash labels[2];
};

struct pair {
	uint8_t key[PAIR_KEY_BYTES - 1];
	uint8_t waits; /* which of the commitments that wait, plus one; 0: it is there */
	struct chain_hash addresses;
};
_Static_assert(COMMITS_WAIT <= UINT8_MAX, "numbers of commitments");

/* Commitments that wait to be hashed, and the places in leaves that wait for them. */
struct commits {
	size_t count, due_count;
	struct str messages[COMMITS_WAIT];
	struct pair *pair[COMMITS_WAIT]; /* that shall remember it; NULL: none */
	struct {
		char *to;
		size_t which;
	} due[COMMITS_OF_LEAF * LEAVES_WAIT];
	struct chain_hash made[COMMITS_WAIT];
	char bytes[COMMITS_WAIT][COMMIT_BYTES];
};

/* A leaf's commitments; of those that wait, which they are, plus one. */
struct commitments {
	struct chain_hash of[CHAIN_PARTS_];
	uint8_t waits[CHAIN_PARTS_];
};

struct chain_block {
	uint64_t epoch; /* grows with each block and each other dictionary */
	const struct flow_dict *dict;
	uint64_t dict_generation;
	struct chain_secret secrets[CHAIN_PARTS_];
	struct chain_hash nothing[CHAIN_PARTS_]; /* commitments to "" */

	struct buf waiting[LEAVES_WAIT]; /* what leaves are hashed from */
	size_t waiting_count;
	struct commits commits;
	struct buf parts[CHAIN_PARTS_]; /* scratch */

	struct chain_hash *leaves, *scratch;
	size_t count, cap, scratch_cap; /* count: hashed and waiting */

	struct endpoint_slot endpoints[ENDPOINT_SLOTS];
	/* By hash of the key where in @pairs, plus one; these lie side by side, so that a small
	 * block touches few of them. */
	uint16_t pair_at[PAIR_SLOTS];
	size_t pair_count;
	struct pair pairs[PAIR_SLOTS];
};

enum err_code chain_block_new(struct chain_block **ret, struct err *e)
{
	struct chain_block *b = pages_new(1, sizeof *b);

	if (!b)
		return err_set(e, ERR_NOMEM, "a block of the chain");
	for (size_t i = 0; i < ARRAY_LEN(b->waiting); i++)
		b->waiting[i] = buf_init(RECORD_MAX_BYTES);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		b->parts[i] = buf_init(RECORD_MAX_BYTES);
	*ret = b;
	return ERR_OK;
}

void chain_block_free(struct chain_block *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < ARRAY_LEN(b->waiting); i++)
		buf_done(&b->waiting[i]);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&b->parts[i]);
	free(b->leaves);
	free(b->scratch);
	explicit_bzero(b->secrets, sizeof b->secrets);
	pages_free(b, 1, sizeof *b);
}

/* What is remembered is of another block, or means something else, from now on. */
static void forget(struct chain_block *b)
{
	b->epoch++;
	b->pair_count = 0;
	memset(b->pair_at, 0, sizeof b->pair_at);
	memset(b->commits.pair, 0, sizeof b->commits.pair);
}

void chain_block_start(struct chain_block *b, const struct chain_secret *store, uint64_t number)
{
	forget(b);
	b->count = b->waiting_count = 0;
	b->commits.count = b->commits.due_count = 0;
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++) {
		b->secrets[p] = chain_part_secret(store, number, p);
		b->nothing[p] = chain_commit(p, &b->secrets[p], STR(""));
	}
}

static struct chain_hash commit(const struct chain_block *b, enum chain_part part, struct str bytes)
{
	return bytes.len ? chain_commit(part, &b->secrets[part], bytes) : b->nothing[part];
}

/* Commits to @bytes later. @return which it is, plus one; 0: it is there, in @now. */
static uint8_t commit_soon(struct chain_block *b, enum chain_part part, struct str bytes,
			   struct chain_hash *now)
{
	struct commits *w = &b->commits;
	size_t len = CHAIN_COMMIT_HEAD + bytes.len, i = w->count;

	if (!bytes.len || len > COMMIT_BYTES) {
		*now = commit(b, part, bytes);
		return 0;
	}
	chain_commit_head((uint8_t *)w->bytes[i], part, &b->secrets[part]);
	memcpy(w->bytes[i] + CHAIN_COMMIT_HEAD, bytes.p, bytes.len);
	w->messages[i] = str_n(w->bytes[i], len);
	w->pair[i] = NULL;
	return (uint8_t)++w->count;
}

static void hash_commits(struct chain_block *b)
{
	struct commits *w = &b->commits;
	uint8_t *to[COMMITS_WAIT];

	for (size_t i = 0; i < w->count; i++)
		to[i] = w->made[i].v;
	sha256_many(w->messages, to, w->count);
	for (size_t i = 0; i < w->count; i++)
		if (w->pair[i]) {
			w->pair[i]->addresses = w->made[i];
			w->pair[i]->waits = 0;
		}
	for (size_t i = 0; i < w->due_count; i++)
		memcpy(w->due[i].to, &w->made[w->due[i].which], SHA256_BYTES);
	w->count = w->due_count = 0;
}

/* Those of the leaf that ends in @commitments. */
static void note_due(struct commits *w, char *commitments, const struct commitments *c)
{
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		if (c->waits[p]) {
			w->due[w->due_count].to = commitments + (p - 1) * SHA256_BYTES;
			w->due[w->due_count++].which = c->waits[p] - 1u;
		}
}

/* --- what repeats --- */

static void check_dict(struct chain_block *b, const struct flow_dict *d)
{
	uint64_t generation = flow_dict_generation(d);

	if (b->dict == d && b->dict_generation == generation)
		return;
	b->dict = d;
	b->dict_generation = generation;
	forget(b);
}

static struct endpoint_slot *endpoint_slot(struct chain_block *b, const struct flow_dict *d,
					   struct endpoint_id id)
{
	struct endpoint_slot *s = &b->endpoints[id.v % ENDPOINT_SLOTS];

	if (s->epoch == b->epoch && s->id == id.v)
		return s;
	const struct endpoint *ep = flow_dict_get_endpoint(d, id);
	*s = (struct endpoint_slot){ .epoch = b->epoch, .id = id.v };
	if (ep)
		s->split = split_endpoint_of(ep->wire);
	return s;
}

static const struct chain_hash *labels_of(struct chain_block *b, struct endpoint_slot *s,
					  enum flow_side side)
{
	enum chain_part part = side == FLOW_SRC ? CHAIN_SOURCE_LABELS : CHAIN_DESTINATION_LABELS;

	if (!s->split.labels.len)
		return &b->nothing[part];
	if (!s->has[side]) {
		struct buf *bytes = &b->parts[part];
		buf_reset(bytes);
		wire_put_str(bytes, side == FLOW_SRC ? FLOW_FIELD_SOURCE : FLOW_FIELD_DESTINATION,
			     s->split.labels);
		s->labels[side] = commit(b, part, buf_str(bytes));
		s->has[side] = !bytes->failed;
	}
	return &s->labels[side];
}

/* Everything that flow_encode_addresses looks at, ext apart: the members from src_ip to ip_version
 * lie side by side. */
static void pair_key(const struct flow *f, uint8_t key[PAIR_KEY_BYTES])
{
	enum {
		FROM = offsetof(struct flow, src_ip),
		BYTES = offsetof(struct flow, ip_version) + 1 - FROM
	};
	const uint32_t bits = FLOW_HAS_ETHERNET | FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP |
			      FLOW_HAS_XLATED | FLOW_ENCRYPTED;
	_Static_assert(BYTES == 3 * 16 + 2 * 6 + 1, "members side by side");
	_Static_assert(FLOW_ENCRYPTED < 1 << 16, "two bytes hold the bits");
	uint16_t said = (uint16_t)(f->bits & bits);

	memcpy(key, (const uint8_t *)f + FROM, BYTES);
	memcpy(key + BYTES, &said, sizeof said);
	key[PAIR_KEY_BYTES - 1] = 0;
	_Static_assert(BYTES + sizeof said == PAIR_KEY_BYTES - 1, "one byte is left");
}

static void addresses_of(struct chain_block *b, const struct flow *f, struct commitments *c)
{
	uint8_t key[PAIR_KEY_BYTES];
	struct buf *bytes = &b->parts[CHAIN_ADDRESSES];

	pair_key(f, key);
	uint16_t *at = &b->pair_at[hash_bytes(key, sizeof key, 0) % PAIR_SLOTS];
	struct pair *p = &b->pairs[*at ? *at - 1u : b->pair_count];
	if (!*at || memcmp(p->key, key, sizeof p->key) != 0) {
		buf_reset(bytes);
		flow_encode_addresses(bytes, f);
		if (bytes->failed)
			return;
		if (*at && p->waits)
			b->commits.pair[p->waits - 1] = NULL; /* its place is taken */
		memcpy(p->key, key, sizeof p->key);
		p->waits = commit_soon(b, CHAIN_ADDRESSES, buf_str(bytes), &p->addresses);
		if (p->waits)
			b->commits.pair[p->waits - 1] = p;
		if (!*at)
			*at = (uint16_t)++b
				      ->pair_count; /* at most one for each place in @pair_at */
	}
	c->waits[CHAIN_ADDRESSES] = p->waits;
	c->of[CHAIN_ADDRESSES] = p->addresses;
}

/* --- leaves --- */

/* Room for one more leaf. */
static bool grow(struct chain_block *b)
{
	if (b->count < b->cap)
		return true;
	size_t cap = b->cap ? b->cap * 2 : 1024;
	struct chain_hash *leaves = realloc(b->leaves, cap * sizeof *leaves);
	if (!leaves)
		return false;
	b->leaves = leaves;
	b->cap = cap;
	return true;
}

static void hash_waiting(struct chain_block *b)
{
	struct str messages[LEAVES_WAIT];
	uint8_t *to[LEAVES_WAIT];
	size_t first = b->count - b->waiting_count;

	hash_commits(b);
	for (size_t i = 0; i < b->waiting_count; i++) {
		messages[i] = buf_str(&b->waiting[i]);
		to[i] = b->leaves[first + i].v;
	}
	sha256_many(messages, to, b->waiting_count);
	b->waiting_count = 0;
}

/* The core to @leaf; the commitments of a made flow. */
static void add_made(struct chain_block *b, struct buf *leaf, const struct flow *f,
		     const struct flow_dict *d, struct commitments *c)
{
	struct str tunnel;

	check_dict(b, d);
	struct endpoint_slot *src = endpoint_slot(b, d, f->src_ep);
	struct str src_rest[2] = { src->split.rest[0], src->split.rest[1] };
	c->of[CHAIN_SOURCE_LABELS] = *labels_of(b, src, FLOW_SRC);
	struct endpoint_slot *dst = endpoint_slot(b, d, f->dst_ep);
	c->of[CHAIN_DESTINATION_LABELS] = *labels_of(b, dst, FLOW_DST);
	flow_encode_core(leaf, f, d, src_rest, dst->split.rest);

	if (f->ext_len && wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_TUNNEL, &tunnel)) {
		buf_reset(&b->parts[CHAIN_ADDRESSES]);
		flow_encode_addresses(&b->parts[CHAIN_ADDRESSES], f);
		c->waits[CHAIN_ADDRESSES] =
			commit_soon(b, CHAIN_ADDRESSES, buf_str(&b->parts[CHAIN_ADDRESSES]),
				    &c->of[CHAIN_ADDRESSES]);
	} else {
		addresses_of(b, f, c);
	}
	buf_reset(&b->parts[CHAIN_DNS]);
	if (f->ext_len)
		flow_encode_dns(&b->parts[CHAIN_DNS], f, d);
	c->waits[CHAIN_DNS] =
		commit_soon(b, CHAIN_DNS, buf_str(&b->parts[CHAIN_DNS]), &c->of[CHAIN_DNS]);
}

/* The same of any other record. */
static void add_other(struct chain_block *b, struct buf *leaf, const struct flow *f,
		      const struct flow_dict *d, struct commitments *c)
{
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_reset(&b->parts[i]);
	chain_split(f, d, b->parts);
	buf_str_put(leaf, buf_str(&b->parts[CHAIN_CORE]));
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		c->of[p] = commit(b, p, buf_str(&b->parts[p]));
}

static void put_head(struct buf *leaf, const struct flow *f)
{
	uint8_t *head = (uint8_t *)buf_reserve(leaf, CHAIN_LEAF_HEAD);

	if (!head)
		return;
	chain_leaf_head(head, f->kind, f->seq);
	leaf->len += CHAIN_LEAF_HEAD;
}

enum err_code chain_block_add(struct chain_block *b, const struct flow *f,
			      const struct flow_dict *d, struct err *e)
{
	struct buf *leaf = &b->waiting[b->waiting_count];
	struct commitments c;

	memset(c.waits, 0, sizeof c.waits); /* the others are set, or to come */
	if (!grow(b))
		return err_set(e, ERR_NOMEM, "leaf %zu of a block", b->count);
	if (b->commits.count > COMMITS_WAIT - COMMITS_OF_LEAF)
		hash_commits(b);
	buf_reset(leaf);
	put_head(leaf, f);
	if (f->kind == FLOW_KIND_FLOW && !(f->bits & FLOW_WHOLE))
		add_made(b, leaf, f, d, &c);
	else
		add_other(b, leaf, f, d, &c);
	buf_put(leaf, &c.of[CHAIN_ADDRESSES], COMMITMENTS_BYTES);
	bool failed = leaf->failed;
	for (size_t i = 0; i < CHAIN_PARTS_; i++) {
		failed |= b->parts[i].failed;
		b->parts[i].failed = false;
	}
	if (failed)
		return err_set(e, ERR_NOMEM, "leaf %zu of a block", b->count);
	note_due(&b->commits, leaf->p + leaf->len - COMMITMENTS_BYTES, &c);
	b->waiting_count++;
	b->count++;
	if (b->waiting_count == ARRAY_LEN(b->waiting))
		hash_waiting(b);
	return ERR_OK;
}

size_t chain_block_count(const struct chain_block *b)
{
	return b->count;
}

const struct chain_hash *chain_block_leaves(struct chain_block *b)
{
	hash_waiting(b);
	return b->leaves;
}

enum err_code chain_block_root(struct chain_block *b, struct chain_hash *ret, struct err *e)
{
	size_t half = (b->count + 1) / 2;

	hash_waiting(b);
	if (half > b->scratch_cap) {
		struct chain_hash *scratch = realloc(b->scratch, half * sizeof *scratch);
		if (!scratch)
			return err_set(e, ERR_NOMEM, "root over %zu leaves", b->count);
		b->scratch = scratch;
		b->scratch_cap = half;
	}
	*ret = chain_root_in_place(b->scratch, chain_level_up(b->leaves, b->count, b->scratch));
	return ERR_OK;
}
