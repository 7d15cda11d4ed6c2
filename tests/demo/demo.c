/*
 * demo.c - the steps of the demo, which scripts/demo puts together: everything here goes through a
 * mount by plain file calls.
 *
 *   demo load MOUNT DATA              write the training images, read some back
 *   demo wait MOUNT                   until all are linked into the index
 *   demo ask MOUNT DATA PICTURE       neighbours of the test images; recall, latency, picture
 *   demo write-on MOUNT DATA LIST     write more until the mount dies; LIST gets what was closed
 *   demo verify MOUNT DATA LIST       all of that is there, and the training images
 *
 * DATA is the folder of the four Fashion-MNIST files. Exit status 0, 1 when a step failed, 2 for
 * wrong arguments.
 */
#include <stdio.h>
#include <string.h>

#include "tests/demo/ask.h"
#include "tests/demo/files.h"
#include "tests/demo/idx.h"

enum { SAMPLE = 1000 };

static int do_load(char **args)
{
	struct idx train;
	int result = idx_read(args[1], "train-images-idx3-ubyte.gz", &train);

	if (result == 0)
		result = files_load(args[0], &train);
	if (result == 0)
		result = files_compare(args[0], &train, SAMPLE, 0);
	idx_release(&train);
	return result;
}

static int do_wait(char **args)
{
	return files_wait(args[0]);
}

static int do_ask(char **args)
{
	struct idx train = {0}, train_labels = {0}, test = {0}, test_labels = {0};
	struct ask ask = {args[0], &train, &train_labels, &test, &test_labels};
	int result = -1;

	if (idx_read(args[1], "train-images-idx3-ubyte.gz", &train) != 0 ||
	    idx_read(args[1], "train-labels-idx1-ubyte.gz", &train_labels) != 0 ||
	    idx_read(args[1], "t10k-images-idx3-ubyte.gz", &test) != 0 ||
	    idx_read(args[1], "t10k-labels-idx1-ubyte.gz", &test_labels) != 0)
		goto out;
	if (train.size != test.size || train_labels.count != train.count ||
	    test_labels.count != test.count) {
		fprintf(stderr, "the four files of %s do not belong together\n", args[1]);
		goto out;
	}
	result = ask_all(&ask, args[2]);
out:
	idx_release(&train);
	idx_release(&train_labels);
	idx_release(&test);
	idx_release(&test_labels);
	return result;
}

static int with_images(char **args, int (*step)(const char *, const struct idx *, const char *))
{
	struct idx train;
	int result = idx_read(args[1], "train-images-idx3-ubyte.gz", &train);

	if (result == 0)
		result = step(args[0], &train, args[2]);
	idx_release(&train);
	return result;
}

static int do_write_on(char **args)
{
	return with_images(args, files_write_on);
}

static int do_verify(char **args)
{
	return with_images(args, files_verify);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **args);
	} steps[] = {
		{"load", 2, do_load},	      {"wait", 1, do_wait},	{"ask", 3, do_ask},
		{"write-on", 3, do_write_on}, {"verify", 3, do_verify},
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (argc == steps[i].args + 2 && strcmp(argv[1], steps[i].name) == 0)
			return steps[i].run(argv + 2) == 0 ? 0 : 1;
	fprintf(stderr, "usage: demo load MOUNT DATA | wait MOUNT | ask MOUNT DATA PICTURE |\n"
			"       write-on MOUNT DATA LIST | verify MOUNT DATA LIST\n");
	return 2;
}
