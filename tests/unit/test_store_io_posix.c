/*
 * test_store_io_posix.c - the POSIX back end on real files: making and opening a store, what is refused
 * and in which words, the lock, and the surroundings. Its calls to the kernel fail on demand.
 */
#include "store/io_posix.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base.h"
#include "store/format.h"
#include "store/mem.h"
#include "tests/support/posix_faults.h"

static unsigned count_files(void)
{
	char command[128];
	FILE *pipe;
	unsigned n = 0;

	snprintf(command, sizeof(command), "ls -A '%s' | wc -l", posix_dir);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%u", &n), 1);
	pclose(pipe);
	return n;
}

/* --- making and opening --- */

static void test_create(void **state)
{
	struct store_io *io = posix_new_io();
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 0), *back = mem_alloc(POSIX_HEAD_BYTES);
	uint64_t size;
	struct stat st;

	(void)state;
	assert_int_equal(io->ops->create(io, bytes, POSIX_HEAD_BYTES), 0);
	assert_int_equal(posix_fault.syncs, 2); /* the file, then its name */
	assert_int_equal(stat(posix_store_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(count_files(), 1);
	assert_int_equal(io->ops->create(io, bytes + 1, 10), ERR_EXISTS);
	assert_int_equal(count_files(), 1);
	assert_int_equal(io->ops->open(io, false, NULL), 0);
	assert_int_equal(io->ops->open(io, false, NULL), ERR_INVALID);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, POSIX_HEAD_BYTES);
	assert_int_equal(io->ops->read(io, 0, back, POSIX_HEAD_BYTES), 0);
	assert_memory_equal(back, bytes, POSIX_HEAD_BYTES);
	assert_string_equal(io->ops->name(io), posix_store_path);
	posix_close(io);
	mem_free(bytes);
	mem_free(back);
}

/* A creation that fails leaves nothing behind, and can be repeated. */
static void test_create_fails(void **state)
{
	struct store_io *io = posix_new_io();

	(void)state;
	posix_fault.write_error = ENOSPC;
	assert_int_equal(io->ops->create(io, "abc", 3), ERR_FULL);
	assert_int_equal(count_files(), 0);
	posix_fault.write_error = EIO;
	assert_int_equal(io->ops->create(io, "abc", 3), ERR_IO);
	posix_fault.sync_error = EIO;
	assert_int_equal(io->ops->create(io, "abc", 3), ERR_UNKNOWN);
	assert_int_equal(count_files(), 0);
	assert_int_equal(io->ops->create(io, "abc", 3), 0);
	posix_close(io);
}

static int try_open(const char *path, bool writable, struct err_msg *msg)
{
	struct store_io *io;
	int ret = io_posix_new(path, &io, msg);

	if (ret != 0)
		return ret;
	ret = io->ops->open(io, writable, msg);
	posix_close(io);
	return ret;
}

/* What cannot be opened says why, and names the file. */
static void test_open_refusals(void **state)
{
	struct err_msg msg;

	(void)state;
	assert_int_equal(try_open(posix_in_dir("none"), true, &msg), ERR_ABSENT);
	assert_non_null(strstr(msg.text, "none"));
	assert_int_equal(try_open(posix_in_dir("no/dir"), true, &msg), ERR_ABSENT);
	posix_close(posix_open_store());
	assert_int_equal(symlink("store", posix_in_dir("link")), 0);
	assert_int_equal(mkfifo(posix_in_dir("fifo"), 0600), 0);
	assert_int_equal(mkdir(posix_in_dir("sub"), 0700), 0);
	for (unsigned writable = 0; writable < 2; writable++) {
		assert_int_equal(try_open(posix_in_dir("link"), writable, &msg), ERR_NOT_REGULAR);
		assert_non_null(strstr(msg.text, "link"));
		assert_int_equal(try_open(posix_in_dir("fifo"), writable, &msg), ERR_NOT_REGULAR);
		assert_int_equal(try_open(posix_in_dir("sub"), writable, &msg), ERR_NOT_REGULAR);
	}
}

static void test_names(void **state)
{
	char path[400] = "/tmp/";
	struct store_io *io;
	struct err_msg msg;

	(void)state;
	assert_int_equal(io_posix_new("", &io, &msg), ERR_INVALID);
	assert_null(io);
	assert_int_equal(io_posix_new("/tmp/", &io, NULL), ERR_INVALID);
	assert_int_equal(io_posix_new("..", &io, NULL), ERR_INVALID);
	memset(path + 5, 'n', 231);
	assert_int_equal(io_posix_new(path, &io, &msg), ERR_NAME_LONG);
	path[5 + 230] = '\0';
	assert_int_equal(io_posix_new(path, &io, &msg), 0);
	posix_close(io); /* never opened */
}

/* A relative path is made absolute when it is given. */
static void test_relative(void **state)
{
	char cwd[4096];
	struct store_io *io;

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(posix_dir), 0);
	assert_int_equal(io_posix_new("store", &io, NULL), 0);
	assert_int_equal(chdir(cwd), 0);
	assert_string_equal(io->ops->name(io), posix_store_path);
	assert_int_equal(io->ops->create(io, "x", 1), 0);
	assert_int_equal(access(posix_store_path, F_OK), 0);
	posix_close(io);
}

/* The lock excludes openers of this process and of others, and goes with the descriptor. */
static void test_lock(void **state)
{
	struct store_io *io = posix_open_store(), *reader;
	struct err_msg msg;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(try_open(posix_store_path, true, &msg), ERR_BUSY);
	assert_non_null(strstr(msg.text, posix_store_path));
	assert_int_equal(try_open(posix_store_path, false, NULL), ERR_BUSY);
	child = fork();
	if (child == 0)
		_exit(try_open(posix_store_path, true, NULL) == ERR_BUSY ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	posix_close(io);
	reader = posix_new_io();
	assert_int_equal(reader->ops->open(reader, false, NULL), 0);
	assert_int_equal(try_open(posix_store_path, false, NULL), 0); /* readers share */
	assert_int_equal(try_open(posix_store_path, true, NULL), ERR_BUSY);
	reader->ops->close(reader);
	assert_int_equal(try_open(posix_store_path, true, NULL), 0);
}

/* What happens once, right before somebody gets a lock. */
static void (*before_lock)(void);

int fcntl(int fd, int command, ...)
{
	va_list list;
	void *argument;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	if (command == F_OFD_SETLK && before_lock != NULL) {
		void (*act)(void) = before_lock;

		before_lock = NULL;
		act();
	}
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

static void put_other_file(void)
{
	struct store_io *io = posix_new_io();

	assert_int_equal(io->ops->create(io, "other", 5), 0);
	posix_close(io);
}

/* A head that goes is gone durably, but never one that merely has its name. */
static void test_remove(void **state)
{
	struct store_io *io = posix_new_io(), *next;
	char other[5];

	(void)state;
	assert_int_equal(io->ops->remove(io), ERR_INVALID);
	posix_close(io);
	io = posix_open_store();
	posix_fault.syncs = 0;
	assert_int_equal(io->ops->remove(io), 0);
	assert_int_equal(posix_fault.syncs, 1);
	assert_int_equal(count_files(), 0);
	assert_int_equal(io->ops->remove(io), ERR_ABSENT);
	put_other_file();
	assert_int_equal(io->ops->remove(io), ERR_EXISTS);
	posix_close(io);
	assert_int_equal(count_files(), 1);

	next = posix_new_io();
	assert_int_equal(next->ops->open(next, false, NULL), 0);
	assert_int_equal(next->ops->read(next, 0, other, 5), 0);
	assert_memory_equal(other, "other", 5);
	assert_int_equal(next->ops->remove(next), ERR_READONLY);
	posix_close(next);
	assert_int_equal(count_files(), 1);
}

static void remove_head(void)
{
	struct store_io *io = posix_new_io();

	assert_int_equal(io->ops->open(io, true, NULL), 0);
	assert_int_equal(io->ops->remove(io), 0);
	posix_close(io);
}

static void replace_head(void)
{
	remove_head();
	put_other_file();
}

/* Who has found a head, and gets its lock from whoever removed it, has none. */
static void test_removed_while_opening(void **state)
{
	struct err_msg msg;

	(void)state;
	for (unsigned writable = 0; writable < 2; writable++) {
		posix_close(posix_open_store());
		before_lock = remove_head;
		assert_int_equal(try_open(posix_store_path, writable, &msg), ERR_ABSENT);
		assert_non_null(strstr(msg.text, posix_store_path));
		posix_close(posix_open_store());
		before_lock = replace_head;
		assert_int_equal(try_open(posix_store_path, writable, &msg), ERR_BUSY);
		assert_non_null(strstr(msg.text, posix_store_path));
		assert_int_equal(try_open(posix_store_path, writable, &msg), 0);
		assert_int_equal(unlink(posix_store_path), 0);
	}
}

/* A directory that anybody may change and that is another's is refused, for writing. */
static void test_open_directory(void **state)
{
	struct err_msg msg;

	(void)state;
	posix_close(posix_open_store());
	assert_int_equal(chmod(posix_dir, 0777), 0);
	assert_int_equal(try_open(posix_store_path, true, &msg), 0); /* it is ours */
	if (geteuid() != 0)
		skip(); /* cannot give it to somebody else */
	assert_int_equal(chown(posix_dir, 65534, 65534), 0);
	assert_int_equal(try_open(posix_store_path, true, &msg), ERR_PERMISSION);
	assert_non_null(strstr(msg.text, posix_store_path));
	assert_int_equal(try_open(posix_store_path, false, &msg), 0);
	assert_int_equal(chmod(posix_dir, 01777), 0);
	assert_int_equal(try_open(posix_store_path, true, &msg), 0);
	assert_int_equal(chmod(posix_dir, 0755), 0);
	assert_int_equal(try_open(posix_store_path, true, &msg), 0);
}

static void test_read_only(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t block[FORMAT_BLOCK] = {0};

	(void)state;
	assert_int_equal(io->ops->log_create(io, 1, "abc", 3), 0);
	posix_close(io);
	io = posix_new_io();
	assert_int_equal(io->ops->open(io, false, NULL), 0);
	assert_int_equal(io->ops->write(io, 0, "x", 1), ERR_READONLY);
	assert_int_equal(io->ops->sync(io), ERR_READONLY);
	assert_int_equal(io->ops->commit_slot(io, 0, block, 0), ERR_READONLY);
	assert_int_equal(io->ops->log_create(io, 2, "abc", 3), ERR_READONLY);
	assert_int_equal(io->ops->log_write(io, 1, 0, "x", 1), ERR_READONLY);
	assert_int_equal(io->ops->log_sync(io, 1), ERR_READONLY);
	assert_int_equal(io->ops->log_remove(io, 1), ERR_READONLY);
	io->ops->discard(io, 32768, POSIX_HEAD_BYTES);
	assert_int_equal(io->ops->read(io, POSIX_HEAD_BYTES - 1, block, 1), 0);
	posix_close(io);
}

/* --- surroundings --- */

/* The clock by which somebody waited last, and until when. */
static struct {
	unsigned waits;
	clockid_t clock;
	struct timespec until;
} waited;

typedef int clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
		      const struct timespec *until);

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
			   const struct timespec *until)
{
	clockwait *real;

	*(void **)&real = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
	waited.waits++;
	waited.clock = clock;
	waited.until = *until;
	return real(cond, mutex, clock, until);
}

/* By the clock of the condition, which is that of the day unless it was made otherwise. */
int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
			   const struct timespec *until)
{
	return pthread_cond_clockwait(cond, mutex, CLOCK_REALTIME, until);
}

static void test_surroundings(void **state)
{
	struct store_io *io = posix_open_store();
	uint8_t a[32] = {0}, b[32] = {0}, id[16], id2[16];
	uint64_t total, free_bytes, t0, t1;

	(void)state;
	assert_int_equal(io->ops->random(io, a, sizeof(a)), 0);
	assert_int_equal(io->ops->random(io, b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	t0 = io->ops->now_ns(io, STORE_CLOCK_MONOTONIC);
	usleep(2000);
	t1 = io->ops->now_ns(io, STORE_CLOCK_MONOTONIC);
	assert_true(t1 >= t0 + 2000000);
	assert_true(io->ops->now_ns(io, STORE_CLOCK_REALTIME) > 1600000000u * UINT64_C(1000000000));
	io->ops->boot_id(io, id);
	io->ops->boot_id(io, id2);
	assert_memory_equal(id, id2, 16);
	if (access("/proc/sys/kernel/random/boot_id", R_OK) == 0)
		assert_false(all_zero(id, 16));
	assert_int_equal(io->ops->space(io, &total, &free_bytes), 0);
	assert_true(total > 0 && free_bytes <= total);
	posix_close(io);
}

/* A wait that nobody ends is over after its time, with the mutex held again. */
static void test_wait(void **state)
{
	struct store_io *io = posix_new_io();
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	uint64_t t0, t1;

	(void)state;
	pthread_mutex_lock(&mutex);
	t0 = io->ops->now_ns(io, STORE_CLOCK_MONOTONIC);
	do {
		io->ops->wait(io, &cond, &mutex, 999000000u / 50);
		t1 = io->ops->now_ns(io, STORE_CLOCK_MONOTONIC);
	} while (t1 < t0 + 100000000u);
	assert_true(t1 < t0 + UINT64_C(10000000000));
	assert_int_not_equal(pthread_mutex_trylock(&mutex), 0);
	pthread_mutex_unlock(&mutex);
	posix_close(io);
}

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* A wait goes by a clock that nobody can set: else one set back by an hour would make it an hour. */
static void test_wait_clock(void **state)
{
	static const int64_t waits[] = {0, 2000000, 999999999};
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct store_io *io = posix_new_io();
	struct timespec before, after;
	pthread_cond_t cond;

	(void)state;
	(void)pthread_cond_init(&cond, NULL);
	(void)pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		(void)clock_gettime(CLOCK_MONOTONIC, &before);
		waited.waits = 0;
		io->ops->wait(io, &cond, &mutex, (uint64_t)waits[i]);
		(void)clock_gettime(CLOCK_MONOTONIC, &after);
		assert_int_equal(waited.waits, 1);
		assert_int_equal(waited.clock, CLOCK_MONOTONIC);
		assert_in_range(waited.until.tv_nsec, 0, 999999999);
		assert_true(ns_of(&waited.until) >= ns_of(&before) + waits[i]);
		assert_true(ns_of(&waited.until) <= ns_of(&after) + waits[i]);
	}
	(void)pthread_mutex_unlock(&mutex);
	(void)pthread_cond_destroy(&cond);
	posix_close(io);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, posix_setup, posix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create),
		TEST(test_create_fails),
		TEST(test_open_refusals),
		TEST(test_names),
		TEST(test_relative),
		TEST(test_lock),
		TEST(test_open_directory),
		TEST(test_read_only),
		TEST(test_surroundings),
		TEST(test_wait),
		TEST(test_wait_clock),
		TEST(test_remove),
		TEST(test_removed_while_opening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
