/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * identity.c - see identity.h.
 */
#include "host/identity.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "host/netns.h"
#include "sys/sys.h"

enum { STATUS_MAX = 4096 /* bytes; with hundreds of groups it is longer, and not known */ };

/* Lines of /proc/PID/status. */
static const char *const lines[] = {
	"Uid:", "Gid:", "Groups:", "CapBnd:", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:",
};

static bool counts(const char *line)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(lines); i++)
		if (strncmp(line, lines[i], strlen(lines[i])) == 0)
			return true;
	return false;
}

/* FNV-1a: who could choose groups so that it meets may have any. */
static uint64_t add(uint64_t hash, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3ULL;
	return hash;
}

static uint64_t read_said(void)
{
	int fd = sys_openat(AT_FDCWD, "/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0);
	uint64_t hash = 0xcbf29ce484222325ULL;
	char text[STATUS_MAX];
	size_t have = 0;
	ssize_t n = -1;

	if (fd < 0)
		return 0;
	while (have < sizeof(text) - 1 && (n = sys_read(fd, text + have, sizeof(text) - 1 - have)) > 0)
		have += (size_t)n;
	sys_close(fd);
	if (n != 0) /* there is more */
		return 0;
	text[have] = '\0';
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");

		if (counts(line))
			hash = add(hash, line, len);
		line += len + (line[len] != '\0');
	}
	return hash;
}

static uint64_t read_permitted(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	memset(data, 0, sizeof(data));
	sys_call2(__NR_capget, (long)&head, (long)data);
	return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

void host_identity_read(struct host_identity *identity)
{
	long bits = sys_call5(__NR_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
	struct stat root;

	*identity = (struct host_identity){
		.said = read_said(),
		.permitted = read_permitted(),
		.user_namespace = host_userns_inode(),
		.securebits = (uint64_t)bits & ~(uint64_t)SECBIT_KEEP_CAPS,
	};
	if (bits < 0 || stat("/", &root) < 0) {
		identity->said = 0;
		return;
	}
	identity->root[0] = root.st_dev;
	identity->root[1] = root.st_ino;
}

bool host_identity_equal_past_exec(const struct host_identity *a, const struct host_identity *b)
{
	return a->said && a->user_namespace && a->said == b->said && a->user_namespace == b->user_namespace &&
	       a->root[0] == b->root[0] && a->root[1] == b->root[1] && a->securebits == b->securebits;
}

bool host_identity_equal(const struct host_identity *a, const struct host_identity *b)
{
	return host_identity_equal_past_exec(a, b) && a->permitted == b->permitted;
}
