/* Colours as vectors in a vecfs mount: colours MOUNT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLOURS 3

static const char *const names[COLOURS] = {"vectors/red", "vectors/orange", "vectors/blue"};
static const float vectors[COLOURS][3] = {{1, 0, 0}, {1, 0.5f, 0}, {0, 0, 1}};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* One write() with all of a vector; an error of it is the vector's. */
static void write_vector(int fd, const float vector[3], const char *what)
{
	if (write(fd, vector, 3 * sizeof(float)) != 3 * sizeof(float))
		fail(what);
}

int main(int argc, char **argv)
{
	const float query[3] = {1, 0.2f, 0.1f};
	char answer[1024];
	size_t got = 0;
	ssize_t n;
	int fd;

	if (argc != 2) {
		fputs("usage: colours MOUNT\n", stderr);
		return 2;
	}
	if (chdir(argv[1]) != 0)
		fail(argv[1]);
	for (int i = 0; i < COLOURS; i++) {
		fd = open(names[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (fd < 0)
			fail(names[i]);
		write_vector(fd, vectors[i], names[i]);
		if (close(fd) != 0)
			fail(names[i]);
	}

	fd = open("query/2/run", O_RDWR);
	if (fd < 0)
		fail("query/2/run");
	write_vector(fd, query, "query/2/run");
	while ((n = read(fd, answer + got, sizeof(answer) - 1 - got)) > 0)
		got += (size_t)n;
	if (n < 0)
		fail("query/2/run");
	close(fd);
	answer[got] = '\0';
	for (char *line = strtok(answer, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		char *tab = strchr(line, '\t');

		printf("%.*s\t%.3f\n", (int)(tab - line), line, atof(tab + 1));
	}

	for (int i = 0; i < COLOURS; i++)
		if (unlink(names[i]) != 0)
			fail(names[i]);
	return 0;
}
