# ruff: noqa: RUF005, UP010, UP030, UP032 - Python 2.7
"""Waits on a party's host until every service of its compose projects runs and stays so; runs on Python 2.7 too.

Running means: a container exists, it runs, is not restarting, is healthy where a health check is defined, FATE Flow
answers, and all that without a restart for --settle seconds. Otherwise one message with the service's last log lines.
"""

from __future__ import print_function

import argparse
import json
import subprocess
import sys
import time

try:
    from urllib.request import Request, urlopen
except ImportError:
    from urllib2 import Request, urlopen


def docker(*arguments):
    """Return a command's output and errors; raises where docker cannot be asked."""
    process = subprocess.Popen(("docker",) + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.communicate()[0].decode("utf-8", "replace")
    if process.returncode:
        raise RuntimeError("docker {0}: {1}".format(arguments[0], output.strip()))
    return output


def containers(project):
    """Return the state of each service's container."""
    ids = docker("ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=" + project).split()
    found = {}
    for container in json.loads(docker("inspect", *ids)) if ids else []:
        found[container["Config"]["Labels"]["com.docker.compose.service"]] = container
    return found


def trouble(container):
    """Return what keeps a container from counting as running, or None."""
    if container is None:
        return "has no container"
    state = container["State"]
    if state.get("Restarting"):
        return "keeps restarting ({0} times so far)".format(container["RestartCount"])
    if not state.get("Running"):
        return "is {0}, exit status {1}".format(state.get("Status"), state.get("ExitCode"))
    health = state.get("Health", {}).get("Status", "none")
    return None if health in ("healthy", "none") else "runs but its health is: " + health


def flow_trouble(method, url):
    """Return what is wrong with FATE Flow's answer, or None."""
    body = b"{}" if method == "POST" else None
    try:
        reply = urlopen(Request(url, data=body, headers={"Content-Type": "application/json"}), timeout=5)
        answer = json.loads(reply.read().decode("utf-8"))
    except Exception as error:  # whatever the library raises, the service does not answer yet
        return "does not answer {0} {1}: {2}".format(method, url, error)
    if answer.get("retcode", answer.get("code")) != 0:
        return "answers {0} {1} with an error: {2}".format(method, url, json.dumps(answer)[:200])
    return None


def survey(options):
    """Return the first trouble as (project, service, text, container id), and the incarnation of every container."""
    first, incarnations = None, []
    for name, services in options.projects:
        found = containers(name)
        for service in services:
            container = found.get(service)
            text = trouble(container)
            if text is None and service == options.flow_service and first is None:
                text = flow_trouble(options.method, options.url)
            if text is not None and first is None:
                first = (name, service, text, (container or {}).get("Id"))
            if container is not None:
                state = container["State"]
                incarnations.append((service, container["Id"], container["RestartCount"], state["StartedAt"]))
    return first, incarnations


def wait(options):
    """Return None when everything runs and stays so, otherwise the last trouble."""
    deadline = time.time() + options.seconds
    steady_since, before = None, None
    while True:
        problem, now = survey(options)
        if problem is None and now != before:
            steady_since = time.time()
        if problem is None and time.time() - steady_since >= options.settle:
            return None
        before = now if problem is None else None
        if time.time() >= deadline:
            return problem or ("", "all services", "have not been running for {0} s".format(options.settle), None)
        time.sleep(min(3, max(options.settle, 1)))


def project(text):
    """Read name=service,service,... from the command line."""
    name, services = text.split("=")
    return name, services.split(",")


def main():
    """Wait, and say what is wrong on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--party", required=True)
    parser.add_argument("--project", dest="projects", type=project, action="append", required=True)
    parser.add_argument("--flow-service", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--settle", type=float, default=0)
    options = parser.parse_args()
    try:
        problem = wait(options)
        if problem is None:
            return
        name, service, text, container = problem
        message = "party {0}: service {1} of {2} {3}".format(options.party, service, name, text)
        if options.seconds:
            message += " after {0:.0f} s".format(options.seconds)
        if container and options.seconds:
            message += "; last lines of its log:\n" + docker("logs", "--tail", "15", container).strip()
    except (OSError, RuntimeError) as error:
        message = "party {0}: {1}".format(options.party, error)
    print(message, file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
