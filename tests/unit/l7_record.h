/*
 * l7_record - L7 records of Cilium's agent, for tests: gob, as Go's encoder writes it.
 *
 * Source   reference/cilium-events.md 5.1, 5.2; only the fields that the tests use.
 */
#ifndef TYCHO_TESTS_L7_RECORD_H
#define TYCHO_TESTS_L7_RECORD_H

#include "monitor_stream.h"
#include "observer/cilium/cilium.h"

enum { TEXT = 6, BYTES = 5, NUMBER = 3 }; /* built in */
enum { RECORD = 64, ENDPOINT, LABELS, LABEL, HTTP, HEADERS, TEXTS, DNS, IPS, GENERIC, FIELDS };

struct field {
	const char *name;
	int type;
};

static inline void put_int(struct buf *b, int v)
{
	monitor_put_uint(b, v < 0 ? ~((uint64_t)(int64_t)v << 1) : (uint64_t)v << 1);
}

static inline void put_text(struct buf *b, struct str s)
{
	monitor_put_uint(b, s.len);
	buf_str_put(b, s);
}

static inline void put_message(struct buf *b, struct buf *body)
{
	b->failed |= body->failed;
	put_text(b, buf_str(body));
	buf_done(body);
}

/* The start of the definition of @id: which kind, and the part that all have. */
static inline struct buf definition(int id, char kind)
{
	struct buf body = buf_init(1 << 12);

	put_int(&body, -id);
	buf_char(&body, kind);
	buf_put(&body, "\1\2", 2);
	put_int(&body, id);
	buf_char(&body, 0);
	return body;
}

static inline void define_struct(struct buf *b, int id, const struct field *fields)
{
	struct buf body = definition(id, 3);
	size_t n = 0;

	while (fields[n].name)
		n++;
	buf_char(&body, 1);
	monitor_put_uint(&body, n);
	for (size_t i = 0; i < n; i++) {
		buf_char(&body, 1);
		put_text(&body, str_of(fields[i].name));
		buf_char(&body, 1);
		put_int(&body, fields[i].type);
		buf_char(&body, 0);
	}
	buf_put(&body, "\0\0", 2);
	put_message(b, &body);
}

static inline void define_list(struct buf *b, int id, int key, int elem)
{
	struct buf body = definition(id, key ? 4 : 2);

	if (key) {
		buf_char(&body, 1);
		put_int(&body, key);
	}
	buf_char(&body, 1);
	put_int(&body, elem);
	buf_put(&body, "\0\0", 2);
	put_message(b, &body);
}

/* One record: its type, its time, and @members, which follow field 2 (the time) of the struct
 * { Type, Timestamp, SourceEndpoint, HTTP, DNS, L7 } up to its end. */
static inline void put_record(struct buf *b, const char *type, struct str members)
{
	struct buf body = buf_init(8 << 20);

	buf_char(b, (char)CILIUM_ACCESS_LOG);
	define_struct(b, RECORD,
		      (const struct field[]){ { "Type", TEXT },
					      { "Timestamp", TEXT },
					      { "SourceEndpoint", ENDPOINT },
					      { "HTTP", HTTP },
					      { "DNS", DNS },
					      { "L7", GENERIC },
					      { 0 } });
	define_struct(
		b, ENDPOINT,
		(const struct field[]){ { "Identity", NUMBER }, { "Labels", LABELS }, { 0 } });
	define_list(b, LABELS, 0, LABEL);
	define_struct(b, LABEL,
		      (const struct field[]){
			      { "Key", TEXT }, { "Value", TEXT }, { "Source", TEXT }, { 0 } });
	define_struct(b, HTTP,
		      (const struct field[]){ { "URL", BYTES }, { "Headers", HEADERS }, { 0 } });
	define_list(b, HEADERS, TEXT, TEXTS);
	define_list(b, TEXTS, 0, TEXT);
	define_struct(b, DNS, (const struct field[]){ { "Query", TEXT }, { "IPs", IPS }, { 0 } });
	define_list(b, IPS, 0, BYTES);
	define_struct(b, GENERIC,
		      (const struct field[]){ { "Proto", TEXT }, { "Fields", FIELDS }, { 0 } });
	define_list(b, FIELDS, TEXT, TEXT);
	put_int(&body, RECORD);
	buf_char(&body, 1);
	put_text(&body, str_of(type));
	buf_char(&body, 1);
	put_text(&body, STR("2026-01-20T10:00:00Z"));
	buf_str_put(&body, members);
	put_message(b, &body);
}

#endif
