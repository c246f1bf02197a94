#include "observer/name/told.h"

#include "base/buf.h"
#include "observer/name/dns_names.h"
#include "observer/name/snapshot.h"

/* One name of one address. */
struct entry {
	uint8_t ip[16];
	struct wall_ns until;
	uint32_t endpoint, at; /* of the name in the texts */
	uint8_t len;
};

struct told {
	uint32_t refs;
	struct entry *entries; /* by endpoint, address, name */
	size_t count, left_out;
	struct buf texts;
	/* The first entry of an endpoint and an address plus one, 0: free; at most half full. */
	uint32_t *index;
	size_t mask;
};

/* An entry on its way to its place. */
struct draft {
	struct entry entry;
	struct str name; /* in the texts */
};

static int compare_keys(const struct entry *a, const uint8_t ip[16], uint32_t endpoint)
{
	if (a->endpoint != endpoint)
		return a->endpoint < endpoint ? -1 : 1;
	return memcmp(a->ip, ip, 16);
}

/* Of equal ones that which lasts longest comes first. */
static int compare_drafts(const void *a, const void *b)
{
	const struct draft *x = a, *y = b;
	int order = compare_keys(&x->entry, y->entry.ip, y->entry.endpoint);

	if (!order)
		order = dns_name_cmp(x->name, y->name);
	if (!order && x->entry.until.v != y->entry.until.v)
		order = x->entry.until.v > y->entry.until.v ? -1 : 1;
	return order;
}

static size_t place_of(const struct told *t, const uint8_t ip[16], uint32_t endpoint)
{
	for (size_t i = snapshot_hash(ip128_of(ip), endpoint) & t->mask;; i = (i + 1) & t->mask)
		if (!t->index[i] || compare_keys(&t->entries[t->index[i] - 1], ip, endpoint) == 0)
			return i;
}

/* Addresses of one answer follow one another and share its text. */
static bool has_own_text(const struct name_told *list, size_t i)
{
	return !i || list[i].name.p != list[i - 1].name.p ||
	       list[i].name.len != list[i - 1].name.len;
}

/* Room for all that can come: nothing moves while texts are borrowed. */
static size_t text_bytes(const struct name_told *list, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += has_own_text(list, i) ? list[i].name.len : 0;
	return bytes;
}

/* The names in the form in which they are kept. @return how many drafts there are. */
static size_t make_drafts(struct told *t, const struct name_told *list, size_t count,
			  struct draft *drafts)
{
	char text[DNS_NAME_BYTES];
	size_t n = 0, len = 0, at = 0;
	bool is_name = false;

	for (size_t i = 0; i < count; i++) {
		if (has_own_text(list, i)) {
			is_name = dns_name_tidy(list[i].name, text, &len);
			at = t->texts.len;
			if (is_name)
				buf_put(&t->texts, text, len);
		}
		if (!is_name)
			continue;
		struct draft *d = &drafts[n++];
		d->entry = (struct entry){ .until = list[i].until,
					   .endpoint = list[i].endpoint,
					   .at = (uint32_t)at,
					   .len = (uint8_t)len };
		memcpy(d->entry.ip, list[i].ip, 16);
		d->name = str_n(t->texts.p + at, len);
	}
	return n;
}

/* Entries and index of drafts in order. */
static void fill(struct told *t, const struct draft *drafts, size_t count)
{
	size_t of_key = 0; /* entries of the last one's endpoint and address */

	for (size_t i = 0; i < count; i++) {
		const struct draft *d = &drafts[i], *last = i ? d - 1 : NULL;
		bool same = last && compare_keys(&last->entry, d->entry.ip, d->entry.endpoint) == 0;
		of_key = same ? of_key : 0;
		if (same && str_eq(last->name, d->name))
			continue;
		if (of_key >= TOLD_PER_ADDRESS) {
			t->left_out++;
			continue;
		}
		of_key++;
		t->entries[t->count++] = d->entry;
		if (!same)
			t->index[place_of(t, d->entry.ip, d->entry.endpoint)] = (uint32_t)t->count;
	}
}

enum err_code told_new(const struct name_told *list, size_t count, struct told **ret, struct err *e)
{
	size_t bytes = text_bytes(list, count), slots = 16;
	struct draft *drafts = calloc(count + 1, sizeof *drafts);
	struct told *t = calloc(1, sizeof *t);

	while (slots < count * 2)
		slots *= 2;
	if (t) {
		*t = (struct told){ .refs = 1,
				    .entries = calloc(count + 1, sizeof *t->entries),
				    .texts = buf_init(bytes),
				    .index = calloc(slots, sizeof *t->index),
				    .mask = slots - 1 };
	}
	if (!drafts || !t || !t->entries || !t->index ||
	    (bytes && !buf_reserve(&t->texts, bytes))) {
		free(drafts);
		told_unref(t);
		return err_set(e, ERR_NOMEM, "%zu names that endpoints were told", count);
	}
	size_t n = make_drafts(t, list, count, drafts);
	qsort(drafts, n, sizeof *drafts, compare_drafts);
	fill(t, drafts, n);
	free(drafts);
	*ret = t;
	return ERR_OK;
}

size_t told_left_out(const struct told *t)
{
	return t ? t->left_out : 0;
}

struct told *told_ref(struct told *t)
{
	if (t)
		t->refs++;
	return t;
}

void told_unref(struct told *t)
{
	if (!t || --t->refs)
		return;
	free(t->entries);
	free(t->index);
	buf_done(&t->texts);
	free(t);
}

size_t told_find(const struct told *t, const uint8_t ip[16], uint32_t endpoint, struct wall_ns now,
		 struct str ret[TOLD_PER_ADDRESS])
{
	size_t n = 0;

	if (!t)
		return 0;
	size_t first = t->index[place_of(t, ip, endpoint)];
	for (size_t i = first - 1; first && i < t->count; i++) {
		const struct entry *en = &t->entries[i];
		if (compare_keys(en, ip, endpoint) != 0)
			break;
		if (now.v <= en->until.v)
			ret[n++] = str_n(t->texts.p + en->at, en->len);
	}
	return n;
}
