#include "filter/glob.h"

#include "base/gotext.h"

struct glob {
	size_t len;
	char p[]; /* canonical; runs of '*' are one */
};

/* Trims, as strings.TrimSpace does, white space of any script. */
static struct str trim(struct str s)
{
	for (struct str rest = s; rest.len && rune_is_space(rune_next(&rest));)
		s = rest;
	while (s.len) {
		size_t last = s.len - 1;

		while (last > 0 && ((uint8_t)s.p[last] & 0xc0) == 0x80)
			last--;
		struct str tail = str_from(s, last);
		if (!rune_is_space(rune_next(&tail)) || tail.len)
			break;
		s = str_upto(s, last);
	}
	return s;
}

enum err_code glob_new(struct str pattern, struct glob **ret, struct err *e)
{
	struct str s = trim(pattern);

	if (str_has_suffix(s, STR(".")))
		s = str_upto(s, s.len - 1);
	if (!s.len)
		return err_set(e, ERR_INVALID, "empty pattern");
	if (str_has_suffix(s, STR(".")))
		return err_set(e, ERR_INVALID, "multiple trailing dots in pattern");
	AUTO(glob_free) struct glob *g = malloc(sizeof *g + s.len);
	if (!g)
		return err_set(e, ERR_NOMEM, "pattern");
	g->len = 0;
	while (s.len) {
		uint32_t c = rune_next(&s);

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		else if (c == 0x130 || c == 0x212a) /* whose small letters are ASCII's */
			c = c == 0x130 ? 'i' : 'k';
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
		      c == '_' || c == '*'))
			return err_set(e, ERR_INVALID, "%s: invalid rune in pattern",
				       go_quote_rune(c, (char[16]){ 0 }, 16));
		if (c != '*' || g->len == 0 || g->p[g->len - 1] != '*')
			g->p[g->len++] = (char)c;
	}
	*ret = TAKE(g);
	return ERR_OK;
}

void glob_free(struct glob *g)
{
	free(g);
}

static bool in_star(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* Only the last star needs to try again: what stands between two stars may be taken at its first
 * place. A later place would leave the next star less to cover, but could not skip a '_', the one
 * character of patterns that no star covers: a run before that '_' lies before it at either place.
 */
bool glob_match(const struct glob *g, struct str name)
{
	size_t p = 0, n = 0, star = SIZE_MAX, from = 0;

	while (n < name.len || p < g->len) {
		if (p < g->len && g->p[p] == '*') {
			star = p++;
			from = n;
		} else if (n < name.len && p < g->len && g->p[p] == name.p[n]) {
			p++;
			n++;
		} else if (star != SIZE_MAX && from < name.len && in_star(name.p[from])) {
			n = ++from;
			p = star + 1;
		} else {
			return false;
		}
	}
	return true;
}

enum err_code node_glob_init(struct node_glob *g, struct str pattern, struct err *e)
{
	size_t slash = str_find(pattern, '/');
	bool has_slash = slash < pattern.len;
	struct str cluster = has_slash ? str_upto(pattern, slash) : STR("");
	struct str node = has_slash ? str_from(pattern, slash + 1) : pattern;
	AUTO(glob_free) struct glob *c = NULL;
	AUTO(glob_free) struct glob *n = NULL;
	enum err_code code = ERR_OK;

	if (!pattern.len)
		return err_set(e, ERR_INVALID, "empty pattern");
	if (str_find(node, '/') < node.len)
		return err_set(e, ERR_INVALID, "too many slashes in pattern");
	if (cluster.len)
		code = glob_new(cluster, &c, e);
	if (code == ERR_OK && node.len)
		code = glob_new(node, &n, e);
	if (code != ERR_OK)
		return code;
	*g = (struct node_glob){ .cluster = TAKE(c), .node = TAKE(n) };
	return ERR_OK;
}

void node_glob_done(struct node_glob *g)
{
	glob_free(g->cluster);
	glob_free(g->node);
	*g = (struct node_glob){ 0 };
}

/* Non-empty components of [-0-9_a-z] between dots. */
static bool is_name(struct str s)
{
	bool after_dot = true;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '.' && after_dot)
			return false;
		if (!in_star(s.p[i]) && s.p[i] != '_')
			return false;
		after_dot = s.p[i] == '.';
	}
	return !after_dot;
}

static bool part_matches(const struct glob *g, struct str s)
{
	return g ? glob_match(g, s) : is_name(s);
}

bool node_glob_match(const struct node_glob *g, struct str name)
{
	size_t slash = str_find(name, '/');

	if (!name.len)
		return false;
	if (slash == name.len)
		return part_matches(g->cluster, STR("default")) && part_matches(g->node, name);
	return part_matches(g->cluster, str_upto(name, slash)) &&
	       part_matches(g->node, str_from(name, slash + 1));
}
