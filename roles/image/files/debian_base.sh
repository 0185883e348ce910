#!/usr/bin/env bash
# Makes a bare Debian bookworm image without any image registry: debootstrap + docker import, a minute or two.
# Does nothing if an image of that name is already here, so where a registry answers, a pulled image does as well.
# Usage: debian_base.sh REFERENCE          for example: debian_base.sh federated-bench/debian:bookworm
# DEBIAN_MIRROR names another mirror than deb.debian.org. Needs root, debootstrap and a running Docker engine.
set -euo pipefail

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
security_mirror=http://deb.debian.org/debian-security

fail() {
  echo "error: $*" >&2
  exit 1
}

[[ $# -eq 1 ]] || fail "usage: $0 REFERENCE"
reference=$1

command -v docker >/dev/null || fail "the docker command is missing on this machine: apt-get install docker.io"
docker version >/dev/null 2>&1 || fail "no Docker engine answers $(id -un) on this machine: start it, or join the group docker"
docker image inspect "$reference" >/dev/null 2>&1 && exit 0
[[ $EUID -eq 0 ]] || fail "only root can make $reference: sudo $0 $reference; or: docker pull debian:bookworm-slim && docker tag debian:bookworm-slim $reference"
# The keyring is what the packages' signatures are checked with.
{ command -v debootstrap && [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]]; } >/dev/null ||
  fail "debootstrap or Debian's keyring is missing on this machine: apt-get install debootstrap debian-archive-keyring"

# Not /tmp: that is often mounted nodev, or in memory.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/debian-base.XXXXXX")
clean_up() {
  # An interrupted debootstrap leaves these mounted.
  umount "$work"/tree/{proc,sys} 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
tree=$work/tree

echo "making $reference from packages of $mirror (a minute or two) ..."
debootstrap --variant=minbase --force-check-gpg bookworm "$tree" "$mirror" >"$work/log" 2>&1 ||
  fail "debootstrap from $mirror: $(grep -E '^[EW]:' "$work/log" "$tree/debootstrap/debootstrap.log" -h 2>/dev/null | tail -n 1); check the network, or name another mirror in DEBIAN_MIRROR"

cat >"$tree/etc/apt/sources.list" <<SOURCES
deb $mirror bookworm main
deb $mirror bookworm-updates main
deb $security_mirror bookworm-security main
SOURCES
# debootstrap copied these from this machine; Docker writes them for every container.
rm -f "$tree/etc/resolv.conf" "$tree/etc/hostname"

# The name is given last: no half image ever bears it.
image=$(tar -C "$tree" --numeric-owner --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' \
  --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . | docker import --change 'CMD ["bash"]' - ) ||
  fail "docker import of $tree failed, see above; is the disk full? (df -h /var/lib/docker)"
docker tag "$image" "$reference"
echo "made $reference"
