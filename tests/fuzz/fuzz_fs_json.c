/*
 * Vectors as text: whatever is taken has the numbers it counts, all finite, and reads back from what
 * is written of them; what is refused has a sentence.
 */
#include "fs/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/mem.h"
#include "tests/fuzz/fuzz.h"

#define CAP 64

static void check_text(const char *text, size_t len)
{
	float numbers[CAP], again[CAP];
	struct json_vector vector, second;
	struct err_msg msg = {""};
	char *out = NULL;
	size_t n, size;
	int rc = json_read(text, len, numbers, CAP, &vector, &msg);

	if (rc != 0) {
		FUZZ_ASSERT(rc == ERR_INVALID && msg.text[0] != '\0');
		return;
	}
	FUZZ_ASSERT(vector.n <= len && !(vector.closed && vector.open));
	n = vector.n < CAP ? vector.n : CAP;
	for (size_t i = 0; i < n; i++)
		FUZZ_ASSERT(isfinite(numbers[i]));
	FUZZ_ASSERT(json_write(numbers, n, &out, &size) == 0 && json_size(numbers, n) == size);
	FUZZ_ASSERT(json_read(out, size, again, CAP, &second, &msg) == 0);
	FUZZ_ASSERT(second.n == n && second.closed && !second.open);
	FUZZ_ASSERT(memcmp(numbers, again, n * sizeof(float)) == 0);
	mem_free(out);
}

static void check_bits(struct fuzz_input *in)
{
	float numbers[CAP], again[CAP];
	struct json_vector vector;
	struct err_msg msg;
	char *out = NULL;
	size_t n = 0, size;

	while (n < CAP && in->left > 0) {
		uint32_t bits = fuzz_u32(in);

		memcpy(&numbers[n], &bits, sizeof(bits));
		n += isfinite(numbers[n]);
	}
	FUZZ_ASSERT(json_write(numbers, n, &out, &size) == 0 && json_size(numbers, n) == size);
	FUZZ_ASSERT(json_read(out, size, again, CAP, &vector, &msg) == 0 && vector.n == n);
	FUZZ_ASSERT(memcmp(numbers, again, n * sizeof(float)) == 0);
	mem_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check_text(text, size);
	check_bits(&in);
	free(text);
	return 0;
}
