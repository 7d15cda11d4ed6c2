/*
 * peer_hnswlib.cpp - hnswlib behind peer.h: M=16, efConstruction=200.
 *
 * Its fast kernels want dimensions in sixteens, so rows and queries are padded with zeros, which
 * changes no distance. Vectors of length 1 are compared by their product.
 *
 * This version has no replacement of deleted elements. A row that comes while a deleted one is
 * there takes over its element, as replace_deleted of later versions does: the label of the
 * element is added again with the new vector, and `rows` says which row it stands for.
 */
#include "tests/bench/peer.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <hnswlib/hnswlib.h>

namespace {

constexpr size_t links = 16, build_effort = 200;
constexpr int metric_l2 = 2; /* ANN_L2 */

struct index {
	std::string path;
	size_t dim, padded, threads, most;
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph;
	std::vector<uint32_t> rows;	  /* of each label */
	std::vector<size_t> labels;	  /* of each row */
	std::vector<size_t> dead;	  /* labels that can be taken over */
	size_t used = 0;		  /* labels given so far */
	std::mutex lock;		  /* of dead and used, and what is entered in rows, labels */
};

int failed(const char *what, const std::exception &error)
{
	fprintf(stderr, "hnswlib: %s: %s\n", what, error.what());
	return -1;
}

std::unique_ptr<index> prepare(const struct peer_config *config)
{
	auto self = std::make_unique<index>();

	self->path = config->path;
	self->dim = config->dim;
	self->padded = (config->dim + 15) / 16 * 16;
	self->threads = config->threads;
	self->most = config->most;
	if (config->metric == metric_l2)
		self->space = std::make_unique<hnswlib::L2Space>(self->padded);
	else
		self->space = std::make_unique<hnswlib::InnerProductSpace>(self->padded);
	return self;
}

int create(const struct peer_config *config, void **self_out)
{
	try {
		auto self = prepare(config);

		self->graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(
			self->space.get(), config->most, links, build_effort);
		self->rows.resize(config->most);
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
		auto self = prepare(config);

		self->graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(
			self->space.get(), self->path, false, config->most);
		self->used = self->graph->cur_element_count;
		for (size_t i = 0; i < config->most; i++) {
			self->rows.push_back((uint32_t)i);
			self->labels.push_back(i);
		}
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
		self->graph->saveIndex(self->path);
		return 0;
	} catch (const std::exception &error) {
		return failed(self->path.c_str(), error);
	}
}

void close(void *ctx)
{
	delete static_cast<index *>(ctx);
}

/* The label for a new row. */
size_t take_label(index *self, size_t row)
{
	std::lock_guard<std::mutex> hold(self->lock);
	size_t label;

	if (self->dead.empty()) {
		label = self->used++;
	} else {
		label = self->dead.back();
		self->dead.pop_back();
	}
	self->rows[label] = (uint32_t)row;
	if (self->labels.size() <= row)
		self->labels.resize(row + 1);
	self->labels[row] = label;
	return label;
}

int insert(void *ctx, const float *vectors, size_t first, size_t n)
{
	auto self = static_cast<index *>(ctx);
	std::atomic<size_t> next(0);
	std::atomic<bool> wrong(false);
	std::vector<std::thread> threads;
	auto work = [&] {
		std::vector<float> padded(self->padded);

		for (size_t i; !wrong && (i = next++) < n;) {
			try {
				size_t label = take_label(self, first + i);

				std::memcpy(padded.data(), vectors + i * self->dim,
					    self->dim * sizeof(float));
				self->graph->addPoint(padded.data(), label);
			} catch (const std::exception &error) {
				wrong = true;
				failed("insert", error);
			}
		}
	};

	for (size_t i = 1; i < self->threads; i++)
		threads.emplace_back(work);
	work();
	for (auto &thread : threads)
		thread.join();
	return wrong ? -1 : 0;
}

int remove(void *ctx, size_t first, size_t n)
{
	auto self = static_cast<index *>(ctx);

	try {
		for (size_t row = first; row < first + n; row++) {
			self->graph->markDelete(self->labels[row]);
			self->dead.push_back(self->labels[row]);
		}
		return 0;
	} catch (const std::exception &error) {
		return failed("remove", error);
	}
}

int search(void *ctx, const float *query, uint32_t effort, uint32_t *rows_out, size_t *n_out)
{
	static thread_local std::vector<float> buffer;
	auto self = static_cast<index *>(ctx);

	try {
		if (self->padded != self->dim) {
			buffer.assign(self->padded, 0.0f);
			std::memcpy(buffer.data(), query, self->dim * sizeof(float));
			query = buffer.data();
		}
		if (self->graph->ef_ != effort)
			self->graph->setEf(effort);
		auto found = self->graph->searchKnn(query, PEER_K);
		*n_out = found.size();
		for (size_t i = found.size(); i-- > 0; found.pop())
			rows_out[i] = self->rows[found.top().second];
		return 0;
	} catch (const std::exception &error) {
		return failed("search", error);
	}
}

/* The first layer with its links and labels, the upper layers, two tables of locks and levels. */
uint64_t index_bytes(void *ctx)
{
	auto self = static_cast<index *>(ctx);
	auto graph = self->graph.get();
	uint64_t bytes = graph->cur_element_count *
			 (graph->size_data_per_element_ - self->dim * sizeof(float) +
			  sizeof(void *) + sizeof(int) + sizeof(std::mutex));

	for (size_t i = 0; i < graph->cur_element_count; i++)
		if (graph->element_levels_[i] > 0)
			bytes += (uint64_t)graph->element_levels_[i] *
				 graph->size_links_per_element_;
	return bytes;
}

} // namespace

extern "C" const struct peer_ops peer_hnswlib = {
	"hnswlib", "hnswlib, M=16, efConstruction=200", create, open, save, close,
	insert,	   remove,	 search, index_bytes};
