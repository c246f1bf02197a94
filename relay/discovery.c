#include "relay/discovery.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "peer/peer.pb-c.h"

struct discovery {
	struct peers *peers;
	char *address;
	struct rpc_fan_channel *channel;
	struct rpc_group *group;
	struct rpc_fan_call *call; /* Notify; NULL: none, the next at open_at */
	struct mono_ns open_at;
	uint64_t streams; /* opened so far; of the last one … */
	bool has_spoken;
	struct mono_ns
		settle_at; /* … when peers that it has not told of go; 0: not, or they have */
	struct rpc_fan_call *check; /* of its health; NULL: none, the next at check_at */
	struct mono_ns check_at;
	uint64_t patience_ns, check_ns;
	uint64_t pause_ns;
	bool is_failing; /* and that was said */
	int fd;          /* eventfd */
};

static void poke(void *ctx)
{
	struct discovery *d = ctx;
	const uint64_t one = 1;

	if (write(d->fd, &one, sizeof one) < 0 && errno != EAGAIN)
		log_warn("discovery not poked", "errno=%d", errno);
}

enum err_code discovery_new(struct rpc_fan *fan, const char *address, const struct rpc_tls *tls,
			    uint64_t patience_ns, uint64_t check_ns, struct peers *peers,
			    struct discovery **ret, struct err *e)
{
	const struct rpc_channel_config config = {
		.address = address,
		.tls = str_has_prefix(str_of(address), STR("unix:")) ? NULL : tls,
	};
	AUTO(discovery_free) struct discovery *d = malloc(sizeof *d);
	if (!d)
		return err_set(e, ERR_NOMEM, "peer service");
	*d = (struct discovery){ .peers = peers,
				 .address = str_dup(str_of(address)),
				 .patience_ns = patience_ns,
				 .check_ns = check_ns,
				 .pause_ns = DISCOVERY_PAUSE_MIN_NS,
				 .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (!d->address)
		return err_set(e, ERR_NOMEM, "peer service");
	if (d->fd < 0)
		return err_os(e, "eventfd");
	if (rpc_group_new(fan, poke, d, &d->group, e) != ERR_OK ||
	    rpc_fan_channel_new(fan, &config, NULL, NULL, &d->channel, e) != ERR_OK)
		return err_in(e, "peer service '%s'", address);
	*ret = TAKE(d);
	return ERR_OK;
}

void discovery_free(struct discovery *d)
{
	if (!d)
		return;
	rpc_group_free(d->group);
	rpc_fan_channel_free(d->channel);
	if (d->fd >= 0)
		(void)close(d->fd);
	free(d->address);
	free(d);
}

int discovery_fd(const struct discovery *d)
{
	return d->fd;
}

/* Bytes of the port with its colon; 0: there is none that can be used. */
static size_t port_bytes(struct str told)
{
	size_t colon = str_find_last(told, ':');
	uint16_t port;

	/* more colons: an IPv6 address, whose port follows a bracket */
	bool is_bare_v6 = str_find(told, ':') != colon && told.p[0] != '[';
	if (colon == told.len || is_bare_v6 ||
	    str_find(str_from(told, colon), ']') < told.len - colon)
		return 0;
	if (!parse_u16(str_from(told, colon + 1), &port) || port == 0)
		return 0;
	return told.len - colon;
}

void discovery_address(struct str told, char out[static DISCOVERY_ADDRESS_BYTES])
{
	size_t port = told.len ? port_bytes(told) : 0;
	size_t colon = str_find_last(told, ':');
	const char *form = "%.*s";

	if (told.len > DISCOVERY_ADDRESS_BYTES - 32)
		told.len = 0;
	if (told.len && told.p[0] == '/') {
		form = "unix://%.*s";
	} else if (told.len && !str_has_prefix(told, STR("unix:")) && !port) {
		bool is_v6 = str_find(told, ':') != colon;
		if (is_v6 && told.p[0] == '[')
			told = str_upto(told, str_find(told, ']') + 1);
		else if (!is_v6)
			told = str_upto(told, colon);
		form = is_v6 && told.p[0] != '[' ? "[%.*s]:4244" : "%.*s:4244";
	}
	char text[DISCOVERY_ADDRESS_BYTES];
	/* the formats above are all there are */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(text, sizeof text, form, STR_FMT(told));
#pragma GCC diagnostic pop
	memcpy(out, text, sizeof text);
}

static void on_message(struct discovery *d, struct str message)
{
	Peer__ChangeNotification *n =
		peer__change_notification__unpack(NULL, message.len, (const uint8_t *)message.p);
	char address[DISCOVERY_ADDRESS_BYTES];
	struct err e;

	if (!n) {
		log_warn("peer service sent what is no notification", "service=%s",
			 LOG_QUOTE(d->address));
		return;
	}
	discovery_address(str_of(n->address), address);
	const struct peer_spec spec = { .name = str_of(n->name),
					.address = str_of(address),
					.tls_name = str_of(n->tls ? n->tls->server_name : ""),
					.tells_tls = n->tls,
					.told = d->streams };
	bool is_named = spec.name.len && utf8_is_valid(spec.name);
	if (n->type == PEER__CHANGE_NOTIFICATION_TYPE__PEER_DELETED)
		peers_drop(d->peers, spec.name);
	else if (is_named &&
		 (n->type == PEER__CHANGE_NOTIFICATION_TYPE__PEER_ADDED ||
		  n->type == PEER__CHANGE_NOTIFICATION_TYPE__PEER_UPDATED) &&
		 peers_put(d->peers, &spec, &e) != ERR_OK)
		log_warn("peer not added", "err=%s", LOG_QUOTE(e.msg));
	peer__change_notification__free_unpacked(n, NULL);
}

static void on_end(struct discovery *d, const struct rpc_result *result, struct mono_ns now)
{
	uint64_t quarter = d->pause_ns / 4;
	uint64_t jitter = hash_bytes(&now, sizeof now, 0) % (2 * quarter + 1);

	const char *status = rpc_status_name(result->status);

	if (!d->is_failing)
		log_warn("peer service is away; its peers stay", "service=%s status=%s text=%s",
			 LOG_QUOTE(d->address), status ? status : "unknown",
			 LOG_QUOTE(result->message));
	d->is_failing = true;
	d->call = NULL;
	d->settle_at.v = 0;
	d->open_at.v = now.v + d->pause_ns - quarter + jitter;
	d->pause_ns =
		2 * d->pause_ns < DISCOVERY_PAUSE_MAX_NS ? 2 * d->pause_ns : DISCOVERY_PAUSE_MAX_NS;
}

/* Any answer will do. */
static void on_checked(struct discovery *d, const struct rpc_result *result)
{
	d->check = NULL;
	if (result->status == RPC_DEADLINE_EXCEEDED)
		rpc_fan_channel_reset(d->channel, "the peer service does not answer");
}

static void on_event(struct discovery *d, const struct rpc_fan_event *ev, struct mono_ns now)
{
	if (ev->call == d->check) {
		if (ev->kind == RPC_FAN_END)
			on_checked(d, ev->result);
	} else if (ev->kind == RPC_FAN_END) {
		on_end(d, ev->result, now);
	} else {
		if (d->is_failing)
			log_info("peer service is back", "service=%s", LOG_QUOTE(d->address));
		d->is_failing = false;
		d->pause_ns = DISCOVERY_PAUSE_MIN_NS;
		if (!d->has_spoken)
			d->settle_at.v = now.v + DISCOVERY_SETTLE_NS;
		d->has_spoken = true;
		on_message(d, ev->message);
	}
}

/* The service has had time to tell all it knows. */
static void settle(struct discovery *d, struct mono_ns now)
{
	if (!d->settle_at.v || now.v < d->settle_at.v)
		return;
	d->settle_at.v = 0;
	size_t gone = peers_drop_untold(d->peers, d->streams);
	if (gone)
		log_info("peers went while the peer service was away", "service=%s peers=%zu",
			 LOG_QUOTE(d->address), gone);
}

void discovery_run(struct discovery *d, struct mono_ns now, struct mono_ns *ret_next)
{
	uint64_t pokes;
	struct err e;

	(void)!read(d->fd, &pokes, sizeof pokes);
	struct rpc_fan_event *ev = rpc_group_take(d->group);
	while (ev) {
		struct rpc_fan_event *next = ev->next;
		on_event(d, ev, now);
		rpc_fan_event_free(ev);
		ev = next;
	}
	if (!d->call && now.v >= d->open_at.v) {
		d->check_at.v = now.v + d->check_ns;
		d->streams++;
		d->has_spoken = false;
		if (rpc_fan_call_open(d->group, d->channel, "/peer.Peer/Notify", STR(""), 0, NULL,
				      &d->call, &e) != ERR_OK)
			d->open_at.v = now.v + d->pause_ns;
	}
	if (d->call && !d->check && now.v >= d->check_at.v) {
		d->check_at.v = now.v + d->check_ns;
		(void)!rpc_fan_call_open(d->group, d->channel, "/grpc.health.v1.Health/Check",
					 STR(""), d->patience_ns, NULL, &d->check, &e);
	}
	settle(d, now);
	/* a check pokes when it ends */
	ret_next->v = !d->call ? d->open_at.v : d->check ? UINT64_MAX : d->check_at.v;
	if (d->settle_at.v && d->settle_at.v < ret_next->v)
		*ret_next = d->settle_at;
}
