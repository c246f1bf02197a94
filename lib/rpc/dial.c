#include "rpc/dial.h"

#include <stdlib.h>

#include "config.h"

enum { DEFAULT_MAX_MESSAGE_BYTES = 4 << 20 };

enum err_code dial_init(struct dial *d, const struct rpc_channel_config *config, struct err *e)
{
	static const struct rpc_tls system_tls = { 0 };

	*d = (struct dial){ .max_message_bytes = config->max_message_bytes
							 ? config->max_message_bytes
							 : DEFAULT_MAX_MESSAGE_BYTES };
	enum err_code code = address_parse(str_of(config->address), &d->address, e);
	if (code != ERR_OK)
		return code;
	if (!d->address.is_unix && d->address.port == 0)
		return err_set(e, ERR_INVALID, "address '%s': not a port", config->address);
	address_target(&d->address, d->target);
	if (d->max_message_bytes > INT32_MAX)
		return err_set(e, ERR_INVALID, "messages of more than %d bytes", INT32_MAX);
	d->user_agent =
		str_dup(str_of(config->user_agent ? config->user_agent : "tycho/" TYCHO_VERSION));
	if (!d->user_agent)
		return err_set(e, ERR_NOMEM, "channel");
	code = metadata_copy(config->metadata, config->metadata_count, &d->metadata, e);
	if (code != ERR_OK)
		return code;
	d->metadata_count = config->metadata_count;
	const struct rpc_tls *tls = config->tls         ? config->tls
				    : d->address.is_tls ? &system_tls
							: NULL;
	return tls ? tls_files_new(tls, &d->tls, e) : ERR_OK;
}

void dial_done(struct dial *d)
{
	tls_files_free(d->tls);
	metadata_free(d->metadata, d->metadata_count);
	free(d->user_agent);
	*d = (struct dial){ 0 };
}

static grpc_arg text_arg(const char *key, const char *value)
{
	return (grpc_arg){ .type = GRPC_ARG_STRING,
			   .key = (char *)(uintptr_t)key,
			   .value.string = (char *)(uintptr_t)value };
}

/* No HTTP/2 pings: servers as they come from the library punish them (more often than every 5
 * minutes: GOAWAY ENHANCE_YOUR_CALM). Who needs to know asks the server something, and resets. */
enum err_code dial_channel(const struct dial *d, const struct dial_pace *pace, grpc_channel **ret,
			   struct err *e)
{
	grpc_channel_credentials *creds;
	grpc_arg args[16];
	size_t n = 0;

	if (!d->tls) {
		creds = grpc_insecure_credentials_create();
	} else {
		enum err_code code = tls_channel_creds(d->tls, &creds, e);
		if (code != ERR_OK)
			return code;
	}
	args[n++] = text_arg(GRPC_ARG_PRIMARY_USER_AGENT_STRING, d->user_agent);
	args[n++] = int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)d->max_message_bytes);
	args[n++] = leave_packed_arg();
	/* With probing on, the core grows the window as long as the line fills it: 20 fast streams
	 * held 210 MB while their reader paused for 4 s. */
	args[n++] = int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0);
	args[n++] = int_arg(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, pace->window_bytes);
	args[n++] = int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, pace->connect_timeout_ms);
	args[n++] = int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, pace->backoff_min_ms);
	args[n++] = int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, pace->backoff_max_ms);
	args[n++] = int_arg(GRPC_ARG_ENABLE_RETRIES, 0);
	/* Else channels to one address share a connection: a broken certificate, and a reset. */
	args[n++] = int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
	/* Go never sends loopback addresses through a proxy; the core would. */
	args[n++] = int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
	args[n++] = int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1); /* saves a TXT query */
	if (d->tls && tls_files_server_name(d->tls))
		args[n++] =
			text_arg(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, tls_files_server_name(d->tls));
	*ret = grpc_channel_create(d->target, creds, &(grpc_channel_args){ n, args });
	grpc_channel_credentials_release(creds);
	return ERR_OK;
}

gpr_timespec dial_deadline(uint64_t timeout_ns)
{
	/* What overflows is not as good as for ever; centuries are. */
	if (timeout_ns == 0 || timeout_ns > INT64_MAX / 2)
		return gpr_inf_future(GPR_CLOCK_MONOTONIC);
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
			    gpr_time_from_nanos((int64_t)timeout_ns, GPR_TIMESPAN));
}
