/*
 * Names in answers: whatever bytes an id has, its JSON is one string that reads back as it, an
 * escaped one is one field of one line, and a word for a shell is one word. Answers are rendered
 * whole in each format.
 */
#include "fs/text.h"

#include <stdlib.h>
#include <string.h>

#include "fs/query.h"
#include "store/mem.h"
#include "tests/fuzz/fuzz.h"

/* Four hex digits as a byte; -1 when they are more than that. */
static int hex4(const char *at)
{
	char digits[5] = {0};
	char *end;
	unsigned long value;

	memcpy(digits, at, 4);
	value = strtoul(digits, &end, 16);
	return *end == '\0' && value < 256 ? (int)value : -1;
}

static void check_json(const char *bytes, size_t len)
{
	struct text text;
	char *out;
	size_t n, at = 1, i = 0;

	text_init(&text, 8);
	text_json(&text, bytes, len);
	FUZZ_ASSERT(text_take(&text, &out, &n) == 0);
	FUZZ_ASSERT(n >= 2 && out[0] == '"' && out[n - 1] == '"' && out[n] == '\0');
	for (; at < n - 1; at++, i++) {
		int c = (uint8_t)out[at];

		FUZZ_ASSERT(c >= 0x20 && c != 0x7f && c != '"' && i < len);
		if (c == '\\' && out[at + 1] == 'u') {
			FUZZ_ASSERT(at + 6 <= n - 1);
			c = hex4(out + at + 2);
			at += 5;
		} else if (c == '\\') {
			c = (uint8_t)out[++at];
			FUZZ_ASSERT(at < n - 1 && (c == '"' || c == '\\'));
		}
		FUZZ_ASSERT(c == (uint8_t)bytes[i]);
	}
	FUZZ_ASSERT(i == len);
	mem_free(out);
}

static void check_escaped(const char *bytes, size_t len)
{
	struct text text;
	char *out;
	size_t n;

	text_init(&text, 0);
	text_escaped(&text, bytes, len);
	FUZZ_ASSERT(text_take(&text, &out, &n) == 0 && n >= len);
	for (size_t i = 0; i < n; i++)
		FUZZ_ASSERT((uint8_t)out[i] >= 0x20 && out[i] != 0x7f);
	mem_free(out);
}

static void check_shell(const char *string)
{
	struct text text;
	char *out;
	size_t n, i = 0;
	bool quoted = false;

	text_init(&text, 4);
	text_shell(&text, string);
	FUZZ_ASSERT(text_take(&text, &out, &n) == 0);
	for (size_t at = 0; at < n; at++) {
		if (out[at] == '\'') {
			quoted = !quoted;
			continue;
		}
		if (!quoted) {
			FUZZ_ASSERT(out[at] == '\\' && out[at + 1] == '\'');
			at++;
		}
		FUZZ_ASSERT(out[at] == string[i]);
		i++;
	}
	FUZZ_ASSERT(!quoted && string[i] == '\0');
	mem_free(out);
}

static void check_answer(struct fuzz_input *in, char *ids, size_t len)
{
	struct ann_hit hits[8] = {{0}};
	size_t first[4] = {0};
	struct ann_answer answer = {.first = first, .hits = hits, .ids = ids};
	size_t n_hits = len > 0 ? fuzz_u8(in) % 9 : 0;
	char *out;
	size_t n;

	answer.n_queries = fuzz_u8(in) % 4;
	for (size_t i = 0; i < n_hits; i++) {
		uint64_t bits = fuzz_u64(in);

		memcpy(&hits[i].distance, &bits, sizeof(bits));
		hits[i].id_at = fuzz_u16(in) % (uint32_t)len;
		hits[i].id_len = fuzz_u8(in);
		if (hits[i].id_len > len - hits[i].id_at)
			hits[i].id_len = (uint16_t)(len - hits[i].id_at);
	}
	for (size_t i = 0; i < answer.n_queries; i++)
		first[i + 1] = first[i] + fuzz_u8(in) % (n_hits - first[i] + 1);
	for (enum query_format format = QUERY_TEXT; format <= QUERY_LINKS; format++) {
		FUZZ_ASSERT(query_render(&answer, format, fuzz_u8(in) % 2, &out, &n) == 0);
		FUZZ_ASSERT(out[n] == '\0' && strlen(out) <= n);
		mem_free(out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t half = fuzz_u8(&in), len;
	char *bytes = (char *)fuzz_copy(&in, half, &len);
	char *string = malloc(len + 1);

	memcpy(string, bytes, len);
	string[len] = '\0';
	check_json(bytes, len);
	check_escaped(bytes, len);
	check_shell(string);
	check_answer(&in, bytes, len);
	free(string);
	free(bytes);
	return 0;
}
