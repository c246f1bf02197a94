/* What a peer has sent, as one piece of memory. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <zlib.h>

#include "base/buf.h"
#include "rpc/inside.h"

enum {
	CHUNK_BYTES = 16 << 10,
	ANY_HEADER = 32 + MAX_WBITS, /* zlib.h, inflateInit2: zlib's header or gzip's */
};

static bool inflate_piece(z_stream *z, const grpc_slice *piece, struct buf *out, bool *is_whole)
{
	unsigned char chunk[CHUNK_BYTES];

	z->next_in = (Bytef *)(uintptr_t)GRPC_SLICE_START_PTR(*piece);
	z->avail_in = (uInt)GRPC_SLICE_LENGTH(*piece);
	do {
		z->next_out = chunk;
		z->avail_out = sizeof chunk;
		int code = inflate(z, Z_NO_FLUSH);
		if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
			return false;
		buf_put(out, chunk, sizeof chunk - z->avail_out);
		*is_whole = code == Z_STREAM_END;
	} while (!*is_whole && !out->failed && (z->avail_in || !z->avail_out));
	return true;
}

static enum rpc_status unpack(grpc_byte_buffer_reader *reader, size_t max_bytes, char **ret,
			      size_t *ret_bytes)
{
	AUTO_BUF struct buf out = buf_init(max_bytes);
	z_stream z = { 0 };
	grpc_slice *piece;
	bool is_whole = false, is_sound = true;

	if (inflateInit2(&z, ANY_HEADER) != Z_OK)
		return RPC_RESOURCE_EXHAUSTED;
	while (is_sound && !is_whole && !out.failed && grpc_byte_buffer_reader_peek(reader, &piece))
		is_sound = inflate_piece(&z, piece, &out, &is_whole);
	(void)inflateEnd(&z);
	if (out.failed)
		return RPC_RESOURCE_EXHAUSTED;
	if (!is_whole)
		return RPC_INTERNAL;
	*ret_bytes = out.len;
	*ret = TAKE(out.p);
	return RPC_OK;
}

static enum rpc_status open_packed(struct message *m, grpc_byte_buffer_reader *reader,
				   size_t max_bytes, struct str *ret)
{
	grpc_compression_algorithm how = m->bb->data.raw.compression;
	size_t bytes;

	if (how != GRPC_COMPRESS_GZIP && how != GRPC_COMPRESS_DEFLATE)
		return RPC_INTERNAL;
	enum rpc_status status = unpack(reader, max_bytes, &m->unpacked, &bytes);
	if (status == RPC_OK)
		*ret = m->unpacked ? str_n(m->unpacked, bytes) : STR("");
	return status;
}

enum rpc_status message_open(struct message *m, grpc_byte_buffer *bb_take, size_t max_bytes,
			     struct str *ret)
{
	grpc_byte_buffer_reader reader;
	enum rpc_status status = RPC_OK;
	grpc_slice *first;

	*m = (struct message){ .bb = bb_take };
	if (!grpc_byte_buffer_reader_init(&reader, m->bb))
		return RPC_INTERNAL;
	if (m->bb->data.raw.compression != GRPC_COMPRESS_NONE) {
		status = open_packed(m, &reader, max_bytes, ret);
	} else if (!grpc_byte_buffer_reader_peek(&reader, &first)) {
		*ret = STR("");
	} else if (GRPC_SLICE_LENGTH(*first) == grpc_byte_buffer_length(m->bb)) {
		*ret = slice_str(first); /* lies in the byte buffer itself, which we keep */
	} else {
		grpc_byte_buffer_reader_destroy(&reader);
		if (!grpc_byte_buffer_reader_init(&reader, m->bb))
			return RPC_INTERNAL;
		m->whole = grpc_byte_buffer_reader_readall(&reader);
		m->has_whole = true;
		*ret = slice_str(&m->whole);
	}
	grpc_byte_buffer_reader_destroy(&reader);
	return status;
}

void message_close(struct message *m)
{
	if (m->has_whole)
		grpc_slice_unref(m->whole);
	free(m->unpacked);
	grpc_byte_buffer_destroy(m->bb);
	*m = (struct message){ 0 };
}

const char *message_fault(enum rpc_status status)
{
	return status == RPC_RESOURCE_EXHAUSTED ? "is too large" : "cannot be read";
}
