/* DNS payloads: the first byte chooses UDP or TCP. What was parsed is written as flow bytes and
 * read back. */
#include <stdlib.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/decode/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_message m;

	if (size == 0 || !dns_parse(str_n(data + 1, size - 1), data[0] & 1, &m))
		return 0;
	if (strlen(m.query) >= DNS_TEXT_BYTES || m.rrtype_count > DNS_RECORDS ||
	    m.answer_count + m.cname_count > m.rrtype_count)
		abort();
	for (size_t i = 0; i < m.cname_count; i++) {
		char name[DNS_TEXT_BYTES];
		dns_cname(&m, i, name);
		if (!*name)
			abort();
	}

	AUTO_BUF struct buf b = buf_init(1 << 20);
	dns_put_l7(&b, &m);
	struct wire_reader r = wire_reader_of(buf_str(&b));
	struct wire_field field;
	if (b.failed || !wire_next(&r, &field) || field.number != 15 || wire_next(&r, &field) ||
	    r.bad)
		abort();
	return 0;
}
