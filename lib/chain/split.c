#include "chain/chain.h"

#include "chain/split.h"
#include "flow/fields.h"
#include "flow/wire.h"

/* --- made flows --- */

struct split_endpoint split_endpoint_of(struct str wire)
{
	struct split_endpoint s = { { wire, STR("") }, STR("") };
	struct wire_reader r = wire_reader_of(wire);
	size_t from = 0, to = 0;

	/* The dictionary's form is canonical: labels lie side by side. */
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == ENDPOINT_FIELD_LABELS) {
			from = to ? from : (size_t)(x.raw.p - wire.p);
			to = (size_t)(x.raw.p + x.raw.len - wire.p);
		}
	if (to) {
		s.rest[0] = str_upto(wire, from);
		s.labels = str_from(str_upto(wire, to), from);
		s.rest[1] = str_from(wire, to);
	}
	return s;
}

static struct split_endpoint endpoint_in(const struct flow_dict *d, struct endpoint_id id)
{
	const struct endpoint *ep = flow_dict_get_endpoint(d, id);

	return ep ? split_endpoint_of(ep->wire)
		  : (struct split_endpoint){ { { NULL, 0 }, { NULL, 0 } }, STR("") };
}

static void split_made(const struct flow *f, const struct flow_dict *d,
		       struct buf parts[CHAIN_PARTS_])
{
	struct split_endpoint src = endpoint_in(d, f->src_ep), dst = endpoint_in(d, f->dst_ep);

	flow_encode_core(&parts[CHAIN_CORE], f, d, src.rest, dst.rest);
	flow_encode_addresses(&parts[CHAIN_ADDRESSES], f);
	wire_put_str(&parts[CHAIN_SOURCE_LABELS], FLOW_FIELD_SOURCE, src.labels);
	wire_put_str(&parts[CHAIN_DESTINATION_LABELS], FLOW_FIELD_DESTINATION, dst.labels);
	flow_encode_dns(&parts[CHAIN_DNS], f, d);
}

/* --- whole flows --- */

/* An endpoint: its labels to @labels, everything else, and that it is there, to @core. */
static void split_endpoint(const struct wire_field *x, struct buf *core, struct buf *labels)
{
	struct wire_reader r = wire_reader_of(x->bytes);
	size_t label_bytes = 0;

	for (struct wire_field y; wire_next(&r, &y);)
		if (y.number == ENDPOINT_FIELD_LABELS && y.type == WIRE_LEN)
			label_bytes += y.raw.len;
	if (r.bad || !label_bytes) {
		buf_str_put(core, x->raw);
		return;
	}
	size_t in_core = wire_begin(core, x->number), in_labels = wire_begin(labels, x->number);
	r = wire_reader_of(x->bytes);
	for (struct wire_field y; wire_next(&r, &y);)
		buf_str_put(y.number == ENDPOINT_FIELD_LABELS && y.type == WIRE_LEN ? labels : core,
			    y.raw);
	wire_end(core, in_core);
	wire_end(labels, in_labels);
}

static void split_whole(const struct flow *f, struct buf parts[CHAIN_PARTS_])
{
	struct str message = str_n(f->ext, f->ext_len);
	struct wire_reader r = wire_reader_of(message);
	bool has_dns = flow_has_dns(f);
	struct buf *core = &parts[CHAIN_CORE];
	size_t done = 0;

	for (struct wire_field x; wire_next(&r, &x);) {
		done = (size_t)(x.raw.p + x.raw.len - message.p);
		enum chain_part part = CHAIN_CORE;
		switch (x.type == WIRE_LEN ? x.number : 0) {
		case FLOW_FIELD_ETHERNET:
		case FLOW_FIELD_IP:
		case FLOW_FIELD_TUNNEL:
			part = CHAIN_ADDRESSES;
			break;
		case FLOW_FIELD_SOURCE:
			split_endpoint(&x, core, &parts[CHAIN_SOURCE_LABELS]);
			continue;
		case FLOW_FIELD_DESTINATION:
			split_endpoint(&x, core, &parts[CHAIN_DESTINATION_LABELS]);
			continue;
		case FLOW_FIELD_SOURCE_NAMES:
		case FLOW_FIELD_DESTINATION_NAMES:
			part = CHAIN_DNS;
			break;
		case FLOW_FIELD_L7:
		case FLOW_FIELD_SUMMARY:
			part = has_dns ? CHAIN_DNS : CHAIN_CORE;
			break;
		default:
			break;
		}
		buf_str_put(&parts[part], x.raw);
	}
	/* Records whose bytes do not parse are not made, but what there is, is proven. */
	buf_str_put(core, str_from(message, done));
}

void chain_split(const struct flow *f, const struct flow_dict *d, struct buf parts[CHAIN_PARTS_])
{
	if (f->kind != FLOW_KIND_FLOW)
		buf_put(&parts[CHAIN_CORE], f->ext, f->ext_len);
	else if (f->bits & FLOW_WHOLE)
		split_whole(f, parts);
	else
		split_made(f, d, parts);
}

/* --- and back --- */

/* Contents of all fields @number in @message. */
static void put_contents(struct buf *out, struct str message, uint32_t number)
{
	struct wire_reader r = wire_reader_of(message);

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == number && x.type == WIRE_LEN)
			buf_str_put(out, x.bytes);
}

void chain_join(const struct str parts[CHAIN_PARTS_], struct buf *out)
{
	struct str core = parts[CHAIN_CORE];
	struct wire_reader r = wire_reader_of(core);
	bool done[2] = { false, false }; /* source, destination */
	size_t read = 0;

	for (struct wire_field x; wire_next(&r, &x);) {
		read = (size_t)(x.raw.p + x.raw.len - core.p);
		bool is_src = x.number == FLOW_FIELD_SOURCE && x.type == WIRE_LEN;
		bool is_dst = x.number == FLOW_FIELD_DESTINATION && x.type == WIRE_LEN;
		if (!is_src && !is_dst) {
			buf_str_put(out, x.raw);
		} else if (!done[is_dst]) {
			size_t mark = wire_begin(out, x.number);
			put_contents(out, core, x.number);
			put_contents(out,
				     parts[is_src ? CHAIN_SOURCE_LABELS : CHAIN_DESTINATION_LABELS],
				     x.number);
			wire_end(out, mark);
			done[is_dst] = true;
		}
	}
	buf_str_put(out, str_from(core, read));
	if (!done[0])
		buf_str_put(out, parts[CHAIN_SOURCE_LABELS]);
	if (!done[1])
		buf_str_put(out, parts[CHAIN_DESTINATION_LABELS]);
	buf_str_put(out, parts[CHAIN_ADDRESSES]);
	buf_str_put(out, parts[CHAIN_DNS]);
}
