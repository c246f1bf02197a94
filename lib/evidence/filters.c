#include "evidence/filters.h"

#include "evidence/text.h"
#include "flow/json.h"

enum err_code put_member_filters(struct buf *b, const char *name, Flow__FlowFilter *const *list,
				 size_t n, struct err *e)
{
	put_member_name(b, name);
	buf_char(b, '[');
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF struct buf wire = buf_init(b->max);
		size_t len = flow__flow_filter__get_packed_size(list[i]);
		uint8_t *to = (uint8_t *)buf_reserve(&wire, len + 1);
		if (!to)
			return err_set(e, ERR_NOMEM, "filters");
		wire.len += flow__flow_filter__pack(list[i], to);
		if (i)
			buf_char(b, ',');
		if (json_put_message(b, &flow__flow_filter__descriptor, buf_str(&wire), e) !=
		    ERR_OK)
			return ERR_PARSE;
	}
	buf_char(b, ']');
	return ERR_OK;
}
