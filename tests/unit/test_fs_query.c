/* The text side of queries: names, options, digits, answers. */
#include "fs/query.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/mem.h"

static unsigned seed;

static bool always_fails(void *ctx)
{
	(void)ctx;
	return true;
}

/* --- options --- */

static int parse(const char *name, struct query_spec *spec, struct err_msg *msg)
{
	msg->text[0] = '\0';
	return query_parse_spec(name, strlen(name), spec, msg);
}

static void good_specs_parse(void **state)
{
	struct query_spec spec;
	struct err_msg msg;

	(void)state;
	assert_int_equal(parse("10", &spec, &msg), 0);
	assert_int_equal(spec.ann.k, 10);
	assert_int_equal(spec.ann.effort, 0);
	assert_false(spec.ann.exact);
	assert_false(spec.ann.has_max);
	assert_null(spec.ann.without);
	assert_int_equal(spec.format, QUERY_TEXT);
	assert_int_equal(parse("10000,format=json,exact,max=-2.5e-1,effort=100000", &spec, &msg),
			 0);
	assert_int_equal(spec.ann.k, 10000);
	assert_int_equal(spec.ann.effort, 100000);
	assert_true(spec.ann.exact);
	assert_true(spec.ann.has_max);
	assert_true(spec.ann.max == -0.25);
	assert_int_equal(spec.format, QUERY_JSON);
	assert_int_equal(parse("1,format=ids,max=.5", &spec, &msg), 0);
	assert_int_equal(spec.format, QUERY_IDS);
	assert_true(spec.ann.max == 0.5);
	assert_int_equal(parse("1,format=links", &spec, &msg), 0);
	assert_int_equal(spec.format, QUERY_LINKS);
	/* The length counts, not a terminator. */
	assert_int_equal(query_parse_spec("12345", 2, &spec, &msg), 0);
	assert_int_equal(spec.ann.k, 12);
}

static void bad_specs_are_refused_by_name(void **state)
{
	static const char *const bad[][2] = {
		{"", "number of neighbours"},
		{"0", "number of neighbours"},
		{"01", "number of neighbours"},
		{"+1", "number of neighbours"},
		{"10001", "10001"},
		{"99999999999999999999999", "1 ... 10000"},
		{"ten", "ten"},
		{"10,", "option"},
		{"10,,exact", "option"},
		{"10,exact=1", "exact=1"},
		{"10,exact,exact", "twice"},
		{"10,effort=1,effort=2", "twice"},
		{"10,effort", "effort"},
		{"10,effort=", "effort="},
		{"10,effort=0", "effort=0"},
		{"10,effort=100001", "1 ... 100000"},
		{"10,max=", "max="},
		{"10,max=nan", "max=nan"},
		{"10,max=inf", "max=inf"},
		{"10,max=1e999", "max=1e999"},
		{"10,max=0x10", "max=0x10"},
		{"10,max=1e", "max=1e"},
		{"10,max=.", "max=."},
		{"10,max=1 ", "max=1 "},
		{"10,format=link", "format=link is not known"},
		{"10,format=", "text, json, ids or links"},
		{"10,colour=red", "colour=red"},
	};
	struct query_spec spec;
	struct err_msg msg;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i][0], &spec, &msg) != ERR_INVALID)
			fail_msg("'%s' was taken", bad[i][0]);
		if (strstr(msg.text, bad[i][1]) == NULL)
			fail_msg("'%s': '%s' does not say '%s'", bad[i][0], msg.text, bad[i][1]);
	}
}

static void names_are_classified(void **state)
{
	static const struct {
		const char *name;
		enum query_name expected;
	} names[] = {
		{"00ff", QUERY_NAME_HEX},	 {"00fF", QUERY_NAME_HEX},
		{"b64:AAAA", QUERY_NAME_BASE64}, {"b64:", QUERY_NAME_BASE64},
		{"run", QUERY_NAME_RUN},	 {"like", QUERY_NAME_LIKE},
		{"0", QUERY_NAME_OTHER},	 {"", QUERY_NAME_OTHER},
		{"runs", QUERY_NAME_OTHER},	 {"00g0", QUERY_NAME_OTHER},
		{"B64:AAAA", QUERY_NAME_OTHER},	 {"b64", QUERY_NAME_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (query_classify(names[i].name, strlen(names[i].name)) != names[i].expected)
			fail_msg("'%s'", names[i].name);
}

/* --- digits over components --- */

static int extend(struct query_vector *vector, const char *name, size_t max)
{
	struct query_vector next;
	int rc = query_vector_extend(vector, name, strlen(name), max, &next);

	if (rc != 0) {
		assert_null(next.bytes);
		return rc;
	}
	query_vector_release(vector);
	*vector = next;
	return 0;
}

static void split_hex_grows(void **state)
{
	struct query_vector vector = {0};

	(void)state;
	assert_int_equal(query_vector_extend(NULL, "0011", 4, 8, &vector), 0);
	assert_int_equal(extend(&vector, "22", 8), 0);
	assert_int_equal(extend(&vector, "334455", 8), 0);
	assert_int_equal(vector.len, 6);
	assert_false(vector.base64);
	assert_memory_equal(vector.bytes, "\x00\x11\x22\x33\x44\x55", 6);
	assert_int_equal(extend(&vector, "667788", 8), ERR_ABSENT); /* too long */
	assert_int_equal(extend(&vector, "6", 8), ERR_ABSENT);
	assert_int_equal(extend(&vector, "", 8), ERR_ABSENT);
	assert_int_equal(extend(&vector, "xx", 8), ERR_ABSENT);
	assert_int_equal(extend(&vector, "b64:AAAA", 100), ERR_ABSENT);
	assert_int_equal(vector.len, 6);
	assert_int_equal(extend(&vector, "6677", 8), 0);
	assert_int_equal(vector.len, 8);
	query_vector_release(&vector);
	query_vector_release(&vector);
	query_vector_release(NULL);
}

static void split_base64_grows(void **state)
{
	struct query_vector vector = {0};

	(void)state;
	assert_int_equal(extend(&vector, "b64:", 8), ERR_ABSENT);
	assert_int_equal(extend(&vector, "b64:A", 8), ERR_ABSENT);
	assert_int_equal(extend(&vector, "b64:AAE-", 8), 0);
	assert_true(vector.base64);
	assert_int_equal(extend(&vector, "b64:AAAA", 8), ERR_ABSENT); /* only the first has it */
	assert_int_equal(extend(&vector, "__", 4), ERR_ABSENT);	      /* unused bits */
	assert_int_equal(extend(&vector, "_w", 8), 0);
	assert_int_equal(vector.len, 4);
	assert_memory_equal(vector.bytes, "\x00\x01\x3e\xff", 4);
	assert_int_equal(extend(&vector, "AAAA", 4), ERR_ABSENT); /* too long */
	query_vector_release(&vector);
}

/* Cut at each even length, in two and in three parts: the same bytes, and whole only at the end. */
static void base64_is_cut_anywhere(void **state)
{
	static const char digits[] = "_wABgP7-_yE8QA",
			  bytes[] = "\xff\x00\x01\x80\xfe\xfe\xff\x21\x3c\x40";
	const size_t len = sizeof(digits) - 1, size = sizeof(bytes) - 1;

	(void)state;
	for (size_t a = 2; a < len; a += 2)
		for (size_t b = a + 2; b <= len; b += 2) {
			struct query_vector vector = {0};
			char part[32];

			snprintf(part, sizeof(part), "b64:%.*s", (int)a, digits);
			assert_int_equal(extend(&vector, part, size), 0);
			snprintf(part, sizeof(part), "%.*s", (int)(b - a), digits + a);
			assert_int_equal(extend(&vector, part, size), 0);
			assert_true(vector.open || vector.len == b * 6 / 8);
			if (b < len)
				assert_int_equal(extend(&vector, digits + b, size), 0);
			assert_false(vector.open);
			assert_int_equal(vector.len, size);
			assert_memory_equal(vector.bytes, bytes, size);
			query_vector_release(&vector);
		}
}

static void base64_ends_once(void **state)
{
	struct query_vector vector = {0};

	(void)state;
	assert_int_equal(extend(&vector, "b64:__", 8), 0);
	assert_true(vector.open);
	assert_int_equal(extend(&vector, "B", 8), ERR_ABSENT);	 /* bits that no byte has */
	assert_int_equal(extend(&vector, "AAA", 8), ERR_ABSENT); /* 4n + 1 */
	assert_int_equal(extend(&vector, "8", 8), 0);
	assert_false(vector.open);
	assert_int_equal(vector.len, 2);
	assert_memory_equal(vector.bytes, "\xff\xff", 2);
	assert_int_equal(extend(&vector, "AA", 8), ERR_ABSENT); /* an odd number was the end */
	query_vector_release(&vector);
}

static void extending_survives_lack_of_memory(void **state)
{
	struct query_vector vector;

	(void)state;
	mem_set_fault(always_fails, NULL);
	assert_int_equal(query_vector_extend(NULL, "0011", 4, 8, &vector), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_null(vector.bytes);
}

/* --- answers --- */

static const char ids[] = "aa\"\\\nb\xc3\xa9";
static struct ann_hit hits[] = {
	{.distance = 0.25, .id_at = 0, .id_len = 1},
	{.distance = 1.5e10, .id_at = 1, .id_len = 1},
	{.distance = -3, .id_at = 2, .id_len = 6},
};
static size_t first[] = {0, 2, 2, 3};
static const struct ann_answer three = {
	.n_queries = 3, .first = first, .hits = hits, .ids = (char *)ids};

static void renders_as(const struct ann_answer *answer, enum query_format format, bool batch,
		       const char *expected)
{
	char *text;
	size_t len;

	assert_int_equal(query_render(answer, format, batch, &text, &len), 0);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
	mem_free(text);
}

static void answers_render(void **state)
{
	static size_t nothing[] = {0, 0};
	const struct ann_answer none = {0}, empty = {.n_queries = 1, .first = nothing};

	(void)state;
	renders_as(&three, QUERY_TEXT, false, "a\t0.25\na\t1.5e+10\n\"\\\nb\xc3\xa9\t-3\n");
	renders_as(&three, QUERY_TEXT, true, "0\ta\t0.25\n0\ta\t1.5e+10\n2\t\"\\\nb\xc3\xa9\t-3\n");
	renders_as(&three, QUERY_IDS, false, "a\na\n\"\\\nb\xc3\xa9\n");
	renders_as(&three, QUERY_IDS, true, "0\ta\n0\ta\n2\t\"\\\nb\xc3\xa9\n");
	renders_as(&three, QUERY_LINKS, false, "001-a\n002-a\n001-\"\\\nb\xc3\xa9\n");
	renders_as(&three, QUERY_LINKS, true, "0-001-a\n0-002-a\n2-001-\"\\\nb\xc3\xa9\n");
	renders_as(&three, QUERY_JSON, true,
		   "[{\"id\":\"a\",\"distance\":0.25},{\"id\":\"a\",\"distance\":1.5e+10}]\n"
		   "[]\n"
		   "[{\"id\":\"\\\"\\\\\\u000ab\xc3\xa9\",\"distance\":-3}]\n");
	renders_as(&none, QUERY_TEXT, false, "");
	renders_as(&empty, QUERY_TEXT, false, "");
	renders_as(&empty, QUERY_JSON, false, "[]\n");
}

/* A piece that begins with any query of a batch. */
static void pieces_render(void **state)
{
	struct ann_found found[2] = {{hits, 2, ids}, {hits + 2, 1, ids}};
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(query_render_found(found, 2, 41, QUERY_TEXT, &text, &len), 0);
	assert_string_equal(text, "41\ta\t0.25\n41\ta\t1.5e+10\n42\t\"\\\nb\xc3\xa9\t-3\n");
	assert_int_equal(len, strlen(text));
	mem_free(text);
	assert_int_equal(query_render_found(found, 1, 0, QUERY_IDS, &text, &len), 0);
	assert_string_equal(text, "0\ta\n0\ta\n");
	mem_free(text);
	found[1].n = 0;
	assert_int_equal(query_render_found(found + 1, 1, 7, QUERY_JSON, &text, &len), 0);
	assert_string_equal(text, "[]\n");
	mem_free(text);
}

static void rendering_survives_lack_of_memory(void **state)
{
	const struct ann_found found = {hits, 2, ids};
	char *text;
	size_t len;

	(void)state;
	mem_set_fault(always_fails, NULL);
	assert_int_equal(query_render(&three, QUERY_TEXT, false, &text, &len), ERR_NOMEM);
	assert_null(text);
	assert_int_equal(query_render_found(&found, 1, 0, QUERY_TEXT, &text, &len), ERR_NOMEM);
	mem_set_fault(NULL, NULL);
	assert_null(text);
}

static void check_distance(double distance)
{
	struct ann_hit hit = {.distance = distance, .id_at = 0, .id_len = 1};
	size_t one[] = {0, 1};
	struct ann_answer answer = {.n_queries = 1, .first = one, .hits = &hit, .ids = (char *)ids};
	char expected[64];

	snprintf(expected, sizeof(expected), "a\t%.9g\n", distance + 0.0);
	renders_as(&answer, QUERY_TEXT, false, expected);
}

static double random_real(void)
{
	uint64_t bits = 0;
	double value;

	for (int i = 0; i < 4; i++)
		bits = bits << 16 ^ (uint64_t)rand();
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* The printer of numbers must agree with printf to the last digit. */
static void distances_print_as_printf_does(void **state)
{
	static const double special[] = {
		0,
		-0.0,
		1,
		10,
		0.1,
		0.01,
		0.001,
		0.0001,
		0.00009999999999,
		0.5,
		0.999999999,
		0.9999999995,
		0.9999999994999,
		9.9999999949,
		9.99999999499999,
		9.9999999951,
		99999999.95,
		999999999,
		999999999.4,
		999999999.5,
		999999999.6,
		1e9,
		123456789.5,
		123456788.5,
		0.000123456789012345,
		1e300,
		5e-324,
		INFINITY,
		-INFINITY,
		-1.00000000049,
		2.0000000005,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		check_distance(special[i]);
	for (double power = 1e-6; power < 1e12; power *= 10) {
		check_distance(power);
		check_distance(nextafter(power, 0));
		check_distance(nextafter(power, INFINITY));
	}
	for (int i = 0; i < 50000; i++) {
		double real = random_real();

		if (!isnan(real))
			check_distance(real);
		real = ldexp((double)rand() / RAND_MAX + (double)rand(), -(rand() % 45));
		check_distance(real);
		check_distance((double)(float)real);
		/* Halves of the last digit, where rounding is decided by even and odd. */
		check_distance((double)(rand() % 1000000) + (double)(rand() % 1024) / 1024);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_specs_parse),
		cmocka_unit_test(bad_specs_are_refused_by_name),
		cmocka_unit_test(names_are_classified),
		cmocka_unit_test(split_hex_grows),
		cmocka_unit_test(split_base64_grows),
		cmocka_unit_test(base64_is_cut_anywhere),
		cmocka_unit_test(base64_ends_once),
		cmocka_unit_test(extending_survives_lack_of_memory),
		cmocka_unit_test(answers_render),
		cmocka_unit_test(pieces_render),
		cmocka_unit_test(rendering_survives_lack_of_memory),
		cmocka_unit_test(distances_print_as_printf_does),
	};
	const char *given = getenv("SEED");

	seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 1;
	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
