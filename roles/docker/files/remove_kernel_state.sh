#!/bin/sh
# Takes away what a stopped Docker engine leaves in the kernel: mounts, its bridge, its packet filter chains.
# Usage: remove_kernel_state.sh ACCEPT|DROP     what the chain FORWARD did before Docker
set -u
forward=$1

# Network namespaces and container file systems are mounts below these.
awk '$2 ~ "^/(run/docker|run/containerd|var/lib/docker|var/lib/containerd)/" {print $2}' /proc/mounts | sort -r |
  while read -r mounted; do umount "$mounted"; done

# With firewalld, Docker made a zone (and newer ones a policy) that survives it.
if firewall-cmd --state >/dev/null 2>&1; then
  firewall-cmd --permanent --delete-policy=docker-forwarding >/dev/null 2>&1
  firewall-cmd --permanent --delete-zone=docker >/dev/null 2>&1
  firewall-cmd --reload >/dev/null
fi

command -v ip >/dev/null && ip link delete docker0 2>/dev/null

# All rules but Docker's are loaded again, in one step. (A host that is a container itself has chains DOCKER_*, for its DNS.)
rules='[ :]DOCKER( |-|$)|docker0| br-[0-9a-f]{12} '
for family in iptables ip6tables; do
  command -v "$family-save" >/dev/null || continue
  "$family-save" 2>/dev/null | grep -qE "$rules" || continue
  "$family-save" --counters 2>/dev/null | grep -vE "$rules" | "$family-restore" --counters
  "$family" --wait --policy FORWARD "$forward"
done
exit 0
