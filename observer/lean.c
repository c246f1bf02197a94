#include "observer/lean.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	ARENAS = 2,
	/* From this size on blocks are mappings of their own, which go back when they are freed.
	 * Said aloud, it stays: otherwise it grows with the largest block that was freed. */
	MAPPING_BYTES = 128 << 10,
	TOP_BYTES = 128 << 10, /* kept at the end of the heap */
};

void lean_start(void)
{
	(void)mallopt(M_ARENA_MAX, ARENAS);
	(void)mallopt(M_MMAP_THRESHOLD, MAPPING_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, TOP_BYTES);
}

void lean_heap(void)
{
	(void)malloc_trim(0);
}

/* True if its code was changed when it was loaded: those pages are not those of the file. */
static bool is_relocated_in_place(const struct dl_phdr_info *object)
{
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		if (segment->p_type != PT_DYNAMIC)
			continue;
		const ElfW(Dyn) *entry = (const void *)(object->dlpi_addr + segment->p_vaddr);
		for (; entry->d_tag != DT_NULL; entry++)
			if (entry->d_tag == DT_TEXTREL ||
			    (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_TEXTREL))
				return true;
	}
	return false;
}

static int let_go(struct dl_phdr_info *object, size_t bytes, void *ctx)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)bytes;
	(void)ctx;
	if (is_relocated_in_place(object))
		return 0;
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t from = object->dlpi_addr + segment->p_vaddr;
		uintptr_t to = from + segment->p_filesz;

		/* What may be written, or could until relocation was done, is ours alone. */
		if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
			continue;
		from = (from + page - 1) / page * page;
		to = to / page * page;
		if (from < to)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void lean_image(void)
{
	(void)dl_iterate_phdr(let_go, NULL);
}
