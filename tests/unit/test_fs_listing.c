/*
 * The rule of listing.c, by its numbers: who may read and fill the listing that the kernel keeps, when it
 * is dropped, and when the kernel is told that the time of change is old. The kernel's side is here.
 */
#define FUSE_USE_VERSION 310
#include "fs/listing.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fs/inode.h"
#include "fs/notify.h"
#include "store/mem.h"
#include "tests/support/io_mem.h"
#include "tests/support/sanitized.h"

#define LOOKUPS_MAX 64 /* as in listing.c */

/* --- the kernel --- */

static struct {
	bool exited;
	atomic_uint told;      /* attributes of /vectors are old */
	atomic_uint dropped;   /* its pages are gone */
	void (*telling)(void); /* while it is told */
	pthread_mutex_t gate;  /* held by a test that lets no pages go */
} kernel = {.gate = PTHREAD_MUTEX_INITIALIZER};

int fuse_session_exited(struct fuse_session *session)
{
	(void)session;
	return kernel.exited;
}

int fuse_lowlevel_notify_inval_inode(struct fuse_session *session, fuse_ino_t ino, off_t off,
				     off_t len)
{
	(void)session;
	(void)len;
	assert_int_equal(ino, NODE_VECTORS);
	if (off < 0) {
		atomic_fetch_add(&kernel.told, 1);
		if (kernel.telling != NULL)
			kernel.telling();
		return 0;
	}
	pthread_mutex_lock(&kernel.gate);
	atomic_fetch_add(&kernel.dropped, 1);
	pthread_mutex_unlock(&kernel.gate);
	return 0;
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *session, fuse_ino_t parent,
				     const char *name, size_t len)
{
	(void)session;
	(void)parent;
	(void)name;
	(void)len;
	return 0;
}

/* --- a mount without a store --- */

static struct fs fs;
static struct io_mem *medium;

static int setup(void **state)
{
	const struct store_attr attr = {.mode = 0755, .mtime_ns = 1};

	(void)state;
	memset(&fs, 0, sizeof(fs));
	kernel.exited = false;
	kernel.telling = NULL;
	atomic_store(&kernel.told, 0);
	atomic_store(&kernel.dropped, 0);
	medium = io_mem_new(1);
	fs.io = medium != NULL ? io_mem_attach(medium) : NULL;
	fs.session = (struct fuse_session *)&kernel; /* nobody looks into it */
	if (fs.io == NULL || inode_table_new(0, &attr, &fs.inodes) != 0)
		return -1;
	return listing_new(&fs.listing) != 0 || notifier_new(fs.session, &fs.notifier) != 0;
}

static int teardown(void **state)
{
	(void)state;
	notifier_free(fs.notifier);
	listing_free(fs.listing);
	inode_table_free(fs.inodes);
	fs.io->ops->close(fs.io);
	io_mem_free(medium);
	return 0;
}

static int64_t shown_time(void)
{
	struct store_attr attr;

	inode_directory_attr(fs.inodes, &attr);
	return attr.mtime_ns;
}

/* How often the kernel was told since the last look. */
static unsigned told(void)
{
	return atomic_exchange(&kernel.told, 0);
}

static void expect_open(bool use, bool keep)
{
	struct listing_grant grant = listing_opened(&fs);

	assert_int_equal(grant.use, use);
	assert_int_equal(grant.keep, keep);
}

/* Reads the whole of it, in two answers and an empty one. */
static void bring_all(void)
{
	listing_brings(fs.listing, true, false);
	listing_brings(fs.listing, false, false);
	listing_brings(fs.listing, false, true);
}

/* The kernel keeps a whole listing, and nobody has the use. */
static void make_whole(void)
{
	expect_open(true, true);
	bring_all();
	listing_closed(fs.listing);
	(void)told();
}

/* --- 1: one has the use --- */

static void test_one_has_the_use(void **state)
{
	(void)state;
	expect_open(true, true);
	for (int i = 0; i < 3; i++)
		expect_open(false, true); /* neither reads nor brings, nor drops */
	bring_all();
	listing_changed(&fs, false);
	expect_open(false, true); /* not even what is old */
	listing_closed(fs.listing);
	expect_open(true, false);
	expect_open(false, true);
	listing_closed(fs.listing);
	expect_open(true, true);
}

/* --- 2 and 3: what is dropped --- */

static void test_whole_one_stays_without_a_change(void **state)
{
	(void)state;
	make_whole();
	for (int i = 0; i < 3; i++) {
		expect_open(true, true);
		listing_closed(fs.listing);
	}
	assert_int_equal(told(), 0);
}

/* A change after which the kernel might read a whole one: when it was whole, or became so since. */
static void test_whole_one_is_dropped_after_a_change(void **state)
{
	(void)state;
	for (unsigned unseen = 0; unseen < 2; unseen++) {
		make_whole();
		listing_changed(&fs, unseen);
		expect_open(true, false);
		listing_closed(fs.listing);

		/* while it is brought; what comes next is of a later time than what is there */
		expect_open(true, true);
		listing_brings(fs.listing, true, false);
		listing_changed(&fs, unseen);
		listing_brings(fs.listing, false, true);
		listing_closed(fs.listing);
		expect_open(true, false);
		listing_closed(fs.listing);

		/* while it is read */
		make_whole();
		expect_open(true, true);
		listing_changed(&fs, unseen);
		listing_closed(fs.listing);
		expect_open(true, false);
		listing_closed(fs.listing);
	}
}

/* brought is what changes was at the open that dropped: later changes count again, earlier do not. */
static void test_dropped_once_for_all_changes(void **state)
{
	(void)state;
	make_whole();
	for (int i = 0; i < 5; i++)
		listing_changed(&fs, true);
	expect_open(true, false);
	bring_all();
	listing_closed(fs.listing);
	expect_open(true, true); /* all of it was brought after those */
	listing_changed(&fs, true);
	listing_closed(fs.listing);
	expect_open(true, false);
	listing_closed(fs.listing);
}

/* A partial one is not dropped, whatever changed: nobody reads it. */
static void test_partial_one_stays(void **state)
{
	(void)state;
	expect_open(true, true);
	listing_brings(fs.listing, true, false);
	listing_closed(fs.listing);
	listing_changed(&fs, false);
	expect_open(true, true);
	listing_closed(fs.listing);
	/* also one that was dropped, and of which nothing came since */
	make_whole();
	listing_changed(&fs, false);
	expect_open(true, false);
	listing_closed(fs.listing);
	listing_changed(&fs, false);
	expect_open(true, true);
	/* but it is whole as soon as its end was told */
	listing_brings(fs.listing, false, true);
	listing_closed(fs.listing);
	expect_open(true, false);
}

/* Who asks from the start shows that the kernel has thrown the whole one away. */
static void test_asked_from_the_start_it_is_partial(void **state)
{
	(void)state;
	make_whole();
	expect_open(true, true);
	listing_brings(fs.listing, true, false);
	listing_closed(fs.listing);
	listing_changed(&fs, false);
	expect_open(true, true);
	listing_closed(fs.listing);
	/* in the middle it does not: the kernel goes on in the one that it has */
	make_whole();
	expect_open(true, false);
	bring_all();
	listing_brings(fs.listing, false, false);
	listing_closed(fs.listing);
	listing_changed(&fs, false);
	expect_open(true, false);
	/* an empty folder: start and end in one */
	listing_brings(fs.listing, true, true);
	listing_closed(fs.listing);
	listing_changed(&fs, false);
	expect_open(true, false);
}

/* The kernel did not hear that something is dropped, so the next one has to drop it. */
static void test_forsaken(void **state)
{
	(void)state;
	make_whole();
	listing_changed(&fs, false);
	expect_open(true, false);
	listing_forsaken(fs.listing);
	expect_open(true, false);
	listing_closed(fs.listing);
	expect_open(true, true);
	listing_forsaken(fs.listing);
	expect_open(true, false);
}

/* --- 4: the time of change --- */

static void test_each_change_has_its_time(void **state)
{
	int64_t last = shown_time();

	(void)state;
	for (int i = 0; i < 100; i++) {
		listing_changed(&fs, i % 2 != 0); /* the clock stands still */
		assert_true(shown_time() > last);
		last = shown_time();
	}
	io_mem_advance(medium, 1000000);
	listing_changed(&fs, false);
	assert_true(shown_time() > last);
}

/* Of what it does not see, when somebody could compare: has the use, or knows the time before. */
static void test_told_of_what_is_not_seen(void **state)
{
	(void)state;
	(void)shown_time();
	listing_changed(&fs, false);
	assert_int_equal(told(), 0);
	(void)shown_time();
	listing_changed(&fs, true);
	assert_int_equal(told(), 1);
	listing_changed(&fs, true); /* it has no time of ours to compare with */
	assert_int_equal(told(), 0);
	expect_open(true, true);
	(void)told();
	for (int i = 0; i < 3; i++) {
		listing_changed(&fs, true);
		assert_int_equal(told(), 1);
	}
	listing_changed(&fs, false);
	assert_int_equal(told(), 0);
	listing_closed(fs.listing);
	listing_changed(&fs, true);
	assert_int_equal(told(), 0);
	(void)shown_time();
	kernel.exited = true;
	listing_changed(&fs, true);
	assert_int_equal(told(), 0);
}

/* An open that goes on with what was brought before a change: the kernel shall compare. */
static void test_told_at_an_open_of_an_older_partial_one(void **state)
{
	(void)state;
	expect_open(true, true);
	assert_int_equal(told(), 0);
	listing_brings(fs.listing, true, false);
	listing_closed(fs.listing);
	expect_open(true, true);
	assert_int_equal(told(), 0); /* nothing has changed */
	listing_closed(fs.listing);
	listing_changed(&fs, false);
	expect_open(true, true);
	assert_int_equal(told(), 1);
	expect_open(false, true); /* has nothing to go on with */
	assert_int_equal(told(), 0);
	bring_all();
	listing_closed(fs.listing);
	expect_open(true, false); /* dropped: nothing is left to compare */
	assert_int_equal(told(), 0);
}

static int64_t time_before;

/* Whoever begins to list once the kernel is told meets the change: by its time, and by an open. */
static void look_while_told(void)
{
	kernel.telling = NULL;
	assert_true(shown_time() > time_before);
	listing_closed(fs.listing);
	expect_open(true, false);
}

static void test_told_after_the_change(void **state)
{
	(void)state;
	make_whole();
	expect_open(true, true);
	time_before = shown_time();
	kernel.telling = look_while_told;
	listing_changed(&fs, true);
	assert_null(kernel.telling);
	assert_int_equal(told(), 1);
}

#define ROUNDS UNLESS_SANITIZED(100000, 2000)
#define SPINS 200 /* then the other one may need this core */

static atomic_int rounds_begun, rounds_ended;

static void wait_for_round(atomic_int *rounds, int round)
{
	for (int spins = 0; atomic_load(rounds) < round; spins++)
		if (spins > SPINS)
			(void)sched_yield();
}

static void *change_in_rounds(void *ctx)
{
	for (int round = 1; round <= ROUNDS; round++) {
		wait_for_round(&rounds_begun, round);
		for (volatile int i = 0; i < round % 64; i++)
			continue;
		listing_changed(&fs, true);
		atomic_store(&rounds_ended, round);
	}
	return ctx;
}

/*
 * An open that goes on with a partial one beside a change that the kernel does not see: one of both tells
 * it, whichever comes first. And the change is in no listing that stays.
 */
static void test_open_beside_a_change(void **state)
{
	int not_told = 0, kept = 0;
	pthread_t changer;

	(void)state;
	assert_int_equal(pthread_create(&changer, NULL, change_in_rounds, NULL), 0);
	for (int round = 1; round <= ROUNDS; round++) {
		(void)told();
		atomic_store(&rounds_begun, round);
		for (volatile int i = 0; i < round / 64 % 256; i++)
			continue;
		(void)listing_opened(&fs);
		wait_for_round(&rounds_ended, round);
		not_told += told() == 0;
		listing_brings(fs.listing, false, true);
		listing_closed(fs.listing);
		kept += listing_opened(&fs).keep;
		listing_closed(fs.listing);
	}
	assert_int_equal(pthread_join(changer, NULL), 0);
	assert_int_equal(not_told, 0);
	assert_int_equal(kept, 0);
}

/* --- names looked up one by one --- */

static void look_up(unsigned n)
{
	while (n-- > 0)
		listing_looked_up(&fs);
}

static void post(void *ctx)
{
	(void)sem_post(ctx);
}

/* Waits until the notifier has done everything: errands are done in their order. */
static void notifier_rests(void)
{
	struct notifier_errand *errand;
	sem_t done;

	assert_int_equal(sem_init(&done, 0, 0), 0);
	errand = notifier_errand_new(NODE_VECTORS, "name", NULL, post, &done);
	assert_non_null(errand);
	notifier_errand_run(fs.notifier, errand);
	assert_int_equal(sem_wait(&done), 0);
	(void)sem_destroy(&done);
	(void)told(); /* of this errand */
}

static bool usable(void)
{
	bool use = listing_opened(&fs).use;

	if (use)
		listing_closed(fs.listing);
	return use;
}

static void test_many_lookups_drop_the_pages(void **state)
{
	bool used_meanwhile;

	(void)state;
	make_whole();
	look_up(1000); /* nobody has the use */
	expect_open(true, true);
	look_up(LOOKUPS_MAX - 1);
	listing_closed(fs.listing);
	expect_open(true, true); /* counts anew */
	look_up(LOOKUPS_MAX - 1);
	notifier_rests();
	assert_int_equal(atomic_load(&kernel.dropped), 0);

	/* meanwhile nobody has the use, so that no partial one loses a page */
	pthread_mutex_lock(&kernel.gate);
	look_up(1);
	listing_closed(fs.listing);
	used_meanwhile = usable();
	pthread_mutex_unlock(&kernel.gate);
	assert_false(used_meanwhile);
	notifier_rests();
	assert_int_equal(atomic_load(&kernel.dropped), 1);

	expect_open(true, true);
	look_up(10 * LOOKUPS_MAX);
	listing_closed(fs.listing);
	notifier_rests();
	assert_int_equal(atomic_load(&kernel.dropped), 2); /* once an open */
}

/* Who brings names has not read them from what was kept. */
static void test_lookups_beside_bringing_drop_nothing(void **state)
{
	(void)state;
	expect_open(true, true);
	look_up(1000); /* nothing is kept */
	bring_all();
	look_up(1000);
	listing_closed(fs.listing);
	listing_changed(&fs, false);
	expect_open(true, false);
	look_up(1000); /* it was dropped */
	listing_closed(fs.listing);
	make_whole();
	expect_open(true, true);
	listing_brings(fs.listing, true, false); /* the kernel had thrown it away */
	look_up(1000);
	listing_closed(fs.listing);
	make_whole();
	expect_open(true, true);
	listing_closed(fs.listing);
	look_up(1000); /* nobody reads it any more */
	notifier_rests();
	assert_int_equal(atomic_load(&kernel.dropped), 0);
}

static bool no_memory(void *ctx)
{
	(void)ctx;
	return true;
}

static void test_without_memory_nothing_is_dropped(void **state)
{
	(void)state;
	make_whole();
	expect_open(true, true);
	mem_set_fault(no_memory, NULL);
	look_up(LOOKUPS_MAX);
	mem_set_fault(NULL, NULL);
	listing_closed(fs.listing);
	expect_open(true, true); /* and the use is not lost for good */
	notifier_rests();
	assert_int_equal(atomic_load(&kernel.dropped), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_has_the_use),
		TEST(test_whole_one_stays_without_a_change),
		TEST(test_whole_one_is_dropped_after_a_change),
		TEST(test_dropped_once_for_all_changes),
		TEST(test_partial_one_stays),
		TEST(test_asked_from_the_start_it_is_partial),
		TEST(test_forsaken),
		TEST(test_each_change_has_its_time),
		TEST(test_told_of_what_is_not_seen),
		TEST(test_told_at_an_open_of_an_older_partial_one),
		TEST(test_told_after_the_change),
		TEST(test_open_beside_a_change),
		TEST(test_many_lookups_drop_the_pages),
		TEST(test_lookups_beside_bringing_drop_nothing),
		TEST(test_without_memory_nothing_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
