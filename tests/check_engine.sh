#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# check_engine.sh BUILD [SOURCE] - is the engine a function of its arguments?
#
# Looks at the objects of the engine rooms below BUILD/src and fails when one of them
#   - needs a symbol that no engine room defines and the list below does not name,
#   - holds mutable data or thread-local storage,
#   - contains an instruction that enters the kernel or reads a clock or randomness,
# and when a room of SOURCE (default: the tree this script is in) has no objects to look at.
# Sanitizers, coverage and link-time optimisation add or hide symbols: the build does not run this
# check on such objects.
set -eu
export LC_ALL=C

build=${1:?usage: check_engine.sh BUILD [SOURCE]}
source=${2:-$(dirname "$0")/..}
rooms="base wire neigh ip udp tcp local"
allowed="memcpy memmove memset memcmp fs_assert_failed"
linker="_GLOBAL_OFFSET_TABLE_" # position-independent code names it; no library provides it

# syscall and its elders; time stamp counters; random numbers; the same on aarch64
instructions='syscall|sysenter|int +\$0x80|rdtscp?|rdrand|rdseed|rdpmc|svc|mrs.*cnt[pv]ct'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
bad=0

: >"$scratch/objects"
for room in $rooms; do
	ls "$source/src/$room/"*.c >/dev/null 2>&1 || continue
	find "$build/src/$room" -name '*.o' >"$scratch/room" 2>/dev/null || :
	if [ ! -s "$scratch/room" ]; then
		echo "src/$room: no objects below $build"
		bad=1
	fi
	cat "$scratch/room" >>"$scratch/objects"
done
if [ ! -s "$scratch/objects" ]; then
	echo "no engine objects below $build"
	exit 2
fi

# What the engine may call: the list, and itself.
printf '%s\n' $allowed $linker >"$scratch/known"
xargs nm --extern-only --defined-only --no-sort --format=posix <"$scratch/objects" |
	awk 'NF > 2 { print $1 }' >>"$scratch/known"
xargs nm --undefined-only --print-file-name --format=posix <"$scratch/objects" |
	awk 'FILENAME == ARGV[1] { known[$1]; next }
	     !($2 in known) { print $1 " needs " $2 }' "$scratch/known" - >"$scratch/symbols"

# Constant tables that hold addresses are in .data.rel.ro, which is written once, by the loader.
xargs size -A -d <"$scratch/objects" |
	awk '/ :$/ { file = $1; next }
	     $1 ~ /^\.(data|bss|tdata|tbss)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 {
		print file ": " $2 " bytes of mutable data in " $1 }' >"$scratch/data"

while read -r object; do
	objdump -d --no-show-raw-insn "$object" |
		grep -E "^ +[0-9a-f]+:.*[[:space:]]($instructions)([[:space:]]|\$)" |
		sed "s|^|$object: forbidden instruction:|" || :
done <"$scratch/objects" >"$scratch/instructions"

for list in symbols data instructions; do
	if [ -s "$scratch/$list" ]; then
		cat "$scratch/$list"
		bad=1
	fi
done
echo "$(wc -l <"$scratch/objects") engine objects looked at"
exit $bad
