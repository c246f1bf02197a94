#include "policy/flow.h"

#include "flow/fields.h"
#include "flow/wire.h"

const char *policy_protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "TCP";
	case IPPROTO_UDP:
		return "UDP";
	case IPPROTO_SCTP:
		return "SCTP";
	case IPPROTO_ICMP:
		return "ICMPv4";
	default:
		return "ICMPv6";
	}
}

void policy_names_read(struct policy_names *ret, struct str ext, bool is_reply)
{
	struct wire_reader r = wire_reader_of(ext);
	struct wire_field wf;

	ret->count[0] = ret->count[1] = 0;
	ret->hash = 0;
	while (wire_next(&r, &wf)) {
		bool is_source = wf.number == FLOW_FIELD_SOURCE_NAMES;
		size_t end = is_source != is_reply ? 0 : 1;

		if ((!is_source && wf.number != FLOW_FIELD_DESTINATION_NAMES) ||
		    wf.type != WIRE_LEN || ret->count[end] == POLICY_NAMES_MAX)
			continue;
		ret->of[end][ret->count[end]++] = wf.bytes;
		ret->hash = hash_bytes(wf.bytes.p, wf.bytes.len, ret->hash + end + 1);
	}
}
