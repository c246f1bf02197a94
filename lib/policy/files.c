/* Policies from files and folders. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/watch.h"
#include "policy/policy.h"

enum { FILES_MAX = 4096 };

static bool is_ours(const struct dirent *entry)
{
	struct str name = str_of(entry->d_name);

	return name.p[0] != '.' &&
	       (str_has_suffix(name, STR(".yaml")) || str_has_suffix(name, STR(".yml")) ||
		str_has_suffix(name, STR(".json")));
}

static int filter(const struct dirent *entry)
{
	return is_ours(entry);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* bytes: the same in every locale */
}

struct walk {
	enum err_code (*each)(void *ctx, const char *path, struct str text, struct err *e);
	void *ctx;
};

static enum err_code take_file(const struct walk *w, const char *path, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(POLICY_TEXT_MAX);
	enum err_code code = file_read(path, "the policy file", &text, e);

	return code == ERR_OK ? w->each(w->ctx, path, buf_str(&text), e) : code;
}

static enum err_code take_each(const struct walk *w, const char *folder, struct dirent *const *list,
			       int n, struct err *e)
{
	for (int i = 0; i < n; i++) {
		AUTO_BUF struct buf path = buf_init(8192);
		bool ends = str_has_suffix(str_of(folder), STR("/"));

		buf_printf(&path, "%s%s%s", folder, ends ? "" : "/", list[i]->d_name);
		const char *text = buf_cstr(&path);
		if (path.failed)
			return err_set(e, ERR_INVALID, "a path in '%s' is too long", folder);
		enum err_code code = take_file(w, text, e);
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

enum err_code policy_path_each(const char *path,
			       enum err_code (*each)(void *ctx, const char *path, struct str text,
						     struct err *e),
			       void *ctx, struct err *e)
{
	const struct walk w = { each, ctx };
	struct dirent **list = NULL;
	struct stat st;
	struct err own;

	e = e ? e : &own;
	if (stat(path, &st) != 0)
		return err_os(e, "open the policies '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return take_file(&w, path, e);
	int n = scandir(path, &list, filter, by_name);
	if (n < 0)
		return err_os(e, "read the folder '%s'", path);
	enum err_code code =
		n > FILES_MAX ? err_set(e, ERR_INVALID, "%d policy files in '%s': at most %d", n,
					path, FILES_MAX)
			      : take_each(&w, path, list, n, e);
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	return code;
}

static enum err_code add_text(void *ctx, const char *path, struct str text, struct err *e)
{
	struct policy_builder *b = ctx;

	if (policy_builder_add_text(b, text, e) != ERR_OK)
		return err_in(e, "policy file '%s'", path);
	return ERR_OK;
}

enum err_code policy_builder_add_path(struct policy_builder *b, const char *path, struct err *e)
{
	return policy_path_each(path, add_text, b, e);
}
