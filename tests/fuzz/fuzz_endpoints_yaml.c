/* Any bytes as an endpoint file: refused with a sentence, or a view whose every part can be read.
 */
#include <stdint.h>
#include <stdlib.h>

#include "observer/name/endpoints.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t sum(struct str s)
{
	size_t n = s.len;

	for (size_t i = 0; i < s.len; i++)
		n += (unsigned char)s.p[i];
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(endpoints_free) struct endpoints *ep = NULL;
	struct err e = { 0 };
	size_t touched = 0;

	if (endpoints_parse(str_n(data, size), &ep, &e) != ERR_OK) {
		if (!e.msg[0] || ep)
			abort();
		return 0;
	}
	struct name_view v = endpoints_view(ep);
	for (size_t i = 0; i < v.prefix_count; i++) {
		const struct endpoint *n = &v.prefixes[i].endpoint;
		if (v.prefixes[i].bits > 128)
			abort();
		touched += sum(n->namespace_) + sum(n->pod);
		for (size_t l = 0; l < n->label_count; l++)
			touched += sum(n->labels[l]);
		for (size_t w = 0; w < n->workload_count; w++)
			touched += sum(n->workloads[w].kind) + sum(n->workloads[w].name);
	}
	for (size_t i = 0; i < v.service_count; i++)
		touched += sum(v.services[i].service.name) + sum(v.services[i].service.namespace_);
	if (touched == SIZE_MAX) /* so that the compiler has to look at every byte */
		abort();
	return 0;
}
