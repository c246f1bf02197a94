#include "evidence/store_check.h"

#include <jansson.h>
#include <stdio.h>

#include "chain/sha256.h"
#include "evidence/checkpoint.h"
#include "evidence/key.h"
#include "evidence/text.h"
#include "flow/wire.h"

enum { WORK = 2048, TEXT_MAX = 256 << 20 };

struct span {
	uint64_t first, last;
};

struct pin {
	uint64_t entry;
	struct chain_hash head;
};

/* An entry that a checkpoint names which was kept elsewhere, and what the chain says there. */
struct kept_head {
	uint64_t entry;
	bool is_seen;
	struct chain_hash head;
};

/* Entries that are missing. Nothing vouches for the first one behind them, nor for what came before since
 * it was last signed: that is no chain any more, whoever owns up to it. */
struct hole {
	uint64_t first, last;         /* 0, 0: there is none */
	struct wall_ns after, before; /* the times of the blocks on both sides; 0: not known */
	uint64_t gap;                 /* the entry that owns up to it; 0: none was found */
};

struct check {
	struct store_reader *reader;
	struct flow_dict *dict;
	const struct str *keys; /* that are believed; none: all */
	size_t key_count;
	struct err *e;
	enum err_code code;

	/* checkpoints, ascending */
	struct pin *pins;
	size_t pin_count, pin_cap, pin_at;
	struct evidence_key *signer;
	struct buf signers; /* public keys, one behind the other, each once */
	struct buf last_time;

	/* checkpoints that were kept elsewhere */
	struct str kept_lines;
	struct kept_head *kept; /* the entries that they name, ascending */
	size_t kept_count, kept_cap, kept_at;
	struct buf nodes; /* names that this store's node had, each between two newlines */
	size_t kept_agree, kept_older;

	/* the chain */
	uint64_t first_entry, last_entry, entries, blocks, records, withdrawn;
	struct chain_hash head, before_first;
	struct wall_ns last_sealed; /* of the newest block that was met; 0: none was */
	struct hole hole;
	uint64_t pruned_to; /* the last entry that went, as the chain says */
	struct chain_hash pruned_hash;
	struct buf gaps, policies; /* bodies, a line each */
	struct store_check_gaps by_cause[STORE_GAP_CAUSES_], unseen;
	/* where the spans that were counted end */
	uint64_t cause_end[STORE_GAP_CAUSES_], unseen_end;
	struct span *damaged;
	size_t damaged_count, damaged_cap;
	struct span *missing; /* blocks whose records could not be read */
	size_t missing_count, missing_cap;

	/* records */
	struct chain_secret secret;
	struct chain_block *block;
	struct store_scan *scan;
	const struct flow *portion;
	size_t portion_at, portion_count;
	bool scan_ended;
};

#define FAIL(c, ...) ((c)->code = err_set((c)->e, ERR_PARSE, __VA_ARGS__), false)

static bool add_span(struct check *c, struct span **list, size_t *count, size_t *cap, struct span s)
{
	if (*count == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		struct span *bigger = realloc(*list, more * sizeof *bigger);
		if (!bigger) {
			c->code = err_set(c->e, ERR_NOMEM, "blocks of the store");
			return false;
		}
		*list = bigger;
		*cap = more;
	}
	(*list)[(*count)++] = s;
	return true;
}

/* --- checkpoints that were kept elsewhere --- */

static bool is_node(const struct check *c, struct str name)
{
	struct str rest = buf_str(&c->nodes), known;

	for (; rest.len; rest = str_from(rest, known.len + 1)) {
		known = str_upto(rest, str_find(rest, '\n'));
		if (str_eq(known, name))
			return true;
	}
	return false;
}

static void note_node(struct check *c, struct str name)
{
	if (is_node(c, name))
		return;
	buf_str_put(&c->nodes, name);
	buf_char(&c->nodes, '\n');
}

static int by_entry(const void *a, const void *b)
{
	const struct kept_head *x = a, *y = b;

	return (x->entry > y->entry) - (x->entry < y->entry);
}

/* Which entries' hashes will be asked for. */
static bool read_kept(struct check *c)
{
	struct kept_checkpoints lines = kept_checkpoints_of(c->kept_lines);
	struct signed_text s;
	struct checkpoint_text t;

	while (kept_checkpoints_next(&lines, &s, &t, &c->code, c->e)) {
		if (c->kept_count == c->kept_cap) {
			size_t cap = c->kept_cap ? c->kept_cap * 2 : 256;
			struct kept_head *kept = realloc(c->kept, cap * sizeof *kept);
			if (!kept) {
				c->code = err_set(c->e, ERR_NOMEM, "checkpoints");
				break;
			}
			c->kept = kept;
			c->kept_cap = cap;
		}
		c->kept[c->kept_count++] = (struct kept_head){ .entry = t.entry };
	}
	kept_checkpoints_done(&lines);
	if (c->kept_count)
		qsort(c->kept, c->kept_count, sizeof *c->kept, by_entry);
	return c->code == ERR_OK;
}

static void note_head(struct check *c, uint64_t number, const struct chain_hash *head)
{
	while (c->kept_at < c->kept_count && c->kept[c->kept_at].entry < number)
		c->kept_at++;
	for (; c->kept_at < c->kept_count && c->kept[c->kept_at].entry == number; c->kept_at++) {
		c->kept[c->kept_at].is_seen = true;
		c->kept[c->kept_at].head = *head;
	}
}

/* Ours: signed by a key that signed here, or of a node that this one calls itself. Whoever makes
 * another past may take another key for it, too. */
static bool is_ours(const struct check *c, const struct signed_text *s,
		    const struct checkpoint_text *t)
{
	for (size_t at = 0; at < c->signers.len; at += sizeof s->key)
		if (memcmp(c->signers.p + at, s->key, sizeof s->key) == 0)
			return true;
	AUTO(evidence_key_free) struct evidence_key *key = NULL;
	return is_node(c, t->node) ||
	       (c->key_count &&
		evidence_key_of_public(str_n(s->key, sizeof s->key), &key, NULL) == ERR_OK &&
		evidence_key_is_among(key, c->keys, c->key_count));
}

static bool check_kept_line(struct check *c, size_t line, const struct signed_text *s,
			    const struct checkpoint_text *t)
{
	AUTO(evidence_key_free) struct evidence_key *key = NULL;
	const struct kept_head wanted = { .entry = t->entry };

	if (evidence_key_of_public(str_n(s->key, sizeof s->key), &key, NULL) != ERR_OK ||
	    !evidence_key_verifies(key, s->text, str_n(s->signature, sizeof s->signature)) ||
	    !str_is(t->fingerprint, evidence_key_fingerprint(key)))
		return FAIL(c,
			    "line %zu of the separately kept checkpoints: the signature is wrong",
			    line);
	if (c->key_count && !evidence_key_is_among(key, c->keys, c->key_count))
		return FAIL(c,
			    "line %zu of the separately kept checkpoints is not signed by a key "
			    "that was given, but by %s",
			    line, evidence_key_fingerprint(key));
	const struct kept_head *found =
		bsearch(&wanted, c->kept, c->kept_count, sizeof wanted, by_entry);
	if (found && found->is_seen) {
		c->kept_agree++;
		return memcmp(found->head.v, t->head.v, sizeof t->head.v) == 0 ||
		       FAIL(c,
			    "the chain is not the one that was signed: line %zu of the separately "
			    "kept checkpoints has another hash of entry %llu",
			    line, (unsigned long long)t->entry);
	}
	if (t->entry > c->last_entry)
		return FAIL(c,
			    "the tail of the chain is cut off: it ends with entry %llu, but line "
			    "%zu of the separately kept checkpoints is of entry %llu",
			    (unsigned long long)c->last_entry, line, (unsigned long long)t->entry);
	c->kept_older++;
	return true;
}

static bool check_kept(struct check *c)
{
	struct kept_checkpoints lines = kept_checkpoints_of(c->kept_lines);
	struct signed_text s;
	struct checkpoint_text t;

	if (!c->kept_lines.p)
		return true;
	while (kept_checkpoints_next(&lines, &s, &t, &c->code, c->e))
		if (is_ours(c, &s, &t) && !check_kept_line(c, lines.line, &s, &t))
			break;
	kept_checkpoints_done(&lines);
	if (c->code != ERR_OK || c->kept_agree)
		return c->code == ERR_OK;
	if (!c->kept_older)
		return FAIL(c, "none of the separately kept checkpoints is of this store");
	return FAIL(c,
		    "the separately kept checkpoints of this store are all of entries that it does "
		    "not hold any more: its chain begins with entry %llu",
		    (unsigned long long)c->first_entry);
}

/* --- checkpoints --- */

/* Once each. */
static void note_signer(struct check *c, struct str key)
{
	for (size_t at = 0; at < c->signers.len; at += key.len)
		if (memcmp(c->signers.p + at, key.p, key.len) == 0)
			return;
	buf_str_put(&c->signers, key);
}

static bool on_checkpoint(void *ctx, const struct store_checkpoint *k)
{
	struct check *c = ctx;
	struct checkpoint_text t;
	AUTO(evidence_key_free) struct evidence_key *key = NULL;

	if (!checkpoint_text_parse(k->text, &t) || t.entry != k->entry)
		return FAIL(c, "the checkpoint of entry %llu cannot be read",
			    (unsigned long long)k->entry);
	if (!c->signer || !str_eq(evidence_key_public(c->signer), k->key)) {
		if (evidence_key_of_public(k->key, &key, c->e) != ERR_OK)
			return FAIL(c, "the key of the checkpoint of entry %llu is none",
				    (unsigned long long)k->entry);
		if (c->key_count && !evidence_key_is_among(key, c->keys, c->key_count))
			return FAIL(c,
				    "the checkpoint of entry %llu is not signed by a key that was "
				    "given, but by %s",
				    (unsigned long long)k->entry, evidence_key_fingerprint(key));
		evidence_key_free(c->signer);
		c->signer = TAKE(key);
		note_signer(c, k->key);
	}
	if (!evidence_key_verifies(c->signer, k->text, k->signature) ||
	    !str_is(t.fingerprint, evidence_key_fingerprint(c->signer)))
		return FAIL(c, "the signature of the checkpoint of entry %llu is wrong",
			    (unsigned long long)k->entry);
	if (c->pin_count == c->pin_cap) {
		size_t cap = c->pin_cap ? c->pin_cap * 2 : 256;
		struct pin *pins = realloc(c->pins, cap * sizeof *pins);
		if (!pins) {
			c->code = err_set(c->e, ERR_NOMEM, "checkpoints");
			return false;
		}
		c->pins = pins;
		c->pin_cap = cap;
	}
	c->pins[c->pin_count++] = (struct pin){ t.entry, t.head };
	note_node(c, t.node);
	buf_reset(&c->last_time);
	timestamp_put(&c->last_time, timestamp_of(t.time));
	return true;
}

/* --- records --- */

static bool next_record(struct check *c, const struct flow **ret)
{
	while (c->portion_at == c->portion_count && !c->scan_ended) {
		bool more = false;
		c->code =
			store_scan_next(c->scan, WORK, &c->portion, &c->portion_count, &more, c->e);
		if (c->code == ERR_INVALID) /* of the file, not of us */
			c->code = ERR_PARSE;
		if (c->code != ERR_OK)
			return false;
		c->portion_at = 0;
		c->scan_ended = !more;
	}
	*ret = c->portion_at < c->portion_count ? &c->portion[c->portion_at] : NULL;
	return true;
}

static uint64_t last_seq_of(const struct store_entry *entry)
{
	uint64_t last = entry->first_seq + entry->count - 1;

	(void)flat_u64(entry->body, "last_seq", &last);
	return last;
}

static bool note_missing(struct check *c, const struct store_entry *entry)
{
	return add_span(c, &c->missing, &c->missing_count, &c->missing_cap,
			(struct span){ entry->first_seq, last_seq_of(entry) });
}

/* Of a whole record the chain holds the message; what filters ask for is repeated in columns, and
 * must say the same: else a record could be hidden from those who ask for it. Names that the
 * dictionary had no place for, when they were written or now, say nothing. */
static bool columns_agree(struct check *c, const struct flow *f)
{
	struct flow g;

	if (f->kind != FLOW_KIND_FLOW || !(f->bits & FLOW_WHOLE))
		return true;
	if (flow_decode(str_n(f->ext, f->ext_len), c->dict, &g, NULL) != ERR_OK)
		return false;
	const uint32_t ids[][2] = {
		{ f->src_ep.v, g.src_ep.v },   { f->dst_ep.v, g.dst_ep.v },
		{ f->src_svc.v, g.src_svc.v }, { f->dst_svc.v, g.dst_svc.v },
		{ f->node.v, g.node.v },       { f->kernel_reason, g.kernel_reason }
	};
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		if (ids[i][0] != ids[i][1] && !flow_dict_counts(c->dict).overflows)
			return false;
	return f->bits == g.bits && f->time.v == g.time.v && f->verdict == g.verdict &&
	       f->type == g.type && f->l4 == g.l4 && f->ip_version == g.ip_version &&
	       f->is_reply == g.is_reply && f->direction == g.direction &&
	       f->drop_reason == g.drop_reason && f->drop_desc == g.drop_desc &&
	       f->event_type == g.event_type && f->event_sub_type == g.event_sub_type &&
	       f->trace_point == g.trace_point && f->ifindex == g.ifindex &&
	       f->ip_trace_id == g.ip_trace_id && f->packets == g.packets && f->bytes == g.bytes &&
	       memcmp(f->src_ip, g.src_ip, sizeof f->src_ip) == 0 &&
	       memcmp(f->dst_ip, g.dst_ip, sizeof f->dst_ip) == 0 &&
	       memcmp(f->src_xlated, g.src_xlated, sizeof f->src_xlated) == 0 &&
	       memcmp(f->l4_bytes, g.l4_bytes, sizeof f->l4_bytes) == 0 &&
	       memcmp(f->uuid, g.uuid, sizeof f->uuid) == 0;
}

static bool check_block(struct check *c, const struct store_entry *entry)
{
	uint64_t last = last_seq_of(entry), read = 0;
	struct chain_hash root;
	const struct flow *f;

	chain_block_start(c->block, &c->secret, entry->number);
	while (next_record(c, &f) && f && f->seq <= last) {
		c->portion_at++;
		if (f->seq < entry->first_seq)
			return FAIL(c, "record %llu is in no block of the chain",
				    (unsigned long long)f->seq);
		read++;
		if (!columns_agree(c, f))
			return FAIL(c,
				    "record %llu is filed under other names or values than it has",
				    (unsigned long long)f->seq);
		c->code = chain_block_add(c->block, f, c->dict, c->e);
		if (c->code != ERR_OK)
			return false;
	}
	if (c->code != ERR_OK)
		return false;
	c->blocks++;
	c->records += read;
	if (!read && entry->count)
		return note_missing(c, entry);
	c->code = chain_block_root(c->block, &root, c->e);
	if (c->code != ERR_OK)
		return false;
	if (read != entry->count || memcmp(root.v, entry->root.v, sizeof root.v) != 0)
		return FAIL(c,
			    "block %llu (records %llu to %llu) does not hold what its chain says: "
			    "%s",
			    (unsigned long long)entry->number, (unsigned long long)entry->first_seq,
			    (unsigned long long)last,
			    read < entry->count   ? "records were removed"
			    : read > entry->count ? "records were added"
						  : "a record was changed");
	return true;
}

/* --- the chain --- */

static bool note_gap(struct check *c, struct str body)
{
	struct str cause;
	struct span s = { 0 };

	buf_str_put(&c->gaps, body);
	buf_char(&c->gaps, '\n');
	if (flat_get(body, "cause", &cause) &&
	    str_is(cause, store_gap_cause_name(STORE_GAP_DAMAGED)) &&
	    flat_u64(body, "first_seq", &s.first) && flat_u64(body, "last_seq", &s.last))
		return add_span(c, &c->damaged, &c->damaged_count, &c->damaged_cap, s);
	return true;
}

static bool check_pins(struct check *c, uint64_t number, const struct chain_hash *head)
{
	while (c->pin_at < c->pin_count && c->pins[c->pin_at].entry < number)
		c->pin_at++;
	for (; c->pin_at < c->pin_count && c->pins[c->pin_at].entry == number; c->pin_at++)
		if (memcmp(c->pins[c->pin_at].head.v, head->v, sizeof head->v) != 0)
			return FAIL(c,
				    "the chain is not the one that was signed: at entry %llu the "
				    "checkpoint has another hash",
				    (unsigned long long)number);
	return true;
}

static void note_sealed(struct check *c, const struct store_entry *entry)
{
	struct wall_ns sealed;

	if (!entry->is_block || !flat_time(entry->body, "sealed", &sealed))
		return;
	c->last_sealed = sealed;
	if (c->hole.first && !c->hole.before.v)
		c->hole.before = sealed;
}

/* Behind a hole: is there a gap of damage that is as long? */
static bool look_for_owner(struct check *c, const struct store_entry *entry)
{
	struct hole *h = &c->hole;
	struct wall_ns from, to;
	struct str cause;

	note_sealed(c, entry);
	if (entry->is_block || !flat_get(entry->body, "cause", &cause) ||
	    !str_is(cause, store_gap_cause_name(STORE_GAP_DAMAGED)) ||
	    !flat_time(entry->body, "from", &from) || !flat_time(entry->body, "to", &to))
		return true;
	if (from.v > h->after.v || to.v < h->before.v)
		return true;
	h->gap = entry->number;
	return false;
}

static bool tell_hole(struct check *c)
{
	const struct hole *h = &c->hole;

	if (!h->first)
		return true;
	if (h->gap)
		return FAIL(c,
			    "the chain is broken: its entries %llu to %llu are missing. Entry %llu "
			    "owns up to damage at that time; that they were lost by it nobody can "
			    "prove",
			    (unsigned long long)h->first, (unsigned long long)h->last,
			    (unsigned long long)h->gap);
	return FAIL(c,
		    "the chain is broken: its entries %llu to %llu are missing, and no gap behind "
		    "them owns up to damage at that time",
		    (unsigned long long)h->first, (unsigned long long)h->last);
}

static bool on_entry(void *ctx, const struct store_entry *entry)
{
	struct check *c = ctx;
	struct str kind, node;

	if (c->hole.first)
		return look_for_owner(c, entry);
	if (c->entries && entry->number > c->last_entry + 1) {
		c->hole = (struct hole){ .first = c->last_entry + 1,
					 .last = entry->number - 1,
					 .after = c->last_sealed };
		return look_for_owner(c, entry);
	}
	note_sealed(c, entry);
	struct chain_hash hash = chain_entry(entry->number, &entry->before, entry->body);

	if (memcmp(hash.v, entry->hash.v, sizeof hash.v) != 0)
		return FAIL(c, "entry %llu of the chain was changed: its hash is another",
			    (unsigned long long)entry->number);
	if (!c->entries) {
		static const struct chain_hash zeros;
		c->first_entry = entry->number;
		c->before_first = entry->before;
		if (entry->number == 1 && memcmp(entry->before.v, zeros.v, sizeof zeros.v) != 0)
			return FAIL(c, "the first entry of the chain has one before it");
		note_head(c, entry->number - 1, &entry->before);
		if (!check_pins(c, entry->number - 1, &entry->before))
			return false;
	}
	c->entries++;
	c->last_entry = entry->number;
	c->head = hash;
	note_head(c, entry->number, &hash);
	if (!check_pins(c, entry->number, &hash))
		return false;
	if (entry->is_block)
		return entry->is_held ? check_block(c, entry) : note_missing(c, entry);
	if (!flat_get(entry->body, "kind", &kind))
		return FAIL(c, "entry %llu of the chain cannot be read",
			    (unsigned long long)entry->number);
	if (str_eq(kind, STR("pruned")) &&
	    (!flat_u64(entry->body, "to_entry", &c->pruned_to) ||
	     !flat_hex(entry->body, "hash", c->pruned_hash.v, sizeof c->pruned_hash.v)))
		return FAIL(c, "entry %llu of the chain cannot be read",
			    (unsigned long long)entry->number);
	if (str_eq(kind, STR("start")) && flat_get(entry->body, "node", &node))
		note_node(c, node);
	if (str_eq(kind, STR("policy"))) {
		buf_str_put(&c->policies, entry->body);
		buf_char(&c->policies, '\n');
	}
	return !str_eq(kind, STR("gap")) || note_gap(c, entry->body);
}

/* Blocks leave the chain together with their records, and the chain says up to where. */
static bool check_beginning(struct check *c)
{
	if (c->first_entry <= 1 ||
	    (c->pruned_to == c->first_entry - 1 &&
	     memcmp(c->pruned_hash.v, c->before_first.v, sizeof c->before_first.v) == 0))
		return true;
	return FAIL(c,
		    "the beginning of the chain is cut off: its first entry is %llu, and no entry "
		    "owns up to what was before",
		    (unsigned long long)c->first_entry);
}

/* Records that cannot be read are known as a gap. */
static bool check_missing(struct check *c)
{
	for (size_t i = 0; i < c->missing_count; i++) {
		bool known = false;
		for (size_t k = 0; k < c->damaged_count; k++)
			known |= c->damaged[k].first <= c->missing[i].first &&
				 c->damaged[k].last >= c->missing[i].last;
		if (!known)
			return FAIL(
				c,
				"the records %llu to %llu are missing or damaged, and no gap of "
				"the chain owns up to it",
				(unsigned long long)c->missing[i].first,
				(unsigned long long)c->missing[i].last);
		c->withdrawn++;
	}
	return true;
}

/* --- what stands beside the chain --- */

/* Gaps come in the order of their begin. */
static void count_gap(struct store_check_gaps *sum, uint64_t *end, const struct store_gap *g)
{
	uint64_t from = g->from.v > *end ? g->from.v : *end;

	sum->count++;
	sum->lost += g->lost;
	sum->unknown += !g->lost && g->cause != STORE_GAP_CLOCK;
	if (g->to.v > from) {
		sum->span_ns += g->to.v - from;
		*end = g->to.v;
	}
}

/* A gap as the chain has it is one line of c->gaps. */
static void look_for_gap(void *ctx, const struct store_gap *g)
{
	struct check *c = ctx;
	AUTO_BUF struct buf want = buf_init(1 << 16);

	if (c->code != ERR_OK)
		return;
	buf_lit(&want, "{\"kind\":\"gap\"");
	put_member_text(&want, "cause", str_of(store_gap_cause_name(g->cause)));
	put_member_time(&want, "from", g->from);
	put_member_time(&want, "to", g->to);
	put_member_u64(&want, "lost", g->lost);
	put_member_u64(&want, "first_seq", g->first_seq);
	put_member_u64(&want, "last_seq", g->last_seq);
	put_member_text(&want, "node", g->node);
	put_member_text(&want, "detail", g->detail);
	buf_lit(&want, "}\n");
	struct str rest = buf_str(&c->gaps);
	while (rest.len) {
		struct str line = str_upto(rest, str_find(rest, '\n') + 1);
		if (str_eq(line, buf_str(&want))) {
			/* found: struck out, so that each is found once */
			c->gaps.p[line.p - c->gaps.p] = ' ';
			count_gap(&c->by_cause[g->cause], &c->cause_end[g->cause], g);
			if (g->cause != STORE_GAP_CLOCK)
				count_gap(&c->unseen, &c->unseen_end, g);
			return;
		}
		rest = str_from(rest, line.len);
	}
	/* What was pruned from the chain may still be told; damage that was just met is not written
	 * yet. */
	if (c->first_entry == 1 && g->cause != STORE_GAP_DAMAGED)
		(void)FAIL(c, "a gap is told that the chain does not have: %.*s", (int)want.len - 1,
			   want.p);
}

static bool check_gaps(struct check *c)
{
	enum err_code code = store_gaps(c->reader, (struct wall_ns){ 0 },
					(struct wall_ns){ UINT64_MAX }, look_for_gap, c, c->e);

	if (code != ERR_OK)
		c->code = code;
	struct str rest = buf_str(&c->gaps), cause;
	while (c->code == ERR_OK && rest.len) {
		struct str line = str_upto(rest, str_find(rest, '\n'));
		rest = str_from(rest, line.len + 1);
		if (line.p[0] == '{' && flat_get(line, "cause", &cause) &&
		    !str_is(cause, store_gap_cause_name(STORE_GAP_DAMAGED)))
			return FAIL(c, "a gap of the chain is hidden: %.*s", STR_FMT(line));
	}
	return c->code == ERR_OK;
}

/* Each policy's text is the one whose sum is in the chain. */
static void look_for_policy(void *ctx, const struct store_policy *p)
{
	struct check *c = ctx;
	uint8_t sum[SHA256_BYTES];
	AUTO_BUF struct buf hex = buf_init(128);

	if (c->code != ERR_OK)
		return;
	sha256(p->json, sum);
	hex_put(&hex, str_n(sum, sizeof sum));
	(void)buf_cstr(&c->policies);
	if (!strstr(c->policies.p ? c->policies.p : "", buf_cstr(&hex)))
		(void)FAIL(c, "the text of policy '%.*s' is not the one that the chain has",
			   STR_FMT(p->name));
}

static bool check_policies(struct check *c)
{
	enum err_code code =
		store_policies(c->reader, (struct wall_ns){ 0 }, (struct wall_ns){ UINT64_MAX },
			       look_for_policy, c, c->e);

	if (code != ERR_OK)
		c->code = code;
	return c->code == ERR_OK;
}

/* --- all --- */

static enum err_code check_all(struct check *c)
{
	const struct store_scan_config scan = { .range = { { 0 }, { UINT64_MAX }, 0, UINT64_MAX },
						.kinds = UINT32_MAX,
						.checks_rows = true };
	const struct flow *f = NULL;
	enum err_code code = store_secret(c->reader, &c->secret, c->e);

	if (code == ERR_OK && !read_kept(c))
		return c->code;
	if (code == ERR_OK)
		code = chain_block_new(&c->block, c->e);
	if (code == ERR_OK)
		code = store_scan_new(c->reader, &scan, &c->scan, c->e);
	if (code == ERR_OK)
		code = store_checkpoints(c->reader, 0, on_checkpoint, c, c->e);
	if (code == ERR_OK && c->code == ERR_OK)
		code = store_chain(c->reader, 0, on_entry, c, c->e);
	if (code != ERR_OK)
		return code;
	if (c->code != ERR_OK || !tell_hole(c))
		return c->code;
	if (c->pin_count && c->pins[c->pin_count - 1].entry > c->last_entry)
		(void)FAIL(
			c,
			"the tail of the chain is cut off: it ends with entry %llu, but entry %llu "
			"was signed",
			(unsigned long long)c->last_entry,
			(unsigned long long)c->pins[c->pin_count - 1].entry);
	else if (next_record(c, &f) && f)
		(void)FAIL(c, "record %llu is in no block of the chain",
			   (unsigned long long)f->seq);
	else if (c->code == ERR_OK && check_beginning(c) && check_kept(c) && check_missing(c) &&
		 check_gaps(c))
		(void)check_policies(c);
	return c->code;
}

static struct store_check_result result_of(const struct check *c)
{
	uint64_t signed_to = c->pin_count ? c->pins[c->pin_count - 1].entry : 0;
	struct store_check_result r = {
		.records = c->records,
		.blocks = c->blocks,
		.first_entry = c->first_entry,
		.last_entry = c->last_entry,
		.damaged_blocks = c->withdrawn,
		.missing = c->unseen,
		.checkpoints = c->pin_count,
		.unsigned_entries = c->last_entry > signed_to ? c->last_entry - signed_to : 0,
		.kept_agree = c->kept_agree,
		.kept_older = c->kept_older,
	};

	memcpy(r.gaps, c->by_cause, sizeof r.gaps);
	if (c->pin_count) {
		(void)snprintf(r.last_time, sizeof r.last_time, "%.*s",
			       STR_FMT(buf_str(&c->last_time)));
		(void)snprintf(r.fingerprint, sizeof r.fingerprint, "%s",
			       evidence_key_fingerprint(c->signer));
		r.keys_before = c->signers.len / KEY_PUBLIC_BYTES - 1;
	}
	return r;
}

enum err_code evidence_store_check(const struct store_check_config *config,
				   struct store_check_result *ret, struct err *e)
{
	struct err unused;
	struct check c = { .reader = config->reader,
			   .dict = config->dict,
			   .keys = config->keys,
			   .key_count = config->key_count,
			   .kept_lines = config->checkpoints,
			   .e = e ? e : &unused,
			   .signers = buf_init(TEXT_MAX),
			   .nodes = buf_init(TEXT_MAX),
			   .last_time = buf_init(128),
			   .gaps = buf_init(TEXT_MAX),
			   .policies = buf_init(TEXT_MAX) };
	enum err_code code = check_all(&c);

	if (code == ERR_OK)
		*ret = result_of(&c);
	store_scan_free(c.scan);
	chain_block_free(c.block);
	evidence_key_free(c.signer);
	explicit_bzero(&c.secret, sizeof c.secret);
	buf_done(&c.signers);
	buf_done(&c.nodes);
	buf_done(&c.last_time);
	buf_done(&c.gaps);
	buf_done(&c.policies);
	free(c.pins);
	free(c.kept);
	free(c.damaged);
	free(c.missing);
	return code;
}
