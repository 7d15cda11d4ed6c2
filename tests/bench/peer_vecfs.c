/*
 * peer_vecfs.c - vecfs behind peer.h: the collection in this process, on a real store with its log
 * on, whose cache holds everything. Row n has the id "n".
 */
#include "tests/bench/peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ann/ann.h"
#include "fs/memory.h"
#include "store/err.h"
#include "store/io.h"
#include "store/mem.h"
#include "store/store.h"

#define WRITERS_MAX 64u

struct vecfs {
	struct store_io *io;
	struct store *store;
	struct ann *ann;
	uint32_t dim, threads;
};

/* --- counting what is read --- */

static struct {
	struct store_io_ops ops;
	const struct store_io_ops *real;
	_Atomic uint64_t rounds, reads, bytes;
} counted; /* of the one index that was opened with a bound of memory */

static int counted_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	atomic_fetch_add(&counted.rounds, 1);
	atomic_fetch_add(&counted.reads, 1);
	atomic_fetch_add(&counted.bytes, len);
	return counted.real->read(io, offset, buf, len);
}

static void counted_read_batch(struct store_io *io, struct store_io_read *reads, size_t n)
{
	atomic_fetch_add(&counted.rounds, 1);
	atomic_fetch_add(&counted.reads, n);
	for (size_t i = 0; i < n; i++)
		atomic_fetch_add(&counted.bytes, reads[i].length);
	counted.real->read_batch(io, reads, n);
}

static void count_reads(struct store_io *io)
{
	counted.real = io->ops;
	counted.ops = *io->ops;
	counted.ops.read = counted_read;
	counted.ops.read_batch = counted_read_batch;
	io->ops = &counted.ops;
}

void peer_vecfs_reads(void *ctx, struct peer_reads *reads_out)
{
	struct store_stats stats;

	store_get_stats(((struct vecfs *)ctx)->store, &stats);
	*reads_out = (struct peer_reads){.graph = stats.misses[STORE_CLASS_GRAPH],
					 .vector = stats.misses[STORE_CLASS_VECTOR],
					 .table = stats.misses[STORE_CLASS_MAP],
					 .rounds = atomic_load(&counted.rounds),
					 .reads = atomic_load(&counted.reads),
					 .bytes = atomic_load(&counted.bytes)};
}

uint32_t peer_vecfs_bits(void *ctx)
{
	struct ann_stats stats;

	ann_get_stats(((struct vecfs *)ctx)->ann, &stats);
	return stats.code_bits;
}

/* --- opening and closing --- */

static int failed(const char *what, int err, const struct err_msg *msg)
{
	if (err == 0)
		return 0;
	fprintf(stderr, "vecfs: %s: %s%s%s\n", what, err_str(err),
		msg != NULL && msg->text[0] != '\0' ? ": " : "", msg != NULL ? msg->text : "");
	return -1;
}

static void vecfs_close(void *ctx)
{
	struct vecfs *self = ctx;

	if (self == NULL)
		return;
	(void)failed("close", ann_close(self->ann), NULL);
	if (self->store != NULL)
		(void)failed("close the store", store_close(self->store), NULL);
	if (self->io != NULL)
		self->io->ops->close(self->io);
	mem_free(self);
}

static int vecfs_open(const struct peer_config *config, void **self_out)
{
	struct store_opts opts = {.cache_bytes = (256u << 20) +
						 config->most * (config->dim * 5ull + 512),
				  .durability = WAL_LOG,
				  .background = true};
	struct ann_opts ann_opts = {.threads = config->threads, .background = true};
	struct vecfs *self = mem_zalloc(1, sizeof(*self));
	struct err_msg msg = {""};
	int err = 0;

	if (config->cache != 0)
		opts.cache_bytes = config->cache;

	*self_out = NULL;
	if (self == NULL)
		return failed(config->path, ERR_NOMEM, NULL);
	self->dim = config->dim;
	self->threads = config->threads < WRITERS_MAX ? config->threads : WRITERS_MAX;
	err = io_posix_new(config->path, &self->io, &msg);
	if (err == 0 && config->memory != 0) {
		uint64_t left = config->memory > opts.cache_bytes ?
					config->memory - opts.cache_bytes :
					0;

		/* as fs/mount.c does */
		io_posix_set_kernel_cache(self->io, left / 2);
		ann_opts.code_room = memory_code_room(config->memory, opts.cache_bytes);
		count_reads(self->io);
	}
	if (err == 0)
		err = store_open(self->io, &opts, &self->store, NULL, &msg);
	if (err == 0)
		err = ann_open(self->store, &ann_opts, &self->ann, NULL, &msg);
	if (err == 0) {
		*self_out = self;
		return 0;
	}
	vecfs_close(self);
	return failed(config->path, err, &msg);
}

/* The store at path and its log segments. */
static int remove_store(const char *path)
{
	struct err_msg msg = {""};
	uint64_t *seqs = NULL;
	struct store_io *io;
	size_t n = 0;
	int err;

	if (access(path, F_OK) != 0)
		return 0;
	err = io_posix_new(path, &io, &msg);
	if (err != 0)
		return failed(path, err, &msg);
	err = io->ops->open(io, true, &msg);
	if (err == 0)
		err = io->ops->log_list(io, &seqs, &n);
	for (size_t i = 0; i < n && err == 0; i++)
		err = io->ops->log_remove(io, seqs[i]);
	mem_free(seqs);
	io->ops->close(io);
	return err == 0 ? unlink(path) : failed(path, err, &msg);
}

static int vecfs_create(const struct peer_config *config, void **self_out)
{
	struct store_geometry geometry = {.value_size = config->dim * (uint32_t)sizeof(float),
					  .kind = (uint32_t)config->metric};
	struct err_msg msg = {""};
	struct store_io *io;
	int err;

	*self_out = NULL;
	if (remove_store(config->path) != 0)
		return -1;
	err = io_posix_new(config->path, &io, &msg);
	if (err == 0) {
		err = store_create(io, &geometry, &msg);
		io->ops->close(io);
	}
	return err != 0 ? failed(config->path, err, &msg) : vecfs_open(config, self_out);
}

/* The graph with the vectors. */
static int vecfs_save(void *ctx)
{
	struct vecfs *self = ctx;
	int err = ann_flush(self->ann);

	if (err == 0)
		err = store_checkpoint(self->store);
	return failed("save", err, NULL);
}

struct writing {
	struct vecfs *vecfs;
	const float *vectors;
	size_t first, n;
	_Atomic size_t next;
	_Atomic bool wrong;
};

static void *write_some(void *ctx)
{
	struct writing *writing = ctx;
	struct vecfs *self = writing->vecfs;
	struct store_attr attr = {.mode = 0600};
	struct err_msg msg = {""};
	size_t i;

	while (!atomic_load(&writing->wrong) &&
	       (i = atomic_fetch_add(&writing->next, 1)) < writing->n) {
		char id[24];
		int len = snprintf(id, sizeof(id), "%zu", writing->first + i);
		uint64_t ino;

		ann_wait_room(self->ann);
		if (failed("put",
			   ann_put(self->ann, id, (size_t)len, writing->vectors + i * self->dim,
				   self->dim, &attr, 0, &ino, &msg),
			   &msg) != 0)
			atomic_store(&writing->wrong, true);
	}
	return NULL;
}

/* Until everything is linked and what was deleted is out of the graph. */
static void settle(struct vecfs *self)
{
	struct ann_stats stats;

	for (;;) {
		ann_get_stats(self->ann, &stats);
		if (stats.pending == 0 && stats.tombstones == 0)
			return;
		usleep(1000);
	}
}

static int vecfs_insert(void *ctx, const float *vectors, size_t first, size_t n)
{
	struct writing writing = {.vecfs = ctx, .vectors = vectors, .first = first, .n = n};
	pthread_t threads[WRITERS_MAX];
	uint32_t started = 1;

	while (started < writing.vecfs->threads &&
	       pthread_create(&threads[started], NULL, write_some, &writing) == 0)
		started++;
	(void)write_some(&writing);
	for (uint32_t i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
	settle(writing.vecfs);
	return atomic_load(&writing.wrong) ? -1 : 0;
}

static int vecfs_remove(void *ctx, size_t first, size_t n)
{
	struct vecfs *self = ctx;

	for (size_t row = first; row < first + n; row++) {
		char id[24];
		int len = snprintf(id, sizeof(id), "%zu", row);

		ann_wait_checkpoint(self->ann);
		if (failed("delete", ann_delete(self->ann, id, (size_t)len), NULL) != 0)
			return -1;
	}
	return 0;
}

static uint32_t row_of(const struct ann_answer *answer, const struct ann_hit *hit)
{
	uint32_t row = 0;

	for (uint16_t j = 0; j < hit->id_len; j++)
		row = row * 10 + (uint32_t)(answer->ids[hit->id_at + j] - '0');
	return row;
}

static int vecfs_search(void *ctx, const float *query, uint32_t effort, uint32_t *rows_out,
			size_t *n_out)
{
	struct ann_query spec = {.k = PEER_K, .effort = effort};
	struct err_msg msg = {""};
	struct vecfs *self = ctx;
	struct ann_answer answer;
	int err = ann_search(self->ann, query, 1, &spec, &answer, &msg);

	*n_out = 0;
	if (err == 0)
		*n_out = answer.first[1];
	for (size_t i = 0; i < *n_out; i++)
		rows_out[i] = row_of(&answer, &answer.hits[i]);
	ann_answer_release(&answer);
	return failed("search", err, &msg);
}

int peer_vecfs_exact(void *ctx, const float *queries, size_t n, uint32_t *rows_out)
{
	struct ann_query spec = {.k = PEER_K, .exact = true};
	struct err_msg msg = {""};
	struct vecfs *self = ctx;
	struct ann_answer answer;
	int err = ann_search(self->ann, queries, n, &spec, &answer, &msg);

	if (err == 0 && answer.first[n] != n * PEER_K)
		err = ERR_DAMAGED;
	for (size_t i = 0; err == 0 && i < n * PEER_K; i++)
		rows_out[i] = row_of(&answer, &answer.hits[i]);
	ann_answer_release(&answer);
	return failed("exact search", err, &msg);
}

int peer_vecfs_batch(void *ctx, const float *queries, size_t n, uint32_t effort, size_t *hits_out)
{
	struct ann_query spec = {.k = PEER_K, .effort = effort};
	struct err_msg msg = {""};
	struct vecfs *self = ctx;
	struct ann_answer answer;
	int err = ann_search(self->ann, queries, n, &spec, &answer, &msg);

	*hits_out = err == 0 ? answer.first[n] : 0;
	ann_answer_release(&answer);
	return failed("batch", err, &msg);
}

static uint64_t vecfs_index_bytes(void *ctx)
{
	struct vecfs *self = ctx;
	struct ann_stats stats;

	ann_get_stats(self->ann, &stats);
	return stats.code_bytes + stats.node_bytes + stats.table_bytes;
}

const struct peer_ops peer_vecfs = {
	.name = "vecfs",
	.label = "vecfs, in the process, durability=log",
	.create = vecfs_create,
	.open = vecfs_open,
	.save = vecfs_save,
	.close = vecfs_close,
	.insert = vecfs_insert,
	.remove = vecfs_remove,
	.search = vecfs_search,
	.index_bytes = vecfs_index_bytes,
};
