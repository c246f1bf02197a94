/* Any bytes as a minute of the service map; what can be read can be written, and is read the same. */
#include <stdint.h>
#include <stdlib.h>

#include "store/edge_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_EDGE_ROWS struct edge_rows rows = { 0 }, again = { 0 };
	AUTO_BUF struct buf bytes = buf_init(SIZE_MAX);

	if (edge_rows_unpack(str_n(data, size), &rows, NULL) != ERR_OK)
		return 0;
	edge_rows_sort(&rows);
	if (edge_rows_pack(&rows, &bytes, NULL) != ERR_OK ||
	    edge_rows_unpack(buf_str(&bytes), &again, NULL) != ERR_OK || again.count != rows.count)
		abort();
	for (size_t i = 0; i < rows.count; i++)
		if (rows.list[i].bytes != again.list[i].bytes ||
		    rows.list[i].dst != again.list[i].dst)
			abort();
	return 0;
}
