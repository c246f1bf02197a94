#include "record/canon.h"

#include "record/render.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"

enum { BYTES_MAX = 64 << 20 }; /* less than ext_len can say */

struct canon {
	struct renderer *renderer;
	struct buf wire, text;
	struct buf parts[CHAIN_PARTS_];
};

enum err_code canon_new(struct canon **ret, struct err *e)
{
	AUTO(canon_free) struct canon *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	c->wire = c->text = buf_init(BYTES_MAX);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		c->parts[i] = buf_init(BYTES_MAX);
	enum err_code code = renderer_new(&c->renderer, e);
	if (code == ERR_OK)
		*ret = TAKE(c);
	return code;
}

void canon_free(struct canon *c)
{
	if (!c)
		return;
	renderer_free(c->renderer);
	buf_done(&c->wire);
	buf_done(&c->text);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&c->parts[i]);
	free(c);
}

/* c->wire as parts. */
static bool split(struct canon *c, struct str ret_parts[CHAIN_PARTS_])
{
	const struct flow whole = { .kind = FLOW_KIND_FLOW,
				    .bits = FLOW_WHOLE | FLOW_HAS_L7, /* or may have */
				    .ext = (const uint8_t *)buf_str(&c->wire).p,
				    .ext_len = (uint32_t)c->wire.len };
	bool failed = c->wire.failed;

	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_reset(&c->parts[i]);
	chain_split(&whole, NULL, c->parts);
	for (size_t i = 0; i < CHAIN_PARTS_; i++) {
		ret_parts[i] = buf_str(&c->parts[i]);
		failed |= c->parts[i].failed;
	}
	return !failed;
}

static const struct json_options strict = { .reject_unknown = true };

bool canon_object(struct canon *c, struct str object, struct str ret_parts[CHAIN_PARTS_])
{
	buf_reset(&c->wire);
	if (json_read_message(object, &flow__flow__descriptor, &strict, &c->wire, NULL, NULL) !=
		    ERR_OK ||
	    !split(c, ret_parts))
		return false;
	buf_reset(&c->wire);
	buf_reset(&c->text);
	chain_join(ret_parts, &c->wire);
	return json_put_message(&c->text, &flow__flow__descriptor, buf_str(&c->wire), NULL) ==
		       ERR_OK &&
	       !c->wire.failed && !c->text.failed && str_eq(buf_str(&c->text), object);
}

bool canon_line(struct canon *c, struct str text, struct str ret_parts[CHAIN_PARTS_],
		size_t *ret_len)
{
	static const struct str head = { "{\"flow\":", 8 };
	size_t used;

	buf_reset(&c->wire);
	if (!str_has_prefix(text, head) ||
	    json_read_prefix(str_from(text, head.len), &flow__flow__descriptor, &strict, &c->wire,
			     &used, NULL) != ERR_OK ||
	    !split(c, ret_parts))
		return false;
	buf_reset(&c->text);
	if (renderer_take(c->renderer, ret_parts, NULL) != ERR_OK ||
	    render_json(c->renderer, &c->text, NULL) != ERR_OK || c->text.failed ||
	    !str_has_prefix(text, buf_str(&c->text)))
		return false;
	*ret_len = c->text.len;
	return true;
}
