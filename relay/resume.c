#include "relay/resume.h"

#include "base/buf.h"
#include "relay/request.h"

struct str resume_request(struct resume *r, struct str original, const struct request *request,
			  struct buf *b)
{
	bool is_live_only = request->follow && !request->number && !request->has_since;

	if (r->last.v == 0 || (!r->has_spoken && !is_live_only))
		return original;
	buf_reset(b);
	r->to_skip = r->at_last;
	request_put_resumed(b, original, request, r->last, r->received - r->to_skip);
	return buf_str(b);
}

void resume_begun(struct resume *r, struct wall_ns started)
{
	r->has_moved = false;
	if (r->last.v == 0)
		r->last = started;
}

void resume_not_begun(struct resume *r)
{
	if (!r->has_spoken && !r->pause_ns)
		r->last = (struct wall_ns){ 0 };
}

bool resume_take(struct resume *r, struct wall_ns time)
{
	if (r->to_skip && time.v == r->last.v) {
		r->to_skip--;
		return false;
	}
	r->received++;
	r->has_moved = true;
	if (!time.v)
		return true;
	if (!r->has_spoken || time.v > r->last.v) {
		r->last = time;
		r->at_last = r->to_skip = 0;
	}
	r->at_last += time.v == r->last.v;
	r->has_spoken = true;
	return true;
}

void resume_failed(struct resume *r, struct mono_ns now)
{
	uint64_t doubled =
		2 * r->pause_ns < RESUME_PAUSE_MAX_NS ? 2 * r->pause_ns : RESUME_PAUSE_MAX_NS;

	r->pause_ns = r->has_moved || !r->pause_ns ? RESUME_PAUSE_NS : doubled;
	r->retry_at.v = now.v + r->pause_ns;
}

bool resume_was_cut_off(const struct resume *r, const struct request *request,
			enum rpc_status status)
{
	return status == RPC_RESOURCE_EXHAUSTED && r->has_moved &&
	       !request_is_filled(request, r->received);
}

bool resume_is_refused(const struct resume *r, enum rpc_status status)
{
	switch (status) {
	case RPC_UNKNOWN: /* what Hubble's servers say of a filter that does not compile */
		return !r->has_moved;
	case RPC_INVALID_ARGUMENT:
	case RPC_PERMISSION_DENIED:
	case RPC_UNAUTHENTICATED:
	case RPC_UNIMPLEMENTED:
		return true;
	default:
		return false;
	}
}
