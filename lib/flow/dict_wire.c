#include "flow/dict_wire.h"

#include "base/buf.h"
#include "flow/intern.h"
#include "flow/wire.h"

/* Also when empty: members of repeated fields. */
static void put_text(struct buf *b, uint32_t number, struct str s)
{
	if (utf8_is_valid(s)) {
		wire_put_len(b, number, s);
		return;
	}
	size_t mark = wire_begin(b, number),
	       room = s.len * 3; /* each bad byte becomes U+FFFD, three bytes */
	char *to = buf_reserve(b, room);
	if (to)
		b->len += utf8_sanitize(s, to, room);
	wire_end(b, mark);
}

static void put_optional_text(struct buf *b, uint32_t number, struct str s)
{
	if (s.len)
		put_text(b, number, s);
}

void endpoint_put(struct buf *b, const struct endpoint *in)
{
	wire_put_u64(b, 1, in->id);
	wire_put_u64(b, 2, in->identity);
	put_optional_text(b, 3, in->namespace_);
	for (size_t i = 0; i < in->label_count; i++)
		put_text(b, 4, in->labels[i]);
	put_optional_text(b, 5, in->pod);
	for (size_t i = 0; i < in->workload_count; i++) {
		size_t mark = wire_begin(b, 6);
		put_optional_text(b, 1, in->workloads[i].name);
		put_optional_text(b, 2, in->workloads[i].kind);
		wire_end(b, mark);
	}
	put_optional_text(b, 7, in->cluster);
}

void service_put(struct buf *b, const struct service *in)
{
	put_optional_text(b, 1, in->name);
	put_optional_text(b, 2, in->namespace_);
}

void node_put(struct buf *b, const struct node *in)
{
	put_optional_text(b, FLOW_FIELD_NODE_NAME, in->name);
	for (size_t i = 0; i < in->label_count; i++)
		put_text(b, FLOW_FIELD_NODE_LABELS, in->labels[i]);
	if (in->emitter_name.len || in->emitter_version.len) {
		size_t mark = wire_begin(b, FLOW_FIELD_EMITTER);
		put_optional_text(b, 1, in->emitter_name);
		put_optional_text(b, 2, in->emitter_version);
		wire_end(b, mark);
	}
}

/* Two texts as fields 1 and 2: Service, Workload and Emitter. */
static bool parse_pair(struct str wire, struct str *first, struct str *second)
{
	struct wire_reader r = wire_reader_of(wire);
	struct wire_field f;

	while (wire_next(&r, &f))
		if (f.type == WIRE_LEN && f.number == 1)
			*first = f.bytes;
		else if (f.type == WIRE_LEN && f.number == 2)
			*second = f.bytes;
	return !r.bad;
}

/* How many LEN fields @number there are, to know the size of an array before it is filled. */
static size_t count_fields(struct str wire, uint32_t number)
{
	struct wire_reader r = wire_reader_of(wire);
	struct wire_field f;
	size_t n = 0;

	while (wire_next(&r, &f))
		n += f.number == number && f.type == WIRE_LEN;
	return n;
}

static const struct str no_text = { "", 0 };

bool endpoint_parse(struct str wire, struct arena *arena, struct endpoint *ret)
{
	struct endpoint ep = {
		.cluster = no_text, .namespace_ = no_text, .pod = no_text, .wire = wire
	};
	size_t labels_max = count_fields(wire, 4), workloads_max = count_fields(wire, 6);
	struct str *labels = arena_take(arena, labels_max * sizeof *labels);
	struct workload *workloads = arena_take(arena, workloads_max * sizeof *workloads);
	if (!labels || !workloads)
		return false;

	struct wire_reader r = wire_reader_of(wire);
	for (struct wire_field f; wire_next(&r, &f);) {
		if (f.type == WIRE_VARINT && f.number == 1) {
			ep.id = (uint32_t)f.value;
		} else if (f.type == WIRE_VARINT && f.number == 2) {
			ep.identity = (uint32_t)f.value;
		} else if (f.type == WIRE_LEN) {
			switch (f.number) {
			case 3:
				ep.namespace_ = f.bytes;
				break;
			case 4:
				labels[ep.label_count++] = f.bytes;
				break;
			case 5:
				ep.pod = f.bytes;
				break;
			case 6: {
				struct workload *w = &workloads[ep.workload_count++];
				*w = (struct workload){ no_text, no_text };
				if (!parse_pair(f.bytes, &w->name, &w->kind))
					return false;
				break;
			}
			case 7:
				ep.cluster = f.bytes;
				break;
			default:
				break;
			}
		}
	}
	ep.labels = labels;
	ep.workloads = workloads;
	*ret = ep;
	return !r.bad;
}

bool service_parse(struct str wire, struct service *ret)
{
	*ret = (struct service){ no_text, no_text, wire };
	return parse_pair(wire, &ret->name, &ret->namespace_);
}

bool node_parse(struct str wire, struct arena *arena, struct node *ret)
{
	struct node node = {
		.name = no_text, .emitter_name = no_text, .emitter_version = no_text, .wire = wire
	};
	struct str *labels =
		arena_take(arena, count_fields(wire, FLOW_FIELD_NODE_LABELS) * sizeof *labels);
	if (!labels)
		return false;

	/* In canonical form each part lies in one piece, one after the other. */
	size_t name_end = 0, labels_end = 0;
	struct wire_reader r = wire_reader_of(wire);
	for (struct wire_field f; wire_next(&r, &f);) {
		size_t end = (size_t)(f.raw.p + f.raw.len - wire.p);
		if (f.type != WIRE_LEN)
			continue;
		if (f.number == FLOW_FIELD_NODE_NAME) {
			node.name = f.bytes;
			name_end = labels_end = end;
		} else if (f.number == FLOW_FIELD_NODE_LABELS) {
			labels[node.label_count++] = f.bytes;
			labels_end = end;
		} else if (f.number == FLOW_FIELD_EMITTER &&
			   !parse_pair(f.bytes, &node.emitter_name, &node.emitter_version)) {
			return false;
		}
	}
	node.labels = labels;
	node.name_wire = str_upto(wire, name_end);
	node.labels_wire = str_from(str_upto(wire, labels_end), name_end);
	node.emitter_wire = str_from(wire, labels_end);
	*ret = node;
	return !r.bad;
}
