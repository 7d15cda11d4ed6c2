/*
 * picture.c - the SVG. Each image is an embedded PNG (RFC 2083) of one stored, uncompressed deflate
 * block (RFC 1951) with a zlib frame (RFC 1950), so no library is needed.
 */
#include "tests/demo/picture.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 28, CELL = 64, GAP = 10, LINE = 14, LEFT = 20, TOP = 64 };
enum { RAW = SIDE * (SIDE + 1), PNG_MAX = RAW + 128 };

static const char *const class_names[] = {"T-shirt", "trouser", "pullover", "dress", "coat",
					  "sandal",  "shirt",	"sneaker",  "bag",   "ankle boot"};

struct bytes {
	uint8_t at[PNG_MAX];
	size_t n;
};

static void add(struct bytes *to, const void *from, size_t n)
{
	memcpy(to->at + to->n, from, n);
	to->n += n;
}

static void add_u32(struct bytes *to, uint32_t v)
{
	uint8_t field[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	add(to, field, sizeof(field));
}

static uint32_t crc32_of(const uint8_t *at, size_t n)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		crc ^= at[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static uint32_t adler32_of(const uint8_t *at, size_t n)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < n; i++) {
		a = (a + at[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static void add_chunk(struct bytes *png, const char *type, const void *data, size_t n)
{
	size_t start;

	add_u32(png, (uint32_t)n);
	start = png->n;
	add(png, type, 4);
	add(png, data, n);
	add_u32(png, crc32_of(png->at + start, png->n - start));
}

/* A grey PNG of SIDE x SIDE pixels; dark things on white, as on paper. */
static void make_png(struct bytes *png, const uint8_t *pixels)
{
	static const uint8_t header[13] = {0, 0, 0, SIDE, 0, 0, 0, SIDE, 8, 0, 0, 0, 0};
	static const uint8_t zlib_begin[7] = {0x78,	  0x01,		  1, RAW & 255, RAW >> 8,
					      ~RAW & 255, ~RAW >> 8 & 255};
	struct bytes data = {.n = 0};
	uint8_t raw[RAW];

	for (int y = 0; y < SIDE; y++) {
		raw[y * (SIDE + 1)] = 0; /* no filter */
		for (int x = 0; x < SIDE; x++)
			raw[y * (SIDE + 1) + 1 + x] = (uint8_t)(255 - pixels[y * SIDE + x]);
	}
	add(&data, zlib_begin, sizeof(zlib_begin));
	add(&data, raw, sizeof(raw));
	add_u32(&data, adler32_of(raw, sizeof(raw)));
	png->n = 0;
	add(png, "\x89PNG\r\n\x1a\n", 8);
	add_chunk(png, "IHDR", header, sizeof(header));
	add_chunk(png, "IDAT", data.at, data.n);
	add_chunk(png, "IEND", "", 0);
}

static void put_base64(FILE *out, const struct bytes *bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < bytes->n; i += 3) {
		size_t left = bytes->n - i;
		uint32_t v = (uint32_t)bytes->at[i] << 16;

		if (left > 1)
			v |= (uint32_t)bytes->at[i + 1] << 8;
		if (left > 2)
			v |= bytes->at[i + 2];
		fputc(digits[v >> 18], out);
		fputc(digits[v >> 12 & 63], out);
		fputc(left > 1 ? digits[v >> 6 & 63] : '=', out);
		fputc(left > 2 ? digits[v & 63] : '=', out);
	}
}

static void put_image(FILE *out, const struct idx *images, size_t i, int x, int y)
{
	struct bytes png;

	make_png(&png, images->bytes + i * images->size);
	fprintf(out,
		"<image x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
		"href=\"data:image/png;base64,",
		x, y, CELL, CELL);
	put_base64(out, &png);
	fputs("\"/>\n", out);
}

static void put_text(FILE *out, int x, int y, const char *fill, const char *text)
{
	fprintf(out, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", x, y, fill, text);
}

static const char *name_of(const struct idx *labels, size_t i)
{
	return class_names[labels->bytes[i] % 10];
}

static void put_row(FILE *out, const struct picture *picture, const struct picture_row *row, int y)
{
	const char *name = name_of(picture->test_labels, row->query);

	put_image(out, picture->test, row->query, LEFT, y);
	put_text(out, LEFT + CELL / 2, y + CELL + LINE - 2, "#000", name);
	for (int i = 0; i < TRUTH_K; i++) {
		size_t n = row->neighbours[i];
		const char *other = name_of(picture->train_labels, n);
		int x = LEFT + 30 + (i + 1) * (CELL + GAP);
		char distance[32];

		put_image(out, picture->train, n, x, y);
		put_text(out, x + CELL / 2, y + CELL + LINE - 2, other == name ? "#070" : "#b00",
			 other);
		snprintf(distance, sizeof(distance), "%.0f", row->distances[i]);
		put_text(out, x + CELL / 2, y + CELL + 2 * LINE - 4, "#777", distance);
	}
}

int picture_write(const struct picture *picture, const char *path)
{
	int row_height = CELL + 2 * LINE + GAP;
	int width = 2 * LEFT + 30 + (TRUTH_K + 1) * (CELL + GAP);
	int height = TOP + (int)picture->n_rows * row_height;
	FILE *out = fopen(path, "w");
	bool written;

	if (out == NULL) {
		perror(path);
		return -1;
	}
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"font-family=\"sans-serif\" font-size=\"11\" text-anchor=\"middle\">\n"
		"<style>image { image-rendering: pixelated; }</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
		"<text x=\"%d\" y=\"26\" font-size=\"16\" text-anchor=\"start\">Test images (left) and "
		"the ten nearest of %zu, as the mount answered</text>\n"
		"<text x=\"%d\" y=\"46\" fill=\"#777\" text-anchor=\"start\">kind (green: the same as "
		"the query's) and Euclidean distance below each</text>\n",
		width, height, LEFT, picture->train->count, LEFT);
	for (size_t i = 0; i < picture->n_rows; i++)
		put_row(out, picture, &picture->rows[i], TOP + (int)i * row_height);
	fputs("</svg>\n", out);
	written = !ferror(out);
	if (fclose(out) != 0 || !written) {
		perror(path);
		return -1;
	}
	return 0;
}
