/*
 * posix_copy.c - reading and copying without read(2) and write(2): maps, holes, copies in the kernel;
 * locks, room in advance, and ioctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/cases.h"

static void test_maps(void)
{
	int fd = open("m", O_RDONLY), writer = open("m", O_RDWR);
	float *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	CHECK(map != MAP_FAILED && memcmp(map, first, size) == 0, "a private map");
	if (map != MAP_FAILED) {
		map[0] = 77;
		CHECK(map[0] == 77 && holds("m", first), "a change in it is its owner's alone");
		munmap(map, size);
	}
	CHECK(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
		      errno == EACCES,
	      "a shared map to write, of a reader");
	CHECK(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0) == MAP_FAILED &&
		      errno == ENODEV,
	      "of a writer");
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(close(fd) == 0 && unlink("m") == 0 && map != MAP_FAILED &&
		      memcmp(map, first, size) == 0,
	      "a map outlives the file and its descriptor");
	if (map != MAP_FAILED)
		munmap(map, size);
	CHECK(pread(writer, got, size, 0) == (ssize_t)size && memcmp(got, first, size) == 0,
	      "so does the other descriptor");
	close(writer);
}

static void test_holes(void)
{
	off_t end = (off_t)size;
	int fd = open("h", O_RDONLY);

	CHECK(lseek(fd, 0, SEEK_DATA) == 0 && lseek(fd, 4, SEEK_DATA) == 4, "SEEK_DATA");
	CHECK(lseek(fd, 0, SEEK_HOLE) == end && lseek(fd, 4, SEEK_HOLE) == end, "SEEK_HOLE");
	REFUSED(lseek(fd, end, SEEK_DATA), ENXIO, "SEEK_DATA at the end");
	REFUSED(lseek(fd, end, SEEK_HOLE), ENXIO, "SEEK_HOLE at the end");
	CHECK(lseek(fd, end + 100, SEEK_SET) == end + 100 && read(fd, got, size) == 0,
	      "beyond the end nothing is read");
	CHECK(lseek(fd, -4, SEEK_END) == end - 4 && read(fd, got, size) == 4 &&
		      got[0] == first[dim - 1],
	      "the last number by SEEK_END");
	CHECK(lseek(fd, -8, SEEK_CUR) == end - 8, "SEEK_CUR");
	CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) == 0 && readahead(fd, 0, size) == 0,
	      "advice");
	close(fd);
}

static void test_copies(void)
{
	int from = open("h", O_RDONLY), to, pipes[2];
	loff_t at = 0;

	to = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(copy_file_range(from, &at, to, NULL, size, 0) == (ssize_t)size && at == (off_t)size,
	      "copy_file_range");
	CHECK(holds("copy", first), "the copy is there before it is closed");
	CHECK(copy_file_range(from, &at, to, NULL, size, 0) == 0, "at the end it copies nothing");
	REFUSED(ioctl(to, FICLONE, from), EOPNOTSUPP, "FICLONE");
	CHECK(close(to) == 0, "close");

	to = open("sent", O_WRONLY | O_CREAT, 0644);
	CHECK(sendfile(to, from, &(off_t){0}, size) == (ssize_t)size && close(to) == 0 &&
		      holds("sent", first),
	      "sendfile from a vector to a vector");
	CHECK(pipe(pipes) == 0, "pipe");
	CHECK(splice(from, &(loff_t){4}, pipes[1], NULL, 8, 0) == 8 &&
		      read(pipes[0], got, 8) == 8 && memcmp(got, first + 1, 8) == 0,
	      "splice out");
	to = open("spliced", O_WRONLY | O_CREAT, 0644);
	for (size_t done = 0; done < size;) {
		size_t part = size - done < 4096 ? size - done : 4096;

		if (write(pipes[1], (char *)second + done, part) != (ssize_t)part ||
		    splice(pipes[0], NULL, to, NULL, part, 0) != (ssize_t)part)
			break;
		done += part;
	}
	CHECK(close(to) == 0 && holds("spliced", second), "splice in");
	close(pipes[0]);
	close(pipes[1]);
	close(from);
}

static void test_room(void)
{
	int fd = open("room", O_RDWR | O_CREAT, 0644);

	REFUSED(fallocate(fd, 0, 0, (off_t)size), EOPNOTSUPP, "fallocate");
	REFUSED(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4), EOPNOTSUPP,
		"a hole");
	CHECK(write(fd, first, size) == (ssize_t)size, "a vector nevertheless");
	REFUSED(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4), EOPNOTSUPP, "zeros over it");
	CHECK(close(fd) == 0 && holds("room", first), "it is unchanged");
}

static void test_ioctl(void)
{
	int fd = open("h", O_RDONLY), flags = 0;

	REFUSED(ioctl(fd, FS_IOC_GETFLAGS, &flags), ENOTTY, "FS_IOC_GETFLAGS");
	REFUSED(ioctl(fd, 0x1234, &flags), ENOTTY, "an unknown ioctl");
	CHECK(!isatty(fd) && errno == ENOTTY, "it is no terminal");
	close(fd);
}

/* Whether another process gets the lock. */
static bool other_gets(const char *name, bool range)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 4};
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		int fd = open(name, O_RDWR);
		int rc = range ? fcntl(fd, F_SETLK, &lock) : flock(fd, LOCK_EX | LOCK_NB);

		_exit(rc == 0 ? 0 : errno == EAGAIN ? 1 : 2);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
	    WEXITSTATUS(status) > 1) {
		check(false, "a process that asks for a lock", __LINE__);
		return false;
	}
	return WEXITSTATUS(status) == 0;
}

static void test_locks(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 8};
	int fd = open("h", O_RDWR);

	CHECK(flock(fd, LOCK_EX) == 0 && !other_gets("h", false), "flock keeps others out");
	CHECK(other_gets("copy", false), "of that vector alone");
	CHECK(flock(fd, LOCK_UN) == 0 && other_gets("h", false), "until it is given back");
	CHECK(flock(fd, LOCK_SH) == 0 && !other_gets("h", false), "a shared one too");
	CHECK(flock(fd, LOCK_UN) == 0, "given back");
	CHECK(fcntl(fd, F_SETLK, &lock) == 0 && !other_gets("h", true), "a lock of a range");
	lock.l_type = F_UNLCK;
	CHECK(fcntl(fd, F_SETLK, &lock) == 0 && other_gets("h", true), "given back");
	lock.l_type = F_RDLCK;
	CHECK(fcntl(fd, F_OFD_SETLK, &lock) == 0 && !other_gets("h", true), "of a descriptor");
	CHECK(close(fd) == 0 && other_gets("h", true), "gone with it");
	CHECK(holds("h", first), "the vector has not changed");
}

int main(int argc, char **argv)
{
	cases_begin(argc, argv);
	store("m", first);
	store("h", first);
	test_maps();
	test_holes();
	test_copies();
	test_room();
	test_ioctl();
	test_locks();
	return cases_end();
}
