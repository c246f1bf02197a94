#include "policy/gather.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_AT_FIRST = 64 };

void policy_span_add(struct policy_span *to, struct policy_span one)
{
	if (!one.known)
		return;
	if (!to->known || one.first.v < to->first.v)
		to->first = one.first;
	if (!to->known || one.last.v > to->last.v)
		to->last = one.last;
	to->known = true;
}

enum err_code policy_grow(void *items, size_t count, size_t *room, size_t size, struct err *e)
{
	void *p;

	memcpy(&p, items, sizeof p); /* a pointer to whatever */
	if (count < *room)
		return ERR_OK;
	size_t more = *room ? *room * 2 : ROOM_AT_FIRST;
	p = reallocarray(p, more, size);
	if (!p)
		return err_set(e, ERR_NOMEM, "what flows say of policies");
	memcpy(items, &p, sizeof p);
	*room = more;
	return ERR_OK;
}
