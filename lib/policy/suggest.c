#include "policy/suggest.h"

#include <sys/random.h>

#include "edge/edge.h"
#include "flow/flow.pb-c.h"
#include "policy/flow.h"
#include "policy/suggest_inside.h"

enum {
	EVENT_VERDICT = 5,      /* message type of Cilium's monitor */
	EPHEMERAL_PORT = 32768, /* first that Linux gives to clients, as in lib/edge */
	NAME_MAX_BYTES = 253,   /* of DNS */
	ECHO4 = 8,
	ECHO4_REPLY = 0,
	ECHO6 = 128,
	ECHO6_REPLY = 129,
	SUGGEST_FACTS_MAX = 2 * SUGGEST_CONNECTIONS_MAX,
};

/* --- life ------------------------------------------------------------------------------------- */

void suggest_free(struct suggest *s)
{
	if (!s)
		return;
	map_free(s->by_key);
	map_free(s->by_name);
	map_free(s->by_labels);
	map_free(s->by_group);
	map_free(s->by_peer);
	map_free(s->by_fact);
	label_sets_free(s);
	free(s->connections);
	free(s->names);
	free(s->ends);
	free(s->peers);
	free(s->facts);
	free(s);
}

enum err_code suggest_new(const struct suggest_config *config, const struct flow_dict *dict,
			  struct suggest **ret, struct err *e)
{
	AUTO(suggest_free) struct suggest *s = calloc(1, sizeof *s);
	uint64_t seed;

	if (!s)
		return err_set(e, ERR_NOMEM, "suggested policies");
	s->config = *config;
	s->dict = dict;
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	if (map_new(SUGGEST_CONNECTIONS_MAX, seed, &s->by_key, e) != ERR_OK ||
	    map_new(SUGGEST_NAMES_MAX, seed, &s->by_name, e) != ERR_OK ||
	    map_new(SUGGEST_LABEL_SETS_MAX, seed, &s->by_labels, e) != ERR_OK ||
	    map_new(SUGGEST_LABEL_SETS_MAX, seed, &s->by_group, e) != ERR_OK ||
	    map_new(SUGGEST_FACTS_MAX, seed, &s->by_peer, e) != ERR_OK ||
	    map_new(SUGGEST_FACTS_MAX, seed, &s->by_fact, e) != ERR_OK)
		return e->code;
	*ret = TAKE(s);
	return ERR_OK;
}

/* --- one flow as a connection ----------------------------------------------------------------- */

static bool is_verdict(const struct flow *f)
{
	return flow_is(f, FLOW_HAS_EVENT_TYPE) && f->event_type == EVENT_VERDICT;
}

/* What policies decided of it. False: something else did, or nothing was decided. */
static bool read_verdict(const struct flow *f, struct connection *c)
{
	bool reason = f->drop_desc == FLOW__DROP_REASON__POLICY_DENIED ||
		      f->drop_desc == FLOW__DROP_REASON__POLICY_DENY;

	/* rules allowed it; it was not authenticated yet */
	bool was_allowed = f->drop_desc == FLOW__DROP_REASON__AUTH_REQUIRED;

	if (f->type == FLOW__FLOW_TYPE__L7)
		return false;
	switch (f->verdict) {
	case FLOW__VERDICT__FORWARDED:
	case FLOW__VERDICT__REDIRECTED:
	case FLOW__VERDICT__AUDIT:
		c->passed = 1;
		c->through = f->is_reply == FLOW_REPLY_TRUE ||
			     f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS ||
			     f->trace_point == FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT;
		return true;
	case FLOW__VERDICT__DROPPED:
		c->denied = 1;
		return f->is_reply != FLOW_REPLY_TRUE &&
		       (reason || (is_verdict(f) && !was_allowed));
	default:
		return false;
	}
}

static bool opens(const struct flow *f, const struct connection *c)
{
	return c->denied || is_verdict(f);
}

static bool is_answer(const struct flow *f, const struct connection *c)
{
	if (f->is_reply != FLOW_REPLY_ABSENT)
		return f->is_reply == FLOW_REPLY_TRUE;
	if (opens(f, c))
		return false; /* policies decide on who opens */
	if (f->l4 == FLOW_L4_ICMP4 || f->l4 == FLOW_L4_ICMP6)
		return f->icmp_type == (f->l4 == FLOW_L4_ICMP4 ? ECHO4_REPLY : ECHO6_REPLY);
	return edge_is_answer(f);
}

/* A port of clients is one that is asked only where the flow says so, not where its ports were all
 * there was to judge by. */
static bool is_told(const struct flow *f, const struct connection *c)
{
	return f->is_reply != FLOW_REPLY_ABSENT || opens(f, c) ||
	       (f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS) &&
		f->tcp_flags & FLOW_TCP_SYN);
}

static bool read_ports(const struct flow *f, bool answer, struct connection *c)
{
	uint8_t type = f->icmp_type;

	c->protocol = policy_protocol_of(f);
	switch (c->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		c->port = answer ? f->src_port : f->dst_port;
		return c->port && (c->port < EPHEMERAL_PORT || is_told(f, c));
	case IPPROTO_ICMP:
		c->port = ECHO4;
		return type == (answer ? ECHO4_REPLY : ECHO4); /* others answer something */
	case IPPROTO_ICMPV6:
		c->port = ECHO6;
		return type == (answer ? ECHO6_REPLY : ECHO6);
	default:
		return false;
	}
}

/* @in as matchName takes it, in small letters and without the last dot. "": it does not. */
static struct str read_name(struct str in, char out[NAME_MAX_BYTES])
{
	if (in.len && in.p[in.len - 1] == '.')
		in.len--;
	if (!in.len || in.len > NAME_MAX_BYTES)
		return STR("");
	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i] >= 'A' && in.p[i] <= 'Z' ? (char)(in.p[i] + 'a' - 'A') : in.p[i];
		bool word =
			(c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

		if (!word && (c != '.' || !i || i + 1 == in.len || in.p[i - 1] == '.'))
			return STR("");
		out[i] = c;
	}
	return str_n(out, in.len);
}

/* Of its names the first by the alphabet: they come in any order. */
static enum err_code choose_name(struct suggest *s, const struct policy_names *names,
				 struct connection *c, struct err *e)
{
	char best[NAME_MAX_BYTES], one[NAME_MAX_BYTES];
	struct str found = STR("");
	uint32_t at;

	for (size_t i = 0; i < names->count[SERVER]; i++) {
		struct str name = read_name(names->of[SERVER][i], one);

		if (name.len && (!found.len || str_cmp(name, found) < 0)) {
			memcpy(best, name.p, name.len);
			found = str_n(best, name.len);
		}
	}
	c->name = STR("");
	if (!found.len)
		return ERR_OK;
	if (map_get(s->by_name, found, &at)) {
		c->name = s->names[at];
		return ERR_OK;
	}
	if (s->name_count == SUGGEST_NAMES_MAX)
		return err_set(e, ERR_CLOSED, "more than %d names", SUGGEST_NAMES_MAX);
	at = (uint32_t)s->name_count;
	if (policy_grow(&s->names, at, &s->name_room, sizeof *s->names, e) != ERR_OK ||
	    map_put(s->by_name, found, at, &s->names[at], e) != ERR_OK)
		return e->code;
	c->name = s->names[at];
	s->name_count++;
	return ERR_OK;
}

/* ERR_INVALID: nothing that policies decided. ERR_CLOSED: a limit. */
static enum err_code read_flow(struct suggest *s, const struct flow *f, const bool asked[2],
			       struct connection *c, struct err *e)
{
	struct policy_names names;
	const struct end *end;

	if (f->kind != FLOW_KIND_FLOW || !flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP) ||
	    !read_verdict(f, c))
		return err_set(e, ERR_INVALID, "no policy decided it");
	bool answer = is_answer(f, c);
	if (!read_ports(f, answer, c))
		return err_set(e, ERR_INVALID, "who opened it is not known");
	const struct endpoint_id ids[2] = { f->src_ep, f->dst_ep };
	const uint8_t *const ips[2] = { f->src_ip, f->dst_ip };
	const struct endpoint *server = flow_dict_get_endpoint(s->dict, ids[answer ? 0 : 1]);
	/* To a service's own address: the backend is not chosen yet. */
	if ((answer ? f->src_svc : f->dst_svc).v && !(server && server->pod.len))
		return err_set(e, ERR_INVALID, "to a service");
	bool elsewhere = false;
	for (int i = CLIENT; i <= SERVER; i++) {
		int side = answer ? 1 - i : i;

		c->ids[i] = ids[side];
		if (suggest_end(s, c->ids[i], &end, e) != ERR_OK)
			return e->code;
		if (end->kind != END_POD)
			memcpy(c->ips[i], ips[side], 16);
		elsewhere |= end->elsewhere && asked[side];
		if (end->kind == END_POD && asked[side])
			s->groups[end->group].asked = s->groups[end->group].is_subject = true;
	}
	s->elsewhere += elsewhere;
	if (flow_is(f, FLOW_HAS_TIME))
		c->span = (struct policy_span){ true, f->time, f->time };
	if (s->config.kind != SUGGEST_CILIUM || end->kind != END_WORLD)
		return ERR_OK;
	policy_names_read(&names, str_n(f->ext, f->ext_len), answer);
	return choose_name(s, &names, c, e);
}

static enum err_code find_connection(struct suggest *s, const struct connection *c,
				     struct connection **ret, struct err *e)
{
	AUTO_BUF struct buf key = buf_init(512);
	uint32_t at;

	buf_put(&key, c->ids, sizeof c->ids);
	buf_put(&key, c->ips, sizeof c->ips);
	buf_put(&key, &c->port, sizeof c->port);
	buf_put(&key, &c->protocol, sizeof c->protocol);
	buf_str_put(&key, c->name);
	if (key.failed)
		return err_set(e, ERR_NOMEM, "connections");
	if (map_get(s->by_key, buf_str(&key), &at)) {
		*ret = &s->connections[at];
		return ERR_OK;
	}
	if (s->connection_count == SUGGEST_CONNECTIONS_MAX)
		return err_set(e, ERR_CLOSED, "more than %d connections", SUGGEST_CONNECTIONS_MAX);
	at = (uint32_t)s->connection_count;
	if (policy_grow(&s->connections, at, &s->connection_room, sizeof *s->connections, e) !=
		    ERR_OK ||
	    map_put(s->by_key, buf_str(&key), at, NULL, e) != ERR_OK)
		return e->code;
	s->connections[at] = *c;
	s->connections[at].passed = s->connections[at].through = s->connections[at].denied = 0;
	s->connections[at].facts[CLIENT] = s->connections[at].facts[SERVER] = NO_FACT;
	s->connection_count++;
	*ret = &s->connections[at];
	return ERR_OK;
}

enum err_code suggest_flow(struct suggest *s, const struct flow *flow, bool source_asked,
			   bool destination_asked, struct err *e)
{
	const bool asked[2] = { source_asked, destination_asked };
	struct connection c = { .passed = 0 }, *to = NULL;
	struct err mine = { 0 };

	enum err_code code = read_flow(s, flow, asked, &c, &mine);
	if (code == ERR_OK)
		code = find_connection(s, &c, &to, &mine);
	if (code == ERR_INVALID) {
		s->other++;
		return ERR_OK;
	}
	if (code == ERR_CLOSED) {
		s->left_out++;
		return ERR_OK;
	}
	if (code != ERR_OK)
		return err_set(e, code, "%s", mine.msg);
	to->passed += c.passed;
	to->through += c.through;
	to->denied += c.denied;
	policy_span_add(&to->span, c.span);
	return ERR_OK;
}
