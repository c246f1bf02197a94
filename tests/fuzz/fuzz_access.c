/* Requests of those who may not see everything: whatever comes, no filter of the outcome is without
 * a namespace. */
#include <stdint.h>
#include <string.h>

#include "access/access.h"
#include "access/limit.h"
#include "observer/observer.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_ours(char *const *pods, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(pods[i], "shop/", 5) != 0 && *pods[i])
			return false;
	return count > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const namespaces[] = { "shop" };
	static const struct rights rights = { "fuzz", false, namespaces, 1 };
	AUTO_BUF struct buf out = buf_init(16 * size + 64);

	if (limit_request(&rights, str_n(data, size), 6, &out, NULL) != ERR_OK)
		return 0;
	Observer__GetFlowsRequest *m = observer__get_flows_request__unpack(
		NULL, out.len, (const uint8_t *)buf_str(&out).p);
	if (!m)
		return 0; /* and no server reads it */
	if (!m->n_whitelist)
		abort();
	for (size_t i = 0; i < m->n_whitelist; i++) {
		const Flow__FlowFilter *f = m->whitelist[i];
		bool is_void = f->n_verdict && f->verdict[0] == (Flow__Verdict)0x7fffffff;
		if (!is_void && !is_ours(f->source_pod, f->n_source_pod) &&
		    !is_ours(f->destination_pod, f->n_destination_pod))
			abort();
	}
	observer__get_flows_request__free_unpacked(m, NULL);
	return 0;
}
