/* lists.c - see lists.h. */
#include "tests/fuzz/lists.h"

#include <string.h>

#include "store/base.h"

uint32_t lists_make(struct fuzz_input *in, uint8_t *out)
{
	uint8_t n = fuzz_u8(in) % 8;
	uint32_t len = 0;

	for (uint8_t i = 0; i < n; i++) {
		uint8_t name = fuzz_u8(in), size = fuzz_u8(in);
		uint32_t name_len = 1 + name % 32u, value_len = size < 250 ? size : 2u * size - 100;
		struct format_xattr *head = (struct format_xattr *)(out + len);

		if (len + sizeof(*head) + name_len + value_len > LISTS_MAX)
			break;
		head->name_length[0] = (uint8_t)name_len;
		put_u16(head->value_length, (uint16_t)value_len);
		len += (uint32_t)sizeof(*head);
		memset(out + len, 'a' + i, name_len); /* so names ascend */
		memset(out + len + name_len, size, value_len);
		len += name_len + value_len;
	}
	return len;
}
