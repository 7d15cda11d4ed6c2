/*
 * power_replay.c - makes of a log of block writes what the disk may hold after a power cut.
 *
 *   power_replay list LOG                     prints the number of entries, then a line for each flush:
 *                                             how many entries there are up to and with it
 *   power_replay apply LOG IMAGE FROM TO [SEED]
 *                                             writes entries FROM ... TO-1 into the image; with a seed
 *                                             each one whole, in part or not at all, as a disk does
 *                                             that lost its cache
 *
 * The log is what qemu's driver blklogwrites writes (the format of dm-log-writes): a superblock, then
 * entries; each is a sector with its head, and its data in whole sectors. All is little-endian.
 *
 *   superblock   magic 8, version 8, entries 8, sector size 4
 *   entry        sector 8, sectors 8, flags 8 (1 flush, 2 FUA, 4 discard, 8 mark), bytes of data 8
 *
 * FUA entries are never lost. A write that is lost in part keeps a random set of its sectors.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base.h"
#include "store/mem.h"

#define MAGIC 0x6a736677736872ull
#define SECTOR 512u

enum { FLUSH = 1, FUA = 2, DISCARD = 4 };

struct log {
	int fd;
	uint64_t entries, at; /* entries passed, byte of the next one */
	uint64_t sector_size;
};

struct entry {
	uint64_t sector, sectors, flags, bytes, data_at;
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "power_replay: %s\n", what);
	exit(1);
}

static void read_at(int fd, uint64_t at, void *buf, size_t len)
{
	if (pread(fd, buf, len, (off_t)at) != (ssize_t)len)
		fail("the log ends too early");
}

static uint64_t log_open(struct log *log, const char *path)
{
	uint8_t super[SECTOR];

	log->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (log->fd < 0)
		fail(path);
	read_at(log->fd, 0, super, sizeof(super));
	if (get_u64(super) != MAGIC)
		fail("not a log of block writes");
	log->sector_size = get_u32(super + 24);
	log->at = log->sector_size;
	log->entries = 0;
	return get_u64(super + 16);
}

static void next(struct log *log, struct entry *entry)
{
	uint8_t head[32];
	bool has_data;

	read_at(log->fd, log->at, head, sizeof(head));
	entry->sector = get_u64(head);
	entry->sectors = get_u64(head + 8);
	entry->flags = get_u64(head + 16);
	entry->bytes = entry->sectors * log->sector_size;
	entry->data_at = log->at + log->sector_size;
	has_data = (entry->flags & DISCARD) == 0;
	log->at = entry->data_at + (has_data ? entry->bytes : 0);
	log->entries++;
}

static void list(const char *path)
{
	struct log log;
	struct entry entry;
	uint64_t n = log_open(&log, path);

	printf("%llu\n", (unsigned long long)n);
	while (log.entries < n) {
		next(&log, &entry);
		if ((entry.flags & FLUSH) != 0)
			printf("%llu\n", (unsigned long long)log.entries);
	}
}

/* --- losing --- */

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

enum fate { KEPT, LOST, IN_PART };

static enum fate draw_fate(void)
{
	uint32_t dice = draw(8);

	return dice < 4 ? KEPT : dice < 7 ? LOST : IN_PART;
}

static void apply_entry(const struct log *log, const struct entry *entry, int image, bool losing)
{
	enum fate fate = losing && (entry->flags & FUA) == 0 ? draw_fate() : KEPT;
	uint64_t to = entry->sector * log->sector_size;
	uint8_t *data;

	if (entry->bytes == 0 || fate == LOST)
		return;
	if ((entry->flags & DISCARD) != 0) {
		(void)fallocate(image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)to,
				(off_t)entry->bytes); /* a hint to the disk as well */
		return;
	}
	data = mem_zalloc(entry->bytes, 1);
	if (data == NULL)
		fail("out of memory");
	read_at(log->fd, entry->data_at, data, entry->bytes);
	for (uint64_t done = 0; done < entry->bytes;) {
		uint64_t piece = fate == IN_PART ? SECTOR : entry->bytes;

		if ((fate == KEPT || draw(2) == 0) &&
		    pwrite(image, data + done, piece, (off_t)(to + done)) != (ssize_t)piece)
			fail("the image cannot be written");
		done += piece;
	}
	mem_free(data);
}

static void apply(const char *path, const char *image_path, uint64_t from, uint64_t to, bool losing)
{
	struct log log;
	struct entry entry;
	uint64_t n = log_open(&log, path);
	int image = open(image_path, O_WRONLY | O_CLOEXEC);

	if (image < 0)
		fail(image_path);
	if (to > n)
		fail("so many entries there are not");
	while (log.entries < to) {
		next(&log, &entry);
		if (log.entries > from)
			apply_entry(&log, &entry, image, losing);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "list") == 0) {
		list(argv[2]);
		return 0;
	}
	if ((argc != 6 && argc != 7) || strcmp(argv[1], "apply") != 0) {
		fprintf(stderr, "usage: power_replay list LOG | apply LOG IMAGE FROM TO [SEED]\n");
		return 2;
	}
	if (argc == 7)
		state = strtoull(argv[6], NULL, 10) * 2862933555777941757u + 3037000493u;
	apply(argv[2], argv[3], strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10),
	      argc == 7);
	return 0;
}
