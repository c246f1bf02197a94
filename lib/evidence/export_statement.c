#include "evidence/export_inside.h"

#include <sys/timex.h>

#include "evidence/filters.h"

/* Of each cause: how many gaps, and the records lost where that is known. */
static void put_losses(struct buf *b, const struct export_gaps *gaps)
{
	put_member_name(b, "loss");
	buf_char(b, '{');
	for (enum store_gap_cause c = 0; c < STORE_GAP_CAUSES_; c++) {
		if (!gaps->count[c])
			continue;
		put_member_name(b, store_gap_cause_name(c));
		buf_char(b, '{');
		put_member_u64(b, "gaps", gaps->count[c]);
		put_member_u64(b, "lost", gaps->lost[c]);
		buf_char(b, '}');
	}
	buf_char(b, '}');
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
	uint8_t policies[SHA256_BYTES], checkpoints[SHA256_BYTES];
	enum err_code code = export_add_damage(x, e);

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
	code = put_member_filters(b, "allow", r->whitelist, r->n_whitelist, e);
	if (code == ERR_OK)
		code = put_member_filters(b, "deny", r->blacklist, r->n_blacklist, e);
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
	if (x->oldest.v)
		put_member_time(b, "oldest", x->oldest);
	if (x->newest.v)
		put_member_time(b, "newest", x->newest);
	put_member_name(b, "gaps");
	buf_char(b, '[');
	buf_str_put(b, buf_str(&x->gaps.list));
	buf_char(b, ']');
	put_losses(b, &x->gaps);
	put_member_bool(b, "complete",
			x->has_since && x->oldest.v && x->oldest.v <= x->since.v && !x->gaps.any);
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

enum err_code export_step_statement(struct evidence_export *x, struct buf *out, struct err *e)
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
	export_put_signed(x, out, RESPONSE_STATEMENT, &s);
	x->phase = DONE;
	return ERR_OK;
}
