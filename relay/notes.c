#include "relay/notes.h"

#include <stdio.h>

#include "flow/node_status.h"

enum {
	READY_MAX_BYTES = 16 << 20,
	MESSAGE_MAX_BYTES = 4 << 20 /* clients take no more */
};

void notes_init(struct notes *n, const char *node_name)
{
	*n = (struct notes){
		.node_name = node_name,
		.ready = buf_init(READY_MAX_BYTES),
		.names = buf_init(MESSAGE_MAX_BYTES),
		.scratch = buf_init(MESSAGE_MAX_BYTES),
	};
}

void notes_done(struct notes *n)
{
	buf_done(&n->ready);
	buf_done(&n->names);
	buf_done(&n->scratch);
}

/* What the names say, as one message. */
static void make(struct notes *n, Relay__NodeState state, struct str text)
{
	struct buf *b = &n->scratch;

	buf_reset(b);
	node_status_put(b, &(struct node_status){ state, buf_str(&n->names), text,
						  str_of(n->node_name), wall_now() });
	n->ready.failed |= b->failed || n->names.failed;
	buf_put(&n->ready, &b->len, sizeof b->len);
	buf_str_put(&n->ready, buf_str(b));
	buf_reset(&n->names);
}

void notes_name(struct notes *n, const char *name)
{
	notes_flush(n, (struct mono_ns){ 0 }, 0);
	node_status_name(&n->names, str_of(name));
}

void notes_state(struct notes *n, Relay__NodeState state)
{
	if (n->names.len)
		make(n, state, STR(""));
}

void notes_error(struct notes *n, const char *name, const char *text, struct mono_ns now)
{
	char clean[sizeof n->error];
	size_t len = utf8_sanitize(str_of(text), clean, sizeof clean - 1);

	clean[len] = 0;
	if (*n->error && strcmp(n->error, clean) != 0)
		notes_flush(n, now, 0);
	if (!*n->error) {
		(void)snprintf(n->error, sizeof n->error, "%s", len ? clean : "unknown error");
		n->error_since = now;
	}
	node_status_name(&n->names, str_of(name));
}

void notes_flush(struct notes *n, struct mono_ns now, uint64_t window_ns)
{
	if (!*n->error || (window_ns && now.v < n->error_since.v + window_ns))
		return;
	make(n, RELAY__NODE_STATE__NODE_ERROR, str_of(n->error));
	n->error[0] = 0;
}

bool notes_next(const struct notes *n, struct str *ret)
{
	size_t len;

	if (n->sent == n->ready.len)
		return false;
	memcpy(&len, n->ready.p + n->sent, sizeof len);
	*ret = str_n(n->ready.p + n->sent + sizeof len, len);
	return true;
}

void notes_sent(struct notes *n)
{
	struct str message;

	if (notes_next(n, &message))
		n->sent += sizeof message.len + message.len;
	if (n->sent == n->ready.len) {
		n->sent = 0;
		n->ready.len = 0;
	}
}

bool notes_is_empty(const struct notes *n)
{
	return n->sent == n->ready.len && !*n->error;
}

bool notes_failed(const struct notes *n)
{
	return n->ready.failed;
}
