/* Counters, the ring of errors, and the texts of a mount, over a real but empty collection. */
#include "fs/status.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/fs.h"
#include "store/mem.h"

#define DIM 4

static char folder[] = "/tmp/test_fs_status.XXXXXX";
static char store_path[64];
static struct fs fs;
static struct err_msg msg;

/* --- a mount without a mount --- */

static int begin(void **state)
{
	struct store_geometry geometry = {.value_size = DIM * 4, .kind = ANN_L2};
	struct store_opts store_opts = {.cache_bytes = 4 << 20};
	struct ann_opts ann_opts = {0};
	struct store_open_report report;
	struct store_io *io;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(store_path, sizeof(store_path), "%s/it's a store", folder);
	assert_int_equal(io_posix_new(store_path, &io, &msg), 0);
	assert_int_equal(store_create(io, &geometry, &msg), 0);
	io->ops->close(io);
	assert_int_equal(io_posix_new(store_path, &fs.io, &msg), 0);
	assert_int_equal(store_open(fs.io, &store_opts, &fs.store, &report, &msg), 0);
	assert_int_equal(ann_open(fs.store, &ann_opts, &fs.ann, NULL, &msg), 0);
	assert_int_equal(status_new(&fs.status), 0);
	fs.opts.store_path = store_path;
	fs.opts.mountpoint = "/it's here";
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	assert_int_equal(ann_close(fs.ann), 0);
	assert_int_equal(store_close(fs.store), 0);
	fs.io->ops->close(fs.io);
	status_free(fs.status);
	status_free(NULL);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

typedef int (*text_of)(struct fs *fs, char **text_out, size_t *len_out);

static char *text(text_of make)
{
	char *text_out;
	size_t len;

	assert_int_equal(make(&fs, &text_out, &len), 0);
	assert_int_equal(len, strlen(text_out));
	return text_out;
}

static void says(const char *in, const char *what)
{
	if (strstr(in, what) == NULL)
		fail_msg("'%s' is not in:\n%s", what, in);
}

/* --- counters --- */

#define THREADS 4
#define ROUNDS 10000

static void *count_much(void *argument)
{
	struct status *status = argument;

	for (int i = 0; i < ROUNDS; i++) {
		status_count(status, STATUS_OP_read);
		status_query_time(status, 1500, 1);
	}
	return NULL;
}

static void counters_count_from_all_threads(void **state)
{
	struct status *status;
	struct status_counters counters;
	pthread_t threads[THREADS];

	(void)state;
	assert_int_equal(status_new(&status), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_much, status), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	status_get_counters(status, &counters);
	assert_int_equal(counters.ops[STATUS_OP_read], THREADS * ROUNDS);
	assert_int_equal(counters.ops[STATUS_OP_write], 0);
	assert_int_equal(counters.queries, THREADS * ROUNDS);
	assert_int_equal(counters.query_ns, THREADS * ROUNDS * 1500ull);
	assert_int_equal(counters.query_times[0], THREADS * ROUNDS);
	status_reset(status);
	status_get_counters(status, &counters);
	assert_int_equal(counters.ops[STATUS_OP_read], 0);
	assert_int_equal(counters.queries, 0);
	assert_int_equal(counters.query_times[0], 0);
	status_free(status);
}

static void queries_fall_into_their_buckets(void **state)
{
	struct status *status;
	struct status_counters counters;

	(void)state;
	assert_int_equal(status_new(&status), 0);
	status_query_time(status, 20000, 1);	    /* exactly the first bound */
	status_query_time(status, 20001, 1);	    /* just above */
	status_query_time(status, 3000000000u, 3);  /* a batch: 1 s each */
	status_query_time(status, 11000000000u, 1); /* above all */
	status_query_time(status, 5, 0);	    /* no query */
	status_get_counters(status, &counters);
	assert_int_equal(counters.query_times[0], 1);
	assert_int_equal(counters.query_times[1], 1);
	for (size_t i = 2; i < STATUS_BOUNDS; i++)
		assert_int_equal(counters.query_times[i], status_bounds[i] == 1 ? 3 : 0);
	assert_int_equal(counters.query_times[STATUS_BOUNDS], 1);
	assert_int_equal(counters.queries, 6);
	status_free(status);
}

/* --- errors --- */

static void errors_are_one_line_each(void **state)
{
	char long_path[1000], *got;

	(void)state;
	status_error(fs.status, 1700000000123456789ull, "write", "vectors/a\tb\n\\", "EINVAL",
		     "got 10 bytes, a vector here is 16");
	got = text(status_errors_text);
	assert_string_equal(got,
			    "2023-11-14T22:13:20.123Z\twrite\tvectors/a\\x09b\\x0a\\\\\tEINVAL\t"
			    "got 10 bytes, a vector here is 16\n");
	mem_free(got);
	memset(long_path, 'f', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	memcpy(long_path + 319, "\xc3\xa9", 2); /* a character across the cut */
	status_error(fs.status, 0, "open", long_path, "ENOENT", "x");
	got = text(status_errors_text);
	says(got, "1970-01-01T00:00:00.000Z\topen\tffff");
	says(got, "fff...\tENOENT\tx\n");
	assert_null(strchr(got, '\xc3'));
	mem_free(got);
}

static void only_the_last_errors_stay(void **state)
{
	char sentence[32], *got, *line;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 2 * STATUS_ERRORS + 7; i++) {
		snprintf(sentence, sizeof(sentence), "number %u", i);
		status_error(fs.status, i, "op", "p", "EIO", sentence);
	}
	got = text(status_errors_text);
	for (line = strtok(got, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		snprintf(sentence, sizeof(sentence), "\tnumber %u", STATUS_ERRORS + 7 + n++);
		assert_string_equal(strrchr(line, '\t'), sentence);
	}
	assert_int_equal(n, STATUS_ERRORS);
	mem_free(got);
}

static bool always_fails(void *ctx)
{
	(void)ctx;
	return true;
}

static void lack_of_memory_loses_only_the_entry(void **state)
{
	static const text_of makers[] = {status_metrics_text, status_errors_text,
					 status_config_text, status_readme_text};
	struct status *status;
	struct status_counters counters;
	char *got;
	size_t len;

	(void)state;
	assert_int_equal(status_new(&status), 0);
	mem_set_fault(always_fails, NULL);
	status_error(status, 0, "op", "p", "EIO", "lost");
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		assert_int_equal(makers[i](&fs, &got, &len), ERR_NOMEM);
		assert_null(got);
	}
	mem_set_fault(NULL, NULL);
	status_get_counters(status, &counters);
	assert_int_equal(counters.errors, 0);
	status_free(status);
}

/* --- texts --- */

static void put_a_vector(const char *id)
{
	const float vector[DIM] = {1, 2, 3, 4};
	struct store_attr attr = {.mode = 0600};
	uint64_t ino;

	assert_int_equal(ann_put(fs.ann, id, strlen(id), vector, DIM, &attr, 0, &ino, &msg), 0);
}

/* Every sample follows its TYPE line, and is a name, perhaps labels, and a number. */
static void check_exposition(const char *metrics)
{
	char *copy = mem_strdup(metrics), *line, *rest = copy, *end_of_number;
	char type[128] = "";

	assert_non_null(copy);
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		char *space = strrchr(line, ' ');

		if (strncmp(line, "# HELP ", 7) == 0)
			continue;
		if (strncmp(line, "# TYPE ", 7) == 0) {
			snprintf(type, sizeof(type), "%.*s", (int)strcspn(line + 7, " "), line + 7);
			continue;
		}
		assert_memory_equal(line, type, strlen(type));
		assert_non_null(space);
		(void)strtod(space + 1, &end_of_number);
		assert_true(end_of_number > space + 1 && *end_of_number == '\0');
	}
	mem_free(copy);
}

static void metrics_are_complete(void **state)
{
	static const char *const expected[] = {
		"\nvecfs_vectors 1\n",
		"\nvecfs_vectors_pending ",
		"\nvecfs_cache_hit_rate ",
		"\nvecfs_cache_hit_rate{kind=\"graph\"} ",
		"\nvecfs_cache_hits_total{kind=\"vector\"} ",
		"\nvecfs_cache_misses_total{kind=\"map\"} ",
		"\nvecfs_cache_evictions_total{kind=\"graph\"} ",
		"\nvecfs_wal_bytes ",
		"\nvecfs_wal_syncs_total ",
		"\nvecfs_checkpoint_seconds_sum ",
		"\nvecfs_checkpoint_seconds_count ",
		"\nvecfs_query_seconds_bucket{le=\"0.001\"} 1\n",
		"\nvecfs_query_seconds_bucket{le=\"+Inf\"} 1\n",
		"\nvecfs_query_seconds_count 1\n",
		"\nvecfs_query_seconds_sum 0.0009\n",
		"\nvecfs_ops_total{op=\"lookup\"} 1\n",
		"\nvecfs_ops_total{op=\"control\"} 0\n",
		"\nvecfs_compression_ratio ",
		"\nvecfs_memory_bytes{part=\"codes\"} ",
		"\nvecfs_memory_bytes{part=\"resident\"} ",
		"\nvecfs_store_lsn ",
		"\nvecfs_store_generation ",
		"\nvecfs_store_file_bytes ",
	};
	char *got;

	(void)state;
	put_a_vector("one");
	status_reset(fs.status);
	status_count(fs.status, STATUS_OP_lookup);
	status_query_time(fs.status, 900000, 1);
	got = text(status_metrics_text);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		says(got, expected[i]);
	check_exposition(got);
	mem_free(got);
}

static void config_is_json(void **state)
{
	char *got = text(status_config_text);

	(void)state;
	says(got, "\"metric\": \"l2\"");
	says(got, "\"dim\": 4,");
	says(got, "\"mountpoint\": \"/it's here\"");
	says(got, "\"version\": \"");
	says(got, "\"cache_bytes\": ");
	assert_memory_equal(got, "{\n", 2);
	assert_string_equal(got + strlen(got) - 3, "\n}\n");
	mem_free(got);
}

static void readme_speaks_of_this_mount(void **state)
{
	char *got = text(status_readme_text);

	(void)state;
	says(got, "4 numbers: 16 bytes");
	says(got, "cd '/it'\\''s here'");
	says(got, "Euclidean");
	says(got, "head -c 12 /dev/zero");
	mem_free(got);
}

static int control(const char *line)
{
	msg.text[0] = '\0';
	struct call call = {.cancelled = NULL};
	int rc = status_control(&fs, line, strlen(line), &call);

	msg = call.msg;
	return rc;
}

static void control_obeys_its_words(void **state)
{
	struct status_counters counters;
	struct store_stats before, after;

	(void)state;
	put_a_vector("two");
	store_get_stats(fs.store, &before);
	assert_int_equal(control("checkpoint\n"), 0);
	store_get_stats(fs.store, &after);
	assert_true(after.generation > before.generation);
	assert_true(after.ckpt_lsn >= before.last_lsn);
	assert_int_equal(control(" drop-caches"), 0);
	status_count(fs.status, STATUS_OP_read);
	assert_int_equal(control("reset-metrics\n"), 0);
	status_get_counters(fs.status, &counters);
	assert_int_equal(counters.ops[STATUS_OP_read], 0);
	assert_int_equal(control("verify\n"), 0);
	assert_int_equal(control("verfy\n"), ERR_INVALID);
	says(msg.text, "verfy");
	says(msg.text, "checkpoint, verify, drop-caches or reset-metrics");
	assert_int_equal(control(""), ERR_INVALID);
	assert_int_equal(control("checkpoint now"), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_count_from_all_threads),
		cmocka_unit_test(queries_fall_into_their_buckets),
		cmocka_unit_test(errors_are_one_line_each),
		cmocka_unit_test(only_the_last_errors_stay),
		cmocka_unit_test(lack_of_memory_loses_only_the_entry),
		cmocka_unit_test(metrics_are_complete),
		cmocka_unit_test(config_is_json),
		cmocka_unit_test(readme_speaks_of_this_mount),
		cmocka_unit_test(control_obeys_its_words),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
