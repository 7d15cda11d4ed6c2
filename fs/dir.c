/*
 * dir.c - lookup and listing.
 *
 * Cookies: 1 is "." and 2 "..", as names of where to go on; then the entries of a fixed list, or
 * the cursors of ann_list moved up by 2 (cursors are 1 ... 2^62).
 */
#include "fs/dir.h"

#include <string.h>

#include "fs/attr.h"
#include "fs/links.h"
#include "fs/named.h"
#include "fs/notify.h"
#include "fs/vecfmt.h"
#include "store/mem.h"

#define TIMEOUT_QUERY 1.0
#define COOKIE_FIRST 2u
#define LIST_FIRST 64u	/* vectors that a listing asks for first: what a small answer takes */
#define LIST_BATCH 256u /* and then: each time the bucket that it is in is sorted anew */
#define PICKS 2		/* names given back for each new one, when there are many */

int dir_may_enter(const struct fs *fs, const struct node *node, struct call *call)
{
	if (node->kind != NODE_QUERY && node->kind != NODE_CONTROL &&
	    (node->kind <= NODE_VECTOR || node->kind == NODE_TEXT))
		return 0;
	if (call->uid == fs->uid || call->uid == 0)
		return 0;
	return err_set(&call->msg, ERR_PERMISSION,
		       "queries and status/control are for the user who mounted (uid %u)", fs->uid);
}

/* --- lookup --- */

/* Caller holds `names`. */
static int lookup_known(struct fs *fs, struct node *node, struct dir_entry *entry)
{
	struct node_loose loose;
	int rc = attr_node_locked(fs, node, &entry->st);

	if (rc != 0) {
		inode_forget(fs->inodes, entry->id, 1);
		return rc;
	}
	entry->node = node;
	/* A name that may go at a close is asked for each time. */
	entry->timeout = inode_loose(fs->inodes, node, &loose) ? 0 : DIR_TIMEOUT;
	return 0;
}

static int lookup_vector(struct fs *fs, struct node *parent, const char *name, size_t len,
			 struct dir_entry *entry)
{
	struct store_entry found;
	struct node *node = NULL;
	int rc = 0;

	if (len > FORMAT_ID_MAX)
		return ERR_NAME_LONG;
	inode_names_read(fs->inodes);
	node = inode_ref_name(fs->inodes, parent, name, len, &entry->id);
	if (node != NULL) {
		rc = lookup_known(fs, node, entry);
		goto out;
	}
	rc = ann_get(fs->ann, name, len, &found, NULL);
	if (rc == 0)
		rc = inode_ref_vector(fs->inodes, found.ino, name, len, &entry->node, &entry->id);
	if (rc == 0)
		attr_entry(fs, &found, &entry->st);
	entry->timeout = DIR_TIMEOUT;
out:
	inode_names_unlock(fs->inodes);
	/* What cannot be an id is not there; creating it says why. */
	return rc == ERR_INVALID ? ERR_ABSENT : rc;
}

int dir_text(struct fs *fs, struct dir_entry *entry)
{
	struct node *vector = entry->node;
	uint64_t id = entry->id;
	int rc = inode_ref_text(fs->inodes, vector, &entry->node);

	if (rc == 0)
		entry->id = entry->node->id;
	inode_forget(fs->inodes, id, 1);
	entry->timeout = 0; /* it goes when the vector's name does */
	if (rc == 0)
		rc = attr_node(fs, entry->node, &entry->st);
	if (rc != 0 && entry->node != NULL)
		inode_forget(fs->inodes, entry->id, 1);
	return rc;
}

static int lookup_text(struct fs *fs, const char *name, size_t len, struct dir_entry *entry)
{
	int rc = lookup_vector(fs, inode_get(fs->inodes, NODE_VECTORS), name, len, entry);

	return rc == 0 ? dir_text(fs, entry) : rc;
}

static int lookup_fixed(struct fs *fs, struct node *parent, const char *name, size_t len,
			struct dir_entry *entry)
{
	entry->node = inode_ref_name(fs->inodes, parent, name, len, &entry->id);
	entry->timeout = DIR_TIMEOUT;
	return entry->node != NULL ? attr_node(fs, entry->node, &entry->st) : ERR_ABSENT;
}

static int no_such_query(const struct fs *fs, struct call *call)
{
	uint32_t dim = ann_dim(fs->ann);

	if (dim == 0)
		return err_set(&call->msg, ERR_ABSENT,
			       "not a query: 8 hex digits for each float32, or b64: and base64url, "
			       "or run, or like/<id>");
	return err_set(&call->msg, ERR_ABSENT,
		       "not a query: a vector here is %u hex digits (%u × float32), which may be "
		       "split over directories, or b64: and base64url; or run; or like/<id>",
		       dim * 8, dim);
}

static int parse_spec(const char *name, size_t len, struct inode_query *query, struct call *call)
{
	struct query_spec *spec = mem_zalloc(1, sizeof(*spec));
	int rc = ERR_NOMEM;

	if (spec != NULL)
		rc = query_parse_spec(name, len, spec, &call->msg);
	if (rc != 0) {
		mem_free(spec);
		return rc;
	}
	query->kind = NODE_SPEC;
	query->spec = spec;
	return 0;
}

static int parse_digits(const struct fs *fs, const struct query_vector *prefix, const char *name,
			size_t len, struct inode_query *query, struct call *call)
{
	size_t size = attr_vector_size(fs);
	size_t max = size > 0 ? size : ANN_DIM_MAX * sizeof(float);
	int rc = query_vector_extend(prefix, name, len, max, &query->vector);

	if (rc == ERR_ABSENT)
		return no_such_query(fs, call);
	if (rc != 0)
		return rc;
	if (!query->vector.open &&
	    (size > 0 ? query->vector.len == size : query->vector.len % sizeof(float) == 0))
		query->kind = NODE_POINT;
	else
		query->kind = NODE_DIGITS;
	return 0;
}

static int parse_like(struct fs *fs, const char *name, size_t len, struct inode_query *query,
		      struct call *call)
{
	struct store_entry entry;
	int rc = len > FORMAT_ID_MAX ? ERR_NAME_LONG : ann_get(fs->ann, name, len, &entry, NULL);

	query->kind = NODE_LIKE_ID;
	if (rc == ERR_ABSENT || rc == ERR_INVALID)
		return err_set(&call->msg, ERR_ABSENT, "no vector has this id");
	return rc;
}

/* A name that is no vector's digits: that of a question, or of one that can be created. */
static int parse_named(struct fs *fs, const struct node *spec, const char *name, size_t len,
		       struct inode_query *query, struct call *call)
{
	struct named *named = named_find(fs->named, spec->spec->ann.k, name, len);

	if (named == NULL)
		return vecfmt_is_hex(name, len) ? no_such_query(fs, call) : ERR_ABSENT;
	named_release(fs->named, named);
	query->kind = spec->spec->format == QUERY_LINKS ? NODE_NAMED_LINKS : NODE_NAMED;
	return 0;
}

static int parse_below_spec(struct fs *fs, const struct node *spec, const char *name, size_t len,
			    struct inode_query *query, struct call *call)
{
	switch (query_classify(name, len)) {
	case QUERY_NAME_RUN:
		if (spec->spec->format == QUERY_LINKS)
			return err_set(
				&call->msg, ERR_ABSENT,
				"run answers with text: use another format, or a named query");
		query->kind = NODE_RUN;
		return 0;
	case QUERY_NAME_LIKE:
		query->kind = NODE_LIKE;
		return 0;
	case QUERY_NAME_HEX:
	case QUERY_NAME_BASE64:
		return parse_digits(fs, NULL, name, len, query, call);
	default:
		return parse_named(fs, spec, name, len, query, call);
	}
}

static int parse_query(struct fs *fs, struct node *parent, const char *name, size_t len,
		       struct inode_query *query, struct call *call)
{
	if (links_is_folder(parent)) {
		query->kind = NODE_LINK;
		return links_find(fs, parent, call, name, len, &query->link);
	}
	switch (parent->kind) {
	case NODE_QUERY:
		return parse_spec(name, len, query, call);
	case NODE_SPEC:
		return parse_below_spec(fs, parent, name, len, query, call);
	case NODE_DIGITS:
		return parse_digits(fs, &parent->vector, name, len, query, call);
	default:
		return parse_like(fs, name, len, query, call);
	}
}

/* When many names are known, has the kernel forget some that nobody has open. */
static void give_back(struct fs *fs)
{
	char name[4096];
	uint64_t parent = 0;
	size_t len = 0;

	for (int i = 0; i < PICKS; i++)
		if (inode_pick_idle(fs->inodes, &parent, name, sizeof(name), &len))
			notifier_entry(fs->notifier, parent, name, len);
}

int dir_named_file(struct fs *fs, struct node *spec, const char *name, struct dir_entry *entry)
{
	struct inode_query query = {.kind = NODE_NAMED};
	int rc = inode_ref_query(fs->inodes, spec, name, strlen(name), &query, &entry->node);

	if (rc != 0)
		return rc;
	entry->id = entry->node->id;
	entry->timeout = 0;
	return attr_node(fs, entry->node, &entry->st);
}

static int lookup_query(struct fs *fs, struct node *parent, const char *name, size_t len,
			struct call *call, struct dir_entry *entry)
{
	struct inode_query query = {0};
	int rc = parse_query(fs, parent, name, len, &query, call);

	if (rc == 0)
		rc = inode_ref_query(fs->inodes, parent, name, len, &query, &entry->node);
	if (rc == 0) {
		entry->id = entry->node->id;
		rc = attr_node(fs, entry->node, &entry->st);
		if (rc != 0) { /* a question that was removed just now */
			inode_forget(fs->inodes, entry->id, 1);
			entry->node = NULL;
		}
	}
	if (rc == ERR_LIMIT)
		rc = err_set(&call->msg, ERR_LIMIT,
			     "%u names below /query, or %llu MiB of them, are in use: close "
			     "some",
			     INODE_QUERY_HARD, (unsigned long long)INODE_QUERY_BYTES >> 20);
	mem_free(query.spec);
	query_vector_release(&query.vector);
	entry->timeout = TIMEOUT_QUERY;
	if (entry->node != NULL &&
	    (entry->node->kind == NODE_NAMED || entry->node->kind == NODE_NAMED_LINKS))
		entry->timeout = 0; /* removed by another path it is gone */
	give_back(fs);
	return rc;
}

int dir_lookup(struct fs *fs, struct node *parent, const char *name, struct call *call,
	       struct dir_entry *entry_out)
{
	size_t len = strlen(name);
	int rc = dir_may_enter(fs, parent, call);

	memset(entry_out, 0, sizeof(*entry_out));
	if (rc != 0)
		return rc;
	switch (parent->kind) {
	case NODE_VECTORS:
		return lookup_vector(fs, parent, name, len, entry_out);
	case NODE_JSON:
		return lookup_text(fs, name, len, entry_out);
	case NODE_ROOT:
	case NODE_STATUS:
		return lookup_fixed(fs, parent, name, len, entry_out);
	default:
		return lookup_query(fs, parent, name, len, call, entry_out);
	}
}

/* --- listing --- */

static const char *const in_root[] = {"README", "vectors", "json", "query", "status", NULL};
static const char *const in_status[] = {"metrics", "errors", "config", "control", NULL};
static const char *const in_query[] = {"1", "10", "100", NULL};
static const char *const in_spec[] = {"run", "like", NULL};
static const char *const in_links[] = {"like", NULL};
static const char *const in_nothing[] = {NULL};

static const char *const *fixed_list(const struct node *node)
{
	switch (node->kind) {
	case NODE_ROOT:
		return in_root;
	case NODE_STATUS:
		return in_status;
	case NODE_QUERY:
		return in_query;
	case NODE_SPEC:
		return node->spec->format == QUERY_LINKS ? in_links : in_spec;
	default:
		return in_nothing;
	}
}

/* "." and ".."; false when there was no room. */
static bool list_dots(const struct node *node, uint64_t *cookie, dir_add add, void *ctx)
{
	struct dir_entry entry = {.st = {.st_mode = S_IFDIR}};

	for (; *cookie < COOKIE_FIRST; ++*cookie) {
		entry.st.st_ino = *cookie == 0 ? node->id : node->parent->id;
		if (*cookie == 1 && node->kind == NODE_ROOT)
			entry.st.st_ino = node->id;
		if (!add(ctx, *cookie == 0 ? "." : "..", &entry, *cookie + 1))
			return false;
	}
	return true;
}

/* Adds what is called name in a directory. *full_out: there was no room. */
static int list_name(struct fs *fs, struct node *node, const char *name, uint64_t next, bool plus,
		     struct call *call, dir_add add, void *ctx, bool *full_out)
{
	struct dir_entry entry;
	int rc = dir_lookup(fs, node, name, call, &entry);

	if (rc != 0)
		return rc;
	if (!plus) {
		inode_forget(fs->inodes, entry.id, 1);
		entry.node = NULL;
	}
	*full_out = !add(ctx, name, &entry, next);
	if (*full_out && plus)
		inode_forget(fs->inodes, entry.id, 1);
	return 0;
}

/* The questions below a spec, from the one after that number on; their cookies are base + number. */
static int list_named(struct fs *fs, struct node *spec, uint64_t after, uint64_t base, bool plus,
		      struct call *call, dir_add add, void *ctx)
{
	char name[FORMAT_ID_MAX + 1];
	bool full = false;
	int rc = 0;

	while (rc == 0 && !full && named_next(fs->named, spec->spec->ann.k, after, &after, name)) {
		rc = list_name(fs, spec, name, base + after, plus, call, add, ctx, &full);
		if (rc == ERR_ABSENT) /* removed just now */
			rc = 0;
	}
	return rc;
}

static int list_fixed(struct fs *fs, struct node *node, uint64_t at, bool plus, struct call *call,
		      dir_add add, void *ctx)
{
	const char *const *names = fixed_list(node);
	bool full = false;
	size_t n = 0;
	int rc = 0;

	while (names[n] != NULL)
		n++;
	for (; rc == 0 && !full && at < n; at++)
		rc = list_name(fs, node, names[at], at + COOKIE_FIRST + 1, plus, call, add, ctx,
			       &full);
	if (rc != 0 || full || node->kind != NODE_SPEC)
		return rc;
	return list_named(fs, node, at - n, COOKIE_FIRST + n, plus, call, add, ctx);
}

/*
 * Adds one vector, or its text: that without a node, as its size is not known before it is made.
 * Caller holds `names`. *full_out: there was no room.
 */
static int list_vector(struct fs *fs, const struct store_entry *found, bool text, uint64_t next,
		       bool plus, dir_add add, void *ctx, bool *full_out)
{
	struct dir_entry entry = {.timeout = DIR_TIMEOUT};
	int rc = 0;

	plus = plus && !text;
	if (plus)
		rc = inode_ref_vector(fs->inodes, found->ino, found->id, found->id_len, &entry.node,
				      &entry.id);
	if (rc != 0)
		return rc;
	attr_entry(fs, found, &entry.st);
	if (text)
		entry.st.st_ino += ATTR_TEXT_NUMBER;
	*full_out = !add(ctx, found->id, &entry, next);
	if (*full_out && plus)
		inode_forget(fs->inodes, entry.id, 1);
	return 0;
}

static int list_vectors(struct fs *fs, bool text, uint64_t cursor, bool plus, dir_add add,
			void *ctx)
{
	struct store_entry *entries = mem_alloc(LIST_BATCH * sizeof(*entries));
	uint64_t cursors[LIST_BATCH];
	size_t batch = LIST_FIRST, n = 0;
	bool full = false, end = false;
	int rc = entries != NULL ? 0 : ERR_NOMEM;

	for (; rc == 0 && !full && !end; batch = LIST_BATCH) {
		inode_names_read(fs->inodes);
		rc = ann_list(fs->ann, cursor, entries, cursors, batch, &n);
		for (size_t i = 0; rc == 0 && !full && i < n; i++)
			rc = list_vector(fs, &entries[i], text, cursors[i] + COOKIE_FIRST, plus,
					 add, ctx, &full);
		inode_names_unlock(fs->inodes);
		end = n < batch;
		if (n > 0)
			cursor = cursors[n - 1];
	}
	mem_free(entries);
	return rc;
}

int dir_list(struct fs *fs, struct node *node, const struct links *links, uint64_t cookie,
	     bool plus, struct call *call, dir_add add, void *ctx)
{
	int rc = dir_may_enter(fs, node, call);

	if (rc != 0 || !list_dots(node, &cookie, add, ctx))
		return rc;
	if (links != NULL) {
		links_list(links, node, cookie - COOKIE_FIRST, COOKIE_FIRST, add, ctx);
		return 0;
	}
	if (node->kind == NODE_VECTORS || node->kind == NODE_JSON)
		return list_vectors(fs, node->kind == NODE_JSON, cookie - COOKIE_FIRST, plus, add,
				    ctx);
	return list_fixed(fs, node, cookie - COOKIE_FIRST, plus, call, add, ctx);
}
