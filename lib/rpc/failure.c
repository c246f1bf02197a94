#include "rpc/failure.h"

#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"
#include "rpc/address.h"

/* What follows the last @mark in @text; p == NULL when it is not there. */
static struct str after_last(struct str text, struct str mark)
{
	struct str found = { NULL, 0 };

	for (size_t i = 0; i + mark.len <= text.len; i++)
		if (memcmp(text.p + i, mark.p, mark.len) == 0)
			found = str_from(text, i + mark.len);
	return found;
}

/* "ipv4:127.0.0.1:1: Failed …" is what the core puts before its words: the address it tried. */
static struct str tried_address(struct str text)
{
	static const char *const schemes[] = { "ipv4:", "ipv6:" };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		struct str rest = after_last(text, str_of(schemes[i]));
		if (!rest.p)
			continue;
		for (size_t k = 0; k + 1 < rest.len; k++)
			if (rest.p[k] == ':' && rest.p[k + 1] == ' ')
				return str_upto(rest, k);
	}
	return (struct str){ NULL, 0 };
}

/* Addresses in URIs have "%5B::1%5D" for "[::1]". */
static void put_decoded(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '%' && i + 2 < s.len && isxdigit((unsigned char)s.p[i + 1]) &&
		    isxdigit((unsigned char)s.p[i + 2])) {
			char hex[3] = { s.p[i + 1], s.p[i + 2], 0 };
			buf_char(b, (char)strtoul(hex, NULL, 16));
			i += 2;
		} else {
			buf_char(b, s.p[i]);
		}
	}
}

/* The system's words as Go writes them: "Connection refused" is "connection refused", "SSL_…"
 * stays. */
static void put_words(struct buf *b, struct str words)
{
	size_t end = str_find(words, '{'); /* the core's details, for its developers */

	words = str_trim(str_upto(words, end));
	bool is_word = words.len > 1 && islower((unsigned char)words.p[1]);
	if (is_word)
		buf_char(b, (char)tolower((unsigned char)words.p[0]));
	buf_str_put(b, str_from(words, is_word));
}

static void put_dial(struct buf *b, const struct address *to, struct str tried, struct str words)
{
	buf_lit(b, "connection error: desc = \"transport: Error while dialing: dial ");
	if (to->is_unix)
		buf_printf(b, "unix %s", to->path);
	else if (tried.p) {
		buf_lit(b, "tcp ");
		put_decoded(b, tried);
	} else
		buf_printf(b, "tcp %s:%u", to->host, to->port);
	buf_lit(b, ": connect: ");
	put_words(b, words);
	buf_char(b, '"');
}

void failure_text(enum rpc_status status, struct str text, const struct address *to, char *out,
		  size_t size)
{
	struct buf b = buf_fixed(out, size - 1);
	struct str rest, tried = tried_address(text);

	if (status == RPC_DEADLINE_EXCEEDED && str_is(text, "Deadline Exceeded"))
		buf_lit(&b, "context deadline exceeded");
	else if (status == RPC_UNAVAILABLE &&
		 (rest = after_last(text, STR("Failed to connect to remote host: "))).p)
		put_dial(&b, to, tried, rest);
	else if (status == RPC_UNAVAILABLE &&
		 (rest = after_last(text, STR("andshake failed: "))).p) {
		buf_lit(&b,
			"connection error: desc = \"transport: authentication handshake failed: ");
		put_words(&b, rest);
		buf_char(&b, '"');
	} else if (status == RPC_UNAVAILABLE && to->is_unix &&
		   after_last(text, STR("failed to connect to all addresses; last error: ")).p) {
		/* "UNKNOWN: unix:/x: No such …" */
		put_dial(&b, to, tried, after_last(text, STR(": ")));
	} else if (status == RPC_UNAVAILABLE &&
		   str_has_prefix(text, STR("DNS resolution failed"))) {
		buf_printf(&b,
			   "connection error: desc = \"transport: Error while dialing: dial tcp: "
			   "lookup %s: "
			   "no such host\"",
			   to->host);
	} else if (status == RPC_UNAVAILABLE &&
		   (rest = after_last(text,
				      STR("failed to connect to all addresses; last error: ")))
			   .p) {
		buf_lit(&b, "connection error: desc = \"transport: ");
		buf_str_put(&b, rest);
		buf_char(&b, '"');
	} else {
		(void)str_excerpt(text, out, size);
		return;
	}
	out[b.len] = 0;
}

enum err_code failure_set(struct err *e, const struct rpc_result *r)
{
	enum err_code code = rpc_status_to_err(r->status);
	const char *name = rpc_status_name(r->status);

	if (r->status == RPC_UNKNOWN)
		return err_set(e, code, "%s", r->message);
	if (name)
		return err_set(e, code, "rpc error: code = %s desc = %s", name, r->message);
	return err_set(e, code, "rpc error: code = Code(%d) desc = %s", (int)r->status, r->message);
}
