/*
 * claims_map.c - a page of a file, through the memory that the file is mapped to, or by a read call
 * into memory of one's own. Both are then summed up, as a checksum does.
 */
#include "tests/bench/claims.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "store/mem.h"
#include "tests/demo/progress.h"

#define FILE_BYTES (512u << 20)
#define PAGES_WARM 8000u
#define PAGES_DISK 500u

struct mapped {
	char path[4096];
	int fd;
	uint8_t *buffer;
	uint64_t sum;
};

static void make_file(struct mapped *m)
{
	uint64_t state = 1, *words = claims_alloc(1, 1 << 20);

	snprintf(m->path, sizeof(m->path), "%s/claims-map.bytes", claims_folder);
	m->fd = open(m->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	claims_must(m->fd < 0 ? 1 : 0, m->path);
	for (unsigned i = 0; i < FILE_BYTES >> 20; i++) {
		for (unsigned j = 0; j < (1 << 20) / 8; j++)
			words[j] = claims_random(&state);
		claims_must(write(m->fd, words, 1 << 20) == 1 << 20 ? 0 : 1, m->path);
	}
	mem_free(words);
}

/* Mean seconds for a page. map: NULL for read calls. */
static double take_pages(struct mapped *m, const uint8_t *map, size_t page, unsigned n,
			 uint64_t seed)
{
	double from = now();

	for (unsigned i = 0; i < n; i++) {
		size_t at = claims_random(&seed) % (FILE_BYTES / page) * page;

		if (map != NULL) {
			m->sum += XXH3_64bits(map + at, page);
		} else {
			claims_must(pread(m->fd, m->buffer, page, (off_t)at) == (ssize_t)page ? 0 :
												1,
				    m->path);
			m->sum += XXH3_64bits(m->buffer, page);
		}
	}
	return (now() - from) / n;
}

/* A fresh mapping, whose pages are not in any table yet. */
static double mapped_pages(struct mapped *m, size_t page, unsigned n, uint64_t seed)
{
	uint8_t *map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, m->fd, 0);
	double seconds;

	claims_must(map == MAP_FAILED ? 1 : 0, "mmap");
	(void)madvise(map, FILE_BYTES, MADV_RANDOM);
	seconds = take_pages(m, map, page, n, seed);
	munmap(map, FILE_BYTES);
	return seconds;
}

static void one_page_size(FILE *out, struct mapped *m, size_t page)
{
	double warm[2][99], again[99], disk[2][99];

	(void)posix_fadvise(m->fd, 0, 0, POSIX_FADV_RANDOM);
	for (unsigned r = 0; r < claims_rounds; r++) {
		uint8_t *map;

		claims_forget(m->path);
		disk[0][r] = take_pages(m, NULL, page, PAGES_DISK, r + 1) * 1e6;
		claims_forget(m->path);
		disk[1][r] = mapped_pages(m, page, PAGES_DISK, r + 1) * 1e6;
		for (size_t at = 0; at < FILE_BYTES; at += 1 << 20)
			claims_must(pread(m->fd, m->buffer, 1 << 20, (off_t)at) == 1 << 20 ? 0 : 1,
				    m->path);
		warm[0][r] = take_pages(m, NULL, page, PAGES_WARM, r + 50) * 1e6;
		warm[1][r] = mapped_pages(m, page, PAGES_WARM, r + 50) * 1e6;
		map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, m->fd, 0);
		claims_must(map == MAP_FAILED ? 1 : 0, "mmap");
		again[r] = take_pages(m, map, page, PAGES_WARM, r + 50) * 1e6;
		munmap(map, FILE_BYTES);
	}
	fprintf(out, "| %zu KiB ", page / 1024);
	claims_field(out, warm[0], claims_rounds, 2, "");
	claims_field(out, warm[1], claims_rounds, 2, "");
	claims_field(out, again, claims_rounds, 2, "");
	claims_field(out, disk[0], claims_rounds, 0, "");
	claims_field(out, disk[1], claims_rounds, 0, "");
	fprintf(out, "|\n");
	fflush(out);
}

void claims_map(FILE *out)
{
	struct mapped m = {.buffer = claims_alloc(1, 1 << 20)};

	make_file(&m);
	fprintf(out,
		"## Claim: mapped pages give reads without a copy\n\n"
		"Random pages of a file of %u MiB, each summed up (XXH3) after it was got; µs a page, "
		"median and range of %u rounds. The store has one way to its pages, read calls into "
		"memory of its own, where a page stays; so this compares the ways alone. Mapped, first "
		"touch: the page is in memory, but not yet in this process's table. Mapped, again: it "
		"is there, which is what a page costs that stays mapped, as one does that stays in the "
		"cache.\n\n"
		"| page | read call | mapped, first touch | mapped, again | read call, from disk | "
		"mapped, from disk |\n|---|---|---|---|---|---|\n",
		FILE_BYTES >> 20, claims_rounds);
	for (size_t page = 4096; page <= 65536; page *= 2)
		one_page_size(out, &m, page);
	fprintf(out, "\n");
	fprintf(stderr, "sum of all pages: %016llx\n", (unsigned long long)m.sum);
	close(m.fd);
	(void)unlink(m.path); /* made above */
	mem_free(m.buffer);
}
