#include "evidence/checkpoint.h"

#include <stdatomic.h>

#include "evidence/text.h"
#include "store/store.h"

enum { TEXT_BYTES = 8192 };

struct checkpoints {
	struct checkpoints_config config;
	struct wall_ns due;
	uint64_t last_entry; /* of the last one made */
	_Atomic uint64_t made;
};

enum err_code checkpoints_new(const struct checkpoints_config *config, struct checkpoints **ret,
			      struct err *e)
{
	struct checkpoints *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "checkpoints");
	c->config = *config;
	if (!c->config.interval_ns)
		c->config.interval_ns = 60 * NS_PER_S;
	*ret = c;
	return ERR_OK;
}

void checkpoints_free(struct checkpoints *c)
{
	free(c);
}

uint64_t checkpoints_made(const struct checkpoints *c)
{
	return atomic_load_explicit(&c->made, memory_order_relaxed);
}

static enum err_code make(struct checkpoints *c, struct wall_ns now, struct err *e)
{
	struct store_counts counts = store_counts(c->config.store);
	char space[TEXT_BYTES], line_space[2 * TEXT_BYTES];
	struct buf text = buf_fixed(space, sizeof space);
	struct buf line = buf_fixed(line_space, sizeof line_space);
	struct signed_text s;

	if (counts.entries == c->last_entry)
		return ERR_OK;
	buf_lit(&text, "{\"tycho\":\"checkpoint\"");
	put_member_text(&text, "node", str_of(c->config.node));
	put_member_u64(&text, "entry", counts.entries);
	put_member_hex(&text, "head", str_n(counts.head.v, sizeof counts.head.v));
	put_member_u64(&text, "records", counts.records);
	put_member_u64(&text, "seq", store_sealed(c->config.store));
	put_member_time(&text, "time", now);
	put_member_text(&text, "key", str_of(evidence_key_fingerprint(c->config.key)));
	buf_char(&text, '}');
	if (text.failed)
		return err_set(e, ERR_INTERNAL, "a checkpoint is too long");
	enum err_code code = signed_text_make(c->config.key, buf_str(&text), &s, e);
	if (code != ERR_OK)
		return code;
	signed_text_put(&line, &s);
	/* Elsewhere first: what leaves the node cannot be taken back, whatever the disk does. */
	if (c->config.sender && !line.failed)
		evidence_sender_put(c->config.sender, buf_str(&line));
	const struct store_checkpoint row = { .entry = counts.entries,
					      .text = s.text,
					      .signature = str_n(s.signature, sizeof s.signature),
					      .key = str_n(s.key, sizeof s.key) };
	code = store_put_checkpoint(c->config.store, &row, e);
	if (code == ERR_OK) {
		c->last_entry = counts.entries;
		atomic_fetch_add_explicit(&c->made, 1, memory_order_relaxed);
	}
	return code;
}

enum err_code checkpoints_tick(struct checkpoints *c, struct wall_ns now, struct err *e)
{
	/* A clock that was set back does not hold the next one up. */
	bool set_back = c->due.v > now.v + c->config.interval_ns;

	if (now.v < c->due.v && !set_back)
		return ERR_OK;
	enum err_code code = make(c, now, e);
	c->due.v = now.v + (code == ERR_OK ? c->config.interval_ns : NS_PER_S);
	return code;
}

enum err_code checkpoints_last(struct checkpoints *c, struct wall_ns now, struct err *e)
{
	/* What cannot be sealed is lost and told by the store; what is there is signed all the
	 * same. */
	enum err_code stopped = store_stop(c->config.store, now, e), made = make(c, now, e);

	return stopped != ERR_OK ? stopped : made;
}
