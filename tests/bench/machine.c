/*
 * machine.c - from /proc, uname, and the environment that scripts/bench-ann sets.
 */
#include "tests/bench/machine.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ann/dist.h"
#include "ann/workers.h"

/* The value of the first line of file that starts with key. */
static void copy_line(FILE *out, const char *file, const char *key)
{
	FILE *in = fopen(file, "r");
	char line[4096];

	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		char *value = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) != 0 || value == NULL)
			continue;
		value += 1 + strspn(value + 1, " \t");
		fprintf(out, "# %s\t%s", key, value);
		break;
	}
	if (in != NULL)
		fclose(in);
}

/* The word in brackets of a setting's file. */
static void copy_choice(FILE *out, const char *file, const char *key)
{
	FILE *in = fopen(file, "r");
	char line[256], word[64];

	if (in == NULL)
		return;
	if (fgets(line, sizeof(line), in) != NULL && strchr(line, '[') != NULL &&
	    sscanf(strchr(line, '['), "[%63[^]]", word) == 1)
		fprintf(out, "# %s\t%s\n", key, word);
	fclose(in);
}

void machine_describe(FILE *out)
{
	const char *commit = getenv("BENCH_COMMIT"), *versions = getenv("BENCH_VERSIONS");
	struct utsname system;

	fprintf(out, "# commit\t%s\n", commit != NULL ? commit : "unknown");
	fprintf(out, "# versions\t%s\n", versions != NULL ? versions : "unknown");
	copy_line(out, "/proc/cpuinfo", "model name");
	copy_line(out, "/proc/cpuinfo", "cpu family");
	copy_line(out, "/proc/cpuinfo", "cache size");
	fprintf(out, "# cores\t%u\n# kernels\t%s\n", workers_cores(), dist_kernels()->name);
	copy_line(out, "/proc/meminfo", "MemTotal");
	copy_choice(out, "/sys/kernel/mm/transparent_hugepage/enabled", "huge pages");
	if (uname(&system) == 0)
		fprintf(out, "# system\t%s %s\n", system.sysname, system.release);
}

void machine_load(FILE *out, const char *key)
{
	double load = 0;

	if (getloadavg(&load, 1) == 1)
		fprintf(out, "# %s\t%.2f\n", key, load);
}

int machine_join_group(void)
{
	const char *group = getenv("MEMORY_GROUP");
	char path[4096];
	FILE *file;
	bool good;

	if (group == NULL || group[0] == '\0')
		return 0;
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	file = fopen(path, "w");
	if (file == NULL)
		return -1;
	good = fprintf(file, "%d\n", (int)getpid()) > 0;
	return fclose(file) == 0 && good ? 0 : -1;
}
