/* Captured bytes: the first one chooses layer and mode, the rest is the packet. */
#include <stdlib.h>

#include "observer/decode/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;

	struct flow f = { 0 };
	struct decode_payload payload;
	struct str packet = str_n(data + 1, size - 1);
	if (!decode_packet(packet, (enum decode_start)(data[0] % 3), data[0] & 0x80, &f, &payload))
		return 0;
	/* The payload lies within the packet, and only beside a transport that has one. */
	if (payload.bytes.len && (payload.bytes.p < packet.p ||
				  payload.bytes.p + payload.bytes.len > packet.p + packet.len))
		abort();
	if (payload.bytes.len && f.l4 != FLOW_L4_TCP && f.l4 != FLOW_L4_UDP)
		abort();
	return 0;
}
