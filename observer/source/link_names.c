#include "observer/source/link_names.h"

#include "observer/source/links.h"

enum { SLOTS = 256 };

struct link_names {
	struct links *links;
	struct mono_ns looked_at;
	/* the last interfaces asked for; emptied when the list changes */
	const struct link *slots[SLOTS];
};

enum err_code link_names_new(struct link_names **ret, struct err *e)
{
	AUTO(link_names_free) struct link_names *l = calloc(1, sizeof *l);

	if (!l)
		return err_set(e, ERR_NOMEM, "names of interfaces");
	enum err_code code = links_open(false, &l->links, e);
	if (code == ERR_OK)
		code = links_refresh(l->links, e);
	if (code != ERR_OK)
		return err_in(e, "names of interfaces");
	*ret = TAKE(l);
	return ERR_OK;
}

void link_names_free(struct link_names *l)
{
	if (!l)
		return;
	links_free(l->links);
	free(l);
}

static void look(struct link_names *l, struct mono_ns now)
{
	struct err e;

	l->looked_at = now;
	/* a failed refresh leaves the old list: the next change brings another chance */
	if (links_changed(l->links) && links_refresh(l->links, &e) == ERR_OK)
		memset(l->slots, 0, sizeof l->slots);
}

static const struct link *search(const struct link_names *l, uint32_t ifindex)
{
	size_t count, lo = 0;
	const struct link *list = links_list(l->links, &count);

	for (size_t hi = count; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (list[mid].ifindex < ifindex)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < count && list[lo].ifindex == ifindex ? &list[lo] : NULL;
}

bool link_names_get(void *ctx, uint32_t ifindex, struct mono_ns now, char ret[IF_NAMESIZE])
{
	struct link_names *l = ctx;
	const struct link **slot = &l->slots[ifindex % SLOTS];

	if (now.v - l->looked_at.v >= LINK_NAMES_LOOK_MS * NS_PER_MS)
		look(l, now);
	if (!*slot || (*slot)->ifindex != ifindex) {
		const struct link *found = search(l, ifindex);
		if (!found)
			return false;
		*slot = found;
	}
	memcpy(ret, (*slot)->name, IF_NAMESIZE);
	return true;
}
