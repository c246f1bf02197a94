/* The policies as they were written, put to the connections that they were made of. */
#include "policy/flow.h"
#include "policy/suggest_inside.h"

enum { ROWS_MAX_BYTES = 128 << 20 };

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

/* Rows of ends, which are the same at all addresses, as no policy asks for CIDR groups. */
struct rows {
	const struct suggest *s;
	const struct policy_set *set;
	struct policy_row **kept; /* by id of the endpoint, as many as there is room for */
	size_t bytes;
	struct policy_row *spare[2]; /* for the others */
};

static void rows_done(struct rows *r)
{
	for (size_t i = 0; r->kept && i < r->s->end_room; i++)
		free(r->kept[i]);
	free(r->kept);
	free(r->spare[CLIENT]);
	free(r->spare[SERVER]);
}

static const struct policy_row *row_of(struct rows *r, const struct connection *c, int i)
{
	const struct endpoint *ep = flow_dict_get_endpoint(r->s->dict, c->ids[i]);
	struct policy_row **kept = &r->kept[c->ids[i].v], *row = *kept;
	size_t bytes = policy_row_bytes(r->set);

	if (row || !ep)
		return row;
	if (r->bytes + bytes <= ROWS_MAX_BYTES && (row = malloc(bytes)) != NULL) {
		r->bytes += bytes;
		*kept = row;
	} else {
		row = r->spare[i];
	}
	const struct policy_end end = policy_end_of(ep, c->ips[i]);
	policy_row_fill(r->set, &end, row);
	return row;
}

static bool allows(struct rows *r, const struct connection *c, int subject,
		   struct policy_answer *answer)
{
	uint8_t ip[1][16];
	int peer = 1 - subject;

	memcpy(ip[0], c->ips[peer], 16);
	const struct policy_query query = {
		.direction = subject == CLIENT ? POLICY_EGRESS : POLICY_INGRESS,
		.subject = row_of(r, c, subject),
		.peer = { row_of(r, c, peer), (const uint8_t(*)[16])ip, 1, &c->name,
			  subject == CLIENT && c->name.len ? 1 : 0 },
		.protocol = c->protocol,
		.port = c->port,
	};
	policy_ask(r->set, &query, answer);
	return answer->verdict == POLICY_ALLOWED || answer->verdict == POLICY_LOCALHOST;
}

static enum err_code ask(struct rows *r, const struct connection *c, int subject,
			 struct policy_answer *answer, struct err *e)
{
	AUTO_BUF struct buf who = buf_init(1 << 16);
	const struct fact *fact =
		c->facts[subject] != NO_FACT ? &r->s->facts[c->facts[subject]] : NULL;

	if (!fact || !fact->allowed || allows(r, c, subject, answer))
		return ERR_OK;
	(void)group_put(r->s, fact->subject, &who);
	return err_set(e, ERR_INTERNAL,
		       "the suggested policies do not allow what was seen: %s port %u %s %s: %s",
		       policy_protocol_name(c->protocol), c->port,
		       subject == CLIENT ? "from" : "to", EXCERPT(buf_str(&who)),
		       policy_verdict_name(answer->verdict));
}

static enum err_code ask_all(const struct suggest *s, const struct policy_set *set, struct err *e)
{
	AUTO(own_free) struct policy_answer *answer = malloc(sizeof *answer);
	struct rows r = { .s = s, .set = set };
	enum err_code code = ERR_OK;

	r.kept = calloc(s->end_room + 1, sizeof(*r.kept));
	r.spare[CLIENT] = malloc(policy_row_bytes(set));
	r.spare[SERVER] = malloc(policy_row_bytes(set));
	if (!answer || !r.kept || !r.spare[CLIENT] || !r.spare[SERVER])
		code = err_set(e, ERR_NOMEM, "suggested policies");
	for (size_t i = 0; code == ERR_OK && i < s->connection_count; i++)
		for (int end = CLIENT; code == ERR_OK && end <= SERVER; end++)
			code = ask(&r, &s->connections[i], end, answer, e);
	rows_done(&r);
	return code;
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
