/*
 * memory.c - how much memory there is for this process, and how much it has.
 *
 * A control group's limit holds for all groups below it, so the path in /proc/self/cgroup is walked
 * upwards to the root. Inside a container that path may name nothing; then the root's limit counts.
 */
#include "fs/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4352

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t memory_limit_in(const char *path, uint64_t most)
{
	char line[64] = "";
	char *end = line;
	uint64_t value;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return most;
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	(void)fclose(file); /* only read */
	if (line[0] < '0' || line[0] > '9')
		return most;
	value = strtoull(line, &end, 10);
	return value > 0 ? lesser(value, most) : most;
}

/* The least limit of the group `path` below `root` and of all groups above it. */
static uint64_t group_limit(const char *root, const char *path, const char *name, uint64_t most)
{
	char group[LINE_MAX_BYTES], file[LINE_MAX_BYTES + 128];

	(void)snprintf(group, sizeof(group), "%s", path); /* a cut path names nothing: no limit */
	for (;;) {
		char *slash;

		(void)snprintf(file, sizeof(file), "%s%s/%s", root, group, name);
		most = memory_limit_in(file, most);
		slash = strrchr(group, '/');
		if (slash == NULL)
			return most;
		*slash = '\0';
	}
}

/* Lines of /proc/self/cgroup: "number:controllers:path"; v2 is number 0 without controllers. */
static uint64_t groups_limit(uint64_t most)
{
	char line[LINE_MAX_BYTES];
	FILE *file = fopen("/proc/self/cgroup", "re");

	if (file == NULL)
		return most;
	while (fgets(line, sizeof(line), file) != NULL) {
		char *controllers = strchr(line, ':');
		char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

		if (path == NULL)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (strcmp(controllers + 1, "") == 0)
			most = group_limit("/sys/fs/cgroup", path, "memory.max", most);
		else if (strcmp(controllers + 1, "memory") == 0)
			most = group_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes",
					   most);
	}
	(void)fclose(file); /* only read */
	return most;
}

uint64_t memory_usable(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t most = UINT64_MAX / 2;
	struct rlimit limit;

	if (pages > 0 && page > 0)
		most = (uint64_t)pages * (uint64_t)page;
	most = groups_limit(most);
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    limit.rlim_cur > 0)
		most = lesser(most, limit.rlim_cur);
	return most;
}

uint64_t memory_resident(void)
{
	unsigned long total, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	long page = sysconf(_SC_PAGESIZE);

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	(void)fclose(file); /* only read */
	return page > 0 ? (uint64_t)resident * (uint64_t)page : 0;
}

uint64_t memory_auto_cache(uint64_t usable)
{
	return usable / 4;
}

uint64_t memory_code_room(uint64_t usable, uint64_t cache_bytes)
{
	uint64_t left = usable > cache_bytes ? usable - cache_bytes : 0;

	return left / 3 * 2 + 1;
}
