/* What the relay reads from outside: requests of clients, addresses that a peer service tells,
 * lines of peers. A request asked again is as readable as the first one, and follows as it did. */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "relay/discovery.h"
#include "relay/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(struct str bytes)
{
	struct request request, again;
	AUTO_BUF struct buf resumed = buf_init(bytes.len + 64);

	if (request_read(bytes, &request, NULL) != ERR_OK)
		return;
	request_put_resumed(&resumed, bytes, &request, (struct wall_ns){ 12345678901 }, 3);
	if (resumed.failed || request_read(buf_str(&resumed), &again, NULL) != ERR_OK ||
	    again.follow != request.follow || again.first != request.first || !again.has_since ||
	    again.number > request.number)
		abort();
}

static void check_address(struct str told)
{
	char once[DISCOVERY_ADDRESS_BYTES];

	discovery_address(told, once);
	if (memchr(once, 0, sizeof once) == NULL)
		abort();
}

static void check_line(struct str line)
{
	struct peer_spec spec;

	if (peer_spec_parse(line, &spec, NULL) == ERR_OK && (!spec.name.len || !spec.address.len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_n(data, size);

	check_request(bytes);
	check_address(bytes);
	check_line(bytes);
	return 0;
}
