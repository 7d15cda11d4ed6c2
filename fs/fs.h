/*
 * fs.h - what the files of the FUSE layer share: one mounted collection.
 *
 * Private to fs/. Made by main.c, passed to every request as the session's user data.
 */
#ifndef VECFS_FS_FS_H
#define VECFS_FS_FS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "ann/ann.h"
#include "fs/buffered.h"
#include "fs/opened.h"
#include "fs/status.h"

struct daemon; /* daemon.h */
struct fuse_session;
struct inode_table;  /* inode.h */
struct links_recent; /* links.h: answers as folders */
struct listing;	     /* listing.h: of /vectors, that the kernel keeps */
struct named_table;  /* named.h: questions under names */
struct notifier;     /* notify.h: the one thread that tells the kernel to forget */

/* Options of a mount, as given and with defaults filled in. */
struct fs_opts {
	uint32_t dim; /* 0: from the store or the first vector */
	enum ann_metric metric;
	uint64_t cache_bytes;
	bool cache_auto;
	enum wal_durability durability;
	uint32_t effort, threads, code_bits; /* 0: chosen */
	bool read_only, allow_other;
	bool no_xattrs; /* extended attributes cannot be reached; those that there are stay */
	const char *store_path; /* absolute */
	const char *mountpoint; /* absolute */
};

struct fs {
	struct fs_opts opts;
	struct ann *ann;       /* not owned */
	struct store *store;   /* not owned; for status and control alone */
	struct store_io *io;   /* not owned; clocks */
	struct status *status; /* counters, the ring of errors */
	struct inode_table *inodes;
	struct named_table *named;
	struct links_recent *links;
	struct listing *listing;
	struct notifier *notifier;
	struct fuse_session *session;
	struct daemon *daemon;		 /* not owned; who is told besides status/errors, or NULL */
	struct store_open_report opened; /* what opening the store did */
	uint32_t uid, gid;		 /* who mounted: owner of everything but vectors */
	uint64_t start_ns;		 /* STORE_CLOCK_REALTIME at mount: times of virtual files */
	struct buffered buffered;	 /* what all open files hold, bounded */
	struct opened_list handles;	 /* of struct handle */
	struct opened_list folders;	 /* of struct folder: open directories */
};

#endif
