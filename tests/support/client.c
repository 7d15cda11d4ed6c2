/* client.c - file calls on a mount, and the vectors they carry. */
#include "tests/support/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/mem.h"

#define WRITER_MAX 256u
#define KEY_MAX 65536u
#define VERSION_MAX (1u << 20)

/* --- marks --- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t seed_of(const struct mark *mark)
{
	return mix(((uint64_t)mark->writer << 56 | (uint64_t)mark->key << 32 | mark->version) + 1);
}

/* The number at position i; each is a float exactly. */
static float number(const struct mark *mark, uint64_t seed, size_t i)
{
	switch (i) {
	case 0:
		return (float)mark->writer / WRITER_MAX;
	case 1:
		return (float)mark->key / KEY_MAX;
	case 2:
		return (float)mark->version / VERSION_MAX;
	default:
		return (float)((int32_t)(mix(seed + i) >> 40) - (1 << 23)) / (1 << 23);
	}
}

void mark_fill(const struct mark *mark, float *vector, size_t dim)
{
	uint64_t seed = seed_of(mark);

	for (size_t i = 0; i < dim; i++)
		vector[i] = number(mark, seed, i);
}

bool mark_read(const float *vector, size_t dim, struct mark *mark_out)
{
	uint64_t seed;

	for (size_t i = 0; i < 3; i++)
		if (!(vector[i] >= 0 && vector[i] < 1))
			return false;
	mark_out->writer = (uint32_t)(vector[0] * WRITER_MAX);
	mark_out->key = (uint32_t)(vector[1] * KEY_MAX);
	mark_out->version = (uint32_t)(vector[2] * VERSION_MAX);
	seed = seed_of(mark_out);
	for (size_t i = 0; i < dim; i++) {
		float expected = number(mark_out, seed, i);

		if (memcmp(&vector[i], &expected, sizeof(expected)) != 0)
			return false;
	}
	return mark_out->version != 0;
}

bool mark_equal(const struct mark *a, const struct mark *b)
{
	return a->writer == b->writer && a->key == b->key && a->version == b->version;
}

/* --- the mount --- */

static int open_in(const char *mount, const char *name, int flags)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", mount, name);
	return open(path, flags | O_CLOEXEC);
}

int client_init(struct client *client, const char *mount, size_t dim)
{
	memset(client, 0, sizeof(*client));
	client->dim = dim;
	client->vectors = open_in(mount, "vectors", O_RDONLY | O_DIRECTORY);
	client->run[0] = open_in(mount, "query/1/run", O_RDWR);
	client->run[1] = open_in(mount, "query/1,exact/run", O_RDWR);
	client->control = open_in(mount, "status/control", O_WRONLY);
	if (client->vectors < 0 || client->run[0] < 0 || client->run[1] < 0 || client->control < 0)
		return -errno;
	client->vector = mem_zalloc(dim, sizeof(float));
	client->scratch = mem_zalloc(dim + 1, sizeof(float));
	return client->vector == NULL || client->scratch == NULL ? -ENOMEM : 0;
}

void client_release(struct client *client)
{
	int fds[] = {client->vectors, client->run[0], client->run[1], client->control};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] > 0)
			close(fds[i]);
	mem_free(client->vector);
	mem_free(client->scratch);
}

static int write_all(int fd, const char *from, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, from, n);

		if (done < 0)
			return -errno;
		from += done;
		n -= (size_t)done;
	}
	return 0;
}

int client_put(struct client *client, const char *id, const struct mark *mark, unsigned writes,
	       bool durable)
{
	size_t bytes = client->dim * sizeof(float), done = 0;
	int fd = openat(client->vectors, id, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
	int err = 0;

	if (fd < 0)
		return -errno;
	mark_fill(mark, client->vector, client->dim);
	for (unsigned i = 1; err == 0 && i <= writes; i++) {
		size_t to = i == writes ? bytes : bytes * i / writes;

		err = write_all(fd, (const char *)client->vector + done, to - done);
		done = to;
	}
	if (err == 0 && durable && fsync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && err == 0)
		err = -errno;
	return err;
}

int client_get(struct client *client, const char *id, struct mark *mark_out)
{
	size_t bytes = client->dim * sizeof(float);
	int fd = openat(client->vectors, id, O_RDONLY | O_CLOEXEC);
	ssize_t got;
	int err;

	if (fd < 0)
		return -errno;
	got = read(fd, client->scratch, bytes + 1);
	err = got < 0 ? -errno : 0;
	close(fd);
	if (err != 0)
		return err;
	client->got = (size_t)got;
	if (client->got != bytes)
		return -EMSGSIZE;
	return mark_read(client->scratch, client->dim, mark_out) ? 0 : -EBADMSG;
}

int client_ask(struct client *client, const struct mark *mark, bool exact,
	       char id_out[CLIENT_ID_MAX + 1], double *distance_out)
{
	char text[CLIENT_ID_MAX + 64], *tab;
	int fd = client->run[exact];
	ssize_t got;
	int err;

	id_out[0] = '\0';
	mark_fill(mark, client->vector, client->dim);
	err = write_all(fd, (const char *)client->vector, client->dim * sizeof(float));
	if (err != 0)
		return err;
	got = read(fd, text, sizeof(text) - 1);
	if (got < 0)
		return -errno;
	if (got == 0)
		return 0;
	text[got] = '\0';
	tab = strchr(text, '\t');
	if (tab == NULL || tab == text || tab - text > CLIENT_ID_MAX || text[got - 1] != '\n')
		return -EPROTO;
	memcpy(id_out, text, (size_t)(tab - text));
	id_out[tab - text] = '\0';
	*distance_out = strtod(tab + 1, NULL);
	return 0;
}

int client_find(struct client *client, const struct mark *mark, bool exact, const char *id)
{
	char got[CLIENT_ID_MAX + 1];
	double distance = 0;
	int err = client_ask(client, mark, exact, got, &distance);

	if (err == 0 && (strcmp(got, id) != 0 || distance > CLIENT_SAME_DISTANCE))
		err = -ENODATA;
	return err;
}

int client_unlink(struct client *client, const char *id)
{
	return unlinkat(client->vectors, id, 0) != 0 ? -errno : 0;
}

int client_rename(struct client *client, const char *from, const char *to, bool exchange)
{
	return renameat2(client->vectors, from, client->vectors, to,
			 exchange ? RENAME_EXCHANGE : 0) != 0 ?
		       -errno :
		       0;
}

int client_order(struct client *client, const char *word)
{
	return write_all(client->control, word, strlen(word));
}

int client_list(struct client *client, int (*seen)(void *ctx, const char *id), void *ctx)
{
	int fd = openat(client->vectors, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	errno = 0;
	while (err == 0 && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			err = seen(ctx, entry->d_name);
			errno = 0;
		}
	if (err == 0)
		err = -errno;
	closedir(dir);
	return err;
}

long client_metric(const char *mount, const char *name)
{
	char path[4096], line[1024];
	size_t length = strlen(name);
	long value = -1;
	FILE *in;

	snprintf(path, sizeof(path), "%s/status/metrics", mount);
	in = fopen(path, "r");
	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		if (strncmp(line, name, length) == 0 && line[length] == ' ')
			value = strtol(line + length, NULL, 10);
	if (in != NULL)
		fclose(in);
	return value;
}

bool client_is_dead(int err)
{
	return err == -ENOTCONN || err == -ECONNABORTED;
}
