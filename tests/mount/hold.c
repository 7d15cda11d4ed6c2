/*
 * hold.c - a client that opens much, or writes without end, and then does nothing for long.
 *
 *   hold open FOLDER COUNT            FOLDER/0, FOLDER/1, ... opened for reading
 *   hold queries FOLDER COUNT DIM     different vectors below it as hex digits, opened for reading
 *   hold folders FOLDER COUNT DIM     the same, as directories
 *   hold part FOLDER COUNT BYTES      FOLDER/part0, ... created, and so many bytes written
 *   hold batch FILE COUNT BYTES       FILE opened COUNT times for reading and writing, and so many
 *                                     bytes written
 *   hold again FILE COUNT             FILE, or a folder, opened COUNT times for reading
 *
 * BYTES: of 1.0 as float32. It goes on after a refusal. Then it says "N held, M refused" and, if M is
 * not 0, the name of the first errno, and holds on until its input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PIECE 65536u

static char path[8192];

static void name_by_number(const char *folder, const char *before, size_t n)
{
	snprintf(path, sizeof(path), "%s/%s%zu", folder, before, n);
}

/* The vector n, 1, 1, ... */
static void name_by_digits(const char *folder, size_t n, size_t dim)
{
	size_t len = (size_t)snprintf(path, sizeof(path), "%s/", folder);

	for (size_t i = 0; i < dim && len + 9 < sizeof(path); i++) {
		float number = i == 0 ? (float)n : 1.0f;
		uint8_t bytes[4];

		memcpy(bytes, &number, sizeof(bytes));
		len += (size_t)snprintf(path + len, sizeof(path) - len, "%02x%02x%02x%02x",
					bytes[0], bytes[1], bytes[2], bytes[3]);
	}
}

static int write_ones(int fd, size_t bytes)
{
	static float ones[PIECE / sizeof(float)];

	for (size_t i = 0; i < PIECE / sizeof(float); i++)
		ones[i] = 1.0f;
	while (bytes > 0) {
		ssize_t n = write(fd, ones, bytes < PIECE ? bytes : PIECE);

		if (n <= 0)
			return -1;
		bytes -= (size_t)n;
	}
	return 0;
}

/* A descriptor that stays open, or -1 and errno. */
static int hold_one(const char *what, const char *at, size_t n, size_t size)
{
	int flags = O_RDONLY, fd;

	snprintf(path, sizeof(path), "%s", at);
	if (strcmp(what, "open") == 0)
		name_by_number(at, "", n);
	if (strcmp(what, "part") == 0) {
		name_by_number(at, "part", n);
		flags = O_WRONLY | O_CREAT;
	}
	if (strcmp(what, "batch") == 0)
		flags = O_RDWR;
	if (strcmp(what, "queries") == 0 || strcmp(what, "folders") == 0)
		name_by_digits(at, n, size);
	if (strcmp(what, "folders") == 0)
		flags |= O_DIRECTORY;
	fd = open(path, flags, 0600);
	/* What is refused is held nevertheless. */
	if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY && write_ones(fd, size) != 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	size_t held = 0, refused = 0, count, size;
	int first = 0;
	char byte;

	if (argc < 4) {
		fprintf(stderr, "usage: hold WHAT PATH COUNT [SIZE]\n");
		return 2;
	}
	count = (size_t)atol(argv[3]);
	size = argc > 4 ? (size_t)atol(argv[4]) : 0;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return 1;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		return 1;
	for (size_t n = 0; n < count; n++) {
		if (hold_one(argv[1], argv[2], n, size) >= 0) {
			held++;
			continue;
		}
		if (refused++ == 0)
			first = errno;
		if (errno == EMFILE) {
			printf("this process may not hold so many\n");
			return 77;
		}
	}
	printf("%zu held, %zu refused%s%s\n", held, refused, first != 0 ? ": " : "",
	       first != 0 ? strerrorname_np(first) : "");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
