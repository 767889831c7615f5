# SPDX-License-Identifier: BSD-2-Clause
# lib.sh - what ./demo, ./check and bench/run share: saying things, packages, the build.
# Sourced by bash with `self` set to the command's name and `root` to the top of the tree.

export PYTHONDONTWRITEBYTECODE=1
export PATH=$PATH:/usr/sbin:/sbin
# The programs of these packages; a python of the user's own would lack Debian's pytest.
python=/usr/bin/python3

# One list per purpose. The daemon alone where Debian has a package of it (dnsmasq-base): nothing to start. What
# comes with a service is installed while services are held.
packages_build="gcc libc6-dev linux-libc-dev meson ninja-build pkg-config clang llvm bpftool
	libbpf-dev libmnl-dev libcjson-dev libcmocka-dev python3"
packages_demo="iproute2 sockperf iperf3"
packages_check="iproute2 util-linux procps ethtool nftables sockperf iperf3 bind9-dnsutils
	dnsmasq-base linuxptp socat netcat-openbsd curl nginx-light redis-server redis-tools openssh-server openssh-client
	nodejs memcached libmemcached-tools postgresql-15 haproxy wget rsync openssl nghttp2-client nghttp2-server gunicorn
	openbsd-inetd systemd apache2-bin hey vsftpd musl-tools strace chrony mandoc bash-completion zsh python3-pytest
	pyflakes3 valgrind libclang-rt-14-dev binutils libjemalloc2 spin"
packages_long_python="libpython3.11-testsuite"
packages_long_servers="dpkg-dev tcl"
packages_long_programs="openjdk-17-jdk-headless"
packages_bench="iproute2 sockperf bind9-dnsutils dnsmasq-base ethtool linuxptp gnuplot-nox nginx-light curl
	redis-server redis-tools memcached libmemcached-tools wrk postgresql-15"

# --- ends -------------------------------------------------------------------------------------

# Everything that must not outlive this shell goes away here, whatever ends it.
clean_up() {
	[ -z "${held:-}" ] || release_services
	held=
	rm -rf "$scratch"
}

scratch=$(mktemp -d)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Go on as another program; an exec alone would skip the trap.
become() {
	clean_up
	exec "$@"
}

say() {
	echo "$self: $*"
}

die() {
	echo "$self: $*" >&2
	exit 2
}

# --- packages ---------------------------------------------------------------------------------

policy=/usr/sbin/policy-rc.d
policy_saved=$policy.fsock-saved
policy_mark="# written by fsock while it installs packages; safe to remove"

policy_is_ours() {
	[ -f "$policy" ] && grep -qxF "$policy_mark" "$policy"
}

# Undo hold_services, in this run or a former one that was killed. Never removes a foreign file.
release_services() {
	if [ -e "$policy_saved" ] || [ -L "$policy_saved" ]; then
		if policy_is_ours || [ ! -e "$policy" ]; then
			mv -f "$policy_saved" "$policy"
		fi
	elif policy_is_ours; then
		rm -f "$policy"
	fi
}

# Packages installed from here on do not start their services.
hold_services() {
	release_services
	if [ -e "$policy" ] || [ -L "$policy" ]; then
		mv "$policy" "$policy_saved"
	fi
	printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy.fsock-new"
	chmod 755 "$policy.fsock-new"
	mv "$policy.fsock-new" "$policy"
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_packages NAME...: install what is missing. Asks apt for nothing when nothing is.
need_packages() {
	local name missing=""
	release_services
	for name in "$@"; do
		is_installed "$name" || missing="$missing $name"
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "missing packages:$missing (and no apt-get here to install them)"
	say "installing:$missing"
	held=1
	hold_services
	apt_quietly update || say "apt-get update failed; trying with the lists that are here"
	# shellcheck disable=SC2086
	apt_quietly install -y --no-install-recommends $missing ||
		die "could not install:$missing (try: apt-get install$missing)"
	release_services
	held=
}

# apt-get as it should run in a script; its output is shown only when it fails.
apt_quietly() {
	local log=$scratch/apt status=0
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
		-o Dpkg::Options::=--force-confold "$@" </dev/null >"$log" 2>&1 || status=$?
	[ "$status" = 0 ] || tail -n 20 "$log" >&2
	return "$status"
}

# --- rights and build -------------------------------------------------------------------------

need_root() {
	[ "$(id -u)" = 0 ] && return 0
	echo "$self: needs root for network namespaces and AF_XDP. Run:" >&2
	echo "    sudo $0${*:+ $*}" >&2
	exit 2
}

# build_in DIR MESON_OPTION...: configure when needed and compile (what the variable targets names, by
# default everything). A folder that another version of meson or another tree left behind is made anew.
build_in() {
	local dir=$1 log=$scratch/build
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson setup --reconfigure "$@" "$dir" "$root" >"$log" 2>&1 || rm -rf "$dir"
	fi
	if [ ! -f "$dir/build.ninja" ]; then
		rm -rf "$dir"
		if ! meson setup "$@" "$dir" "$root" >"$log" 2>&1; then
			tail -n 30 "$log" >&2
			return 1
		fi
	fi
	# shellcheck disable=SC2086
	if ! ninja -C "$dir" ${targets:-} >"$log" 2>&1; then
		grep -v '^\[' "$log" | tail -n 60 >&2
		return 1
	fi
}
