/*
 * peer_faiss.cpp - the HNSW index of faiss over whole vectors, behind peer.h: 16 links,
 * efConstruction=200. The package is compiled for any x86-64, without AVX.
 */
#include "tests/bench/peer.h"

#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include <omp.h>
#include <unistd.h>

#include <faiss/IndexHNSW.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/index_io.h>
#include <faiss/utils/Heap.h>

namespace {

constexpr int links = 16, build_effort = 200;

struct index {
	std::string path;
	size_t dim;
	uint32_t threads;
	std::unique_ptr<faiss::IndexHNSW> graph;
};

int failed(const char *what, const std::exception &error)
{
	fprintf(stderr, "faiss: %s: %s\n", what, error.what());
	return -1;
}

int create(const struct peer_config *config, void **self_out)
{
	try {
		auto self = std::make_unique<index>();

		self->path = config->path;
		self->dim = config->dim;
		self->threads = config->threads;
		/* Vectors of length 1 too are ordered by their distance. */
		self->graph =
			std::make_unique<faiss::IndexHNSWFlat>((int)config->dim, links);
		self->graph->hnsw.efConstruction = build_effort;
		*self_out = self.release();
		return 0;
	} catch (const std::exception &error) {
		return failed("create", error);
	}
}

int open(const struct peer_config *config, void **self_out)
{
	if (access(config->path, R_OK) != 0)
		return -1;
	try {
		auto self = std::make_unique<index>();

		self->path = config->path;
		self->dim = config->dim;
		self->threads = config->threads;
		self->graph.reset(
			dynamic_cast<faiss::IndexHNSW *>(faiss::read_index(config->path)));
		if (!self->graph)
			return -1;
		*self_out = self.release();
		return 0;
	} catch (const std::exception &error) {
		return failed(config->path, error);
	}
}

int save(void *ctx)
{
	auto self = static_cast<index *>(ctx);

	try {
		faiss::write_index(self->graph.get(), self->path.c_str());
		return 0;
	} catch (const std::exception &error) {
		return failed(self->path.c_str(), error);
	}
}

void close(void *ctx)
{
	delete static_cast<index *>(ctx);
}

/* Rows get their numbers in the order in which they come. */
int insert(void *ctx, const float *vectors, size_t first, size_t n)
{
	auto self = static_cast<index *>(ctx);

	if (first != (size_t)self->graph->ntotal) {
		fprintf(stderr, "faiss: rows must come in order\n");
		return -1;
	}
	try {
		omp_set_num_threads((int)self->threads);
		self->graph->add((faiss::Index::idx_t)n, vectors);
		return 0;
	} catch (const std::exception &error) {
		return failed("insert", error);
	}
}

/* What a thread keeps from query to query; faiss itself makes it anew for each batch. */
struct asker {
	index *owner = nullptr;
	std::unique_ptr<faiss::DistanceComputer> distance;
	std::unique_ptr<faiss::VisitedTable> visited;
};

int search(void *ctx, const float *query, uint32_t effort, uint32_t *rows_out, size_t *n_out)
{
	static thread_local asker asker;
	auto self = static_cast<index *>(ctx);
	faiss::Index::idx_t rows[PEER_K];
	float distances[PEER_K];

	try {
		if (asker.owner != self) {
			asker.owner = self;
			asker.distance.reset(self->graph->storage->get_distance_computer());
			asker.visited =
				std::make_unique<faiss::VisitedTable>((int)self->graph->ntotal);
		}
		if (self->graph->hnsw.efSearch != (int)effort)
			self->graph->hnsw.efSearch = (int)effort;
		faiss::maxheap_heapify(PEER_K, distances, rows);
		asker.distance->set_query(query);
		self->graph->hnsw.search(*asker.distance, PEER_K, rows, distances, *asker.visited);
		faiss::maxheap_reorder(PEER_K, distances, rows);
		*n_out = 0;
		for (size_t i = 0; i < PEER_K && rows[i] >= 0; i++)
			rows_out[(*n_out)++] = (uint32_t)rows[i];
		return 0;
	} catch (const std::exception &error) {
		return failed("search", error);
	}
}

uint64_t index_bytes(void *ctx)
{
	auto self = static_cast<index *>(ctx);
	auto &hnsw = self->graph->hnsw;

	return hnsw.neighbors.size() * sizeof(hnsw.neighbors[0]) +
	       hnsw.offsets.size() * sizeof(hnsw.offsets[0]) +
	       hnsw.levels.size() * sizeof(hnsw.levels[0]);
}

} // namespace

extern "C" const struct peer_ops peer_faiss = {
	"faiss", "faiss HNSW16 over whole vectors, efConstruction=200", create, open, save, close,
	insert,	 nullptr, search, index_bytes};
