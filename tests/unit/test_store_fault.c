/*
 * test_store_fault.c - every call to the disk and every allocation of a workload fails once. After
 * each failure: what was acknowledged is there, what failed is old or new, and a healthy reopen
 * works. Then single damaged bytes: the store opens with full data, or says what is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/store.h"
#include "tests/support/io_mem.h"

#define IDS 12u
#define WORDS 64u
#define OPS 60u

/* What an id may hold: 0 = absent, else a version; two states when the last change failed. */
struct allowed {
	uint32_t versions[OPS + 1];
	uint32_t n;
};

struct world {
	struct io_mem *medium;
	struct store_io *io;
	struct store *store;
	struct allowed allowed[IDS];
};

static const struct store_opts healthy = {.cache_bytes = 64 << 10};

static size_t name_of(uint32_t id, char *out)
{
	return (size_t)sprintf(out, "vector-%u", (unsigned)id);
}

static void fill(uint32_t id, uint32_t version, uint32_t *value)
{
	for (uint32_t i = 0; i < WORDS; i++)
		value[i] = id * 1000 + version + i;
}

static void start(struct world *w)
{
	struct store_geometry geometry = {.page_size = 4096, .value_size = WORDS * 4};

	memset(w, 0, sizeof(*w));
	for (uint32_t id = 0; id < IDS; id++)
		w->allowed[id].n = 1; /* absent */
	w->medium = io_mem_new(3);
	w->io = io_mem_attach(w->medium);
	assert_int_equal(store_create(w->io, &geometry, NULL), 0);
	w->io->ops->close(w->io);
	w->io = NULL;
}

static void settle(struct allowed *allowed, uint32_t version, bool acknowledged)
{
	if (acknowledged)
		allowed->n = 0;
	allowed->versions[allowed->n++] = version;
}

static void operate(struct world *w, uint32_t op)
{
	uint32_t id = op * 7 % IDS, value[WORDS];
	struct store_put_result result = {.old_slot = STORE_NO_SLOT};
	struct store_attr attr = {.mode = 0600};
	char name[32];
	size_t len = name_of(id, name);
	int err;

	if (op % 5 == 4) {
		err = store_delete(w->store, name, len, NULL, NULL, &result);
		if (err != ERR_ABSENT)
			settle(&w->allowed[id], 0, err == 0);
	} else {
		fill(id, op, value);
		err = store_put(w->store, name, len, value, sizeof(value), &attr, 0, NULL, NULL,
				&result);
		settle(&w->allowed[id], op, err == 0);
	}
	if (err == 0 && result.old_slot != STORE_NO_SLOT)
		(void)store_slot_release(w->store,
					 result.old_slot); /* may fail: costs space only */
	if (op % 17 == 16)
		(void)store_checkpoint(w->store); /* may fail: the log has everything */
	if (op % 11 == 10)
		store_drop_caches(w->store);
}

/* Opens, works, closes; any of it may fail. */
static void work(struct world *w)
{
	w->io = io_mem_attach(w->medium);
	if (w->io == NULL)
		return;
	if (store_open(w->io, &healthy, &w->store, NULL, NULL) == 0) {
		for (uint32_t op = 1; op < OPS; op++)
			operate(w, op);
		(void)store_close(w->store); /* may fail: then the log is needed */
		w->store = NULL;
	}
	w->io->ops->close(w->io);
	w->io = NULL;
}

static bool holds(const struct allowed *allowed, uint32_t version)
{
	for (uint32_t i = 0; i < allowed->n; i++)
		if (allowed->versions[i] == version)
			return true;
	return false;
}

/* Reads everything; each id must hold an allowed version. False when the store says it is damaged. */
static bool verify(struct world *w, bool may_refuse)
{
	struct err_msg msg = {{0}};
	bool refused = false;
	int err;

	w->io = io_mem_attach(w->medium);
	err = store_open(w->io, &healthy, &w->store, NULL, &msg);
	if (err != 0) {
		if (!may_refuse)
			print_error("%s: %s\n", err_str(err), msg.text);
		assert_true(may_refuse);
		assert_true(msg.text[0] != '\0');
		refused = true;
	}
	for (uint32_t id = 0; !refused && id < IDS; id++) {
		uint32_t value[WORDS], want[WORDS], version = 0;
		char name[32];
		size_t len = name_of(id, name);

		err = store_get(w->store, name, len, NULL, value);
		if (err == 0) {
			version = value[0] - id * 1000;
			fill(id, version, want);
			assert_memory_equal(value, want, sizeof(want));
		}
		if (err != 0 && err != ERR_ABSENT) {
			assert_true(may_refuse);
			refused = true;
			break;
		}
		assert_true(holds(&w->allowed[id], version));
	}
	store_abandon(w->store);
	w->store = NULL;
	w->io->ops->close(w->io);
	w->io = NULL;
	return !refused;
}

/* --- the disk --- */

struct plan {
	const char *call;
	uint64_t nth;
	int result;
	bool for_ever;
	bool hit;
};

static int fail_planned(void *ctx, const char *call, uint64_t nth)
{
	struct plan *plan = ctx;

	if (strcmp(call, plan->call) != 0 || nth < plan->nth ||
	    (nth > plan->nth && !plan->for_ever))
		return 0;
	plan->hit = true;
	return plan->result;
}

static void test_each_call_fails(void **state)
{
	static const char *const calls[] = {"read",	  "write",     "sync",	     "commit_slot",
					    "log_create", "log_write", "log_sync",   "log_list",
					    "log_read",	  "log_size",  "log_remove", "size",
					    "open"};
	static const int results[] = {ERR_IO, ERR_FULL, ERR_UNKNOWN, IO_MEM_CUT(20)};
	uint64_t injected = 0;

	(void)state;
	for (size_t c = 0; c < sizeof(calls) / sizeof(*calls); c++) {
		bool hit = true;

		for (uint64_t nth = 0; hit; nth++) {
			for (unsigned r = 0; r < 8; r++) {
				struct plan plan = {calls[c], nth, results[r % 4], r >= 4, false};
				struct world w;

				/* a slot half written with the device gone is a power cut: issue of its own */
				if (results[r % 4] == IO_MEM_CUT(20) &&
				    strcmp(calls[c], "write") != 0 &&
				    strcmp(calls[c], "log_write") != 0)
					continue;
				start(&w);
				io_mem_set_fault(w.medium, fail_planned, &plan);
				work(&w);
				io_mem_set_fault(w.medium, NULL, NULL);
				assert_true(verify(&w, false));
				assert_true(verify(&w, false));
				io_mem_free(w.medium);
				hit = plan.hit;
				injected += plan.hit;
			}
		}
	}
	print_message("%llu disk faults injected\n", (unsigned long long)injected);
	assert_true(injected > 500);
}

/* --- memory --- */

static uint64_t allocations, fail_at;

static bool fail_allocation(void *ctx)
{
	(void)ctx;
	return allocations++ == fail_at;
}

static void test_each_allocation_fails(void **state)
{
	uint64_t injected = 0;

	(void)state;
	for (fail_at = 0;; fail_at++) {
		struct world w;

		start(&w);
		allocations = 0;
		mem_set_fault(fail_allocation, NULL);
		work(&w);
		mem_set_fault(NULL, NULL);
		assert_true(verify(&w, false));
		io_mem_free(w.medium);
		if (allocations <= fail_at)
			break;
		injected++;
	}
	print_message("%llu allocations failed\n", (unsigned long long)injected);
	assert_true(injected > 100);
}

/* --- damage --- */

static void test_damaged_bytes(void **state)
{
	struct world w;
	size_t len, step = 37;
	uint64_t flips = 0, refused = 0;

	(void)state;
	start(&w);
	work(&w);
	(void)io_mem_head(w.medium, &len);
	for (size_t at = 0; at < len; at += step) {
		struct world damaged = w;

		damaged.medium = io_mem_clone(w.medium);
		io_mem_head(damaged.medium, &len)[at] ^= (uint8_t)(1 + at % 255);
		refused += !verify(&damaged, true);
		io_mem_free(damaged.medium);
		flips++;
	}
	io_mem_free(w.medium);
	print_message("%llu bytes damaged, %llu refused with a reason, the rest read in full\n",
		      (unsigned long long)flips, (unsigned long long)refused);
	assert_true(refused > 0 && refused < flips);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call_fails),
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_damaged_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
