#!/bin/sh
# What the party on this host knows of a job that did not succeed: lines "fault: ..." for what is certainly wrong here,
# then "log:" and the end of its log. evidence_slim.sh PARTY_ID JOB_ID
for name in fate-flow fate-rabbitmq fate-router; do
  status=$(docker ps --all --filter "name=^/$name\$" --format '{{.Status}}')
  case $status in
    Up*) ;;
    *) echo "fault: container $name does not run (${status:-it is not there})" ;;
  esac
done

docker exec --interactive fate-flow python - "$2" 2>&1 <<'PYTHON' || true
import json, sys, urllib.request

try:
    with urllib.request.urlopen(f"http://127.0.0.1:9380/v2/job/task/query?job_id={sys.argv[1]}", timeout=20) as answer:
        tasks = json.load(answer).get("data") or []
except (OSError, ValueError) as error:
    print(f"fault: FATE Flow does not answer: {error}")
else:
    # Only a task's own failure has a report; one that was stopped because another party failed has none.
    for task in tasks:
        if task.get("error_report"):
            print(f"fault: its task as {task['role']} failed: {task['error_report'].strip().splitlines()[-1]}")
PYTHON

echo "log:"
# What the job left here; without a job, what FATE Flow says of itself.
docker exec fate-flow sh -c "cd /var/lib/fate/logs && { find '$2' -name ERROR -size +0 2>/dev/null; ls fate_flow/ERROR.log fate_flow/WARNING.log; } 2>/dev/null | head -n 1 | xargs -r tail -n 15" 2>&1
docker logs --tail 5 fate-router 2>&1
