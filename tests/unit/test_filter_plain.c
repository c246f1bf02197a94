/* A property of filter/filter.h: random filters select of random flows, made and whole, what a plain
 * reading of the reference's table (hubble-api.md, section 4) selects of protobuf-c's messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "filter_random.h"
#include "filter_short.h"

/* --- the table, read plainly ------------------------------------------------------------------ */

static bool has_text(char **list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}
#define ASKED_TEXT(field, text) (!ff->n_##field || has_text(ff->field, ff->n_##field, (text)))
#define ASKED_NUMBER(field, number)                                                                \
	({                                                                                         \
		bool asked_ = !ff->n_##field;                                                      \
		for (size_t i_ = 0; i_ < ff->n_##field; i_++)                                      \
			asked_ = asked_ || ff->field[i_] == (number);                              \
		asked_;                                                                            \
	})

static bool plain_path(char **list, size_t n, const char *namespace_, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		const char *slash = strchr(list[i], '/'), *prefix = slash ? slash + 1 : list[i];
		size_t length = strcspn(prefix, "/");
		struct str want =
			slash ? str_n(list[i], (size_t)(slash - list[i])) : STR("default");

		if ((*namespace_ || *name) && (!want.len || str_is(want, namespace_)) &&
		    strncmp(name, prefix, length) == 0)
			return true;
	}
	return n == 0;
}

static bool plain_workload(Flow__Workload **asked, size_t n, const Flow__Endpoint *ep)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; ep && k < ep->n_workloads; k++)
			if ((!*asked[i]->name ||
			     strcmp(asked[i]->name, ep->workloads[k]->name) == 0) &&
			    (!*asked[i]->kind ||
			     strcmp(asked[i]->kind, ep->workloads[k]->kind) == 0))
				return true;
	return n == 0;
}

static bool plain_port(char **asked, size_t n, const Flow__Layer4 *l4, bool source)
{
	uint32_t port = 0;
	bool has = true;

	if (l4 && l4->protocol_case == FLOW__LAYER4__PROTOCOL_TCP)
		port = source ? l4->tcp->source_port : l4->tcp->destination_port;
	else if (l4 && l4->protocol_case == FLOW__LAYER4__PROTOCOL_UDP)
		port = source ? l4->udp->source_port : l4->udp->destination_port;
	else if (l4 && l4->protocol_case == FLOW__LAYER4__PROTOCOL_SCTP)
		port = source ? l4->sctp->source_port : l4->sctp->destination_port;
	else
		has = false;
	for (size_t i = 0; i < n; i++)
		if (has && (uint32_t)atoi(asked[i]) == port)
			return true;
	return n == 0;
}

static bool plain_protocol(char **asked, size_t n, const Flow__Flow *m)
{
	static const char *const names[] = { "",       "tcp",  "udp",  "icmpv4",
					     "icmpv6", "sctp", "vrrp", "igmp" };
	unsigned l4 = m->l4 ? (unsigned)m->l4->protocol_case : 0;

	for (size_t i = 0; i < n; i++)
		if ((l4 && strcmp(asked[i], names[l4]) == 0) ||
		    (strcmp(asked[i], "icmp") == 0 &&
		     (l4 == FLOW_L4_ICMP4 || l4 == FLOW_L4_ICMP6)) ||
		    (strcmp(asked[i], "dns") == 0 && m->l7 &&
		     m->l7->record_case == FLOW__LAYER7__RECORD_DNS))
			return true;
	return n == 0;
}

static bool plain_dns(char **asked, size_t n, const Flow__Flow *m)
{
	for (size_t i = 0; i < n; i++)
		if (m->l7 && m->l7->record_case == FLOW__LAYER7__RECORD_DNS &&
		    strstr(m->l7->dns->query, asked[i]))
			return true;
	return n == 0;
}

static bool plain_names(char **asked, size_t n, char *const *names, size_t names_count)
{
	for (size_t i = 0; i < names_count; i++)
		if (has_text(asked, n, names[i]))
			return true;
	return n == 0;
}

static bool plain_reply(const Flow__FlowFilter *ff, const Flow__Flow *m)
{
	bool reply = m->is_reply && m->is_reply->value;

	if (ff->n_reply && !m->is_reply && m->verdict != FLOW__VERDICT__DROPPED)
		return false;
	return ASKED_NUMBER(reply, reply);
}

static bool plain_event_type(const Flow__FlowFilter *ff, const Flow__Flow *m)
{
	for (size_t i = 0; i < ff->n_event_type; i++) {
		const Flow__EventTypeFilter *asked = ff->event_type[i];

		if (m->event_type && (!asked->type || asked->type == m->event_type->type) &&
		    (!asked->match_sub_type || asked->sub_type == m->event_type->sub_type))
			return true;
	}
	return !ff->n_event_type;
}

static bool plain_match(const Flow__FlowFilter *ff, const Flow__Flow *m)
{
	const Flow__Endpoint *src = m->source, *dst = m->destination;
	const Flow__IP *ip = m->ip;
	bool drop_asked =
		!ff->n_drop_reason_desc || (m->verdict == FLOW__VERDICT__DROPPED &&
					    ASKED_NUMBER(drop_reason_desc, m->drop_reason_desc));

	return ASKED_TEXT(uuid, m->uuid) && ASKED_TEXT(source_ip, ip ? ip->source : "") &&
	       ASKED_TEXT(source_ip_xlated, ip ? ip->source_xlated : "") &&
	       ASKED_TEXT(destination_ip, ip ? ip->destination : "") &&
	       ASKED_TEXT(source_cluster_name, src ? src->cluster_name : "") &&
	       ASKED_TEXT(destination_cluster_name, dst ? dst->cluster_name : "") &&
	       ASKED_TEXT(trace_id, m->trace_context && m->trace_context->parent
					    ? m->trace_context->parent->trace_id
					    : "") &&
	       ASKED_NUMBER(verdict, m->verdict) &&
	       ASKED_NUMBER(traffic_direction, m->traffic_direction) &&
	       ASKED_NUMBER(ip_version, ip ? ip->ipversion : 0) &&
	       ASKED_NUMBER(encrypted, ip && ip->encrypted) &&
	       ASKED_NUMBER(ip_trace_id, m->ip_trace_id ? m->ip_trace_id->trace_id : 0) &&
	       drop_asked &&
	       (!ff->n_source_identity || (src && ASKED_NUMBER(source_identity, src->identity))) &&
	       (!ff->n_destination_identity ||
		(dst && ASKED_NUMBER(destination_identity, dst->identity))) &&
	       plain_path(ff->source_pod, ff->n_source_pod, src ? src->namespace_ : "",
			  src ? src->pod_name : "") &&
	       plain_path(ff->destination_service, ff->n_destination_service,
			  m->destination_service ? m->destination_service->namespace_ : "",
			  m->destination_service ? m->destination_service->name : "") &&
	       plain_workload(ff->source_workload, ff->n_source_workload, src) &&
	       plain_port(ff->source_port, ff->n_source_port, m->l4, true) &&
	       plain_port(ff->destination_port, ff->n_destination_port, m->l4, false) &&
	       plain_protocol(ff->protocol, ff->n_protocol, m) &&
	       plain_dns(ff->dns_query, ff->n_dns_query, m) &&
	       plain_names(ff->destination_fqdn, ff->n_destination_fqdn, m->destination_names,
			   m->n_destination_names) &&
	       plain_reply(ff, m) && plain_event_type(ff, m);
}

static void made_and_whole_flows_match_as_a_plain_reading_of_their_messages_does(void **state)
{
	enum {
		FLOWS = 66,
		FILTERS = 16,
		ROUNDS = 300
	}; /* more than one block of flows; few enough for the pool */
	struct random r = random_of("test_filter", 1);
	size_t matched = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		AUTO(flow_dict_free) struct flow_dict *d = dict_of(4 * FLOWS);
		static struct flow made[FLOWS], whole[FLOWS];
		struct buf bytes[FLOWS];
		Flow__Flow *messages[FLOWS];

		pool_reset();
		for (size_t i = 0; i < FLOWS; i++) {
			bytes[i] = buf_init(1 << 20);
			made[i] = random_made(&r, d);
			make_consistent(&made[i]);
			flow_encode(&bytes[i], &made[i], d);
			messages[i] =
				flow__flow__unpack(NULL, bytes[i].len, (const uint8_t *)bytes[i].p);
			assert_non_null(messages[i]);
			assert_int_equal(flow_decode(buf_str(&bytes[i]), d, &whole[i], NULL),
					 ERR_OK);
		}
		for (size_t i = 0; i < FILTERS; i++) {
			Flow__FlowFilter *white = NEW(flow__flow_filter),
					 *black = NEW(flow__flow_filter);
			uint64_t bits[2][FLOWS / 64 + 1];

			for (size_t n = 1 + random_below(&r, 2); n-- > 0;)
				random_field(&r, white, messages[i]);
			random_field(&r, black, messages[random_below(&r, FLOWS)]);
			random_field(&r, black, messages[random_below(&r, FLOWS)]);
			AUTO(flow_filter_free) struct flow_filter *ff = filter_of(white, black, d);
			(void)flow_filter_match_n(ff, made, FLOWS, bits[0]);
			(void)flow_filter_match_n(ff, whole, FLOWS, bits[1]);
			for (size_t k = 0; k < FLOWS; k++) {
				bool want = plain_match(white, messages[k]) &&
					    !plain_match(black, messages[k]);

				matched += want;
				if (want && (!zone_may_match(ff, &made[k]) ||
					     !zone_may_match(ff, &whole[k])))
					fail_msg("round %d, filter %zu, flow %zu: its zone says no",
						 round, i, k);
				if (flow_filter_match(ff, &made[k]) != want ||
				    flow_filter_match(ff, &whole[k]) != want ||
				    (bits[0][k / 64] >> k % 64 & 1) != want ||
				    (bits[1][k / 64] >> k % 64 & 1) != want)
					fail_msg("round %d, filter %zu, flow %zu: expected %d",
						 round, i, k, want);
			}
		}
		for (size_t i = 0; i < FLOWS; i++) {
			flow__flow__free_unpacked(messages[i], NULL);
			buf_done(&bytes[i]);
		}
	}
	print_message("%zu matches\n", matched);
	assert_true(matched > 10000); /* of 316,800: neither filters nor flows are degenerate */
}

static int reset(void **state)
{
	(void)state;
	pool_reset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			made_and_whole_flows_match_as_a_plain_reading_of_their_messages_does,
			reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
