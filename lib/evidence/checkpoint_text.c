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
