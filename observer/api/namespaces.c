/* GetNamespaces: those of the last hour's flows, sorted by cluster and name. */
#include "access/access.h"
#include "access/gate.h"
#include "flow/wire.h"
#include "observer/api/inside.h"
#include "observer/observer.pb-c.h"

enum { FIELD_NAMESPACES = 1, NAMESPACE_CLUSTER = 1, NAMESPACE_NAME = 2 };

struct listing {
	struct buf *to;
	const struct rights *rights; /* NULL: all */
};

static void add(void *ctx, struct str cluster, struct str ns)
{
	const struct listing *l = ctx;
	struct buf *b = l->to;

	if (l->rights && !rights_see(l->rights, ns))
		return;
	size_t mark = wire_begin(b, FIELD_NAMESPACES);

	wire_put_str(b, NAMESPACE_CLUSTER, cluster);
	wire_put_str(b, NAMESPACE_NAME, ns);
	wire_end(b, mark);
}

void api_get_namespaces(struct rpc_call *call, struct str request, void *ctx)
{
	struct api *a = ctx;
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &observer__get_namespaces_request__descriptor);

	if (!m)
		return;
	protobuf_c_message_free_unpacked(m, NULL);
	buf_reset(&a->message);
	name_namespaces(a->names, wall_now(), add,
			&(struct listing){ &a->message, gate_rights(call) });
	if (a->message.failed)
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for the namespaces");
	else
		rpc_call_reply(call, buf_str(&a->message));
	buf_reset(&a->message);
}
