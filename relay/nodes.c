#include "relay/nodes.h"

#include "base/log.h"
#include "relay/discovery.h"
#include "relay/keeper.h"
#include "relay/peers_file.h"

struct nodes {
	const struct rly_options *options;
	struct rpc_fan *fan;
	struct keeper *keeper;
	struct peers *peers;
	struct peers_file *file;
	struct dns_peers *dns;
	struct rpc_tls service_tls;
	struct discovery *discovery;
	struct api *api;
};

void nodes_free_api(struct nodes *n)
{
	if (n)
		api_free(TAKE(n->api));
}

void nodes_free(struct nodes *n)
{
	if (!n)
		return;
	nodes_free_api(n);
	discovery_free(n->discovery);
	dns_peers_free(n->dns);
	peers_file_free(n->file);
	peers_free(n->peers);
	keeper_free(n->keeper);
	rpc_fan_free(n->fan);
	free(n);
}

static void on_peer_changed(void *ctx)
{
	keeper_poke(ctx);
}

static enum err_code open_peers(struct nodes *n, struct err *e)
{
	const struct rly_options *o = n->options;

	n->service_tls = o->peer_files;
	n->service_tls.server_name = o->peer_service_tls_name;
	enum err_code code = rpc_fan_new_for_server(&n->fan, e);
	if (code == ERR_OK)
		code = keeper_new(n->fan, o->peer_timeout_ns, o->peer_interval_ns, &n->keeper, e);
	if (code != ERR_OK)
		return code;
	const struct peers_config config = { .fan = n->fan,
					     .tls = o->peer_tls ? &o->peer_files : NULL,
					     .changed = on_peer_changed,
					     .ctx = n->keeper };
	code = peers_new(&config, &n->peers, e);
	if (code == ERR_OK && o->peer_count)
		code = peers_set(n->peers, PEER_STATIC, o->peers, o->peer_count, e);
	if (code == ERR_OK && o->peers_file)
		code = peers_file_new(o->peers_file, n->peers, &n->file, e);
	if (code == ERR_OK && o->dns_count)
		code = dns_peers_new(o->dns, o->dns_count, o->dns_interval_ns, n->peers, &n->dns,
				     e);
	if (code == ERR_OK && o->peer_service)
		code = discovery_new(n->fan, o->peer_service, o->peer_tls ? &n->service_tls : NULL,
				     o->peer_timeout_ns, o->peer_interval_ns, n->peers,
				     &n->discovery, e);
	return code;
}

static enum err_code open_api(struct nodes *n, const char *node_name, struct err *e)
{
	const struct api_config api = { .fan = n->fan,
					.peers = n->peers,
					.keeper = n->keeper,
					.version = RLY_VERSION,
					.node_name = node_name,
					.window = n->options->sort_window,
					.drain_ns = n->options->drain_ns,
					.forward_authorization =
						n->options->forward_authorization };

	return api_new(&api, &n->api, e);
}

enum err_code nodes_new(const struct rly_options *options, const char *node_name,
			struct nodes **ret, struct err *e)
{
	AUTO(nodes_free) struct nodes *n = calloc(1, sizeof *n);

	if (!n)
		return err_set(e, ERR_NOMEM, "peers");
	n->options = options;
	enum err_code code = open_peers(n, e);
	if (code == ERR_OK)
		code = open_api(n, node_name, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(n);
	return ERR_OK;
}

struct api *nodes_api(struct nodes *n)
{
	return n->api;
}

struct rpc_fan *nodes_fan(struct nodes *n)
{
	return n->fan;
}

struct peers *nodes_peers(struct nodes *n)
{
	return n->peers;
}

size_t nodes_run(struct nodes *n, struct mono_ns now, struct mono_ns *ret_until)
{
	struct mono_ns keep_at, discover_at = { UINT64_MAX };

	if (n->discovery)
		discovery_run(n->discovery, now, &discover_at);
	size_t available = keeper_run(n->keeper, n->peers, now, &keep_at);
	*ret_until = keep_at.v < discover_at.v ? keep_at : discover_at;
	return available;
}

enum { FD_KEEPER, FD_FILE, FD_DISCOVERY, FD_DNS };

void nodes_fds(const struct nodes *n, struct pollfd ret[NODES_FDS])
{
	const int fds[NODES_FDS] = {
		[FD_KEEPER] = keeper_fd(n->keeper),
		[FD_FILE] = n->file ? peers_file_fd(n->file) : -1,
		[FD_DISCOVERY] = n->discovery ? discovery_fd(n->discovery) : -1,
		[FD_DNS] = n->dns ? dns_peers_fd(n->dns) : -1,
	};

	for (size_t i = 0; i < NODES_FDS; i++)
		ret[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
}

static void reread_file(struct nodes *n, bool always)
{
	struct err e;

	if (!n->file)
		return;
	enum err_code code = peers_file_poll(n->file, always, &e);
	if (code == ERR_OK)
		log_info("peers reread", "file=%s", LOG_QUOTE(n->options->peers_file));
	else if (code != ERR_AGAIN)
		log_warn("peers not reread; the old ones stay", "err=%s", LOG_QUOTE(e.msg));
}

void nodes_take(struct nodes *n, const struct pollfd fds[NODES_FDS])
{
	if (fds[FD_FILE].revents)
		reread_file(n, false);
	if (fds[FD_DNS].revents)
		dns_peers_run(n->dns);
}

void nodes_reread(struct nodes *n)
{
	reread_file(n, true);
	if (n->dns)
		dns_peers_refresh(n->dns);
	keeper_renew(n->peers);
}
