#include "record/memory.h"

#include "base/pages.h"
#include "record/values.h"

enum { MEMORY_BYTES = 16 << 20 };

enum err_code memory_init(struct memory *ret, struct err *e)
{
	*ret = (struct memory){ .bytes = pages_new(1, MEMORY_BYTES) };
	if (!ret->bytes)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	pages_wish_huge(ret->bytes, MEMORY_BYTES);
	memory_reset(ret);
	return ERR_OK;
}

void memory_done(struct memory *m)
{
	pages_free(m->bytes, 1, MEMORY_BYTES);
}

void memory_reset(struct memory *m)
{
	m->used = MEMORY_LINE; /* the first one stays zeros */
	m->is_full = false;
}

memory_ref memory_take(struct memory *m, size_t len)
{
	size_t ref = m->used;

	if (len + VALUES_ROOM + MEMORY_LINE > MEMORY_BYTES - ref) {
		m->is_full = true;
		return 0;
	}
	m->used = (ref + len + VALUES_ROOM - 1) / MEMORY_LINE * MEMORY_LINE + MEMORY_LINE;
	return (memory_ref)ref;
}
