#include "evidence/verify_inside.h"

#include "chain/sha256.h"
#include "evidence/checkpoint.h"
#include "evidence/manifest.h"

/* --- statements --- */

/* The statement is one line, signed, by the key that lies beside it, which we trust. */
static enum err_code read_statement(struct verify *v, struct proven_node *n, struct err *e)
{
	AUTO_BUF struct buf pem = buf_init(4096);
	struct str file = n->files[STATEMENT], line = first_line(file);
	enum err_code code = signed_text_parse(line, &n->statement_text, &n->statement, e);

	if (code != ERR_OK || file.len != line.len + 1)
		return err_set(e, ERR_PARSE, "%s/statement.jsonl is not one signed line", n->dir);
	code = evidence_key_of_public(str_n(n->statement.key, sizeof n->statement.key), &n->key, e);
	if (code != ERR_OK)
		return err_in(e, "%s/statement.jsonl", n->dir);
	if (v->config->key_count &&
	    !evidence_key_is_among(n->key, v->config->keys, v->config->key_count))
		return err_set(e, ERR_PARSE,
			       "node '%s' is not signed by a key that was given, but by %s",
			       n->name, evidence_key_fingerprint(n->key));
	if (!evidence_key_verifies(n->key, n->statement.text,
				   str_n(n->statement.signature, sizeof n->statement.signature)))
		return err_set(e, ERR_PARSE, "the signature of the statement of '%s' is wrong",
			       n->name);
	evidence_key_put_pem(n->key, &pem);
	if (!str_eq(buf_str(&pem), n->files[KEY_PEM]))
		return err_set(e, ERR_PARSE, "%s/key.pem is not the key that signed", n->dir);
	n->said = json_loadb(n->statement.text.p, n->statement.text.len, JSON_REJECT_DUPLICATES,
			     NULL);
	if (!n->said || !str_eq(text_of(n->said, "tycho"), STR("statement")))
		return err_set(e, ERR_PARSE, "%s/statement.jsonl holds no statement", n->dir);
	return ERR_OK;
}

static enum err_code check_lines_sum(const struct proven_node *n, int file,
				     const char *count_member, const char *sum_member,
				     struct err *e)
{
	struct str text = n->files[file];
	uint8_t want[SHA256_BYTES], got[SHA256_BYTES];
	uint64_t lines = 0, said = 0;

	for (size_t i = 0; i < text.len; i++)
		lines += text.p[i] == '\n';
	sha256(text, got);
	if (!number_of(n->said, count_member, &said) ||
	    !hex_parse(text_of(n->said, sum_member), want, sizeof want) || said != lines ||
	    memcmp(got, want, sizeof want) != 0)
		return err_set(e, ERR_PARSE,
			       "%s/%s is not what the node signed: it has %llu lines, %llu were "
			       "stated",
			       n->dir, verify_small_names[file], (unsigned long long)lines,
			       (unsigned long long)said);
	return ERR_OK;
}

/* What the manifest says of a node follows from what the node said. */
static enum err_code check_manifest_node(const struct verify *v, const struct proven_node *n,
					 struct err *e)
{
	const json_t *scope = json_object_get(v->manifest, "scope");

	if (!json_equal(json_object_get(n->manifest, "statement"), n->said))
		return err_set(
			e, ERR_PARSE,
			"manifest.json does not match: it has another statement of '%s' than "
			"the node signed",
			n->name);
	if (!str_is(text_of(n->said, "node"), n->name))
		return err_set(e, ERR_PARSE,
			       "manifest.json does not match: node '%s' calls itself '%s'", n->name,
			       text_of(n->said, "node").p);
	if (!str_is(text_of(n->said, "key"), evidence_key_fingerprint(n->key)))
		return err_set(e, ERR_PARSE, "the statement of '%s' names another key", n->name);
	for (size_t i = 0; manifest_scope_members[i]; i++)
		if (!same_member(scope, n->said, manifest_scope_members[i]))
			return err_set(e, ERR_PARSE,
				       "manifest.json does not match: its scope has another '%s' "
				       "than '%s' was asked",
				       manifest_scope_members[i], n->name);
	return ERR_OK;
}

/* --- checkpoints --- */

static enum err_code add_pin(struct proven_node *n, const struct checkpoint_text *t,
			     bool is_external, struct err *e)
{
	if (n->pin_count == n->pin_cap) {
		size_t cap = n->pin_cap ? n->pin_cap * 2 : 64;
		struct chunk_pin *pins =
			cap > PINS_MAX ? NULL : realloc(n->pins, cap * sizeof *pins);
		if (!pins)
			return err_set(e, ERR_NOMEM, "checkpoints");
		n->pins = pins;
		n->pin_cap = cap;
	}
	n->pins[n->pin_count++] = (struct chunk_pin){ t->entry, t->head, is_external };
	return ERR_OK;
}

static enum err_code read_checkpoints(struct proven_node *n, struct err *e)
{
	AUTO_BUF struct buf scratch = buf_init(1 << 20);
	struct str rest = n->files[CHECKPOINTS], line;

	while (rest.len) {
		struct signed_text s;
		struct checkpoint_text t;
		line = first_line(rest);
		rest = str_from(rest, line.len + 1);
		size_t at = n->pin_count + 1;
		if (signed_text_parse(line, &scratch, &s, e) != ERR_OK ||
		    !checkpoint_text_parse(s.text, &t))
			return err_set(e, ERR_PARSE,
				       "%s/checkpoints.jsonl, line %zu: no checkpoint", n->dir, at);
		if (memcmp(s.key, n->statement.key, sizeof s.key) != 0 ||
		    !evidence_key_verifies(n->key, s.text, str_n(s.signature, sizeof s.signature)))
			return err_set(e, ERR_PARSE,
				       "%s/checkpoints.jsonl, line %zu: the signature is wrong",
				       n->dir, at);
		if (n->pin_count && t.entry < n->pins[n->pin_count - 1].entry)
			return err_set(
				e, ERR_PARSE,
				"%s/checkpoints.jsonl, line %zu: checkpoints are not in order",
				n->dir, at);
		struct buf *time = n->pin_count ? &n->last_checkpoint : &n->first_checkpoint;
		buf_reset(time);
		timestamp_put(time, timestamp_of(t.time));
		if (add_pin(n, &t, false, e) != ERR_OK)
			return ERR_NOMEM;
	}
	n->own_pins = n->pin_count;
	return ERR_OK;
}

static int compare_pins(const void *a, const void *b)
{
	const struct chunk_pin *x = a, *y = b;

	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* Those of the node that were kept elsewhere. */
static enum err_code read_external(const struct verify *v, struct proven_node *n, struct err *e)
{
	struct kept_checkpoints kept = kept_checkpoints_of(v->config->checkpoints);
	struct signed_text s;
	struct checkpoint_text t;
	enum err_code code;

	while (kept_checkpoints_next(&kept, &s, &t, &code, e)) {
		if (memcmp(s.key, n->statement.key, sizeof s.key) != 0)
			continue; /* another node's */
		if (!evidence_key_verifies(n->key, s.text, str_n(s.signature, sizeof s.signature)))
			code = err_set(e, ERR_PARSE,
				       "line %zu of the separately kept checkpoints: the signature "
				       "is wrong",
				       kept.line);
		else
			code = add_pin(n, &t, true, e);
		if (code != ERR_OK)
			break;
	}
	kept_checkpoints_done(&kept);
	if (code == ERR_OK && n->pin_count)
		qsort(n->pins, n->pin_count, sizeof *n->pins, compare_pins);
	return code;
}

enum err_code verify_node(struct verify *v, struct proven_node *n, struct err *e)
{
	enum err_code code = read_statement(v, n, e);

	if (code == ERR_OK)
		code = check_manifest_node(v, n, e);
	if (code == ERR_OK)
		code = check_lines_sum(n, CHECKPOINTS, "checkpoints", "checkpoints_sha256", e);
	if (code == ERR_OK)
		code = check_lines_sum(n, POLICIES, "policies", "policies_sha256", e);
	if (code == ERR_OK)
		code = read_checkpoints(n, e);
	if (code == ERR_OK)
		code = read_external(v, n, e);
	return code;
}
