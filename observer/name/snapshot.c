#include "observer/name/snapshot.h"

struct prefix_slot {
	struct ip128 ip;
	struct endpoint_id ep;
	uint8_t who; /* enum who_bits; 0: free */
	uint8_t length;
};
_Static_assert(sizeof(struct prefix_slot) == 24, "thousands of them are to stay in the cache");

struct service_slot {
	struct ip128 ip;
	struct service_id service; /* 0: free */
	uint16_t port;
};

struct cgroup_slot {
	struct snapshot_cgroup cgroup;
	bool used;
};

struct snapshot {
	struct endpoint_id world, host;
	struct prefix_slot *prefixes;
	size_t prefix_mask;
	struct service_slot *services;
	size_t service_mask;
	struct snapshot_identity *identities; /* ep 0: free */
	size_t identity_mask;
	struct snapshot_identity *locals; /* by Endpoint.ID; ep 0: free */
	size_t local_mask;
	struct cgroup_slot *cgroups;
	size_t cgroup_mask;
	bool has_services, has_any_port, has_identities;
	uint8_t length_count;
	uint8_t lengths[128]; /* of the prefixes shorter than an address, longest first */
};

static uint64_t hash(struct ip128 ip, uint64_t salt)
{
	/* Keys come from providers, so they need no secret; constants as in lib/base/str.c: digits
	 * of pi. */
	unsigned __int128 m = (unsigned __int128)(ip.hi ^ salt ^ UINT64_C(0x243f6a8885a308d3)) *
			      (ip.lo ^ UINT64_C(0x13198a2e03707345));

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* The slot that holds the prefix, or the free one where it belongs. */
static struct prefix_slot *find_prefix(const struct snapshot *s, struct ip128 ip, uint8_t length)
{
	for (size_t i = hash(ip, length);; i++) {
		struct prefix_slot *slot = &s->prefixes[i & s->prefix_mask];
		if (!slot->who ||
		    (slot->ip.lo == ip.lo && slot->ip.hi == ip.hi && slot->length == length))
			return slot;
	}
}

static struct service_slot *find_service(const struct snapshot *s, struct ip128 ip, uint16_t port)
{
	for (size_t i = hash(ip, (uint64_t)port << 32);; i++) {
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

static struct snapshot_identity *find_identity(const struct snapshot *s, uint32_t identity)
{
	return find_number(s->identities, s->identity_mask, identity);
}

static struct cgroup_slot *find_cgroup(const struct snapshot *s, uint64_t cgroup)
{
	for (size_t i = hash_number(cgroup);; i++) {
		struct cgroup_slot *slot = &s->cgroups[i & s->cgroup_mask];
		if (!slot->used || slot->cgroup.cgroup == cgroup)
			return slot;
	}
}

static void add_numbers(struct snapshot *s, const struct snapshot_part *part)
{
	for (size_t i = 0; i < part->identity_count; i++) {
		const struct snapshot_identity *in = &part->identities[i];
		struct snapshot_identity *slot = find_identity(s, in->identity);
		if (!slot->ep.v && in->ep.v) {
			*slot = *in;
			s->has_identities = true;
		}
	}
	for (size_t i = 0; i < part->prefix_count; i++) {
		const struct snapshot_prefix *p = &part->prefixes[i];
		struct snapshot_identity *slot = find_number(s->locals, s->local_mask, p->local_id);
		if (p->local_id && !slot->ep.v)
			*slot = (struct snapshot_identity){ p->local_id, p->who.ep };
	}
	for (size_t i = 0; i < part->cgroup_count; i++) {
		struct cgroup_slot *slot = find_cgroup(s, part->cgroups[i].cgroup);
		if (!slot->used)
			*slot = (struct cgroup_slot){ part->cgroups[i], true };
	}
}

static void add_prefixes(struct snapshot *s, const struct snapshot_part *part, bool has_length[129])
{
	for (size_t i = 0; i < part->prefix_count; i++) {
		const struct snapshot_prefix *p = &part->prefixes[i];
		struct prefix_slot *slot = find_prefix(s, p->ip, p->bits);
		if (slot->who)
			continue; /* somebody with precedence has it */
		*slot = (struct prefix_slot){ p->ip, p->who.ep, p->who.bits | WHO_CLAIMED,
					      p->bits };
		has_length[p->bits] = true;
	}
}

static void add_services(struct snapshot *s, const struct snapshot_part *part)
{
	for (size_t i = 0; i < part->service_count; i++) {
		const struct snapshot_service *sv = &part->services[i];
		struct service_slot *slot = find_service(s, sv->ip, sv->port);
		if (slot->service.v || !sv->service.v)
			continue;
		*slot = (struct service_slot){ sv->ip, sv->service, sv->port };
		s->has_services = true;
		s->has_any_port |= !sv->port;
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

enum err_code snapshot_new(const struct snapshot_part *parts, size_t count,
			   struct endpoint_id world, struct endpoint_id host, struct snapshot **ret,
			   struct err *e)
{
	size_t prefixes = 0, services = 0, identities = 0, locals = 0, cgroups = 0;
	bool has_length[129] = { false };

	for (size_t i = 0; i < count; i++) {
		prefixes += parts[i].prefix_count;
		services += parts[i].service_count;
		identities += parts[i].identity_count;
		cgroups += parts[i].cgroup_count;
		for (size_t p = 0; p < parts[i].prefix_count; p++)
			locals += parts[i].prefixes[p].local_id != 0;
	}
	AUTO(snapshot_free) struct snapshot *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "name table");
	s->world = world;
	s->host = host;
	s->prefix_mask = mask_for(prefixes);
	s->service_mask = mask_for(services);
	s->prefixes = calloc(s->prefix_mask + 1, sizeof *s->prefixes);
	s->services = calloc(s->service_mask + 1, sizeof *s->services);
	s->identity_mask = mask_for(identities);
	s->cgroup_mask = mask_for(cgroups);
	s->identities = calloc(s->identity_mask + 1, sizeof *s->identities);
	s->local_mask = mask_for(locals);
	s->locals = calloc(s->local_mask + 1, sizeof *s->locals);
	s->cgroups = calloc(s->cgroup_mask + 1, sizeof *s->cgroups);
	if (!s->prefixes || !s->services || !s->identities || !s->locals || !s->cgroups)
		return err_set(e, ERR_NOMEM, "name table of %zu addresses and %zu services",
			       prefixes, services);
	for (size_t i = 0; i < count; i++) {
		add_prefixes(s, &parts[i], has_length);
		add_services(s, &parts[i]);
		add_numbers(s, &parts[i]);
	}
	for (int bits = 127; bits >= 0; bits--)
		if (has_length[bits])
			s->lengths[s->length_count++] = (uint8_t)bits;
	*ret = TAKE(s);
	return ERR_OK;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	free(s->prefixes);
	free(s->services);
	free(s->identities);
	free(s->locals);
	free(s->cgroups);
	free(s);
}

/* 127.0.0.0/8 and ::1. */
static bool is_loopback(struct ip128 ip)
{
	return ip.hi == 0 && (ip.lo >> 24 == UINT64_C(0xffff7f) || ip.lo == 1);
}

struct who snapshot_who(const struct snapshot *s, const uint8_t ip[16])
{
	struct ip128 key = ip128_of(ip);
	const struct prefix_slot *slot = find_prefix(s, key, 128);

	for (size_t i = 0; !slot->who && i < s->length_count; i++)
		slot = find_prefix(s, ip128_prefix(key, s->lengths[i]), s->lengths[i]);
	if (slot->who)
		return (struct who){ slot->ep, slot->who };
	if (is_loopback(key))
		return (struct who){ s->host, WHO_CLAIMED | WHO_HOST };
	return (struct who){ s->world, 0 };
}

struct service_id snapshot_service(const struct snapshot *s, const uint8_t ip[16], uint16_t port)
{
	struct ip128 key = ip128_of(ip);
	struct service_id id = find_service(s, key, port)->service;

	return id.v || !s->has_any_port ? id : find_service(s, key, 0)->service;
}

bool snapshot_has_services(const struct snapshot *s)
{
	return s->has_services;
}

struct endpoint_id snapshot_identity(const struct snapshot *s, uint32_t identity)
{
	return find_identity(s, identity)->ep;
}

struct endpoint_id snapshot_local(const struct snapshot *s, uint32_t local_id)
{
	return find_number(s->locals, s->local_mask, local_id)->ep;
}

bool snapshot_has_identities(const struct snapshot *s)
{
	return s->has_identities;
}

const struct snapshot_cgroup *snapshot_cgroup(const struct snapshot *s, uint64_t cgroup)
{
	const struct cgroup_slot *slot = find_cgroup(s, cgroup);

	return slot->used ? &slot->cgroup : NULL;
}
