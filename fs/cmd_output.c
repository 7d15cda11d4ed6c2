/* cmd_output.c - a new store as the result of a command, and what such commands print. */
#include "fs/cmd_output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cmd.h"
#include "fs/mount_point.h"
#include "fs/options.h"
#include "store/base.h"
#include "store/mem.h"

#define DIRTY_MIN (64ull << 20) /* less would write the pages of ids again and again */
#define LOOK_EVERY 256u		/* puts between two looks at how much has gathered */
#define TEMP_TAIL 22u		/* ".new-", 16 digits, the end */

/* --- the command line --- */

static bool parse_page_size(const char *text, uint32_t *page_size_out)
{
	uint64_t size;

	if (!options_parse_size(text, &size) || size < FORMAT_PAGE_MIN || size > FORMAT_PAGE_MAX ||
	    !is_power_of_two(size))
		return false;
	*page_size_out = (uint32_t)size;
	return true;
}

int cmd_output_operands(int argc, char **argv, const char *help, const char *operands_out[2],
			uint32_t *page_size_out)
{
	static const char option[] = "--page-size";
	const size_t len = sizeof(option) - 1;
	bool only_operands = false;
	int n = 0;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *value = NULL;

		if (only_operands || word[0] != '-' || word[1] == '\0') {
			if (n == 2)
				return cmd_refuse(help, "one argument too many: ", word);
			operands_out[n++] = word;
		} else if (strcmp(word, "--help") == 0) {
			fputs(help, stdout);
			return 0;
		} else if (strcmp(word, "--") == 0) {
			only_operands = true;
		} else if (page_size_out != NULL && strncmp(word, option, len) == 0 &&
			   (word[len] == '=' || word[len] == '\0')) {
			value = word[len] == '=' ? word + len + 1 : argv[++i];
			if (value == NULL)
				return cmd_refuse(help, "option --page-size needs a value", "");
			if (!parse_page_size(value, page_size_out))
				return cmd_refuse(
					help, "page-size is 4K, 8K, 16K, 32K or 64K, not ", value);
		} else {
			return cmd_refuse(help, "unknown option ", word);
		}
	}
	if (n < 2)
		return cmd_refuse(help, "an argument is missing", "");
	return -1;
}

/* --- the new store --- */

int cmd_output_prepare(struct cmd_output *output, const char *path, struct err_msg *msg)
{
	struct stat st;
	int rc;

	memset(output, 0, sizeof(*output));
	output->progress.terminal = cmd_has_terminal();
	rc = mount_point_resolve(path, &output->path, msg);
	if (rc != 0)
		return rc;
	if (lstat(output->path, &st) == 0)
		return err_set(msg, ERR_EXISTS,
			       "%s exists already; nothing is overwritten, give another name",
			       output->path);
	cmd_catch_signals();
	return 0;
}

static int failed(const struct cmd_output *output, int rc, struct err_msg *msg)
{
	if (cmd_stopped())
		return err_set(msg, ERR_INTERRUPTED, "interrupted; %s was not made", output->path);
	return err_set(msg, rc, "%s cannot be written: %s; it was not made", output->path,
		       err_str(rc));
}

int cmd_output_create(struct cmd_output *output, const struct store_geometry *geometry,
		      uint64_t cache_bytes, struct err_msg *msg)
{
	struct store_opts opts = {.cache_bytes = cache_bytes, .durability = WAL_NONE};
	struct store_io *io = NULL;
	const size_t size = strlen(output->path) + TEMP_TAIL;
	uint64_t salt = 0;
	int rc = io_posix_new(output->path, &io, msg);

	if (rc != 0)
		return rc;
	rc = io->ops->random(io, &salt, sizeof(salt));
	io->ops->close(io);
	output->temp = mem_alloc(size);
	if (rc != 0 || output->temp == NULL)
		return failed(output, rc != 0 ? rc : ERR_NOMEM, msg);
	(void)snprintf(output->temp, size, "%s.new-%016" PRIx64, output->path, salt);
	rc = io_posix_new(output->temp, &output->io, msg);
	if (rc == 0)
		rc = store_create(output->io, geometry, msg);
	if (rc == 0)
		rc = store_open(output->io, &opts, &output->store, NULL, msg);
	output->dirty_max = 2 * cache_bytes > DIRTY_MIN ? 2 * cache_bytes : DIRTY_MIN;
	return rc;
}

int cmd_output_put(struct cmd_output *output, const struct store_entry *entry, const void *value,
		   uint32_t size, const struct xattrs *xattrs, struct err_msg *msg)
{
	struct store_stats stats;
	int rc = cmd_stopped() ? ERR_INTERRUPTED : 0;

	if (rc == 0 && xattrs->len > store_xattr_max(output->store))
		return err_set(msg, ERR_TOO_BIG,
			       "vectors/%s has extended attributes of %" PRIu32
			       " bytes; with pages of %" PRIu32 " bytes at most %" PRIu32
			       " fit: give a larger --page-size",
			       entry->id, xattrs->len, store_page_size(output->store),
			       store_xattr_max(output->store));
	if (rc == 0)
		rc = store_put(output->store, entry->id, entry->id_len, value, size, &entry->attr,
			       STORE_PUT_NEW, NULL, NULL, NULL);
	if (rc == 0 && xattrs->len > 0)
		rc = store_set_xattrs(output->store, entry->id, entry->id_len, xattrs);
	if (rc == 0 && ++output->puts % LOOK_EVERY == 0) {
		store_get_stats(output->store, &stats);
		if (stats.dirty_bytes > output->dirty_max)
			rc = store_checkpoint(output->store);
	}
	if (rc == 0 || rc == ERR_EXISTS)
		return rc;
	return failed(output, rc, msg);
}

int cmd_output_finish(struct cmd_output *output, uint64_t *bytes_out, struct err_msg *msg)
{
	int rc = store_close(output->store);

	output->store = NULL;
	if (rc == 0)
		rc = output->io->ops->size(output->io, bytes_out);
	if (rc != 0 || cmd_stopped())
		return failed(output, rc, msg);
	if (!cmd_name_file(output->temp, output->path)) {
		if (errno == EEXIST)
			return err_set(msg, ERR_EXISTS,
				       "%s came into being meanwhile; it was not touched",
				       output->path);
		return err_set(msg, ERR_IO, "%s cannot be made: %s", output->path, strerror(errno));
	}
	(void)unlink(output->temp); /* a second name would be litter, not harm */
	rc = cmd_sync_directory(output->path);
	if (rc != 0)
		return err_set(msg, rc, "%s is made, but its directory cannot be synced: %s",
			       output->path, err_str(rc));
	return 0;
}

void cmd_output_release(struct cmd_output *output)
{
	store_abandon(output->store);
	if (output->io != NULL)
		output->io->ops->close(output->io);
	if (output->temp != NULL)
		(void)unlink(output->temp); /* a finished one has gone already */
	mem_free(output->temp);
	mem_free(output->path);
	memset(output, 0, sizeof(*output));
}
