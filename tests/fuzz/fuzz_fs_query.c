/*
 * Names under /query: a spec that is taken is within its bounds and is taken again when it is
 * written down, a refused one has a sentence; components of a vector join to the same bytes.
 */
#include "fs/query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/mem.h"
#include "tests/fuzz/fuzz.h"

static const char *const formats[] = {"text", "json", "ids", "links"};

static void check_spec(const char *name, size_t len)
{
	struct query_spec spec, again;
	struct err_msg msg = {""};
	char text[256];
	int n, err = query_parse_spec(name, len, &spec, &msg);

	if (err != 0) {
		FUZZ_ASSERT(err == ERR_INVALID && msg.text[0] != '\0');
		return;
	}
	FUZZ_ASSERT(spec.ann.k >= 1 && spec.ann.k <= ANN_K_MAX);
	FUZZ_ASSERT(spec.ann.effort <= ANN_EFFORT_MAX && spec.format <= QUERY_LINKS);
	FUZZ_ASSERT(!spec.ann.has_max || isfinite(spec.ann.max));
	FUZZ_ASSERT(spec.ann.without == NULL && spec.ann.cancelled == NULL);
	n = snprintf(text, sizeof(text), "%u,format=%s%s", spec.ann.k, formats[spec.format],
		     spec.ann.exact ? ",exact" : "");
	if (spec.ann.effort != 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",effort=%u", spec.ann.effort);
	if (spec.ann.has_max)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",max=%.17g", spec.ann.max);
	FUZZ_ASSERT(query_parse_spec(text, (size_t)n, &again, &msg) == 0);
	FUZZ_ASSERT(again.ann.k == spec.ann.k && again.ann.effort == spec.ann.effort);
	FUZZ_ASSERT(again.ann.exact == spec.ann.exact && again.format == spec.format);
	FUZZ_ASSERT(again.ann.has_max == spec.ann.has_max && again.ann.max == spec.ann.max);
}

/* The input cut into components at '/': each extends what was there before. */
static void check_vector(const char *digits, size_t len, size_t max_bytes)
{
	struct query_vector vector = {0}, next;
	size_t from = 0;
	int err = 0;

	while (err == 0 && from <= len) {
		const char *slash = from < len ? memchr(digits + from, '/', len - from) : NULL;
		size_t part = slash != NULL ? (size_t)(slash - digits) - from : len - from;

		err = query_vector_extend(&vector, digits + from, part, max_bytes, &next);
		FUZZ_ASSERT(err == 0 || err == ERR_ABSENT);
		if (err == 0) {
			FUZZ_ASSERT(next.len > vector.len && next.len <= max_bytes);
			FUZZ_ASSERT(vector.len == 0 ||
				    memcmp(next.bytes, vector.bytes, vector.len) == 0);
			query_vector_release(&vector);
			vector = next;
		} else {
			FUZZ_ASSERT(next.bytes == NULL && next.len == 0);
		}
		from += part + 1;
	}
	query_vector_release(&vector);
}

static void check_class(const char *name, size_t len)
{
	struct query_vector vector;
	enum query_name class = query_classify(name, len);
	int err = query_vector_extend(NULL, name, len, 1024, &vector);

	/* what reads as a vector is classed as one */
	FUZZ_ASSERT(err != 0 || class == QUERY_NAME_HEX || class == QUERY_NAME_BASE64);
	FUZZ_ASSERT(class != QUERY_NAME_HEX || len > 2048 || err == 0);
	query_vector_release(&vector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t max_bytes = 4 * (size_t)(1 + fuzz_u8(&in)), len;
	char *name = (char *)fuzz_copy(&in, size, &len);

	check_spec(name, len);
	check_class(name, len);
	check_vector(name, len, max_bytes);
	free(name);
	return 0;
}
