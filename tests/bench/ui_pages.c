/*
 * ui_pages - many pages at once, without a browser: websockets to tycho-ui, all watching the same.
 *
 *	ui_pages PORT COUNT SECONDS [FILTER]
 *
 * Reads as fast as it can, and says so, as the page does; one of them also understands what it
 * reads. FILTER: JSON of "allow".
 * Prints name=value words: pages (open at the end), bytes, updates and fewest (of one page)
 * received in SECONDS after the first update of each; of the one that reads: flows (growth of
 * totals.flows), rows and left_out (which together are as many), cards, edges, maps, and lag_ms,
 * the most it was told.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"

enum { COUNT_MAX = 512, HEAD_BYTES = 14, READ_BYTES = 256 << 10, MESSAGE_MAX = 64 << 20 };

struct page {
	int fd;
	unsigned char head[HEAD_BYTES];
	size_t head_len;
	uint64_t left; /* of the frame's payload */
	bool is_last, is_control;
	uint64_t message_bytes, messages;
	uint64_t updates, bytes; /* since counting began */
	bool is_open;
};

struct told {
	struct buf text;
	uint64_t first_flows, last_flows, rows, left_out, maps, lag_ms;
	size_t cards, edges;
	bool has_first;
};

static struct page pages[COUNT_MAX];
static bool counting;

static int fail(const char *what)
{
	(void)fprintf(stderr, "ui_pages: %s: %s\n", what, strerror(errno));
	return 1;
}

/* Masked with zeros, which is a mask like any other. */
static bool say(int fd, const char *text, size_t len)
{
	char frame[2048 + 8] = { (char)0x81, (char)(0x80 | 126), (char)(len >> 8), (char)len };

	memcpy(frame + 8, text, len);
	return send(fd, frame, len + 8, 0) == (ssize_t)len + 8;
}

static void say_taken(struct page *p)
{
	char text[64];
	int len = snprintf(text, sizeof text, "{\"type\":\"taken\",\"messages\":%llu}",
			   (unsigned long long)p->messages);

	if (!say(p->fd, text, (size_t)len))
		p->is_open = false;
}

static int open_page(uint16_t port, const char *filter)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[4096];
	size_t n = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
		return -1;
	int len = snprintf(
		text, sizeof text,
		"GET /live HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nOrigin: http://127.0.0.1:%u\r\n"
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Protocol: tycho-ui.v1\r\n\r\n",
		port, port);
	if (send(fd, text, (size_t)len, 0) != len)
		return -1;
	/* to the end of the answer's head, byte by byte: what follows is frames */
	while (n < 4 || memcmp(text + n - 4, "\r\n\r\n", 4) != 0)
		if (n == sizeof text || recv(fd, text + n++, 1, 0) != 1)
			return -1;
	if (!str_has_prefix(str_n(text, n), STR("HTTP/1.1 101")))
		return -1;
	char question[2048];
	len = snprintf(question, sizeof question, "{\"type\":\"watch\",\"watch\":1,\"allow\":%s}",
		       filter);
	if (len >= (int)sizeof question || !say(fd, question, (size_t)len))
		return -1;
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -1 : fd;
}

static void read_update(struct told *t)
{
	json_t *root = json_loadb(t->text.p, t->text.len, 0, NULL);
	const char *type = json_string_value(json_object_get(root, "type"));

	if (type && strcmp(type, "update") == 0) {
		json_t *totals = json_object_get(root, "totals"),
		       *map = json_object_get(root, "map");
		uint64_t flows = (uint64_t)json_integer_value(json_object_get(totals, "flows"));
		uint64_t lag = (uint64_t)json_integer_value(json_object_get(totals, "lag_ms"));
		if (map) {
			size_t i;
			json_t *v;
			t->maps += counting;
			json_array_foreach(json_object_get(map, "cards"), i, v) t->cards++;
			json_array_foreach(json_object_get(map, "edges"), i, v)
			{
				size_t id = (size_t)json_integer_value(json_object_get(v, "id"));
				t->edges = id + 1 > t->edges ? id + 1 : t->edges;
			}
		}
		if (counting && t->has_first) {
			t->rows += json_array_size(json_object_get(root, "rows"));
			t->left_out +=
				(uint64_t)json_integer_value(json_object_get(root, "left_out"));
			t->lag_ms = lag > t->lag_ms ? lag : t->lag_ms;
		} else if (counting) {
			t->has_first = true;
			t->first_flows = flows;
		}
		t->last_flows = flows;
	}
	json_decref(root);
}

/* Takes the next bytes of a frame's head or payload from @p; how many. */
static size_t take(struct page *p, const unsigned char *in, size_t n, struct told *told)
{
	if (p->left) {
		size_t part = n < p->left ? n : (size_t)p->left;
		if (told && !p->is_control)
			buf_put(&told->text, in, part);
		p->left -= part;
		n = part;
	} else {
		p->head[p->head_len++] = in[0];
		n = 1;
		unsigned short_len = p->head_len > 1 ? p->head[1] & 0x7f : 0;
		size_t want = p->head_len < 2    ? 2
			      : short_len == 127 ? 10
			      : short_len == 126 ? 4
						 : 2;
		if (p->head_len < want)
			return n;
		p->left = short_len;
		for (size_t i = 2; want > 2 && i < want; i++)
			p->left = (i == 2 ? 0 : p->left << 8) | p->head[i];
		p->head_len = 0;
		p->is_last = p->head[0] & 0x80;
		p->is_control = p->head[0] & 8;
		p->message_bytes += p->is_control ? 0 : p->left;
	}
	if (p->left || p->head_len || p->is_control || !p->is_last)
		return n;
	/* a text message is complete; those shorter than any update are none */
	p->messages++;
	say_taken(p);
	p->updates += counting && p->message_bytes > 400;
	p->message_bytes = 0;
	if (told) {
		read_update(told);
		buf_reset(&told->text);
	}
	return n;
}

static void read_page(struct page *p, struct told *told)
{
	static unsigned char bytes[READ_BYTES];
	ssize_t got = recv(p->fd, bytes, sizeof bytes, 0);

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		p->is_open = false;
		(void)close(p->fd);
		return;
	}
	if (counting && got > 0)
		p->bytes += (uint64_t)got;
	for (ssize_t at = 0; at < got;)
		at += (ssize_t)take(p, bytes + at, (size_t)(got - at), told);
}

static void read_all(int poll, struct told *told, struct mono_ns until)
{
	struct epoll_event events[64];
	struct mono_ns now;

	while ((now = mono_now()).v < until.v) {
		int n = epoll_wait(poll, events, ARRAY_LEN(events),
				   (int)((until.v - now.v) / NS_PER_MS) + 1);
		for (int i = 0; i < n; i++)
			read_page(events[i].data.ptr,
				  events[i].data.ptr == &pages[0] ? told : NULL);
	}
}

int main(int argc, char **argv)
{
	struct told told = { .text = buf_init(MESSAGE_MAX) };
	uint64_t port, count, seconds, bytes = 0, updates = 0, fewest = UINT64_MAX, open = 0;
	int poll = epoll_create1(EPOLL_CLOEXEC);

	if (argc < 4 || !parse_u64(str_of(argv[1]), 65535, &port) ||
	    !parse_u64(str_of(argv[2]), COUNT_MAX, &count) || !count ||
	    !parse_u64(str_of(argv[3]), 86400, &seconds) || !seconds) {
		(void)fprintf(stderr, "usage: ui_pages PORT COUNT SECONDS [FILTER]\n");
		return 1;
	}
	for (size_t i = 0; i < count; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &pages[i] };
		pages[i].fd = open_page((uint16_t)port, argc > 4 ? argv[4] : "[]");
		pages[i].is_open = pages[i].fd >= 0;
		if (!pages[i].is_open || epoll_ctl(poll, EPOLL_CTL_ADD, pages[i].fd, &ev) < 0)
			return fail("page");
	}
	/* everybody has the whole map before counting begins */
	read_all(poll, &told, (struct mono_ns){ mono_now().v + 3 * NS_PER_S });
	counting = true;
	(void)fprintf(stderr, "counting\n");
	read_all(poll, &told, (struct mono_ns){ mono_now().v + seconds * NS_PER_S });
	for (size_t i = 0; i < count; i++) {
		bytes += pages[i].bytes;
		updates += pages[i].updates;
		fewest = pages[i].updates < fewest ? pages[i].updates : fewest;
		open += pages[i].is_open;
	}
	(void)printf(
		"pages=%llu bytes=%llu updates=%llu fewest=%llu flows=%llu rows=%llu left_out=%llu "
		"cards=%zu edges=%zu maps=%llu lag_ms=%llu\n",
		(unsigned long long)open, (unsigned long long)bytes, (unsigned long long)updates,
		(unsigned long long)fewest,
		(unsigned long long)(told.last_flows - told.first_flows),
		(unsigned long long)told.rows, (unsigned long long)told.left_out, told.cards,
		told.edges, (unsigned long long)told.maps, (unsigned long long)told.lag_ms);
	buf_done(&told.text);
	return 0;
}
