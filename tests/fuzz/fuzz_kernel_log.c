/* Records of the kernel's log: what is made of them stays within its bounds. */
#include <stdlib.h>

#include "observer/source/kernel_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(struct str whole, struct str part)
{
	if (part.len && (part.p < whole.p || part.p + part.len > whole.p + whole.len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str record = str_n(data, size), message = record;
	struct kernel_log_line line;
	uint64_t sequence;
	bool is_kernel;

	if (kernel_log_head(record, &sequence, &is_kernel, &message))
		check_part(record, message);
	if (!kernel_log_read(message, &line))
		return 0;
	check_part(message, line.prefix);
	check_part(message, line.in);
	check_part(message, line.out);
	if (line.packet_bytes > sizeof line.packet || line.length_bytes < line.packet_bytes ||
	    line.packet_bytes < 20)
		abort();
	return 0;
}
