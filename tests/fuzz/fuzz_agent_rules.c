/* What a Cilium agent answers to /v1/policy: whatever it is, it becomes policies or a sentence. */
#include <stddef.h>
#include <stdint.h>

#include "observer/keep/policies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(keep_policies_free) struct keep_policies *p = NULL;
	struct err e;
	json_t *answer = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);

	if (keep_policies_of_agent(answer, &p, &e) == ERR_OK && !keep_policies_are_of_agent(p))
		__builtin_trap();
	json_decref(answer);
	return 0;
}
