/*
 * format.h - every structure the store keeps on disk. docs/format.md says the same in prose.
 *
 * All numbers are little-endian. Fields are byte arrays read with get_u16/32/64 of base.h, so that
 * no structure depends on the machine's byte order or alignment. What is not named is zero.
 */
#ifndef VECFS_STORE_FORMAT_H
#define VECFS_STORE_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define FORMAT_VERSION 2u
#define FORMAT_BLOCK 4096u /* unit of space in the head object */
#define FORMAT_HEADER_AT 0u
#define FORMAT_SLOT_AT 4096u   /* commit slot 0; slot 1 follows */
#define FORMAT_PAGES_AT 16384u /* first byte that pages may use */
#define FORMAT_PAGE_MIN 4096u
#define FORMAT_PAGE_MAX 65536u
#define FORMAT_PAGE_DEFAULT 16384u
#define FORMAT_VALUE_MAX 65536u
#define FORMAT_ID_MAX 255u
#define FORMAT_XATTR_NAME_MAX 255u
/*
 * Extended attributes of an entry take this part of a page at most: buckets of few entries would need a
 * directory that grows faster than they do.
 */
#define FORMAT_XATTRS_SHARE 8u
/* No generation, LSN or segment number that was ever written is above; so counting on cannot wrap. */
#define FORMAT_COUNT_MAX (UINT64_MAX >> 3)

#define FORMAT_HEADER_MAGIC "vecfs\r\n\x1a"
#define FORMAT_SLOT_MAGIC "vecfslot"
#define FORMAT_SEGMENT_MAGIC "vecfswal"
#define FORMAT_PROOF_MAGIC "vecfsprf"
#define FORMAT_TRUNK_MAGIC 0x6b6e7274u	/* "trnk" */
#define FORMAT_BUCKET_MAGIC 0x74656b62u /* "bket" */
#define FORMAT_RECORD_MAGIC 0xfeedu

/* Static header: bytes 0-4095 of the head, written once. */
struct format_header {
	uint8_t magic[8];      /* 0 */
	uint8_t version[4];    /* 8 */
	uint8_t page_size[4];  /* 12: power of two, 4096 ... 65536 */
	uint8_t uuid[16];      /* 16 */
	uint8_t kind[4];       /* 32: for the layer above: the metric */
	uint8_t value_size[4]; /* 36: bytes of a value, 0 = learnt later, see slots */
	uint8_t id_seed[8];    /* 40: seed of the hash of ids */
	uint8_t kind_seed[8];  /* 48: for the layer above: seed of the codes */
	uint8_t shard[4];      /* 56: 0 */
	uint8_t shards[4];     /* 60: 1 */
	uint8_t zero[4024];    /* 64 */
	uint8_t checksum[8];   /* 4088: XXH3-64 of bytes 0-4087 */
};

/*
 * Spaces: arrays of logical pages, each with a page map of its own. The first four are published
 * by every checkpoint, the last three only together, by a graph flush.
 */
enum format_space {
	FORMAT_SPACE_VALUE = 0,	 /* values by slot number */
	FORMAT_SPACE_SLOT = 1,	 /* struct format_slot_entry by slot number */
	FORMAT_SPACE_DIR = 2,	 /* extendible hash directory: u32 bucket page numbers */
	FORMAT_SPACE_BUCKET = 3, /* hash buckets: ids with attributes */
	FORMAT_SPACE_GRAPH = 4,	 /* layer above: graph nodes by slot number */
	FORMAT_SPACE_CODE = 5,	 /* layer above: codes by slot number */
	FORMAT_SPACE_AUX = 6,	 /* layer above: what else the graph needs */
	FORMAT_SPACES = 7,
};

/*
 * A place packs where a stored page lies: bits 0-35 first 4 KiB block of the head, bits 36-53
 * stored bytes, bits 54-55 encoding, the rest zero. 0 = never written: the page reads as zeros.
 */
enum format_encoding {
	FORMAT_RAW = 0,	       /* stored bytes = page size */
	FORMAT_PLANES_LZ4 = 1, /* LZ4 of the page's bytes 0,4,8..., then 1,5,9..., 2,..., 3,... */
};

/* Page map leaf: page_size / 16 of these, for consecutive logical pages. */
struct format_map_entry {
	uint8_t place[8];    /* 0 */
	uint8_t checksum[8]; /* 8: XXH3-64 of the stored bytes, seeded: see page_seed() in page.h */
};

/* Page map inner page: page_size / 32 of these. Map pages are stored raw, twice. */
struct format_map_child {
	uint8_t place[2][8]; /* 0 */
	uint8_t checksum[8]; /* 16: the same for both copies */
	uint8_t zero[8];     /* 24 */
};

/* Root of one space's map, in the commit slot. height 0: no page was ever written. */
struct format_root {
	struct format_map_child top; /* 0: the root map page */
	uint8_t pages[4];	     /* 32: logical pages; none is at or above this number */
	uint8_t height[4];	     /* 36: levels of map pages, 0 ... 4; 1 = the root is a leaf */
	uint8_t zero[24];	     /* 40 */
};

#define FORMAT_SLOT_CLEAN 1u /* closed in order: no log is needed */

/* Commit slot: one 4 KiB block at 4096 and 8192; the valid one with the higher generation rules. */
struct format_slot {
	uint8_t magic[8];	  /* 0 */
	uint8_t version[4];	  /* 8 */
	uint8_t number[4];	  /* 12: 0 or 1 = generation & 1 */
	uint8_t uuid[16];	  /* 16 */
	uint8_t generation[8];	  /* 32 */
	uint8_t epoch[4];	  /* 40: writer epoch */
	uint8_t flags[4];	  /* 44 */
	uint8_t page_size[4];	  /* 48 */
	uint8_t kind[4];	  /* 52 */
	uint8_t value_size[4];	  /* 56: 0 = not learnt yet */
	uint8_t dir_depth[4];	  /* 60: the directory has 2^depth entries */
	uint8_t ckpt_lsn[8];	  /* 64: all records up to this are in the pages */
	uint8_t graph_lsn[8];	  /* 72: vectors up to this are linked or pending in the graph */
	uint8_t first_segment[8]; /* 80: recovery reads the log from here; 0: there is none */
	uint8_t blocks[8];	  /* 88: blocks of the head in use, from 0 to the last used one */
	uint8_t live[8];	  /* 96: vectors */
	uint8_t dead[8];	  /* 104: slots deleted but not yet released */
	uint8_t slots[8];	  /* 112: slot numbers ever used: 0 ... slots-1 */
	uint8_t next_ino[8];	  /* 120 */
	uint8_t buckets[4];	  /* 128: bucket pages */
	uint8_t zero0[4];	  /* 132 */
	uint8_t free_place[8];	  /* 136: first trunk of the free list */
	uint8_t free_checksum[8]; /* 144 */
	uint8_t free_blocks[8];	  /* 152: blocks the list names as free */
	uint8_t zero1[32];	  /* 160 */
	struct format_root roots[FORMAT_SPACES]; /* 192 */
	uint8_t zero2[3440];			 /* 640 */
	uint8_t checksum[16]; /* 4080: XXH3-128 of bytes 0-4079, low half first */
};

/* Free list trunk: one block, itself in space that was free. */
struct format_trunk {
	uint8_t magic[4];	  /* 0 */
	uint8_t count[4];	  /* 4: extents used below */
	uint8_t next_place[8];	  /* 8 */
	uint8_t next_checksum[8]; /* 16 */
	/* 24: bits 0-35 first block, 36-62 blocks, 63: still needed by the older slot */
	uint8_t extents[509][8];
};

enum format_slot_state {
	FORMAT_SLOT_FREE = 0,
	FORMAT_SLOT_LIVE = 1,
	FORMAT_SLOT_DEAD = 2, /* deleted or replaced; the graph may still point here */
};

/* What a slot holds; page_size / 16 a page. */
struct format_slot_entry {
	uint8_t id_hash[8];   /* 0 */
	uint8_t lsn_state[8]; /* 8: LSN of the write or deletion << 2 | enum format_slot_state */
};

/*
 * Head of a bucket page; entries follow at 16, packed, in no order. The table of tags ends where the
 * page ends and grows towards them: item i, at page_size - 4 - 4 * i, is that of the i-th entry.
 */
struct format_bucket {
	uint8_t magic[4]; /* 0 */
	uint8_t depth[4]; /* 4: leading hash bits that all entries share */
	uint8_t count[4]; /* 8: of entries and of tags */
	uint8_t used[4];  /* 12: bytes of entries */
};

struct format_tag {
	uint8_t hash[2]; /* 0: low 16 bits of the entry's hash */
	uint8_t at[2];	 /* 2: where the entry starts in the page, in units of 8 bytes */
};

/* An id and its attributes. Length: 48 + id + xattrs, rounded up to 8. */
struct format_entry {
	uint8_t hash[8];      /* 0: XXH3-64 of the id, seeded with id_seed */
	uint8_t ino[8];	      /* 8 */
	uint8_t mtime_ns[8];  /* 16: since 1970, signed */
	uint8_t slot[4];      /* 24 */
	uint8_t mode[4];      /* 28: permission bits */
	uint8_t uid[4];	      /* 32 */
	uint8_t gid[4];	      /* 36 */
	uint8_t length[2];    /* 40: of the whole entry */
	uint8_t xattrs[2];    /* 42: bytes of the list of extended attributes after the id */
	uint8_t id_length[1]; /* 44 */
	uint8_t zero[3];      /* 45 */
			      /* 48: id, xattrs, zeros */
};

/* One of a list of extended attributes, which ascend by name: this, the name, the value. */
struct format_xattr {
	uint8_t name_length[1];	 /* 0: 1 ... 255 */
	uint8_t value_length[2]; /* 1 */
};

/* Log segment: block 0. Records start at 8192. */
struct format_segment {
	uint8_t magic[8];   /* 0 */
	uint8_t version[4]; /* 8 */
	uint8_t epoch[4];   /* 12 */
	uint8_t uuid[16];   /* 16 */
	uint8_t seq[8];	    /* 32 */
	uint8_t salt[8];    /* 40: random; seeds the hashes of this segment's records */
	/*
	 * 48: in a segment with which a writer starts, the LSN of its first record: whatever
	 * earlier segments hold from this LSN on is void. 0 in a segment made ready for a switch:
	 * there the proof block tells.
	 */
	uint8_t first_lsn[8];
	uint8_t boot_id[16];   /* 56 */
	uint8_t created_ns[8]; /* 72: since 1970 */
	uint8_t zero[4008];    /* 80 */
	uint8_t checksum[8];   /* 4088: XXH3-64 of bytes 0-4087 */
};

/*
 * Log segment: block 1, zeros until the previous segment is durable. Proves that every record up to
 * last_lsn had reached the disk.
 */
struct format_proof {
	uint8_t magic[8];     /* 0 */
	uint8_t seq[8];	      /* 8: of the segment this block is in */
	uint8_t last_lsn[8];  /* 16 */
	uint8_t last_hash[8]; /* 24: self hash of the last record before this segment */
	uint8_t zero[4056];   /* 32 */
	uint8_t checksum[8];  /* 4088 */
};

#define FORMAT_RECORDS_AT 8192u

enum format_record_type {
	FORMAT_PUT = 1,
	FORMAT_DELETE = 2,
	FORMAT_RENAME = 3,
	FORMAT_SETATTR = 4,
	FORMAT_SETXATTR = 5,
	FORMAT_SYNC = 6, /* no payload: carries durable_lsn */
};

/* Record head; payload, zeros to a multiple of 8, then the self hash (8 bytes). */
struct format_record {
	uint8_t magic[2];	/* 0 */
	uint8_t type[1];	/* 2 */
	uint8_t zero0[1];	/* 3 */
	uint8_t length[4];	/* 4: of the payload */
	uint8_t lsn[8];		/* 8 */
	uint8_t durable_lsn[8]; /* 16: highest LSN known durable when this was written */
	uint8_t prev_hash[8]; /* 24: self hash of the record before, across segments; 0 at first */
	uint8_t epoch[4];     /* 32 */
	uint8_t zero1[4];     /* 36 */
	/* 40: payload; self hash = XXH3-64 of all before it, seed = salt ^ lsn */
};

/* Payload of PUT: this, the id padded to 8, the value. */
struct format_put {
	uint8_t ino[8];	       /* 0 */
	uint8_t mtime_ns[8];   /* 8 */
	uint8_t slot[4];       /* 16 */
	uint8_t mode[4];       /* 20 */
	uint8_t uid[4];	       /* 24 */
	uint8_t gid[4];	       /* 28 */
	uint8_t value_size[4]; /* 32 */
	uint8_t id_length[4];  /* 36 */
};

/* Payload of DELETE: the id. Payload of RENAME: this, both ids. */
struct format_rename {
	uint8_t flags[4];	/* 0: 1 = exchange */
	uint8_t from_length[2]; /* 4 */
	uint8_t to_length[2];	/* 6 */
};

/* Payload of SETATTR: this, the id. All fields are the new state. */
struct format_setattr {
	uint8_t mtime_ns[8];  /* 0 */
	uint8_t mode[4];      /* 8 */
	uint8_t uid[4];	      /* 12 */
	uint8_t gid[4];	      /* 16 */
	uint8_t id_length[4]; /* 20 */
};

/* Payload of SETXATTR: this, the id, the whole list of its extended attributes, as in an entry. */
struct format_setxattr {
	uint8_t list_length[4]; /* 0 */
	uint8_t id_length[4];	/* 4 */
};

static_assert(sizeof(struct format_header) == FORMAT_BLOCK, "header is one block");
static_assert(offsetof(struct format_header, checksum) == 4088, "header checksum");
static_assert(sizeof(struct format_map_entry) == 16, "map entry");
static_assert(sizeof(struct format_map_child) == 32, "map child");
static_assert(sizeof(struct format_root) == 64, "root");
static_assert(sizeof(struct format_slot) == FORMAT_BLOCK, "slot is one block");
static_assert(offsetof(struct format_slot, roots) == 192, "slot roots");
static_assert(offsetof(struct format_slot, checksum) == 4080, "slot checksum");
static_assert(sizeof(struct format_trunk) == FORMAT_BLOCK, "trunk is one block");
static_assert(sizeof(struct format_slot_entry) == 16, "slot entry");
static_assert(sizeof(struct format_bucket) == 16, "bucket head");
static_assert(sizeof(struct format_tag) == 4, "tag");
static_assert(FORMAT_PAGE_MAX / 8 <= UINT16_MAX, "a tag can name the start of any entry");
static_assert(sizeof(struct format_entry) == 48, "entry head");
static_assert(offsetof(struct format_entry, xattrs) == 42, "length of the list of an entry");
static_assert(sizeof(struct format_xattr) == 3, "extended attribute");
static_assert(4 * (sizeof(struct format_entry) + FORMAT_ID_MAX +
		   FORMAT_PAGE_MIN / FORMAT_XATTRS_SHARE + 7 + sizeof(struct format_tag)) <=
		      FORMAT_PAGE_MIN - sizeof(struct format_bucket),
	      "four of the longest entries fit in a bucket");
static_assert(sizeof(struct format_segment) == FORMAT_BLOCK, "segment header is one block");
static_assert(sizeof(struct format_proof) == FORMAT_BLOCK, "proof is one block");
static_assert(sizeof(struct format_record) == 40, "record head");
static_assert(sizeof(struct format_put) == 40, "put");
static_assert(sizeof(struct format_rename) == 8, "rename");
static_assert(sizeof(struct format_setattr) == 24, "setattr");
static_assert(sizeof(struct format_setxattr) == 8, "setxattr");

#endif
