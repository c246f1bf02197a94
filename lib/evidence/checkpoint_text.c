/* Apart from what makes checkpoints, which needs a sender: those who only read them do without. */
#include "evidence/checkpoint.h"

#include "evidence/text.h"

bool checkpoint_text_parse(struct str text, struct checkpoint_text *ret)
{
	struct checkpoint_text t;
	struct str kind;

	if (!flat_get(text, "tycho", &kind) || !str_eq(kind, STR("checkpoint")) ||
	    !flat_u64(text, "entry", &t.entry) || !flat_u64(text, "records", &t.records) ||
	    !flat_u64(text, "seq", &t.seq) || !flat_time(text, "time", &t.time) ||
	    !flat_hex(text, "head", t.head.v, sizeof t.head.v) ||
	    !flat_get(text, "node", &t.node) || !flat_get(text, "key", &t.fingerprint))
		return false;
	*ret = t;
	return true;
}

struct kept_checkpoints kept_checkpoints_of(struct str lines)
{
	return (struct kept_checkpoints){ .rest = lines, .scratch = buf_init(1 << 20) };
}

void kept_checkpoints_done(struct kept_checkpoints *k)
{
	buf_done(&k->scratch);
}

bool kept_checkpoints_next(struct kept_checkpoints *k, struct signed_text *ret_signed,
			   struct checkpoint_text *ret, enum err_code *ret_code, struct err *e)
{
	struct str line = STR("");

	*ret_code = ERR_OK;
	while (k->rest.len && !line.len) {
		line = str_upto(k->rest, str_find(k->rest, '\n'));
		k->rest = str_from(k->rest, line.len + 1);
		k->line++;
		line = str_trim(str_from(line, str_find(line, '{')));
	}
	if (!line.len)
		return false;
	if (signed_text_parse(line, &k->scratch, ret_signed, NULL) == ERR_OK &&
	    checkpoint_text_parse(ret_signed->text, ret))
		return true;
	*ret_code = err_set(e, ERR_PARSE, "line %zu of the separately kept checkpoints is none",
			    k->line);
	return false;
}
