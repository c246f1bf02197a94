#include "cel/zone.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cel/number.h"

static const char *const directory = "/usr/share/zoneinfo";

enum {
	FILE_MAX_BYTES = 1 << 16,
	NAME_MAX_BYTES = 100,
	HEADER_BYTES = 44, /* "TZif", version, 15 reserved, six counts */
	TYPE_BYTES = 6,    /* of a local time type: offset, is it summer, name */
};

struct change {
	int64_t from_s; /* since the epoch */
	int32_t east_s;
};

struct zone {
	size_t count;
	struct change changes[]; /* ascending; the first one is for all time before the second */
};

static struct zone *zone_of(size_t count)
{
	struct zone *z = calloc(1, sizeof *z + count * sizeof z->changes[0]);

	if (z)
		z->count = count;
	return z;
}

static enum err_code fixed_zone(struct str name, size_t colon, struct zone **ret, struct err *e)
{
	int64_t hours, minutes;

	if (!parse_int(str_upto(name, colon), &hours) ||
	    !parse_int(str_from(name, colon + 1), &minutes) || hours < -9999 || hours > 9999)
		return err_set(e, ERR_INVALID, "invalid time zone offset: %.*s", STR_FMT(name));
	if (minutes < 0 || minutes > 59)
		return err_set(e, ERR_INVALID, "timezone offset minutes out of range [0, 59]: %.*s",
			       STR_FMT(name));
	struct zone *z = zone_of(1);
	if (!z)
		return err_set(e, ERR_NOMEM, "time zone");
	minutes = name.p[0] == '-' ? hours * 60 - minutes : hours * 60 + minutes;
	z->changes[0] = (struct change){ INT64_MIN, (int32_t)(minutes * 60) };
	*ret = z;
	return ERR_OK;
}

/* Big-endian, signed; @bytes is 4 or 8. */
static int64_t number_at(const uint8_t *p, size_t bytes)
{
	uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

/* One of the two data blocks of a file (RFC 8536 §3.2): the numbers of its parts, and its length
 * without the header. */
struct block {
	size_t transitions, types, bytes;
};

static bool read_header(const uint8_t *p, size_t len, size_t time_bytes, struct block *ret)
{
	uint64_t counts[6];

	if (len < HEADER_BYTES || memcmp(p, "TZif", 4) != 0)
		return false;
	for (size_t i = 0; i < 6; i++) {
		counts[i] = (uint64_t)number_at(p + 20 + 4 * i, 4);
		if (counts[i] > FILE_MAX_BYTES)
			return false;
	}
	/* the counts: UT and standard indicators, leap seconds, transitions, types, characters */
	*ret = (struct block){ .transitions = counts[3], .types = counts[4] };
	ret->bytes = counts[3] * (time_bytes + 1) + counts[4] * TYPE_BYTES + counts[5] +
		     counts[2] * (time_bytes + 4) + counts[1] + counts[0];
	return ret->types > 0 && ret->bytes <= len - HEADER_BYTES;
}

static struct zone *read_block(const uint8_t *p, const struct block *b, size_t time_bytes)
{
	const uint8_t *indices = p + b->transitions * time_bytes, *types = indices + b->transitions;
	struct zone *z = zone_of(b->transitions + 1);

	if (!z)
		return NULL;
	z->changes[0] = (struct change){ INT64_MIN, (int32_t)number_at(types, 4) };
	for (size_t i = 0; i < b->transitions; i++) {
		size_t type = indices[i] < b->types ? indices[i] : 0;

		z->changes[i + 1] =
			(struct change){ number_at(p + i * time_bytes, time_bytes),
					 (int32_t)number_at(types + type * TYPE_BYTES, 4) };
	}
	return z;
}

/* The second block, with times of 64 bits, where the file has one. */
static struct zone *read_file(const uint8_t *p, size_t len)
{
	struct block b;

	if (!read_header(p, len, 4, &b))
		return NULL;
	if (p[4] < '2')
		return read_block(p + HEADER_BYTES, &b, 4);
	p += HEADER_BYTES + b.bytes;
	len -= HEADER_BYTES + b.bytes;
	return read_header(p, len, 8, &b) ? read_block(p + HEADER_BYTES, &b, 8) : NULL;
}

/* Names stay within the directory. */
static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (!c || !strchr("/_-+", c)))
			return false;
	}
	return name.len <= NAME_MAX_BYTES;
}

enum err_code zone_new(struct str name, struct zone **ret, struct err *e)
{
	char path[NAME_MAX_BYTES + 32];
	size_t colon = str_find(name, ':'), len = 0;

	if (colon < name.len)
		return fixed_zone(name, colon, ret, e);
	if (!name.len || str_is(name, "UTC"))
		return fixed_zone(STR("0:0"), 1, ret, e);
	if (!is_name(name))
		return err_set(e, ERR_NOT_FOUND, "unknown time zone %.*s", STR_FMT(name));
	(void)snprintf(path, sizeof path, "%s/%.*s", directory, STR_FMT(name));
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO(own_free) uint8_t *bytes = malloc(FILE_MAX_BYTES);
	if (!bytes)
		return err_set(e, ERR_NOMEM, "time zone");
	for (ssize_t n = 1; fd >= 0 && n > 0 && len<FILE_MAX_BYTES; len += n> 0 ? (size_t)n : 0)
		n = read(fd, bytes + len, FILE_MAX_BYTES - len);
	struct zone *z = read_file(bytes, len);
	if (!z)
		return err_set(e, ERR_NOT_FOUND, "unknown time zone %.*s", STR_FMT(name));
	*ret = z;
	return ERR_OK;
}

void zone_free(struct zone *z)
{
	free(z);
}

int32_t zone_offset_s(const struct zone *z, int64_t epoch_s)
{
	size_t low = 0, high = z->count;

	/* the last change that is not after the time */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (z->changes[middle].from_s <= epoch_s)
			low = middle;
		else
			high = middle;
	}
	return z->changes[low].east_s;
}
