/*
 * main.c - the program: which command is meant, by its name or by the name it was called by.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/cmd.h"
#include "fs/mount.h"
#include "fs/version.h"

static const char help[] =
	"usage: vecfs STORE MOUNTPOINT [-f] [-d] [-s] [-o OPTION,...]\n"
	"       vecfs COMMAND ...\n"
	"\n"
	"Mounts the vector database in the file STORE, which is created when missing, at MOUNTPOINT.\n"
	"The README in the mount says how to use it. Unmount with: fusermount3 -u MOUNTPOINT\n"
	"\n"
	"  -f  stay in the foreground\n"
	"  -d  print each request; implies -f\n"
	"  -s  serve one request at a time\n"
	"\n"
	"Options, as -o name=value or --name=value:\n"
	"  dim=N                      numbers in a vector, 1 ... 16384; else the first vector says\n"
	"  metric=cosine|l2|ip        distance; fixed when the store is created (cosine)\n"
	"  cache=SIZE|auto            bound of the page cache, such as 64M or 2G (auto)\n"
	"  durability=log|close|none  when a write survives a power cut: after fsync, after close,\n"
	"                             never (log)\n"
	"  effort=N                   candidates a search keeps (chosen)\n"
	"  threads=N                  search and index workers (cores)\n"
	"  code-bits=auto|1|2|4|8     bits a number takes in memory to steer a search (auto)\n"
	"  ro                         read-only\n"
	"  recover=prefix             with ro: serve the intact beginning of a damaged log\n"
	"and those of mount(8) and FUSE, such as allow_other, default_permissions, nofail.\n"
	"\n"
	"Commands; each tells more with --help:\n"
	"  mkfs STORE                 create an empty store\n"
	"  import STORE FILE...       load .fvecs .bvecs .fbin .u8bin .npy; --ids=FILE names the rows\n"
	"  export STORE FILE          write all vectors as .fvecs, .fbin or .npy, and their ids\n"
	"  check STORE                verify everything in a store\n"
	"  wal STORE                  list and verify the log of a store\n"
	"  recover STORE OUT          save what can be read of a damaged store into a new one\n"
	"  compress STORE OUT         write a store compactly into a new one\n"
	"  stat STORE|MOUNTPOINT      dimension, metric, counts, sizes\n"
	"  --version, --help\n";

static const struct {
	const char *name;    /* of the command */
	const char *program; /* a program name that means it */
	int (*run)(int argc, char **argv);
	int failed; /* exit code for what could not be done */
} commands[] = {
	{"mkfs", "mkfs.vecfs", cmd_mkfs, 1},
	{"check", "fsck.vecfs", cmd_check, EXIT_CANNOT_RUN},
	{"wal", NULL, cmd_wal, EXIT_CANNOT_RUN},
	{"stat", NULL, cmd_stat, 1},
	{"recover", NULL, cmd_recover, EXIT_CANNOT_RUN},
	{"compress", NULL, cmd_compress, EXIT_CANNOT_RUN},
	{"import", NULL, cmd_import, 1},
	{"export", NULL, cmd_export, EXIT_CANNOT_RUN},
};

/* Of fsck(8), for which 2 means that the machine is to be booted again. */
#define EXIT_FSCK_USAGE 16

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* A command gives its exit code, and in *failed_out the one that says that it could not do its work. */
static int run(int argc, char **argv, int *failed_out)
{
	const char *program = argc > 0 ? base_name(argv[0]) : "vecfs";
	const size_t n = sizeof(commands) / sizeof(commands[0]);

	for (size_t i = 0; i < n; i++) {
		int code;

		if (commands[i].program == NULL || strcmp(program, commands[i].program) != 0)
			continue;
		*failed_out = commands[i].failed;
		code = commands[i].run(argc, argv);
		return code == EXIT_USAGE && commands[i].run == cmd_check ? EXIT_FSCK_USAGE : code;
	}
	if (argc < 2) {
		fputs("vecfs: nothing to do; usage: vecfs STORE MOUNTPOINT, or vecfs --help\n",
		      stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		fputs(help, stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("vecfs " VECFS_VERSION);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (strcmp(argv[1], commands[i].name) == 0) {
			*failed_out = commands[i].failed;
			return commands[i].run(argc - 1, argv + 1);
		}
	return mount_run(argc, argv, strcmp(program, "mount.fuse.vecfs") == 0);
}

/*
 * A descriptor that was closed when we started would be the next file that is opened: a sentence for
 * stderr would go into a store, and a daemon would put /dev/null in its place. What takes it cannot be
 * read or written, so that nobody takes what was printed for delivered.
 */
static bool fill_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	int failed = 1;
	int code = fill_descriptors() ? run(argc, argv, &failed) : failed;

	/* A full disk under a redirected answer is an error, too. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fputs("vecfs: the output could not be written\n", stderr);
		return code != 0 ? code : failed;
	}
	return code;
}
