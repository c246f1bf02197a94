/* A scrape's request, from whoever can reach the port: read, and what it accepts weighed. */
#include <stdlib.h>

#include "metrics/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_n(data, size);
	char decoded[HTTP_REQUEST_BYTES];
	struct buf scratch = buf_fixed(decoded, sizeof decoded);
	struct str user, password;
	struct http_request r;
	size_t used = 0;

	/* as a header of its own, too: most inputs are no request */
	(void)http_content_type(http_format_of(bytes));
	(void)http_accepts_gzip(bytes);
	(void)http_basic_auth(bytes, &scratch, &user, &password);
	if (http_request_read(bytes, &r, &used) != HTTP_READY)
		return 0;
	if (!used || used > size || !r.method.len || !r.path.len || r.path.p[0] != '/')
		abort();
	(void)http_content_type(http_format_of(r.accept));
	(void)http_accepts_gzip(r.accept_encoding);
	if (http_basic_auth(r.authorization, &scratch, &user, &password) &&
	    user.len + password.len + 1 != scratch.len)
		abort();
	return 0;
}
