#include "observer/upstream/seed.h"

#include "store/store.h"

#define AGE_NS (24 * 3600 * NS_PER_S)
enum { PORTION = 4096 };

static bool is_of_others(const struct flow *f)
{
	return f->kind != FLOW_KIND_FLOW || flow_is(f, FLOW_WHOLE);
}

/* One scan, backward to count or forward to tell. *@ret_from: the number of the oldest record that
 * counts. */
static enum err_code scan(struct store_reader *r, bool backward, struct wall_ns since,
			  uint64_t *from, size_t most, const struct flow_dict *dict,
			  struct intake *in, struct err *e)
{
	const struct store_scan_config config = {
		.range = { .since = since,
			   .until = { UINT64_MAX },
			   .from_seq = backward ? 0 : *from,
			   .to_seq = UINT64_MAX },
		.kinds = 1U << FLOW_KIND_FLOW | 1U << FLOW_KIND_LOST | 1U << FLOW_KIND_AGENT |
			 1U << FLOW_KIND_DEBUG,
		.backward = backward,
		.takes_nameless = true,
	};
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	const struct flow *flows;
	size_t count, counted = 0;
	bool more = true;

	enum err_code code = store_scan_new(r, &config, &sc, e);
	while (code == ERR_OK && more && counted < most) {
		code = store_scan_next(sc, PORTION, &flows, &count, &more, e);
		for (size_t i = 0; code == ERR_OK && i < count && counted < most; i++) {
			if (!is_of_others(&flows[i]))
				continue;
			if (backward)
				*from = flows[i].seq;
			else
				intake_remember(in, &flows[i], dict);
			counted++;
		}
	}
	return code;
}

enum err_code seed_intake(struct intake *in, struct store *store, const struct flow_dict *dict,
			  size_t most, struct wall_ns now, struct err *e)
{
	AUTO(store_reader_free) struct store_reader *r = NULL;
	struct wall_ns since = { now.v > AGE_NS ? now.v - AGE_NS : 0 };
	uint64_t from = UINT64_MAX;

	enum err_code code = store_reader_new(store, &r, e);
	if (code == ERR_OK)
		code = scan(r, true, since, &from, most, dict, in, e);
	if (code == ERR_OK && from != UINT64_MAX)
		code = scan(r, false, since, &from, most, dict, in, e);
	for (size_t i = 0; i < INTAKE_STREAMS; i++)
		intake_break(in, (enum intake_stream)i);
	return code;
}
