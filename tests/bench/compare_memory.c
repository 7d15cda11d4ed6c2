/*
 * compare_memory.c - searches with less memory than the vectors have.
 *
 * The process gives its vectors back, joins the group of processes MEMORY_GROUP (a directory of the
 * memory controller) that scripts/bench-ann made, and opens the index there as a mount would: what
 * the store reads, page cache included, counts against the limit. How long the disk takes for one
 * random block of 4 KiB is measured in the same run, before and after each round.
 *
 * Environment: MEMORY_STORE, the store, which scripts/bench-ann made with `vecfs compress`;
 * MEMORY_GROUP; MEMORY_LIMIT, its limit in bytes; MEMORY_CACHE, bytes of the store's cache;
 * MEMORY_RECALL, the recall that is wanted.
 */
#include "tests/bench/compare.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/mem.h"
#include "tests/bench/machine.h"
#include "tests/demo/progress.h"

#define BLOCK 4096u
#define DEVICE_READS 2000u

/* Mean seconds of a read of one block of the file, past the page cache. 0: not possible here. */
static double device_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT);
	void *block = mem_alloc_aligned(BLOCK, BLOCK);
	double seconds = 0, from;
	off_t blocks;
	unsigned n = 0;

	compare_must(block == NULL ? -1 : 0, "memory");
	blocks = fd < 0 ? 0 : lseek(fd, 0, SEEK_END) / BLOCK;
	from = now();
	for (uint64_t z = 1; blocks > 0 && n < DEVICE_READS; n++) {
		z = z * 6364136223846793005u + 1442695040888963407u;
		if (pread(fd, block, BLOCK, (off_t)((z >> 20) % (uint64_t)blocks) * BLOCK) !=
		    (ssize_t)BLOCK)
			break;
	}
	if (n > 0)
		seconds = (now() - from) / n;
	if (fd >= 0)
		close(fd);
	mem_free(block);
	return seconds;
}

/* What other processes read of it would else be there at no cost. */
static void forget_file(const char *path)
{
	int fd = open(path, O_RDONLY);

	compare_must(fd < 0 || fdatasync(fd) != 0 ||
				     posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0 ?
			     -1 :
			     0,
		     path);
	close(fd);
}

static uint64_t number_of(const char *variable)
{
	const char *text = getenv(variable);

	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

/* A line of the table: one pass over the queries. */
static void measure_round(struct compare *compare, void *self, uint32_t effort, FILE *results,
			  double *device, const char *path)
{
	struct peer_reads before, after;
	struct compare_pass pass;
	double mean, n;

	peer_vecfs_reads(self, &before);
	compare_ask(compare, &peer_vecfs, self, effort, 1, &pass);
	peer_vecfs_reads(self, &after);
	n = (double)pass.asked;
	mean = pass.wall / n;
	*device = (*device + device_read(path)) / 2;
	fprintf(results, "%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.1f\n",
		mean * 1e6, pass.p99 * 1e6, pass.cpu / n * 1e6,
		(double)(after.rounds - before.rounds) / n,
		(double)(after.reads - before.reads) / n,
		(double)(after.bytes - before.bytes) / n / 1024,
		(double)(after.graph - before.graph) / n,
		(double)(after.vector - before.vector) / n,
		(double)(after.table - before.table) / n, *device * 1e6, mean / *device);
}

void compare_memory(struct compare *compare)
{
	const char *recall_text = getenv("MEMORY_RECALL"), *path = getenv("MEMORY_STORE");
	double wanted = recall_text != NULL ? strtod(recall_text, NULL) : 0.98, recall, device;
	uint64_t limit = number_of("MEMORY_LIMIT");
	double data = (double)compare->set.n * compare->set.dim * sizeof(float);
	struct peer_config config;
	uint32_t effort = PEER_K;
	FILE *results;
	char own[4096];
	void *self;

	config = compare_config(compare, &peer_vecfs, 1, own, sizeof(own));
	config.cache = number_of("MEMORY_CACHE");
	config.memory = limit;
	path = path != NULL ? path : own;
	config.path = path;
	/* Recall goes by rows alone: the vectors are given back. */
	mem_free(compare->set.base);
	compare->set.base = NULL;
	malloc_trim(0);
	forget_file(path);
	device = device_read(path);
	compare_must(machine_join_group(), "joining MEMORY_GROUP");
	compare_must(peer_vecfs.open(&config, &self), path);
	while ((recall = compare_recall(compare, &peer_vecfs, self, effort)) < wanted)
		effort += effort < 30 ? 1 : effort / 10;
	results = compare_results(compare, "memory");
	fprintf(results,
		"limit, bytes\tof the vectors\tcache, bytes\tcode bits\teffort\trecall@10\t"
		"round\tmean, µs\tp99, µs\tof processor, µs\twaits\treads\tKiB read\tpages of nodes\t"
		"of vectors\tof tables\t"
		"device, µs a 4 KiB read\tratio\n");
	for (unsigned round = 0; round < compare->rounds; round++) {
		fprintf(results, "%llu\t%.3f\t%llu\t%u\t%u\t%.4f\t%u\t", (unsigned long long)limit,
			(double)limit / data, (unsigned long long)config.cache,
			peer_vecfs_bits(self), effort, recall, round);
		measure_round(compare, self, effort, results, &device, path);
	}
	peer_vecfs.close(self);
	compare_results_end(results);
}
