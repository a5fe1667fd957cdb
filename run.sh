#!/usr/bin/env bash
# The only door: sets up what is missing, builds bin/svclab, and runs it.
#   ./run.sh              every bundled scenario, both families at once, on svclab's own proxies
#   ./run.sh kube-proxy [vX.Y.Z]   builds an unmodified kube-proxy for --proxy kube-proxy/nftables and its like, once
#   ./run.sh test         all tests, as whoever calls and, when that is root, as an unprivileged user too
#   ./run.sh WORDS...     svclab WORDS (try: ./run.sh --help)
set -euo pipefail
called_from=$PWD # paths on the command line are from there
cd "$(dirname "${BASH_SOURCE[0]}")"
home=$PWD

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 3; }

# iptables is what its backend runs; nft and ip are used by tests and for artifacts, and tshark by tests of captures: the lab
# itself speaks netlink.
packages() {
  local missing=()
  command -v nft >/dev/null || missing+=(nftables)
  command -v iptables-nft >/dev/null || missing+=(iptables)
  command -v ip >/dev/null || missing+=(iproute2)
  command -v setpriv >/dev/null || missing+=(util-linux)
  [ "${1:-}" != test ] || command -v tshark >/dev/null || missing+=(tshark)
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "installing ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >&2 || die "could not install ${missing[*]}"
  elif command -v apt-get >/dev/null; then
    say "missing: ${missing[*]}. What needs them is skipped; install with: sudo apt-get update && sudo apt-get install -y ${missing[*]}"
  else
    say "missing: ${missing[*]}. What needs them is skipped; install them with this system's package manager."
  fi
}

# Any Go from 1.21 on fetches the toolchain that go.mod asks for.
go_ready() {
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || die "Go is missing. Install Go 1.21 or newer (https://go.dev/dl, or: sudo apt-get install -y golang-go where that is 1.21 or newer)."
  local v; v=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true); v=${v#go}
  local major=${v%%.*} minor=${v#*.}; minor=${minor%%.*}; minor=${minor%%[!0-9]*}
  if [ "${major:-0}" -lt 1 ] || { [ "${major:-0}" -eq 1 ] && [ "${minor:-0}" -lt 21 ]; }; then
    die "Go ${v:-of unknown version} at $(command -v go) is too old to fetch a newer one. Install Go 1.21 or newer from https://go.dev/dl and put it first in PATH."
  fi
}

packages "$@"
go_ready
if [ "${1:-}" = test ]; then
  shift
  exec .ci/test "$@"
fi
if [ "${1:-}" = kube-proxy ]; then
  shift
  exec proxycore/foreign/kubeproxy/build "$@"
fi
go build -o bin/svclab ./sim
[ $# -gt 0 ] || set -- run --dual
cd "$called_from"
exec "$home/bin/svclab" "$@"
