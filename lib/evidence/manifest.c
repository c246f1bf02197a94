#include "evidence/manifest.h"

#include <stdio.h>

#include "chain/sha256.h"
#include "evidence/text.h"
#include "store/store.h"

const char *const manifest_scope_members[] = { "since", "until",  "words", "allow",
					       "deny",  "redact", "nonce", NULL };

void manifest_files_done(struct manifest_files *f)
{
	free(f->list);
	*f = (struct manifest_files){ 0 };
}

enum err_code manifest_files_add(struct manifest_files *f, const char *name, struct str content,
				 struct err *e)
{
	if (f->count == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct manifest_file *list = realloc(f->list, cap * sizeof *list);
		if (!list)
			return err_set(e, ERR_NOMEM, "files of a bundle");
		f->list = list;
		f->cap = cap;
	}
	struct manifest_file *file = &f->list[f->count++];
	(void)snprintf(file->name, sizeof file->name, "%s", name);
	file->bytes = content.len;
	sha256(content, file->sha256);
	return ERR_OK;
}

static struct str member(const json_t *j, const char *name)
{
	const json_t *text = json_object_get(j, name);

	return str_n(json_is_string(text) ? json_string_value(text) : "", json_string_length(text));
}

void manifest_put_derived(struct buf *b, const json_t *statement)
{
	const json_t *gaps = json_object_get(statement, "gaps"), *gap;
	struct wall_ns oldest, since;
	bool reaches = time_parse(member(statement, "oldest"), &oldest) &&
		       time_parse(member(statement, "since"), &since) && oldest.v <= since.v;
	size_t i;

	put_member_bool(b, "complete", reaches && !json_array_size(gaps));
	put_member_name(b, "loss");
	buf_char(b, '{');
	for (enum store_gap_cause c = 0; c < STORE_GAP_CAUSES_; c++) {
		struct str name = str_of(store_gap_cause_name(c));
		uint64_t count = 0, lost = 0, n;
		json_array_foreach(gaps, i, gap)
		{
			if (!str_eq(member(gap, "cause"), name))
				continue;
			count++;
			if (!parse_u64(member(gap, "lost"), UINT64_MAX, &n))
				n = 0;
			lost = lost > UINT64_MAX - n ? UINT64_MAX : lost + n;
		}
		if (!count)
			continue;
		put_member_name(b, store_gap_cause_name(c));
		buf_char(b, '{');
		put_member_u64(b, "gaps", count);
		put_member_u64(b, "lost", lost);
		buf_char(b, '}');
	}
	buf_char(b, '}');
}
