/*
 * damage.c - damages a store at a named structure: damage STORE WHAT [ID]. For damage.sh.
 *
 * WHAT: header, newest-slot, older-slot, free-list; or a page, of which a byte in the middle is
 * changed: value (that of the vector ID), slot, directory, bucket (that of ID), graph, code, aux;
 * or map-copy, map-both: one or both copies of the map page of the values. Prints what was damaged and
 * where: "value 3 40960". id: the vector ID gets a name that no file can have, in order.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/ids_bucket.h"
#include "store/page.h"
#include "store/store.h"
#include "store/store_private.h"

static const char *path;

static void die(const char *why)
{
	fprintf(stderr, "damage: %s\n", why);
	exit(1);
}

static void flip(uint64_t offset)
{
	int fd = open(path, O_RDWR);
	unsigned char byte;

	if (fd < 0 || pread(fd, &byte, 1, (off_t)offset) != 1)
		die("cannot read the byte");
	byte ^= 0x10;
	if (pwrite(fd, &byte, 1, (off_t)offset) != 1 || close(fd) != 0)
		die("cannot write the byte");
}

static void flip_place(const char *what, unsigned number, uint64_t place)
{
	struct place at;

	if (!place_unpack(place, &at))
		die("nothing is stored there");
	flip(at.block * FORMAT_BLOCK + at.bytes / 2);
	printf("%s %u %llu\n", what, number, (unsigned long long)at.block * FORMAT_BLOCK);
}

static uint32_t page_of(struct store *store, const char *what, const char *id)
{
	struct store_entry entry;
	uint32_t bucket = 0, pages;

	if (strcmp(what, "value") != 0 && strcmp(what, "bucket") != 0)
		return 0;
	if (id == NULL || store_get(store, id, strlen(id), &entry, NULL) != 0)
		die("there is no such id");
	if (what[0] == 'v')
		return slots_value_page(&store->slots, entry.slot, &pages);
	/* few ids: the directory has one page */
	epoch_enter(store->epoch);
	if (ids_bucket_number(&store->ids,
			      store->ids.depth == 0 ?
				      0 :
				      (uint32_t)(ids_hash(&store->ids, id, strlen(id)) >>
						 (64 - store->ids.depth)),
			      &bucket) != 0)
		die("the directory cannot be read");
	epoch_leave(store->epoch);
	return bucket;
}

static void damage(struct store *store, const char *what, const char *id)
{
	static const char *const spaces[FORMAT_SPACES] = {"value", "slot", "directory", "bucket",
							  "graph", "code", "aux"};
	struct pager *pager = store->pager;
	uint64_t newest = store->slot.generation & 1;

	for (int s = 0; s < FORMAT_SPACES; s++) {
		uint32_t number = strcmp(what, spaces[s]) == 0 ? page_of(store, what, id) : 0;
		const struct pager_page *page = pager_page(pager, (enum format_space)s, number);

		if (strcmp(what, spaces[s]) != 0)
			continue;
		if (page == NULL)
			die("there is no such page");
		flip_place(what, number, page->place);
		return;
	}
	if (strncmp(what, "map-", 4) == 0) {
		flip_place(what, 0, pager->spaces[FORMAT_SPACE_VALUE].levels[0].nodes[0].place[0]);
		if (strcmp(what, "map-both") == 0)
			flip_place(what, 0,
				   pager->spaces[FORMAT_SPACE_VALUE].levels[0].nodes[0].place[1]);
	} else if (strcmp(what, "free-list") == 0) {
		flip_place(what, 0, store->slot.free_place);
	} else if (strcmp(what, "header") == 0) {
		flip(20);
	} else if (strcmp(what, "newest-slot") == 0) {
		flip(FORMAT_SLOT_AT + FORMAT_BLOCK * newest + 70);
	} else if (strcmp(what, "older-slot") == 0) {
		flip(FORMAT_SLOT_AT + FORMAT_BLOCK * (1 - newest) + 70);
	} else {
		die("unknown structure");
	}
}

/* To the store an id is bytes. */
static void rename_badly(struct store *store, const char *id)
{
	static const char bad[] = "two\nlines";
	struct store_put_result result;

	if (store_rename(store, id, strlen(id), bad, strlen(bad), 0, NULL, NULL, &result) != 0 ||
	    store_close(store) != 0)
		die("cannot rename");
}

int main(int argc, char **argv)
{
	struct store_opts opts = {.read_only = true, .cache_bytes = 16 << 20};
	struct err_msg msg = {{0}};
	struct store_io *io;
	struct store *store;

	if (argc < 3)
		die("damage STORE WHAT [ID]");
	path = argv[1];
	opts.read_only = strcmp(argv[2], "id") != 0;
	if (io_posix_new(path, &io, &msg) != 0 || store_open(io, &opts, &store, NULL, &msg) != 0)
		die(msg.text);
	if (opts.read_only) {
		damage(store, argv[2], argc > 3 ? argv[3] : NULL);
		store_abandon(store);
	} else {
		rename_badly(store, argc > 3 ? argv[3] : "");
	}
	io->ops->close(io);
	return 0;
}
