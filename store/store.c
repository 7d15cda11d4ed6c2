/* store.c - making, opening and closing a store, and the questions it answers from its tables. */
#include "store/store.h"

#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/ids_bucket.h"
#include "store/mem.h"
#include "store/store_private.h"

/* --- making --- */

static int check_geometry(const struct store_geometry *geometry, uint32_t *page_size,
			  struct err_msg *msg)
{
	*page_size = geometry->page_size != 0 ? geometry->page_size : FORMAT_PAGE_DEFAULT;
	if (!is_power_of_two(*page_size) || *page_size < FORMAT_PAGE_MIN ||
	    *page_size > FORMAT_PAGE_MAX)
		return err_set(msg, ERR_INVALID, "page size %u: give a power of two from %u to %u",
			       (unsigned)geometry->page_size, FORMAT_PAGE_MIN, FORMAT_PAGE_MAX);
	if (geometry->value_size > FORMAT_VALUE_MAX || geometry->value_size % 4 != 0)
		return err_set(msg, ERR_INVALID, "value size %u: give a multiple of 4, at most %u",
			       (unsigned)geometry->value_size, FORMAT_VALUE_MAX);
	return 0;
}

int store_create(struct store_io *io, const struct store_geometry *geometry, struct err_msg *msg)
{
	struct head head = {0};
	struct head_slot slot = {.generation = 1,
				 .clean = true,
				 .next_ino = 1,
				 .first_segment = 1,
				 .blocks = FORMAT_PAGES_AT / FORMAT_BLOCK};
	uint8_t *bytes = NULL;
	int err = check_geometry(geometry, &head.page_size, msg);

	if (err != 0)
		return err;
	head.value_size = geometry->value_size;
	head.kind = geometry->kind;
	slot.value_size = geometry->value_size;
	bytes = mem_zalloc(1, FORMAT_PAGES_AT);
	if (bytes == NULL)
		return err_set(msg, ERR_NOMEM, "out of memory");
	err = io->ops->random(io, head.uuid, sizeof(head.uuid));
	if (err == 0)
		err = io->ops->random(io, &head.id_seed, sizeof(head.id_seed));
	if (err == 0)
		err = io->ops->random(io, &head.kind_seed, sizeof(head.kind_seed));
	if (err == 0) {
		head_encode(&head, (struct format_header *)bytes);
		head_encode_slot(&head, &slot,
				 (struct format_slot *)(bytes + FORMAT_SLOT_AT + FORMAT_BLOCK));
		err = io->ops->create(io, bytes, FORMAT_PAGES_AT);
	}
	mem_free(bytes);
	if (err == ERR_EXISTS)
		return err_set(msg, err, "%s exists already; give another name or remove it",
			       io->ops->name(io));
	if (err != 0)
		return err_set(msg, err, "%s cannot be made: %s", io->ops->name(io), err_str(err));
	return 0;
}

/* --- opening and closing --- */

static void destroy(struct store *store)
{
	if (store == NULL)
		return;
	checkpoint_stop_threads(store);
	wal_free(store->wal);
	slots_release(&store->slots);
	ids_release(&store->ids);
	pager_free(store->pager);
	pager_extents_release(&store->trunks);
	epoch_free(store->epoch);
	(void)pthread_mutex_destroy(&store->commit_lock);
	(void)pthread_mutex_destroy(&store->checkpoint_lock);
	(void)pthread_mutex_destroy(&store->thread_lock);
	(void)pthread_cond_destroy(&store->stop);
	(void)pthread_cond_destroy(&store->wake);
	(void)pthread_cond_destroy(&store->progressed);
	room_release(&store->room);
	mem_free(store);
}

struct store *store_new(struct store_io *io, const struct store_opts *opts)
{
	struct store *store = mem_zalloc(1, sizeof(*store));
	pthread_mutexattr_t brief;

	if (store == NULL)
		return NULL;
	/* these cannot fail on Linux */
	(void)pthread_mutexattr_init(&brief);
	/* held for microseconds: to sleep and be woken takes longer than to try again a few times */
	(void)pthread_mutexattr_settype(&brief, PTHREAD_MUTEX_ADAPTIVE_NP);
	(void)pthread_mutex_init(&store->commit_lock, &brief);
	(void)pthread_mutexattr_destroy(&brief);
	(void)pthread_mutex_init(&store->checkpoint_lock, NULL);
	(void)pthread_mutex_init(&store->thread_lock, NULL);
	(void)pthread_cond_init(&store->stop, NULL);
	(void)pthread_cond_init(&store->wake, NULL);
	(void)pthread_cond_init(&store->progressed, NULL);
	room_init(&store->room);
	store->io = io;
	store->opts = *opts;
	if (epoch_new(&store->epoch) != 0) {
		destroy(store);
		return NULL;
	}
	return store;
}

int store_open(struct store_io *io, const struct store_opts *opts, struct store **store_out,
	       struct store_open_report *report_out, struct err_msg *msg)
{
	struct store_open_report report = {0};
	struct wal_report log = {0};
	struct store *store = NULL;
	int err;

	*store_out = NULL;
	if (report_out != NULL)
		*report_out = report;
	if (msg != NULL)
		msg->text[0] = '\0';
	if (opts->recover_prefix && !opts->read_only)
		return err_set(msg, ERR_INVALID, "recover=prefix needs a read-only mount (ro)");
	err = io->ops->open(io, !opts->read_only, msg);
	if (err != 0)
		return err;
	store = store_new(io, opts);
	if (store == NULL)
		return err_set(msg, ERR_NOMEM, "out of memory");
	err = recover_load(store, &report, &log, msg);
	if (err == 0 && !opts->read_only)
		err = recover_take_over(store, &log, msg);
	if (err == 0 && !opts->read_only && opts->background) {
		err = checkpoint_start_threads(store);
		if (err != 0)
			(void)err_set(msg, err,
				      "the threads for checkpoints cannot be started; raise the "
				      "limits on memory and processes (ulimit -v, ulimit -u)");
	}
	wal_report_release(&log);
	if (report_out != NULL)
		*report_out = report;
	if (err != 0) {
		destroy(store);
		return err;
	}
	*store_out = store;
	return 0;
}

/* Neither slot needs the log any more. */
static int remove_log(struct store *store)
{
	uint64_t *seqs = NULL;
	size_t n = 0;
	int err;

	wal_free(store->wal);
	store->wal = NULL;
	err = store->io->ops->log_list(store->io, &seqs, &n);
	/* from the last: the one that the slots name goes before those below, which nobody asks for */
	for (size_t i = n; err == 0 && i-- > 0;)
		err = store->io->ops->log_remove(store->io, seqs[i]);
	mem_free(seqs);
	return err;
}

/*
 * Two clean slots, so that neither needs a log; then the log can go. The graph is the business of
 * the layer above, which has published it before.
 */
int store_close(struct store *store)
{
	int err = 0;

	if (store == NULL)
		return 0;
	checkpoint_stop_threads(store);
	if (store->wal != NULL && !atomic_load(&store->poisoned)) {
		(void)pthread_mutex_lock(&store->checkpoint_lock);
		err = checkpoint_run(store, CHECKPOINT_CLEAN, false);
		if (err == 0)
			err = checkpoint_run(store, CHECKPOINT_CLEAN, false);
		if (err == 0)
			err = remove_log(store);
		(void)pthread_mutex_unlock(&store->checkpoint_lock);
	} else if (atomic_load(&store->poisoned)) {
		err = ERR_READONLY;
	}
	destroy(store);
	return err;
}

void store_abandon(struct store *store)
{
	destroy(store);
}

uint32_t store_value_size(const struct store *store)
{
	return atomic_load(&store->slots.value_size);
}

uint32_t store_kind(const struct store *store)
{
	return store->head.kind;
}

uint64_t store_kind_seed(const struct store *store)
{
	return store->head.kind_seed;
}

uint32_t store_page_size(const struct store *store)
{
	return store->head.page_size;
}

bool store_read_only(const struct store *store)
{
	return store->wal == NULL || atomic_load(&store->poisoned);
}

/* --- reading records --- */

/* A reader begins: epoch before lock, so that pages seen under the lock stay. */
static void read_lock(struct store *store)
{
	epoch_enter(store->epoch);
	(void)pthread_rwlock_rdlock(&store->ids.lock);
}

static void read_unlock(struct store *store)
{
	(void)pthread_rwlock_unlock(&store->ids.lock);
	epoch_leave(store->epoch);
}

/* Adds the LSN, which the slot table keeps. */
static int complete(struct store *store, struct store_entry *entry)
{
	struct slots_entry slot;
	int err = slots_get(&store->slots, entry->slot, &slot);

	if (err == 0 && slot.state != STORE_SLOT_LIVE)
		err = ERR_DAMAGED;
	entry->lsn = slot.lsn;
	return err == ERR_ABSENT ? ERR_DAMAGED : err;
}

int store_get(struct store *store, const char *id, size_t id_len, struct store_entry *entry_out,
	      void *value_out)
{
	struct store_entry entry = {0};
	const void *value;
	int err;

	if (id_len == 0 || id_len > FORMAT_ID_MAX)
		return ERR_ABSENT;
	epoch_enter(store->epoch);
	(void)pthread_rwlock_rdlock(&store->ids.lock);
	err = ids_find(&store->ids, id, id_len, &entry);
	if (err == 0)
		err = complete(store, &entry);
	(void)pthread_rwlock_unlock(&store->ids.lock);
	/* inside the epoch the slot cannot be used again, so its bytes stay those of this entry */
	if (err == 0 && value_out != NULL) {
		err = slots_value(&store->slots, entry.slot, STORE_HINT_NONE, &value);
		if (err == 0)
			memcpy(value_out, value, atomic_load(&store->slots.value_size));
	}
	epoch_leave(store->epoch);
	if (err == 0 && entry_out != NULL)
		*entry_out = entry;
	return err;
}

uint32_t store_xattr_max(const struct store *store)
{
	return xattr_list_max(store->head.page_size);
}

int store_get_xattrs(struct store *store, const char *id, size_t id_len, uint8_t *list_out,
		     uint32_t *len_out)
{
	struct ids_place place;
	struct xattrs xattrs;
	int err;

	*len_out = 0;
	if (id_len == 0 || id_len > FORMAT_ID_MAX)
		return ERR_ABSENT;
	read_lock(store);
	err = ids_locate(&store->ids, id, id_len, &place);
	if (err == 0) {
		xattrs = ids_bucket_xattrs(place.found);
		memcpy(list_out, xattrs.bytes, xattrs.len);
		*len_out = xattrs.len;
	}
	read_unlock(store);
	return err;
}

int store_list(struct store *store, uint64_t cursor, struct store_entry *entries, uint64_t *cursors,
	       size_t cap, size_t *n_out)
{
	int err;

	read_lock(store);
	err = ids_list(&store->ids, cursor, entries, cursors, cap, n_out);
	read_unlock(store);
	return err;
}

/* --- slots --- */

uint32_t store_slots(const struct store *store)
{
	return atomic_load(&store->slots.count);
}

int store_slot(struct store *store, uint32_t slot, enum store_slot_state *state_out,
	       uint64_t *lsn_out)
{
	struct slots_entry entry;
	int err;

	read_lock(store);
	err = slots_get(&store->slots, slot, &entry);
	read_unlock(store);
	*state_out = entry.state;
	*lsn_out = entry.lsn;
	return err;
}

/* Caller holds the read lock. */
static int get_live(struct store *store, uint32_t slot, struct slots_entry *entry_out)
{
	int err = slots_get(&store->slots, slot, entry_out);

	return err == 0 && entry_out->state != STORE_SLOT_LIVE ? ERR_ABSENT : err;
}

/* A live slot has an id: invariant of the tables. */
static int find_live(struct store *store, const struct slots_entry *live, uint32_t slot,
		     struct store_entry *entry_out)
{
	int err = ids_find_slot(&store->ids, live->id_hash, slot, entry_out);

	return err == ERR_ABSENT ? ERR_DAMAGED : err;
}

int store_slot_entry(struct store *store, uint32_t slot, struct store_entry *entry_out)
{
	struct slots_entry entry;
	int err;

	read_lock(store);
	err = get_live(store, slot, &entry);
	if (err == 0)
		err = find_live(store, &entry, slot, entry_out);
	if (err == 0)
		entry_out->lsn = entry.lsn;
	read_unlock(store);
	return err;
}

/* Frames are short: what was read for one id is not read again for the others beside it. */
static void keep_ids(struct store *store, const struct slots_entry *entry,
		     const struct store_entry *found)
{
	const uint8_t *page = NULL;
	uint32_t bucket;

	if (ids_bucket_of(&store->ids, entry->id_hash, &bucket) == 0)
		page = pager_peek(store->pager, FORMAT_SPACE_BUCKET, bucket);
	if (page != NULL)
		slot_ids_put_bucket(&store->slots.ids, page);
	slot_ids_put(&store->slots.ids, found->slot, found->id, found->id_len);
}

int store_slot_id(struct store *store, uint32_t slot, struct store_entry *entry_out)
{
	struct slots_entry entry;
	int err;

	read_lock(store);
	err = get_live(store, slot, &entry);
	if (err == 0 && !slot_ids_get(&store->slots.ids, slot, entry_out->id, &entry_out->id_len)) {
		err = find_live(store, &entry, slot, entry_out);
		if (err == 0 && pager_is_short(store->pager))
			keep_ids(store, &entry, entry_out);
	}
	if (err == 0) {
		entry_out->slot = slot;
		entry_out->lsn = entry.lsn;
	}
	read_unlock(store);
	return err;
}

void store_read_begin(struct store *store)
{
	epoch_enter(store->epoch);
}

void store_read_end(struct store *store)
{
	epoch_leave(store->epoch);
}

int store_live_as_of(struct store *store, const uint32_t *slots, size_t n, uint64_t lsn,
		     bool *live_out)
{
	struct slots_entry entry;
	int err = 0;

	read_lock(store);
	for (size_t i = 0; i < n && err == 0; i++) {
		err = slots_get(&store->slots, slots[i], &entry);
		live_out[i] = err == 0 && entry.state == STORE_SLOT_LIVE && entry.lsn <= lsn;
		if (err == ERR_ABSENT)
			err = 0;
	}
	read_unlock(store);
	return err;
}

int store_value(struct store *store, uint32_t slot, enum store_hint hint, const void **value_out)
{
	return slots_value(&store->slots, slot, hint, value_out);
}

/* --- pages of the layer above --- */

uint32_t store_pages(const struct store *store, enum store_space space)
{
	return atomic_load(&store->pager->spaces[space].pages);
}

int store_page(struct store *store, uint32_t page, const void **page_out)
{
	static const uint8_t zeros[FORMAT_PAGE_MAX];
	int err = pager_get(store->pager, FORMAT_SPACE_GRAPH, page, STORE_HINT_NONE, page_out);

	if (err != ERR_ABSENT)
		return err;
	*page_out = zeros;
	return 0;
}

int store_page_change(struct store *store, uint32_t page, void **page_out)
{
	return pager_change(store->pager, FORMAT_SPACE_GRAPH, page, page_out);
}

int store_blob_read(struct store *store, enum store_space space, uint32_t page, void *buf)
{
	return pager_blob_read(store->pager, (enum format_space)space, page, buf);
}

uint64_t store_graph_lsn(const struct store *store)
{
	return atomic_load(&store->graph_lsn);
}

/* --- care --- */

void store_drop_caches(struct store *store)
{
	slot_ids_clear(&store->slots.ids);
	pager_drop(store->pager);
}

int store_read_head(struct store_io *io, struct store_head *head_out, struct err_msg *msg)
{
	struct head_slot slots[2];
	struct head head;
	bool bad;
	unsigned n;
	int err = io->ops->open(io, false, msg);

	memset(head_out, 0, sizeof(*head_out));
	if (err == 0)
		err = head_read(io, &head, slots, &n, &bad, msg);
	if (err != 0)
		return err;
	memcpy(head_out->uuid, head.uuid, 16);
	head_out->page_size = head.page_size;
	head_out->kind = head.kind;
	head_out->value_size = slots[0].value_size;
	head_out->epoch = slots[0].epoch;
	head_out->generation = slots[0].generation;
	head_out->ckpt_lsn = slots[0].ckpt_lsn;
	head_out->graph_lsn = slots[0].graph_lsn;
	head_out->first_segment = slots[0].first_segment;
	head_out->clean = slots[0].clean;
	head_out->older_slot = bad && slots[0].generation > 1;
	return 0;
}
