#include "evidence/export.h"

#include <sys/timex.h>

#include "base/map.h"
#include "chain/sha256.h"
#include "chain/tree.h"
#include "evidence/checkpoint.h"
#include "evidence/redact.h"
#include "evidence/text.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "tycho/v1/evidence.pb-c.h"

enum {
	WORK = 2048,        /* records a portion */
	PAGE_ENTRIES = 512, /* entries read at once */
	PAGE_BYTES = 4 << 20,
	CHECKPOINTS_AT_ONCE = 2048,
	TEXT_BYTES = 64 << 20,
	PARTS_MAX = 1 << 20, /* distinct parts of a block */
	PART_BYTES = 64 << 20,
};

/* ExportResponse */
enum {
	RESPONSE_NODE = 1,
	RESPONSE_ENTRIES,
	RESPONSE_BLOCK,
	RESPONSE_CHECKPOINT,
	RESPONSE_POLICY,
	RESPONSE_STATEMENT
};

enum phase { POLICIES, FIRST_MATCH, CHECKPOINTS, ENTRIES, BLOCK, STATEMENT, DONE };

/* A page of the chain, copied. */
struct page_entry {
	uint64_t number, first_seq, last_seq, count;
	struct chain_hash before, hash, root;
	bool is_block;
	size_t body_at, body_len;
};
struct page {
	struct page_entry entries[PAGE_ENTRIES];
	size_t count, at;
	struct buf bodies;
	bool is_last; /* nothing came behind it */
};

struct evidence_export {
	struct evidence_export_config config;
	Tycho__V1__ExportRequest *request;
	struct flow_filter *filter;
	struct wall_ns since, until;
	bool has_since, has_until;
	unsigned redact;
	struct redact_key redact_key;
	struct chain_secret secret;
	enum phase phase;

	struct buf policies; /* lines */
	size_t policies_at;
	uint64_t policy_count;

	/* Matches, by number: what the filtered scan has found and no block has taken yet. */
	struct store_scan *matching;
	bool has_all_matches;
	uint64_t matches[WORK * 2];
	size_t match_at, match_count;

	struct buf checkpoints; /* ExportResponse messages with their length before them */
	size_t checkpoints_at;
	uint64_t checkpoint_next, start_entry, end_entry; /* end 0: the head */
	bool checkpoints_ended;
	uint64_t checkpoint_count;
	struct sha256 checkpoint_sum; /* over the lines of those sent */

	struct page page;
	struct buf bodies; /* EvidenceEntries.bodies not sent yet */
	uint64_t next_entry, first_pending;
	struct chain_hash before_pending;
	uint64_t first_entry, last_entry; /* sent */
	struct chain_hash before_first, head;

	/* All records, from the block at work on. */
	struct store_scan *all;
	const struct flow *portion;
	size_t portion_at, portion_count;
	bool all_ended;

	struct page_entry block;
	bool block_has_begun, block_is_sent; /* a piece of it, with the secrets */
	struct chain_block *chain;
	struct map *parts_known;
	uint32_t parts_count;
	struct chain_hash *items;
	uint32_t *places;
	size_t item_count, item_cap;
	struct buf parts[CHAIN_PARTS_], scratch, key, shown;
	struct buf piece_parts, piece_records;

	struct chain_tree root; /* over blocks' roots over items */
	uint64_t flows, blocks;
};

/* --- making one ----------------------------------------------------------------------------- */

void evidence_export_free(struct evidence_export *x)
{
	if (!x)
		return;
	store_scan_free(x->matching);
	store_scan_free(x->all);
	flow_filter_free(x->filter);
	if (x->request)
		tycho__v1__export_request__free_unpacked(x->request, NULL);
	chain_block_free(x->chain);
	map_free(x->parts_known);
	free(x->items);
	free(x->places);
	struct buf *const bufs[] = { &x->policies, &x->checkpoints, &x->page.bodies,
				     &x->bodies,   &x->scratch,     &x->key,
				     &x->shown,    &x->piece_parts, &x->piece_records };
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
		buf_done(bufs[i]);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&x->parts[i]);
	explicit_bzero(&x->secret, sizeof x->secret);
	explicit_bzero(&x->redact_key, sizeof x->redact_key);
	free(x);
}

static enum err_code read_time(const Google__Protobuf__Timestamp *t, const char *what,
			       bool *ret_has, struct wall_ns *ret, struct err *e)
{
	if (!t)
		return ERR_OK;
	const struct timestamp ts = { t->seconds, t->nanos };
	if (t->nanos < 0 || t->nanos >= (int32_t)NS_PER_S || !timestamp_to_wall(ts, ret))
		return err_set(e, ERR_INVALID, "%s is no time that a record can have", what);
	*ret_has = true;
	return ERR_OK;
}

static enum err_code read_request(struct evidence_export *x, struct str request, struct err *e)
{
	x->request =
		tycho__v1__export_request__unpack(NULL, request.len, (const uint8_t *)request.p);
	const Tycho__V1__ExportRequest *r = x->request;
	if (!r)
		return err_set(e, ERR_PARSE, "malformed tycho.v1.ExportRequest message");
	x->until.v = UINT64_MAX;
	sha256_init(&x->checkpoint_sum);
	if (read_time(r->since, "since", &x->has_since, &x->since, e) != ERR_OK ||
	    read_time(r->until, "until", &x->has_until, &x->until, e) != ERR_OK)
		return ERR_INVALID;
	if (r->nonce.len != EXPORT_NONCE_BYTES)
		return err_set(e, ERR_INVALID, "an export's nonce has %d bytes",
			       EXPORT_NONCE_BYTES);
	for (size_t i = 0; i < r->n_redact; i++) {
		unsigned class_ = r->redact[i] > 0 && r->redact[i] < 8 ? 1u << r->redact[i] : 0;
		if (!(class_ & REDACT_ALL))
			return err_set(e, ERR_INVALID, "redaction %d is not known",
				       (int)r->redact[i]);
		x->redact |= class_;
	}
	return flow_filter_new(r->whitelist, r->n_whitelist, r->blacklist, r->n_blacklist,
			       x->config.dict, &x->filter, e);
}

static enum err_code open_store(struct evidence_export *x, struct err *e)
{
	const struct store_scan_config scan = {
		.range = { x->since, x->until, 0, UINT64_MAX },
		.filter = x->filter,
		.kinds = 1u << FLOW_KIND_FLOW,
	};
	enum err_code code = store_secret(x->config.reader, &x->secret, e);

	if (code != ERR_OK)
		return code;
	x->redact_key =
		redact_key_of(&x->secret, str_n(x->request->nonce.data, x->request->nonce.len));
	code = store_scan_new(x->config.reader, &scan, &x->matching, e);
	if (code == ERR_OK)
		code = chain_block_new(&x->chain, e);
	if (code == ERR_OK)
		code = map_new(PARTS_MAX, hash_bytes(&x->secret, sizeof x->secret, 0),
			       &x->parts_known, e);
	return code;
}

enum err_code evidence_export_new(const struct evidence_export_config *config, struct str request,
				  struct evidence_export **ret, struct err *e)
{
	AUTO(evidence_export_free) struct evidence_export *x = calloc(1, sizeof *x);

	if (!x)
		return err_set(e, ERR_NOMEM, "an export");
	x->config = *config;
	x->policies = x->checkpoints = x->bodies = x->scratch = x->shown = buf_init(TEXT_BYTES);
	x->page.bodies = buf_init(PAGE_BYTES * 16);
	x->key = x->piece_parts = x->piece_records = buf_init(2 * PART_BYTES);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		x->parts[i] = buf_init(PART_BYTES);
	enum err_code code = read_request(x, request, e);
	if (code == ERR_OK)
		code = open_store(x, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(x);
	return ERR_OK;
}

/* --- messages ------------------------------------------------------------------------------- */

static size_t begin_response(const struct evidence_export *x, struct buf *out, uint32_t member)
{
	wire_put_str(out, RESPONSE_NODE, str_of(x->config.node));
	return wire_begin(out, member);
}

static void put_signed(const struct evidence_export *x, struct buf *out, uint32_t member,
		       const struct signed_text *s)
{
	size_t mark = begin_response(x, out, member);

	wire_put_str(out, 1, s->text);
	wire_put_len(out, 2, str_n(s->signature, sizeof s->signature));
	wire_put_len(out, 3, str_n(s->key, sizeof s->key));
	wire_end(out, mark);
}

/* --- policies ------------------------------------------------------------------------------- */

static void add_policy(void *ctx, const struct store_policy *p)
{
	struct evidence_export *x = ctx;
	struct buf *b = &x->policies;
	uint8_t sum[SHA256_BYTES];

	sha256(p->json, sum);
	buf_char(b, '{');
	put_member_text(b, "kind", p->kind);
	put_member_text(b, "namespace", p->namespace_);
	put_member_text(b, "name", p->name);
	put_member_text(b, "uid", p->uid);
	put_member_text(b, "resource_version", p->resource_version);
	put_member_time(b, "from", p->from);
	if (p->to.v)
		put_member_time(b, "to", p->to);
	/* policies name addresses, labels and names: none of them with any redaction */
	if (!x->redact)
		put_member_text(b, "text", p->json);
	else
		put_member_bool(b, "withheld", true);
	put_member_hex(b, "sha256", str_n(sum, sizeof sum));
	buf_lit(b, "}\n");
	x->policy_count++;
}

static enum err_code step_policies(struct evidence_export *x, struct buf *out, struct err *e)
{
	if (!x->policy_count) {
		enum err_code code =
			store_policies(x->config.reader, x->since, x->until, add_policy, x, e);
		if (code != ERR_OK)
			return code;
		if (x->policies.failed)
			return err_set(e, ERR_NOMEM, "the policies of the range");
	}
	struct str rest = str_from(buf_str(&x->policies), x->policies_at);
	if (!rest.len) {
		x->phase = FIRST_MATCH;
		return ERR_OK;
	}
	struct str line = str_upto(rest, str_find(rest, '\n'));
	x->policies_at += line.len + 1;
	size_t mark = begin_response(x, out, RESPONSE_POLICY);
	wire_put_str(out, 1, line);
	wire_end(out, mark);
	return ERR_OK;
}

/* --- matches --------------------------------------------------------------------------------- */

/* Looks for further matches once those known are used up. */
static enum err_code find_matches(struct evidence_export *x, struct err *e)
{
	const struct flow *flows = NULL;
	size_t n = 0;
	bool more = false;

	if (x->match_at < x->match_count || x->has_all_matches)
		return ERR_OK;
	enum err_code code = store_scan_next(x->matching, WORK, &flows, &n, &more, e);
	if (code != ERR_OK)
		return code;
	x->has_all_matches = !more;
	x->match_at = x->match_count = 0;
	if (n > ARRAY_LEN(x->matches))
		return err_set(e, ERR_INTERNAL, "a portion of %zu matches", n);
	for (size_t i = 0; i < n; i++)
		x->matches[x->match_count++] = flows[i].seq;
	return ERR_OK;
}

static bool matches_are_known(const struct evidence_export *x)
{
	return x->match_at < x->match_count || x->has_all_matches;
}

static bool has_match(const struct evidence_export *x)
{
	return x->match_at < x->match_count;
}

/* --- checkpoints: where to begin and to end --------------------------------------------------- */

struct checkpoint_walk {
	struct evidence_export *x;
	size_t seen;
};

static bool add_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	struct checkpoint_walk *w = ctx;
	struct evidence_export *x = w->x;
	struct checkpoint_text t;
	struct signed_text s = { .text = c->text };

	x->checkpoint_next = c->entry + 1;
	/* Those of a key before this one are vouched for by nobody here. */
	if (c->signature.len != sizeof s.signature || c->key.len != sizeof s.key ||
	    !str_eq(c->key, evidence_key_public(x->config.key)) ||
	    !checkpoint_text_parse(c->text, &t))
		return ++w->seen < CHECKPOINTS_AT_ONCE;
	bool is_before = x->has_since && t.time.v <= x->since.v &&
			 (!has_match(x) || t.seq <= x->matches[x->match_at]);
	if (is_before) {
		x->start_entry = t.entry;
		buf_reset(&x->checkpoints);
		x->checkpoint_count = 0;
		sha256_init(&x->checkpoint_sum);
	}
	if (!x->end_entry) {
		memcpy(s.signature, c->signature.p, sizeof s.signature);
		memcpy(s.key, c->key.p, sizeof s.key);
		size_t mark = wire_begin(&x->checkpoints, 1);
		put_signed(x, &x->checkpoints, RESPONSE_CHECKPOINT, &s);
		wire_end(&x->checkpoints, mark);
		buf_reset(&x->scratch);
		signed_text_put(&x->scratch, &s);
		buf_char(&x->scratch, '\n');
		sha256_put(&x->checkpoint_sum, buf_str(&x->scratch));
		x->checkpoint_count++;
		if (x->has_until && t.time.v >= x->until.v)
			x->end_entry = t.entry;
	}
	return ++w->seen < CHECKPOINTS_AT_ONCE;
}

static enum err_code step_checkpoints(struct evidence_export *x, struct buf *out, struct err *e)
{
	if (!x->checkpoints_ended) {
		struct checkpoint_walk w = { x, 0 };
		enum err_code code = store_checkpoints(x->config.reader, x->checkpoint_next,
						       add_checkpoint, &w, e);
		if (code != ERR_OK)
			return code;
		if (x->checkpoints.failed)
			return err_set(e, ERR_NOMEM, "the checkpoints of the range");
		x->checkpoints_ended = w.seen < CHECKPOINTS_AT_ONCE;
		return ERR_OK;
	}
	struct wire_reader r =
		wire_reader_of(str_from(buf_str(&x->checkpoints), x->checkpoints_at));
	struct wire_field f;
	if (wire_next(&r, &f)) {
		buf_str_put(out, f.bytes);
		x->checkpoints_at += f.raw.len;
		return ERR_OK;
	}
	/* The entry of the checkpoint itself is the first: its hash is what was signed. */
	x->next_entry = x->start_entry ? x->start_entry : 1;
	x->phase = ENTRIES;
	return ERR_OK;
}

/* --- entries --------------------------------------------------------------------------------- */

static bool add_entry(void *ctx, const struct store_entry *entry)
{
	struct page *p = ctx;
	struct page_entry *to = &p->entries[p->count++];

	*to = (struct page_entry){
		.number = entry->number,
		.first_seq = entry->first_seq,
		.count = entry->count,
		.before = entry->before,
		.hash = entry->hash,
		.root = entry->root,
		.is_block = entry->is_block,
		.body_at = p->bodies.len,
		.body_len = entry->body.len,
	};
	if (entry->is_block && !flat_u64(entry->body, "last_seq", &to->last_seq))
		to->last_seq = entry->first_seq + entry->count - 1;
	buf_str_put(&p->bodies, entry->body);
	p->is_last = p->count < PAGE_ENTRIES;
	return p->count < PAGE_ENTRIES && p->bodies.len < PAGE_BYTES;
}

static enum err_code read_page(struct evidence_export *x, struct err *e)
{
	struct page *p = &x->page;

	p->count = p->at = 0;
	p->is_last = true;
	buf_reset(&p->bodies);
	enum err_code code = store_chain(x->config.reader, x->next_entry, add_entry, p, e);
	if (code == ERR_OK && p->bodies.failed)
		code = err_set(e, ERR_NOMEM, "entries of the chain");
	if (code != ERR_OK)
		return code;
	if (p->count && p->count < PAGE_ENTRIES)
		p->is_last = p->bodies.len < PAGE_BYTES;
	if (p->count && x->next_entry > p->entries[0].number)
		return err_set(e, ERR_INTERNAL, "the chain began before it was asked to");
	return ERR_OK;
}

static void send_entries(struct evidence_export *x, struct buf *out)
{
	if (!x->bodies.len)
		return;
	size_t mark = begin_response(x, out, RESPONSE_ENTRIES);
	wire_put_u64(out, 1, x->first_pending);
	wire_put_len(out, 2, str_n(x->before_pending.v, sizeof x->before_pending.v));
	buf_str_put(out, buf_str(&x->bodies));
	wire_end(out, mark);
	buf_reset(&x->bodies);
}

static enum err_code take_entry(struct evidence_export *x, const struct page_entry *entry,
				struct err *e)
{
	if (x->last_entry && (entry->number != x->last_entry + 1 ||
			      memcmp(entry->before.v, x->head.v, sizeof x->head.v) != 0))
		return err_set(e, ERR_PARSE,
			       "the store's chain is broken between its entries %llu and %llu",
			       (unsigned long long)x->last_entry,
			       (unsigned long long)entry->number);
	if (!x->last_entry) {
		x->first_entry = entry->number;
		x->before_first = entry->before;
	}
	if (!x->bodies.len) {
		x->first_pending = entry->number;
		x->before_pending = entry->before;
	}
	wire_put_len(&x->bodies, 3, str_n(x->page.bodies.p + entry->body_at, entry->body_len));
	x->last_entry = entry->number;
	x->next_entry = entry->number + 1;
	x->head = entry->hash;
	return ERR_OK;
}

static enum err_code step_entries(struct evidence_export *x, struct buf *out, struct err *e)
{
	struct page *p = &x->page;

	enum err_code code = find_matches(x, e);
	if (code != ERR_OK || !matches_are_known(x))
		return code;
	if (p->at == p->count) {
		bool was_last = p->count && p->is_last;
		if (!was_last)
			code = read_page(x, e);
		if (code != ERR_OK)
			return code;
		if (was_last || !p->count) {
			if (has_match(x))
				return err_set(e, ERR_PARSE,
					       "no block of the store's chain has record %llu",
					       (unsigned long long)x->matches[x->match_at]);
			send_entries(x, out);
			x->phase = STATEMENT;
			return ERR_OK;
		}
	}
	while (p->at < p->count) {
		const struct page_entry *entry = &p->entries[p->at];
		if (x->end_entry && entry->number > x->end_entry && !has_match(x)) {
			send_entries(x, out);
			x->phase = STATEMENT;
			return ERR_OK;
		}
		code = take_entry(x, entry, e);
		p->at++;
		if (code != ERR_OK)
			return code;
		if (entry->is_block && has_match(x) && x->matches[x->match_at] <= entry->last_seq) {
			x->block = *entry;
			x->block_has_begun = x->block_is_sent = false;
			x->phase = BLOCK;
			break;
		}
		if (x->bodies.len >= EXPORT_PIECE_BYTES)
			break;
	}
	if (x->phase == BLOCK || x->bodies.len >= EXPORT_PIECE_BYTES)
		send_entries(x, out);
	return ERR_OK;
}

/* --- blocks ---------------------------------------------------------------------------------- */

static enum err_code begin_block(struct evidence_export *x, struct err *e)
{
	const struct store_scan_config scan = {
		.range = { { 0 }, { UINT64_MAX }, x->block.first_seq, UINT64_MAX },
		.kinds = UINT32_MAX,
	};
	/* The scan that is open goes on if this block is not far ahead of it. */
	uint64_t at = x->portion_at < x->portion_count ? x->portion[x->portion_at].seq
		      : x->all                         ? store_scan_at(x->all)
						       : UINT64_MAX;
	bool goes_on = x->all && !(x->all_ended && x->portion_at == x->portion_count) &&
		       at <= x->block.first_seq && x->block.first_seq - at < 4 * WORK;

	x->block_has_begun = true;
	chain_block_start(x->chain, &x->secret, x->block.number);
	map_reset(x->parts_known);
	x->parts_count = 0;
	x->item_count = 0;
	if (goes_on)
		return ERR_OK;
	store_scan_free(TAKE(x->all));
	x->portion_at = x->portion_count = 0;
	x->all_ended = false;
	return store_scan_new(x->config.reader, &scan, &x->all, e);
}

/* The part's number in this block's table; content that is new is added. */
static uint32_t part_number(struct evidence_export *x, enum chain_part part, struct str bytes)
{
	bool withheld = redact_withholds(x->redact, part);
	struct chain_secret secret;
	uint32_t number;

	if (!bytes.len && !withheld)
		return 0;
	buf_reset(&x->key);
	buf_char(&x->key, (char)part);
	buf_str_put(&x->key, bytes);
	if (x->key.failed) {
		x->piece_parts.failed = true;
		return 0;
	}
	if (map_get(x->parts_known, buf_str(&x->key), &number))
		return number;
	number = ++x->parts_count;
	if (map_put(x->parts_known, buf_str(&x->key), number, NULL, NULL) != ERR_OK) {
		x->piece_parts.failed = true;
		return 0;
	}
	size_t mark = wire_begin(&x->piece_parts, 3);
	wire_put_u64(&x->piece_parts, 1, part);
	if (withheld) {
		secret = chain_part_secret(&x->secret, x->block.number, part);
		struct chain_hash c = chain_commit(part, &secret, bytes);
		buf_reset(&x->shown);
		redact_part(&x->shown, &x->redact_key, x->redact, bytes);
		x->piece_parts.failed |= x->shown.failed;
		wire_put_str(&x->piece_parts, 2, buf_str(&x->shown));
		wire_put_len(&x->piece_parts, 3, str_n(c.v, sizeof c.v));
	} else {
		wire_put_str(&x->piece_parts, 2, bytes);
	}
	wire_end(&x->piece_parts, mark);
	return number;
}

static bool grow_items(struct evidence_export *x)
{
	if (x->item_count < x->item_cap)
		return true;
	size_t cap = x->item_cap ? x->item_cap * 2 : 1024;
	struct chain_hash *items = realloc(x->items, cap * sizeof *items);
	if (items)
		x->items = items;
	uint32_t *places = realloc(x->places, cap * sizeof *places);
	if (places)
		x->places = places;
	if (!items || !places)
		return false;
	x->item_cap = cap;
	return true;
}

/* Adds the record to the piece. Of what is withheld, the item is made from what is shown. */
static void add_record(struct evidence_export *x, const struct flow *f, size_t index)
{
	struct sha256 sum;
	uint32_t numbers[CHAIN_PARTS_];
	struct buf *b = &x->piece_records;

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_reset(&x->parts[i]);
	chain_split(f, x->config.dict, x->parts);
	size_t mark = wire_begin(b, 4);
	wire_put_u64(b, 1, index);
	wire_put_u64(b, 2, f->seq);
	wire_put_str(b, 3, buf_str(&x->parts[CHAIN_CORE]));
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		numbers[p] = part_number(x, p, buf_str(&x->parts[p]));
	size_t packed = wire_begin(b, 4);
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		wire_put_varint(b, numbers[p]);
	wire_end(b, packed);
	wire_end(b, mark);

	x->places[x->item_count] = (uint32_t)index;
	if (x->redact) {
		/* the leaf comes first, once it is known: finish_block */
		redact_shown_init(&sum);
		for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++) {
			if (!redact_withholds(x->redact, p))
				continue;
			buf_reset(&x->shown);
			redact_part(&x->shown, &x->redact_key, x->redact, buf_str(&x->parts[p]));
			redact_shown_put(&sum, p, buf_str(&x->shown));
		}
		sha256_end(&sum, x->items[x->item_count].v);
	}
	x->item_count++;
}

static void send_piece(struct evidence_export *x, struct buf *out, struct str proof, bool is_last)
{
	size_t mark = begin_response(x, out, RESPONSE_BLOCK);

	wire_put_u64(out, 1, x->block.number);
	for (enum chain_part p = CHAIN_ADDRESSES; !x->block_is_sent && p < CHAIN_PARTS_; p++) {
		struct chain_secret s = chain_part_secret(&x->secret, x->block.number, p);
		wire_put_len(out, 2,
			     redact_withholds(x->redact, p) ? STR("") : str_n(s.v, sizeof s.v));
	}
	buf_str_put(out, buf_str(&x->piece_parts));
	buf_str_put(out, buf_str(&x->piece_records));
	wire_put_str(out, 5, proof);
	wire_put_u64(out, 6, is_last);
	wire_end(out, mark);
	x->block_is_sent = true;
	buf_reset(&x->piece_parts);
	buf_reset(&x->piece_records);
}

static enum err_code finish_block(struct evidence_export *x, struct buf *out, struct err *e)
{
	struct chain_hash root;
	size_t count = chain_block_count(x->chain);
	AUTO_BUF struct buf proof = buf_init(TEXT_BYTES);
	enum err_code code = chain_block_root(x->chain, &root, e);

	if (code != ERR_OK)
		return code;
	if (memcmp(root.v, x->block.root.v, sizeof root.v) != 0)
		return err_set(e, ERR_PARSE,
			       "block %llu of the store holds other records than its chain says",
			       (unsigned long long)x->block.number);
	const struct chain_hash *leaves = chain_block_leaves(x->chain);
	chain_proof_put(leaves, count, (struct chain_places){ x->places, x->item_count }, &proof);
	for (size_t i = 0; i < x->item_count; i++)
		x->items[i] = x->redact ? redact_item(&leaves[x->places[i]], &x->items[i])
					: leaves[x->places[i]];
	struct chain_hash items = chain_root_in_place(x->items, x->item_count);
	chain_tree_add(&x->root, &items);
	x->flows += x->item_count;
	x->blocks++;
	send_piece(x, out, buf_str(&proof), true);
	if (proof.failed || out->failed)
		return err_set(e, ERR_NOMEM, "a block of the export");
	x->phase = ENTRIES;
	return ERR_OK;
}

static enum err_code next_portion(struct evidence_export *x, struct err *e)
{
	bool more = false;
	enum err_code code =
		store_scan_next(x->all, WORK, &x->portion, &x->portion_count, &more, e);

	x->portion_at = 0;
	if (code != ERR_OK)
		x->portion_count = 0;
	x->all_ended = !more;
	return code;
}

static enum err_code step_block(struct evidence_export *x, struct buf *out, struct err *e)
{
	enum err_code code = ERR_OK;

	if (!x->block_has_begun)
		code = begin_block(x, e);
	while (code == ERR_OK) {
		/* Each record asks: is it one of the matches? */
		code = find_matches(x, e);
		if (code != ERR_OK || !matches_are_known(x))
			return code;
		if (x->portion_at == x->portion_count) {
			if (x->all_ended)
				return finish_block(x, out, e);
			code = next_portion(x, e);
			if (code != ERR_OK || !x->portion_count)
				return code;
		}
		const struct flow *f = &x->portion[x->portion_at];
		if (f->seq > x->block.last_seq)
			return finish_block(x, out, e);
		x->portion_at++;
		if (f->seq < x->block.first_seq)
			continue;
		size_t index = chain_block_count(x->chain);
		code = chain_block_add(x->chain, f, x->config.dict, e);
		if (code == ERR_OK && has_match(x) && x->matches[x->match_at] == f->seq) {
			x->match_at++;
			if (!grow_items(x))
				return err_set(e, ERR_NOMEM, "records of an export");
			add_record(x, f, index);
			if (x->piece_records.failed || x->piece_parts.failed)
				return err_set(e, ERR_NOMEM, "a record of the export");
		}
		if (x->piece_records.len + x->piece_parts.len >= EXPORT_PIECE_BYTES) {
			send_piece(x, out, STR(""), false);
			return code;
		}
		if (x->portion_at == x->portion_count)
			return code; /* a portion's work is done */
	}
	return code;
}

/* --- statement ------------------------------------------------------------------------------- */

static void add_gap(void *ctx, const struct store_gap *g)
{
	struct buf *b = ctx;

	if (b->p[b->len - 1] != '[')
		buf_char(b, ',');
	buf_char(b, '{');
	put_member_text(b, "cause", str_of(store_gap_cause_name(g->cause)));
	put_member_time(b, "from", g->from);
	put_member_time(b, "to", g->to);
	put_member_u64(b, "lost", g->lost);
	put_member_u64(b, "first_seq", g->first_seq);
	put_member_u64(b, "last_seq", g->last_seq);
	put_member_text(b, "node", g->node);
	put_member_text(b, "detail", g->detail);
	buf_char(b, '}');
}

static enum err_code put_filters(struct buf *b, const char *name, Flow__FlowFilter **list, size_t n,
				 struct err *e)
{
	put_member_name(b, name);
	buf_char(b, '[');
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF struct buf wire = buf_init(TEXT_BYTES);
		size_t len = flow__flow_filter__get_packed_size(list[i]);
		uint8_t *to = (uint8_t *)buf_reserve(&wire, len + 1);
		if (!to)
			return err_set(e, ERR_NOMEM, "filters");
		wire.len += flow__flow_filter__pack(list[i], to);
		if (i)
			buf_char(b, ',');
		if (json_put_message(b, &flow__flow_filter__descriptor, buf_str(&wire), e) !=
		    ERR_OK)
			return ERR_PARSE;
	}
	buf_char(b, ']');
	return ERR_OK;
}

/* What the kernel thinks of the clock that stamps the records. */
static void put_clock(struct buf *b)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);

	put_member_name(b, "clock");
	buf_char(b, '{');
	put_member_bool(b, "synchronized", state >= 0 && !(t.status & STA_UNSYNC));
	if (state >= 0) {
		put_member_u64(b, "max_error_us", (uint64_t)t.maxerror);
		put_member_u64(b, "estimated_error_us", (uint64_t)t.esterror);
	}
	buf_char(b, '}');
}

static enum err_code put_statement(struct evidence_export *x, struct buf *b, struct err *e)
{
	const Tycho__V1__ExportRequest *r = x->request;
	struct chain_hash root = chain_tree_root(&x->root);
	struct wall_ns oldest = { 0 }, newest = { 0 };
	uint8_t policies[SHA256_BYTES], checkpoints[SHA256_BYTES];
	enum err_code code = store_extent(x->config.reader, &oldest, &newest, e);

	if (code != ERR_OK)
		return code;
	sha256(buf_str(&x->policies), policies);
	sha256_end(&x->checkpoint_sum, checkpoints);
	buf_lit(b, "{\"tycho\":\"statement\"");
	put_member_text(b, "node", str_of(x->config.node));
	put_member_time(b, "time", x->config.now);
	if (x->has_since)
		put_member_time(b, "since", x->since);
	if (x->has_until)
		put_member_time(b, "until", x->until);
	put_member_text(b, "words", str_of(r->words));
	code = put_filters(b, "allow", r->whitelist, r->n_whitelist, e);
	if (code == ERR_OK)
		code = put_filters(b, "deny", r->blacklist, r->n_blacklist, e);
	if (code != ERR_OK)
		return code;
	put_member_name(b, "redact");
	redact_put_json(b, x->redact);
	put_member_hex(b, "nonce", str_n(r->nonce.data, r->nonce.len));
	put_member_u64(b, "flows", x->flows);
	put_member_u64(b, "blocks", x->blocks);
	put_member_hex(b, "root", str_n(root.v, sizeof root.v));
	put_member_u64(b, "first_entry", x->first_entry);
	put_member_u64(b, "last_entry", x->last_entry);
	put_member_hex(b, "head", str_n(x->head.v, sizeof x->head.v));
	if (oldest.v)
		put_member_time(b, "oldest", oldest);
	if (newest.v)
		put_member_time(b, "newest", newest);
	put_member_name(b, "gaps");
	buf_char(b, '[');
	code = store_gaps(x->config.reader, x->since, x->until, add_gap, b, e);
	buf_char(b, ']');
	put_member_u64(b, "policies", x->policy_count);
	put_member_hex(b, "policies_sha256", str_n(policies, sizeof policies));
	put_member_u64(b, "checkpoints", x->checkpoint_count);
	put_member_hex(b, "checkpoints_sha256", str_n(checkpoints, sizeof checkpoints));
	put_member_text(b, "version", str_of(x->config.version));
	put_clock(b);
	put_member_text(b, "key", str_of(evidence_key_fingerprint(x->config.key)));
	buf_char(b, '}');
	return code;
}

static enum err_code step_statement(struct evidence_export *x, struct buf *out, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(TEXT_BYTES);
	struct signed_text s;
	enum err_code code = put_statement(x, &text, e);

	if (code == ERR_OK && text.failed)
		code = err_set(e, ERR_NOMEM, "the statement");
	if (code == ERR_OK)
		code = signed_text_make(x->config.key, buf_str(&text), &s, e);
	if (code != ERR_OK)
		return code;
	put_signed(x, out, RESPONSE_STATEMENT, &s);
	x->phase = DONE;
	return ERR_OK;
}

static enum err_code step(struct evidence_export *x, struct buf *out, struct err *e)
{
	enum err_code code = ERR_OK;

	switch (x->phase) {
	case POLICIES:
		return step_policies(x, out, e);
	case FIRST_MATCH:
		code = find_matches(x, e);
		if (code == ERR_OK && matches_are_known(x))
			x->phase = CHECKPOINTS;
		return code;
	case CHECKPOINTS:
		return step_checkpoints(x, out, e);
	case ENTRIES:
		return step_entries(x, out, e);
	case BLOCK:
		return step_block(x, out, e);
	case STATEMENT:
		return step_statement(x, out, e);
	case DONE:
		break;
	}
	return ERR_OK;
}

enum err_code evidence_export_next(struct evidence_export *x, struct buf *out, bool *ret_more,
				   struct err *e)
{
	buf_reset(out);
	enum err_code code = step(x, out, e);

	if (code == ERR_OK && out->failed)
		code = err_set(e, ERR_NOMEM, "a message of the export");
	if (code == ERR_OK)
		*ret_more = x->phase != DONE;
	return code;
}
