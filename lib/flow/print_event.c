/* Agent events and debug events: hubble-cli.md section 8. They are rare; protobuf-c may unpack
 * them. */
#include "flow/names.h"
#include "flow/print_in.h"

#include "observer/observer.pb-c.h"

static void put_event_time(const struct flow_printer *p, struct buf *b,
			   const Google__Protobuf__Timestamp *t)
{
	struct timestamp time =
		t ? (struct timestamp){ t->seconds, t->nanos } : (struct timestamp){ 0, 0 };

	print_time(p, b, t ? &time : NULL);
}

/* TIME[ [NODE]], the node between @before and @after. */
static void put_head(const struct flow_printer *p, struct buf *b,
		     const Google__Protobuf__Timestamp *t, const char *node, const char *before,
		     const char *after)
{
	put_event_time(p, b, t);
	if (!p->options.node_name)
		return;
	buf_str_put(b, str_of(before));
	buf_str_put(b, str_of(node));
	buf_str_put(b, str_of(after));
}

/* @label and the text, unless it is empty. */
static void put_if_set(struct buf *b, const char *label, const char *text)
{
	if (!text[0])
		return;
	buf_str_put(b, str_of(label));
	buf_str_put(b, str_of(text));
}

static void put_labels(struct buf *b, char *const *labels, size_t count)
{
	buf_lit(b, "labels: [");
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(b, ',');
		buf_str_put(b, str_of(labels[i]));
	}
	buf_char(b, ']');
}

/* --- agent events ------------------------------------------------------------------- */

static void put_ipcache(struct buf *b, const Flow__IPCacheNotification *n)
{
	buf_lit(b, "cidr: ");
	buf_str_put(b, str_of(n->cidr));
	buf_printf(b, ", identity: %u", n->identity);
	if (n->old_identity)
		buf_printf(b, ", old identity: %u", n->old_identity->value);
	put_if_set(b, ", host ip: ", n->host_ip);
	put_if_set(b, ", old host ip: ", n->old_host_ip);
	buf_printf(b, ", encrypt key: %u", n->encrypt_key);
}

static void put_endpoint_update(struct buf *b, const Flow__EndpointUpdateNotification *n)
{
	buf_lit(b, "id: ");
	buf_u64(b, n->id);
	put_if_set(b, ", namespace: ", n->namespace_);
	put_if_set(b, ", pod name: ", n->pod_name);
}

static void put_regenerate(struct buf *b, const Flow__EndpointRegenNotification *n)
{
	buf_lit(b, "id: ");
	buf_u64(b, n->id);
	buf_lit(b, ", ");
	put_labels(b, n->labels, n->n_labels);
	put_if_set(b, ", error: ", n->error);
}

static void put_policy_update(struct buf *b, const Flow__PolicyUpdateNotification *n)
{
	put_labels(b, n->labels, n->n_labels);
	buf_lit(b, ", revision: ");
	buf_u64(b, n->revision);
	buf_lit(b, ", count: ");
	buf_i64(b, n->rule_count);
}

/* Go's net.JoinHostPort. */
static void put_service_address(struct buf *b, const Flow__ServiceUpsertNotificationAddr *a)
{
	bool brackets = strchr(a->ip, ':') != NULL;

	buf_printf(b, "%s", brackets ? "[" : "");
	buf_str_put(b, str_of(a->ip));
	buf_printf(b, "%s:%u", brackets ? "]" : "", a->port);
}

static void put_service_upsert(struct buf *b, const Flow__ServiceUpsertNotification *n)
{
	buf_printf(b, "id: %u", n->id);
	if (n->frontend_address) {
		buf_lit(b, ", frontend: ");
		put_service_address(b, n->frontend_address);
	}
	for (size_t i = 0; i < n->n_backend_addresses; i++) {
		buf_str_put(b, i ? STR(",") : STR(", backends: ["));
		put_service_address(b, n->backend_addresses[i]);
	}
	if (n->n_backend_addresses)
		buf_char(b, ']');
	put_if_set(b, ", type: ", n->type);
	put_if_set(b, ", traffic policy: ", n->traffic_policy);
	put_if_set(b, ", namespace: ", n->namespace_);
	put_if_set(b, ", name: ", n->name);
}

/* What the type promises and the notification holds; "UNKNOWN" where they disagree. */
static void put_details(const struct flow_printer *p, struct buf *b, const Flow__AgentEvent *a)
{
	Flow__AgentEvent__NotificationCase holds = a->notification_case;

	switch (a->type) {
	case FLOW__AGENT_EVENT_TYPE__AGENT_EVENT_UNKNOWN:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_UNKNOWN)
			break;
		buf_lit(b, "type: ");
		buf_str_put(b, str_of(a->unknown->type));
		buf_lit(b, ", notification: ");
		buf_str_put(b, str_of(a->unknown->notification));
		return;
	case FLOW__AGENT_EVENT_TYPE__AGENT_STARTED:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_AGENT_START)
			break;
		buf_lit(b, "start time: ");
		put_event_time(p, b, a->agent_start->time);
		return;
	case FLOW__AGENT_EVENT_TYPE__POLICY_UPDATED:
	case FLOW__AGENT_EVENT_TYPE__POLICY_DELETED:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_POLICY_UPDATE)
			break;
		put_policy_update(b, a->policy_update);
		return;
	case FLOW__AGENT_EVENT_TYPE__ENDPOINT_REGENERATE_SUCCESS:
	case FLOW__AGENT_EVENT_TYPE__ENDPOINT_REGENERATE_FAILURE:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_ENDPOINT_REGENERATE)
			break;
		put_regenerate(b, a->endpoint_regenerate);
		return;
	case FLOW__AGENT_EVENT_TYPE__ENDPOINT_CREATED:
	case FLOW__AGENT_EVENT_TYPE__ENDPOINT_DELETED:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_ENDPOINT_UPDATE)
			break;
		put_endpoint_update(b, a->endpoint_update);
		return;
	case FLOW__AGENT_EVENT_TYPE__IPCACHE_UPSERTED:
	case FLOW__AGENT_EVENT_TYPE__IPCACHE_DELETED:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_IPCACHE_UPDATE)
			break;
		put_ipcache(b, a->ipcache_update);
		return;
	case FLOW__AGENT_EVENT_TYPE__SERVICE_UPSERTED:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_SERVICE_UPSERT)
			break;
		put_service_upsert(b, a->service_upsert);
		return;
	case FLOW__AGENT_EVENT_TYPE__SERVICE_DELETED:
		if (holds != FLOW__AGENT_EVENT__NOTIFICATION_SERVICE_DELETE)
			break;
		buf_printf(b, "id: %u", a->service_delete->id);
		return;
	default:
		break;
	}
	buf_lit(b, "UNKNOWN");
}

static void put_agent(struct flow_printer *p, const Observer__GetAgentEventsResponse *r)
{
	const Flow__AgentEvent *a = r->agent_event;
	struct buf *b = print_output(p);
	size_t from = b->len;

	switch (p->options.format) {
	case FLOW_FORMAT_DICT:
		print_dict_begin(p, b, true);
		buf_lit(b, "  TIMESTAMP: ");
		put_head(p, b, r->time, r->node_name, "\n       NODE: ", "");
		buf_lit(b, "\n       TYPE: ");
		enum_put(b, &flow__agent_event_type__descriptor, (int32_t)a->type);
		buf_lit(b, "\n    DETAILS: ");
		put_details(p, b, a);
		break;
	case FLOW_FORMAT_TABLE:
		print_table_header(p, "TIMESTAMP", "TYPE\tDETAILS");
		put_head(p, b, r->time, r->node_name, "\t", "");
		buf_char(b, '\t');
		enum_put(b, &flow__agent_event_type__descriptor, (int32_t)a->type);
		buf_char(b, '\t');
		put_details(p, b, a);
		break;
	default:
		put_head(p, b, r->time, r->node_name, " [", "]");
		buf_lit(b, ": ");
		enum_put(b, &flow__agent_event_type__descriptor, (int32_t)a->type);
		buf_lit(b, " (");
		put_details(p, b, a);
		buf_char(b, ')');
	}
	buf_char(b, '\n');
	print_escape(p, b, from);
}

enum err_code print_agent_event(struct flow_printer *p, struct str response, struct err *e)
{
	Observer__GetAgentEventsResponse *r = observer__get_agent_events_response__unpack(
		NULL, response.len, (const uint8_t *)response.p);

	if (!r)
		return err_set(e, ERR_PARSE, "malformed agent event");
	put_agent(p, r);
	observer__get_agent_events_response__free_unpacked(r, NULL);
	return ERR_OK;
}

/* --- debug events ------------------------------------------------------------------- */

/* "N/A", "ID: 12", "ns/pod (ID: 12)", or "reserved:host (ID: 12)" where that is the only label. */
static void put_source(struct buf *b, const Flow__Endpoint *ep)
{
	if (!ep) {
		buf_lit(b, "N/A");
		return;
	}
	if (ep->namespace_[0] && ep->pod_name[0]) {
		buf_str_put(b, str_of(ep->namespace_));
		buf_char(b, '/');
		buf_str_put(b, str_of(ep->pod_name));
		buf_printf(b, " (ID: %u)", ep->id);
	} else if (ep->n_labels == 1 && str_has_prefix(str_of(ep->labels[0]), STR("reserved:"))) {
		buf_str_put(b, str_of(ep->labels[0]));
		buf_printf(b, " (ID: %u)", ep->id);
	} else {
		buf_printf(b, "ID: %u", ep->id);
	}
}

static void put_mark(struct buf *b, const Google__Protobuf__UInt32Value *hash)
{
	if (hash)
		buf_printf(b, "0x%x", hash->value);
	else
		buf_lit(b, "N/A");
}

static void put_event_cpu(struct buf *b, const Google__Protobuf__Int32Value *cpu)
{
	if (cpu)
		buf_printf(b, "%02d", cpu->value);
	else
		buf_lit(b, "N/A");
}

static void put_debug(struct flow_printer *p, const Observer__GetDebugEventsResponse *r)
{
	const Flow__DebugEvent *d = r->debug_event;
	struct buf *b = print_output(p);
	size_t from = b->len;

	switch (p->options.format) {
	case FLOW_FORMAT_DICT:
		print_dict_begin(p, b, true);
		buf_lit(b, "  TIMESTAMP: ");
		put_head(p, b, r->time, r->node_name, "\n       NODE: ", "");
		buf_lit(b, "\n       TYPE: ");
		enum_put(b, &flow__debug_event_type__descriptor, (int32_t)d->type);
		buf_lit(b, "\n       FROM: ");
		put_source(b, d->source);
		buf_lit(b, "\n       MARK: ");
		put_mark(b, d->hash);
		buf_lit(b, "\n        CPU: ");
		put_event_cpu(b, d->cpu);
		buf_lit(b, "\n    MESSAGE: ");
		buf_str_put(b, str_of(d->message));
		break;
	case FLOW_FORMAT_TABLE:
		/* the column behind FROM is empty in the reference too */
		print_table_header(p, "TIMESTAMP", "FROM\t\tTYPE\tCPU/MARK\tMESSAGE");
		put_head(p, b, r->time, r->node_name, "\t", "");
		buf_char(b, '\t');
		put_source(b, d->source);
		buf_lit(b, "\t\t");
		enum_put(b, &flow__debug_event_type__descriptor, (int32_t)d->type);
		buf_char(b, '\t');
		put_event_cpu(b, d->cpu);
		buf_char(b, ' ');
		put_mark(b, d->hash);
		buf_char(b, '\t');
		buf_str_put(b, str_of(d->message));
		break;
	default:
		put_head(p, b, r->time, r->node_name, " [", "]");
		buf_lit(b, ": ");
		put_source(b, d->source);
		buf_char(b, ' ');
		enum_put(b, &flow__debug_event_type__descriptor, (int32_t)d->type);
		buf_lit(b, " MARK: ");
		put_mark(b, d->hash);
		buf_lit(b, " CPU: ");
		put_event_cpu(b, d->cpu);
		buf_lit(b, " (");
		buf_str_put(b, str_of(d->message));
		buf_char(b, ')');
	}
	buf_char(b, '\n');
	print_escape(p, b, from);
}

enum err_code print_debug_event(struct flow_printer *p, struct str response, struct err *e)
{
	Observer__GetDebugEventsResponse *r = observer__get_debug_events_response__unpack(
		NULL, response.len, (const uint8_t *)response.p);

	if (!r)
		return err_set(e, ERR_PARSE, "malformed debug event");
	put_debug(p, r);
	observer__get_debug_events_response__free_unpacked(r, NULL);
	return ERR_OK;
}
