/*
 * test_store_io_posix.c - the POSIX back end on real files, with faults put between it and the
 * kernel: this program defines pread, pwrite, fsync, fdatasync and others itself.
 */
#include "store/io_posix.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "store/base.h"
#include "store/format.h"
#include "store/mem.h"

#define HEAD_BYTES 65536u

/* --- faults --- */

static struct {
	size_t max_bytes;	  /* of one read or write; 0 = no bound */
	unsigned interrupts;	  /* calls that fail with EINTR first */
	int write_error;	  /* errno of the next pwrite */
	int sync_error;		  /* errno of the next fsync or fdatasync */
	void (*truncating)(void); /* called before the kernel cuts a file */
	unsigned syncs;		  /* fsync and fdatasync calls that reached the kernel */
	bool ring_interrupted; /* whoever submits to a ring comes back before its reads have ended */
	unsigned ring_waits;   /* calls that wait for what was submitted before */
	unsigned ring_spins;   /* of those, calls that wait for nothing */
} fault;

static size_t piece(size_t len)
{
	return fault.max_bytes > 0 && len > fault.max_bytes ? fault.max_bytes : len;
}

static bool fails(int *error)
{
	if (fault.interrupts > 0) {
		fault.interrupts--;
		errno = EINTR;
		return true;
	}
	if (error == NULL || *error == 0)
		return false;
	errno = *error;
	*error = 0;
	return true;
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return fails(NULL) ? -1 : syscall(SYS_pread64, fd, buf, piece(len), offset);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	return fails(&fault.write_error) ? -1 : syscall(SYS_pwrite64, fd, buf, piece(len), offset);
}

int fsync(int fd)
{
	if (fails(&fault.sync_error))
		return -1;
	__atomic_fetch_add(&fault.syncs, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	if (fails(&fault.sync_error))
		return -1;
	__atomic_fetch_add(&fault.syncs, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
	if (fault.truncating != NULL)
		fault.truncating();
	return (int)syscall(SYS_ftruncate, fd, size);
}

/* All that io_uring_enter asks for passes here; a wait that is cut off looks as after a signal. */
long syscall(long number, ...)
{
	static long (*kernel)(long, ...);
	unsigned long args[6];
	va_list list;

	if (kernel == NULL)
		*(void **)&kernel = dlsym(RTLD_NEXT, "syscall");
	va_start(list, number);
	for (size_t i = 0; i < 6; i++)
		args[i] = va_arg(list, unsigned long);
	va_end(list);
	if (number == SYS_io_uring_enter && fault.ring_interrupted) {
		bool submits = (unsigned)args[1] > 0;

		fault.ring_waits += !submits;
		fault.ring_spins += !submits && (unsigned)args[2] == 0;
		if (submits)
			args[2] = 0;
	}
	return kernel(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

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

/* --- a directory for each test --- */

static char dir[64];
static char store_path[96];

static int setup(void **state)
{
	(void)state;
	memset(&fault, 0, sizeof(fault));
	snprintf(dir, sizeof(dir), "/tmp/vecfs-test-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(store_path, sizeof(store_path), "%s/store", dir);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static const char *in_dir(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct store_io *new_io(void)
{
	struct store_io *io;

	assert_int_equal(io_posix_new(store_path, &io, NULL), 0);
	return io;
}

static uint8_t *pattern(size_t len, unsigned salt)
{
	uint8_t *bytes = mem_alloc(len);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 251 + salt);
	return bytes;
}

/* A store of HEAD_BYTES, open and writable. */
static struct store_io *open_store(void)
{
	struct store_io *io = new_io();
	uint8_t *bytes = pattern(HEAD_BYTES, 0);

	assert_int_equal(io->ops->create(io, bytes, HEAD_BYTES), 0);
	assert_int_equal(io->ops->open(io, true, NULL), 0);
	mem_free(bytes);
	return io;
}

static void close_io(struct store_io *io)
{
	io->ops->close(io);
}

static unsigned count_files(void)
{
	char command[128];
	FILE *pipe;
	unsigned n = 0;

	snprintf(command, sizeof(command), "ls -A '%s' | wc -l", dir);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%u", &n), 1);
	pclose(pipe);
	return n;
}

/* --- the head --- */

static void test_create(void **state)
{
	struct store_io *io = new_io();
	uint8_t *bytes = pattern(HEAD_BYTES, 0), *back = mem_alloc(HEAD_BYTES);
	uint64_t size;
	struct stat st;

	(void)state;
	assert_int_equal(io->ops->create(io, bytes, HEAD_BYTES), 0);
	assert_int_equal(fault.syncs, 2); /* the file, then its name */
	assert_int_equal(stat(store_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(count_files(), 1);
	assert_int_equal(io->ops->create(io, bytes + 1, 10), ERR_EXISTS);
	assert_int_equal(count_files(), 1);
	assert_int_equal(io->ops->open(io, false, NULL), 0);
	assert_int_equal(io->ops->open(io, false, NULL), ERR_INVALID);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, HEAD_BYTES);
	assert_int_equal(io->ops->read(io, 0, back, HEAD_BYTES), 0);
	assert_memory_equal(back, bytes, HEAD_BYTES);
	assert_string_equal(io->ops->name(io), store_path);
	close_io(io);
	mem_free(bytes);
	mem_free(back);
}

/* A creation that fails leaves nothing behind, and can be repeated. */
static void test_create_fails(void **state)
{
	struct store_io *io = new_io();

	(void)state;
	fault.write_error = ENOSPC;
	assert_int_equal(io->ops->create(io, "abc", 3), ERR_FULL);
	assert_int_equal(count_files(), 0);
	fault.write_error = EIO;
	assert_int_equal(io->ops->create(io, "abc", 3), ERR_IO);
	fault.sync_error = EIO;
	assert_int_equal(io->ops->create(io, "abc", 3), ERR_UNKNOWN);
	assert_int_equal(count_files(), 0);
	assert_int_equal(io->ops->create(io, "abc", 3), 0);
	close_io(io);
}

static int try_open(const char *path, bool writable, struct err_msg *msg)
{
	struct store_io *io;
	int ret = io_posix_new(path, &io, msg);

	if (ret != 0)
		return ret;
	ret = io->ops->open(io, writable, msg);
	close_io(io);
	return ret;
}

/* What cannot be opened says why, and names the file. */
static void test_open_refusals(void **state)
{
	struct err_msg msg;

	(void)state;
	assert_int_equal(try_open(in_dir("none"), true, &msg), ERR_ABSENT);
	assert_non_null(strstr(msg.text, "none"));
	assert_int_equal(try_open(in_dir("no/dir"), true, &msg), ERR_ABSENT);
	close_io(open_store());
	assert_int_equal(symlink("store", in_dir("link")), 0);
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_int_equal(mkdir(in_dir("sub"), 0700), 0);
	for (unsigned writable = 0; writable < 2; writable++) {
		assert_int_equal(try_open(in_dir("link"), writable, &msg), ERR_NOT_REGULAR);
		assert_non_null(strstr(msg.text, "link"));
		assert_int_equal(try_open(in_dir("fifo"), writable, &msg), ERR_NOT_REGULAR);
		assert_int_equal(try_open(in_dir("sub"), writable, &msg), ERR_NOT_REGULAR);
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
	close_io(io); /* never opened */
}

/* A relative path is made absolute when it is given. */
static void test_relative(void **state)
{
	char cwd[4096];
	struct store_io *io;

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(io_posix_new("store", &io, NULL), 0);
	assert_int_equal(chdir(cwd), 0);
	assert_string_equal(io->ops->name(io), store_path);
	assert_int_equal(io->ops->create(io, "x", 1), 0);
	assert_int_equal(access(store_path, F_OK), 0);
	close_io(io);
}

/* The lock excludes openers of this process and of others, and goes with the descriptor. */
static void test_lock(void **state)
{
	struct store_io *io = open_store(), *reader;
	struct err_msg msg;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(try_open(store_path, true, &msg), ERR_BUSY);
	assert_non_null(strstr(msg.text, store_path));
	assert_int_equal(try_open(store_path, false, NULL), ERR_BUSY);
	child = fork();
	if (child == 0)
		_exit(try_open(store_path, true, NULL) == ERR_BUSY ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close_io(io);
	reader = new_io();
	assert_int_equal(reader->ops->open(reader, false, NULL), 0);
	assert_int_equal(try_open(store_path, false, NULL), 0); /* readers share */
	assert_int_equal(try_open(store_path, true, NULL), ERR_BUSY);
	reader->ops->close(reader);
	assert_int_equal(try_open(store_path, true, NULL), 0);
}

/* A directory that anybody may change and that is another's is refused, for writing. */
static void test_open_directory(void **state)
{
	struct err_msg msg;

	(void)state;
	close_io(open_store());
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(try_open(store_path, true, &msg), 0); /* it is ours */
	if (geteuid() != 0)
		skip(); /* cannot give it to somebody else */
	assert_int_equal(chown(dir, 65534, 65534), 0);
	assert_int_equal(try_open(store_path, true, &msg), ERR_PERMISSION);
	assert_non_null(strstr(msg.text, store_path));
	assert_int_equal(try_open(store_path, false, &msg), 0);
	assert_int_equal(chmod(dir, 01777), 0);
	assert_int_equal(try_open(store_path, true, &msg), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(try_open(store_path, true, &msg), 0);
}

static void test_read_only(void **state)
{
	struct store_io *io = open_store();
	uint8_t block[FORMAT_BLOCK] = {0};

	(void)state;
	assert_int_equal(io->ops->log_create(io, 1, "abc", 3), 0);
	close_io(io);
	io = new_io();
	assert_int_equal(io->ops->open(io, false, NULL), 0);
	assert_int_equal(io->ops->write(io, 0, "x", 1), ERR_READONLY);
	assert_int_equal(io->ops->sync(io), ERR_READONLY);
	assert_int_equal(io->ops->commit_slot(io, 0, block, 0), ERR_READONLY);
	assert_int_equal(io->ops->log_create(io, 2, "abc", 3), ERR_READONLY);
	assert_int_equal(io->ops->log_write(io, 1, 0, "x", 1), ERR_READONLY);
	assert_int_equal(io->ops->log_sync(io, 1), ERR_READONLY);
	assert_int_equal(io->ops->log_remove(io, 1), ERR_READONLY);
	io->ops->discard(io, 32768, HEAD_BYTES);
	assert_int_equal(io->ops->read(io, HEAD_BYTES - 1, block, 1), 0);
	close_io(io);
}

/* Short and interrupted calls are continued; the end of the object is damage. */
static void test_read_write(void **state)
{
	struct store_io *io = open_store();
	uint8_t *bytes = pattern(HEAD_BYTES, 9), *back = mem_alloc(HEAD_BYTES);
	uint64_t size;

	(void)state;
	fault.max_bytes = 1000;
	fault.interrupts = 3;
	assert_int_equal(io->ops->write(io, 100, bytes, HEAD_BYTES), 0);
	fault.interrupts = 3;
	assert_int_equal(io->ops->read(io, 100, back, HEAD_BYTES), 0);
	assert_memory_equal(back, bytes, HEAD_BYTES);
	fault.interrupts = 3;
	assert_int_equal(io->ops->sync(io), 0);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, HEAD_BYTES + 100);
	assert_int_equal(io->ops->read(io, 101, back, HEAD_BYTES), ERR_DAMAGED);
	assert_int_equal(io->ops->read(io, UINT64_MAX - 3, back, 16), ERR_DAMAGED);
	assert_int_equal(io->ops->read(io, size, back, 0), 0);
	assert_int_equal(io->ops->write(io, UINT64_MAX - 3, bytes, 16), ERR_FULL);
	assert_int_equal(io->ops->write(io, INT64_MAX, bytes, 16), ERR_FULL);
	close_io(io);
	mem_free(bytes);
	mem_free(back);
}

/* Each read says once that it has arrived, with its result and its bytes. */
static void note_arrival(void *ctx, struct store_io_read *read)
{
	unsigned *arrivals = ctx;

	assert_int_not_equal(read->result, 77);
	*arrivals += 1;
}

static void test_read_batch(void **state)
{
	struct store_io *io = open_store();
	uint8_t *bytes = pattern(HEAD_BYTES, 0);
	static uint8_t bufs[8][4096];
	struct store_io_read reads[8];
	unsigned arrivals = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		reads[i] = (struct store_io_read){.offset = (i * 5 % 8) * 8192,
						  .buf = bufs[i],
						  .length = 4096 - i,
						  .result = 77,
						  .arrived = note_arrival,
						  .ctx = &arrivals};
	reads[3].offset = HEAD_BYTES - 10; /* past the end: alone in its error */
	reads[5].offset = UINT64_MAX - 10;
	io->ops->read_batch(io, reads, 8);
	assert_int_equal(arrivals, 8);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(reads[i].result, i == 3 || i == 5 ? ERR_DAMAGED : 0);
		if (reads[i].result == 0)
			assert_memory_equal(bufs[i], bytes + reads[i].offset, reads[i].length);
	}
	memset(bufs, 0, sizeof(bufs));
	io->ops->read_batch(io, reads, 1);
	assert_memory_equal(bufs[0], bytes + reads[0].offset, reads[0].length);
	io->ops->read_batch(io, reads, 0);
	io->ops->advise(io, 0, HEAD_BYTES);
	io->ops->advise(io, UINT64_MAX, UINT64_MAX);
	io->ops->forget(io, 0, HEAD_BYTES);
	io->ops->forget(io, UINT64_MAX, UINT64_MAX);
	close_io(io);
	mem_free(bytes);
}

/* Past the kernel's cache: what was just written, more than go at once, and those that cannot go so. */
static void test_read_batch_past_the_cache(void **state)
{
	enum { PIECES = 150, UNALIGNED = 40, BEYOND = 90 };
	struct store_io *io = open_store();
	uint8_t *bytes = pattern(HEAD_BYTES, 0), *bufs = mem_alloc_aligned(4096, PIECES * 4096);
	static struct store_io_read reads[PIECES];
	unsigned arrivals[PIECES] = {0};

	(void)state;
	io_posix_set_kernel_cache(io, HEAD_BYTES - 1);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < PIECES; i++)
			reads[i] = (struct store_io_read){.offset = (i * 7) % (HEAD_BYTES / 4096) *
								    4096ull,
							  .buf = bufs + i * 4096,
							  .length = 4096,
							  .result = 77,
							  .arrived = note_arrival,
							  .ctx = &arrivals[i]};
		reads[UNALIGNED].offset += 8;
		reads[UNALIGNED].length -= 8;
		reads[BEYOND].offset = HEAD_BYTES;
		bytes[round] ^= 0xff;
		assert_int_equal(io->ops->write(io, 0, bytes, 4096), 0);
		memset(bufs, 0, PIECES * 4096);
		io->ops->read_batch(io, reads, PIECES);
		for (unsigned i = 0; i < PIECES; i++) {
			assert_int_equal(reads[i].result, i == BEYOND ? ERR_DAMAGED : 0);
			assert_int_equal(arrivals[i], round + 1);
			if (i != BEYOND)
				assert_memory_equal(reads[i].buf, bytes + reads[i].offset,
						    reads[i].length);
		}
	}
	close_io(io);
	mem_free(bytes);
	mem_free(bufs);
}

/* A wait for reads that a signal ends is taken up again: nobody asks in a circle whether they came. */
static void test_ring_wait_interrupted(void **state)
{
	enum { PIECES = 16, ROUNDS = 50 };
	struct store_io *io = open_store();
	uint8_t *bytes = pattern(HEAD_BYTES, 0), *bufs = mem_alloc_aligned(4096, HEAD_BYTES);
	struct store_io_read reads[PIECES];

	(void)state;
	io_posix_set_kernel_cache(io, 0);
	assert_int_equal(io->ops->sync(io), 0);
	fault.ring_interrupted = true;
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < PIECES; i++)
			reads[i] = (struct store_io_read){.offset = i * 4096ull,
							  .buf = bufs + i * 4096,
							  .length = 4096,
							  .result = 77};
		memset(bufs, 0, HEAD_BYTES);
		io->ops->read_batch(io, reads, PIECES);
		assert_memory_equal(bufs, bytes, HEAD_BYTES);
	}
	fault.ring_interrupted = false;
	close_io(io);
	mem_free(bytes);
	mem_free(bufs);
	if (fault.ring_waits == 0)
		skip(); /* no rings here, or no file that can be read with them */
	assert_int_equal(fault.ring_spins, 0);
}

static void test_error_classes(void **state)
{
	static const int pairs[][2] = {
		{ENOSPC, ERR_FULL}, {EDQUOT, ERR_FULL},	   {EFBIG, ERR_FULL},
		{EIO, ERR_IO},	    {EROFS, ERR_READONLY}, {EACCES, ERR_PERMISSION},
		{EINVAL, ERR_IO},   {ENOMEM, ERR_NOMEM},   {EPERM, ERR_PERMISSION},
	};
	struct store_io *io = open_store();

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		fault.write_error = pairs[i][0];
		assert_int_equal(io->ops->write(io, 0, "abc", 3), pairs[i][1]);
		assert_int_equal(io->ops->write(io, 0, "abc", 3), 0);
	}
	close_io(io);
}

/* The kernel itself cuts a write short and then refuses: a limit on the size of files. */
static void test_size_limit(void **state)
{
	struct store_io *io = open_store();
	struct rlimit old, limit;
	uint8_t *bytes = pattern(HEAD_BYTES, 1);
	uint64_t size;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = HEAD_BYTES + 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(io->ops->write(io, HEAD_BYTES, bytes, 5000), ERR_FULL);
	assert_int_equal(io->ops->write(io, 0, bytes, 5000), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(io->ops->write(io, HEAD_BYTES, bytes, 5000), 0);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, HEAD_BYTES + 5000);
	close_io(io);
	mem_free(bytes);
}

/* After one failed sync nothing is believed any more, though the next would succeed. */
static void test_failed_sync(void **state)
{
	struct store_io *io = open_store();
	uint8_t block[FORMAT_BLOCK] = {0};
	unsigned syncs;

	(void)state;
	assert_int_equal(io->ops->sync(io), 0);
	fault.sync_error = EIO;
	assert_int_equal(io->ops->sync(io), ERR_UNKNOWN);
	syncs = fault.syncs;
	assert_int_equal(io->ops->sync(io), ERR_UNKNOWN);
	assert_int_equal(io->ops->commit_slot(io, 0, block, 0), ERR_UNKNOWN);
	assert_int_equal(fault.syncs, syncs);
	close_io(io);
}

static void make_slot(struct format_slot *slot, uint64_t generation)
{
	XXH128_hash_t hash;

	memset(slot, 0, sizeof(*slot));
	memcpy(slot->magic, FORMAT_SLOT_MAGIC, sizeof(slot->magic));
	put_u64(slot->generation, generation);
	hash = XXH3_128bits(slot, offsetof(struct format_slot, checksum));
	put_u64(slot->checksum, hash.low64);
	put_u64(slot->checksum + 8, hash.high64);
}

static void test_commit_slot(void **state)
{
	struct store_io *io = open_store();
	struct format_slot slot, back;
	unsigned syncs;

	(void)state;
	make_slot(&slot, 7); /* the pattern that is there is no slot: no generation counts as 0 */
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 6), ERR_FENCED);
	syncs = fault.syncs;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), 0);
	assert_int_equal(fault.syncs, syncs + 1);
	assert_int_equal(io->ops->read(io, FORMAT_SLOT_AT + FORMAT_BLOCK, &back, sizeof(back)), 0);
	assert_memory_equal(&slot, &back, sizeof(slot));
	make_slot(&slot, 8);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 8), ERR_FENCED);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 0), ERR_FENCED);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 7), 0);
	assert_int_equal(io->ops->read(io, FORMAT_SLOT_AT, &back, sizeof(back)), 0);
	assert_memory_equal(&slot, &back, sizeof(slot));
	assert_int_equal(io->ops->commit_slot(io, 2, &slot, 8), ERR_INVALID);
	make_slot(&slot, 9);
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 8), 0);
	make_slot(&slot, 10);
	assert_int_equal(io->ops->commit_slot(io, 0, &slot, 9), 0);
	close_io(io);
}

/* A slot with one bit wrong anywhere does not count. */
static void test_commit_damaged(void **state)
{
	static const size_t places[] = {0, 7, 32, 100, 4079, 4080, 4087, 4088, 4095};
	struct store_io *io = open_store();
	struct format_slot seven, eight;

	(void)state;
	make_slot(&seven, 7);
	make_slot(&eight, 8);
	assert_int_equal(io->ops->commit_slot(io, 1, &seven, 0), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_int_equal(io->ops->commit_slot(io, 0, &eight, 7), 0);
		((uint8_t *)&eight)[places[i]] ^= 1;
		assert_int_equal(io->ops->write(io, FORMAT_SLOT_AT, &eight, sizeof(eight)), 0);
		make_slot(&eight, 8);
		assert_int_equal(io->ops->commit_slot(io, 0, &eight, 8), ERR_FENCED);
	}
	close_io(io);
}

static void test_commit_fails(void **state)
{
	struct store_io *io = open_store();
	struct format_slot slot;

	(void)state;
	make_slot(&slot, 1);
	fault.write_error = ENOSPC;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), ERR_FULL);
	fault.write_error = EIO;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), ERR_UNKNOWN);
	fault.sync_error = EIO;
	assert_int_equal(io->ops->commit_slot(io, 1, &slot, 0), ERR_UNKNOWN);
	close_io(io);
}

/* Holes in the middle read as zeros, the end is cut, the first pages are never touched. */
static void test_discard(void **state)
{
	struct store_io *io = open_store();
	uint8_t *bytes = pattern(HEAD_BYTES, 0), back[8192];
	uint64_t size;

	(void)state;
	io->ops->discard(io, 20480, 8192);
	assert_int_equal(io->ops->read(io, 20480, back, 8192), 0);
	assert_true(all_zero(back, 8192) || memcmp(back, bytes + 20480, 8192) == 0);
	assert_int_equal(io->ops->read(io, 28672, back, 4096), 0);
	assert_memory_equal(back, bytes + 28672, 4096);
	io->ops->discard(io, 0, HEAD_BYTES);
	io->ops->discard(io, UINT64_MAX - 5, UINT64_MAX);
	io->ops->discard(io, 40960, 0);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, HEAD_BYTES);
	io->ops->discard(io, 40960, HEAD_BYTES);
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, 40960);
	io->ops->discard(io, HEAD_BYTES, 4096); /* behind the end */
	assert_int_equal(io->ops->size(io, &size), 0);
	assert_int_equal(size, 40960);
	assert_int_equal(io->ops->read(io, 0, back, 8192), 0);
	assert_memory_equal(back, bytes, 8192);
	close_io(io);
	mem_free(bytes);
}

/* --- log segments --- */

static void expect_list(struct store_io *io, const uint64_t *expected, size_t n)
{
	uint64_t *seqs;
	size_t got;

	assert_int_equal(io->ops->log_list(io, &seqs, &got), 0);
	assert_int_equal(got, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(seqs[i], expected[i]);
	mem_free(seqs);
}

static void touch(const char *name)
{
	int fd = open(in_dir(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void test_log_list(void **state)
{
	static const uint64_t seqs[] = {0, 2, 10, 300, UINT64_MAX};
	static const char *const others[] = {
		"store-wal.",
		"store-wal.01",
		"store-wal.-1",
		"store-wal.5x",
		"store-wal.+5",
		"store-wal. 5",
		"store-wal.18446744073709551616",
		"store2-wal.5",
		"xstore-wal.5",
		"store-wal5",
		"store-wal.00",
		"store.wal.5",
	};
	struct store_io *io = open_store();

	(void)state;
	expect_list(io, NULL, 0);
	for (size_t i = sizeof(others) / sizeof(others[0]); i > 0; i--)
		touch(others[i - 1]);
	for (size_t i = 5; i > 0; i--)
		assert_int_equal(io->ops->log_create(io, seqs[i - 1], "x", 1), 0);
	expect_list(io, seqs, 5);
	assert_int_equal(access(in_dir("store-wal.18446744073709551615"), F_OK), 0);
	close_io(io);
}

static void test_log(void **state)
{
	struct store_io *io = open_store();
	uint8_t back[64];
	struct stat st;
	uint64_t size;
	size_t got;

	(void)state;
	fault.syncs = 0;
	assert_int_equal(io->ops->log_create(io, 5, "header", 6), 0);
	assert_int_equal(fault.syncs, 2); /* the file and its name */
	assert_int_equal(stat(in_dir("store-wal.5"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(io->ops->log_create(io, 5, "other", 5), ERR_EXISTS);
	fault.max_bytes = 2;
	fault.interrupts = 2;
	assert_int_equal(io->ops->log_write(io, 5, 10, "record", 6), 0);
	assert_int_equal(io->ops->log_write(io, 5, 10, "record", 6), 0); /* harms nothing */
	assert_int_equal(io->ops->log_sync(io, 5), 0);
	assert_int_equal(fault.syncs, 3);
	assert_int_equal(io->ops->log_size(io, 5, &size), 0);
	assert_int_equal(size, 16);
	assert_int_equal(io->ops->log_read(io, 5, 0, back, sizeof(back), &got), 0);
	assert_int_equal(got, 16);
	assert_memory_equal(back, "header\0\0\0\0record", 16);
	assert_int_equal(io->ops->log_read(io, 5, 100, back, sizeof(back), &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(io->ops->log_read(io, 6, 0, back, sizeof(back), &got), ERR_ABSENT);
	assert_int_equal(io->ops->log_write(io, 6, 0, "x", 1), ERR_ABSENT);
	assert_int_equal(io->ops->log_sync(io, 6), ERR_ABSENT);
	assert_int_equal(io->ops->log_size(io, 6, &size), ERR_ABSENT);
	assert_int_equal(io->ops->log_remove(io, 5), 0);
	assert_int_equal(fault.syncs, 4);
	assert_int_equal(io->ops->log_remove(io, 5), 0);
	assert_int_equal(io->ops->log_size(io, 5, &size), ERR_ABSENT);
	assert_int_equal(io->ops->log_create(io, 5, "again", 5), 0);
	close_io(io);
}

/* A writer that was killed may have made a segment without syncing its name: the first sync does it. */
static void test_log_of_another(void **state)
{
	struct store_io *io = open_store();

	(void)state;
	assert_int_equal(io->ops->log_create(io, 5, "header", 6), 0);
	close_io(io);
	io = new_io();
	assert_int_equal(io->ops->open(io, true, NULL), 0);
	fault.syncs = 0;
	assert_int_equal(io->ops->log_sync(io, 5), 0);
	assert_int_equal(fault.syncs, 2); /* the file and its name */
	assert_int_equal(io->ops->log_sync(io, 5), 0);
	assert_int_equal(fault.syncs, 3);
	close_io(io);
}

/* A creation that fails leaves the number free. */
static void test_log_create_fails(void **state)
{
	struct store_io *io = open_store();

	(void)state;
	fault.write_error = ENOSPC;
	assert_int_equal(io->ops->log_create(io, 1, "x", 1), ERR_FULL);
	expect_list(io, NULL, 0);
	fault.sync_error = EIO;
	assert_int_equal(io->ops->log_create(io, 1, "x", 1), ERR_UNKNOWN);
	expect_list(io, NULL, 0);
	assert_int_equal(io->ops->log_create(io, 1, "x", 1), 0);
	assert_int_equal(mkdir(in_dir("store-wal.2"), 0700), 0);
	assert_int_equal(io->ops->log_write(io, 2, 0, "x", 1), ERR_NOT_REGULAR);
	close_io(io);
}

static unsigned open_logs(struct store_io *io)
{
	return (unsigned)((struct io_posix *)io)->logs.n;
}

/* Few segments stay open, but one that was written stays until its sync, however many there are. */
static void test_log_table(void **state)
{
	struct store_io *io = open_store();
	uint8_t back[4];
	size_t got;

	(void)state;
	for (uint64_t seq = 1; seq <= 30; seq++) {
		assert_int_equal(io->ops->log_create(io, seq, "abcd", 4), 0);
		assert_true(open_logs(io) <= 6);
	}
	for (uint64_t seq = 1; seq <= 12; seq++)
		assert_int_equal(io->ops->log_write(io, seq, 0, "efgh", 4), 0);
	for (uint64_t seq = 13; seq <= 30; seq++) {
		assert_int_equal(io->ops->log_read(io, seq, 0, back, 4, &got), 0);
		assert_true(open_logs(io) >= 12);
	}
	fault.sync_error = EIO;
	assert_int_equal(io->ops->log_sync(io, 3), ERR_UNKNOWN);
	for (uint64_t seq = 1; seq <= 12; seq++)
		assert_int_equal(io->ops->log_sync(io, seq), seq == 3 ? ERR_UNKNOWN : 0);
	for (uint64_t seq = 1; seq <= 30; seq++) {
		assert_int_equal(io->ops->log_read(io, seq, 0, back, 4, &got), 0);
		assert_memory_equal(back, seq <= 12 ? "efgh" : "abcd", 4);
	}
	assert_true(open_logs(io) <= 6);
	fault.sync_error = EIO;
	assert_int_equal(io->ops->log_sync(io, 20), ERR_UNKNOWN); /* not written, yet told */
	for (uint64_t seq = 1; seq <= 19; seq++)
		assert_int_equal(io->ops->log_read(io, seq, 0, back, 4, &got), 0);
	assert_int_equal(io->ops->log_sync(io, 3), ERR_UNKNOWN); /* for good */
	assert_int_equal(io->ops->log_sync(io, 20), ERR_UNKNOWN);
	assert_int_equal(io->ops->log_sync(io, 4), 0);
	close_io(io);
}

/* --- threads --- */

struct worker {
	struct store_io *io;
	unsigned number;
	int result;
	pthread_t thread;
};

#define WORKERS 6u
#define ROUNDS 100u
#define AREA 4096u

/* The areas of all workers alternate, so that the end of the head is now this one's, now that's. */
static uint64_t area_at(unsigned worker, unsigned round)
{
	return HEAD_BYTES + (uint64_t)(round * WORKERS + worker) * AREA;
}

/*
 * Writes and reads areas of its own in the head and in the segments, beside the others. Worker 1
 * discards its areas again: where one is the end of the head, another may be writing behind it.
 */
static void *work(void *ctx)
{
	struct worker *w = ctx;
	const struct store_io_ops *ops = w->io->ops;
	uint8_t out[AREA], in[AREA];
	size_t got = 0;

	memset(out, (int)w->number + 1, sizeof(out));
	for (unsigned i = 0; i < ROUNDS && w->result == 0; i++) {
		uint64_t at = area_at(w->number, i);
		uint64_t seq = (w->number + i) % 10 + 1;

		w->result = ops->write(w->io, at, out, sizeof(out));
		if (w->result == 0)
			w->result = ops->read(w->io, at, in, sizeof(in));
		if (w->result == 0 && memcmp(in, out, sizeof(in)) != 0)
			w->result = 1;
		if (w->result == 0)
			w->result = ops->log_write(w->io, seq, at, out, sizeof(out));
		if (w->result == 0 && i % 4 == 0)
			w->result = ops->log_sync(w->io, seq);
		if (w->result == 0)
			w->result = ops->log_read(w->io, seq, at, in, sizeof(in), &got);
		if (w->result == 0 && (got != sizeof(in) || memcmp(in, out, sizeof(in)) != 0))
			w->result = 2;
		if (w->result == 0 && w->number == 0 && i % 8 == 0)
			w->result = ops->sync(w->io);
		if (w->number == 1)
			ops->discard(w->io, at, AREA);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct store_io *io = open_store();
	struct worker workers[WORKERS];
	uint8_t back[AREA];

	(void)state;
	for (uint64_t seq = 1; seq <= 10; seq++)
		assert_int_equal(io->ops->log_create(io, seq, "x", 1), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.io = io, .number = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(workers[i].result, 0);
		for (unsigned round = 0; i != 1 && round < ROUNDS; round++) {
			assert_int_equal(io->ops->read(io, area_at(i, round), back, AREA), 0);
			for (unsigned k = 0; k < AREA; k++)
				assert_int_equal(back[k], i + 1);
		}
	}
	for (uint64_t seq = 1; seq <= 10; seq++)
		assert_int_equal(io->ops->log_sync(io, seq), 0);
	close_io(io);
}

static struct {
	struct store_io *io;
	pthread_t thread;
	int result;
} late;

static void *write_late(void *ctx)
{
	(void)ctx;
	late.result = late.io->ops->write(late.io, HEAD_BYTES, "late", 4);
	return NULL;
}

static void start_late_writer(void)
{
	assert_int_equal(pthread_create(&late.thread, NULL, write_late, NULL), 0);
	usleep(20000);
}

/* A write behind the end that comes while the end is being cut must not be lost. */
static void test_write_while_cutting(void **state)
{
	char back[4];

	(void)state;
	late.io = open_store();
	fault.truncating = start_late_writer;
	late.io->ops->discard(late.io, HEAD_BYTES - 4096, 4096);
	assert_int_equal(pthread_join(late.thread, NULL), 0);
	assert_int_equal(late.result, 0);
	assert_int_equal(late.io->ops->read(late.io, HEAD_BYTES, back, 4), 0);
	assert_memory_equal(back, "late", 4);
	close_io(late.io);
}

/* --- surroundings --- */

static void test_surroundings(void **state)
{
	struct store_io *io = open_store();
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
	close_io(io);
}

/* A wait that nobody ends is over after its time, with the mutex held again. */
static void test_wait(void **state)
{
	struct store_io *io = new_io();
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
	close_io(io);
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
	struct store_io *io = new_io();
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
	close_io(io);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(test_read_write),
		TEST(test_read_batch),
		TEST(test_read_batch_past_the_cache),
		TEST(test_ring_wait_interrupted),
		TEST(test_error_classes),
		TEST(test_size_limit),
		TEST(test_failed_sync),
		TEST(test_commit_slot),
		TEST(test_commit_fails),
		TEST(test_commit_damaged),
		TEST(test_discard),
		TEST(test_log_list),
		TEST(test_log),
		TEST(test_log_of_another),
		TEST(test_log_create_fails),
		TEST(test_log_table),
		TEST(test_threads),
		TEST(test_write_while_cutting),
		TEST(test_surroundings),
		TEST(test_wait),
		TEST(test_wait_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
