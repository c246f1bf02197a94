/* Any names and labels in flows, as policies that allow them: what is written is read back as just what
 * was meant, by both kinds, as YAML and as JSON; it allows the flows behind it, and nobody is warned of it.
 *
 * A text of lines. "e", then namespace, pod, workload and labels with tabs between: an end. "f", then six
 * bytes (source, destination, port, what it is, how it went) and a DNS name: a flow between two of them. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/policy_suggest.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "policy/policy.h"
#include "policy/suggest.h"

enum { ENDS_MAX = 16, FLOWS_MAX = 64, LABELS_MAX = 16, DNS_MAX = 300, TEXT_MAX = 32 << 20 };
enum { DENIED_BY_DEFAULT = 133, FLOW_BYTES = 6 };

struct world {
	struct flow_dict *dict;
	struct endpoint_id ends[ENDS_MAX];
	size_t end_count;
	struct flow flows[FLOWS_MAX];
	struct buf names[FLOWS_MAX];
	size_t flow_count;
};

static void read_end(struct world *w, struct str line)
{
	struct str part[3 + LABELS_MAX] = { 0 };
	size_t n = 0;

	while (n < ARRAY_LEN(part) && line.len && str_split(&line, '\t', &part[n]))
		n++;
	struct workload workload = { part[2], STR("Deployment") };
	if (w->end_count == ENDS_MAX)
		return;
	w->ends[w->end_count++] = flow_dict_endpoint(
		w->dict,
		&(struct endpoint){ .namespace_ = str_n(part[0].p ? part[0].p : "", part[0].len),
				    .pod = str_n(part[1].p ? part[1].p : "", part[1].len),
				    .labels = part + 3,
				    .label_count = n > 3 ? n - 3 : 0,
				    .workloads = &workload,
				    .workload_count = part[2].len > 0 });
}

static void read_flow(struct world *w, struct str line)
{
	static const uint8_t protocols[] = { FLOW_L4_TCP, FLOW_L4_UDP, FLOW_L4_SCTP, FLOW_L4_ICMP4,
					     FLOW_L4_ICMP6 };
	const uint8_t *b = (const uint8_t *)line.p;

	if (line.len < FLOW_BYTES || w->flow_count == FLOWS_MAX || !w->end_count)
		return;
	struct flow *f = &w->flows[w->flow_count];
	struct buf *name = &w->names[w->flow_count++];
	*f = (struct flow){
		.bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_IP | FLOW_HAS_TIME |
			FLOW_HAS_NAMES | FLOW_HAS_EVENT_TYPE,
		.time = { (UINT64_C(1700000000) + w->flow_count) * NS_PER_S },
		.src_ep = w->ends[b[0] % w->end_count],
		.dst_ep = w->ends[b[1] % w->end_count],
		.l4 = protocols[b[4] % ARRAY_LEN(protocols)],
		.verdict = b[5] & 1   ? FLOW__VERDICT__DROPPED
			   : b[5] & 2 ? FLOW__VERDICT__AUDIT
				      : FLOW__VERDICT__FORWARDED,
		.event_type = b[5] & 4 ? 5 : 4,
		.is_reply = b[5] & 8    ? FLOW_REPLY_TRUE
			    : b[5] & 16 ? FLOW_REPLY_ABSENT
					: FLOW_REPLY_FALSE,
		.direction = b[5] & 32 ? FLOW__TRAFFIC_DIRECTION__EGRESS
				       : FLOW__TRAFFIC_DIRECTION__INGRESS,
	};
	if (f->l4 == FLOW_L4_ICMP4 || f->l4 == FLOW_L4_ICMP6) {
		f->icmp_type = b[3];
	} else {
		f->src_port = 40000;
		f->dst_port = (uint16_t)(b[2] << 8 | b[3]);
	}
	f->drop_desc = b[5] & 1 ? DENIED_BY_DEFAULT : 0;
	ip_from_v4(f->src_ip, (const uint8_t[]){ 10, b[0], 0, b[4] });
	ip_from_v4(f->dst_ip, (const uint8_t[]){ 10, b[1], 0, b[4] });
	*name = buf_init(DNS_MAX + 16);
	line = str_from(line, FLOW_BYTES);
	if (line.len && line.len <= DNS_MAX)
		wire_put_str(name, FLOW_FIELD_DESTINATION_NAMES, line);
	f->ext = (const uint8_t *)name->p;
	f->ext_len = (uint32_t)name->len;
}

/* Comments are no part of an object: what is read has none. */
static void strip(json_t *value)
{
	json_t *one;
	const char *key;
	void *next;
	size_t i;

	json_array_foreach(value, i, one) strip(one);
	(void)json_object_del(value, SUGGEST_COMMENT);
	json_object_foreach_safe(value, next, key, one) strip(one);
}

static void is_read_as(const char *what, struct str text, const json_t *wanted)
{
	json_t *read = NULL;
	struct err e = { 0 };

	if (policy_yaml(text, &read, &e) != ERR_OK || !json_equal(read, wanted)) {
		(void)fprintf(stderr, "%s: %s\n%.*s\n", what, e.msg, STR_FMT(text));
		abort();
	}
	json_decref(read);
}

static void check_text(const struct suggest *s, const char *what, struct str text)
{
	struct err e = { 0 };

	if (suggest_check(s, text, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s: %s\n%.*s\n", what, e.msg, STR_FMT(text));
		abort();
	}
}

static void write_and_read(const struct suggest *s, json_t *policies)
{
	AUTO_BUF struct buf yaml = buf_init(TEXT_MAX);
	AUTO_BUF struct buf json = buf_init(TEXT_MAX);
	json_t *one;
	size_t i;

	json_array_foreach(policies, i, one) suggest_put_yaml(&yaml, one);
	suggest_put_json(&json, policies);
	if (yaml.failed || json.failed)
		abort();
	check_text(s, "YAML", buf_str(&yaml));
	check_text(s, "JSON", buf_str(&json));
	strip(policies);
	is_read_as("YAML", buf_str(&yaml), policies);
	json_t *list = json_pack("[{s:s, s:s, s:O}]", "apiVersion", "v1", "kind", "List", "items",
				 policies);
	is_read_as("JSON", buf_str(&json), list);
	json_decref(list);
}

static void suggest(const struct world *w, enum suggest_kind kind, uint8_t how)
{
	const struct suggest_config config = {
		.kind = kind,
		.with_denied = how & 1,
		.ingress = !(how & 2),
		.egress = !(how & 4) || (how & 2),
		.bits4 = how & 8 ? 24 : 32,
		.bits6 = 128,
	};
	AUTO(suggest_free) struct suggest *s = NULL;
	struct suggest_counts counts;
	json_t *policies = NULL;
	struct err e = { 0 };

	if (suggest_new(&config, w->dict, &s, &e) != ERR_OK)
		abort();
	for (size_t i = 0; i < w->flow_count; i++)
		if (suggest_flow(s, &w->flows[i], !(how & 16), true, &e) != ERR_OK)
			abort();
	enum err_code code = suggest_policies(s, &policies, &counts, &e);
	if (code == ERR_OK)
		write_and_read(s, policies);
	else if (code != ERR_NOT_FOUND)
		abort();
	json_decref(policies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof *w);
	struct str rest = str_n(data, size), line;

	if (!w || flow_dict_new(ENDS_MAX, &w->dict, NULL) != ERR_OK)
		abort();
	while (rest.len && str_split(&rest, '\n', &line)) {
		if (line.len && line.p[0] == 'e')
			read_end(w, str_from(line, 1));
		else if (line.len && line.p[0] == 'f')
			read_flow(w, str_from(line, 1));
	}
	suggest(w, SUGGEST_KUBERNETES, size ? data[size - 1] : 0);
	suggest(w, SUGGEST_CILIUM, size ? data[size - 1] : 0);
	for (size_t i = 0; i < w->flow_count; i++)
		buf_done(&w->names[i]);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}
