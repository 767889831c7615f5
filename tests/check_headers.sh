#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# check_headers.sh [SOURCE] - does every header below src and include compile alone, with gcc and clang?
#
# "Alone" means: as the only line of a source file. A header that leans on what its users happened to
# include before it fails here. Headers of BPF programs (below a folder named bpf) are compiled for
# that machine, which only clang knows. A compiler that is not installed is left out; without any the
# test is skipped (77).
set -u
export LC_ALL=C

root=${1:-$(dirname "$0")/..}
cd "$root" || exit 2
flags="-std=gnu17 -D_GNU_SOURCE -DFSOCK_STACK_BASE=0x200000000000ULL -Isrc -Iinclude
	-Wall -Wextra -Wno-unused-parameter -Wundef -Wstrict-prototypes -Werror -fsyntax-only -xc -"
multiarch=$(gcc -print-multiarch 2>/dev/null || :)
compilers=
for cc in gcc clang; do
	if command -v $cc >/dev/null; then
		compilers="$compilers $cc"
	fi
done
[ -n "$compilers" ] || { echo "no compiler"; exit 77; }

headers=$(find src include -name '*.h' | sort)
[ -n "$headers" ] || { echo "no headers below $root"; exit 2; }
bad=0
n=0
for header in $headers; do
	name=${header#src/}
	name=${name#include/}
	case $header in
	*/bpf/*) targets=bpf ;;
	*) targets=$compilers ;;
	esac
	for target in $targets; do
		case $target in
		bpf)
			case $compilers in *clang*) ;; *) continue ;; esac
			cc="clang -target bpf -idirafter /usr/include/$multiarch"
			;;
		*) cc=$target ;;
		esac
		# shellcheck disable=SC2086
		if ! printf '#include "%s"\n' "$name" | $cc $flags; then
			echo "$header does not compile alone ($target)"
			bad=1
		fi
		n=$((n + 1))
	done
done
echo "$n compilations"
exit $bad
