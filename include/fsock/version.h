/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * version.h - the version of fsock these headers belong to.
 *
 * Versions are MAJOR.MINOR.PATCH; while MAJOR is 0, MINOR changes with each incompatible change.
 */
#ifndef FSOCK_VERSION_H
#define FSOCK_VERSION_H

#define FSOCK_VERSION "0.1.0"
#define FSOCK_VERSION_MAJOR 0
#define FSOCK_VERSION_MINOR 1
#define FSOCK_VERSION_PATCH 0

/* For comparisons: 1.2.3 is 0x010203. */
#define FSOCK_VERSION_NUMBER \
	(FSOCK_VERSION_MAJOR << 16 | FSOCK_VERSION_MINOR << 8 | FSOCK_VERSION_PATCH)

#endif
