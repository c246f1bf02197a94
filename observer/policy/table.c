#include "observer/policy/table.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "base/counter.h"
#include "base/pages.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/drop_reason.h"
#include "observer/policy/words.h"
#include "policy/flow.h"
#include "tycho/v1/detail.pb-c.h"

enum {
	EVENT_DROP = 1, /* message types of Cilium's monitor */
	EVENT_POLICY_VERDICT = 5,
	CACHE_LINE = 64,
	WAYS = 4,
	ANSWER_SETS = 4096,
	ROWS_BYTES = 8 << 20, /* with their heads */
	ROWS_MIN = 64,
	ROW_AHEAD = 256,      /* bytes of a row that are fetched ahead: all, with some 800 rules */
	TEXT_BYTES = 2 << 20, /* of answers */
	TEXT_OF_ONE = 16384,
};

/* How sure it is, in the words of tycho.v1.PolicySource. */
enum {
	SOURCE_DERIVED = TYCHO__V1__POLICY_SOURCE__POLICY_SOURCE_DERIVED,
	SOURCE_DERIVED_LIKELY = TYCHO__V1__POLICY_SOURCE__POLICY_SOURCE_DERIVED_LIKELY,
	SOURCE_CONTRADICTED = TYCHO__V1__POLICY_SOURCE__POLICY_SOURCE_CONTRADICTED,
};

/* --- what is kept ------------------------------------------------------------------------- */

struct answer_key {
	uint32_t src, dst; /* endpoints */
	uint64_t names;    /* hash of the DNS names in the flow, 0 where they do not matter */
	uint8_t src_ip[16], dst_ip[16]; /* zeros where they do not matter */
	uint16_t port;
	uint8_t protocol;
	uint8_t reserved_[5];
};
_Static_assert(sizeof(struct answer_key) == 56, "hashed and compared as bytes: no holes");

/* Of one end: verdict, and where the bytes are that go into a flow. */
struct side {
	uint32_t at;           /* in texts */
	uint16_t lists, rules; /* bytes: fields of flow.Flow, then of FlowDetail */
	uint16_t left_out;     /* policies */
	uint8_t verdict;       /* enum policy_verdict */
	uint8_t unsure;        /* what is in force there is not known in full */
};
struct kept {
	struct answer_key key;
	struct side sides[2]; /* by enum policy_direction */
	uint32_t generation;  /* others than the table's are empty */
	uint8_t asked;        /* bit of a direction: its side is there */
};
/* Where it is worth to look: the rest of a set lies on cache lines of its own. */
struct answer_tags {
	uint32_t of[WAYS]; /* of the key and the generation; 0: free */
};

struct row_head {
	uint32_t endpoint, generation;
	uint8_t ip[16]; /* zeros where rows do not differ by address */
};

/* A set, held by the versions that know it. */
struct shared_set {
	struct policy_set *set;
	struct policy_words *words;
	struct wall_ns since; /* 0: as long as anybody knows */
	unsigned refs;        /* guarded by mx */
};

struct version {
	struct shared_set *sets[POLICY_PAST + 1]; /* in force, then what was before it */
	size_t set_count;
	uint64_t number;
	struct version *older; /* guarded by mx */
};

struct policy_table {
	const struct flow_dict *dict; /* immutable after construction */
	pthread_mutex_t mx;           /* between publishers */
	struct version *newest;       /* guarded by mx; with all not yet freed behind it */
	_Atomic(struct version *) current;

	/* capture thread only */
	alignas(CACHE_LINE) uint64_t at;     /* number of the version in use */
	const struct version *version;       /* it; NULL: there is none */
	const struct shared_set *in;         /* of it; NULL none, or no policies in it */
	const struct policy_set *set;        /* of the one that is asked */
	const struct policy_words *words;    /* the same */
	uint32_t generation, row_generation; /* of answers, of rows */
	struct kept *answers;                /* ANSWER_SETS * WAYS */
	struct answer_tags *tags;            /* ANSWER_SETS */
	uint8_t turn[ANSWER_SETS];
	/* ROWS_BYTES: first the heads, so that looking for a row touches few cache lines */
	char *rows;
	size_t row_stride, row_sets, rows_at;
	uint8_t row_turn;
	char *past_rows; /* two, for sets that are in force no more */
	char *texts;     /* TEXT_BYTES */
	size_t text_used;
	struct buf scratch;
	char scratch_bytes[TEXT_OF_ONE];
	struct policy_answer answer;

	alignas(CACHE_LINE) _Atomic uint64_t
		capture_at;        /* written by capture, read by publishers */
	_Atomic uint64_t policies; /* of the newest version */
	_Atomic uint64_t derived, likely, contradicted, unexplained, asked;
};

struct policy_counts policy_table_counts(const struct policy_table *t)
{
	return (struct policy_counts){
		.derived = counter_get(&t->derived),
		.likely = counter_get(&t->likely),
		.contradicted = counter_get(&t->contradicted),
		.unexplained = counter_get(&t->unexplained),
		.policies = counter_get(&t->policies),
		.asked = counter_get(&t->asked),
	};
}

/* --- life --------------------------------------------------------------------------------- */

enum err_code policy_table_new(const struct flow_dict *dict, struct policy_table **ret,
			       struct err *e)
{
	AUTO(policy_table_free) struct policy_table *t = aligned_alloc(CACHE_LINE, sizeof *t);

	if (!t)
		return err_set(e, ERR_NOMEM, "policy table");
	*t = (struct policy_table){ .dict = dict };
	(void)pthread_mutex_init(&t->mx, NULL);
	t->answers = pages_new((size_t)ANSWER_SETS * WAYS, sizeof *t->answers);
	t->tags = pages_new(ANSWER_SETS, sizeof *t->tags);
	t->rows = pages_new(1, ROWS_BYTES);
	t->past_rows = pages_new(2, ROWS_BYTES / ROWS_MIN);
	t->texts = pages_new(1, TEXT_BYTES);
	t->scratch = buf_fixed(t->scratch_bytes, sizeof t->scratch_bytes);
	if (!t->answers || !t->tags || !t->rows || !t->past_rows || !t->texts)
		return err_set(e, ERR_NOMEM, "policy table");
	*ret = TAKE(t);
	return ERR_OK;
}

static void set_unref(struct shared_set *s)
{
	if (--s->refs)
		return;
	policy_words_free(s->words);
	policy_set_free(s->set);
	free(s);
}

static void free_versions(struct version *v)
{
	while (v) {
		struct version *older = v->older;
		for (size_t i = 0; i < v->set_count; i++)
			set_unref(v->sets[i]);
		free(v);
		v = older;
	}
}

void policy_table_free(struct policy_table *t)
{
	if (!t)
		return;
	free_versions(t->newest);
	(void)pthread_mutex_destroy(&t->mx);
	pages_free(t->answers, (size_t)ANSWER_SETS * WAYS, sizeof *t->answers);
	pages_free(t->tags, ANSWER_SETS, sizeof *t->tags);
	pages_free(t->rows, 1, ROWS_BYTES);
	pages_free(t->past_rows, 2, ROWS_BYTES / ROWS_MIN);
	pages_free(t->texts, 1, TEXT_BYTES);
	free(t);
}

static size_t stride_of(const struct policy_set *set)
{
	return sizeof(struct row_head) + policy_row_bytes(set);
}

/* With mx. Flows that happened before @since, and are not read yet, are given to what was then. */
static void remember_past(struct version *v, const struct version *before, struct wall_ns now)
{
	struct wall_ns until = v->set_count ? v->sets[0]->since : now;

	for (size_t i = 0; before && i < before->set_count; i++) {
		struct shared_set *s = before->sets[i];
		bool is_current = v->set_count == 0; /* of a version without a new set */
		if (v->set_count == POLICY_PAST + 1 ||
		    (!is_current && until.v + POLICY_PAST_S * NS_PER_S < now.v))
			return;
		s->refs++;
		v->sets[v->set_count++] = s;
		until = s->since;
	}
}

/* With mx. */
static void install(struct policy_table *t, struct version *v)
{
	v->number = t->newest ? t->newest->number + 1 : 1;
	v->older = t->newest;
	t->newest = v;
	atomic_store_explicit(&t->policies, policy_set_count(v->sets[0]->set),
			      memory_order_relaxed);
	atomic_store_explicit(&t->current, v, memory_order_release); /* pairs with load_current */
	/* What capture has left behind. It looks only into the version it loaded last. */
	uint64_t in_use = atomic_load_explicit(&t->capture_at, memory_order_acquire);
	while (v->number > in_use && v->older)
		v = v->older;
	free_versions(v->older);
	v->older = NULL;
}

enum err_code policy_publish(struct policy_table *t, struct policy_set *set, struct wall_ns since,
			     struct err *e)
{
	if (stride_of(set) > ROWS_BYTES / ROWS_MIN)
		return err_set(
			e, ERR_INVALID,
			"so many different selectors that an end takes %zu bytes: at most %d",
			stride_of(set), ROWS_BYTES / ROWS_MIN);
	struct version *v = calloc(1, sizeof *v);
	struct shared_set *s = malloc(sizeof *s);
	struct policy_words *words = NULL;
	if (!v || !s || policy_words_new(set, &words, e) != ERR_OK) {
		free(v);
		free(s);
		return err_set(e, ERR_NOMEM, "policy table");
	}
	(void)pthread_mutex_lock(&t->mx);
	*s = (struct shared_set){ .set = set,
				  .words = words,
				  .since = t->newest ? since : (struct wall_ns){ 0 },
				  .refs = 1 };
	v->sets[v->set_count++] = s;
	remember_past(v, t->newest, since);
	install(t, v);
	(void)pthread_mutex_unlock(&t->mx);
	return ERR_OK;
}

void policy_tidy(struct policy_table *t, struct wall_ns now)
{
	struct version *v = NULL;

	(void)pthread_mutex_lock(&t->mx);
	if (t->newest && (t->newest->set_count > 1 || t->newest->older))
		v = calloc(1, sizeof *v);
	if (v) {
		remember_past(v, t->newest, now);
		if (v->set_count < t->newest->set_count || t->newest->older)
			install(t, v);
		else
			free_versions(v);
	}
	(void)pthread_mutex_unlock(&t->mx);
}

/* All answers kept are of another time from now on. */
static void forget_answers(struct policy_table *t)
{
	t->text_used = 0;
	if (++t->generation)
		return;
	/* after 2^32 times, what is ages old would look fresh */
	memset(t->answers, 0, (size_t)ANSWER_SETS * WAYS * sizeof *t->answers);
	memset(t->tags, 0, ANSWER_SETS * sizeof *t->tags);
	t->generation = 1;
}

static void forget_rows(struct policy_table *t)
{
	if (++t->row_generation)
		return;
	memset(t->rows, 0, ROWS_BYTES);
	t->row_generation = 1;
}

static void load_current(struct policy_table *t)
{
	const struct version *v =
		atomic_load_explicit(&t->current, memory_order_acquire); /* pairs with publish */

	if (!v || v->number == t->at)
		return;
	const struct shared_set *newer = v->sets[0];
	bool is_same = t->version && t->version->sets[0] == newer;

	t->at = v->number;
	t->version = v;
	if (!is_same) {
		t->in = policy_set_count(newer->set) ? newer : NULL;
		t->row_stride = policy_row_bytes(newer->set);
		t->row_sets = ROWS_BYTES / stride_of(newer->set) / WAYS;
		t->rows_at = t->row_sets * WAYS * sizeof(struct row_head);
		forget_answers(t);
		forget_rows(t);
	}
	/* what was done with earlier versions is over; pairs with publish */
	atomic_store_explicit(&t->capture_at, v->number, memory_order_release);
}

void policy_quiet(struct policy_table *t)
{
	load_current(t);
}

/* --- ends --------------------------------------------------------------------------------- */

struct one_end {
	struct endpoint_id id;
	const struct endpoint *endpoint;
	const uint8_t *ip;
	bool by_ip; /* its row differs by address */
};

static void fill(struct policy_table *t, const struct one_end *end, struct row_head *head,
		 struct policy_row *row)
{
	const struct endpoint *ep = end->endpoint;
	const struct policy_end e = policy_end_of(ep, end->ip);

	head->endpoint = end->id.v;
	head->generation = t->row_generation;
	memset(head->ip, 0, sizeof head->ip);
	if (end->by_ip)
		memcpy(head->ip, end->ip, sizeof head->ip);
	policy_row_fill(t->set, &e, row);
}

static struct policy_row *row_at(struct policy_table *t, size_t i)
{
	return (struct policy_row *)(void *)(t->rows + t->rows_at + i * t->row_stride);
}

/* Where an end's row is looked for: WAYS places from @set on. */
struct row_place {
	struct row_head key;
	size_t set;
};

static struct row_head *heads_of(struct policy_table *t)
{
	return (struct row_head *)(void *)t->rows;
}

/* The waiting for memory is most of what an answer costs: it begins here, for both ends at once. */
static struct row_place place_of(struct policy_table *t, const struct one_end *end)
{
	struct row_place p = { .key = { .endpoint = end->id.v } };

	if (end->by_ip)
		memcpy(p.key.ip, end->ip, sizeof p.key.ip);
	uint64_t hash = hash_bytes(&p.key, sizeof p.key, 0);
	p.set = (size_t)((hash >> 32) * t->row_sets >> 32) * WAYS;
	__builtin_prefetch(&heads_of(t)[p.set]);
	__builtin_prefetch(&heads_of(t)[p.set + WAYS] - 1);
	return p;
}

/* The end's row; @keep is not overwritten for it. */
static const struct policy_row *row_of(struct policy_table *t, const struct one_end *end,
				       const struct row_place *p, const struct policy_row *keep)
{
	struct row_head *heads = heads_of(t);
	size_t set = p->set, way = WAYS;

	for (size_t i = 0; i < WAYS; i++) {
		const struct row_head *head = &heads[set + i];

		if (head->generation != t->row_generation)
			way = i;
		else if (head->endpoint == p->key.endpoint &&
			 memcmp(head->ip, p->key.ip, sizeof head->ip) == 0) {
			const char *row = (const char *)row_at(t, set + i);
			for (size_t at = 0; at < t->row_stride && at < ROW_AHEAD; at += CACHE_LINE)
				__builtin_prefetch(row + at);
			return row_at(t, set + i);
		}
	}
	if (way == WAYS) {
		way = t->row_turn++ % WAYS;
		if (row_at(t, set + way) == keep)
			way = (way + 1) % WAYS;
	}
	fill(t, end, &heads[set + way], row_at(t, set + way));
	return row_at(t, set + way);
}

/* --- answers ------------------------------------------------------------------------------ */

static uint32_t list_field(enum policy_direction direction, bool denied)
{
	if (direction == POLICY_EGRESS)
		return denied ? FLOW_FIELD_EGRESS_DENIED_BY : FLOW_FIELD_EGRESS_ALLOWED_BY;
	return denied ? FLOW_FIELD_INGRESS_DENIED_BY : FLOW_FIELD_INGRESS_ALLOWED_BY;
}

/* The first POLICY_NAMED_MAX policies of an answer, each once, then the rules. */
static void put_named(struct policy_table *t, enum policy_direction direction, struct side *side)
{
	const struct policy_answer *a = &t->answer;
	uint32_t field = list_field(direction, policy_verdict_denies(a->verdict));
	size_t policies = 0, rules = 0;

	buf_reset(&t->scratch);
	for (size_t i = 0; i < a->count; i++) {
		if (i && a->by[i].policy == a->by[i - 1].policy)
			continue;
		if (policies++ < POLICY_NAMED_MAX) {
			policy_words_put(t->words, field, a->by[i].policy, &t->scratch);
			while (rules < a->count && a->by[rules].policy == a->by[i].policy)
				rules++;
		}
	}
	if (t->scratch.failed)
		return;
	side->lists = (uint16_t)t->scratch.len;
	size_t left_out =
		a->left_out + (policies > POLICY_NAMED_MAX ? policies - POLICY_NAMED_MAX : 0);
	side->left_out = (uint16_t)(left_out < UINT16_MAX ? left_out : UINT16_MAX);
	for (size_t i = 0; i < rules && i < POLICY_NAMED_MAX; i++)
		policy_words_put_rule(t->words, DETAIL_FIELD_POLICY_RULES, a->by[i], &t->scratch);
	if (t->scratch.failed) { /* names of that length: the lists alone must do */
		t->scratch.failed = false;
		t->scratch.len = side->lists;
	}
	side->rules = (uint16_t)(t->scratch.len - side->lists);
	if (t->text_used + t->scratch.len > TEXT_BYTES)
		forget_answers(t);
	side->at = (uint32_t)t->text_used;
	memcpy(t->texts + side->at, t->scratch.p, t->scratch.len);
	t->text_used += t->scratch.len;
}

struct asked {
	struct one_end ends[2];           /* source, destination */
	const struct policy_row *rows[2]; /* NULL: not looked for yet */
	const struct str *names[2];
	size_t name_count[2];
	uint8_t protocol;
	uint16_t port;
};

static void ask_side(struct policy_table *t, const struct asked *q, enum policy_direction direction,
		     struct side *side)
{
	int subject = direction == POLICY_EGRESS ? 0 : 1, peer = 1 - subject;
	uint8_t ip[1][16];

	memcpy(ip[0], q->ends[peer].ip, 16);
	const struct policy_query query = {
		.direction = direction,
		.subject = q->rows[subject],
		.peer = { q->rows[peer], (const uint8_t(*)[16])ip, 1, q->names[peer],
			  q->name_count[peer] },
		.protocol = q->protocol,
		.port = q->port,
	};

	*side = (struct side){ 0 };
	policy_ask(t->set, &query, &t->answer);
	side->verdict = (uint8_t)t->answer.verdict;
	side->unsure = t->answer.unsure;
	if (t->answer.verdict == POLICY_ALLOWED || policy_verdict_denies(t->answer.verdict))
		put_named(t, direction, side);
}

/* What the policies of that end say: asked when it is needed, for most flows need one only. */
static const struct side *side_of(struct policy_table *t, struct asked *q, struct kept *k,
				  enum policy_direction direction)
{
	uint32_t generation;

	if (k->asked & 1u << direction)
		return &k->sides[direction];
	if (!q->rows[1]) {
		struct row_place places[2];

		for (int i = 0; i < 2; i++) {
			q->ends[i].by_ip = policy_row_needs_ip(t->set, q->ends[i].ip);
			places[i] = place_of(t, &q->ends[i]);
		}
		for (int i = 0; i < 2; i++)
			q->rows[i] = row_of(t, &q->ends[i], &places[i], q->rows[0]);
	}
	if (!k->asked)
		counter_add(&t->asked, 1);
	do { /* again if room for texts had to be made: what was written before is gone */
		generation = t->generation;
		ask_side(t, q, direction, &k->sides[direction]);
		if (generation != t->generation)
			k->asked = 0;
	} while (generation != t->generation);
	k->asked |= (uint8_t)(1u << direction);
	return &k->sides[direction];
}

static struct kept *find(struct policy_table *t, const struct answer_key *key)
{
	uint64_t hash = hash_bytes(key, sizeof *key, t->generation);
	size_t at = hash % ANSWER_SETS, way = WAYS;
	uint32_t tag = (uint32_t)(hash >> 32) | 1;
	struct answer_tags *tags = &t->tags[at];

	for (size_t i = 0; i < WAYS; i++) {
		struct kept *k = &t->answers[at * WAYS + i];

		if (tags->of[i] == tag && k->generation == t->generation &&
		    memcmp(&k->key, key, sizeof *key) == 0)
			return k;
	}
	way = t->turn[at]++ % WAYS;
	tags->of[way] = tag;
	struct kept *to = &t->answers[at * WAYS + way];
	to->key = *key;
	to->generation = t->generation;
	to->asked = 0;
	return to;
}

/* --- flows -------------------------------------------------------------------------------- */

static bool protocol_of(const struct flow *f, struct asked *q)
{
	q->protocol = policy_protocol_of(f);
	/* what has no ports has them zero */
	q->port = q->protocol == IPPROTO_ICMP || q->protocol == IPPROTO_ICMPV6 ? f->icmp_type
									       : f->dst_port;
	return q->protocol;
}

/* A later packet of a connection: what dropped it need not be what decides on new ones. */
static bool is_later(const struct flow *f)
{
	return f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS) &&
	       (f->tcp_flags & (FLOW_TCP_SYN | FLOW_TCP_ACK)) != FLOW_TCP_SYN;
}

static bool is_for_us(const struct flow *f)
{
	if (!flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_EVENT_TYPE) ||
	    (f->bits & (FLOW_WHOLE | FLOW_HAS_POLICIES)) || f->is_reply == FLOW_REPLY_TRUE)
		return false;
	if (f->event_type == EVENT_DROP)
		return f->drop_desc == DROP_REASON_POLICY_DENIED ||
		       f->drop_desc == DROP_REASON_POLICY_DENY;
	/* what rules allowed and is not authenticated yet, none of them denied */
	return f->event_type == EVENT_POLICY_VERDICT && f->drop_desc != DROP_REASON_AUTH_REQUIRED;
}

/* For rules that ask for them. @return their hash. */
static uint64_t take_names(const struct buf *ext, struct policy_names *names, struct asked *q)
{
	policy_names_read(names, buf_str(ext), false);
	for (int i = 0; i < 2; i++) {
		q->names[i] = names->of[i];
		q->name_count[i] = names->count[i];
	}
	return names->hash;
}

static bool read_ends(struct policy_table *t, const struct flow *f, struct asked *q)
{
	for (int i = 0; i < 2; i++) {
		struct one_end *end = &q->ends[i];

		end->id = i ? f->dst_ep : f->src_ep;
		end->ip = i ? f->dst_ip : f->src_ip;
		end->endpoint = flow_dict_get_endpoint(t->dict, end->id);
		if (!end->endpoint)
			return false;
		__builtin_prefetch(&end->endpoint->id); /* while the answer is looked for */
	}
	/* To a service's own address: which backend it goes to, and so whose policies count, is
	 * not decided yet. */
	return !f->dst_svc.v || q->ends[1].endpoint->pod.len;
}

static bool denies(const struct side *s)
{
	return policy_verdict_denies((enum policy_verdict)s->verdict);
}

static bool is_enforced(const struct side *s)
{
	return s->verdict != POLICY_NOT_ENFORCED && s->verdict != POLICY_BROKEN;
}

/* FlowDetail in ext: merged with the rest of it. */
static void put_source(struct buf *ext, int source, const char *rules, size_t bytes,
		       uint32_t left_out)
{
	size_t mark = wire_begin(ext, FLOW_FIELD_TYCHO);

	wire_put_u64(ext, DETAIL_FIELD_POLICY_SOURCE, (uint64_t)source);
	buf_put(ext, rules, bytes);
	wire_put_u64(ext, DETAIL_FIELD_POLICIES_LEFT_OUT, left_out);
	wire_end(ext, mark);
}

static void put_side(struct policy_table *t, const struct side *s, int source, struct flow *f,
		     struct buf *ext)
{
	if (!s->lists)
		return;
	buf_put(ext, t->texts + s->at, s->lists);
	put_source(ext, source, t->texts + s->at + s->lists, s->rules, s->left_out);
	f->bits |= FLOW_HAS_POLICIES;
	counter_add(source == SOURCE_DERIVED ? &t->derived : &t->likely, 1);
}

/* A drop of the kernel's: it does not say in which direction, so the end that would have been asked
 * first is. On this node both are; elsewhere only the end that lives here. */
static void name_drop(struct policy_table *t, struct kept *k, struct asked *q, struct flow *f,
		      struct buf *ext)
{
	bool src_here = q->ends[0].endpoint->id, dst_here = q->ends[1].endpoint->id;
	bool here[] = {
		[POLICY_EGRESS] = src_here || !dst_here, [POLICY_INGRESS] = dst_here || !src_here
	};
	static const enum policy_direction order[] = { POLICY_EGRESS, POLICY_INGRESS };

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		const struct side *s = here[order[i]] ? side_of(t, q, k, order[i]) : NULL;

		if (s && denies(s)) {
			put_side(t, s, SOURCE_DERIVED_LIKELY, f, ext);
			return;
		}
	}
	counter_add(&t->unexplained, 1);
}

static void name_verdict_of(struct policy_table *t, const struct side *s, bool sure, struct flow *f,
			    struct buf *ext)
{
	bool seen = f->verdict == FLOW__VERDICT__DROPPED;
	sure = sure && !s->unsure;
	int source = sure && !is_later(f) ? SOURCE_DERIVED : SOURCE_DERIVED_LIKELY;

	if (f->verdict == FLOW__VERDICT__AUDIT) /* the rule did not say what it would do */
		put_side(t, s, SOURCE_DERIVED_LIKELY, f, ext);
	else if (seen == denies(s))
		put_side(t, s, source, f, ext);
	else if (sure && is_enforced(s)) {
		put_source(ext, SOURCE_CONTRADICTED, NULL, 0, 0);
		counter_add(&t->contradicted, 1);
	}
}

static void name_verdict(struct policy_table *t, struct kept *k, struct asked *q, struct flow *f,
			 struct buf *ext)
{
	bool in = f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS;

	if (in || f->direction == FLOW__TRAFFIC_DIRECTION__EGRESS) {
		name_verdict_of(t, side_of(t, q, k, in ? POLICY_INGRESS : POLICY_EGRESS), true, f,
				ext);
		return;
	}
	const struct side *s = side_of(t, q, k, POLICY_EGRESS);
	if (f->verdict == FLOW__VERDICT__DROPPED && denies(s)) {
		name_verdict_of(t, s, false, f, ext);
		return;
	}
	if (f->verdict != FLOW__VERDICT__DROPPED)
		name_verdict_of(t, s, false, f, ext);
	name_verdict_of(t, side_of(t, q, k, POLICY_INGRESS), false, f, ext);
}

/* What was in force when the flow happened; NULL: no policies, or nobody knows. */
static const struct shared_set *set_then(const struct policy_table *t, const struct flow *f)
{
	const struct version *v = t->version;
	size_t i = 0;

	if (!v || !flow_is(f, FLOW_HAS_TIME))
		return t->in;
	while (i + 1 < v->set_count && f->time.v < v->sets[i]->since.v)
		i++;
	if (!i)
		return t->in;
	return policy_set_count(v->sets[i]->set) ? v->sets[i] : NULL;
}

/* For questions to a set that is in force no more: rare, so nothing of it is kept. */
static void fill_past(struct policy_table *t, struct asked *q)
{
	for (size_t i = 0; i < 2; i++) {
		struct row_head head;
		struct policy_row *row =
			(struct policy_row *)(void *)(t->past_rows + i * (ROWS_BYTES / ROWS_MIN));

		q->ends[i].by_ip = false;
		fill(t, &q->ends[i], &head, row);
		q->rows[i] = row;
	}
}

static struct kept *find_now(struct policy_table *t, const struct flow *f, const struct asked *q,
			     uint64_t names)
{
	struct answer_key key = {
		.src = f->src_ep.v,
		.dst = f->dst_ep.v,
		.port = q->port,
		.protocol = q->protocol,
		.names = names,
	};

	if (policy_set_uses_addresses(t->set)) {
		memcpy(key.src_ip, f->src_ip, 16);
		memcpy(key.dst_ip, f->dst_ip, 16);
	}
	return find(t, &key);
}

void policy_flow(struct policy_table *t, struct flow *f, struct buf *ext)
{
	struct policy_names names;
	struct asked q = { 0 };
	struct kept past, *k = &past;
	uint64_t name_hash = 0;

	load_current(t);
	const struct shared_set *then = set_then(t, f);
	if (!then || !is_for_us(f) || !protocol_of(f, &q) || !read_ends(t, f, &q))
		return;
	t->set = then->set;
	t->words = then->words;
	if (policy_set_uses_names(t->set) && (f->bits & FLOW_HAS_NAMES))
		name_hash = take_names(ext, &names, &q);
	if (then == t->in) {
		k = find_now(t, f, &q, name_hash);
	} else {
		past.asked = 0;
		fill_past(t, &q);
	}
	if (f->event_type == EVENT_DROP)
		name_drop(t, k, &q, f, ext);
	else
		name_verdict(t, k, &q, f, ext);
}
