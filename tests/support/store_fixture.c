/* store_fixture.c - making, leaving and reopening a store; vectors that say who they are. */
#include "tests/support/store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/store_private.h"

#define WORDS (STORE_FIXTURE_VALUE / 4)

void store_fixture_new(struct store_fixture *fixture, const struct store_opts *opts)
{
	struct store_geometry geometry = {.page_size = STORE_FIXTURE_PAGE,
					  .value_size = STORE_FIXTURE_VALUE};

	memset(fixture, 0, sizeof(*fixture));
	if (opts != NULL)
		fixture->opts = *opts;
	else
		fixture->opts.cache_bytes = 1 << 20;
	fixture->medium = io_mem_new(11);
	assert_non_null(fixture->medium);
	fixture->io = io_mem_attach(fixture->medium);
	assert_int_equal(store_create(fixture->io, &geometry, NULL), 0);
	fixture->io->ops->close(fixture->io);
	fixture->io = NULL;
	store_fixture_open(fixture);
}

int store_fixture_try_open(struct store_fixture *fixture)
{
	int err;

	fixture->io = io_mem_attach(fixture->medium);
	assert_non_null(fixture->io);
	memset(&fixture->report, 0, sizeof(fixture->report));
	memset(&fixture->msg, 0, sizeof(fixture->msg));
	err = store_open(fixture->io, &fixture->opts, &fixture->store, &fixture->report,
			 &fixture->msg);
	if (err != 0)
		store_fixture_crash(fixture);
	return err;
}

void store_fixture_open(struct store_fixture *fixture)
{
	int err = store_fixture_try_open(fixture);

	if (err != 0)
		print_error("%s: %s\n", err_str(err), fixture->msg.text);
	assert_int_equal(err, 0);
}

void store_fixture_crash(struct store_fixture *fixture)
{
	store_abandon(fixture->store);
	fixture->store = NULL;
	if (fixture->io != NULL)
		fixture->io->ops->close(fixture->io);
	fixture->io = NULL;
}

void store_fixture_reopen(struct store_fixture *fixture)
{
	store_fixture_crash(fixture);
	store_fixture_open(fixture);
}

void store_fixture_free(struct store_fixture *fixture)
{
	store_fixture_crash(fixture);
	io_mem_free(fixture->medium);
	memset(fixture, 0, sizeof(*fixture));
}

size_t store_fixture_name(uint32_t id, char name_out[32])
{
	return (size_t)snprintf(name_out, 32, "vector-%u", (unsigned)id);
}

static void fill(uint32_t id, uint32_t version, uint32_t value_out[WORDS])
{
	for (uint32_t i = 0; i < WORDS; i++)
		value_out[i] = i % 2 == 0 ? id * 2654435761u + i : version * 40503u + i;
}

int store_fixture_try_put(struct store_fixture *fixture, uint32_t id, uint32_t version)
{
	struct store_attr attr = {.mode = 0640, .uid = 1, .gid = 2, .mtime_ns = version};
	uint32_t value[WORDS];
	char name[32];
	size_t len = store_fixture_name(id, name);

	fill(id, version, value);
	return store_put(fixture->store, name, len, value, sizeof(value), &attr, 0, NULL, NULL,
			 NULL);
}

void store_fixture_put(struct store_fixture *fixture, uint32_t id, uint32_t version)
{
	assert_int_equal(store_fixture_try_put(fixture, id, version), 0);
}

int store_fixture_try_delete(struct store_fixture *fixture, uint32_t id)
{
	char name[32];
	size_t len = store_fixture_name(id, name);

	return store_delete(fixture->store, name, len, NULL, NULL, NULL);
}

int store_fixture_try_rename(struct store_fixture *fixture, uint32_t from, uint32_t to,
			     unsigned flags)
{
	char from_name[32], to_name[32];
	size_t from_len = store_fixture_name(from, from_name);
	size_t to_len = store_fixture_name(to, to_name);

	return store_rename(fixture->store, from_name, from_len, to_name, to_len, flags, NULL, NULL,
			    NULL);
}

void store_fixture_expect(struct store_fixture *fixture, uint32_t id, uint32_t version)
{
	uint32_t value[WORDS], want[WORDS];
	struct store_entry entry;
	char name[32];
	size_t len = store_fixture_name(id, name);
	int err = store_get(fixture->store, name, len, &entry, value);

	assert_int_equal(err, version == 0 ? ERR_ABSENT : 0);
	if (version == 0)
		return;
	fill(id, version, want);
	assert_memory_equal(value, want, sizeof(want));
	assert_string_equal(entry.id, name);
}

void store_fixture_check(struct store_fixture *fixture)
{
	struct store *store = fixture->store;
	uint64_t entries = 0;

	epoch_enter(store->epoch);
	assert_int_equal(pager_check(store->pager), 0);
	assert_int_equal(slots_check(&store->slots), 0);
	assert_int_equal(ids_check(&store->ids, &entries), 0);
	epoch_leave(store->epoch);
	assert_int_equal(entries, store->slots.live);
}

unsigned store_fixture_slots(struct store_fixture *fixture, struct head *head_out,
			     struct head_slot slots_out[2])
{
	struct io_mem *copy = io_mem_clone(fixture->medium);
	struct store_io *io = io_mem_attach(copy);
	struct err_msg msg;
	bool bad;
	unsigned n = 0;

	assert_int_equal(io->ops->open(io, false, NULL), 0);
	assert_int_equal(head_read(io, head_out, slots_out, &n, &bad, &msg), 0);
	io->ops->close(io);
	io_mem_free(copy);
	return n;
}

int store_fixture_fail(void *ctx, const char *call, uint64_t nth)
{
	struct store_fixture_fault *fault = ctx;

	if (fault->call == NULL)
		nth = fault->calls++;
	else if (strcmp(call, fault->call) != 0)
		return 0;
	if (nth < fault->nth || (nth > fault->nth && !fault->for_ever))
		return 0;
	fault->hit = true;
	return fault->result;
}

void store_fixture_expect_poisoned(struct store_fixture *fixture)
{
	struct store_attr attr = {0};
	struct store_stats stats;

	io_mem_set_fault(fixture->medium, NULL, NULL);
	store_get_stats(fixture->store, &stats);
	assert_true(stats.poisoned);
	assert_true(store_read_only(fixture->store));
	assert_int_equal(store_fixture_try_put(fixture, 1, 9), ERR_READONLY);
	assert_int_equal(store_fixture_try_delete(fixture, 1), ERR_READONLY);
	assert_int_equal(
		store_rename(fixture->store, "vector-1", 8, "vector-9", 8, 0, NULL, NULL, NULL),
		ERR_READONLY);
	assert_int_equal(store_set_attr(fixture->store, "vector-1", 8, &attr, STORE_ATTR_MODE),
			 ERR_READONLY);
	assert_int_equal(store_slot_release(fixture->store, 0), ERR_READONLY);
	assert_int_equal(store_sync(fixture->store), ERR_READONLY);
	assert_int_equal(store_checkpoint(fixture->store), ERR_READONLY);
	assert_int_equal(store_graph_begin(fixture->store), ERR_READONLY);
	assert_int_equal(io_mem_calls(fixture->medium, "write"), 0);
	assert_int_equal(io_mem_calls(fixture->medium, "sync"), 0);
	assert_int_equal(io_mem_calls(fixture->medium, "commit_slot"), 0);
	assert_int_equal(io_mem_calls(fixture->medium, "log_write"), 0);
	assert_int_equal(io_mem_calls(fixture->medium, "log_sync"), 0);
	store_fixture_expect(fixture, 1, 1);
	store_fixture_expect(fixture, 2, 2);
}
