/* Names and numbers of vectors: what is taken may be stored, judged by a few naive lines. */
#include "ann/validate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* The code point at text + *at, or -1 when it is not written as RFC 3629 wants it. */
static long next_point(const uint8_t *text, size_t len, size_t *at)
{
	static const long least[] = {0, 0x80, 0x800, 0x10000};
	uint8_t lead = text[*at];
	unsigned more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : 3;
	long point = more == 0 ? lead : lead & (0x3f >> more);

	if (more == 3 && lead >> 3 != 30)
		return -1;
	for (unsigned i = 1; i <= more; i++) {
		if (*at + i >= len || text[*at + i] >> 6 != 2)
			return -1;
		point = point << 6 | (text[*at + i] & 0x3f);
	}
	*at += more + 1;
	if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return -1;
	return point;
}

static bool is_utf8(const uint8_t *text, size_t len)
{
	size_t at = 0;

	while (at < len)
		if (next_point(text, len, &at) < 0)
			return false;
	return true;
}

static void check_id(const char *id, size_t len)
{
	struct err_msg msg = {""};
	int err = ann_validate_id(id, len, &msg);
	bool utf8 = is_utf8((const uint8_t *)id, len);

	FUZZ_ASSERT(validate_utf8(id, len) == utf8);
	if (err != 0) {
		FUZZ_ASSERT(msg.text[0] != '\0');
		return;
	}
	FUZZ_ASSERT(utf8 && len >= 1 && len <= FORMAT_ID_MAX && memchr(id, '/', len) == NULL);
	FUZZ_ASSERT(!(len == 1 && id[0] == '.') && !(len == 2 && memcmp(id, "..", 2) == 0));
	for (size_t i = 0; i < len; i++)
		FUZZ_ASSERT((uint8_t)id[i] >= 0x20 && id[i] != 0x7f);
}

static void check_vector(const uint8_t *bytes, size_t len, uint32_t dim, enum ann_metric metric)
{
	size_t n = len / sizeof(float);
	float *vector = malloc(n * sizeof(float) + 1);
	struct err_msg msg = {""};
	size_t bad = n;
	bool zero = true;
	int err;

	memcpy(vector, bytes, n * sizeof(float));
	for (size_t i = n; i-- > 0;) {
		zero = zero && vector[i] == 0;
		if (!isfinite(vector[i]))
			bad = i;
	}
	FUZZ_ASSERT(validate_finite(vector, n) == bad);
	FUZZ_ASSERT(validate_zero(vector, n) == zero);
	err = validate_vector(dim, metric, vector, n, &msg);
	FUZZ_ASSERT(err == 0 || msg.text[0] != '\0');
	FUZZ_ASSERT(err == 0 || err == ERR_INVALID || err == ERR_TOO_BIG);
	if (err == 0)
		FUZZ_ASSERT(n > 0 && n <= ANN_DIM_MAX && bad == n && (dim == 0 || dim == n) &&
			    !(zero && metric == ANN_COSINE));
	free(vector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	enum ann_metric metric = (enum ann_metric)(1 + fuzz_u8(&in) % 3);
	uint32_t dim = fuzz_u8(&in);
	size_t len;
	uint8_t *bytes = fuzz_copy(&in, size, &len);

	check_id((const char *)bytes, len);
	check_vector(bytes, len, dim, metric);
	free(bytes);
	return 0;
}
