#include "relay/peers_file.h"

#include "base/watch.h"
#include "relay/peers.h"

enum { FILE_MAX_BYTES = 8 << 20 };

struct peers_file {
	char *path;
	struct file_watch *watch;
	struct peers *peers;
};

void peers_file_free(struct peers_file *f)
{
	if (!f)
		return;
	file_watch_free(f->watch);
	free(f->path);
	free(f);
}

int peers_file_fd(const struct peers_file *f)
{
	return file_watch_fd(f->watch);
}

static enum err_code load(struct peers_file *f, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(FILE_MAX_BYTES);
	size_t line_number = 0, count = 0, lines = 1;
	struct str line;

	enum err_code code = file_read(f->path, "the peers file", &text, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < text.len; i++)
		lines += text.p[i] == '\n';
	AUTO(own_free) struct peer_spec *specs = calloc(lines, sizeof *specs);
	if (!specs)
		return err_set(e, ERR_NOMEM, "the peers file '%s'", f->path);
	for (struct str rest = buf_str(&text); str_split(&rest, '\n', &line);) {
		line_number++;
		line = str_trim(str_upto(line, str_find(line, '#')));
		if (!line.len)
			continue;
		if (peer_spec_parse(line, &specs[count++], e) != ERR_OK) {
			(void)err_in(e, "the peers file '%s', line %zu", f->path, line_number);
			return e->code = ERR_PARSE;
		}
	}
	if (peers_set(f->peers, PEER_FILE, specs, count, e) != ERR_OK)
		return err_in(e, "the peers file '%s'", f->path);
	return ERR_OK;
}

enum err_code peers_file_new(const char *path, struct peers *peers, struct peers_file **ret,
			     struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(peers_file_free) struct peers_file *f = malloc(sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "the peers file '%s'", path);
	*f = (struct peers_file){ .path = str_dup(str_of(path)), .peers = peers };
	if (!f->path)
		return err_set(e, ERR_NOMEM, "the peers file '%s'", path);
	/* Watched before it is read, so that no change falls between the two. */
	if (file_watch_new(path, &f->watch, e) != ERR_OK || load(f, e) != ERR_OK)
		return e->code;
	*ret = TAKE(f);
	return ERR_OK;
}

enum err_code peers_file_poll(struct peers_file *f, bool always, struct err *e)
{
	struct err mine;

	if (!file_watch_changed(f->watch) && !always)
		return err_set(e, ERR_AGAIN, "the peers file '%s' has not changed", f->path);
	return load(f, e ? e : &mine);
}
