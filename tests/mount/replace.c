/*
 * replace.c - one process opens a vector by its name, again and again, while another one puts a different
 * file under the name.
 *
 *   replace MOUNT CASE DIM MILLISECONDS
 *
 * Cases:
 *   rename   a whole vector replaces it by rename(2): whoever reads is given one of them, whole, none older
 *            than one that was read before; its text as well
 *   remove   it is removed, then a whole one is renamed to its name: the same, or there is none
 *   empty    the other creates the name and closes without writing: whoever writes whole and closes has
 *            stored it, whatever he found; no open with O_CREAT fails
 *
 * Exit status 0, 1 when something was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DIM_MAX = 16384 };

static char target[4096], text[4096], source[4096];
static size_t size;
static float numbers[DIM_MAX];

static void fail(const char *what, int error)
{
	printf("not ok - %s%s%s\n", what, error != 0 ? ": " : "",
	       error != 0 ? strerror(error) : "");
	fflush(stdout);
	_exit(1);
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* All numbers of version v are v. */
static void write_version(const char *path, int flags, float version)
{
	int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);

	if (fd < 0)
		fail("open with O_CREAT", errno);
	for (size_t i = 0; i < size / sizeof(float); i++)
		numbers[i] = version;
	if (write(fd, numbers, size) != (ssize_t)size)
		fail("write", errno);
	if (close(fd) != 0)
		fail("close", errno);
}

static void replace_for_ever(bool remove)
{
	for (float version = 2;; version++) {
		write_version(source, O_TRUNC, version);
		if (remove && unlink(target) != 0)
			fail("unlink", errno);
		if (rename(source, target) != 0)
			fail("rename", errno);
	}
}

/* The version that a read gives; below 0: there is no such file. */
static float read_version(const char *path)
{
	static float got[DIM_MAX];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		fail("open for reading", errno);
	n = read(fd, got, size);
	if (n < 0)
		fail("read", errno);
	if (n != (ssize_t)size)
		fail(n == 0 ? "an empty file was read" : "a part of a vector was read", 0);
	for (size_t i = 1; i < size / sizeof(float); i++)
		if (got[i] != got[0])
			fail("a mix of two vectors was read", 0);
	(void)close(fd);
	return got[0];
}

static float read_text(void)
{
	char bytes[64] = "";
	int fd = open(text, O_RDONLY);
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		fail("open of the text", errno);
	n = read(fd, bytes, sizeof(bytes) - 1);
	if (n < 0)
		fail("read of the text", errno);
	if (n == 0)
		fail("an empty text was read", 0);
	(void)close(fd);
	return strtof(bytes + 1, NULL);
}

static void read_on(bool remove, long until)
{
	float last = 0;
	unsigned long n = 0, none = 0;

	for (; now_ms() < until; n++) {
		float version = n % 8 == 7 ? read_text() : read_version(target);

		if (version < 0 && !remove)
			fail("the name was not there", 0);
		none += version < 0;
		if (version >= 0 && version < last)
			fail("an older vector was read", 0);
		last = version >= 0 ? version : last;
	}
	printf("%lu opens, %lu times no name, up to version %.0f\n", n, none, last);
}

static void create_for_ever(void)
{
	for (;;) {
		int fd = open(target, O_WRONLY | O_CREAT, 0644);

		if (fd < 0)
			fail("open with O_CREAT, to write nothing", errno);
		(void)close(fd);
	}
}

static void write_on(long until)
{
	unsigned long n = 0;
	float version;

	for (; now_ms() < until; n++) {
		if (unlink(target) != 0 && errno != ENOENT)
			fail("unlink", errno);
		write_version(target, 0, (float)n);
		version = read_version(target);
		if (version != (float)n) {
			printf("version %.0f instead of %lu\n", version, n);
			fail("what was written and closed is not there", 0);
		}
	}
	printf("%lu times written\n", n);
}

int main(int argc, char **argv)
{
	bool remove, empty;
	int status = 0;
	pid_t other;
	long until;

	if (argc != 5)
		return 2;
	snprintf(target, sizeof(target), "%s/vectors/target", argv[1]);
	snprintf(text, sizeof(text), "%s/json/target", argv[1]);
	snprintf(source, sizeof(source), "%s/vectors/source", argv[1]);
	remove = strcmp(argv[2], "remove") == 0;
	empty = strcmp(argv[2], "empty") == 0;
	size = (size_t)atoi(argv[3]) * sizeof(float);
	until = now_ms() + atol(argv[4]);
	write_version(target, 0, 1);
	other = fork();
	if (other < 0)
		fail("fork", errno);
	if (other == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it goes on for ever */
		if (empty)
			create_for_ever();
		replace_for_ever(remove);
	}
	if (empty)
		write_on(until);
	else
		read_on(remove, until);
	if (waitpid(other, &status, WNOHANG) != 0)
		fail("the other process has ended", 0);
	(void)kill(other, SIGKILL);
	(void)waitpid(other, &status, 0);
	return 0;
}
