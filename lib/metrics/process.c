#include "metrics/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>

#include "metrics/https.h"

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static bool memory_pages(unsigned long *ret_virtual, unsigned long *ret_resident)
{
	FILE *f = fopen("/proc/self/statm", "re");
	bool ok = f && fscanf(f, "%lu %lu", ret_virtual, ret_resident) == 2;

	if (f)
		(void)fclose(f);
	return ok;
}

/* Entries of a folder of /proc that are numbers. */
static size_t count_entries(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	if (!d)
		return 0;
	for (const struct dirent *entry; (entry = readdir(d));)
		n += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
	(void)closedir(d);
	return n;
}

static void collect_certificates(const struct process_info *info, struct metrics_page *p)
{
	bool begun = false;

	for (size_t i = 0; i < info->certificate_count; i++) {
		int64_t end_s;
		if (!info->certificates[i] || !https_certificate_end(info->certificates[i], &end_s))
			continue;
		if (!begun)
			page_family(p, "tycho_certificate_expiry_timestamp_seconds", METRIC_GAUGE,
				    "When the first certificate in this file ends");
		begun = true;
		struct page_label label = { "file", str_of(info->certificates[i]) };
		page_double(p, &label, 1, (double)end_s);
	}
}

void process_collect(void *ctx, struct metrics_page *p)
{
	const struct process_info *info = ctx;
	unsigned long pages_virtual = 0, pages_resident = 0;
	double page_bytes = (double)sysconf(_SC_PAGESIZE);
	struct rusage use = { 0 };
	struct rlimit files = { 0 };

	(void)getrusage(RUSAGE_SELF, &use);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	(void)memory_pages(&pages_virtual, &pages_resident);
	const struct page_label build[] = { { "program", str_of(info->program) },
					    { "version", str_of(info->version) } };
	page_family(p, "tycho_build_info", METRIC_GAUGE, "1, labelled with program and version");
	page_u64(p, build, ARRAY_LEN(build), 1);
	page_family(p, "process_cpu_seconds_total", METRIC_COUNTER,
		    "Processor time used, user and system, in seconds");
	page_double(p, NULL, 0, seconds(use.ru_utime) + seconds(use.ru_stime));
	page_gauge(p, "process_resident_memory_bytes", "Memory resident, in bytes",
		   (double)pages_resident * page_bytes);
	page_gauge(p, "process_virtual_memory_bytes", "Address space in use, in bytes",
		   (double)pages_virtual * page_bytes);
	page_gauge(p, "process_open_fds", "Descriptors open",
		   (double)count_entries("/proc/self/fd"));
	page_gauge(p, "process_max_fds", "Descriptors that may be open",
		   files.rlim_cur == RLIM_INFINITY ? -1 : (double)files.rlim_cur);
	page_gauge(p, "process_threads", "Threads", (double)count_entries("/proc/self/task"));
	page_gauge(p, "process_start_time_seconds", "When the process began, since the epoch",
		   (double)info->started.v / 1e9);
	collect_certificates(info, p);
}
