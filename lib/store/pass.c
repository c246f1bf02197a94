#include "store/pass.h"

static int on_close(sqlite3_file *f)
{
	return PASS(f, xClose);
}
static int on_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return PASS(f, xRead, to, n, at);
}
static int on_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
	return PASS(f, xWrite, bytes, n, at);
}
static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return PASS(f, xTruncate, size);
}
static int on_sync(sqlite3_file *f, int flags)
{
	return PASS(f, xSync, flags);
}
static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return PASS(f, xFileSize, ret);
}
static int on_lock(sqlite3_file *f, int level)
{
	return PASS(f, xLock, level);
}
static int on_unlock(sqlite3_file *f, int level)
{
	return PASS(f, xUnlock, level);
}
static int on_reserved(sqlite3_file *f, int *ret)
{
	return PASS(f, xCheckReservedLock, ret);
}
static int on_control(sqlite3_file *f, int op, void *arg)
{
	return PASS(f, xFileControl, op, arg);
}
static int on_sector(sqlite3_file *f)
{
	return PASS(f, xSectorSize);
}
static int on_character(sqlite3_file *f)
{
	return PASS(f, xDeviceCharacteristics);
}
static int on_map(sqlite3_file *f, int page, int bytes, int extend, void volatile **ret)
{
	return PASS(f, xShmMap, page, bytes, extend, ret);
}
static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return PASS(f, xShmLock, at, n, flags);
}
static void on_barrier(sqlite3_file *f)
{
	PASS(f, xShmBarrier);
}
static int on_unmap(sqlite3_file *f, int remove)
{
	return PASS(f, xShmUnmap, remove);
}

const sqlite3_io_methods pass_methods = {
	.iVersion = 2,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_reserved,
	.xFileControl = on_control,
	.xSectorSize = on_sector,
	.xDeviceCharacteristics = on_character,
	.xShmMap = on_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_barrier,
	.xShmUnmap = on_unmap,
};

int pass_open(sqlite3_file *f, size_t bytes, const sqlite3_io_methods *methods, sqlite3_vfs *vfs,
	      const char *name, int flags, int *ret_flags)
{
	struct pass_file *file = (struct pass_file *)f;

	file->real = (sqlite3_file *)((char *)f + bytes);
	int rc = vfs->xOpen(vfs, name, file->real, flags, ret_flags);
	file->base.pMethods = file->real->pMethods ? methods : NULL;
	return rc;
}
