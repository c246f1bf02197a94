/* peer.Peer/Notify: one PEER_ADDED for this node; then the stream stays open, as nothing else is
 * known to change. */
#include "observer/api/inside.h"
#include "peer/peer.pb-c.h"

struct stream {
	struct api *api;
	bool told;
};

/* Looked up for each who asks: addresses come and go. */
void api_address(const struct api *a, char out[static ADDRESS_TARGET_BYTES])
{
	int port = atomic_load_explicit(&a->port, memory_order_relaxed);
	struct address at;

	out[0] = '\0';
	if (address_parse(str_of(a->address), &at, NULL) != ERR_OK)
		return;
	if (port)
		at.port = (uint16_t)port;
	if (!address_for_others(&at, out))
		out[0] = '\0';
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct stream *s = state;
	const struct api *a = s->api;

	if (s->told)
		return RPC_IDLE;
	char address[ADDRESS_TARGET_BYTES];
	api_address(a, address);
	Peer__TLS tls;
	peer__tls__init(&tls);
	if (a->tls_server_name)
		tls.server_name = a->tls_server_name;
	Peer__ChangeNotification note;
	peer__change_notification__init(&note);
	note.name = a->node_name;
	note.address = address;
	note.type = PEER__CHANGE_NOTIFICATION_TYPE__PEER_ADDED;
	note.tls = a->tls_server_name ? &tls : NULL;
	uint8_t *room = rpc_call_reserve(call, peer__change_notification__get_packed_size(&note));
	if (!room)
		return RPC_MORE;
	rpc_call_commit(call, peer__change_notification__pack(&note, room));
	s->told = true;
	return RPC_IDLE;
}

static const struct rpc_stream_ops ops = { fill, free };

void api_notify(struct rpc_call *call, struct str request, void *ctx)
{
	ProtobufCMessage *m = rpc_request_unpack(call, request, &peer__notify_request__descriptor);

	if (!m)
		return;
	protobuf_c_message_free_unpacked(m, NULL);
	struct stream *s = calloc(1, sizeof *s);
	if (!s) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a stream");
		return;
	}
	s->api = ctx;
	rpc_call_stream(call, &ops, s);
}
