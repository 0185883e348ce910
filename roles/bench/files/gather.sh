#!/bin/sh
# Put what a job has left on a party's host into an archive, without rows and scripts: gather.sh FOLDER ARCHIVE
# Prints lines "fault: ..." for what is certainly wrong here.
umask 077
cd "$1" || exit
job=$(sed -n 's/.*"job_id": *"\([0-9]*\)".*/\1/p' submitted.json 2>/dev/null)
mkdir -p logs
if [ -n "$job" ] && [ -d "../logs/$job" ]; then
  cp -R "../logs/$job" logs/
fi
for name in fate-flow fate-rabbitmq fate-router; do
  docker logs --tail 100 "$name" >"logs/$name.log" 2>&1
  status=$(docker ps --all --filter "name=^/$name\$" --format '{{.Status}}')
  case $status in
    Up*) ;;
    *) echo "fault: container $name does not run (${status:-it is not there}); the last line of its log: $(tail -n 1 "logs/$name.log")" ;;
  esac
done
# A container's name for itself says nothing to a reader.
if [ -e samples.jsonl ]; then
  sed "s/\"host\": \"[^\"]*\"/\"host\": \"$(uname -n)\"/" samples.jsonl >samples.part
  cat host.jsonl >>samples.part
  mv samples.part samples.jsonl
fi
tar -czf "$2" --exclude='./*.csv' --exclude='./*.py' --exclude=./python --exclude=./host.jsonl --exclude=__pycache__ .
