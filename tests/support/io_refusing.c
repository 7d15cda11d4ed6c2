/* io_refusing.c - hands everything to another disk, but for the range that it refuses. */
#include "tests/support/io_refusing.h"

static struct io_refusing *refusing_of(struct store_io *io)
{
	return (struct io_refusing *)io;
}

static int r_open(struct store_io *io, bool writable, struct err_msg *msg)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->open(inner, writable, msg);
}

static int r_size(struct store_io *io, uint64_t *bytes_out)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->size(inner, bytes_out);
}

static int r_read(struct store_io *io, uint64_t offset, void *buf, size_t len)
{
	struct io_refusing *r = refusing_of(io);

	if (r->seq == 0 && offset < r->to && offset + len > r->from)
		return ERR_IO;
	return r->inner->ops->read(r->inner, offset, buf, len);
}

static int r_log_list(struct store_io *io, uint64_t **seqs_out, size_t *n_out)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->log_list(inner, seqs_out, n_out);
}

static int r_log_size(struct store_io *io, uint64_t seq, uint64_t *bytes_out)
{
	struct io_refusing *r = refusing_of(io);

	if (r->seq == seq && r->from == 0 && r->to == UINT64_MAX)
		return ERR_IO;
	return r->inner->ops->log_size(r->inner, seq, bytes_out);
}

static int r_log_read(struct store_io *io, uint64_t seq, uint64_t offset, void *buf, size_t len,
		      size_t *got_out)
{
	struct io_refusing *r = refusing_of(io);

	if (r->seq == seq && offset < r->to && offset + len > r->from)
		return ERR_IO;
	return r->inner->ops->log_read(r->inner, seq, offset, buf, len, got_out);
}

static const char *r_name(struct store_io *io)
{
	struct store_io *inner = refusing_of(io)->inner;

	return inner->ops->name(inner);
}

static const struct store_io_ops refusing_ops = {
	.open = r_open,
	.size = r_size,
	.read = r_read,
	.log_list = r_log_list,
	.log_size = r_log_size,
	.log_read = r_log_read,
	.name = r_name,
};

void io_refusing_init(struct io_refusing *disk, struct store_io *inner)
{
	disk->io.ops = &refusing_ops;
	disk->inner = inner;
}
