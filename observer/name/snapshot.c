#include "observer/name/snapshot.h"

#include "observer/name/part.h"
#include "observer/name/told.h"

enum {
	HOST_IDENTITY = 1, /* reference/cilium-events.md section 4 */
	IPV4_BITS = 96,    /* of an IPv4 address as 16 bytes, before the address itself */
};

struct prefix_slot {
	struct ip128 ip;
	struct endpoint_id ep;
	uint32_t identity, local_id; /* as struct who has them */
	uint8_t who;                 /* enum who_bits; 0: free */
	uint8_t length;
};
_Static_assert(sizeof(struct prefix_slot) == 32, "two of them on a line of the cache");

struct service_slot {
	struct ip128 ip;
	struct service_id service; /* 0: free */
	uint16_t port;
};

struct cgroup_slot {
	struct snapshot_cgroup cgroup;
	bool used;
};

/* Tables that few changes touch: shared by the snapshots that have them alike. */
struct rest {
	uint32_t refs;
	struct service_slot *services;
	size_t service_mask;
	struct snapshot_identity *identities; /* ep 0: free */
	size_t identity_mask;
	struct cgroup_slot *cgroups;
	size_t cgroup_mask;
	struct told *told; /* counted */
	uint64_t service_ports[65536 /
			       64]; /* a bit for each port that a service has: most have none */
	bool has_services, has_any_port, has_identities;
};
/* Endpoints of this node by Endpoint.ID; ep 0: free. */
struct locals {
	uint32_t refs;
	size_t mask;
	struct snapshot_identity slots[];
};
enum { PAGE_SHIFT = 8, PAGE_SLOTS = 1 << PAGE_SHIFT };
struct page {
	struct prefix_slot slots[PAGE_SLOTS];
	uint32_t refs;
};

struct snapshot {
	struct endpoint_id world, host;
	size_t prefix_mask, prefix_count;
	struct rest *rest;
	struct locals *locals;
	size_t length_counts[129]; /* prefixes of each length */
	uint8_t length_count;
	uint8_t ipv4_length_count; /* of these, what can be an IPv4 prefix */
	uint8_t lengths[128];      /* of the prefixes shorter than an address, longest first */
	size_t page_count;
	struct page *pages[]; /* slot i is on page i / PAGE_SLOTS */
};

static inline struct prefix_slot *slot_at(const struct snapshot *s, size_t i)
{
	return &s->pages[i >> PAGE_SHIFT]->slots[i & (PAGE_SLOTS - 1)];
}

/* The slot that holds the prefix, or the free one where it belongs; *@ret_at is its number. Inline:
 * twice a flow. */
static inline struct prefix_slot *probe(const struct snapshot *s, struct ip128 ip, uint8_t length,
					size_t *ret_at)
{
	for (size_t i = snapshot_hash(ip, length) & s->prefix_mask;; i = (i + 1) & s->prefix_mask) {
		struct prefix_slot *slot = slot_at(s, i);
		*ret_at = i;
		if (!slot->who ||
		    (slot->ip.lo == ip.lo && slot->ip.hi == ip.hi && slot->length == length))
			return slot;
	}
}

static size_t place_of(const struct snapshot *s, struct ip128 ip, uint8_t length)
{
	size_t at;

	(void)probe(s, ip, length, &at);
	return at;
}

static struct prefix_slot *find_prefix(const struct snapshot *s, struct ip128 ip, uint8_t length)
{
	size_t at;

	return probe(s, ip, length, &at);
}

static struct service_slot *find_service(const struct rest *s, struct ip128 ip, uint16_t port)
{
	for (size_t i = snapshot_hash(ip, (uint64_t)port << 32);; i++) {
		struct service_slot *slot = &s->services[i & s->service_mask];
		if (!slot->service.v ||
		    (slot->ip.lo == ip.lo && slot->ip.hi == ip.hi && slot->port == port))
			return slot;
	}
}

/* Numbers that providers give: multiplied by 2^64 / golden ratio, the upper bits are well mixed. */
static size_t hash_number(uint64_t number)
{
	return (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static struct snapshot_identity *find_number(struct snapshot_identity *slots, size_t mask,
					     uint32_t number)
{
	for (size_t i = hash_number(number);; i++) {
		struct snapshot_identity *slot = &slots[i & mask];
		if (!slot->ep.v || slot->identity == number)
			return slot;
	}
}

static struct cgroup_slot *find_cgroup(const struct rest *s, uint64_t cgroup)
{
	for (size_t i = hash_number(cgroup);; i++) {
		struct cgroup_slot *slot = &s->cgroups[i & s->cgroup_mask];
		if (!slot->used || slot->cgroup.cgroup == cgroup)
			return slot;
	}
}

/* Slots for @count keys, at most half full. */
static size_t mask_for(size_t count)
{
	size_t slots = 16;

	while (slots < count * 2)
		slots *= 2;
	return slots - 1;
}

/* ---- the rest */

static void rest_unref(struct rest *r)
{
	if (!r || --r->refs)
		return;
	free(r->services);
	free(r->identities);
	free(r->cgroups);
	told_unref(r->told);
	free(r);
}

static void fill_rest(struct rest *r, const struct snapshot_part *part)
{
	for (size_t i = 0; i < part->service_count; i++) {
		const struct snapshot_service *sv = &part->services[i];
		struct service_slot *slot = find_service(r, sv->ip, sv->port);
		if (slot->service.v || !sv->service.v)
			continue;
		*slot = (struct service_slot){ sv->ip, sv->service, sv->port };
		r->service_ports[sv->port / 64] |= UINT64_C(1) << sv->port % 64;
		r->has_services = true;
		r->has_any_port |= !sv->port;
	}
	for (size_t i = 0; i < part->identity_count; i++) {
		const struct snapshot_identity *in = &part->identities[i];
		struct snapshot_identity *slot =
			find_number(r->identities, r->identity_mask, in->identity);
		if (!slot->ep.v && in->ep.v) {
			*slot = *in;
			r->has_identities = true;
		}
	}
	for (size_t i = 0; i < part->cgroup_count; i++) {
		struct cgroup_slot *slot = find_cgroup(r, part->cgroups[i].cgroup);
		if (!slot->used)
			*slot = (struct cgroup_slot){ part->cgroups[i], true };
	}
}

static struct rest *rest_new(const struct snapshot_part *parts, size_t count)
{
	size_t services = 0, identities = 0, cgroups = 0;
	struct rest *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		services += parts[i].service_count;
		identities += parts[i].identity_count;
		cgroups += parts[i].cgroup_count;
	}
	r->refs = 1;
	r->service_mask = mask_for(services);
	r->services = calloc(r->service_mask + 1, sizeof *r->services);
	r->identity_mask = mask_for(identities);
	r->identities = calloc(r->identity_mask + 1, sizeof *r->identities);
	r->cgroup_mask = mask_for(cgroups);
	r->cgroups = calloc(r->cgroup_mask + 1, sizeof *r->cgroups);
	if (!r->services || !r->identities || !r->cgroups) {
		rest_unref(r);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		fill_rest(r, &parts[i]);
		if (!r->told)
			r->told = told_ref(parts[i].told);
	}
	return r;
}

/* ---- endpoints of this node */

static void locals_unref(struct locals *l)
{
	if (l && !--l->refs)
		free(l);
}

static struct locals *locals_new(const struct snapshot_part *parts, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t p = 0; p < parts[i].prefix_count; p++)
			n += parts[i].prefixes[p].who.local_id != 0;
	size_t mask = mask_for(n);
	struct locals *l = calloc(1, sizeof *l + (mask + 1) * sizeof *l->slots);
	if (!l)
		return NULL;
	l->refs = 1;
	l->mask = mask;
	for (size_t i = 0; i < count; i++)
		for (size_t p = 0; p < parts[i].prefix_count; p++) {
			const struct snapshot_prefix *x = &parts[i].prefixes[p];
			uint32_t id = x->who.local_id;
			if (!id)
				continue;
			struct snapshot_identity *slot = find_number(l->slots, l->mask, id);
			if (!slot->ep.v)
				*slot = (struct snapshot_identity){ id, x->who.ep };
		}
	return l;
}

/* ---- prefixes */

static struct prefix_slot slot_of(const struct snapshot_prefix *p)
{
	return (struct prefix_slot){
		p->ip,  p->who.ep, p->who.identity, p->who.local_id, p->who.bits | WHO_CLAIMED,
		p->bits
	};
}

static void add_prefixes(struct snapshot *s, const struct snapshot_part *part)
{
	for (size_t i = 0; i < part->prefix_count; i++) {
		const struct snapshot_prefix *p = &part->prefixes[i];
		struct prefix_slot *slot = find_prefix(s, p->ip, p->bits);
		if (slot->who)
			continue; /* somebody with precedence has it */
		*slot = slot_of(p);
		s->length_counts[p->bits]++;
		s->prefix_count++;
	}
}

static void list_lengths(struct snapshot *s)
{
	s->length_count = s->ipv4_length_count = 0;
	for (int bits = 127; bits >= 0; bits--) {
		if (s->length_counts[bits])
			s->lengths[s->length_count++] = (uint8_t)bits;
		if (bits == IPV4_BITS)
			s->ipv4_length_count = s->length_count;
	}
}

static struct snapshot *pages_new(size_t pages)
{
	struct snapshot *s = calloc(1, sizeof *s + pages * sizeof *s->pages);

	if (s)
		s->page_count = pages;
	return s;
}

enum err_code snapshot_new(const struct snapshot_part *parts, size_t count,
			   struct endpoint_id world, struct endpoint_id host, struct snapshot **ret,
			   struct err *e)
{
	size_t prefixes = 0;

	for (size_t i = 0; i < count; i++)
		prefixes += parts[i].prefix_count;
	size_t mask = mask_for(prefixes > PAGE_SLOTS / 2 ? prefixes : PAGE_SLOTS / 2);
	AUTO(snapshot_free) struct snapshot *s = pages_new((mask + 1) / PAGE_SLOTS);
	if (!s)
		return err_set(e, ERR_NOMEM, "name table");
	s->world = world;
	s->host = host;
	s->prefix_mask = mask;
	s->rest = rest_new(parts, count);
	s->locals = locals_new(parts, count);
	bool whole = s->rest && s->locals;
	for (size_t i = 0; i < s->page_count && whole; i++) {
		s->pages[i] = calloc(1, sizeof *s->pages[i]);
		if (s->pages[i])
			s->pages[i]->refs = 1;
		else
			whole = false;
	}
	if (!whole)
		return err_set(e, ERR_NOMEM, "name table of %zu addresses", prefixes);
	for (size_t i = 0; i < count; i++)
		add_prefixes(s, &parts[i]);
	list_lengths(s);
	*ret = TAKE(s);
	return ERR_OK;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->page_count; i++)
		if (s->pages[i] && !--s->pages[i]->refs)
			free(s->pages[i]);
	rest_unref(s->rest);
	locals_unref(s->locals);
	free(s);
}

size_t snapshot_own_bytes(const struct snapshot *s)
{
	const struct rest *r = s->rest;
	size_t bytes = sizeof *s + s->page_count * sizeof *s->pages;

	for (size_t i = 0; i < s->page_count; i++)
		bytes += s->pages[i]->refs == 1 ? sizeof *s->pages[i] : 0;
	if (s->locals->refs == 1)
		bytes += (s->locals->mask + 1) * sizeof *s->locals->slots;
	if (r->refs == 1)
		bytes += (r->service_mask + 1) * sizeof *r->services +
			 (r->identity_mask + 1) * sizeof *r->identities +
			 (r->cgroup_mask + 1) * sizeof *r->cgroups;
	return bytes;
}

/* ---- changes */

/* The slot at @i, on a page of @s's own; NULL: no memory. */
static struct prefix_slot *own_slot(struct snapshot *s, size_t i)
{
	struct page **at = &s->pages[i >> PAGE_SHIFT], *mine;

	if ((*at)->refs > 1) {
		mine = malloc(sizeof *mine);
		if (!mine)
			return NULL;
		*mine = **at;
		mine->refs = 1;
		(*at)->refs--;
		*at = mine;
	}
	return slot_at(s, i);
}

/* Frees the slot at @hole: what probed past it moves up, so that no search ends early. */
static bool close_hole(struct snapshot *s, size_t hole)
{
	struct prefix_slot *to = own_slot(s, hole);

	for (size_t i = (hole + 1) & s->prefix_mask; to; i = (i + 1) & s->prefix_mask) {
		const struct prefix_slot *slot = slot_at(s, i);
		if (!slot->who)
			break;
		size_t home = snapshot_hash(slot->ip, slot->length) & s->prefix_mask;
		if (((i - home) & s->prefix_mask) < ((i - hole) & s->prefix_mask))
			continue; /* its home lies behind the hole */
		*to = *slot;
		hole = i;
		to = own_slot(s, hole);
	}
	if (to)
		*to = (struct prefix_slot){ 0 };
	return to;
}

/* The first of @parts that claims it. */
static const struct snapshot_prefix *owner_of(const struct snapshot_part *parts, size_t count,
					      const struct snapshot_key *key)
{
	const struct snapshot_prefix *x = NULL;

	for (size_t i = 0; i < count && !x; i++)
		x = part_find(&parts[i], key->ip, key->bits);
	return x;
}

static bool change_prefix(struct snapshot *s, const struct snapshot_part *parts, size_t count,
			  const struct snapshot_key *key)
{
	const struct snapshot_prefix *owner = owner_of(parts, count, key);
	size_t at = place_of(s, key->ip, key->bits);
	bool is_there = slot_at(s, at)->who;

	if (!owner && !is_there)
		return true;
	s->length_counts[key->bits] += (owner != NULL) - is_there;
	s->prefix_count += (owner != NULL) - is_there;
	if (!owner)
		return close_hole(s, at);
	struct prefix_slot *slot = own_slot(s, at);
	if (slot)
		*slot = slot_of(owner);
	return slot;
}

enum err_code snapshot_change(const struct snapshot *old, const struct snapshot_part *parts,
			      size_t part_count, const struct snapshot_key *changed, size_t count,
			      unsigned more, struct snapshot **ret, struct err *e)
{
	*ret = NULL;
	if ((old->prefix_count + count) * 2 > old->prefix_mask + 1)
		return ERR_OK;
	AUTO(snapshot_free) struct snapshot *s = pages_new(old->page_count);
	if (!s)
		return err_set(e, ERR_NOMEM, "name table");
	memcpy(s, old, sizeof *s + old->page_count * sizeof *s->pages);
	for (size_t i = 0; i < s->page_count; i++)
		s->pages[i]->refs++;
	s->locals = more & SNAPSHOT_LOCALS ? locals_new(parts, part_count) : old->locals;
	s->rest = more & SNAPSHOT_SERVICES ? rest_new(parts, part_count) : old->rest;
	if (s->locals == old->locals)
		s->locals->refs++;
	if (s->rest == old->rest)
		s->rest->refs++;
	bool whole = s->rest && s->locals;
	for (size_t i = 0; i < count && whole; i++)
		whole = change_prefix(s, parts, part_count, &changed[i]);
	if (!whole)
		return err_set(e, ERR_NOMEM, "name table of %zu addresses", s->prefix_count);
	list_lengths(s);
	*ret = TAKE(s);
	return ERR_OK;
}

/* ---- looking */

/* 127.0.0.0/8 and ::1. */
static bool is_loopback(struct ip128 ip)
{
	return ip.hi == 0 && (ip.lo >> 24 == UINT64_C(0xffff7f) || ip.lo == 1);
}

/* No IPv6 prefix has it, not even ::/0. */
static bool is_ipv4(struct ip128 ip)
{
	return ip.hi == 0 && ip.lo >> 32 == UINT32_C(0xffff);
}

void snapshot_ahead(const struct snapshot *s, const uint8_t ip[16])
{
	__builtin_prefetch(slot_at(s, snapshot_hash(ip128_of(ip), 128) & s->prefix_mask));
}

struct who snapshot_who(const struct snapshot *s, const uint8_t ip[16])
{
	struct ip128 key = ip128_of(ip);
	size_t at;
	const struct prefix_slot *slot = probe(s, key, 128, &at);
	size_t lengths = is_ipv4(key) ? s->ipv4_length_count : s->length_count;

	for (size_t i = 0; !slot->who && i < lengths; i++)
		slot = find_prefix(s, ip128_prefix(key, s->lengths[i]), s->lengths[i]);
	if (slot->who)
		return (struct who){ slot->ep, slot->identity, slot->local_id, slot->who };
	if (is_loopback(key))
		return (struct who){ s->host, HOST_IDENTITY, 0, WHO_CLAIMED | WHO_HOST };
	return (struct who){ .ep = s->world };
}

struct service_id snapshot_service(const struct snapshot *s, const uint8_t ip[16], uint16_t port)
{
	const struct rest *r = s->rest;
	struct service_id id = { 0 };

	if (r->service_ports[port / 64] >> port % 64 & 1)
		id = find_service(r, ip128_of(ip), port)->service;
	return id.v || !r->has_any_port ? id : find_service(r, ip128_of(ip), 0)->service;
}

bool snapshot_has_services(const struct snapshot *s)
{
	return s->rest->has_services;
}

struct endpoint_id snapshot_identity(const struct snapshot *s, uint32_t identity)
{
	return find_number(s->rest->identities, s->rest->identity_mask, identity)->ep;
}

struct endpoint_id snapshot_local(const struct snapshot *s, uint32_t local_id)
{
	return find_number(s->locals->slots, s->locals->mask, local_id)->ep;
}

bool snapshot_has_identities(const struct snapshot *s)
{
	return s->rest->has_identities;
}

const struct snapshot_cgroup *snapshot_cgroup(const struct snapshot *s, uint64_t cgroup)
{
	const struct cgroup_slot *slot = find_cgroup(s->rest, cgroup);

	return slot->used ? &slot->cgroup : NULL;
}

const struct told *snapshot_told(const struct snapshot *s)
{
	return s->rest->told;
}
