/* observer/decode/dns: messages of RFC 1035 to struct dns_message and flow.Layer7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/decode/dns.h"

/* Header, RFC 1035 §4.1.1: id, flags, counts of the four sections. */
#define HEADER(flags, qd, an, ns, ar)                                                              \
	0x12, 0x34, (flags) >> 8, (flags)&0xff, 0, qd, 0, an, 0, ns, 0, ar
#define EXAMPLE 3, 'w', 'w', 'w', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0 /* at offset 12 */
#define QUESTION(type) EXAMPLE, 0, type, 0, 1
/* Record whose name is a pointer to @at; @ttl below 65,536. */
#define RECORD(at, type, ttl, len) 0xc0, at, 0, type, 0, 1, 0, 0, (ttl) >> 8, (ttl)&0xff, 0, len

enum { QUERY = 0x0100, ANSWER = 0x8180, NAME_ERROR = 0x8183, TRUNCATED = 0x0200 };
enum { A = 1, CNAME = 5, SOA = 6, MX = 15, AAAA = 28, OPT = 41 };

static bool parse_copy(struct dns_message *m, bool tcp, const uint8_t *p, size_t len)
{
	/* a block of its own, so that the sanitizer sees a read past the end */
	static char *copy; /* until the next: a message borrows it */
	free(copy);
	copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, p, len);
	memset(m, 0xa5, sizeof *m); /* whatever was there before must not shine through */
	return dns_parse(str_n(copy, len), tcp, m);
}
#define PARSE(m, tcp, ...)                                                                         \
	parse_copy(m, tcp, (const uint8_t[]){ __VA_ARGS__ },                                       \
		   sizeof((const uint8_t[]){ __VA_ARGS__ }))

static Flow__Layer7 *l7_of(const struct dns_message *m, Flow__Flow **ret_flow)
{
	AUTO_BUF struct buf b = buf_init(1 << 20);
	dns_put_l7(&b, m);
	assert_false(b.failed);
	*ret_flow = flow__flow__unpack(NULL, b.len, (const uint8_t *)b.p);
	assert_non_null(*ret_flow);
	assert_non_null((*ret_flow)->l7);
	assert_int_equal((*ret_flow)->l7->record_case, FLOW__LAYER7__RECORD_DNS);
	return (*ret_flow)->l7;
}

static void a_query_has_a_name_and_a_type_and_nothing_else(void **state)
{
	(void)state;
	static struct dns_message m;
	assert_true(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), QUESTION(AAAA)));
	assert_false(m.response);
	assert_false(m.truncated);
	assert_string_equal(m.query, "www.example.");
	assert_int_equal(m.qtype_count, 1);
	assert_int_equal(m.qtypes[0], AAAA);
	assert_int_equal(m.rrtype_count, 0);
	assert_int_equal(m.answer_count, 0);
	assert_int_equal(m.cname_count, 0);

	Flow__Flow *f;
	Flow__Layer7 *l7 = l7_of(&m, &f);
	assert_int_equal(l7->type, FLOW__L7_FLOW_TYPE__REQUEST);
	assert_int_equal(l7->latency_ns, 0);
	assert_string_equal(l7->dns->query, "www.example.");
	assert_string_equal(l7->dns->observation_source, "");
	assert_int_equal(l7->dns->n_qtypes, 1);
	assert_string_equal(l7->dns->qtypes[0], "AAAA");
	assert_int_equal(l7->dns->n_ips + l7->dns->n_cnames + l7->dns->n_rrtypes, 0);
	assert_int_equal(l7->dns->ttl, 0);
	assert_int_equal(l7->dns->rcode, 0);
	flow__flow__free_unpacked(f, NULL);
}

static void a_query_that_brings_answers_is_still_a_query(void **state)
{
	(void)state;
	static struct dns_message m;
	/* RFC 6762 §7.1: known answers */
	assert_true(PARSE(&m, false, HEADER(0, 1, 1, 0, 0), QUESTION(A), RECORD(12, A, 60, 4), 192,
			  0, 2, 1));
	Flow__Flow *f;
	Flow__Layer7 *l7 = l7_of(&m, &f);
	assert_int_equal(l7->type, FLOW__L7_FLOW_TYPE__REQUEST);
	assert_int_equal(l7->dns->n_qtypes, 1);
	assert_int_equal(l7->dns->n_ips + l7->dns->n_rrtypes, 0);
	assert_int_equal(l7->dns->ttl, 0);
	flow__flow__free_unpacked(f, NULL);
}

static void answers_give_addresses_names_types_and_the_smallest_ttl(void **state)
{
	(void)state;
	static struct dns_message m;
	static const uint8_t v4[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 };
	static const uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 5 };
	/* www.example. CNAME cdn.example.; cdn.example. A 192.0.2.1, AAAA 2001:db8::5. The CNAME's
	 * data lies at 41. */
	assert_true(PARSE(&m, false, HEADER(ANSWER, 1, 3, 0, 0), QUESTION(A),
			  RECORD(12, CNAME, 300, 6), 3, 'c', 'd', 'n', 0xc0, 16,
			  RECORD(41, A, 60, 4), 192, 0, 2, 1, RECORD(41, AAAA, 600, 16), 0x20, 1,
			  0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5));
	assert_true(m.response);
	assert_false(m.truncated);
	assert_int_equal(m.rcode, 0);
	assert_int_equal(m.rrtype_count, 3);
	assert_int_equal(m.answer_count, 2);
	assert_memory_equal(m.answers[0].ip, v4, 16);
	assert_int_equal(m.answers[0].ttl_s, 60);
	assert_memory_equal(m.answers[1].ip, v6, 16);
	assert_int_equal(m.answers[1].ttl_s, 600);
	assert_int_equal(m.cname_count, 1);
	char name[DNS_TEXT_BYTES];
	dns_cname(&m, 0, name);
	assert_string_equal(name, "cdn.example.");
	assert_int_equal(m.ttl_s, 60);

	Flow__Flow *f;
	Flow__Layer7 *l7 = l7_of(&m, &f);
	assert_int_equal(l7->type, FLOW__L7_FLOW_TYPE__RESPONSE);
	assert_int_equal(l7->dns->n_ips, 2);
	assert_string_equal(l7->dns->ips[0], "192.0.2.1");
	assert_string_equal(l7->dns->ips[1], "2001:db8::5");
	assert_int_equal(l7->dns->ttl, 60);
	assert_int_equal(l7->dns->n_cnames, 1);
	assert_string_equal(l7->dns->cnames[0], "cdn.example.");
	assert_int_equal(l7->dns->n_rrtypes, 3);
	assert_string_equal(l7->dns->rrtypes[0], "CNAME");
	assert_string_equal(l7->dns->rrtypes[1], "A");
	assert_string_equal(l7->dns->rrtypes[2], "AAAA");
	flow__flow__free_unpacked(f, NULL);
}

static void a_name_error_has_a_code_and_no_answers(void **state)
{
	(void)state;
	static struct dns_message m;
	/* the SOA of a negative answer (RFC 2308) stands in the authority section: not an answer */
	assert_true(PARSE(&m, false, HEADER(NAME_ERROR, 1, 0, 1, 0), QUESTION(A),
			  RECORD(12, SOA, 900, 2), 0, 0));
	assert_int_equal(m.rcode, 3);
	assert_int_equal(m.rrtype_count, 0);
	assert_int_equal(m.ttl_s, 0);
	assert_false(m.truncated);

	Flow__Flow *f;
	assert_int_equal(l7_of(&m, &f)->dns->rcode, 3);
	flow__flow__free_unpacked(f, NULL);
}

static void opt_extends_the_return_code(void **state)
{
	(void)state;
	static struct dns_message m;
	/* RFC 6891 §6.1.3 and §9: BADVERS is 16, upper bits in OPT's TTL */
	assert_true(PARSE(&m, false, HEADER(ANSWER, 1, 0, 0, 1), QUESTION(A), 0, 0, OPT, 0x10, 0, 1,
			  0, 0, 0, 0, 0));
	assert_int_equal(m.rcode, 16);
	assert_int_equal(m.rrtype_count, 0);
	assert_int_equal(m.ttl_s, 0);
}

static void over_tcp_a_length_comes_first(void **state)
{
	(void)state;
	static struct dns_message m;
	/* a pointer still counts from the header, not from the length; what follows is another
	 * message */
	assert_true(PARSE(&m, true, 0, 45, HEADER(ANSWER, 1, 1, 0, 0), QUESTION(A),
			  RECORD(12, A, 60, 4), 192, 0, 2, 1, 0, 29, HEADER(ANSWER, 1, 0, 0, 0)));
	assert_string_equal(m.query, "www.example.");
	assert_int_equal(m.answer_count, 1);
	assert_false(m.truncated);
	/* longer than the segment */
	assert_true(PARSE(&m, true, 1, 0, HEADER(QUERY, 1, 0, 0, 0), QUESTION(A)));
	assert_true(m.truncated);
	/* no message is that short */
	assert_false(PARSE(&m, true, 0, 11, HEADER(QUERY, 1, 0, 0, 0), QUESTION(A)));
	assert_false(PARSE(&m, true, 0));
}

static void what_is_cut_off_is_not_there(void **state)
{
	(void)state;
	static struct dns_message m;
	static const uint8_t whole[] = { HEADER(ANSWER, 1, 2, 0, 0),
					 QUESTION(A),
					 RECORD(12, A, 60, 4),
					 192,
					 0,
					 2,
					 1,
					 RECORD(12, A, 50, 4),
					 192,
					 0,
					 2,
					 2 };
	enum { NAME_END = 12 + 13, QUESTION_END = NAME_END + 4, FIRST_END = QUESTION_END + 16 };
	for (size_t len = 0; len <= sizeof whole; len++) {
		bool ok = parse_copy(&m, false, whole, len);
		assert_int_equal(ok, len >= NAME_END);
		if (!ok)
			continue;
		assert_string_equal(m.query, "www.example.");
		assert_int_equal(m.truncated, len < sizeof whole);
		assert_int_equal(m.cut, len < sizeof whole);
		assert_int_equal(m.qtype_count, len >= NAME_END + 2);
		assert_int_equal(m.answer_count, (len >= FIRST_END) + (len == sizeof whole));
		assert_int_equal(m.rrtype_count, m.answer_count);
		assert_int_equal(m.ttl_s, len == sizeof whole ? 50 : len >= FIRST_END ? 60 : 0);
	}
	assert_true(PARSE(&m, false, HEADER(ANSWER | TRUNCATED, 1, 0, 0, 0), QUESTION(A)));
	assert_true(m.truncated);
	assert_false(m.cut); /* it was sent like that */
}

static void only_standard_messages_with_one_question_are_taken(void **state)
{
	(void)state;
	static struct dns_message m;
	assert_false(PARSE(&m, false, HEADER(QUERY, 0, 0, 0, 0), QUESTION(A)));
	assert_false(PARSE(&m, false, HEADER(QUERY, 2, 0, 0, 0), QUESTION(A), QUESTION(AAAA)));
	/* opcode 5, UPDATE (RFC 2136): its "question" is a zone; a reserved bit */
	assert_false(PARSE(&m, false, HEADER(5 << 11, 1, 0, 0, 0), QUESTION(A)));
	assert_false(PARSE(&m, false, HEADER(1 << 6, 1, 0, 0, 0), QUESTION(A)));
	assert_false(PARSE(&m, false, 'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1',
			   '.', '1', '\r', '\n'));
}

static void pointers_lead_backwards_or_nowhere(void **state)
{
	(void)state;
	static struct dns_message m;
	/* a question that points at itself, ahead, and two labels that point at each other */
	assert_false(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 0xc0, 12, 0, A, 0, 1));
	assert_false(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 0xc0, 18, 0, A, 0, 1, 1, 'a', 0));
	assert_false(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 1, 'a', 0xc0, 12, 0, A, 0, 1));
	assert_false(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 0xc0));
	/* reserved label types, RFC 1035 §4.1.4 */
	assert_false(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 0x41, 'a', 0, 0, A, 0, 1));
	assert_false(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 0x80, 12, 0, A, 0, 1));
	/* so is 0x40 with all 64 bytes that a length would ask for */
	uint8_t long_label[12 + 1 + 64 + 1 + 4] = { HEADER(QUERY, 1, 0, 0, 0), 64 };
	memset(long_label + 13, 'a', 64);
	assert_false(parse_copy(&m, false, long_label, sizeof long_label));
	/* an answer with a bad name ends the reading, and keeps what was read */
	assert_true(PARSE(&m, false, HEADER(ANSWER, 1, 2, 0, 0), QUESTION(A), RECORD(12, A, 60, 4),
			  192, 0, 2, 1, RECORD(60, A, 60, 4), 192, 0, 2, 2));
	assert_int_equal(m.answer_count, 1);
	assert_true(m.truncated);
}

static void names_are_written_as_zone_files_have_them(void **state)
{
	(void)state;
	static struct dns_message m;
	/* RFC 1035 §5.1: \X for a special character, \DDD for any byte */
	assert_true(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 7, 'a', '.', 'B', 0, 0xff, '\\',
			  '_', 0, 0, A, 0, 1));
	assert_string_equal(m.query, "a\\.B\\000\\255\\\\_.");
	assert_true(PARSE(&m, false, HEADER(QUERY, 1, 0, 0, 0), 0, 0, A, 0, 1));
	assert_string_equal(m.query, ".");
}

/* @label bytes each of value @fill; the name ends with a root. @return its bytes. */
static size_t long_name(uint8_t *out, const uint8_t *labels, size_t n, uint8_t fill)
{
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		out[at++] = labels[i];
		memset(out + at, fill, labels[i]);
		at += labels[i];
	}
	out[at++] = 0;
	return at;
}

static void the_longest_name_fits_and_a_longer_one_is_refused(void **state)
{
	(void)state;
	static struct dns_message m;
	uint8_t msg[400] = { HEADER(QUERY, 1, 0, 0, 0) };
	/* 4 + 63 * 3 + 61 + 1 = 255 */
	size_t n = long_name(msg + 12, (const uint8_t[]){ 63, 63, 63, 61 }, 4, 1);
	assert_int_equal(n, 255);
	assert_true(parse_copy(&m, false, msg, 12 + n + 4));
	assert_int_equal(strlen(m.query), DNS_TEXT_BYTES - 1);

	n = long_name(msg + 12, (const uint8_t[]){ 63, 63, 63, 62 }, 4, 1);
	assert_false(parse_copy(&m, false, msg, 12 + n + 4));

	/* most labels: 127 of one byte are 255 bytes too */
	uint8_t ones[128];
	memset(ones, 1, sizeof ones);
	n = long_name(msg + 12, ones, 127, 'x');
	assert_int_equal(n, 255);
	assert_true(parse_copy(&m, false, msg, 12 + n + 4));
	n = long_name(msg + 12, ones, 128, 'x');
	assert_false(parse_copy(&m, false, msg, 12 + n + 4));
}

/* Up to the most records that are read, and one more. */
static void all_answers_are_told_up_to_the_limit(void **state)
{
	(void)state;
	static struct dns_message m;
	static const uint8_t a[] = { RECORD(12, A, 60, 4), 192, 0, 2, 0 };
	static const int counts[] = { 64, 65, DNS_RECORDS, DNS_RECORDS + 1 };

	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		uint8_t msg[4096] = { HEADER(ANSWER, 1, counts[k], 0, 0), QUESTION(A) };
		size_t at = sizeof((const uint8_t[]){ HEADER(ANSWER, 1, 0, 0, 0), QUESTION(A) });
		size_t told = counts[k] > DNS_RECORDS ? DNS_RECORDS : (size_t)counts[k];
		for (int i = 0; i < counts[k]; i++, at += sizeof a) {
			memcpy(msg + at, a, sizeof a);
			msg[at + sizeof a - 1] = (uint8_t)i;
		}
		assert_true(parse_copy(&m, false, msg, at));
		assert_int_equal(m.answer_count, told);
		assert_int_equal(m.rrtype_count, told);
		assert_int_equal(m.cut, counts[k] > DNS_RECORDS);
		assert_int_equal(m.truncated, counts[k] > DNS_RECORDS);
		for (size_t i = 0; i < told; i++)
			assert_int_equal(m.answers[i].ip[15], i);
	}
}

static void however_long_a_chain_of_names_is_it_is_told_whole(void **state)
{
	(void)state;
	static struct dns_message m;
	static const int counts[] = { 8, 9, 100 };

	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		uint8_t msg[4096] = { HEADER(ANSWER, 1, counts[k], 0, 0), QUESTION(CNAME) };
		size_t at = sizeof((const uint8_t[]){ HEADER(ANSWER, 1, 0, 0, 0), QUESTION(A) });
		for (int i = 0; i < counts[k]; i++) {
			const uint8_t c[] = {
				RECORD(12, CNAME, 60, 5), 2,    (uint8_t)('a' + i / 26),
				(uint8_t)('a' + i % 26),  0xc0, 12
			};
			memcpy(msg + at, c, sizeof c);
			at += sizeof c;
		}
		assert_true(parse_copy(&m, false, msg, at));
		assert_false(m.cut);
		Flow__Flow *f;
		Flow__Layer7 *l7 = l7_of(&m, &f);
		assert_int_equal(l7->dns->n_cnames, counts[k]);
		for (int i = 0; i < counts[k]; i++) {
			char want[32];
			(void)snprintf(want, sizeof want, "%c%c.www.example.", 'a' + i / 26,
				       'a' + i % 26);
			assert_string_equal(l7->dns->cnames[i], want);
		}
		flow__flow__free_unpacked(f, NULL);
	}
}

static void addresses_of_a_wrong_size_or_class_are_no_addresses(void **state)
{
	(void)state;
	static struct dns_message m;
	assert_true(PARSE(&m, false, HEADER(ANSWER, 1, 2, 0, 0), QUESTION(A), RECORD(12, A, 60, 3),
			  192, 0, 2, RECORD(12, AAAA, 60, 4), 192, 0, 2, 2));
	assert_int_equal(m.answer_count, 0);
	assert_int_equal(m.rrtype_count, 2);
	/* class CHAOS (3); and IN with the cache-flush bit of RFC 6762 §10.2 */
	assert_true(PARSE(&m, false, HEADER(ANSWER, 1, 2, 0, 0), QUESTION(A), 0xc0, 12, 0, A, 0, 3,
			  0, 0, 0, 60, 0, 4, 1, 2, 3, 4, 0xc0, 12, 0, A, 0x80, 1, 0, 0, 0, 60, 0, 4,
			  5, 6, 7, 8));
	assert_int_equal(m.answer_count, 1);
	assert_int_equal(m.answers[0].ip[12], 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_has_a_name_and_a_type_and_nothing_else),
		cmocka_unit_test(a_query_that_brings_answers_is_still_a_query),
		cmocka_unit_test(answers_give_addresses_names_types_and_the_smallest_ttl),
		cmocka_unit_test(a_name_error_has_a_code_and_no_answers),
		cmocka_unit_test(opt_extends_the_return_code),
		cmocka_unit_test(over_tcp_a_length_comes_first),
		cmocka_unit_test(what_is_cut_off_is_not_there),
		cmocka_unit_test(only_standard_messages_with_one_question_are_taken),
		cmocka_unit_test(pointers_lead_backwards_or_nowhere),
		cmocka_unit_test(names_are_written_as_zone_files_have_them),
		cmocka_unit_test(the_longest_name_fits_and_a_longer_one_is_refused),
		cmocka_unit_test(all_answers_are_told_up_to_the_limit),
		cmocka_unit_test(however_long_a_chain_of_names_is_it_is_told_whole),
		cmocka_unit_test(addresses_of_a_wrong_size_or_class_are_no_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
