#include "flow/mask.h"

#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

enum { MAX_FIELDS = 64, DIRECT_NUMBERS = 64 };

struct mask_field {
	uint32_t number;
	unsigned oneof;        /* the same for all members of a oneof; 0: in none */
	struct flow_mask *sub; /* NULL: the field as a whole */
};

/* The selected fields of one message type; the whole mask is that of flow.Flow. Immutable once
 * built. */
struct flow_mask {
	const ProtobufCMessageDescriptor *desc;
	size_t count;
	struct mask_field fields[MAX_FIELDS];
	uint8_t direct[DIRECT_NUMBERS]; /* small field numbers to their place in fields plus one, 0:
					   not selected */
};

void flow_mask_free(struct flow_mask *m)
{
	/* As deep as message types nest in flow.Flow, which has no recursive ones. */
	for (size_t i = 0; m && i < m->count; i++)
		flow_mask_free(m->fields[i].sub);
	free(m);
}

static struct flow_mask *mask_of(const ProtobufCMessageDescriptor *desc)
{
	struct flow_mask *m = calloc(1, sizeof *m);

	if (m)
		m->desc = desc;
	return m;
}

/* Place of field @number in @m->fields; @m->count if it is not selected. */
static size_t place_of(const struct flow_mask *m, uint32_t number)
{
	if (number < DIRECT_NUMBERS)
		return m->direct[number] ? m->direct[number] - 1u : m->count;
	size_t i = 0;
	while (i < m->count && m->fields[i].number != number)
		i++;
	return i;
}

/* The field, selected now if it was not. @return NULL: more fields than flow.proto's messages have.
 */
static struct mask_field *add_field(struct flow_mask *m, const ProtobufCFieldDescriptor *fd)
{
	size_t place = place_of(m, fd->id);

	if (place == MAX_FIELDS)
		return NULL;
	struct mask_field *field = &m->fields[place];
	if (place == m->count) {
		m->count++;
		field->number = fd->id;
		field->oneof = fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? fd->quantifier_offset : 0;
		if (fd->id < DIRECT_NUMBERS)
			m->direct[fd->id] = (uint8_t)m->count;
	}
	return field;
}

/* google.golang.org/protobuf fieldmaskpb: elements are proto names, and only singular messages are
 * entered. */
static const ProtobufCFieldDescriptor *field_named(const ProtobufCMessageDescriptor *desc,
						   struct str name)
{
	for (unsigned i = 0; desc && i < desc->n_fields; i++)
		if (str_is(name, desc->fields[i].name))
			return &desc->fields[i];
	return NULL;
}

static const ProtobufCMessageDescriptor *entered(const ProtobufCFieldDescriptor *fd)
{
	if (fd->type != PROTOBUF_C_TYPE_MESSAGE || fd->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return fd->descriptor;
}

static bool path_is_valid(const ProtobufCMessageDescriptor *desc, struct str path)
{
	for (struct str name; str_split(&path, '.', &name);) {
		const ProtobufCFieldDescriptor *fd = field_named(desc, name);
		if (!fd)
			return false;
		desc = entered(fd);
	}
	return true;
}

/* @path is valid. A field selected as a whole stays so, whatever else is said of its parts. */
static bool add_path(struct flow_mask *m, struct str path)
{
	for (struct str name; str_split(&path, '.', &name);) {
		const ProtobufCFieldDescriptor *fd = field_named(m->desc, name);
		bool is_new = place_of(m, fd->id) == m->count, is_last = !path.p;
		struct mask_field *field = add_field(m, fd);
		if (!field)
			return false;
		if (is_last) {
			flow_mask_free(field->sub);
			field->sub = NULL;
			return true;
		}
		if (!is_new && !field->sub)
			return true;
		if (is_new && !(field->sub = mask_of(entered(fd))))
			return false;
		m = field->sub;
	}
	return true;
}

enum err_code flow_mask_new(const char *const *paths, size_t count, struct flow_mask **ret,
			    struct err *e)
{
	if (!count) {
		*ret = NULL;
		return ERR_OK;
	}
	for (size_t i = 0; i < count; i++)
		if (!path_is_valid(&flow__flow__descriptor, str_of(paths[i])))
			return err_set(e, ERR_INVALID,
				       "proto: invalid path \"%s\" for message \"flow.Flow\"",
				       paths[i]);
	AUTO(flow_mask_free) struct flow_mask *m = mask_of(&flow__flow__descriptor);
	for (size_t i = 0; i < count; i++)
		if (!m || !add_path(m, str_of(paths[i])))
			return err_set(e, ERR_NOMEM, "field mask");
	*ret = TAKE(m);
	return ERR_OK;
}

bool flow_mask_has(const struct flow_mask *m, uint32_t number)
{
	return !m || place_of(m, number) < m->count;
}

/* Adds the messages on a nested path that were not there, empty, as the reference does. Of a oneof
 * only one member can be: none is added beside one that is there, lest readers take the empty one.
 */
static void put_missing(const struct flow_mask *m, uint64_t seen, struct buf *out)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct mask_field *field = &m->fields[i];
		if (!field->sub || seen >> i & 1)
			continue;
		bool taken = false;
		for (size_t k = 0; field->oneof && k < m->count; k++)
			taken |= m->fields[k].oneof == field->oneof && seen >> k & 1;
		if (taken)
			continue;
		size_t mark = wire_begin(out, field->number);
		flow_mask_apply(field->sub, STR(""), out);
		wire_end(out, mark);
		seen |= UINT64_C(1) << i;
	}
}

void flow_mask_apply(const struct flow_mask *m, struct str message, struct buf *out)
{
	if (!m) {
		buf_str_put(out, message);
		return;
	}
	struct wire_reader r = wire_reader_of(message);
	uint64_t seen = 0; /* bit per place in fields */
	const size_t start = out->len;
	for (struct wire_field x; wire_next(&r, &x);) {
		size_t place = place_of(m, x.number);
		if (place == m->count)
			continue;
		const struct mask_field *field = &m->fields[place];
		if (field->sub && x.type != WIRE_LEN)
			continue; /* not the message it should be: an unknown field */
		seen |= UINT64_C(1) << place;
		if (!field->sub) {
			buf_str_put(out, x.raw);
			continue;
		}
		size_t mark = wire_begin(out, x.number);
		flow_mask_apply(field->sub, x.bytes, out);
		wire_end(out, mark);
	}
	const size_t end = out->len;
	put_missing(m, seen, out);
	if (out->len > end)
		wire_sort(out, start); /* as if it had been there: equal flows have equal bytes */
}

/* The bytes of the last LEN field @number. false: there is none. */
static bool find_field(struct str message, uint32_t number, struct str *ret)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field f;
	bool found = false;

	while (wire_next(&r, &f)) {
		if (f.number != number || f.type != WIRE_LEN)
			continue;
		*ret = f.bytes;
		found = true;
	}
	return found;
}

void flow_mask_response(const struct flow_mask *m, struct str flow, struct buf *out)
{
	enum { RESPONSE_FLOW = 1, RESPONSE_NODE_NAME = 1000, RESPONSE_TIME = 1001 };
	enum { BEHIND_BYTES = 64 }; /* tags and lengths of these two, and room for wire_begin */
	struct str node = STR(""), time;
	size_t mark = wire_begin(out, RESPONSE_FLOW), begin = out->len;

	flow_mask_apply(m, flow, out);
	const size_t len = out->len - begin;
	wire_end(out, mark); /* which may move what is in it */
	if (!buf_reserve(out, len + BEHIND_BYTES))
		return;
	/* from here on it stays where it is: what follows is no longer than it */
	const struct str left = str_n(out->p + out->len - len, len);
	(void)find_field(left, FLOW_FIELD_NODE_NAME, &node);
	wire_put_str(out, RESPONSE_NODE_NAME, node);
	/* a mask may leave the seconds alone, and a time, empty, that the flow did not have */
	if (!find_field(flow, FLOW_FIELD_TIME, &time) || !find_field(left, FLOW_FIELD_TIME, &time))
		return;
	mark = wire_begin(out, RESPONSE_TIME);
	buf_str_put(out, time);
	wire_end(out, mark);
}
