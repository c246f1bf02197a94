/* Any bytes as a response and as a flow: split, decoded, asked through every accessor, encoded,
 * masked. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/mask.h"
#include "flow/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DICT_MAX = 64, MAX_BYTES = 1 << 22 };

/* Reading must stay within the bytes; sanitizers see it when the result is looked at. */
static uint64_t look_at(struct str s)
{
	return hash_bytes(s.p, s.len, 0);
}

static void use(const struct flow *f, struct flow_dict *dict, const struct flow_mask *mask)
{
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	AUTO_BUF struct buf masked = buf_init(MAX_BYTES);
	char tmp[FLOW_IP_TEXT_BYTES];
	struct timestamp t;
	uint32_t port;
	uint64_t sum = 0;

	for (int side = FLOW_SRC; side <= FLOW_XLATED; side++) {
		sum ^= look_at(flow_ip_text(f, (enum flow_side)side, tmp));
		sum ^= look_at(flow_mac_text(f, (enum flow_side)side, tmp));
		sum ^= flow_port(f, (enum flow_side)side, &port) ? port : 0;
	}
	sum ^= look_at(flow_uuid_text(f, tmp)) ^ look_at(flow_ifname(f));
	sum ^= flow_time(f, &t) ? (uint64_t)t.s : 0;
	sum ^= (uint64_t)flow_enum(f, 2, f->verdict);
	flow_summary_put(&b, f, dict);
	sum ^= look_at(buf_str(&b));
	buf_reset(&b);
	flow_encode_response(&b, f, dict, STR("node"));
	flow_mask_apply(mask, str_n(f->ext, f->ext_len), &masked);

	/* What a whole flow becomes on the wire is what it was. */
	struct flow_response r;
	if (b.failed || flow_response_split(buf_str(&b), &r, NULL) != ERR_OK ||
	    !str_eq(r.message, str_n(f->ext, f->ext_len)))
		abort();
	/* What is left by a mask is a flow, and the same mask leaves it as it is. */
	struct flow again;
	buf_reset(&b);
	flow_mask_apply(mask, buf_str(&masked), &b);
	if (flow_decode(buf_str(&masked), dict, &again, NULL) != ERR_OK ||
	    !str_eq(buf_str(&b), buf_str(&masked)))
		abort();
	/* The same record as if it had been made here: every member and all of ext are written, and
	 * can be read. */
	struct flow made = *f;
	made.bits &= ~(uint32_t)FLOW_WHOLE;
	made.l4 = made.l4 > FLOW_L4_IGMP ? 0 : made.l4;
	buf_reset(&b);
	flow_encode(&b, &made, dict);
	if (b.failed || flow_decode(buf_str(&b), dict, &again, NULL) != ERR_OK)
		abort();
	static volatile uint64_t seen; /* so that no compiler leaves the looking out */
	seen = seen ^ sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {
		"time", "source.identity", "l4.TCP.flags.SYN", "l4.UDP.source_port", "l7.http.url",
		"IP",   "node_name",       "Summary",          "tycho.packets"
	};
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_mask_free) struct flow_mask *mask = NULL;
	struct flow_response r;
	struct flow f;

	if (flow_dict_new(DICT_MAX, &dict, NULL) != ERR_OK ||
	    flow_mask_new(paths, sizeof paths / sizeof paths[0], &mask, NULL) != ERR_OK)
		return 0;
	struct str input = str_n(data, size);
	if (flow_response_split(input, &r, NULL) == ERR_OK && r.has_message &&
	    r.kind == FLOW_KIND_FLOW && flow_decode(r.message, dict, &f, NULL) == ERR_OK)
		use(&f, dict, mask);
	if (flow_decode(input, dict, &f, NULL) == ERR_OK)
		use(&f, dict, mask);
	return 0;
}
