/* fault_world.c - the operations and the model beside them. */
#include "tests/support/fault_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/fault_compare.h"

bool fault_world_wrong(struct fault_world *w, const char *format, ...)
{
	va_list args;

	if (w->why[0] != '\0')
		return false;
	va_start(args, format);
	(void)vsnprintf(w->why, sizeof(w->why), format, args); /* a cut text is accepted */
	va_end(args);
	return false;
}

/* --- the model --- */

static void durable(struct fault_world *w)
{
	w->n_history = 0;
}

/* Records the result of an operation that by the model gives next. */
static void settle(struct fault_world *w, int err, const struct fault_state *next)
{
	if (err == 0) {
		if (w->n_history < FAULT_HISTORY)
			w->history[w->n_history++] = w->now;
		w->now = w->shown = *next;
		w->n_maybe = 0;
		return;
	}
	w->errors++;
	if (!*w->faulty && !store_read_only(w->store))
		(void)fault_world_wrong(w, "failed without a fault: %s", err_str(err));
	if (err == ERR_ABSENT || err == ERR_EXISTS || err == ERR_INVALID)
		(void)fault_world_wrong(w, "a change failed with \"%s\"", err_str(err));
	if (w->n_maybe < FAULT_MAYBE)
		w->maybe[w->n_maybe++] = *next;
}

/* A call that changes no record. */
static void care(struct fault_world *w, int err)
{
	if (err == 0)
		return;
	w->errors++;
	if (!*w->faulty && !store_read_only(w->store))
		(void)fault_world_wrong(w, "failed without a fault: %s", err_str(err));
}

/* A sync or a publication failed: after anything but a lack of room nothing more may be written. */
static void care_poison(struct fault_world *w, int err, bool may_be_full)
{
	care(w, err);
	if (err != 0 && !(may_be_full && (err == ERR_FULL || err == ERR_NOMEM)) &&
	    !store_read_only(w->store))
		(void)fault_world_wrong(w, "not poisoned after \"%s\"", err_str(err));
}

/* --- operations on records --- */

static void note_dead(struct fault_world *w, int err, const struct store_put_result *result)
{
	if (err == 0 && result->old_slot != STORE_NO_SLOT && w->n_dead < FAULT_HISTORY)
		w->dead[w->n_dead++] = result->old_slot;
}

static void op_put(struct fault_world *w, char kind, uint32_t id)
{
	static uint32_t words[FAULT_WORDS_MAX];
	struct store_put_result result = {.old_slot = STORE_NO_SLOT};
	struct fault_state next = w->now;
	struct fault_id *slot = &next.ids[id];
	uint32_t version = ++w->version;
	struct store_attr attr = {.mode = version % 512, .mtime_ns = version};
	unsigned flags = kind == 'n' ? STORE_PUT_NEW : kind == 'k' ? STORE_PUT_KEEP_ATTR : 0;
	bool exists = slot->version != 0;
	char name[32];
	size_t len = fault_world_name(id, name);
	int err;

	fault_world_value(w, version, words);
	err = store_put(w->store, name, len, words, w->value_size, &attr, flags, NULL, NULL,
			&result);
	if (kind == 'n' && exists) {
		if (err == 0)
			(void)fault_world_wrong(w, "%s was made though it exists", name);
		return;
	}
	if (!(kind == 'k' && exists))
		slot->mode = attr.mode;
	slot->mtime_ns = attr.mtime_ns;
	slot->version = version;
	settle(w, err, &next);
	note_dead(w, err, &result);
}

static void op_delete(struct fault_world *w, uint32_t id)
{
	struct store_put_result result = {.old_slot = STORE_NO_SLOT};
	struct fault_state next = w->now;
	char name[32];
	size_t len = fault_world_name(id, name);
	int err = store_delete(w->store, name, len, NULL, NULL, &result);

	if (w->now.ids[id].version == 0) {
		if (err == 0)
			(void)fault_world_wrong(w, "%s was removed though it is absent", name);
		return;
	}
	memset(&next.ids[id], 0, sizeof(next.ids[id]));
	settle(w, err, &next);
	note_dead(w, err, &result);
}

static void op_rename(struct fault_world *w, char kind, uint32_t from, uint32_t to)
{
	struct store_put_result result = {.old_slot = STORE_NO_SLOT};
	struct fault_state next = w->now;
	unsigned flags = kind == 'w' ? STORE_RENAME_KEEP : kind == 'e' ? STORE_RENAME_EXCHANGE : 0;
	bool possible = w->now.ids[from].version != 0 &&
			!(kind == 'w' && w->now.ids[to].version != 0) &&
			!(kind == 'e' && w->now.ids[to].version == 0);
	char a[32], b[32];
	size_t a_len = fault_world_name(from, a), b_len = fault_world_name(to, b);
	int err = store_rename(w->store, a, a_len, b, b_len, flags, NULL, NULL, &result);

	if (!possible) {
		if (err == 0)
			(void)fault_world_wrong(w, "%s was renamed though it cannot be", a);
		return;
	}
	next.ids[to] = w->now.ids[from];
	memset(&next.ids[from], 0, sizeof(next.ids[from]));
	if (kind == 'e')
		next.ids[from] = w->now.ids[to];
	settle(w, err, &next);
	note_dead(w, err, &result);
}

static void op_attr(struct fault_world *w, uint32_t id)
{
	struct fault_state next = w->now;
	uint32_t version = ++w->version;
	struct store_attr attr = {.mode = version % 512, .mtime_ns = version};
	char name[32];
	size_t len = fault_world_name(id, name);
	int err = store_set_attr(w->store, name, len, &attr, STORE_ATTR_MODE | STORE_ATTR_MTIME);

	if (w->now.ids[id].version == 0)
		return;
	next.ids[id].mode = attr.mode;
	next.ids[id].mtime_ns = attr.mtime_ns;
	settle(w, err, &next);
}

static void op_list(struct fault_world *w, uint32_t id, bool remove)
{
	struct fault_state next = w->now;
	uint32_t version = remove ? 0 : ++w->version;
	struct xattrs list = fault_world_list(w, version);
	char name[32];
	size_t len = fault_world_name(id, name);
	int err = store_set_xattrs(w->store, name, len, &list);

	if (w->now.ids[id].version == 0) {
		if (err == 0)
			(void)fault_world_wrong(w, "%s got attributes though it is absent", name);
		return;
	}
	next.ids[id].list = version;
	settle(w, err, &next);
}

static void op_release(struct fault_world *w)
{
	for (uint32_t i = 0; i < w->n_dead; i++)
		care(w, store_slot_release(w->store, w->dead[i]));
	w->n_dead = 0;
}

/* What is read is what must be there, or an error. */
static void op_read(struct fault_world *w)
{
	struct fault_state state;
	int err = fault_world_observe(w, &state);

	care(w, err);
	if (err != 0 && !*w->faulty)
		(void)fault_world_wrong(w, "reading failed without a fault: %s", err_str(err));
	if (err == 0 && !fault_state_same(&state, &w->shown)) {
		char got[200], want[200];

		fault_state_describe(&state, got);
		fault_state_describe(&w->shown, want);
		(void)fault_world_wrong(w, "shows%s, must show%s", got, want);
	}
}

/* --- operations on the graph --- */

static int change_graph(struct fault_world *w, uint32_t version)
{
	int err = 0;

	store_read_begin(w->store);
	for (uint32_t p = 0; err == 0 && p < FAULT_GRAPH_PAGES; p++) {
		void *page;

		err = store_page_change(w->store, p, &page);
		for (uint32_t i = 0; err == 0 && i < w->page_size / 4; i++)
			((uint32_t *)page)[i] = version << 8 | STORE_GRAPH << 4 | p;
	}
	store_read_end(w->store);
	return err;
}

static void op_graph(struct fault_world *w, bool give_up)
{
	static uint32_t words[FORMAT_PAGE_MAX / 4];
	struct fault_graph next = {++w->version, 0};
	int err = change_graph(w, next.version);

	if (err == 0)
		err = store_graph_begin(w->store);
	if (err != 0) {
		care(w, err);
		return;
	}
	store_graph_freeze(w->store, &next.lsn);
	for (uint32_t s = STORE_CODE; s <= STORE_AUX; s++) {
		for (uint32_t p = 0; err == 0 && p < FAULT_BLOB_PAGES; p++) {
			for (uint32_t i = 0; i < w->page_size / 4; i++)
				words[i] = next.version << 8 | s << 4 | p;
			err = store_blob_write(w->store, (enum store_space)s, p, words);
		}
	}
	if (err != 0 || give_up) {
		store_graph_abort(w->store);
		care(w, err);
		return;
	}
	err = store_graph_commit(w->store);
	care_poison(w, err, true);
	if (err == 0) {
		w->graph_before = w->graph;
		w->graph = next;
		w->n_graph_maybe = 0;
		durable(w);
	} else if (w->n_graph_maybe < FAULT_MAYBE) {
		w->graph_maybe[w->n_graph_maybe++] = next;
	}
}

static void op_reset(struct fault_world *w)
{
	struct fault_graph none = {0, 0};
	bool on_disk = !store_read_only(w->store); /* else it is forgotten in memory alone */
	int err = store_graph_reset(w->store);

	care(w, err);
	if (err == 0 && on_disk) {
		w->graph_before = w->graph;
		w->graph = none;
		w->n_graph_maybe = 0;
		durable(w);
	} else if (w->n_graph_maybe < FAULT_MAYBE) {
		w->graph_maybe[w->n_graph_maybe++] = none;
	}
}

/* --- opening and closing --- */

void fault_world_drop(struct fault_world *w)
{
	store_abandon(w->store);
	w->store = NULL;
	if (w->io != NULL)
		w->io->ops->close(w->io);
	w->io = NULL;
	w->n_dead = 0;
}

static void op_make(struct fault_world *w)
{
	struct store_geometry geometry = {.page_size = w->page_size};
	struct store_io *io = w->attach(w->attach_ctx);
	int err;

	w->unmade = io == NULL;
	if (io == NULL)
		return;
	err = store_create(io, &geometry, &w->msg);
	io->ops->close(io);
	w->unmade = err != 0 && err != ERR_EXISTS;
	if (!w->unmade)
		return;
	w->errors++;
	if (!*w->faulty)
		(void)fault_world_wrong(w, "making failed without a fault: %s", w->msg.text);
	if (w->msg.text[0] == '\0')
		(void)fault_world_wrong(w, "making failed without a sentence: %s", err_str(err));
}

/* Compares what was opened with the model. False: it cannot be read, which a fault explains. */
static bool adopt(struct fault_world *w)
{
	struct fault_state state;
	struct fault_graph graph;
	int err = fault_world_observe(w, &state);

	if (err == 0)
		err = fault_observe_graph(w, &graph);
	if (err != 0) {
		care(w, err);
		return false;
	}
	if (!fault_state_allowed(w, &state) || !fault_graph_allowed(w, &graph))
		return false;
	w->shown = state;
	if (w->read_only)
		return true;
	w->now = state;
	w->n_maybe = 0;
	w->graph = graph;
	w->n_graph_maybe = 0;
	durable(w);
	return true;
}

static void op_open(struct fault_world *w, bool read_only)
{
	struct store_opts opts = w->opts;
	int err;

	fault_world_drop(w);
	opts.read_only = w->read_only = read_only;
	w->io = w->attach(w->attach_ctx);
	if (w->io == NULL)
		return;
	err = store_open(w->io, &opts, &w->store, NULL, &w->msg);
	if (err != 0) {
		w->errors++;
		w->store = NULL;
		if (!*w->faulty)
			(void)fault_world_wrong(w, "opening: %s: %s", err_str(err), w->msg.text);
		if (w->msg.text[0] == '\0')
			(void)fault_world_wrong(w, "opening is refused without a sentence: %s",
						err_str(err));
	} else if (!adopt(w)) {
		store_abandon(w->store);
		w->store = NULL;
	}
	if (w->store == NULL)
		fault_world_drop(w);
}

static void op_close(struct fault_world *w)
{
	int err;

	if (w->read_only) {
		fault_world_drop(w);
		return;
	}
	err = store_close(w->store);
	w->store = NULL;
	if (err == 0)
		durable(w);
	else if (!*w->faulty)
		(void)fault_world_wrong(w, "closing failed without a fault: %s", err_str(err));
	w->errors += err != 0;
	fault_world_drop(w);
}

static void count_finding(void *ctx, bool damage, const char *text)
{
	struct fault_world *w = ctx;

	w->damages += damage;
	if (damage)
		(void)snprintf(w->msg.text, sizeof(w->msg.text), "%s", text);
}

static void op_check(struct fault_world *w)
{
	struct store_check_report report;
	struct store_io *io;
	int err;

	fault_world_drop(w);
	io = w->attach(w->attach_ctx);
	if (io == NULL)
		return;
	w->damages = 0;
	w->msg.text[0] = '\0';
	err = store_check(io, NULL, count_finding, NULL, w, &report, &w->msg);
	io->ops->close(io);
	if (!*w->faulty && (err != 0 || w->damages != 0))
		(void)fault_world_wrong(w, "the check found damage: %s %s", err_str(err),
					w->msg.text);
	if (err != 0 && w->msg.text[0] == '\0')
		(void)fault_world_wrong(w, "the check failed without a sentence");
}

/* --- programs --- */

static void run_word(struct fault_world *w, const char *word)
{
	uint32_t a = word[1] >= '0' && word[1] <= '9' ? (uint32_t)(word[1] - '0') : 0;
	uint32_t b = a != 0 || word[1] == '0' ? (uint32_t)(word[2] - '0') : 0;
	int err = 0;

	if (word[0] == 'M')
		op_make(w);
	else if (word[0] == 'O' || word[0] == 'Z')
		op_open(w, word[0] == 'Z');
	else if (word[0] == 'K')
		op_check(w);
	if (w->store == NULL)
		return;
	switch (word[0]) {
	case 'p':
	case 'n':
	case 'k':
		op_put(w, word[0], a);
		break;
	case 'd':
		op_delete(w, a);
		break;
	case 'r':
	case 'w':
	case 'e':
		op_rename(w, word[0], a, b);
		break;
	case 'a':
		op_attr(w, a);
		break;
	case 't':
	case 'u':
		op_list(w, a, word[0] == 'u');
		break;
	case 'f':
		op_release(w);
		break;
	case 'v':
		op_read(w);
		break;
	case 'g':
	case 'h':
		op_graph(w, word[0] == 'h');
		break;
	case 'R':
		op_reset(w);
		break;
	case 'x':
		store_drop_caches(w->store);
		break;
	case 's':
	case 'c':
		err = word[0] == 's' ? store_sync(w->store) : store_checkpoint(w->store);
		care_poison(w, err, word[0] == 'c');
		if (err == 0)
			durable(w);
		break;
	case 'A':
		fault_world_drop(w);
		break;
	case 'C':
		op_close(w);
		break;
	default:
		break;
	}
}

bool fault_world_run(struct fault_world *w, const char *program)
{
	for (; *program != '\0' && w->why[0] == '\0'; program++)
		if (*program != ' ' && (*program < '0' || *program > '9')) {
			run_word(w, program);
			if (w->why[0] != '\0') {
				size_t len = strlen(w->why);

				(void)snprintf(w->why + len, sizeof(w->why) - len,
					       " (at \"%.12s\")", program);
			}
		}
	return w->why[0] == '\0';
}

bool fault_world_finish(struct fault_world *w)
{
	static const bool healthy = false;

	w->faulty = &healthy;
	if (w->unmade)
		(void)fault_world_run(w, "M");
	/* "v" must succeed also when it is poisoned; "p9" must when it is not */
	return fault_world_run(w, w->read_only ? "v" : "v p9 v") &&
	       fault_world_run(w, "O p8 d9 c v C K O v C");
}
