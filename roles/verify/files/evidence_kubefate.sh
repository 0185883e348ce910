#!/bin/sh
# What the party on this host knows of a job that did not succeed: lines "fault: ..." for what is certainly wrong here,
# then "log:" and the end of its log. evidence_kubefate.sh PARTY_ID JOB_ID
project="label=com.docker.compose.project=confs-$1"
docker ps --all --filter "$project" --format '{{.Names}} {{.Status}}' | while read -r name status; do
  case $status in
    Up*) ;;
    *) echo "fault: container $name does not run ($status)" ;;
  esac
done

echo "log:"
# FATE Flow's container is called python in FATE 1.8, fateflow later.
for container in $(docker ps --all --quiet --filter "$project" --filter name=python --filter name=fateflow); do
  docker logs --tail 15 "$container" 2>&1
done
