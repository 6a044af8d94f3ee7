#!/bin/sh
# Prepares a clone: npm packages, Debian packages of the peers the tests run against, the native addon.
# Called by every target of the Makefile; a step whose result is still valid is skipped without a word,
# so a repeated call costs about a tenth of a second. Needs: sh, node 20 or later, npm.
# usage: setup.sh [retry]      retry: try again to install Debian packages that could not be had
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
mkdir -p build
log=build/setup.log

say() { printf 'setup: %s\n' "$*"; }

# timed NAME COMMAND...: runs the command with its output in the log; says how long it took, shows the log if it failed.
timed() {
  name=$1; shift
  say "$name ..."
  started=$(date +%s)
  if "$@" >"$log" 2>&1; then
    say "$name: done in $(( $(date +%s) - started )) s"
  else
    status=$?
    say "$name: FAILED with exit status $status after $(( $(date +%s) - started )) s; the last lines of $log:"
    tail -n 30 "$log" >&2
    return "$status"
  fi
}

has() { command -v "$1" >/dev/null 2>&1; }

# Prints the Debian packages that would bring what is missing here.
missing_packages() {
  has cc || echo gcc libc6-dev
  has fio || echo fio
  { has qemu-io && has qemu-img && has qemu-nbd; } || echo qemu-utils
  has nbdkit || echo nbdkit
  { has nbdinfo && has nbdcopy; } || echo libnbd-bin
  /usr/bin/python3 -c 'import nbd' 2>/dev/null || echo python3-libnbd
  # Of MariaDB the programs only: its server package would start one.
  [ -x /usr/share/zookeeper/bin/zkServer.sh ] || echo zookeeper
  { has mariadbd || [ -x /usr/sbin/mariadbd ]; } || echo mariadb-server-core
  has mariadb-admin || echo mariadb-client
  # A Kubernetes node, which only root can start.
  [ "$(id -u)" = 0 ] || return 0
  has openssl || echo openssl
  { has containerd && has ctr; } || echo containerd
  has runc || echo runc
  # Filesystems on volumes.
  has mkfs.ext4 || echo e2fsprogs
  has mkfs.xfs || echo xfsprogs
}

npm_packages() {
  # The stamp is the checksum of the lockfile, kept where a removed node_modules takes it along.
  stamp=node_modules/.setup-stamp
  wanted=$(cksum <package-lock.json)
  if [ -x node_modules/.bin/node ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then return 0; fi
  # A user's own `npm install` is as good as ours.
  node e2e/run/npm-is-current.mjs || timed 'npm packages (npm ci)' npm ci --no-audit --no-fund --loglevel=error
  printf '%s\n' "$wanted" >$stamp
}

peers() {
  packages=$(missing_packages | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  # What could not be had once is not asked for again by every target; `make setup` itself always tries.
  known=build/missing-packages
  if [ "${1:-}" != retry ] && [ "$(cat $known 2>/dev/null)" = "$packages" ]; then return 0; fi
  printf '%s\n' "$packages" >$known
  if [ "$(id -u)" != 0 ] || ! has apt-get; then
    say "not installed: $packages"
    say 'the suites that need them will be left out, each by name; as root on Debian or Ubuntu, `make setup` installs them'
    return 0
  fi
  export DEBIAN_FRONTEND=noninteractive
  timed 'package lists (apt-get update)' apt-get -q update || true
  timed "Debian packages: $packages" apt-get -q -y --no-install-recommends install $packages ||
    say "going on without: $(missing_packages | tr '\n' ' '): the suites that need them will be left out, each by name"
}

native_addon() {
  if ! has "${CC:-cc}"; then
    if [ ! -f build/no-compiler ]; then
      say 'no C compiler: the native addon is left out and every program runs on the libuv ports (slower, same behaviour)'
      touch build/no-compiler
    fi
    return 0
  fi
  # Repeated calls compare a checksum; build.mjs looks closer.
  stamp=build/native-stamp
  wanted=$(cat datapath/native/*.* node_modules/.setup-stamp | cksum)
  if [ -f datapath/build/pureflash.node ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then return 0; fi
  if timed 'native addon' node_modules/.bin/node datapath/native/build.mjs; then
    printf '%s\n' "$wanted" >$stamp
  else
    say 'going on without the native addon: every program runs on the libuv ports (slower, same behaviour)'
  fi
}

npm_packages
peers "$@"
native_addon
