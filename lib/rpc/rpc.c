#include "rpc/rpc.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <grpc/support/log.h>

#include "base/log.h"
#include "base/time.h"
#include "rpc/inside.h"

/* Go's names (google.golang.org/grpc/codes): what the reference CLI prints. */
static const char *const status_names[] = {
	[RPC_OK] = "OK",
	[RPC_CANCELLED] = "Canceled",
	[RPC_UNKNOWN] = "Unknown",
	[RPC_INVALID_ARGUMENT] = "InvalidArgument",
	[RPC_DEADLINE_EXCEEDED] = "DeadlineExceeded",
	[RPC_NOT_FOUND] = "NotFound",
	[RPC_ALREADY_EXISTS] = "AlreadyExists",
	[RPC_PERMISSION_DENIED] = "PermissionDenied",
	[RPC_RESOURCE_EXHAUSTED] = "ResourceExhausted",
	[RPC_FAILED_PRECONDITION] = "FailedPrecondition",
	[RPC_ABORTED] = "Aborted",
	[RPC_OUT_OF_RANGE] = "OutOfRange",
	[RPC_UNIMPLEMENTED] = "Unimplemented",
	[RPC_INTERNAL] = "Internal",
	[RPC_UNAVAILABLE] = "Unavailable",
	[RPC_DATA_LOSS] = "DataLoss",
	[RPC_UNAUTHENTICATED] = "Unauthenticated",
};

static const enum rpc_status statuses[] = {
	[ERR_OK] = RPC_OK,
	[ERR_INVALID] = RPC_INVALID_ARGUMENT,
	[ERR_PARSE] = RPC_INVALID_ARGUMENT,
	[ERR_NOMEM] = RPC_RESOURCE_EXHAUSTED,
	[ERR_NOT_FOUND] = RPC_NOT_FOUND,
	[ERR_EXISTS] = RPC_ALREADY_EXISTS,
	[ERR_PERMISSION] = RPC_PERMISSION_DENIED,
	[ERR_UNSUPPORTED] = RPC_UNIMPLEMENTED,
	[ERR_AGAIN] = RPC_UNAVAILABLE,
	[ERR_TIMEOUT] = RPC_DEADLINE_EXCEEDED,
	[ERR_CLOSED] = RPC_UNAVAILABLE,
	[ERR_CANCELLED] = RPC_CANCELLED,
	[ERR_UNAVAILABLE] = RPC_UNAVAILABLE,
	[ERR_IO] = RPC_INTERNAL,
	[ERR_INTERNAL] = RPC_INTERNAL,
};
_Static_assert(ARRAY_LEN(statuses) == ERR_CODE_COUNT_, "an error code without a status");

static const enum err_code codes[] = {
	[RPC_OK] = ERR_OK,
	[RPC_CANCELLED] = ERR_CANCELLED,
	[RPC_UNKNOWN] = ERR_IO,
	[RPC_INVALID_ARGUMENT] = ERR_INVALID,
	[RPC_DEADLINE_EXCEEDED] = ERR_TIMEOUT,
	[RPC_NOT_FOUND] = ERR_NOT_FOUND,
	[RPC_ALREADY_EXISTS] = ERR_EXISTS,
	[RPC_PERMISSION_DENIED] = ERR_PERMISSION,
	[RPC_RESOURCE_EXHAUSTED] = ERR_NOMEM,
	[RPC_FAILED_PRECONDITION] = ERR_INVALID,
	[RPC_ABORTED] = ERR_IO,
	[RPC_OUT_OF_RANGE] = ERR_INVALID,
	[RPC_UNIMPLEMENTED] = ERR_UNSUPPORTED,
	[RPC_INTERNAL] = ERR_INTERNAL,
	[RPC_UNAVAILABLE] = ERR_UNAVAILABLE,
	[RPC_DATA_LOSS] = ERR_IO,
	[RPC_UNAUTHENTICATED] = ERR_PERMISSION,
};
_Static_assert(ARRAY_LEN(codes) == ARRAY_LEN(status_names), "a status without an error code");

const char *rpc_status_name(enum rpc_status status)
{
	return (unsigned)status < ARRAY_LEN(status_names) ? status_names[status] : NULL;
}

enum rpc_status rpc_status_of(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT_ ? statuses[code] : RPC_UNKNOWN;
}

enum err_code rpc_status_to_err(enum rpc_status status)
{
	return (unsigned)status < ARRAY_LEN(codes) ? codes[status] : ERR_IO;
}

/* gRPC's log function is process-wide and carries no pointer of ours, hence the one registry of the
 * room. */
static pthread_mutex_t watch_mx = PTHREAD_MUTEX_INITIALIZER;
static struct accept_watch *watches; /* guarded by watch_mx */

void accept_watch_add(struct accept_watch *w)
{
	pthread_mutex_lock(&watch_mx);
	w->next = watches;
	watches = w;
	pthread_mutex_unlock(&watch_mx);
}

void accept_watch_remove(struct accept_watch *w)
{
	pthread_mutex_lock(&watch_mx);
	for (struct accept_watch **p = &watches; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	pthread_mutex_unlock(&watch_mx);
}

enum { LOG_LINES_PER_S = 10 };

#ifdef RPC_HAVE_LOG_HOOK /* versions without it retry a failed accept by themselves */
static void on_log(gpr_log_func_args *args)
{
	/* src/core/lib/iomgr/tcp_server_posix.cc, on_read(): after this line nobody listens any
	 * more. */
	bool is_deaf = strstr(args->message, "Failed accept4");

	pthread_mutex_lock(&watch_mx);
	bool serves = watches;
	for (struct accept_watch *w = watches; w && is_deaf; w = w->next)
		w->failed(w);
	pthread_mutex_unlock(&watch_mx);
	/* Anybody who can connect can make handshakes fail: a few lines a second tell as much as
	 * all of them. */
	static _Atomic uint64_t second, lines;
	uint64_t now_s = mono_now().v / NS_PER_S, left_out = 0;
	if (atomic_exchange(&second, now_s) != now_s) {
		uint64_t had = atomic_exchange(&lines, 0);
		left_out = had > LOG_LINES_PER_S ? had - LOG_LINES_PER_S : 0;
	}
	if (left_out)
		log_warn("gRPC lines left out", "count=%llu", (unsigned long long)left_out);
	if (atomic_fetch_add(&lines, 1) >= LOG_LINES_PER_S)
		return;
	const char *file = strrchr(args->file, '/');
	if (serves)
		log_warn("gRPC", "message=%s at=%s:%d", LOG_QUOTE(args->message),
			 file ? file + 1 : args->file, args->line);
	else /* whoever only asks gets the same as the status of a call */
		log_debug("gRPC", "message=%s at=%s:%d", LOG_QUOTE(args->message),
			  file ? file + 1 : args->file, args->line);
}
#endif

void rpc_init(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	/* The system's resolver finds what other programs find (hosts file, nsswitch); c-ares also
	 * leaks a little. */
	(void)setenv("GRPC_DNS_RESOLVER", "native", 0);
#ifdef RPC_HAVE_LOG_HOOK
	gpr_set_log_function(on_log);
	gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
#endif
	grpc_init();
}

void rpc_shutdown(void)
{
	grpc_shutdown_blocking();
#ifdef RPC_HAVE_LOG_HOOK
	gpr_set_log_function(NULL);
#endif
}

enum err_code metadata_copy(const struct rpc_metadata *from, size_t count, grpc_metadata **ret,
			    struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		grpc_slice key = grpc_slice_from_static_string(from[i].key);
		grpc_slice value = grpc_slice_from_static_string(from[i].value);
		if (!grpc_header_key_is_legal(key) || grpc_is_binary_header(key) ||
		    !grpc_header_nonbin_value_is_legal(value))
			return err_set(e, ERR_INVALID, "header '%s': not allowed in a request",
				       from[i].key);
	}
	grpc_metadata *md = calloc(count ? count : 1, sizeof *md);
	if (!md)
		return err_set(e, ERR_NOMEM, "headers");
	for (size_t i = 0; i < count; i++) {
		md[i].key = slice_of(str_of(from[i].key));
		md[i].value = slice_of(str_of(from[i].value));
	}
	*ret = md;
	return ERR_OK;
}

void metadata_free(grpc_metadata *md, size_t count)
{
	for (size_t i = 0; md && i < count; i++) {
		grpc_slice_unref(md[i].key);
		grpc_slice_unref(md[i].value);
	}
	free(md);
}

struct str metadata_find(const grpc_metadata_array *md, const char *key)
{
	for (size_t i = 0; i < md->count; i++)
		if (str_is(slice_str(&md->metadata[i].key), key))
			return slice_str(&md->metadata[i].value);
	return STR("");
}
