/*
 * cmd_file.h - ordinary files that commands read and write: vectors and ids.
 */
#ifndef VECFS_FS_CMD_FILE_H
#define VECFS_FS_CMD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/vecio.h"

/* A file of vectors that is being read. */
struct cmd_vectors {
	int fd;
	const char *path; /* not owned */
	struct vecio_reader reader;
};
/* Errors with a sentence that names the file. Close in any case. */
int cmd_vectors_open(struct cmd_vectors *vectors, const char *path, struct err_msg *msg);
void cmd_vectors_close(struct cmd_vectors *vectors);

/* All bytes of a file, which may be a pipe; mem_free them. */
int cmd_file_read(const char *path, char **bytes_out, size_t *len_out, struct err_msg *msg);

/* A file that appears whole and durable under its name, or not at all. */
struct cmd_new_file {
	char *path, *temp; /* owned; absolute */
	int fd;		   /* -1: not open */
	uint8_t *buffer;   /* owned */
	size_t held;
};
/* salt makes the name meanwhile: PATH.new-<16 hex digits>. Readable by its owner alone. */
int cmd_new_file_open(struct cmd_new_file *file, const char *path, uint64_t salt,
		      struct err_msg *msg);
int cmd_new_file_write(struct cmd_new_file *file, const void *bytes, size_t len,
		       struct err_msg *msg);
/* Everything is on the disk; it has no name yet. */
int cmd_new_file_finish(struct cmd_new_file *file, struct err_msg *msg);
/* replace: what has the name already; else ERR_EXISTS. After cmd_new_file_finish. */
int cmd_new_file_name(struct cmd_new_file *file, bool replace, struct err_msg *msg);
/* Removes what has no name yet. In any case, at the end. Accepts a zeroed one. */
void cmd_new_file_release(struct cmd_new_file *file);

#endif
