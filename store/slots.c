/* slots.c - the slot table and the values behind it. */
#include "store/slots.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "store/base.h"
#include "store/mem.h"

#define STATE_BITS 2
#define LSN_MAX (UINT64_MAX >> STATE_BITS)

void slots_init(struct slots *slots, struct pager *pager, uint32_t value_size, uint32_t count)
{
	memset(slots, 0, sizeof(*slots));
	slots->pager = pager;
	slot_ids_init(&slots->ids, pager);
	atomic_init(&slots->value_size, value_size);
	atomic_init(&slots->count, count);
}

void slots_release(struct slots *slots)
{
	slot_ids_release(&slots->ids);
	mem_free(slots->free);
	mem_free(slots->waiting);
	mem_free(slots->emptied);
	memset(slots, 0, sizeof(*slots));
}

static uint32_t per_page(const struct slots *slots)
{
	return slots->pager->page_size / (uint32_t)sizeof(struct format_slot_entry);
}

static int decode(const struct format_slot_entry *in, struct slots_entry *out)
{
	uint64_t packed = get_u64(in->lsn_state);

	out->id_hash = get_u64(in->id_hash);
	out->lsn = packed >> STATE_BITS;
	out->state = (enum store_slot_state)(packed & ((1u << STATE_BITS) - 1));
	return out->state <= STORE_SLOT_DEAD ? 0 : ERR_DAMAGED;
}

uint32_t slots_page(const struct slots *slots, uint32_t slot)
{
	return slot / per_page(slots);
}

int slots_get(struct slots *slots, uint32_t slot, struct slots_entry *entry_out)
{
	const void *page;
	int err;

	memset(entry_out, 0, sizeof(*entry_out));
	if (slot >= atomic_load(&slots->count))
		return ERR_ABSENT;
	err = pager_get(slots->pager, FORMAT_SPACE_SLOT, slot / per_page(slots), STORE_HINT_NONE,
			&page);
	if (err != 0)
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	return decode((const struct format_slot_entry *)page + slot % per_page(slots), entry_out);
}

static int push_free(struct slots *slots, uint32_t slot)
{
	size_t word = slot / 64, had = slots->free_words;
	int err = mem_grow((void **)&slots->free, &slots->cap_free, word + 1, sizeof(*slots->free));

	if (err != 0)
		return err;
	if (word >= had) {
		memset(slots->free + had, 0, (word + 1 - had) * sizeof(*slots->free));
		slots->free_words = word + 1;
	}
	slots->free[word] |= (uint64_t)1 << slot % 64;
	slots->n_free++;
	if (word < slots->free_from)
		slots->free_from = word;
	return 0;
}

/* The lowest free slot; there is one. */
static uint32_t pop_free(struct slots *slots)
{
	uint64_t *word;
	unsigned bit;

	while (slots->free[slots->free_from] == 0)
		slots->free_from++;
	word = &slots->free[slots->free_from];
	bit = (unsigned)__builtin_ctzll(*word);
	*word &= *word - 1;
	slots->n_free--;
	return (uint32_t)(slots->free_from * 64 + bit);
}

/* The slots whose values share pages with that of this one. */
static uint32_t sharing(const struct slots *slots, uint32_t slot, uint32_t *first_out)
{
	uint32_t size = atomic_load(&slots->value_size), page_size = slots->pager->page_size;
	uint32_t n = size != 0 && size <= page_size ? page_size / size : 1;

	*first_out = slot / n * n;
	return n;
}

/* Whether no slot that shares pages with this one is in use. */
static bool is_empty(struct slots *slots, uint32_t slot)
{
	uint32_t first, n = sharing(slots, slot, &first);

	/* the next one first: where slots are freed in order, it says no */
	for (uint32_t i = 1; i <= n; i++) {
		uint32_t other = first + (slot - first + i) % n;
		struct slots_entry entry;

		if (other >= atomic_load(&slots->count))
			continue;
		if (slots_get(slots, other, &entry) != 0 || entry.state != STORE_SLOT_FREE)
			return false;
	}
	return true;
}

/* A slot is free: was it the last one? When memory is short the page keeps its place. */
static void note_emptied(struct slots *slots, uint32_t slot)
{
	uint32_t first;

	(void)sharing(slots, slot, &first);
	if (is_empty(slots, slot) && mem_grow((void **)&slots->emptied, &slots->cap_emptied,
					      slots->n_emptied + 1, sizeof(*slots->emptied)) == 0)
		slots->emptied[slots->n_emptied++] =
			(struct slots_emptied){first, epoch_retire(slots->pager->epoch)};
}

int slots_load(struct slots *slots)
{
	uint32_t count = atomic_load(&slots->count), first;
	int err = 0;

	atomic_store(&slots->live, 0);
	atomic_store(&slots->dead, 0);
	slots->n_free = slots->free_words = slots->free_from = 0;
	slots->n_waiting = 0;
	slots->n_emptied = 0;
	/* from the end, so that the first slot of a page is seen last */
	for (uint32_t slot = count; err == 0 && slot-- > 0;) {
		struct slots_entry entry;

		err = slots_get(slots, slot, &entry);
		if (err == 0 && entry.state == STORE_SLOT_LIVE)
			atomic_fetch_add(&slots->live, 1);
		else if (err == 0 && entry.state == STORE_SLOT_DEAD)
			atomic_fetch_add(&slots->dead, 1);
		else if (err == 0)
			err = push_free(slots, slot);
		(void)sharing(slots, slot, &first);
		if (err == 0 && entry.state == STORE_SLOT_FREE && slot == first)
			note_emptied(slots, slot);
	}
	return err;
}

/* --- values --- */

/* Pages that a value larger than a page has: a power of two. */
static uint32_t value_span(const struct slots *slots, uint32_t value_size)
{
	uint32_t span = 1;

	while (span * slots->pager->page_size < value_size)
		span *= 2;
	return span;
}

uint32_t slots_value_page(const struct slots *slots, uint32_t slot, uint32_t *pages_out)
{
	uint32_t size = atomic_load(&slots->value_size), page_size = slots->pager->page_size;

	if (size <= page_size) {
		*pages_out = 1;
		return slot / (page_size / size);
	}
	*pages_out = (size + page_size - 1) / page_size;
	return slot * value_span(slots, size);
}

const void *slots_value_on(const struct slots *slots, uint32_t slot, const void *first_page)
{
	uint32_t size = atomic_load(&slots->value_size), page_size = slots->pager->page_size;

	if (size > page_size)
		return first_page;
	return (const uint8_t *)first_page + (size_t)(slot % (page_size / size)) * size;
}

int slots_value(struct slots *slots, uint32_t slot, enum store_hint hint, const void **value_out)
{
	uint32_t size = atomic_load(&slots->value_size), pages, first;
	const void *page;
	int err;

	*value_out = NULL;
	if (size == 0 || slot >= atomic_load(&slots->count))
		return ERR_ABSENT;
	first = slots_value_page(slots, slot, &pages);
	err = pager_get(slots->pager, FORMAT_SPACE_VALUE, first, hint, value_out);
	for (uint32_t i = 1; err == 0 && i < pages; i++)
		err = pager_get(slots->pager, FORMAT_SPACE_VALUE, first + i, hint, &page);
	if (err != 0) {
		*value_out = NULL;
		return err == ERR_ABSENT ? ERR_DAMAGED : err;
	}
	*value_out = slots_value_on(slots, slot, *value_out);
	return 0;
}

bool slots_lost(struct slots *slots, uint32_t slot)
{
	uint32_t size = atomic_load(&slots->value_size), page_size = slots->pager->page_size, per;
	const struct pager_page *page;
	struct slots_entry other;

	/* a value larger than a page shares its pages with nobody */
	if (atomic_load(&slots->pager->damaged) == 0 || size == 0 || size > page_size)
		return false;
	per = page_size / size;
	page = pager_page(slots->pager, FORMAT_SPACE_VALUE, slot / per);
	if (page == NULL || !atomic_load(&page->damaged))
		return false;
	for (uint32_t i = slot / per * per, end = i + per; i < end; i++) {
		int err = slots_get(slots, i, &other);

		if (err == ERR_ABSENT)
			break;
		if (i != slot && (err != 0 || other.state == STORE_SLOT_LIVE))
			return true;
	}
	return false;
}

/* A page of a slot's value for changing; one that is damaged begins anew, if it can. */
static int change_page(struct slots *slots, uint32_t slot, uint32_t page, void **page_out)
{
	int err = pager_change(slots->pager, FORMAT_SPACE_VALUE, page, page_out);

	if ((err == ERR_DAMAGED || err == ERR_IO) && !slots_lost(slots, slot))
		err = pager_change_blank(slots->pager, FORMAT_SPACE_VALUE, page, page_out);
	return err;
}

int slots_write_value(struct slots *slots, uint32_t slot, const void *value)
{
	uint32_t size = atomic_load(&slots->value_size), page_size = slots->pager->page_size;
	uint32_t pages, first = slots_value_page(slots, slot, &pages);
	void *page;
	int err = 0;

	if (size <= page_size) {
		err = change_page(slots, slot, first, &page);
		if (err == 0)
			memcpy((uint8_t *)page + (size_t)(slot % (page_size / size)) * size, value,
			       size);
		return err;
	}
	for (uint32_t i = 0; err == 0 && i < pages; i++) {
		uint32_t at = i * page_size, n = size - at < page_size ? size - at : page_size;

		err = change_page(slots, slot, first + i, &page);
		if (err == 0)
			memcpy(page, (const uint8_t *)value + at, n);
	}
	return err;
}

/* --- changing --- */

int slots_take_new(struct slots *slots, uint32_t *slot_out)
{
	uint32_t slot = atomic_load(&slots->count);

	while (slot < UINT32_MAX - 1 && slots_lost(slots, slot))
		slot++; /* to the end of a damaged page; what is left out stays free */
	*slot_out = slot;
	return slot < UINT32_MAX - 1 ? 0 : ERR_LIMIT;
}

int slots_take(struct slots *slots, uint32_t *slot_out)
{
	if (slots->n_waiting > 0 && slots->n_free == 0) {
		uint64_t oldest = epoch_oldest(slots->pager->epoch);
		size_t ready = 0;

		while (ready < slots->n_waiting && slots->waiting[ready].retired < oldest &&
		       push_free(slots, slots->waiting[ready].slot) == 0)
			ready++;
		slots->n_waiting -= ready;
		memmove(slots->waiting, slots->waiting + ready,
			slots->n_waiting * sizeof(*slots->waiting));
	}
	if (slots->n_free > 0) {
		*slot_out = pop_free(slots);
		return 0;
	}
	return slots_take_new(slots, slot_out);
}

void slots_untake(struct slots *slots, uint32_t slot)
{
	if (slot < atomic_load(&slots->count))
		(void)push_free(slots, slot); /* it was taken from there: there is room */
}

bool slots_take_this(struct slots *slots, uint32_t slot)
{
	uint64_t bit = (uint64_t)1 << slot % 64;

	if (slot / 64 >= slots->free_words || (slots->free[slot / 64] & bit) == 0)
		return false;
	slots->free[slot / 64] &= ~bit;
	slots->n_free--;
	return true;
}

int slots_reserve(struct slots *slots, uint32_t slot)
{
	void *page;

	return pager_change(slots->pager, FORMAT_SPACE_SLOT, slot / per_page(slots), &page);
}

static void count_state(struct slots *slots, enum store_slot_state state, uint64_t by)
{
	if (state == STORE_SLOT_LIVE)
		atomic_fetch_add(&slots->live, by);
	else if (state == STORE_SLOT_DEAD)
		atomic_fetch_add(&slots->dead, by);
}

void slots_set(struct slots *slots, uint32_t slot, const struct slots_entry *entry)
{
	struct format_slot_entry *out;
	struct slots_entry was;
	void *page = NULL;
	int err = pager_change(slots->pager, FORMAT_SPACE_SLOT, slot / per_page(slots), &page);

	assert(err == 0 && entry->lsn <= LSN_MAX);
	(void)err; /* slots_reserve made the page changeable: it stays in memory */
	out = (struct format_slot_entry *)page + slot % per_page(slots);
	if (decode(out, &was) == 0)
		count_state(slots, was.state, (uint64_t)-1);
	count_state(slots, entry->state, 1);
	slot_ids_drop(&slots->ids, slot);
	put_u64(out->id_hash, entry->id_hash);
	put_u64(out->lsn_state, entry->lsn << STATE_BITS | (uint64_t)entry->state);
	if (slot >= atomic_load(&slots->count))
		atomic_store(&slots->count, slot + 1);
}

void slots_freed(struct slots *slots, uint32_t slot)
{
	/* when memory is short the slot is found again at the next open */
	if (mem_grow((void **)&slots->waiting, &slots->cap_waiting, slots->n_waiting + 1,
		     sizeof(*slots->waiting)) == 0)
		slots->waiting[slots->n_waiting++] =
			(struct slots_waiting){slot, epoch_retire(slots->pager->epoch)};
	note_emptied(slots, slot);
}

/* Whether these slots were emptied once more, at or behind `from`: then that entry is about them. */
static bool emptied_again(const struct slots *slots, size_t from, uint32_t first)
{
	for (size_t i = from; i < slots->n_emptied; i++)
		if (slots->emptied[i].first == first)
			return true;
	return false;
}

int slots_clear(struct slots *slots, size_t max, bool *more_out)
{
	uint64_t oldest = epoch_oldest(slots->pager->epoch);
	size_t n = 0, ripe = 0;
	int err = 0;

	while (ripe < slots->n_emptied && slots->emptied[ripe].retired < oldest)
		ripe++;
	while (err == 0 && n < ripe && n < max) {
		uint32_t slot = slots->emptied[n].first, pages;
		uint32_t page = slots_value_page(slots, slot, &pages);
		bool empty = is_empty(slots, slot) && !emptied_again(slots, ripe, slot);

		for (uint32_t i = 0; err == 0 && empty && i < pages; i++)
			err = pager_clear(slots->pager, FORMAT_SPACE_VALUE, page + i);
		n += err == 0;
	}
	*more_out = n == max;
	slots->n_emptied -= n;
	if (n > 0)
		memmove(slots->emptied, slots->emptied + n,
			slots->n_emptied * sizeof(*slots->emptied));
	return err;
}

int slots_check(struct slots *slots)
{
	uint32_t count = atomic_load(&slots->count);
	uint64_t live = 0, dead = 0, n_free = 0;
	struct slots_entry entry;
	int err = 0;

	for (uint32_t slot = 0; err == 0 && slot < count; slot++) {
		err = slots_get(slots, slot, &entry);
		live += err == 0 && entry.state == STORE_SLOT_LIVE;
		dead += err == 0 && entry.state == STORE_SLOT_DEAD;
	}
	for (uint32_t slot = 0; err == 0 && slot < slots->free_words * 64; slot++) {
		if ((slots->free[slot / 64] >> slot % 64 & 1) == 0)
			continue;
		n_free++;
		err = slots_get(slots, slot, &entry);
		if (err == 0 && entry.state != STORE_SLOT_FREE)
			err = ERR_DAMAGED;
	}
	if (err == 0 && n_free != slots->n_free)
		err = ERR_DAMAGED;
	if (err == 0 && (live != atomic_load(&slots->live) || dead != atomic_load(&slots->dead)))
		err = ERR_DAMAGED;
	return err;
}
