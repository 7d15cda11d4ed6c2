/*
 * test_faults_posix.c - every system call of the POSIX back end fails, once and for ever.
 *
 * This program defines the system calls itself. A failed sync does what ext4 does: it tells once,
 * what was written since the last good sync is marked clean and is not on the medium, and the next
 * sync succeeds. What the medium holds is kept in a model, and put into the files when the process
 * is gone ("the cache is dropped"). In a second part writes of the head get lost or go to another
 * place, and nobody is told.
 *
 * TORTURE=full looks at all cases. CASE='...' repeats the one that a failure names. timeout: 600 s
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/fault_scenes.h"

#define CALLS_MAX 8000u
#define FILES 16u
#define BYTES_MAX (512u << 10)
#define PAGE 4096u
#define PAGES_MAX (BYTES_MAX / PAGE)
#define HALF -2	      /* fates that are no errno: half of the bytes */
#define LOST -3	      /* a write that never reaches the medium, and says it did */
#define ELSEWHERE -4  /* a write that goes to another place */
#define INTERRUPTS 3u /* of a call that is interrupted "for ever" */

/* --- the model of the medium --- */

struct medium_file {
	ino_t ino;
	uint8_t bytes[BYTES_MAX]; /* as a reader would find it after the cache was dropped */
	size_t len;
	bool dirty[PAGES_MAX]; /* written since the last sync */
	bool stale[PAGES_MAX]; /* clean, and not on the medium */
};

static struct medium_file files[FILES];
static unsigned n_files;

static struct medium_file *file_of(int fd)
{
	struct stat st;

	if (syscall(SYS_fstat, fd, &st) != 0 || !S_ISREG(st.st_mode))
		return NULL;
	for (unsigned i = 0; i < n_files; i++)
		if (files[i].ino == st.st_ino)
			return &files[i];
	if (n_files == FILES)
		n_files = 0; /* more files than a scene has */
	memset(&files[n_files], 0, sizeof(*files));
	files[n_files].ino = st.st_ino;
	return &files[n_files++];
}

static void note_write(int fd, size_t len, off_t offset)
{
	struct medium_file *file = file_of(fd);

	for (size_t p = (size_t)offset / PAGE;
	     file != NULL && len > 0 && p < PAGES_MAX && p <= ((size_t)offset + len - 1) / PAGE;
	     p++) {
		file->dirty[p] = true;
		file->stale[p] = false;
	}
}

static void note_sync(int fd, bool failed)
{
	struct medium_file *file = file_of(fd);
	struct stat st;

	if (file == NULL || syscall(SYS_fstat, fd, &st) != 0)
		return;
	for (size_t p = 0; p < PAGES_MAX; p++) {
		if (file->dirty[p] && failed)
			file->stale[p] = true;
		else if (file->dirty[p])
			(void)syscall(SYS_pread64, fd, file->bytes + p * PAGE, PAGE,
				      (off_t)(p * PAGE));
		file->dirty[p] = false;
	}
	if (!failed)
		file->len = (size_t)st.st_size;
}

/* --- the system calls --- */

static char dir_path[3900], store_path[4096];

static bool is_head(int fd)
{
	struct stat st, head;

	return syscall(SYS_fstat, fd, &st) == 0 && stat(store_path, &head) == 0 &&
	       st.st_ino == head.st_ino;
}

static struct {
	bool armed; /* count, and fail */
	uint64_t at, calls;
	const char *call; /* that fails; NULL: only note names */
	int fate;
	bool for_ever, hit;
	unsigned interrupts;
	const char **names;
} plan;

/* 0: go on; an errno; or one of the fates above. */
static int decide(const char *call)
{
	uint64_t at;

	if (!plan.armed)
		return 0;
	at = plan.calls++;
	if (plan.call == NULL) {
		if (at < CALLS_MAX)
			plan.names[at] = call;
		return 0;
	}
	if (at < plan.at || (at > plan.at && !plan.for_ever) || strcmp(call, plan.call) != 0)
		return 0;
	if (plan.fate == EINTR && plan.interrupts++ >= INTERRUPTS)
		return 0;
	plan.hit = true;
	return plan.fate;
}

static bool fails(int fate)
{
	if (fate <= 0)
		return false;
	errno = fate;
	return true;
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	int fate = decide("pread");

	if (fails(fate))
		return -1;
	return syscall(SYS_pread64, fd, buf, fate == HALF && len > 1 ? len / 2 : len, offset);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	int fate = decide("pwrite");
	ssize_t done;

	if (fails(fate))
		return -1;
	if (fate <= LOST && !is_head(fd))
		fate = 0; /* a lost end of the log cannot be told from a torn one */
	if (fate == LOST)
		return (ssize_t)len;
	if (fate == ELSEWHERE)
		offset = (offset / PAGE * 5 + 3) % 24 * PAGE;
	done = syscall(SYS_pwrite64, fd, buf, fate == HALF && len > 1 ? len / 2 : len, offset);
	if (done > 0)
		note_write(fd, (size_t)done, offset);
	return done;
}

/* The model is the medium: the kernel need not write anything. */
static int sync_file(int fd, const char *call)
{
	int fate = decide(call);

	if (fate != EINTR)
		note_sync(fd, fate > 0);
	return fails(fate) ? -1 : 0;
}

int fsync(int fd)
{
	return sync_file(fd, "fsync");
}

int fdatasync(int fd)
{
	return sync_file(fd, "fdatasync");
}

int ftruncate(int fd, off_t size)
{
	return fails(decide("ftruncate")) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fstat(int fd, struct stat *st)
{
	return fails(decide("fstat")) ? -1 : (int)syscall(SYS_fstat, fd, st);
}

int openat(int dir, const char *name, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	return fails(decide("openat")) ? -1 : (int)syscall(SYS_openat, dir, name, flags, mode);
}

int unlinkat(int dir, const char *name, int flags)
{
	return fails(decide("unlinkat")) ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
	return fails(decide("linkat")) ? -1 : (int)syscall(SYS_linkat, from, old, to, new, flags);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return fails(decide("fcntl")) ? -1 : (int)syscall(SYS_fcntl, fd, command, arg);
}

static const struct fate {
	const char *name;
	int fate;
	const char *calls;
} fates[] = {
	{"EIO", EIO, " pread pwrite fsync fdatasync ftruncate fstat openat unlinkat linkat fcntl "},
	{"ENOSPC", ENOSPC, " pwrite fsync fdatasync openat linkat "},
	{"EDQUOT", EDQUOT, " pwrite fsync fdatasync openat "},
	{"EINTR", EINTR, " pread pwrite fsync fdatasync openat "},
	{"EMFILE", EMFILE, " openat "},
	{"half", HALF, " pread pwrite "},
};

static const struct fate silent_fates[] = {
	{"lost", LOST, " pwrite "},
	{"elsewhere", ELSEWHERE, " pwrite "},
};

static bool fits(const struct fate *fate, const char *call)
{
	char word[40];

	(void)snprintf(word, sizeof(word), " %s ", call); /* names are short */
	return strstr(fate->calls, word) != NULL;
}

/* --- the directory --- */

struct kept_file {
	char name[64];
	uint8_t *bytes;
	size_t len;
};
static struct kept_file kept[FILES];
static unsigned n_kept;

/* Calls visit for each file of the directory. */
static void each_file(void (*visit)(const char *name, int fd))
{
	DIR *dir = opendir(dir_path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char path[4200];
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		visit(entry->d_name, fd);
		(void)close(fd);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static void keep_file(const char *name, int fd)
{
	struct kept_file *file = &kept[n_kept++];
	struct stat st = {0};

	(void)syscall(SYS_fstat, fd, &st);
	(void)snprintf(file->name, sizeof(file->name), "%s", name);
	file->len = (size_t)st.st_size;
	file->bytes = malloc(file->len + 1);
	if (file->bytes == NULL || n_kept == FILES ||
	    syscall(SYS_pread64, fd, file->bytes, file->len, 0) != (long)file->len)
		abort();
}

static void remove_file(const char *name, int fd)
{
	char path[4200];

	(void)fd;
	(void)snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	(void)unlink(path);
}

static void restore(void)
{
	each_file(remove_file);
	n_files = 0;
	for (unsigned i = 0; i < n_kept; i++) {
		char path[4200];
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%.63s", dir_path, kept[i].name);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 ||
		    syscall(SYS_pwrite64, fd, kept[i].bytes, kept[i].len, 0) != (long)kept[i].len)
			abort();
		note_write(fd, kept[i].len, 0);
		note_sync(fd, false);
		(void)close(fd);
	}
}

/* What is clean but not on the medium is lost. */
static void drop_cache(const char *name, int fd)
{
	struct medium_file *file = file_of(fd);
	struct stat st = {0};

	(void)name;
	(void)syscall(SYS_fstat, fd, &st);
	for (size_t p = 0; file != NULL && p < PAGES_MAX; p++) {
		size_t left = (size_t)st.st_size > p * PAGE ? (size_t)st.st_size - p * PAGE : 0;

		if (file->stale[p] && left > 0 &&
		    syscall(SYS_pwrite64, fd, file->bytes + p * PAGE, left < PAGE ? left : PAGE,
			    (off_t)(p * PAGE)) < 0)
			abort();
	}
}

static struct store_io *attach(void *ctx)
{
	struct store_io *io;

	(void)ctx;
	return io_posix_new(store_path, &io, NULL) == 0 ? io : NULL;
}

/* --- cases --- */

static void set_stage(struct fault_world *w, const struct fault_scene *scene)
{
	static const bool healthy = false;

	memset(w, 0, sizeof(*w));
	w->opts.cache_bytes = 64u << 10;
	w->page_size = scene->page_size;
	w->value_size = scene->value_size;
	w->attach = attach;
	w->faulty = &healthy;
	each_file(remove_file);
	if (!fault_world_run(w, scene->before)) {
		fprintf(stderr, "scene %s: %s\n", scene->name, w->why);
		exit(1);
	}
	for (; n_kept > 0; n_kept--)
		free(kept[n_kept - 1].bytes);
	each_file(keep_file);
}

static void begin(uint64_t at, const char *call, int fate, bool for_ever)
{
	plan.at = at;
	plan.call = call;
	plan.fate = fate;
	plan.for_ever = for_ever;
	plan.calls = 0;
	plan.hit = false;
	plan.interrupts = 0;
	plan.armed = true;
}

static void run_case(const struct fault_world *stage, const char *program)
{
	static struct fault_world w;

	w = *stage;
	w.faulty = &plan.hit;
	w.may_lose = true;
	restore();
	(void)fault_world_run(&w, program);
	plan.armed = false;
	if (w.store != NULL)
		(void)fault_world_run(&w, "v");
	fault_world_drop(&w);
	each_file(drop_cache);
	if (w.why[0] == '\0')
		(void)fault_world_finish(&w);
	fault_case_done(w.why);
	fault_world_drop(&w);
}

/* Everything that can be read is right; what cannot be read is known to the check. */
static void judge_silent(struct fault_world *w)
{
	static const bool faulty = true;
	struct store_opts opts = w->opts;
	struct fault_state state;
	bool whole = false;

	opts.read_only = true;
	w->io = attach(NULL);
	w->msg.text[0] = '\0';
	if (store_open(w->io, &opts, &w->store, NULL, &w->msg) == 0) {
		whole = fault_world_observe(w, &state) == 0;
		for (uint32_t id = 0; id < FAULT_IDS; id++) {
			size_t size = sizeof(state.ids[id]);
			bool right = memcmp(&state.ids[id], &w->now.ids[id], size) == 0;

			for (uint32_t i = 0; !right && i < w->n_maybe; i++)
				right = memcmp(&state.ids[id], &w->maybe[i].ids[id], size) == 0;
			if (!right && (w->unread >> id & 1) == 0)
				(void)fault_world_wrong(w, "id %u has another value", (unsigned)id);
		}
	} else {
		w->store = NULL;
		if (w->msg.text[0] == '\0')
			(void)fault_world_wrong(w, "refused without a sentence");
	}
	w->faulty = &faulty;
	w->damages = 0;
	(void)fault_world_run(w, "K");
	if (!whole && w->damages == 0 && w->msg.text[0] == '\0')
		(void)fault_world_wrong(w, "something is lost, and the check finds nothing");
}

static void run_silent(const struct fault_world *stage, const char *program)
{
	static const bool faulty = true;
	static struct fault_world w;

	w = *stage;
	w.faulty = &faulty;
	restore();
	(void)fault_world_run(&w, program);
	plan.armed = false;
	fault_world_drop(&w);
	if (w.why[0] == '\0')
		judge_silent(&w);
	fault_case_done(w.why);
	fault_world_drop(&w);
}

/* Notes the calls of a scene that runs without faults. */
static uint64_t note_calls(const struct fault_world *stage, const struct fault_scene *scene,
			   const char *names[CALLS_MAX])
{
	static struct fault_world w;

	w = *stage;
	restore();
	plan.names = names;
	begin(0, NULL, 0, false);
	if (!fault_world_run(&w, scene->program))
		printf("not ok: scene %s without faults: %s\n", scene->name, w.why);
	plan.armed = false;
	fault_world_drop(&w);
	return plan.calls < CALLS_MAX ? plan.calls : CALLS_MAX;
}

static void each_call(const struct fault_scene *scene)
{
	static const char *names[CALLS_MAX];
	static struct fault_world stage;
	uint64_t n;

	set_stage(&stage, scene);
	n = note_calls(&stage, scene, names);
	for (uint64_t at = 0; at < n; at++) {
		for (size_t f = 0; f < 2 * sizeof(fates) / sizeof(*fates); f++) {
			const struct fate *fate = &fates[f / 2];

			if (!fits(fate, names[at]) ||
			    !fault_case("%s %llu %s %s %s", scene->name, (unsigned long long)at,
					names[at], fate->name, f % 2 == 1 ? "ever" : "once"))
				continue;
			begin(at, names[at], fate->fate, f % 2 == 1);
			run_case(&stage, scene->program);
		}
		for (size_t f = 0; f < sizeof(silent_fates) / sizeof(*silent_fates); f++) {
			const struct fate *fate = &silent_fates[f];

			if (!fits(fate, names[at]) ||
			    !fault_case("%s %llu %s %s", scene->name, (unsigned long long)at,
					names[at], fate->name))
				continue;
			begin(at, names[at], fate->fate, false);
			run_silent(&stage, scene->program);
		}
	}
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(dir_path, sizeof(dir_path), "%s/vecfs-faults-XXXXXX",
		       tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir_path) == NULL) {
		perror(dir_path);
		return 1;
	}
	(void)snprintf(store_path, sizeof(store_path), "%s/store", dir_path);
	fault_cases_start("input/output faults", 4);
	for (unsigned s = 0; s < fault_scenes_n; s++)
		if (!fault_scenes[s].damaged_slot)
			each_call(&fault_scenes[s]);
	each_file(remove_file);
	(void)rmdir(dir_path);
	return fault_cases_end();
}
