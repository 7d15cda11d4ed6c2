/*
 * readme.c - the text of /README: how to use this very mount, with commands that work when pasted.
 */
#include "fs/status.h"

#include <inttypes.h>

#include "fs/fs.h"
#include "fs/text.h"

/* A relative path of so many hex digits is below what one system call takes. */
#define HEX_DIM_MAX 480u
#define HEX_CHUNK 1000u /* digits a directory name takes on every kernel */

static const char *metric_words(enum ann_metric metric)
{
	switch (metric) {
	case ANN_COSINE:
		return "cosine: 1 - cos of the angle, 0 for the same direction";
	case ANN_L2:
		return "l2: the Euclidean distance";
	case ANN_IP:
		return "ip: minus the dot product";
	}
	return "unknown";
}

/* Commands that write two vectors, ones and first, each by one shell command. */
static void write_part(struct text *text, uint32_t dim)
{
	text_format(text,
		    "Write a vector: all ones, and one that points along the first axis\n\n"
		    "  printf '\\000\\000\\200\\077%%.0s' $(seq %" PRIu32
		    ") > vectors/readme-ones\n"
		    "  { printf '\\000\\000\\200\\077'; head -c %" PRIu32
		    " /dev/zero; } > vectors/readme-first\n\n",
		    dim, (dim - 1) * 4);
	text_string(text,
		    "Read one back, as numbers; each is also a file of JSON, to read or write\n\n"
		    "  od -An -v -tf4 vectors/readme-first | head -n 2\n"
		    "  cat json/readme-first\n"
		    "  sed -i 's/^\\[1/[2/' json/readme-first\n\n");
}

/* The kernel opens nothing for writing on a read-only mount, so not run either. */
static void query_part(struct text *text, uint32_t dim, const char *id, bool read_only)
{
	text_format(text,
		    "Ask for the 3 nearest neighbours of a stored vector\n\n"
		    "  cat query/3/like/%s\n\n",
		    id);
	if (!read_only)
		text_format(
			text,
			"of any vector, written to a descriptor and answered on it, as often as "
			"you like\n\n"
			"  exec 3<>query/3/run\n"
			"  cat vectors/%s >&3\n"
			"  cat <&3\n"
			"  exec 3>&-\n\n",
			id);
	if (dim <= HEX_DIM_MAX)
		text_format(
			text,
			"and of a vector given as hex digits in the path\n\n"
			"  cat query/3/$(od -An -v -tx1 vectors/%s | tr -d ' \\n' | fold -w %u | "
			"paste -sd / -)\n\n",
			id, HEX_CHUNK);
	text_string(text, "An answer has a line a neighbour: id, tab, distance. Options follow the "
			  "number of neighbours:\n"
			  "exact, effort=N, max=D, format=text|json|ids|links\n\n");
	text_format(text, "  cat query/3,exact,format=json/like/%s\n\n", id);
}

static void status_part(struct text *text, bool read_only)
{
	text_string(text, "Look after the mount\n\n"
			  "  head -n 40 status/metrics\n"
			  "  tail -n 5 status/errors\n"
			  "  cat status/config\n");
	if (!read_only)
		text_string(text, "  echo verify > status/control\n"
				  "  echo checkpoint > status/control\n"
				  "  rm vectors/readme-ones vectors/readme-first\n");
	text_string(text,
		    "\nEvery finished write is in the next answer. A write that is refused says "
		    "why in status/errors.\n");
}

int status_readme_text(struct fs *fs, char **text_out, size_t *len_out)
{
	uint32_t known = ann_dim(fs->ann) != 0 ? ann_dim(fs->ann) : fs->opts.dim;
	uint32_t dim = known != 0 ? known : 4;
	bool read_only = ann_read_only(fs->ann);
	struct text text;

	text_init(&text, 2560);
	text_string(&text,
		    "This directory is a vector database. Each file in vectors/ is one vector, "
		    "its name the id.\n");
	if (known != 0)
		text_format(&text,
			    "A vector here is %" PRIu32 " numbers: %" PRIu32
			    " bytes of little-endian float32.\n",
			    dim, dim * 4);
	else
		text_string(&text,
			    "The first vector written decides how many numbers a vector has; "
			    "the examples write 4.\n"
			    "A number is a little-endian float32.\n");
	text_format(&text, "The distance is %s.\n\n  cd ", metric_words(ann_get_metric(fs->ann)));
	text_shell(&text, fs->opts.mountpoint);
	text_string(&text, "\n\n");
	if (!read_only)
		write_part(&text, dim);
	else
		text_string(&text,
			    "The mount is read-only. ID below stands for a name in vectors/\n\n"
			    "  ID=$(ls vectors | head -n 1)\n\n");
	query_part(&text, dim, read_only ? "\"$ID\"" : "readme-ones", read_only);
	status_part(&text, read_only);
	return text_take(&text, text_out, len_out);
}
