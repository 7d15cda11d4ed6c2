/* posix_faults.c - calls to the kernel that fail as a test says, and the directory of a test. */
#include "tests/support/posix_faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/mem.h"

struct posix_fault posix_fault;
char posix_dir[64];
char posix_store_path[96];

/* --- the calls --- */

static size_t piece(size_t len)
{
	return posix_fault.max_bytes > 0 && len > posix_fault.max_bytes ? posix_fault.max_bytes :
									  len;
}

static bool fails(int *error)
{
	if (posix_fault.interrupts > 0) {
		posix_fault.interrupts--;
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
	return fails(&posix_fault.write_error) ? -1 :
						 syscall(SYS_pwrite64, fd, buf, piece(len), offset);
}

int fsync(int fd)
{
	if (fails(&posix_fault.sync_error))
		return -1;
	__atomic_fetch_add(&posix_fault.syncs, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	if (fails(&posix_fault.sync_error))
		return -1;
	__atomic_fetch_add(&posix_fault.syncs, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
	if (posix_fault.truncating != NULL)
		posix_fault.truncating();
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
	if (number == SYS_io_uring_enter && posix_fault.ring_interrupted) {
		bool submits = (unsigned)args[1] > 0;

		posix_fault.ring_waits += !submits;
		posix_fault.ring_spins += !submits && (unsigned)args[2] == 0;
		if (submits)
			args[2] = 0;
	}
	return kernel(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* --- a directory for each test --- */

int posix_setup(void **state)
{
	(void)state;
	memset(&posix_fault, 0, sizeof(posix_fault));
	snprintf(posix_dir, sizeof(posix_dir), "/tmp/vecfs-test-XXXXXX");
	if (mkdtemp(posix_dir) == NULL)
		return -1;
	snprintf(posix_store_path, sizeof(posix_store_path), "%s/store", posix_dir);
	return 0;
}

int posix_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", posix_dir);
	return system(command);
}

const char *posix_in_dir(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", posix_dir, name);
	return path;
}

struct store_io *posix_new_io(void)
{
	struct store_io *io;

	assert_int_equal(io_posix_new(posix_store_path, &io, NULL), 0);
	return io;
}

uint8_t *posix_pattern(size_t len, unsigned salt)
{
	uint8_t *bytes = mem_alloc(len);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 251 + salt);
	return bytes;
}

struct store_io *posix_open_store(void)
{
	struct store_io *io = posix_new_io();
	uint8_t *bytes = posix_pattern(POSIX_HEAD_BYTES, 0);

	assert_int_equal(io->ops->create(io, bytes, POSIX_HEAD_BYTES), 0);
	assert_int_equal(io->ops->open(io, true, NULL), 0);
	mem_free(bytes);
	return io;
}

void posix_close(struct store_io *io)
{
	io->ops->close(io);
}
