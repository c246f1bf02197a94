#include "observer/source/kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 2 * KERNEL_LOG_LINE_MAX, IFNAMES = 64 };
static const uint64_t ifname_ns = 10 * NS_PER_S;

struct ifindex {
	char name[IF_NAMESIZE];
	uint32_t index; /* 0: no interface here */
	struct mono_ns read_at;
};

struct source_kernel_log {
	struct source source;
	int fd;
	struct nflog_pattern *pattern;
	enum raw_verdict otherwise;
	uint64_t next_sequence; /* of the record to come; 0: not known */
	uint64_t lost;          /* not told yet */
	bool skipping;          /* the rest of a line that is too long */
	size_t from, to;        /* what is left in the buffer */
	struct ifindex ifindexes[IFNAMES];
	char buffer[BUFFER_BYTES];
};

static uint32_t ifindex_of(struct source_kernel_log *s, struct str name, struct mono_ns now,
			   const char **ret_name)
{
	struct ifindex *n = &s->ifindexes[hash_bytes(name.p, name.len, 0) % IFNAMES];

	*ret_name = n->name;
	if (!name.len || name.len >= IF_NAMESIZE) {
		*ret_name = "";
		return 0;
	}
	if (!str_is(name, n->name) || now.v - n->read_at.v > ifname_ns) {
		memcpy(n->name, name.p, name.len);
		n->name[name.len] = 0;
		n->index = if_nametoindex(n->name);
		n->read_at = now;
	}
	return n->index;
}

static bool emit(struct source_kernel_log *s, struct str message, struct mono_ns now,
		 struct raw_sink *sink)
{
	struct raw_event ev = { .kind = RAW_VERDICT, .mono = now, .cpu = -1, .l3 = true };
	struct kernel_log_line line;

	if (!kernel_log_read(message, &line))
		return false;
	if (!nflog_pattern_read(s->pattern, line.prefix, &ev))
		ev.verdict = s->otherwise;
	/* such prefixes like to end with a colon; the name does not */
	if (ev.policy.len && ev.policy.p[ev.policy.len - 1] == ':')
		ev.policy.len--;
	ev.packet = str_n(line.packet, line.packet_bytes);
	ev.packet_bytes = line.length_bytes;
	ev.ethertype = line.ethertype;
	bool out_first = ev.direction == RAW_DIR_EGRESS;
	struct str name = out_first ? (line.out.len ? line.out : line.in)
				    : (line.in.len ? line.in : line.out);
	ev.ifindex = ifindex_of(s, name, now, &ev.ifname);
	sink->event(sink, &ev);
	return true;
}

/* False: the record is to be taken again, after a loss was told. */
static bool take_record(struct source_kernel_log *s, struct str record, struct mono_ns now,
			struct raw_sink *sink, size_t *events)
{
	struct str message;
	uint64_t sequence;
	bool is_kernel;

	if (!kernel_log_head(record, &sequence, &is_kernel, &message))
		return true;
	if (s->next_sequence && sequence > s->next_sequence) {
		s->lost += sequence - s->next_sequence;
		s->next_sequence = sequence;
		return false;
	}
	s->next_sequence = sequence + 1;
	if (is_kernel && emit(s, message, now, sink))
		++*events;
	return true;
}

/* The next whole line in the buffer. */
static bool next_line(const struct source_kernel_log *s, struct str *ret)
{
	struct str left = str_n(s->buffer + s->from, s->to - s->from);
	size_t end = str_find(left, '\n');

	*ret = str_upto(left, end);
	return end < left.len;
}

/* More into the buffer. False: nothing there. */
static bool receive(struct source_kernel_log *s)
{
	if (s->from) {
		memmove(s->buffer, s->buffer + s->from, s->to - s->from);
		s->to -= s->from;
		s->from = 0;
	}
	if (s->to > KERNEL_LOG_LINE_MAX) {
		s->lost += !s->skipping;
		s->skipping = true;
		s->to = 0;
	}
	ssize_t n = read(s->fd, s->buffer + s->to, sizeof s->buffer - s->to);
	/* EPIPE: overrun; the next record says by how much. EINVAL: a record longer than any. */
	if (n < 0 && (errno == EPIPE || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	s->to += (size_t)n;
	return true;
}

static size_t kernel_log_drain(struct source *source, struct raw_sink *sink, size_t max)
{
	struct source_kernel_log *s = (struct source_kernel_log *)source;
	struct mono_ns now = mono_now();
	size_t events = 0, seen = 0;
	struct str line;

	/* lines of others are work, too */
	while (events < max && seen < max) {
		if (s->lost) {
			struct raw_event ev = {
				.kind = RAW_LOST, .mono = now, .lost = s->lost, .cpu = -1
			};
			sink->event(sink, &ev);
			s->lost = 0;
			events++;
		} else if (next_line(s, &line)) {
			if (!s->skipping && !take_record(s, line, now, sink, &events))
				continue;
			s->skipping = false;
			s->from += line.len + 1;
			seen++;
		} else if (!receive(s)) {
			break;
		}
	}
	return events;
}

static int kernel_log_fd(const struct source *source)
{
	return ((const struct source_kernel_log *)source)->fd;
}

static void kernel_log_free(struct source *source)
{
	struct source_kernel_log *s = (struct source_kernel_log *)source;

	if (s->fd >= 0)
		(void)close(s->fd);
	nflog_pattern_free(s->pattern);
	free(s);
}

static size_t kernel_log_figures(const struct source *source,
				 struct source_figure out[SOURCE_FIGURES])
{
	return nflog_pattern_figures(((const struct source_kernel_log *)source)->pattern, out);
}

static const struct source_ops kernel_log_ops = {
	.name = "kernel-log",
	.fd = kernel_log_fd,
	.drain = kernel_log_drain,
	.figures = kernel_log_figures,
	.free = kernel_log_free,
};

static enum err_code open_log(struct source_kernel_log *s, const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_os(e, "kernel log '%s'", path);
	if (!S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode))
		return err_set(e, ERR_INVALID, "kernel log '%s': no device and no pipe", path);
	/* a pipe that is held open does not end with its writer */
	s->fd = open(path, (S_ISFIFO(st.st_mode) ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	if (s->fd < 0 && (errno == EPERM || errno == EACCES))
		return err_set(e, ERR_PERMISSION,
			       "kernel log '%s': this needs CAP_SYSLOG where kernel.dmesg_restrict "
			       "is 1, and a container that may use the device",
			       path);
	if (s->fd < 0)
		return err_os(e, "kernel log '%s'", path);
	if (S_ISCHR(st.st_mode))
		(void)lseek(s->fd, 0, SEEK_END); /* what was logged before is not of now */
	return ERR_OK;
}

enum err_code source_kernel_log_new(const struct source_kernel_log_config *config,
				    struct source **ret, struct err *e)
{
	static const enum raw_verdict verdicts[] = {
		[NFLOG_OTHERWISE_AUDIT] = RAW_AUDIT,
		[NFLOG_OTHERWISE_ALLOW] = RAW_ALLOW,
		[NFLOG_OTHERWISE_DENY] = RAW_DENY,
	};
	struct source_kernel_log *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "kernel log");
	s->source.ops = &kernel_log_ops;
	s->fd = -1;
	s->otherwise = verdicts[config->otherwise];
	AUTO(source_free) struct source *guard = &s->source;
	enum err_code code = nflog_pattern_new(config->pattern, &s->pattern, e);
	if (code == ERR_OK)
		code = open_log(s, config->path, e);
	if (code == ERR_OK)
		*ret = TAKE(guard);
	return code;
}
