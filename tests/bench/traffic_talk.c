/*
 * traffic_talk - one TCP connection, to be measured with and without an observer beside it.
 *
 *	traffic_talk serve ADDRESS PORT            answers one connection after the other
 *	traffic_talk stream ADDRESS PORT SECONDS   sends all it can; prints bytes a second
 *	traffic_talk rr ADDRESS PORT SECONDS       a byte there and back; prints turns a second
 *
 * The first byte of a connection says which. Prints "ready" when it listens.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"

enum { BLOCK_BYTES = 128 * 1024 };

static char block[BLOCK_BYTES];

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int serve(int fd, const struct sockaddr_in *at)
{
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)at, sizeof *at) != 0 || listen(fd, 1) != 0)
		return fail("listen");
	(void)puts("ready");
	(void)fflush(stdout);
	for (;;) {
		int peer = accept(fd, NULL, NULL);
		ssize_t n;
		char kind;

		if (peer < 0)
			return fail("accept");
		(void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (recv(peer, &kind, 1, 0) == 1)
			while ((n = recv(peer, block, sizeof block, 0)) > 0)
				if (kind == 'r' && send(peer, block, (size_t)n, MSG_NOSIGNAL) != n)
					break;
		(void)close(peer);
	}
}

static int talk(int fd, const struct sockaddr_in *to, bool turns, uint64_t seconds)
{
	uint64_t start_ns, now_ns, end_ns, done = 0;
	int one = 1;

	if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
		return fail("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (send(fd, turns ? "r" : "s", 1, 0) != 1)
		return fail("send");
	start_ns = now_ns = mono_now().v;
	end_ns = start_ns + seconds * NS_PER_S;
	for (; now_ns < end_ns; now_ns = mono_now().v) {
		ssize_t n = send(fd, block, turns ? 1 : sizeof block, 0);

		if (n <= 0 || (turns && recv(fd, block, 1, 0) != 1))
			return fail("talk");
		done += (uint64_t)n;
	}
	(void)printf("%.0f\n", (double)done * (double)NS_PER_S / (double)(now_ns - start_ns));
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port;
	uint64_t seconds;

	if (fd < 0)
		return fail("socket");
	if (argc < 4 || inet_pton(AF_INET, argv[2], &at.sin_addr) != 1 ||
	    !parse_u16(str_of(argv[3]), &port))
		return fputs("traffic_talk: serve|stream|rr ADDRESS PORT [SECONDS]\n", stderr), 1;
	at.sin_port = htons(port);
	if (strcmp(argv[1], "serve") == 0)
		return serve(fd, &at);
	if (argc < 5 || !parse_u64(str_of(argv[4]), 3600, &seconds))
		return fputs("traffic_talk: how many seconds?\n", stderr), 1;
	return talk(fd, &at, strcmp(argv[1], "rr") == 0, seconds);
}
