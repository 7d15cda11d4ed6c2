/*
 * wal_read.c - reads segments in large pieces and looks for records in them.
 *
 * Invariants:
 * 1. buf holds the bytes [start, start + len) of segment seq.
 * 2. Unless the segment ends before, WAL_FORMAT_RECORD_MAX bytes are visible at any offset asked
 *    for, so that a record is never judged by a part of it.
 */
#include "store/wal_read.h"

#include "store/mem.h"

#define WINDOW_MIN ((size_t)round_up(WAL_FORMAT_RECORD_MAX + 8, FORMAT_BLOCK))
#define WINDOW_MAX ((size_t)1 << 20)

static_assert(WINDOW_MAX >= 4 * WAL_FORMAT_RECORD_MAX, "moving the rest must be rare");

int wal_read_init(struct wal_read *window, struct store_io *io, uint64_t longest)
{
	memset(window, 0, sizeof(*window));
	window->io = io;
	window->cap = WINDOW_MAX;
	if (longest < WINDOW_MIN)
		window->cap = WINDOW_MIN;
	else if (longest < WINDOW_MAX)
		window->cap = (size_t)round_up(longest + 1, FORMAT_BLOCK);
	window->buf = mem_alloc_aligned(FORMAT_BLOCK, window->cap);
	return window->buf != NULL ? 0 : ERR_NOMEM;
}

void wal_read_release(struct wal_read *window)
{
	mem_free(window->buf);
	memset(window, 0, sizeof(*window));
}

void wal_read_seek(struct wal_read *window, uint64_t seq)
{
	window->seq = seq;
	window->start = 0;
	window->len = 0;
	window->at_end = false;
	window->refused = false;
}

/* Reads block by block, and puts zeros for those that the device refuses. */
static int read_around(struct wal_read *window, uint64_t offset, uint8_t *buf, size_t len,
		       size_t *got_out)
{
	struct store_io *io = window->io;
	uint64_t size = 0;
	size_t done = 0;
	int err = io->ops->log_size(io, window->seq, &size);

	window->refused = true;
	*got_out = 0;
	if (err != 0)
		return err == ERR_NOMEM ? err : 0;
	if (offset >= size)
		return 0;
	if (len > size - offset)
		len = (size_t)(size - offset);
	while (done < len) {
		size_t part = FORMAT_BLOCK - (size_t)((offset + done) % FORMAT_BLOCK), got = 0;

		if (part > len - done)
			part = len - done;
		err = io->ops->log_read(io, window->seq, offset + done, buf + done, part, &got);
		if (err == ERR_NOMEM)
			return err;
		if (err != 0 || got < part)
			memset(buf + done + (err == 0 ? got : 0), 0, part - (err == 0 ? got : 0));
		done += part;
	}
	*got_out = len;
	return 0;
}

/* Makes buf start at offset, keeping what it already has from there on, and fills it. */
static int slide(struct wal_read *window, uint64_t offset)
{
	struct store_io *io = window->io;
	size_t kept = 0, got = 0;
	int err;

	if (offset >= window->start && offset - window->start < window->len) {
		kept = window->len - (size_t)(offset - window->start);
		memmove(window->buf, window->buf + window->len - kept, kept);
	}
	window->start = offset;
	window->len = kept;
	err = io->ops->log_read(io, window->seq, offset + kept, window->buf + kept,
				window->cap - kept, &got);
	if (err != 0 && err != ERR_NOMEM && window->tolerant)
		err = read_around(window, offset + kept, window->buf + kept, window->cap - kept,
				  &got);
	if (err != 0)
		return err == ERR_NOMEM ? err : ERR_IO;
	window->at_end = got < window->cap - kept;
	window->len = kept + got;
	return 0;
}

int wal_read_at(struct wal_read *window, uint64_t offset, const uint8_t **bytes_out,
		size_t *available_out)
{
	uint64_t end = window->start + window->len;
	bool inside = offset >= window->start && offset <= end;
	int err = 0;

	if (!inside || (!window->at_end && end - offset < WAL_FORMAT_RECORD_MAX))
		err = slide(window, offset);
	if (err != 0)
		return err;
	*bytes_out = window->buf + (offset - window->start);
	*available_out = window->len - (size_t)(offset - window->start);
	return 0;
}

int wal_read_find(struct wal_read *window, const struct wal_format_segment *segment,
		  uint64_t *offset, struct wal_format_record *record_out, bool *found_out)
{
	const uint8_t *bytes = NULL;
	size_t available = 0, judged, i;
	int err;

	*found_out = false;
	for (;;) {
		err = wal_read_at(window, *offset, &bytes, &available);
		if (err != 0)
			return err;
		if (available < WAL_FORMAT_RECORD_MIN)
			return 0;
		judged = available -
			 (window->at_end ? WAL_FORMAT_RECORD_MIN : WAL_FORMAT_RECORD_MAX) + 1;
		for (i = 0; i < judged; i += 8) {
			if (!wal_format_get_record(bytes + i, available - i, segment, record_out))
				continue;
			*offset += i;
			record_out->record.offset = *offset;
			*found_out = true;
			return 0;
		}
		*offset += i;
	}
}
