/*
 * mount_point.c - where a mount goes, by which device, and what is mounted.
 *
 * A mount whose daemon died answers ENOTCONN to everything that the kernel has not cached, and the
 * kernel still knows its type.
 * Nothing here looks into a mount that lives.
 */
#include "fs/mount_point.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/mem.h"

/* --- paths --- */

/* Joins a directory and a name; the root directory ends with a slash already. */
static int join(const char *directory, const char *name, char **path_out, struct err_msg *msg)
{
	size_t len = strlen(directory), name_len = strlen(name);
	bool slash = len == 0 || directory[len - 1] != '/';
	char *path = mem_alloc(len + name_len + 2);

	if (path == NULL)
		return err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	memcpy(path, directory, len);
	if (slash)
		path[len++] = '/';
	memcpy(path + len, name, name_len + 1);
	*path_out = path;
	return 0;
}

/* Without slashes at the end, but for the root. */
static void trim_slashes(char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
}

static int resolve_parent(char *path, char **path_out, struct err_msg *msg)
{
	char directory[PATH_MAX];
	char *slash = strrchr(path, '/');
	const char *parent = ".", *name = path;

	if (slash != NULL) {
		name = slash + 1;
		parent = slash == path ? "/" : path;
		*slash = '\0';
	}
	if (realpath(parent, directory) == NULL) {
		int code = errno == EACCES ? ERR_PERMISSION : ERR_ABSENT;

		return err_set(msg, code,
			       "%s/%s: the directory %s cannot be used: %s; create it first",
			       parent, name, parent, strerror(errno));
	}
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(msg, ERR_INVALID, "%s/%s: expected the name of a file or directory",
			       directory, name);
	return join(directory, name, path_out, msg);
}

int mount_point_resolve(const char *path, char **path_out, struct err_msg *msg)
{
	char whole[PATH_MAX], copy[PATH_MAX];

	*path_out = NULL;
	if (*path == '\0')
		return err_set(msg, ERR_INVALID, "an empty path was given; expected a name");
	if (strlen(path) >= sizeof(copy))
		return err_set(msg, ERR_NAME_LONG, "%.100s...: the path is longer than %zu bytes",
			       path, sizeof(copy) - 1);
	if (realpath(path, whole) != NULL) {
		*path_out = mem_strdup(whole);
		return *path_out != NULL ? 0 : err_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	}
	/* Not there yet, or dead: the name alone is taken as it is. */
	memcpy(copy, path, strlen(path) + 1);
	trim_slashes(copy);
	return resolve_parent(copy, path_out, msg);
}

int mount_point_check_apart(const char *store, const char *mountpoint, struct err_msg *msg)
{
	size_t len = strlen(mountpoint);

	if (strcmp(mountpoint, "/") == 0)
		return err_set(msg, ERR_INVALID, "/ cannot be a mount point; choose a directory");
	if (strncmp(store, mountpoint, len) == 0 && (store[len] == '/' || store[len] == '\0'))
		return err_set(
			msg, ERR_INVALID,
			"the store %s lies under its own mount point %s, which would hide it; "
			"mount elsewhere",
			store, mountpoint);
	return 0;
}

/*
 * Whether a file that is made beside the store for its owner alone is shown as writable by others: the
 * file system has no modes, and shows all files alike. False when none can be made.
 */
static bool has_no_modes(const char *store)
{
	static const char end[] = "-probe.XXXXXX";
	char path[PATH_MAX + sizeof(end)];
	struct stat st = {0};
	int fd;

	(void)snprintf(path, sizeof(path), "%s%s", store, end);
	fd = mkstemp(path);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) != 0)
		st.st_mode = 0;
	(void)close(fd);    /* nothing was written */
	(void)unlink(path); /* of a name that was made here */
	return (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

int mount_point_check_store(const char *store, struct err_msg *msg)
{
	struct stat st = {0};
	bool there = stat(store, &st) == 0;

	if (there && (!S_ISREG(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH)) == 0))
		return 0; /* what else is wrong with it, opening says */
	if (has_no_modes(store))
		return err_set(
			msg, ERR_PERMISSION,
			"the store %s: others may write to it, as its file system keeps no modes "
			"and lets others write to all files there; mount that file system with "
			"umask=077, move the store to another, or mount it with ro",
			store);
	if (!there)
		return 0;
	return err_set(msg, ERR_PERMISSION,
		       "the store %s has mode %04o, so that others may write to it; expected its "
		       "owner alone: chmod go-w it, or mount it with ro",
		       store, (unsigned)(st.st_mode & 07777));
}

/* --- the device --- */

#define DEVICE_MAJOR 10
#define DEVICE_MINOR 229

static int device_refused(const char *device, const struct stat *st, int problem,
			  struct err_msg *msg)
{
	switch (problem) {
	case ENOENT:
		return err_set(msg, ERR_ABSENT,
			       "there is no device %s, by which FUSE is reached; as root, load its "
			       "module: modprobe fuse; a container must be given the device: "
			       "--device %s --cap-add SYS_ADMIN",
			       device, device);
	case ENODEV:
	case ENXIO:
		return err_set(msg, ERR_ABSENT,
			       "the kernel has no FUSE behind %s (%s); as root, load its module: "
			       "modprobe fuse",
			       device, strerror(problem));
	case EACCES:
		if ((st->st_mode & 0666) != 0666)
			return err_set(msg, ERR_PERMISSION,
				       "user %u may not open %s: it has mode %04o and belongs to "
				       "user %u and group %u; expected mode 0666: as root, chmod "
				       "666 %s, or mount as root",
				       geteuid(), device, (unsigned)(st->st_mode & 07777),
				       st->st_uid, st->st_gid, device);
		/* fallthrough */
	default:
		return err_set(msg, ERR_PERMISSION,
			       "%s cannot be opened (%s), though it is there; a container must be "
			       "given the device: --device %s --cap-add SYS_ADMIN",
			       device, strerror(problem), device);
	}
}

int mount_point_check_device(const char *device, struct err_msg *msg)
{
	struct stat st = {0};
	int fd = open(device, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int problem = fd < 0 ? errno : 0;

	if (stat(device, &st) != 0)
		st = (struct stat){0}; /* opening has failed, too */
	if (problem != 0)
		return device_refused(device, &st, problem, msg);
	(void)close(fd); /* nothing was written */
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(DEVICE_MAJOR, DEVICE_MINOR))
		return 0;
	return err_set(msg, ERR_INVALID,
		       "%s is something else than the device of FUSE; expected the character "
		       "device %d, %d: as root, remove it and mknod -m 666 %s c %d %d",
		       device, DEVICE_MAJOR, DEVICE_MINOR, device, DEVICE_MAJOR, DEVICE_MINOR);
}

/* --- /proc/self/mountinfo --- */

/* Copies a field, with \ooo as the byte it stands for. */
static void unescape(const char *field, char *out, size_t size)
{
	size_t n = 0;

	while (*field != '\0' && n + 1 < size) {
		if (field[0] == '\\' && field[1] >= '0' && field[1] <= '3' && field[2] >= '0' &&
		    field[2] <= '7' && field[3] >= '0' && field[3] <= '7') {
			out[n++] = (char)((field[1] - '0') << 6 | (field[2] - '0') << 3 |
					  (field[3] - '0'));
			field += 4;
		} else {
			out[n++] = *field++;
		}
	}
	out[n] = '\0';
}

/* What FUSE says of a mount, "rw,user_id=0,group_id=0,allow_other" and more. */
static void parse_options(char *options, struct mount_point_entry *entry_out)
{
	static const char user[] = "user_id=";
	char *option;

	while ((option = strsep(&options, ",")) != NULL) {
		if (strncmp(option, user, sizeof(user) - 1) == 0)
			entry_out->uid = (unsigned)strtoul(option + sizeof(user) - 1, NULL, 10);
		else if (strcmp(option, "allow_other") == 0)
			entry_out->allow_other = true;
	}
}

bool mount_point_parse(char *line, struct mount_point_entry *entry_out)
{
	char *rest = line, *field;
	int number = 0;
	bool separated = false, named = false;

	entry_out->uid = 0;
	entry_out->allow_other = false;
	line[strcspn(line, "\n")] = '\0';
	while ((field = strsep(&rest, " ")) != NULL) {
		number++;
		if (number == 5 && !separated)
			unescape(field, entry_out->mountpoint, sizeof(entry_out->mountpoint));
		if (number > 6 && !separated && strcmp(field, "-") == 0) {
			separated = true;
			number = 0;
		} else if (separated && number == 1) {
			unescape(field, entry_out->type, sizeof(entry_out->type));
		} else if (separated && number == 2) {
			unescape(field, entry_out->source, sizeof(entry_out->source));
			named = true;
		} else if (separated && number == 3) {
			parse_options(field, entry_out);
		}
	}
	return named;
}

bool mount_point_find(const char *mountpoint, const char *source,
		      struct mount_point_entry *entry_out)
{
	const size_t size = 40000; /* both paths, each byte escaped, and more */
	char *line = mem_alloc(size);
	struct mount_point_entry *entry = mem_alloc(sizeof(*entry));
	FILE *file = fopen("/proc/self/mountinfo", "re");
	bool found = false;

	while (line != NULL && entry != NULL && file != NULL &&
	       fgets(line, (int)size, file) != NULL) {
		if (!mount_point_parse(line, entry))
			continue;
		if (mountpoint != NULL && strcmp(entry->mountpoint, mountpoint) != 0)
			continue;
		if (source != NULL && (strcmp(entry->type, MOUNT_POINT_TYPE) != 0 ||
				       strcmp(entry->source, source) != 0))
			continue;
		*entry_out = *entry;
		found = true;
	}
	if (file != NULL)
		(void)fclose(file); /* only read */
	mem_free(entry);
	mem_free(line);
	return found;
}

bool mount_point_closed(const char *mountpoint, struct mount_point_entry *entry_out)
{
	return mount_point_find(mountpoint, NULL, entry_out) &&
	       strcmp(entry_out->type, MOUNT_POINT_TYPE) == 0 && !entry_out->allow_other &&
	       entry_out->uid != geteuid();
}

/* --- dead mounts --- */

/* fusermount3 is how a user who is not root detaches a mount. */
static int run_fusermount(const char *mountpoint)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return ERR_AGAIN;
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-z", "--", mountpoint, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return ERR_UNKNOWN;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ERR_PERMISSION;
}

static int detach(const char *mountpoint, struct err_msg *msg)
{
	int rc = umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 ? 0 : ERR_PERMISSION;

	if (rc != 0)
		rc = run_fusermount(mountpoint);
	if (rc != 0)
		return err_set(
			msg, rc,
			"%s: a dead mount is here and cannot be detached; try: fusermount3 -uz "
			"%s",
			mountpoint, mountpoint);
	return 0;
}

/* As stat(), but asks the file system also when the kernel remembers an answer. 0 or an errno. */
static int ask_mode(const char *path, mode_t *mode_out)
{
	struct statx stx = {0};

	if (statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_TYPE, &stx) != 0)
		return errno;
	*mode_out = stx.stx_mode;
	return 0;
}

int mount_point_prepare(const char *mountpoint, bool *detached_out, struct err_msg *msg)
{
	struct mount_point_entry entry;
	mode_t mode = 0;
	int problem, rc;

	if (detached_out != NULL)
		*detached_out = false;
	/* Several dead mounts may lie one on the other. */
	while ((problem = ask_mode(mountpoint, &mode)) == ENOTCONN) {
		if (!mount_point_find(mountpoint, NULL, &entry))
			return err_set(
				msg, ERR_BUSY,
				"%s: not connected, and no mount of this name is listed; try: "
				"umount -l %s",
				mountpoint, mountpoint);
		if (strcmp(entry.type, MOUNT_POINT_TYPE) != 0)
			return err_set(
				msg, ERR_BUSY,
				"%s: a dead mount of type %s is here, not one of vecfs; unmount "
				"it first",
				mountpoint, entry.type);
		if (detached_out == NULL)
			return 0;
		rc = detach(mountpoint, msg);
		if (rc != 0)
			return rc;
		*detached_out = true;
	}
	if (problem == EACCES && mount_point_closed(mountpoint, &entry))
		return err_set(msg, ERR_PERMISSION,
			       "%s: user %u has mounted the store %.200s here and lets in nobody "
			       "else; choose another mount point, or have it unmounted",
			       mountpoint, entry.uid, entry.source);
	if (problem != 0)
		return err_set(msg, problem == EACCES ? ERR_PERMISSION : ERR_ABSENT,
			       "%s: %s; the mount point must be a directory that exists",
			       mountpoint, strerror(problem));
	if (!S_ISDIR(mode))
		return err_set(msg, ERR_INVALID, "%s is not a directory; a mount point must be one",
			       mountpoint);
	return 0;
}
