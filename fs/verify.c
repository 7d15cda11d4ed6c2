/*
 * verify.c - `verify` of status/control: damage is looked for while the mount serves.
 *
 * The work is done by a thread of its own, since the priority of a thread that serves requests cannot
 * be raised again without a privilege; the request waits for it.
 */
#define FUSE_USE_VERSION 310
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/daemon.h"
#include "fs/fs.h"
#include "fs/status.h"

#define VERIFY_NICE 19
#define VERIFY_TOLD 200u /* findings that go to status/errors, so that they do not fill it */

struct verify {
	struct fs *fs;
	struct call *call;
	struct store_verify_report report;
	struct err_msg first; /* finding */
	unsigned told;
	int rc;
};

static void tell(void *ctx, bool damage, const char *text)
{
	struct verify *verify = ctx;
	struct fs *fs = verify->fs;

	if (damage && verify->first.text[0] == '\0')
		(void)err_set(&verify->first, 0, "%s", text);
	if (verify->told++ < VERIFY_TOLD)
		status_error(fs->status, fs->io->ops->now_ns(fs->io, STORE_CLOCK_REALTIME),
			     "verify", fs->opts.store_path, damage ? "EIO" : "-", text);
}

static bool is_cancelled(void *ctx)
{
	const struct verify *verify = ctx;
	const struct call *call = verify->call;
	struct fuse_session *session = verify->fs->session; /* NULL: there is no mount */

	/* who ends the mount waits for this request */
	return (session != NULL && fuse_session_exited(session)) ||
	       (call->cancelled != NULL && call->cancelled(call->cancel_ctx));
}

static void *run(void *argument)
{
	struct verify *verify = argument;

	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), VERIFY_NICE); /* else it is as it was */
	verify->rc = ann_verify(verify->fs->ann, tell, is_cancelled, verify, &verify->report);
	return NULL;
}

int status_verify(struct fs *fs, struct call *call)
{
	struct verify verify = {.fs = fs, .call = call};
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, &verify) != 0)
		return err_set(&call->msg, ERR_AGAIN, "verify: no thread for it; try again");
	(void)pthread_join(thread, NULL); /* cannot fail for a thread that was just made */
	if (verify.rc == ERR_INTERRUPTED)
		return verify.rc;
	if (verify.rc != 0)
		return err_set(&call->msg, verify.rc, "verify could not run: %s",
			       err_str(verify.rc));
	if (verify.report.damages == 0)
		return 0;
	if (fs->daemon != NULL)
		daemon_say(fs->daemon, verify.first.text);
	return err_set(&call->msg, ERR_DAMAGED,
		       "verify: %llu findings, %u lines in status/errors: %s",
		       (unsigned long long)verify.report.damages,
		       verify.told < VERIFY_TOLD ? verify.told : VERIFY_TOLD, verify.first.text);
}
