#include "observer/policy/file.h"

#include <sys/stat.h>

#include "base/watch.h"

struct policy_file {
	char *path;
	struct file_watch *watch;
	const struct policy_config *config;
	struct policy_table *table;
	size_t count, skipped;
};

void policy_file_free(struct policy_file *f)
{
	if (!f)
		return;
	file_watch_free(f->watch);
	free(f->path);
	free(f);
}

int policy_file_fd(const struct policy_file *f)
{
	return file_watch_fd(f->watch);
}

size_t policy_file_count(const struct policy_file *f, size_t *ret_skipped)
{
	*ret_skipped = f->skipped;
	return f->count;
}

static enum err_code load(struct policy_file *f, struct err *e)
{
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	struct policy_config config = *f->config;

	config.skip_other_kinds = true;
	enum err_code code = policy_builder_new(&config, &b, e);
	if (code == ERR_OK)
		code = policy_builder_add_path(b, f->path, e);
	if (code != ERR_OK)
		return code;
	size_t skipped = policy_builder_skipped(b);
	if (policy_builder_finish(b, &set, e) != ERR_OK)
		return err_in(e, "policies '%s'", f->path);
	size_t count = policy_set_count(set);
	if (policy_publish(f->table, set, wall_now(), e) != ERR_OK)
		return err_in(e, "policies '%s'", f->path);
	(void)TAKE(set); /* the table's now */
	f->count = count;
	f->skipped = skipped;
	return ERR_OK;
}

enum err_code policy_file_new(const char *path, const struct policy_config *config,
			      struct policy_table *t, struct policy_file **ret, struct err *e)
{
	struct err mine;
	struct stat st;

	e = e ? e : &mine;
	AUTO(policy_file_free) struct policy_file *f = malloc(sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "policies '%s'", path);
	*f = (struct policy_file){ .path = str_dup(str_of(path)), .config = config, .table = t };
	if (!f->path)
		return err_set(e, ERR_NOMEM, "policies '%s'", path);
	/* Watched before it is read, so that no change falls between the two. */
	bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	enum err_code code =
		folder ? folder_watch_new(path, &f->watch, e) : file_watch_new(path, &f->watch, e);
	if (code == ERR_OK)
		code = load(f, e);
	if (code == ERR_OK)
		*ret = TAKE(f);
	return code;
}

enum err_code policy_file_poll(struct policy_file *f, struct err *e)
{
	struct err mine;

	if (!file_watch_changed(f->watch))
		return err_set(e, ERR_AGAIN, "the policies '%s' have not changed", f->path);
	return load(f, e ? e : &mine);
}
