/*
 * base.h - bytes and bits that every file of the store needs: little-endian fields, rounding.
 */
#ifndef VECFS_STORE_BASE_H
#define VECFS_STORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_u16(void *at, uint16_t v)
{
	uint8_t *p = at;

	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_u32(void *at, uint32_t v)
{
	put_u16(at, (uint16_t)v);
	put_u16((uint8_t *)at + 2, (uint16_t)(v >> 16));
}

static inline void put_u64(void *at, uint64_t v)
{
	put_u32(at, (uint32_t)v);
	put_u32((uint8_t *)at + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_u16(const void *at)
{
	const uint8_t *p = at;

	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_u32(const void *at)
{
	return get_u16(at) | (uint32_t)get_u16((const uint8_t *)at + 2) << 16;
}

static inline uint64_t get_u64(const void *at)
{
	return get_u32(at) | (uint64_t)get_u32((const uint8_t *)at + 4) << 32;
}

/* unit: a power of two */
static inline uint64_t round_up(uint64_t v, uint64_t unit)
{
	return (v + unit - 1) & ~(unit - 1);
}

static inline bool is_power_of_two(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

static inline bool all_zero(const void *at, size_t len)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

#endif
