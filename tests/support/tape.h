/*
 * tape.h - what a program does to the files of a store, written down call by call.
 *
 * A tape has a folder of its own. While it runs, every call of the POSIX back end that changes a
 * file or a name in there is carried out and noted in order: with its bytes, on the level of system
 * calls. A sync is noted and not carried out, since disk_model.h decides what it would have kept.
 * Marks of the caller stand between the events and say what was promised when.
 *
 * tape.c defines pwrite, fsync, fdatasync, ftruncate, fallocate, openat, linkat and unlinkat for the
 * program it is linked into. They are weak: a program may define its own. One tape runs at a time;
 * calls may come from several threads.
 */
#ifndef VECFS_TESTS_TAPE_H
#define VECFS_TESTS_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/io.h"

#define TAPE_NAME_MAX 64
#define TAPE_STORE "STORE" /* name of the head in the folder */

enum tape_kind {
	TAPE_CREATE,	/* name, file: an empty file */
	TAPE_LINK,	/* name, file: another name for it */
	TAPE_UNLINK,	/* name */
	TAPE_WRITE,	/* file, offset, length, bytes */
	TAPE_CUT,	/* file, length: of the file afterwards */
	TAPE_PUNCH,	/* file, offset, length: zeros */
	TAPE_SYNC,	/* file: its bytes and its length are durable */
	TAPE_SYNC_LOST, /* file: the sync failed, and what it should have written never will be */
	TAPE_SYNC_DIR,	/* the names are durable */
	TAPE_MARK,	/* mark, value: of the caller */
};

struct tape_event {
	enum tape_kind kind;
	uint32_t file; /* number in tape.files */
	uint64_t offset, length;
	size_t bytes_at;	  /* in tape.bytes */
	char name[TAPE_NAME_MAX]; /* without the folder */
	unsigned mark;
	uint64_t value;
};

struct tape_file {
	char name[TAPE_NAME_MAX]; /* the first one */
	dev_t dev;
	ino_t ino;
	bool existed; /* when the tape was started, with these bytes, durable */
	uint8_t *bytes;
	size_t len;
};

struct tape {
	char dir[512];
	struct tape_event *events;
	size_t n, cap;
	uint8_t *bytes;
	size_t n_bytes, bytes_cap;
	struct tape_file *files;
	size_t n_files, files_cap;
	uint64_t syncs;	       /* of files and of the folder, so far */
	uint64_t lose_sync;    /* this one fails (from 1, a file's alone); 0: none */
	uint64_t random_state; /* of what the store draws */
	uint64_t time_ns;      /* what its clocks say; 0: the real time */
	uint8_t boot_id[16];
};

/* Makes a tape and its folder, below TMPDIR. Aborts when that fails, as all functions here. */
struct tape *tape_new(uint64_t seed);
/* Removes the folder too. Accepts NULL. */
void tape_free(struct tape *tape);
/* Puts a file there, before tape_start. */
void tape_put_file(struct tape *tape, const char *name, const void *bytes, size_t len);
/* Notes the files there are, and everything from now on. */
void tape_start(struct tape *tape);
void tape_stop(struct tape *tape);
/* Forgets what was noted; the folder stays. Not while it runs. */
void tape_clear(struct tape *tape);
void tape_mark(struct tape *tape, unsigned mark, uint64_t value);

/*
 * The POSIX back end for the store in the folder, with random numbers, clocks and boot of the tape.
 * To be closed with io->ops->close.
 */
struct store_io *tape_io(struct tape *tape);

const char *tape_kind_name(enum tape_kind kind);

#endif
