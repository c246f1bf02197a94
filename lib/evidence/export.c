#include "evidence/export_inside.h"

#include "evidence/checkpoint.h"
#include "flow/wire.h"

/* --- making one --- */

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
	map_free(x->shared_known);
	free(x->items);
	free(x->places);
	struct buf *const bufs[] = { &x->policies, &x->checkpoints, &x->page.bodies,
				     &x->bodies,   &x->scratch,     &x->key,
				     &x->shown,    &x->piece_parts, &x->piece_records,
				     &x->gaps.list };
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
	enum err_code code = store_secret(x->config.reader, &x->secret, e);

	if (code != ERR_OK)
		return code;
	x->redact_key =
		redact_key_of(&x->secret, str_n(x->request->nonce.data, x->request->nonce.len));
	uint64_t seed = hash_bytes(&x->secret, sizeof x->secret, 0);
	code = chain_block_new(&x->chain, e);
	if (code == ERR_OK)
		code = map_new(PARTS_MAX, seed, &x->parts_known, e);
	if (code == ERR_OK)
		code = map_new(PARTS_MAX, seed, &x->shared_known, e);
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
	x->gaps.list = buf_init(TEXT_BYTES);
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

/* --- messages --- */

size_t export_begin_response(const struct evidence_export *x, struct buf *out, uint32_t member)
{
	wire_put_str(out, RESPONSE_NODE, str_of(x->config.node));
	return wire_begin(out, member);
}

void export_put_signed(const struct evidence_export *x, struct buf *out, uint32_t member,
		       const struct signed_text *s)
{
	size_t mark = export_begin_response(x, out, member);

	wire_put_str(out, 1, s->text);
	wire_put_len(out, 2, str_n(s->signature, sizeof s->signature));
	wire_put_len(out, 3, str_n(s->key, sizeof s->key));
	wire_end(out, mark);
}

/* --- policies --- */

static void step_policies(struct evidence_export *x, struct buf *out)
{
	struct str rest = str_from(buf_str(&x->policies), x->policies_at);

	if (!rest.len) {
		x->phase = CHECKPOINTS;
		return;
	}
	struct str line = str_upto(rest, str_find(rest, '\n'));
	x->policies_at += line.len + 1;
	size_t mark = export_begin_response(x, out, RESPONSE_POLICY);
	wire_put_str(out, 1, line);
	wire_end(out, mark);
}

/* --- matches --- */

/* Looks for further matches once those known are used up. */
enum err_code export_find_matches(struct evidence_export *x, struct err *e)
{
	const struct flow *flows = NULL;
	size_t n = 0;
	bool more = false;

	if (x->match_at < x->match_count || x->has_all_matches)
		return ERR_OK;
	/* Records that are gone would be stepped over. */
	uint64_t at = store_scan_at(x->matching);
	enum err_code code =
		export_check_held(x, 0, at > x->began.first_seq ? at : x->began.first_seq, e);
	if (code == ERR_OK)
		code = store_scan_next(x->matching, WORK, &flows, &n, &more, e);
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

/* --- checkpoints: where to begin and to end --- */

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

	if (c->entry > x->began.last_entry)
		return false;
	x->checkpoint_next = c->entry + 1;
	/* Those of a key before this one are vouched for by nobody here. */
	if (c->signature.len != sizeof s.signature || c->key.len != sizeof s.key ||
	    !str_eq(c->key, evidence_key_public(x->config.key)) ||
	    !checkpoint_text_parse(c->text, &t))
		return ++w->seen < CHECKPOINTS_AT_ONCE;
	bool is_before = x->has_since && t.time.v <= x->since.v &&
			 (!export_has_match(x) || t.seq <= x->matches[x->match_at]);
	if (is_before) {
		x->start_entry = t.entry;
		buf_reset(&x->checkpoints);
		x->checkpoint_count = 0;
		sha256_init(&x->checkpoint_sum);
	}
	if (!x->has_end_checkpoint) {
		memcpy(s.signature, c->signature.p, sizeof s.signature);
		memcpy(s.key, c->key.p, sizeof s.key);
		size_t mark = wire_begin(&x->checkpoints, 1);
		export_put_signed(x, &x->checkpoints, RESPONSE_CHECKPOINT, &s);
		wire_end(&x->checkpoints, mark);
		buf_reset(&x->scratch);
		signed_text_put(&x->scratch, &s);
		buf_char(&x->scratch, '\n');
		sha256_put(&x->checkpoint_sum, buf_str(&x->scratch));
		x->checkpoint_count++;
		x->has_end_checkpoint = x->has_until && t.time.v >= x->until.v;
		if (x->has_end_checkpoint)
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
	x->next_entry =
		x->start_entry > x->began.first_entry ? x->start_entry : x->began.first_entry;
	x->phase = ENTRIES;
	return ERR_OK;
}

/* --- entries --- */

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
	return p->count < PAGE_ENTRIES && p->bodies.len < PAGE_BYTES;
}

static enum err_code read_page(struct evidence_export *x, struct err *e)
{
	struct page *p = &x->page;

	p->count = p->at = 0;
	buf_reset(&p->bodies);
	enum err_code code = export_check_held(x, x->next_entry, UINT64_MAX, e);
	if (code == ERR_OK)
		code = store_chain(x->config.reader, x->next_entry, add_entry, p, e);
	if (code == ERR_OK && p->bodies.failed)
		code = err_set(e, ERR_NOMEM, "entries of the chain");
	if (code != ERR_OK)
		return code;
	if (!p->count)
		return err_set(e, ERR_PARSE, "the store's chain ends before its entry %llu",
			       (unsigned long long)x->next_entry);
	return ERR_OK;
}

static void send_entries(struct evidence_export *x, struct buf *out)
{
	if (!x->bodies.len)
		return;
	size_t mark = export_begin_response(x, out, RESPONSE_ENTRIES);
	wire_put_u64(out, 1, x->first_pending);
	wire_put_len(out, 2, str_n(x->before_pending.v, sizeof x->before_pending.v));
	buf_str_put(out, buf_str(&x->bodies));
	wire_end(out, mark);
	buf_reset(&x->bodies);
}

static enum err_code take_entry(struct evidence_export *x, const struct page_entry *entry,
				struct err *e)
{
	if (entry->number != x->next_entry ||
	    (x->last_entry && memcmp(entry->before.v, x->head.v, sizeof x->head.v) != 0))
		return err_set(e, ERR_PARSE,
			       "the store's chain is broken between its entries %llu and %llu",
			       (unsigned long long)x->next_entry - 1,
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

/* Entries up to the block of the next match, or to the end. */
static enum err_code take_entries(struct evidence_export *x, struct err *e)
{
	struct page *p = &x->page;

	while (p->at < p->count && x->bodies.len < EXPORT_PIECE_BYTES) {
		const struct page_entry *entry = &p->entries[p->at];
		if (entry->number > x->end_entry && !export_has_match(x))
			break;
		enum err_code code = take_entry(x, entry, e);
		p->at++;
		if (code != ERR_OK)
			return code;
		if (entry->is_block && export_has_match(x) &&
		    x->matches[x->match_at] <= entry->last_seq) {
			x->block = *entry;
			x->block_has_begun = x->block_is_sent = false;
			x->phase = BLOCK;
			break;
		}
	}
	return ERR_OK;
}

static enum err_code step_entries(struct evidence_export *x, struct buf *out, struct err *e)
{
	enum err_code code = export_find_matches(x, e);

	if (code != ERR_OK || !export_knows_matches(x))
		return code;
	if (x->next_entry > x->began.last_entry && export_has_match(x))
		return err_set(e, ERR_PARSE, "no block of the store's chain has record %llu",
			       (unsigned long long)x->matches[x->match_at]);
	if (x->next_entry > x->end_entry && !export_has_match(x)) {
		send_entries(x, out);
		x->phase = STATEMENT;
		return ERR_OK;
	}
	if (x->page.at == x->page.count)
		code = read_page(x, e);
	if (code == ERR_OK)
		code = take_entries(x, e);
	if (code == ERR_OK && (x->phase == BLOCK || x->bodies.len >= EXPORT_PIECE_BYTES))
		send_entries(x, out);
	return code;
}

static enum err_code step(struct evidence_export *x, struct buf *out, struct err *e)
{
	enum err_code code = ERR_OK;

	switch (x->phase) {
	case FIRST_MATCH:
		code = x->matching ? ERR_OK : export_begin(x, e);
		if (code == ERR_OK)
			code = export_find_matches(x, e);
		if (code == ERR_OK && export_knows_matches(x))
			x->phase = POLICIES;
		return code;
	case POLICIES:
		step_policies(x, out);
		return ERR_OK;
	case CHECKPOINTS:
		return step_checkpoints(x, out, e);
	case ENTRIES:
		return step_entries(x, out, e);
	case BLOCK:
		return export_step_block(x, out, e);
	case STATEMENT:
		return export_step_statement(x, out, e);
	case DONE:
		break;
	}
	return ERR_OK;
}

enum err_code evidence_export_next(struct evidence_export *x, struct buf *out, bool *ret_more,
				   struct err *e)
{
	buf_reset(out);
	/* What a step reads is of one moment: what it finds missing then was pruned before, or never
	 * there. */
	enum err_code code = store_reader_hold(x->config.reader, e);
	if (code == ERR_OK)
		code = step(x, out, e);
	store_reader_let_go(x->config.reader);

	if (code == ERR_OK && out->failed)
		code = err_set(e, ERR_NOMEM, "a message of the export");
	if (code == ERR_OK)
		*ret_more = x->phase != DONE;
	return code;
}
