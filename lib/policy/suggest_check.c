/* The policies as they were written, put to the connections that they were made of. */
#include "policy/suggest_inside.h"

static enum err_code read_back(const struct suggest *s, struct str text, struct policy_set **ret,
			       struct err *e)
{
	const struct policy_config config = {
		.meaning =
			s->config.kind == SUGGEST_CILIUM ? POLICY_AS_CILIUM : POLICY_AS_KUBERNETES,
		.cluster = s->config.cluster,
		.counted_labels = true,
	};
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct err why;

	if (policy_builder_new(&config, &b, e) != ERR_OK)
		return e->code;
	if (policy_builder_add_text(b, text, &why) != ERR_OK ||
	    policy_builder_finish(b, ret, &why) != ERR_OK)
		return err_set(e, ERR_INTERNAL, "the suggested policies are refused: %s", why.msg);
	return ERR_OK;
}

static void keep_warning(void *ctx, const struct policy_warning *w)
{
	*(const char **)ctx = policy_warning_words(w);
}

static void fill(const struct suggest *s, const struct policy_set *set, const struct connection *c,
		 int i, struct policy_row *row)
{
	const struct endpoint *ep = flow_dict_get_endpoint(s->dict, c->ids[i]);
	const struct policy_end end = {
		.cluster = ep->cluster,
		.namespace_ = ep->namespace_,
		.pod = ep->pod,
		.labels = ep->labels,
		.label_count = ep->label_count,
		.ip = c->ips[i],
	};

	policy_row_fill(set, &end, row);
}

static bool allows(const struct suggest *s, const struct policy_set *set,
		   const struct connection *c, int subject, struct policy_row *rows[2],
		   struct policy_answer *answer)
{
	uint8_t ip[1][16];
	int peer = 1 - subject;

	memcpy(ip[0], c->ips[peer], 16);
	fill(s, set, c, CLIENT, rows[CLIENT]);
	fill(s, set, c, SERVER, rows[SERVER]);
	const struct policy_query query = {
		.direction = subject == CLIENT ? POLICY_EGRESS : POLICY_INGRESS,
		.subject = rows[subject],
		.peer = { rows[peer], (const uint8_t(*)[16])ip, 1, &c->name,
			  subject == CLIENT && c->name.len ? 1 : 0 },
		.protocol = c->protocol,
		.port = c->port,
	};
	policy_ask(set, &query, answer);
	return answer->verdict == POLICY_ALLOWED || answer->verdict == POLICY_LOCALHOST;
}

static enum err_code ask_all(const struct suggest *s, const struct policy_set *set, struct err *e)
{
	AUTO(own_free) struct policy_row *client = malloc(policy_row_bytes(set));
	AUTO(own_free) struct policy_row *server = malloc(policy_row_bytes(set));
	AUTO(own_free) struct policy_answer *answer = malloc(sizeof *answer);
	struct policy_row *rows[2] = { client, server };

	if (!client || !server || !answer)
		return err_set(e, ERR_NOMEM, "suggested policies");
	for (size_t i = 0; i < s->connection_count; i++) {
		const struct connection *c = &s->connections[i];

		for (int end = CLIENT; end <= SERVER; end++) {
			if (c->facts[end] == NO_FACT || !s->facts[c->facts[end]].allowed ||
			    allows(s, set, c, end, rows, answer))
				continue;
			AUTO_BUF struct buf who = buf_init(256);
			group_put(s, s->facts[c->facts[end]].subject, &who);
			return err_set(e, ERR_INTERNAL,
				       "the suggested policies do not allow a connection that was "
				       "seen, %s of %s, %s port %u: %s",
				       end == CLIENT ? "egress" : "ingress", buf_cstr(&who),
				       suggest_protocol(c->protocol), c->port,
				       policy_verdict_name(answer->verdict));
		}
	}
	return ERR_OK;
}

enum err_code suggest_check(const struct suggest *s, struct str text, struct err *e)
{
	AUTO(policy_set_free) struct policy_set *set = NULL;
	const char *warning = NULL;

	if (read_back(s, text, &set, e) != ERR_OK)
		return e->code;
	for (uint32_t i = 0; i < policy_set_count(set) && !warning; i++)
		policy_set_warn(set, i, keep_warning, &warning);
	if (warning)
		return err_set(e, ERR_INTERNAL, "the suggested policies are warned of: %s",
			       warning);
	if (policy_set_conflict_count(set))
		return err_set(e, ERR_INTERNAL, "the suggested policies contradict each other");
	return ask_all(s, set, e);
}
