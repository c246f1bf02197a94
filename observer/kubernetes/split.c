#include "observer/kubernetes/split.h"

enum state {
	BEFORE,    /* the list */
	FIRST_KEY, /* or its end */
	KEY,       /* after a comma */
	IN_KEY,
	COLON,
	VALUE,
	IN_VALUE, /* in a string, object or list */
	IN_WORD,  /* in a number, true, false, null */
	AFTER_VALUE,
	FIRST_ITEM, /* or the end of the items */
	ITEM,
	AFTER_ITEM,
	COMPLETE,
};

void kube_split_init(struct kube_split *s, const struct kube_split_to *to)
{
	*s = (struct kube_split){ .to = *to, .held = buf_init(KUBE_ITEM_MAX) };
}

void kube_split_done(struct kube_split *s)
{
	buf_done(&s->held);
}

void kube_split_reset(struct kube_split *s)
{
	buf_reset(&s->held);
	s->key_len = 0;
	s->state = BEFORE;
	s->depth = 0;
	s->in_string = s->after_backslash = s->in_items = false;
}

bool kube_split_is_complete(const struct kube_split *s)
{
	return s->state == COMPLETE;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static enum err_code no_list(struct err *e)
{
	return err_set(e, ERR_PARSE, "the answer is no list of objects");
}

/* The value that is held is complete. */
static enum err_code emit(struct kube_split *s, struct err *e)
{
	enum err_code code;

	if (s->held.failed)
		return err_set(e, ERR_NOMEM, "an object of more than %d bytes", KUBE_ITEM_MAX);
	if (s->in_items)
		code = s->to.item(s->to.ctx, buf_str(&s->held), e);
	else
		code = s->to.member(s->to.ctx, str_n(s->key, s->key_len), buf_str(&s->held), e);
	buf_reset(&s->held);
	s->state = s->in_items ? AFTER_ITEM : AFTER_VALUE;
	return code;
}

/* Within a string, object or list. @return how much of @in belongs to it. */
static size_t take_value(struct kube_split *s, struct str in, bool *ret_end, bool *ret_too_deep)
{
	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i];
		if (s->in_string) {
			if (s->after_backslash)
				s->after_backslash = false;
			else if (c == '\\')
				s->after_backslash = true;
			else if (c == '"')
				s->in_string = false;
		} else if (c == '"') {
			s->in_string = true;
		} else if (c == '{' || c == '[') {
			*ret_too_deep |= ++s->depth > KUBE_DEPTH_MAX;
		} else if (c == '}' || c == ']') {
			s->depth--; /* there is one: the first byte opened it */
		}
		if (!s->in_string && !s->depth) {
			*ret_end = true;
			return i + 1;
		}
	}
	return in.len;
}

static enum err_code value_part(struct kube_split *s, struct str in, size_t *ret_used,
				struct err *e)
{
	bool end = false, too_deep = false;
	size_t n = take_value(s, in, &end, &too_deep);

	buf_put(&s->held, in.p, n);
	*ret_used = n;
	if (too_deep)
		return err_set(e, ERR_PARSE, "an object of more than %d levels", KUBE_DEPTH_MAX);
	if (s->held.failed)
		return err_set(e, ERR_NOMEM, "an object of more than %d bytes", KUBE_ITEM_MAX);
	return end ? emit(s, e) : ERR_OK;
}

static enum err_code begin_value(struct kube_split *s, char c, size_t *ret_used, struct err *e)
{
	bool is_items = str_is(str_n(s->key, s->key_len), "items");

	if (is_items && c == '[') {
		s->in_items = true;
		s->state = FIRST_ITEM;
		return ERR_OK;
	}
	if (c == ',' || c == ':' || c == '}' || c == ']')
		return no_list(e);
	s->state = c == '"' || c == '{' || c == '[' ? IN_VALUE : IN_WORD;
	*ret_used = 0; /* belongs to the value */
	return ERR_OK;
}

static enum err_code key_byte(struct kube_split *s, char c, struct err *e)
{
	if (c == '"') {
		s->state = COLON;
		return ERR_OK;
	}
	if (c == '\\' || s->key_len == sizeof s->key)
		return no_list(e);
	s->key[s->key_len++] = c;
	return ERR_OK;
}

static enum err_code word_byte(struct kube_split *s, char c, size_t *ret_used, struct err *e)
{
	if (c == ',' || c == '}' || is_blank(c)) {
		*ret_used = 0;
		return emit(s, e);
	}
	if (s->held.len >= 64 || c == '"' || c == '{' || c == '[' || c == ']' || c == ':')
		return no_list(e);
	buf_char(&s->held, c);
	return ERR_OK;
}

/* Between values. */
static enum err_code step(struct kube_split *s, char c, size_t *ret_used, struct err *e)
{
	switch ((enum state)s->state) {
	case BEFORE:
		s->state = FIRST_KEY;
		return c == '{' ? ERR_OK : no_list(e);
	case FIRST_KEY:
	case KEY:
		if (c == '}' && s->state == FIRST_KEY) {
			s->state = COMPLETE;
			return ERR_OK;
		}
		s->key_len = 0;
		s->state = IN_KEY;
		return c == '"' ? ERR_OK : no_list(e);
	case COLON:
		s->state = VALUE;
		return c == ':' ? ERR_OK : no_list(e);
	case VALUE:
		return begin_value(s, c, ret_used, e);
	case AFTER_VALUE:
		s->state = c == ',' ? KEY : COMPLETE;
		return c == ',' || c == '}' ? ERR_OK : no_list(e);
	case FIRST_ITEM:
	case ITEM:
		if (c == ']' && s->state == FIRST_ITEM) {
			s->in_items = false;
			s->state = AFTER_VALUE;
			return ERR_OK;
		}
		s->state = IN_VALUE;
		*ret_used = 0;
		return c == '{' ? ERR_OK : no_list(e);
	case AFTER_ITEM:
		s->in_items = c == ',';
		s->state = c == ',' ? ITEM : AFTER_VALUE;
		return c == ',' || c == ']' ? ERR_OK : no_list(e);
	case COMPLETE:
	case IN_KEY:
	case IN_VALUE:
	case IN_WORD:
		break;
	}
	return no_list(e);
}

enum err_code kube_split_feed(struct kube_split *s, struct str bytes, struct err *e)
{
	enum err_code code = ERR_OK;

	while (bytes.len && code == ERR_OK) {
		size_t used = 1;
		if (s->state == IN_VALUE)
			code = value_part(s, bytes, &used, e);
		else if (s->state == IN_KEY)
			code = key_byte(s, *bytes.p, e);
		else if (s->state == IN_WORD)
			code = word_byte(s, *bytes.p, &used, e);
		else if (!is_blank(*bytes.p))
			code = step(s, *bytes.p, &used, e);
		bytes = str_from(bytes, used);
	}
	return code;
}
