#include "evidence/manifest.h"

#include <stdio.h>

#include "chain/sha256.h"

const char *const manifest_scope_members[] = { "since", "until",  "words", "allow",
					       "deny",  "redact", "nonce", NULL };

void manifest_files_done(struct manifest_files *f)
{
	free(f->list);
	*f = (struct manifest_files){ 0 };
}

static struct manifest_file *next_file(struct manifest_files *f, const char *name, uint64_t bytes,
				       struct err *e)
{
	if (f->count == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct manifest_file *list = realloc(f->list, cap * sizeof *list);
		if (!list) {
			(void)err_set(e, ERR_NOMEM, "files of a bundle");
			return NULL;
		}
		f->list = list;
		f->cap = cap;
	}
	struct manifest_file *file = &f->list[f->count++];
	*file = (struct manifest_file){ .bytes = bytes };
	(void)snprintf(file->name, sizeof file->name, "%s", name);
	return file;
}

enum err_code manifest_files_add(struct manifest_files *f, const char *name, struct str content,
				 struct err *e)
{
	struct manifest_file *file = next_file(f, name, content.len, e);

	if (!file)
		return ERR_NOMEM;
	file->has_sum = true;
	sha256(content, file->sha256);
	return ERR_OK;
}

enum err_code manifest_files_note(struct manifest_files *f, const char *name, uint64_t bytes,
				  struct err *e)
{
	return next_file(f, name, bytes, e) ? ERR_OK : ERR_NOMEM;
}

enum err_code manifest_files_append(struct manifest_files *f, const struct manifest_files *from,
				    struct err *e)
{
	for (size_t i = 0; i < from->count; i++) {
		struct manifest_file *file = next_file(f, "", 0, e);
		if (!file)
			return ERR_NOMEM;
		*file = from->list[i];
	}
	return ERR_OK;
}
