#include "access/limit.h"

#include "access/access.h"
#include "flow/wire.h"

/* Of flow.FlowFilter. */
enum { SOURCE_POD = 2, DESTINATION_POD = 4, VERDICT = 5, NO_VERDICT = 0x7fffffff };

/* "A/prefix" for namespaces the pattern may mean and the person may see: a pattern is
 * "namespace/prefix", "/prefix" for any namespace, or "prefix" in the namespace "default". */
static size_t put_patterns(struct buf *b, const struct rights *r, uint32_t field,
			   struct str pattern)
{
	size_t slash = str_find(pattern, '/'), n = 0;
	struct str in = slash < pattern.len ? str_upto(pattern, slash) : STR("default");
	struct str prefix = slash < pattern.len ? str_from(pattern, slash + 1) : pattern;

	if (!pattern.len) { /* for the server to refuse, in its own words */
		wire_put_len(b, field, pattern);
		return 1;
	}
	for (size_t i = 0; i < r->namespace_count; i++) {
		struct str one = str_of(r->namespaces[i]);
		if (in.len && !str_eq(in, one))
			continue;
		wire_put_tag(b, field, WIRE_LEN);
		wire_put_varint(b, one.len + 1 + prefix.len);
		buf_str_put(b, one);
		buf_char(b, '/');
		buf_str_put(b, prefix);
		n++;
	}
	return n;
}

/* @filter, and its end @field is in one of the namespaces. Takes itself back where that cannot be.
 * @return whether it can. */
static bool put_filter(struct buf *out, const struct rights *r, uint32_t whitelist,
		       struct str filter, uint32_t field)
{
	size_t before = out->len, mark = wire_begin(out, whitelist), patterns = 0;
	struct wire_reader fields = wire_reader_of(filter);
	bool is_asked = false;
	struct wire_field f;

	while (wire_next(&fields, &f)) {
		if (f.number != field) {
			buf_str_put(out, f.raw);
		} else if (f.type == WIRE_LEN) {
			is_asked = true;
			patterns += put_patterns(out, r, field, f.bytes);
		}
	}
	if (!is_asked)
		patterns = put_patterns(out, r, field, STR("/"));
	wire_end(out, mark);
	if (!patterns && !out->failed)
		out->len = before;
	return patterns > 0;
}

static bool put_both(struct buf *out, const struct rights *r, uint32_t whitelist, struct str filter)
{
	bool source = put_filter(out, r, whitelist, filter, SOURCE_POD);

	return put_filter(out, r, whitelist, filter, DESTINATION_POD) || source;
}

enum err_code limit_request(const struct rights *r, struct str request, uint32_t whitelist,
			    struct buf *out, struct err *e)
{
	struct wire_reader fields = wire_reader_of(request), inner;
	bool has_filter = false, is_possible = false;
	struct wire_field f, g;

	while (wire_next(&fields, &f)) {
		if (f.number != whitelist) {
			buf_str_put(out, f.raw);
			continue;
		}
		if (f.type != WIRE_LEN)
			return err_set(e, ERR_PARSE, "a filter of the request is no message");
		inner = wire_reader_of(f.bytes);
		while (wire_next(&inner, &g))
			;
		if (inner.bad)
			return err_set(e, ERR_PARSE, "a filter of the request is no protobuf");
		has_filter = true;
		is_possible |= put_both(out, r, whitelist, f.bytes);
	}
	if (fields.bad)
		return err_set(e, ERR_PARSE, "the request is no protobuf");
	if (!has_filter)
		is_possible = put_both(out, r, whitelist, STR(""));
	if (!is_possible) { /* an empty list would mean everything: a verdict that no flow has */
		size_t mark = wire_begin(out, whitelist);
		wire_put_u64(out, VERDICT, NO_VERDICT);
		wire_end(out, mark);
	}
	if (out->failed)
		return err_set(e, ERR_NOMEM, "the request is too large for the rights of '%s'",
			       r->who);
	return ERR_OK;
}
