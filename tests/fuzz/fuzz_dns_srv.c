/* Answers of a name service with SRV records, made by anybody: whatever comes, targets are names
 * with an end and a port. */
#include <stdint.h>
#include <string.h>

#include "relay/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_target targets[16];
	size_t n;

	if (dns_read_srv(str_n(data, size), targets, 16, &n, NULL) != ERR_OK)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!memchr(targets[i].host, 0, sizeof targets[i].host) || !*targets[i].host ||
		    !targets[i].port)
			abort();
	return 0;
}
