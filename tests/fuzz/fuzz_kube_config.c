/* Any text as a kubeconfig: read or refused, and what is read has a server. */
#include <stdint.h>

#include "kube/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(kube_config_free) struct kube_config *c = NULL;
	struct err e;

	if (kube_config_parse(str_n(data, size), "/folder", NULL, &c, &e) == ERR_OK)
		if (!c->server || strncmp(c->server, "http", 4) != 0 || !c->context)
			abort();
	return 0;
}
