#!/usr/bin/env bash
# The testbed: three bare Debian nodes (systemd, sshd, Python; no Docker) as containers on this machine.
# They stand for the three servers of inventory/testbed.yml: the playbooks treat them as any server.
# Usage: testbed.sh up        start what is not running yet, and wait until all three answer
#        testbed.sh down      remove nodes, volumes and network; the image and the ssh key stay
#        testbed.sh bare      down and up: fresh nodes
#        testbed.sh status    what there is
# For the Vagrantfile, which starts and removes the nodes itself:
#        testbed.sh key       only make the ssh key
#        testbed.sh prepare   only make the ssh key, the image and the network
#        testbed.sh tidy      remove the volumes of nodes that are gone, and the network after the last one
# BASE_IMAGE names another base image than the one made here by debootstrap.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base_image=${BASE_IMAGE:-federated-bench/debian:bookworm}
node_image=federated-bench/testbed-node
key=$here/.state/id_ed25519
wait_seconds=90

# Party id -> address: also in inventory/testbed.yml and the Vagrantfile.
parties=(10000 9999 9998)
declare -A address=([10000]=192.168.52.131 [9999]=192.168.52.132 [9998]=192.168.52.133)

fail() {
  echo "error: $*" >&2
  exit 1
}

check_engine() {
  command -v docker >/dev/null || fail "the docker command is missing on this machine: apt-get install docker.io"
  docker version >/dev/null 2>&1 || fail "no Docker engine answers $(id -un) on this machine: start it, or join the group docker"
}

in_node() { # ADDRESS COMMAND...
  local node_address=$1
  shift
  ssh -i "$key" -o BatchMode=yes -o ConnectTimeout=3 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o LogLevel=ERROR "root@$node_address" "$@"
}

exists() { # NODE
  docker container inspect "$1" >/dev/null 2>&1
}

is_running() { # NODE
  [[ $(docker container inspect --format '{{.State.Running}}' "$1" 2>/dev/null) == true ]]
}

key() {
  [[ -e $key ]] && return
  command -v ssh-keygen >/dev/null || fail "ssh-keygen is missing on this machine: apt-get install openssh-client"
  mkdir -p "$here/.state"
  ssh-keygen -q -t ed25519 -N '' -C testbed -f "$key"
  echo "made an ssh key: tests/testbed/.state/id_ed25519"
}

# Docker's own resolver for containers hangs on NAT rules inside the node, which a firewall in the node flushes.
# Nodes ask this machine's name servers directly, as servers do; without any that is not loopback, the one Docker would take.
write_resolver() {
  local resolver=/run/systemd/resolve/resolv.conf
  [[ -e $resolver ]] || resolver=/etc/resolv.conf
  grep -E '^(nameserver|search|options)[[:space:]]' "$resolver" | grep -vE '^nameserver[[:space:]]+(127\.|::1)' >"$here/.state/resolv.conf" || true
  grep -q '^nameserver' "$here/.state/resolv.conf" || echo 'nameserver 8.8.8.8' >>"$here/.state/resolv.conf"
}

prepare() {
  check_engine
  key
  write_resolver
  "$here/../../roles/image/files/debian_base.sh" "$base_image"
  docker image inspect "$node_image" >/dev/null 2>&1 || echo "building the nodes' image $node_image ..."
  # The host's network: what the machine itself can reach is enough. With Docker's cache this takes no time.
  docker build --quiet --force-rm --network host --tag "$node_image" \
    --build-arg "BASE=$base_image" --build-arg "PUBLIC_KEY=$(<"$key.pub")" - <"$here/Dockerfile" >"$here/.state/build.log" 2>&1 ||
    fail "the build of $node_image failed: $(tail -n 1 "$here/.state/build.log"); all of it is in tests/testbed/.state/build.log"
  docker network inspect testbed >/dev/null 2>&1 || docker network create --subnet 192.168.52.0/24 testbed >/dev/null ||
    fail "docker network testbed (192.168.52.0/24) cannot be made on this machine: does another network use these addresses? (ip route)"
}

start_node() { # PARTY
  local node=testbed-$1 flags
  mapfile -t flags < <(grep -v '^#' "$here/node_flags")
  echo "starting $node at ${address[$1]}"
  if exists "$node"; then
    docker start "$node" >/dev/null
  else
    docker run --detach "${flags[@]}" --name "$node" --hostname "party-$1" --ip "${address[$1]}" \
      --volume "$node:/var/lib/docker" --volume "$here/.state/resolv.conf:/etc/resolv.conf:ro" "$node_image" >/dev/null
  fi || fail "$node did not start, see above; to begin anew: make testbed-down testbed"
}

wait_for_node() { # PARTY
  local state=''
  until [[ $state == running ]]; do
    ((SECONDS < wait_seconds)) ||
      fail "testbed-$1 (${address[$1]}) is not up after $wait_seconds s (${state:-ssh does not answer to the key}); look: docker exec testbed-$1 systemctl --failed; or begin anew: make testbed-down testbed"
    state=$(in_node "${address[$1]}" systemctl is-system-running 2>/dev/null) || sleep 0.5
  done
}

up() {
  local party started=false
  prepare
  SECONDS=0
  for party in "${parties[@]}"; do
    is_running "testbed-$party" && continue
    start_node "$party"
    started=true
  done
  for party in "${parties[@]}"; do
    wait_for_node "$party"
  done
  [[ $started == true ]] && echo "three nodes are up" || echo "nothing to do: three nodes are up"
  echo "go on: ansible-playbook -i inventory/testbed.yml site.yml"
  echo "log in: ssh -i tests/testbed/.state/id_ed25519 root@${address[10000]}     take away: make testbed-down"
}

down() {
  local party
  check_engine
  for party in "${parties[@]}"; do
    exists "testbed-$party" || continue
    echo "removing testbed-$party"
    docker rm --force --volumes "testbed-$party" >/dev/null
  done
  tidy
}

tidy() {
  local party left=0
  for party in "${parties[@]}"; do
    if exists "testbed-$party"; then
      left=$((left + 1))
    else
      docker volume rm --force "testbed-$party" >/dev/null
    fi
  done
  if ((left == 0)) && docker network inspect testbed >/dev/null 2>&1; then
    docker network rm testbed >/dev/null
  fi
}

status() {
  local party state
  check_engine
  for party in "${parties[@]}"; do
    state="not there"
    is_running "testbed-$party" && state=$(in_node "${address[$party]}" systemctl is-system-running 2>/dev/null || true)
    echo "testbed-$party  ${address[$party]}  ${state:-ssh does not answer}"
  done
}

case ${1:-} in
  up | down | status | key | prepare | tidy) "$1" ;;
  bare)
    down
    up
    ;;
  *) fail "usage: $0 up|down|bare|status" ;;
esac
