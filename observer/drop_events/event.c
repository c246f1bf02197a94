#include "observer/drop_events/event.h"

#include <ctype.h>
#include <jansson.h>

enum { NUMBER_BYTES = 17, TIME_BYTES = 40 }; /* ".17f3a5b2c4d60e81" */

void drop_event_name_put(struct buf *to, const struct drop_note *n)
{
	struct str pod = str_upto(n->what.pod, DROP_EVENT_NAME_MAX - NUMBER_BYTES);

	/* each part between dots begins and ends with a letter or digit */
	while (pod.len && !isalnum((unsigned char)pod.p[pod.len - 1]))
		pod.len--;
	buf_str_put(to, pod);
	buf_printf(to, ".%016llx", (unsigned long long)n->number);
}

/* Whole seconds, as metav1.Time has it. */
static const char *time_text(struct wall_ns when, char text[TIME_BYTES])
{
	struct timestamp t = timestamp_of(when);
	struct buf b = buf_fixed(text, TIME_BYTES - 1);

	t.ns = 0;
	timestamp_put(&b, t);
	text[b.len] = 0;
	return text;
}

static json_int_t count_of(const struct drop_note *n)
{
	return n->count < INT32_MAX ? (json_int_t)n->count : INT32_MAX; /* the field's type */
}

static void put_json(struct buf *to, json_t *v)
{
	char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;

	if (text)
		buf_str_put(to, str_of(text));
	else
		to->failed = true;
	free(text);
	json_decref(v);
}

static json_t *text_of(struct str s)
{
	return json_stringn(s.p, s.len);
}

void drop_event_put(struct buf *to, const struct drop_note *n, const char *node)
{
	char name[DROP_EVENT_NAME_MAX + 1], first[TIME_BYTES], last[TIME_BYTES];
	struct buf b = buf_fixed(name, sizeof name);
	struct str instance = utf8_upto(str_of(node), DROP_EVENT_INSTANCE_MAX);

	drop_event_name_put(&b, n);
	json_t *about =
		json_pack("{s:s,s:s,s:o,s:o}", "kind", "Pod", "apiVersion", "v1", "namespace",
			  text_of(n->what.namespace_), "name", text_of(n->what.pod));
	if (about && n->what.uid.len)
		(void)json_object_set_new(about, "uid", text_of(n->what.uid));
	put_json(to,
		 json_pack("{s:s,s:s,s:{s:o,s:o},s:o,s:s,s:s,s:o,s:{s:s,s:s},s:s,s:s,s:I,s:s,s:o}",
			   "apiVersion", "v1", "kind", "Event", "metadata", "name",
			   text_of(buf_str(&b)), "namespace", text_of(n->what.namespace_),
			   "involvedObject", about, "type", "Warning", "reason", "PacketDrop",
			   "message", text_of(n->what.message), "source", "component", "tycho",
			   "host", node, "firstTimestamp", time_text(n->first, first),
			   "lastTimestamp", time_text(n->last, last), "count", count_of(n),
			   "reportingComponent", "tycho", "reportingInstance", text_of(instance)));
}

void drop_event_patch_put(struct buf *to, const struct drop_note *n)
{
	char last[TIME_BYTES];

	put_json(to, json_pack("{s:I,s:s}", "count", count_of(n), "lastTimestamp",
			       time_text(n->last, last)));
}
