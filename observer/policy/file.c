#include "observer/policy/file.h"

#include <pthread.h>
#include <sys/stat.h>

#include "base/watch.h"

struct policy_file {
	char *path;
	struct file_watch *watch;
	const struct policy_config *config;
	struct policy_table *table;
	size_t count, skipped;
	bool shared, is_published; /* the first ones are, in any case */
	pthread_mutex_t mx;
	json_t *objects; /* guarded by mx; of shared ones */
};

void policy_file_free(struct policy_file *f)
{
	if (!f)
		return;
	file_watch_free(f->watch);
	json_decref(f->objects);
	(void)pthread_mutex_destroy(&f->mx);
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

/* --- objects ------------------------------------------------------------------------------ */

struct reading {
	enum err_code (*each)(void *ctx, const json_t *object, struct err *e);
	void *ctx;
};

static enum err_code read_text(void *ctx, const char *path, struct str text, struct err *e)
{
	const struct reading *r = ctx;
	json_t *documents = NULL, *one;
	size_t i;
	enum err_code code = policy_yaml(text, &documents, e);

	json_array_foreach(documents, i, one)
	{
		if (code == ERR_OK && !json_is_null(one)) { /* "---" and nothing */
			code = policy_items_each(one, r->each, r->ctx, e);
			if (code != ERR_OK && json_array_size(documents) > 1)
				code = err_in(e, "document %zu", i + 1);
		}
	}
	json_decref(documents);
	return code == ERR_OK ? ERR_OK : err_in(e, "policy file '%s'", path);
}

static enum err_code put_object(void *ctx, const json_t *object, struct err *e)
{
	/* items of a typed list are copies of their own; all others belong to this text alone */
	if (json_array_append_new(ctx, json_deep_copy(object)))
		return err_set(e, ERR_NOMEM, "policies");
	return ERR_OK;
}

/* For who publishes them together with others. */
static enum err_code hold_objects(struct policy_file *f, struct err *e)
{
	json_t *objects = json_array();
	struct reading r = { put_object, objects };
	enum err_code code = objects ? policy_path_each(f->path, read_text, &r, e)
				     : err_set(e, ERR_NOMEM, "policies");

	if (code == ERR_OK) {
		(void)pthread_mutex_lock(&f->mx);
		json_t *old = f->objects;
		f->objects = objects;
		(void)pthread_mutex_unlock(&f->mx);
		objects = old;
	}
	json_decref(objects);
	return code;
}

enum err_code policy_file_each(struct policy_file *f,
			       enum err_code (*each)(void *ctx, const json_t *object,
						     struct err *e),
			       void *ctx, struct err *e)
{
	struct reading r = { each, ctx };
	enum err_code code = ERR_OK;
	struct err mine;
	size_t i;
	json_t *one;

	e = e ? e : &mine;
	if (!f->shared)
		return policy_path_each(f->path, read_text, &r, e);
	(void)pthread_mutex_lock(&f->mx);
	json_array_foreach(f->objects, i, one)
	{
		if (code == ERR_OK)
			code = each(ctx, one, e);
	}
	(void)pthread_mutex_unlock(&f->mx);
	return code;
}

/* --- reading ------------------------------------------------------------------------------ */

static enum err_code make_set(struct policy_file *f, struct policy_set **ret, size_t *ret_skipped,
			      struct err *e)
{
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct policy_config config = *f->config;

	config.skip_other_kinds = true;
	enum err_code code = policy_builder_new(&config, &b, e);
	if (code == ERR_OK)
		code = policy_builder_origin(b, STR(POLICY_ORIGIN_FILES), e);
	if (code == ERR_OK)
		code = policy_builder_add_path(b, f->path, e);
	if (code != ERR_OK)
		return code;
	*ret_skipped = policy_builder_skipped(b);
	return policy_builder_finish(b, ret, e) == ERR_OK ? ERR_OK
							  : err_in(e, "policies '%s'", f->path);
}

static enum err_code load(struct policy_file *f, struct err *e)
{
	AUTO(policy_set_free) struct policy_set *set = NULL;
	size_t skipped = 0;
	enum err_code code = make_set(f, &set, &skipped, e);

	if (code == ERR_OK && f->shared)
		code = hold_objects(f, e);
	if (code != ERR_OK)
		return code;
	size_t count = policy_set_count(set);
	if (!f->shared || !f->is_published) {
		if (policy_publish(f->table, set, wall_now(), e) != ERR_OK)
			return err_in(e, "policies '%s'", f->path);
		(void)TAKE(set); /* the table's now */
		f->is_published = true;
	}
	f->count = count;
	f->skipped = skipped;
	return ERR_OK;
}

enum err_code policy_file_new(const char *path, const struct policy_config *config,
			      struct policy_table *t, bool shared, struct policy_file **ret,
			      struct err *e)
{
	struct err mine;
	struct stat st;

	e = e ? e : &mine;
	AUTO(policy_file_free) struct policy_file *f = malloc(sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "policies '%s'", path);
	*f = (struct policy_file){
		.path = str_dup(str_of(path)), .config = config, .table = t, .shared = shared
	};
	(void)pthread_mutex_init(&f->mx, NULL);
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
