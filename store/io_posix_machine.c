/* io_posix_machine.c - what the POSIX back end knows of the machine: its clocks and its boot. */
#include "store/io_posix.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t io_posix_now_ns(struct store_io *io, enum store_clock clock)
{
	struct timespec ts = {0};

	(void)io; /* all share the clocks */
	/* fails only for a clock that does not exist */
	(void)clock_gettime(clock == STORE_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void io_posix_wait(struct store_io *io, pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ns)
{
	struct timespec until = {0};

	(void)io; /* all share the clocks */
	/* not the clock that people set: back by an hour, and what is due now would wait an hour */
	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* it exists */
	until.tv_sec += (time_t)(ns / 1000000000u);
	until.tv_nsec += (long)(ns % 1000000000u);
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	/* woken or late: the caller looks */
	(void)pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &until);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The file holds "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx". */
void io_posix_boot_id(struct store_io *io, uint8_t id_out[16])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[40] = {0};
	size_t got = 0, digits = 0;

	(void)io; /* the machine has one */
	memset(id_out, 0, 16);
	if (fd < 0)
		return;
	/* a short text, also after an error, means: not known */
	(void)io_posix_read_at(fd, 0, text, sizeof(text) - 1, &got);
	(void)close(fd); /* opened for reading */
	for (size_t i = 0; i < got && digits < 32; i++) {
		int digit = hex_digit(text[i]);

		if (digit >= 0) {
			id_out[digits / 2] = (uint8_t)(id_out[digits / 2] << 4 | digit);
			digits++;
		}
	}
	if (digits != 32)
		memset(id_out, 0, 16);
}
