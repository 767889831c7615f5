#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# compile_fail.sh CC... - misuse of the byte-order types must not compile.
#
# Each case is one statement with its right form. The right form has to compile, so that a failure
# of the wrong one means what it should; the wrong one has to fail.
set -u
export LC_ALL=C

[ $# -gt 0 ] || { echo "usage: compile_fail.sh CC..."; exit 2; }
cd "$(dirname "$0")/.." || exit 2
bad=0
n=0

compiles()
{
	"$@" -std=gnu17 -Isrc -fsyntax-only -xc - >/dev/null 2>&1 <<EOF
#include "base/csum.h"
#include "base/endian.h"
struct header { be16_t port; be32_t addr; be64_t stamp; };
int use(struct header *h, uint16_t port, uint32_t addr, uint64_t stamp);
int use(struct header *h, uint16_t port, uint32_t addr, uint64_t stamp)
{
	$statement
	return 0;
}
EOF
}

check() # RIGHT WRONG CC...
{
	right=$1
	wrong=$2
	shift 2
	n=$((n + 1))
	statement=$right
	if ! compiles "$@"; then
		echo "does not compile, but should: $right"
		bad=1
	fi
	statement=$wrong
	if compiles "$@"; then
		echo "compiles, but should not: $wrong"
		bad=1
	fi
}

check 'h->port = be16_make(port);' 'h->port = port;' "$@"
check 'h->addr = be32_make(addr);' 'h->addr = addr;' "$@"
check 'h->stamp = be64_make(stamp);' 'h->stamp = stamp;' "$@"
check 'port = be16_get(h->port);' 'port = h->port;' "$@"
check 'addr = be32_get(h->addr);' 'addr = h->addr;' "$@"
check 'stamp = be64_get(h->stamp);' 'stamp = h->stamp;' "$@"
check 'return be16_get(h->port) == port;' 'return h->port == port;' "$@"
check 'return be16_get(h->port) == 80;' 'return h->port == 80;' "$@"
check 'return be16_equal(h->port, h->port);' 'return h->port == h->port;' "$@"
check 'return be16_get(h->port) < 1024;' 'return h->port < 1024;' "$@"
check 'return be16_get(h->port) ? 1 : 2;' 'return h->port ? 1 : 2;' "$@"
check 'h->port = be16_make((uint16_t)(port + 1));' 'h->port = be16_make(port) + 1;' "$@"
check 'port = be16_get(h->port);' 'port = be16_get(port);' "$@"
check 'h->port = be16_make(port);' 'h->port = be16_make(h->port);' "$@"
check 'addr = be32_get(h->addr);' 'addr = be32_get(h->port);' "$@"
check 'h->addr = be32_make(be16_get(h->port));' 'h->addr = h->port;' "$@"
check 'h->port = csum_finish(stamp);' 'port = csum_finish(stamp);' "$@"
echo "$n cases"
exit $bad
