#include "observer/name/dns_names.h"

#include "base/counter.h"
#include "base/pages.h"

struct entry {
	uint8_t ip[16], client[16];
	struct wall_ns until;
	struct endpoint_id client_ep;
	uint32_t next; /* in the bucket, by (ip, name); index + 1, 0 at its end */
	bool used;     /* since the hand came by */
	uint8_t len;
	char name[DNS_NAME_BYTES];
};

struct dns_names {
	uint64_t seed;
	struct entry *entries;
	uint32_t max, count, hand;
	uint32_t *buckets; /* index + 1 of the first entry */
	uint32_t bucket_mask;
	_Atomic uint64_t pushed_out;
};

enum { SECOND_CHANCES = 64 }; /* at most this many in a row: learning takes bounded time */

enum err_code dns_names_new(size_t max, uint64_t seed, struct dns_names **ret, struct err *e)
{
	if (max < 1 || max > 1 << 24)
		return err_set(e, ERR_INVALID, "DNS names of %zu addresses: from 1 to %d will do",
			       max, 1 << 24);
	AUTO(dns_names_free) struct dns_names *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(e, ERR_NOMEM, "DNS names");
	uint32_t buckets = 16;
	while (buckets < max)
		buckets *= 2;
	d->seed = seed;
	d->max = (uint32_t)max;
	d->bucket_mask = buckets - 1;
	d->entries = pages_new(max, sizeof *d->entries);
	d->buckets = pages_new(buckets, sizeof *d->buckets);
	if (!d->entries || !d->buckets)
		return err_set(e, ERR_NOMEM, "DNS names of %zu addresses", max);
	*ret = TAKE(d);
	return ERR_OK;
}

void dns_names_free(struct dns_names *d)
{
	if (!d)
		return;
	pages_free(d->entries, d->max, sizeof *d->entries);
	pages_free(d->buckets, d->bucket_mask + 1, sizeof *d->buckets);
	free(d);
}

size_t dns_names_count(const struct dns_names *d)
{
	return d->count;
}

uint64_t dns_names_pushed_out(const struct dns_names *d)
{
	return counter_get(&d->pushed_out);
}

static uint32_t *bucket_of(const struct dns_names *d, const uint8_t ip[16])
{
	/* Twice per flow, so shorter than hash_bytes: both halves, each with a secret, multiplied
	 * and folded. */
	uint64_t half[2];
	memcpy(half, ip, sizeof half);
	unsigned __int128 m = (unsigned __int128)(half[0] ^ d->seed) *
			      (half[1] ^ (d->seed << 32 | d->seed >> 32));
	return &d->buckets[((uint64_t)m ^ (uint64_t)(m >> 64)) & d->bucket_mask];
}

static struct str name_of(const struct entry *en)
{
	return str_n(en->name, en->len);
}

static bool is_of(const struct entry *en, const uint8_t ip[16])
{
	return memcmp(en->ip, ip, 16) == 0;
}

bool dns_name_tidy(struct str name, char ret[DNS_NAME_BYTES], size_t *ret_len)
{
	if (str_has_suffix(name, STR(".")))
		name.len--;
	if (!name.len || name.len > DNS_NAME_BYTES || !utf8_is_valid(name))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		bool is_c1 = (unsigned char)c == 0xc2 && (unsigned char)name.p[i + 1] < 0xa0;
		if ((unsigned char)c <= ' ' || c == 0x7f || is_c1)
			return false;
		ret[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	*ret_len = name.len;
	return true;
}

int dns_name_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = memcmp(a.p, b.p, n);

	if (order || a.len == b.len)
		return order;
	/* the shorter one's dot against what the longer one has there: of two dots the shorter
	 * one's is its end */
	order = '.' - (unsigned char)(a.len < b.len ? b : a).p[n];
	order = order ? order : -1;
	return a.len < b.len ? order : -order;
}

static void unlink_entry(struct dns_names *d, uint32_t index)
{
	uint32_t *at = bucket_of(d, d->entries[index].ip);

	while (*at != index + 1)
		at = &d->entries[*at - 1].next;
	*at = d->entries[index].next;
}

/* An entry to write to, in no bucket. */
static uint32_t take_entry(struct dns_names *d)
{
	if (d->count < d->max)
		return d->count++;
	for (int i = 0; i < SECOND_CHANCES && d->entries[d->hand].used; i++) {
		d->entries[d->hand].used = false;
		d->hand = (d->hand + 1) % d->max;
	}
	uint32_t index = d->hand;
	d->hand = (d->hand + 1) % d->max;
	unlink_entry(d, index);
	return index;
}

/* The entry of (@ip, @name, client), or of the address's entries the one that ends first when they
 * are at their limit; UINT32_MAX when there is room for one more. */
static uint32_t find_or_oldest(struct dns_names *d, struct dns_client client, const uint8_t ip[16],
			       struct str name)
{
	uint32_t oldest = UINT32_MAX, n = 0;

	for (uint32_t at = *bucket_of(d, ip); at; at = d->entries[at - 1].next) {
		const struct entry *en = &d->entries[at - 1];
		if (!is_of(en, ip))
			continue;
		if (str_eq(name_of(en), name) && memcmp(en->client, client.ip, 16) == 0)
			return at - 1;
		n++;
		if (oldest == UINT32_MAX || en->until.v < d->entries[oldest].until.v)
			oldest = at - 1;
	}
	return n >= DNS_NAMES_PER_ADDRESS ? oldest : UINT32_MAX;
}

static void link_entry(struct dns_names *d, uint32_t index)
{
	struct entry *en = &d->entries[index];
	uint32_t *at = bucket_of(d, en->ip);

	while (*at) {
		const struct entry *other = &d->entries[*at - 1];
		int order = memcmp(other->ip, en->ip, 16);
		if (order > 0 || (order == 0 && dns_name_cmp(name_of(other), name_of(en)) >= 0))
			break;
		at = &d->entries[*at - 1].next;
	}
	en->next = *at;
	*at = index + 1;
}

void dns_names_learn(struct dns_names *d, struct dns_client client, const uint8_t ip[16],
		     struct str name, uint32_t ttl_s, struct wall_ns now)
{
	char text[DNS_NAME_BYTES];
	size_t len;

	if (!dns_name_tidy(name, text, &len))
		return;
	if (ttl_s > DNS_TTL_MAX_S)
		ttl_s = DNS_TTL_MAX_S;
	uint32_t index = find_or_oldest(d, client, ip, str_n(text, len));
	bool known = index != UINT32_MAX;
	if (known)
		unlink_entry(d, index);
	else
		index = take_entry(d);
	struct entry *en = &d->entries[index];
	bool same = is_of(en, ip) && memcmp(en->client, client.ip, 16) == 0 &&
		    str_eq(name_of(en), str_n(text, len));
	if (!same && en->until.v > now.v)
		counter_add(&d->pushed_out, 1);
	memcpy(en->ip, ip, 16);
	memcpy(en->client, client.ip, 16);
	memcpy(en->name, text, len);
	en->len = (uint8_t)len;
	en->client_ep = client.ep;
	en->until.v = now.v + (uint64_t)(ttl_s + DNS_GRACE_S) * NS_PER_S;
	en->used = known; /* a new name has to show that it is worth its place */
	link_entry(d, index);
}

static bool was_told(const struct entry *en, struct dns_client client)
{
	return (client.ep.v && client.ep.v == en->client_ep.v) ||
	       memcmp(en->client, client.ip, 16) == 0;
}

size_t dns_names_find(struct dns_names *d, const uint8_t ip[16], struct dns_client client,
		      bool anyones, struct wall_ns now, struct str ret[DNS_NAMES_PER_ADDRESS])
{
	size_t n = 0;

	for (uint32_t at = *bucket_of(d, ip); at; at = d->entries[at - 1].next) {
		struct entry *en = &d->entries[at - 1];
		if (!is_of(en, ip) || now.v > en->until.v || (!anyones && !was_told(en, client)))
			continue;
		if (!en->used)
			en->used = true;
		if (n && str_eq(ret[n - 1], name_of(en)))
			continue; /* told to several */
		ret[n++] = name_of(en);
	}
	return n;
}
