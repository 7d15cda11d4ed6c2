/*
 * posix_faults.h - faults between the POSIX back end and the kernel, and a directory for each test.
 *
 * A program that links posix_faults.o has pread, pwrite, fsync, fdatasync, ftruncate and syscall from
 * there, whoever calls them. So it is in no library: the Makefile and scripts/mutants add it to the
 * tests whose names begin with test_store_io_posix.
 */
#ifndef VECFS_TESTS_POSIX_FAULTS_H
#define VECFS_TESTS_POSIX_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/io.h"

#define POSIX_HEAD_BYTES 65536u

/* What happens to the next calls; all zero: nothing. */
struct posix_fault {
	size_t max_bytes;	  /* of one read or write; 0 = no bound */
	unsigned interrupts;	  /* calls that fail with EINTR first */
	int write_error;	  /* errno of the next pwrite */
	int sync_error;		  /* errno of the next fsync or fdatasync */
	void (*truncating)(void); /* called before the kernel cuts a file */
	unsigned syncs;		  /* fsync and fdatasync calls that reached the kernel */
	bool ring_interrupted; /* whoever submits to a ring comes back before its reads have ended */
	unsigned ring_waits;   /* calls that wait for what was submitted before */
	unsigned ring_spins;   /* of those, calls that wait for nothing */
};

extern struct posix_fault posix_fault;

extern char posix_dir[64]; /* made by posix_setup, removed with all in it by posix_teardown */
extern char posix_store_path[96]; /* of the store, in it */

/* For cmocka_unit_test_setup_teardown. No fault is set then. */
int posix_setup(void **state);
int posix_teardown(void **state);

/* The path of a name in posix_dir; valid until the next call. */
const char *posix_in_dir(const char *name);
/* A connection to posix_store_path, which need not exist. The caller closes it. */
struct store_io *posix_new_io(void);
/* The same to a new store of POSIX_HEAD_BYTES, posix_pattern(.., 0), open and writable. */
struct store_io *posix_open_store(void);
void posix_close(struct store_io *io);
/* Bytes that differ at each place and for each salt; the caller frees them (mem_free). */
uint8_t *posix_pattern(size_t len, unsigned salt);

#endif
