/*
 * codec.c - byte planes and LZ4.
 *
 * split and join turn 8 values at once in 64-bit registers: bytes f0.0 f0.1 f0.2 f0.3 f1.0 ...
 * become four words that hold byte 0, 1, 2, 3 of f0 ... f7. Two rounds: pairs of values exchange
 * bytes, then pairs of pairs exchange 16-bit units.
 *
 * Dense embeddings save about 5 %, which never saves a block of a small page, and are the usual
 * case. So a trial comes first: eight pieces spread evenly over the page, together a quarter of it,
 * are compressed. Unless they save at least half of the share that the whole page has to save, the
 * page is given up. Half, because a small input has less to refer back to; spread, because a page
 * may be filled in part only. The cost of giving up is about a quarter of that of compressing.
 */
#include "store/codec.h"

#include <lz4.h>
#include <stdbool.h>

#include "store/base.h"
#include "store/err.h"
#include "store/format.h"

#define STEP 8 /* values turned at once */
#define TRIAL_PIECES 8
#define TRIAL_SHARE 4	/* the pieces are this part of a page */
#define TRIAL_FROM 4096 /* a shorter page is not worth a trial */

static const uint64_t EVEN8 = 0x00ff00ff00ff00ff;
static const uint64_t EVEN16 = 0x0000ffff0000ffff;

/* get_u64 and put_u64 in one instruction, which the compilers do not always make of them. */
static inline uint64_t load64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

static inline void store64(uint8_t *at, uint64_t v)
{
	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
		v = __builtin_bswap64(v);
	memcpy(at, &v, sizeof(v));
}

/* Units of a and b at even positions: a's stay, b's come behind them. */
static inline uint64_t evens(uint64_t a, uint64_t b, uint64_t mask, unsigned bits)
{
	return (a & mask) | (b & mask) << bits;
}

/* Units of a and b at odd positions: b's stay, a's come in front of them. */
static inline uint64_t odds(uint64_t a, uint64_t b, uint64_t mask, unsigned bits)
{
	return (a >> bits & mask) | (b & ~mask);
}

/*
 * Values 0 ... 7 lie in w0 ... w3, two a word. Values i and i + 4 must meet in a word, so that the
 * rounds bring them into order: a = 0 4, b = 1 5, c = 2 6, d = 3 7.
 */
static inline uint64_t lows(uint64_t v, uint64_t w)
{
	return (uint32_t)v | w << 32;
}

static inline uint64_t highs(uint64_t v, uint64_t w)
{
	return v >> 32 | (w & 0xffffffff00000000);
}

/* len / 4 values at in; plane p goes to planes + p * stride. */
static void split(const uint8_t *restrict in, size_t len, uint8_t *restrict planes, size_t stride)
{
	size_t n = len / 4;
	size_t i = 0;

	for (; i + STEP <= n; i += STEP) {
		const uint8_t *from = in + 4 * i;
		uint8_t *to = planes + i;
		uint64_t w0 = load64(from), w1 = load64(from + 8);
		uint64_t w2 = load64(from + 16), w3 = load64(from + 24);
		uint64_t a = lows(w0, w2), b = highs(w0, w2), c = lows(w1, w3), d = highs(w1, w3);
		uint64_t ab02 = evens(a, b, EVEN8, 8), ab13 = odds(a, b, EVEN8, 8);
		uint64_t cd02 = evens(c, d, EVEN8, 8), cd13 = odds(c, d, EVEN8, 8);

		store64(to, evens(ab02, cd02, EVEN16, 16));
		store64(to + stride, evens(ab13, cd13, EVEN16, 16));
		store64(to + 2 * stride, odds(ab02, cd02, EVEN16, 16));
		store64(to + 3 * stride, odds(ab13, cd13, EVEN16, 16));
	}
	for (size_t rest = n % STEP; rest > 0; rest--, i++)
		for (size_t p = 0; p < 4; p++)
			planes[p * stride + i] = in[4 * i + p];
}

/* The reverse of split, of planes that follow one another. */
static void join(const uint8_t *restrict planes, size_t len, uint8_t *restrict out)
{
	size_t n = len / 4;
	size_t i = 0;

	for (; i + STEP <= n; i += STEP) {
		const uint8_t *from = planes + i;
		uint8_t *to = out + 4 * i;
		uint64_t p0 = load64(from), p1 = load64(from + n);
		uint64_t p2 = load64(from + 2 * n), p3 = load64(from + 3 * n);
		uint64_t ab02 = evens(p0, p2, EVEN16, 16), cd02 = odds(p0, p2, EVEN16, 16);
		uint64_t ab13 = evens(p1, p3, EVEN16, 16), cd13 = odds(p1, p3, EVEN16, 16);
		uint64_t a = evens(ab02, ab13, EVEN8, 8), b = odds(ab02, ab13, EVEN8, 8);
		uint64_t c = evens(cd02, cd13, EVEN8, 8), d = odds(cd02, cd13, EVEN8, 8);

		store64(to, lows(a, b));
		store64(to + 8, lows(c, d));
		store64(to + 16, highs(a, b));
		store64(to + 24, highs(c, d));
	}
	for (size_t rest = n % STEP; rest > 0; rest--, i++)
		for (size_t p = 0; p < 4; p++)
			out[4 * i + p] = planes[p * n + i];
}

/* Whether compressing the whole page may fit in cap, judged by a part. Uses out and scratch. */
static bool worth_it(const uint8_t *page, size_t len, void *out, size_t cap, uint8_t *scratch)
{
	size_t piece = len / (TRIAL_PIECES * TRIAL_SHARE) & ~(size_t)3;
	size_t trial = piece * TRIAL_PIECES;
	size_t goal = trial - trial * (len - cap) / len / 2;

	for (size_t i = 0; i < TRIAL_PIECES; i++)
		split(page + (len / TRIAL_PIECES & ~(size_t)3) * i, piece, scratch + i * piece / 4,
		      trial / 4);
	if (goal > cap)
		goal = cap;
	return LZ4_compress_default((const char *)scratch, out, (int)trial, (int)goal) > 0;
}

size_t codec_compress(const void *page, size_t len, void *out, size_t cap, void *scratch)
{
	int size;

	if (len == 0 || len % 4 != 0 || len > FORMAT_PAGE_MAX || cap == 0)
		return 0;
	if (len >= TRIAL_FROM && cap < len && !worth_it(page, len, out, cap, scratch))
		return 0;
	if (cap > (size_t)LZ4_COMPRESSBOUND(FORMAT_PAGE_MAX))
		cap = (size_t)LZ4_COMPRESSBOUND(FORMAT_PAGE_MAX);
	split(page, len, scratch, len / 4);
	size = LZ4_compress_default(scratch, out, (int)len, (int)cap);
	return size > 0 ? (size_t)size : 0;
}

int codec_decompress(const void *in, size_t in_len, void *page, size_t len, void *scratch)
{
	if (len == 0 || len % 4 != 0 || len > FORMAT_PAGE_MAX)
		return ERR_DAMAGED;
	if (in_len > (size_t)LZ4_COMPRESSBOUND(FORMAT_PAGE_MAX))
		return ERR_DAMAGED;
	if (LZ4_decompress_safe(in, scratch, (int)in_len, (int)len) != (int)len)
		return ERR_DAMAGED;
	join(scratch, len, page);
	return 0;
}
