#!/bin/sh
# Put what a job has left on a party's host into an archive, without rows and scripts: gather.sh FOLDER SCRATCH
# FOLDER belongs to the container, so nothing is written there, and no link in it is followed; SCRATCH is root's.
# Prints lines "fault: ..." for what is certainly wrong here.
umask 077
cd "$1" || exit
out=$2/gathered
rm -rf "$out"
mkdir -p "$out/logs"
tar -cf - --exclude='./*.csv' --exclude='./*.py' --exclude=./python --exclude=./logs --exclude=__pycache__ . | tar -xf - -C "$out"
job=$(sed -n 's/.*"job_id": *"\([0-9]*\)".*/\1/p' "$out/submitted.json" 2>/dev/null)
if [ -n "$job" ] && [ -d "../logs/$job" ]; then
  tar -cf - -C ../logs "$job" | tar -xf - -C "$out/logs"
fi
find "$out" -type l -delete
for name in fate-flow fate-rabbitmq fate-router; do
  docker logs --tail 100 "$name" >"$out/logs/$name.log" 2>&1
  status=$(docker ps --all --filter "name=^/$name\$" --format '{{.Status}}')
  case $status in
    Up*) ;;
    *) echo "fault: container $name does not run (${status:-it is not there}); the last line of its log: $(tail -n 1 "$out/logs/$name.log")" ;;
  esac
done
cp "$2/watch.log" "$out/" 2>/dev/null
# A container's name for itself says nothing to a reader.
if [ -e "$out/samples.jsonl" ]; then
  sed "s/\"host\": \"[^\"]*\"/\"host\": \"$(uname -n)\"/" "$out/samples.jsonl" >"$out/samples.part"
  cat "$2/host.jsonl" >>"$out/samples.part"
  mv "$out/samples.part" "$out/samples.jsonl"
fi
tar -czf "$2/bench.tar.gz" -C "$out" .
