/*
 * listing.c - several processes write, list and remove at once: what one of them finished must show
 * in its own next listing, whoever else is listing meanwhile, begins to and stops, or keeps the folder
 * open and starts again. Called by listing.sh with the folder of
 * vectors, bytes a vector, and seconds.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 6
#define VALUE_MAX 65536

static DIR *open_dir(const char *folder)
{
	DIR *dir = opendir(folder);

	if (dir == NULL) {
		perror(folder);
		exit(1);
	}
	return dir;
}

static bool shows(DIR *dir, const char *name)
{
	struct dirent *entry;
	bool found = false;

	while ((entry = readdir(dir)) != NULL)
		found |= strcmp(entry->d_name, name) == 0;
	return found;
}

/* By turns: opened anew; opened anew after somebody stopped early; kept open and rewound. */
static bool listed(const char *folder, const char *name, unsigned long round)
{
	static DIR *kept;
	DIR *dir = NULL;
	bool found;

	if (round % 3 == 0) {
		if (kept == NULL)
			kept = open_dir(folder);
		rewinddir(kept);
		found = shows(kept, name);
		if (round % 4 != 0)
			return found;
		closedir(kept);
		kept = NULL;
		return found;
	}
	if (round % 3 == 1) {
		dir = open_dir(folder);
		(void)readdir(dir);
		closedir(dir);
	}
	dir = open_dir(folder);
	found = shows(dir, name);
	closedir(dir);
	return found;
}

static bool put(const char *path, size_t size)
{
	static float value[VALUE_MAX / 4];
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	bool done;

	value[0] = 1.0f;
	done = fd >= 0 && write(fd, value, size) == (ssize_t)size;
	return fd >= 0 && close(fd) == 0 && done;
}

static int work(const char *folder, size_t size, int number, time_t seconds)
{
	time_t end = time(NULL) + seconds;
	unsigned long rounds = 0;
	char path[4096], name[64], other[4096];

	for (; time(NULL) < end; rounds++) {
		snprintf(name, sizeof(name), "process-%d-%lu", number, rounds % 7);
		snprintf(path, sizeof(path), "%s/%s", folder, name);
		if (!put(path, size)) {
			perror(path);
			return 1;
		}
		if (!listed(folder, name, rounds)) {
			printf("not ok - %s was written and is not listed (round %lu)\n", name,
			       rounds);
			return 1;
		}
		/* json/ has the same names: the kernel does not see that this one goes. */
		snprintf(other, sizeof(other), "%s/../json/%s", folder, name);
		if (unlink(rounds % 4 == 1 ? other : path) != 0) {
			perror(path);
			return 1;
		}
		if (listed(folder, name, rounds)) {
			printf("not ok - %s was removed and is listed (round %lu)\n", name, rounds);
			return 1;
		}
		if (access(path, F_OK) == 0) {
			printf("not ok - %s was removed and is found (round %lu)\n", name, rounds);
			return 1;
		}
	}
	printf("process %d: %lu rounds\n", number, rounds);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0, status;

	if (argc != 4 || strtoul(argv[2], NULL, 10) > VALUE_MAX)
		return 2;
	for (int i = 0; i < PROCESSES; i++) {
		pid_t child = fork();

		if (child < 0)
			return 2;
		if (child == 0) {
			int code = work(argv[1], strtoul(argv[2], NULL, 10), i, atol(argv[3]));

			fflush(stdout);
			_exit(code);
		}
	}
	for (int i = 0; i < PROCESSES; i++)
		failed |= wait(&status) < 0 || status != 0;
	return failed;
}
