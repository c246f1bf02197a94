#include "observer/name/file.h"

#include "base/watch.h"
#include "observer/name/endpoints.h"

struct name_file {
	char *path;
	struct file_watch *watch;
	struct name_table *table;
	unsigned who;
};

void name_file_free(struct name_file *f)
{
	if (!f)
		return;
	file_watch_free(f->watch);
	free(f->path);
	free(f);
}

int name_file_fd(const struct name_file *f)
{
	return file_watch_fd(f->watch);
}

static enum err_code load(struct name_file *f, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(ENDPOINTS_TEXT_MAX);
	AUTO(endpoints_free) struct endpoints *parsed = NULL;
	enum err_code code = file_read(f->path, "the endpoint file", &text, e);

	if (code != ERR_OK)
		return code;
	if (endpoints_parse(buf_str(&text), &parsed, e) != ERR_OK)
		return err_in(e, "endpoint file '%s'", f->path);
	struct name_view view = endpoints_view(parsed);
	if (name_update(f->table, f->who, &view, e) != ERR_OK)
		return err_in(e, "endpoint file '%s'", f->path);
	return ERR_OK;
}

enum err_code name_file_new(const char *path, unsigned who, struct name_table *t,
			    struct name_file **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(name_file_free) struct name_file *f = malloc(sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "endpoint file '%s'", path);
	*f = (struct name_file){ .path = str_dup(str_of(path)), .table = t, .who = who };
	if (!f->path)
		return err_set(e, ERR_NOMEM, "endpoint file '%s'", path);
	/* Watched before it is read, so that no change falls between the two. */
	if (file_watch_new(path, &f->watch, e) != ERR_OK || load(f, e) != ERR_OK)
		return e->code;
	*ret = TAKE(f);
	return ERR_OK;
}

enum err_code name_file_poll(struct name_file *f, struct err *e)
{
	struct err mine;

	if (!file_watch_changed(f->watch))
		return err_set(e, ERR_AGAIN, "the endpoint file '%s' has not changed", f->path);
	return load(f, e ? e : &mine);
}
