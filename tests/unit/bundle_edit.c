#include "bundle_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence/archive.h"
#include "evidence/text.h"
#include "evidence_fixture.h"

enum { MAX_BYTES = 64 << 20 };

void edit_set(struct edit_file *f, struct str content)
{
	char *copy = malloc(content.len + 1);

	assert_non_null(copy);
	if (content.len)
		memcpy(copy, content.p, content.len);
	copy[content.len] = 0;
	free(f->content);
	f->content = copy;
	f->len = content.len;
}

static uint64_t mtime_of(const char *tar)
{
	uint64_t v = 0;

	for (size_t i = 136; i < 147; i++)
		v = v << 3 | (uint64_t)(tar[i] & 7);
	return v;
}

void bundle_edit_open(struct bundle_edit *b, const char *path)
{
	size_t len;
	AUTO(own_free) char *bytes = read_all(path, &len);
	struct str rest = str_n(bytes, len), frame;
	AUTO(frame_reader_free) struct frame_reader *reader = NULL;
	AUTO_BUF struct buf out = buf_init(MAX_BYTES);
	uint8_t sum[SHA256_BYTES];
	struct err e;

	*b = (struct bundle_edit){ 0 };
	assert_int_equal(frame_reader_new(&reader, &e), ERR_OK);
	assert_int_equal(archive_sum_split(&rest, sum, &e), ERR_OK);
	while (rest.len) {
		assert_int_equal(frame_next(&rest, &frame, &e), ERR_OK);
		assert_int_equal(frame_read(reader, frame, &out, &e), ERR_OK);
		struct str tar = buf_str(&out);
		struct tar_file f;
		enum err_code code;
		bool end;
		b->mtime_s = b->mtime_s ? b->mtime_s : mtime_of(tar.p);
		while (tar_next(&tar, b->mtime_s, &f, &end, &code, &e)) {
			if (str_eq(f.name, STR("manifest.json"))) {
				b->manifest = json_loadb(f.content.p, f.content.len, 0, NULL);
				continue;
			}
			assert_true(b->count < EDIT_FILES);
			struct edit_file *to = &b->files[b->count++];
			(void)snprintf(to->name, sizeof to->name, "%.*s", STR_FMT(f.name));
			to->content = NULL;
			edit_set(to, f.content);
		}
		assert_int_equal(code, ERR_OK);
	}
	assert_non_null(b->manifest);
}

void bundle_edit_done(struct bundle_edit *b)
{
	for (size_t i = 0; i < b->count; i++)
		free(b->files[i].content);
	json_decref(b->manifest);
}

struct edit_file *bundle_edit_file(struct bundle_edit *b, const char *name)
{
	for (size_t i = 0; i < b->count; i++)
		if (str_has_suffix(str_of(b->files[i].name), str_of(name)))
			return &b->files[i];
	fail_msg("no file %s", name);
	return NULL;
}

void edit_replace(struct edit_file *f, const char *from, const char *to)
{
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	char *at = memmem(f->content, f->len, from, strlen(from));

	if (!at)
		fail_msg("'%s' is not in %s", from, f->name);
	buf_put(&b, f->content, (size_t)(at - f->content));
	buf_str_put(&b, str_of(to));
	buf_str_put(&b,
		    str_from(str_n(f->content, f->len), (size_t)(at - f->content) + strlen(from)));
	edit_set(f, buf_str(&b));
}

/* The lines but number @skip, and @line before line @before. */
static void rebuild(struct edit_file *f, size_t skip, struct str line, size_t before)
{
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	struct str rest = str_n(f->content, f->len);

	for (size_t i = 0; rest.len; i++) {
		size_t n = str_find(rest, '\n') + 1;
		if (i == before)
			buf_str_put(&b, line);
		if (i != skip)
			buf_str_put(&b, str_upto(rest, n));
		rest = str_from(rest, n);
	}
	edit_set(f, buf_str(&b));
}

static char *copy_line(const struct edit_file *f, size_t n)
{
	struct str rest = str_n(f->content, f->len);

	while (n--)
		rest = str_from(rest, str_find(rest, '\n') + 1);
	char *line = str_dup(str_upto(rest, str_find(rest, '\n') + 1));
	assert_true(line && *line);
	return line;
}

void edit_line_remove(struct edit_file *f, size_t n)
{
	rebuild(f, n, STR(""), SIZE_MAX);
}

void edit_line_move(struct edit_file *f, size_t n, size_t to)
{
	AUTO(own_free) char *line = copy_line(f, n);

	rebuild(f, n, str_of(line), to);
}

void edit_line_repeat(struct edit_file *f, size_t n)
{
	AUTO(own_free) char *line = copy_line(f, n);

	rebuild(f, SIZE_MAX, str_of(line), n);
}

json_t *bundle_edit_node(struct bundle_edit *b)
{
	return json_array_get(json_object_get(b->manifest, "nodes"), 0);
}

/* "nodes/1/000001/" of a chunk's file; "" of others. */
static struct str chunk_of(const char *name)
{
	struct str s = str_of(name);
	size_t slash = str_find_last(s, '/');
	struct str dir = str_upto(s, slash < s.len ? slash : 0);

	return str_find_last(dir, '/') == 5 || !dir.len ? STR("") : dir;
}

static void list(json_t *files, const char *name, struct str content, bool with_sum)
{
	uint8_t sum[SHA256_BYTES];
	char hex[65], bytes[24];
	struct buf text = buf_fixed(hex, sizeof hex);
	json_t *one = json_object();

	sha256(content, sum);
	hex_put(&text, str_n(sum, sizeof sum));
	(void)buf_cstr(&text);
	(void)snprintf(bytes, sizeof bytes, "%zu", content.len);
	(void)json_object_set_new(one, "name", json_string(name));
	(void)json_object_set_new(one, "bytes", json_string(bytes));
	if (with_sum)
		(void)json_object_set_new(one, "sha256", json_string(hex));
	(void)json_array_append_new(files, one);
}

/* Compresses @tar and empties it. */
static void end_frame(struct buf *out, struct buf *tar)
{
	struct err e;

	assert_int_equal(frame_put(out, buf_str(tar), &e), ERR_OK);
	buf_reset(tar);
}

void write_file(const char *path, struct str bytes)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes.p, 1, bytes.len, f), bytes.len);
	assert_int_equal(fclose(f), 0);
}

void bundle_edit_write(struct bundle_edit *b, const char *path, bool keep_list)
{
	AUTO_BUF struct buf out = buf_init(MAX_BYTES), tar = buf_init(MAX_BYTES),
			    first = buf_init(MAX_BYTES), rest = buf_init(MAX_BYTES);
	json_t *files = json_array();
	struct archive_sum pieces;
	uint8_t sum[SHA256_BYTES];
	struct str frame = STR("");
	struct err e;

	for (size_t i = 0; i < b->count; i++) {
		const struct edit_file *f = &b->files[i];
		struct str content = str_n(f->content, f->len), chunk = chunk_of(f->name);
		bool is_report = strcmp(f->name, "report.html") == 0;
		if (tar.len && (is_report || !str_eq(chunk, frame)))
			end_frame(&rest, &tar);
		frame = chunk;
		list(files, f->name, content, !chunk.len);
		tar_put(chunk.len || is_report ? &tar : &first, f->name, content, b->mtime_s);
	}
	tar_end(&tar);
	end_frame(&rest, &tar);
	if (!keep_list)
		(void)json_object_set(b->manifest, "files", files);
	json_decref(files);
	char *text = json_dumps(b->manifest, JSON_COMPACT);
	assert_non_null(text);
	tar_put(&tar, "manifest.json", str_of(text), b->mtime_s);
	free(text);
	buf_str_put(&tar, buf_str(&first));
	assert_int_equal(frame_put(&out, buf_str(&tar), &e), ERR_OK);
	buf_str_put(&out, buf_str(&rest));
	archive_sum_init(&pieces);
	archive_sum_add(&pieces, buf_str(&out));
	archive_sum_end(&pieces, sum);
	archive_sum_put(&out, sum);
	assert_false(out.failed);
	write_file(path, buf_str(&out));
}
