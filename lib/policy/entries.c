/* Which authentication counts of all that rules ask for: that of the entry of the agent's map which a connection meets. */
#include "policy/inside.h"

enum { MODE_NONE, MODE_REQUIRED, MODE_FAILS };

unsigned entry_length(uint16_t first, uint16_t last, uint16_t port)
{
	/* a range is as few blocks of ports as it can be, as address ranges are (PortRangeToMaskedPorts) */
	for (unsigned bits = 0; bits < 16; bits++) {
		uint32_t others = (UINT32_C(1) << (16 - bits)) - 1;

		if ((port & ~others) >= first && (port | others) <= last)
			return 1 + bits;
	}
	return 1 + 16;
}

void entry_add(struct entry entries[ENTRY_LENGTHS], unsigned length, const struct proxy *proxy,
	       struct str authentication)
{
	struct entry *e = &entries[length];
	uint8_t precedence = proxy->name.len ? (uint8_t)(UINT8_MAX - proxy->rank) : 0;
	bool says = authentication.len > 0;
	uint8_t mode = str_is(authentication, "required")           ? MODE_REQUIRED
		       : str_is(authentication, "test-always-fail") ? MODE_FAILS
								    : MODE_NONE;

	if (e->precedence < precedence)
		e->precedence = precedence;
	if (says && (!e->says || e->mode < mode))
		e->mode = mode;
	e->says |= says;
	e->there = true;
}

/* The narrowest entry that stays. Those that ask for a proxy drive out narrower ones that ask for none, or for one of less
 * precedence, unless they say a mode themselves; what the nearest wider one says counts for those that say none
 * (authPreferredInsert). @return its length, or ENTRY_LENGTHS: there is none. */
static unsigned narrowest(const struct entry entries[ENTRY_LENGTHS], struct entry *ret)
{
	unsigned at = ENTRY_LENGTHS;
	uint8_t precedence = 0, mode = MODE_NONE;

	for (unsigned i = 0; i < ENTRY_LENGTHS; i++) {
		const struct entry *e = &entries[i];

		if (!e->there || (e->precedence < precedence && !e->says))
			continue;
		if (precedence < e->precedence)
			precedence = e->precedence;
		if (e->says)
			mode = e->mode;
		*ret = (struct entry){ precedence, mode, true, e->says };
		at = i;
	}
	return at;
}

/* Of the two entries that the datapath finds the one of more precedence, or else the narrower one, which takes over the
 * stronger mode if no rule says its own (lookup). */
struct str entries_authentication(const struct entry everybody[ENTRY_LENGTHS],
				  const struct entry peer[ENTRY_LENGTHS])
{
	static const struct str names[] = {
		[MODE_REQUIRED] = STR("required"), [MODE_FAILS] = STR("test-always-fail")
	};
	struct entry all = { 0 }, own = { 0 };
	unsigned all_at = narrowest(everybody, &all), own_at = narrowest(peer, &own);
	bool own_wins = own.precedence > all.precedence ||
			(own.precedence == all.precedence && own_at >= all_at);

	if (!own.there || !all.there)
		own_wins = own.there;
	const struct entry *e = own_wins ? &own : &all, *other = own_wins ? &all : &own;
	uint8_t mode = e->mode;
	if (!e->says && e->precedence == other->precedence && mode < other->mode)
		mode = other->mode;
	return mode ? names[mode] : STR("");
}
