/*
 * cmd_export.c - `vecfs export STORE OUT`: writes all vectors of a store into one file, and their ids
 * into another.
 *
 * The order is that in which they stand in the store, mostly that in which they were written: so each
 * page is read once, and what was imported into an empty store comes out as it went in.
 */
#include "fs/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ann/ann.h"
#include "fs/cmd_file.h"
#include "fs/cmd_slot.h"
#include "fs/memory.h"
#include "store/io.h"
#include "store/mem.h"
#include "store/store.h"

#define AHEAD 64u /* slots whose values are read together */
#define SHOW_EVERY 4096u

static const char help[] =
	"usage: vecfs export STORE OUT.{fvecs,fbin,npy} [--force]\n"
	"\n"
	"Writes all vectors of a store that is not mounted, as float32, and their ids, a line each, into\n"
	"OUT.ids. Both appear whole and durable or not at all; files that exist are not overwritten. vecfs\n"
	"import reads them back. Modes, owners, times and user.* attributes have no place in them: rsync -aX\n"
	"between two mounts brings these too. STORE is not changed. Exit code: 0 done, 4 STORE is damaged\n"
	"(vecfs recover saves the rest), 8 could not run.\n"
	"\n"
	"  --force           overwrite\n";

struct export
{
	const char *path, *out; /* as given */
	bool force;
	enum vecio_format format;
	char *ids_path; /* owned */
	struct store_io *io;
	struct store *store;
	uint32_t dim;
	uint64_t rows;
	uint8_t *row; /* owned */
	struct cmd_new_file vectors, ids;
	struct cmd_progress progress;
};

static int parse(int argc, char **argv, struct export *export)
{
	const char *operands[2];
	bool only_operands = false;
	int n = 0;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (only_operands || word[0] != '-' || word[1] == '\0') {
			if (n == 2)
				return cmd_refuse(help, "one argument too many: ", word);
			operands[n++] = word;
		} else if (strcmp(word, "--help") == 0) {
			fputs(help, stdout);
			return 0;
		} else if (strcmp(word, "--") == 0) {
			only_operands = true;
		} else if (strcmp(word, "--force") == 0) {
			export->force = true;
		} else {
			return cmd_refuse(help, "unknown option ", word);
		}
	}
	if (n < 2)
		return cmd_refuse(help, "an argument is missing", "");
	export->path = operands[0];
	export->out = operands[1];
	if (!vecio_format_of(export->out, &export->format) || !vecio_can_write(export->format))
		return cmd_refuse(help,
				  "the name must end in .fvecs, .fbin or .npy: ", export->out);
	return -1;
}

/* --- the files --- */

/* OUT.ids for OUT.fvecs. */
static int name_ids(struct export *export, struct err_msg *msg)
{
	char *dot;

	export->ids_path = mem_alloc(strlen(export->out) + sizeof(".ids"));
	if (export->ids_path == NULL)
		return err_set(msg, ERR_NOMEM, "%s", ERR_NOMEM_SENTENCE);
	strcpy(export->ids_path, export->out);
	dot = strrchr(export->ids_path, '.'); /* its name has an ending */
	strcpy(dot, ".ids");
	return 0;
}

static int refuse_existing(const struct export *export, const char *path, struct err_msg *msg)
{
	struct stat st, store;

	if (lstat(path, &st) != 0)
		return 0;
	if (stat(export->path, &store) == 0 && store.st_dev == st.st_dev &&
	    store.st_ino == st.st_ino)
		return err_set(msg, ERR_EXISTS,
			       "%.200s is the store itself, which nothing overwrites; give another "
			       "name",
			       path);
	if (!export->force)
		return err_set(
			msg, ERR_EXISTS,
			"%.200s exists already; give another name, or --force to overwrite it",
			path);
	return S_ISREG(st.st_mode) ?
		       0 :
		       err_set(msg, ERR_NOT_REGULAR,
			       "%.200s is not a regular file; give another name", path);
}

static int open_files(struct export *export, struct err_msg *msg)
{
	uint8_t header[VECIO_HEADER_MAX];
	uint64_t salt = 0;
	int rc = export->io->ops->random(export->io, &salt, sizeof(salt));

	if (rc != 0)
		return err_set(msg, rc, "no random number: %s", err_str(rc));
	rc = cmd_new_file_open(&export->vectors, export->out, salt, msg);
	if (rc == 0)
		rc = cmd_new_file_open(&export->ids, export->ids_path, salt, msg);
	if (rc == 0)
		rc = cmd_new_file_write(&export->vectors, header,
					vecio_put_header(export->format, (uint32_t) export->rows,
							 export->dim, header),
					msg);
	return rc;
}

/* The ids first: who sees the vectors finds their ids. */
static int finish_files(struct export *export, struct err_msg *msg)
{
	int rc = cmd_new_file_finish(&export->ids, msg);

	if (rc == 0)
		rc = cmd_new_file_finish(&export->vectors, msg);
	if (rc == 0 && cmd_stopped())
		rc = ERR_INTERRUPTED;
	if (rc == 0)
		rc = cmd_new_file_name(&export->ids, export->force, msg);
	if (rc != 0)
		return rc;
	rc = cmd_new_file_name(&export->vectors, export->force, msg);
	if ((rc == ERR_EXISTS || rc == ERR_FULL) && !export->force)
		(void)unlink(export->ids.path); /* it was made here, and is of no use alone */
	return rc;
}

/* --- the store --- */

static int open_store(struct export *export, struct err_msg *msg)
{
	struct store_opts opts = {.read_only = true,
				  .cache_bytes = memory_auto_cache(memory_usable())};
	struct store_open_report report = {0};
	struct store_stats stats;
	int rc = io_posix_new(export->path, &export->io, msg);

	if (rc == 0)
		rc = store_open(export->io, &opts, &export->store, &report, msg);
	if (rc != 0)
		return cmd_explain_busy(export->path, rc, msg);
	if (report.note.text[0] != '\0')
		cmd_say(&export->progress, "remark", report.note.text);
	store_get_stats(export->store, &stats);
	export->rows = stats.live;
	export->dim = store_value_size(export->store) / (uint32_t)sizeof(float);
	export->row = mem_alloc(4 + (size_t) export->dim * sizeof(float));
	return export->row != NULL ? 0 : err_set(msg, ERR_NOMEM, "%s", ERR_NOMEM_SENTENCE);
}

/* Inside a read section. ERR_ABSENT: the slot is not in use. */
static int write_slot(struct export *export, uint32_t slot, struct err_msg *msg)
{
	struct store_entry entry;
	const void *value;
	int rc = cmd_read_slot(export->store, slot, &entry, &value, msg);

	if (rc != 0)
		return rc;
	rc = cmd_new_file_write(&export->vectors, export->row,
				vecio_put_row(export->format, value, export->dim, export->row),
				msg);
	entry.id[entry.id_len] = '\n'; /* there is room: it was terminated */
	if (rc == 0)
		rc = cmd_new_file_write(&export->ids, entry.id, entry.id_len + 1u, msg);
	return rc;
}

static int write_some(struct export *export, uint32_t first, uint32_t end, uint64_t *written,
		      struct err_msg *msg)
{
	uint32_t slots[AHEAD];
	int rc = 0;

	for (uint32_t slot = first; slot < end; slot++)
		slots[slot - first] = slot;
	store_read_begin(export->store);
	store_value_prefetch(export->store, slots, end - first); /* errors show below */
	for (uint32_t slot = first; rc == 0 && slot < end; slot++) {
		rc = write_slot(export, slot, msg);
		*written += rc == 0;
		if (rc == ERR_ABSENT)
			rc = 0;
	}
	store_read_end(export->store);
	return rc;
}

static int write_all(struct export *export, struct err_msg *msg)
{
	uint32_t slots = store_slots(export->store);
	uint64_t written = 0;
	int rc = 0;

	for (uint32_t slot = 0; rc == 0 && slot < slots; slot += AHEAD) {
		if (cmd_stopped())
			return ERR_INTERRUPTED;
		if (slot % SHOW_EVERY == 0)
			cmd_show_progress(&export->progress, "vectors", written, export->rows);
		rc = write_some(export, slot, slots - slot < AHEAD ? slots : slot + AHEAD, &written,
				msg);
	}
	if (rc == 0 && written != export->rows)
		rc = err_set(msg, ERR_DAMAGED,
			     "%.200s: %" PRIu64 " vectors are in use, %" PRIu64
			     " were expected; vecfs check says more",
			     export->path, written, export->rows);
	return rc;
}

static int export_all(struct export *export, struct err_msg *msg)
{
	int rc = name_ids(export, msg);

	if (rc == 0)
		rc = refuse_existing(export, export->out, msg);
	if (rc == 0)
		rc = refuse_existing(export, export->ids_path, msg);
	if (rc != 0)
		return rc;
	cmd_catch_signals();
	cmd_wait_closed(export->path);
	rc = open_store(export, msg);
	if (rc == 0)
		rc = open_files(export, msg);
	if (rc == 0)
		rc = write_all(export, msg);
	if (rc == 0)
		rc = finish_files(export, msg);
	if (rc == ERR_INTERRUPTED)
		rc = err_set(msg, rc, "interrupted; %.200s was not made", export->out);
	return rc;
}

int cmd_export(int argc, char **argv)
{
	struct export export = {.progress = {.terminal = cmd_has_terminal()}};
	struct err_msg msg = {{0}};
	int rc = parse(argc, argv, &export);

	if (rc >= 0)
		return rc;
	rc = export_all(&export, &msg);
	cmd_end_progress(&export.progress);
	cmd_new_file_release(&export.vectors);
	cmd_new_file_release(&export.ids);
	store_abandon(export.store);
	if (export.io != NULL)
		export.io->ops->close(export.io);
	mem_free(export.row);
	if (rc == 0)
		printf("%s: %" PRIu64 " vectors in %s, their ids in %s\n", export.path, export.rows,
		       export.out, export.ids_path);
	else
		fprintf(stderr, "vecfs: %s%s\n", msg.text[0] != '\0' ? msg.text : err_str(rc),
			rc == ERR_DAMAGED ? "; vecfs recover saves what can be read" : "");
	mem_free(export.ids_path);
	return rc == 0 ? EXIT_CLEAN : rc == ERR_DAMAGED ? EXIT_DAMAGED : EXIT_CANNOT_RUN;
}
