/*
 * cmd_wait.c - commands and a store that somebody else has open: one that comes right after an unmount
 * lets the daemon finish first.
 */
#include "fs/cmd.h"

#include <time.h>

#include "fs/mount_point.h"
#include "store/io.h"
#include "store/mem.h"

#define CLOSED_TRIES 300
#define CLOSED_PAUSE_NS (50 * 1000 * 1000)

int cmd_explain_busy(const char *path, int rc, struct err_msg *msg)
{
	struct mount_point_entry entry;
	char *absolute = NULL;

	if (rc == ERR_BUSY && mount_point_resolve(path, &absolute, NULL) == 0 &&
	    mount_point_find(NULL, absolute, &entry))
		rc = err_set(
			msg, rc,
			"the store %s is mounted at %.200s; unmount it first, or ask the mount: "
			"echo verify > %.200s/status/control",
			path, entry.mountpoint, entry.mountpoint);
	mem_free(absolute);
	return rc;
}

void cmd_wait_closed(const char *path)
{
	const struct timespec pause = {.tv_nsec = CLOSED_PAUSE_NS};
	struct mount_point_entry entry;
	char *absolute = NULL;
	int rc = mount_point_resolve(path, &absolute, NULL);

	for (int tries = 0; rc == 0 && tries < CLOSED_TRIES; tries++) {
		struct store_io *io = NULL;

		rc = io_posix_new(absolute, &io, NULL);
		if (rc == 0)
			rc = io->ops->open(io, false, NULL);
		if (io != NULL)
			io->ops->close(io);
		if (rc != ERR_BUSY || mount_point_find(NULL, absolute, &entry))
			break;
		(void)nanosleep(&pause, NULL);
		rc = 0;
	}
	mem_free(absolute);
}
