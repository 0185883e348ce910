"""Makes a party's packages from what KubeFATE's generate_config.sh wrote: checks it, adjusts it, packs it again.

Reads settings from standard input: JSON, with secrets, therefore neither a file nor an argument. Writes confs.tar.gz,
with serving serving.tar.gz, and summary.json to the destination. The digest in the summary depends on the contents
only, not on dates. Errors are one line and name no secret.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import ipaddress
import json
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

UPSTREAM_SUBNET = "192.167.0.0/16"
UPSTREAM_FLOW_ADDRESS = "192.167.0.100"
# The ports by which parties reach each other; all others are for the host itself.
FEDERATION_PORTS = {
    "rollsite": {9370},
    "osx": {9370},
    "nginx": {9300, 9310},
    "pulsar": {6650},
    "rabbitmq": {5672},
    "serving-proxy": {8869},
}
FEDERATION_SERVICES = {
    "eggroll": ({"rollsite", "osx"},),
    "spark_rabbitmq": ({"nginx"}, {"rabbitmq"}),
    "spark_pulsar": ({"nginx"}, {"pulsar"}),
    "spark_local_pulsar": ({"nginx"}, {"pulsar"}),
}

PLACEHOLDER = re.compile(rb"<(db_|jdbc|fateboard\.|path-to|party|rollsite|clustermanager|nodemanager)[^>]*>")

Settings = dict[str, Any]


class RefusedError(Exception):
    """What generate_config.sh wrote is not what was asked for; the text says where."""


class Package:
    """The content of one tar file of upstream: a compose file and what it mounts, all below one directory."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.members: dict[str, tuple[int, bytes | None]] = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive.getmembers():
                    parts = PurePosixPath(member.name).parts
                    if parts[:1] != (name,) or ".." in parts or not (member.isfile() or member.isdir()):
                        raise RefusedError(f"{path.name} holds {member.name}, which is not a file below {name}/")
                    content = archive.extractfile(member)
                    # Services run under many user ids: readable within the party's private directory.
                    mode = 0o755 if content is None or member.mode & 0o100 else 0o644
                    self.members["/".join(parts)] = (mode, None if content is None else content.read())
        except FileNotFoundError as error:
            raise RefusedError(f"it ended without an error but wrote no {path.name}") from error
        except (OSError, EOFError, tarfile.TarError) as error:
            raise RefusedError(f"{path.name} cannot be read: {error}") from error

    def text(self, path: str) -> str:
        """Return a file's text."""
        content = self.members.get(f"{self.name}/{path}", (0, None))[1]
        if content is None:
            raise RefusedError(f"there is no {path} in {self.name}.tar")
        return content.decode()

    def set(self, path: str, text: str) -> None:
        """Replace a file's text."""
        name = f"{self.name}/{path}"
        self.members[name] = (self.members[name][0], text.encode())

    def edit(self, path: str, pattern: str, replacement: str) -> None:
        """Replace a pattern that must be there."""
        text, count = re.subn(pattern, lambda _: replacement, self.text(path), flags=re.MULTILINE)
        if not count:
            raise RefusedError(f"{path} in {self.name}.tar is not as expected: no match for {pattern}")
        self.set(path, text)

    def require(self, path: str, line: str, what: str) -> None:
        """Refuse unless a file has this line."""
        if line not in (found.strip() for found in self.text(path).splitlines()):
            raise RefusedError(f"{path} in {self.name}.tar does not hold the {what} that was asked for")

    def replace_everywhere(self, old: str, new: str) -> None:
        """Replace a text in all files."""
        for name, (mode, content) in self.members.items():
            if content is not None:
                self.members[name] = (mode, content.replace(old.encode(), new.encode()))

    def yaml(self, path: str) -> Any:
        """Return what a YAML file holds."""
        try:
            return yaml.safe_load(self.text(path))
        except yaml.YAMLError as error:
            raise RefusedError(f"{path} in {self.name}.tar is no YAML") from error

    def digest(self) -> str:
        """Return a digest of names, modes and contents."""
        lines = [
            f"{name} {mode:o} {hashlib.sha256(content or b'').hexdigest()}\n"
            for name, (mode, content) in self.members.items()
        ]
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Pack it: owned by root, without dates."""
        with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
            path.chmod(0o600)
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for name, (mode, content) in sorted(self.members.items()):
                    member = tarfile.TarInfo(name)
                    member.mode = mode
                    if content is None:
                        member.type = tarfile.DIRTYPE
                        archive.addfile(member)
                    else:
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))


def subnet_of(settings: Settings) -> ipaddress.IPv4Network:
    """Return the containers' network; it must be private and hide no party."""
    try:
        subnet = ipaddress.IPv4Network(settings["subnet"])
    except ValueError as error:
        raise RefusedError(f"kubefate_subnet: {error}") from error
    if not subnet.is_private or subnet.num_addresses < 256:
        raise RefusedError(f"kubefate_subnet: {subnet} must be a private network of 256 addresses or more")
    for party, address in settings["parties"].items():
        if ipaddress.IPv4Address(address) in subnet:
            raise RefusedError(f"kubefate_subnet: {subnet} contains the address of party {party}, {address}")
    return subnet


def check_training(package: Package, settings: Settings) -> None:
    """Refuse what a party cannot run with: a secret, an id or an address that did not arrive where it belongs."""
    secrets, party = settings["secrets"], settings["party"]
    sql = "confs/mysql/init/insert-node.sql"
    package.require(sql, f"CREATE USER 'fate'@'%' IDENTIFIED BY '{secrets['mysql']}';", "password of MySQL")
    board = "confs/fateboard/conf/application.properties"
    package.require(board, f"server.board.login.password={secrets['fateboard']}", "password of FATE Board")
    if secrets.get("notebook_hash"):
        package.require(".env", f"NOTEBOOK_HASHED_PASSWORD={secrets['notebook_hash']}", "password of the notebook")

    service = package.yaml("confs/fate_flow/conf/service_conf.yaml")
    database = service["database"].get("mysql", service["database"])
    if database["passwd"] != secrets["mysql"] or database["host"] != "mysql":
        raise RefusedError("service_conf.yaml does not hold the database that was asked for")
    if service.get("party_id") is not None and str(service["party_id"]) != party:
        raise RefusedError(f"service_conf.yaml is for party {service['party_id']}, not for party {party}")

    routes = routes_of(package, settings)
    others = {other: address for other, address in settings["parties"].items() if other != party}
    for other, address in others.items():
        if routes.get(other) != address:
            raise RefusedError(f"the route to party {other} is {routes.get(other)}, not {address}")
    if set(routes) - set(others) - {party}:
        raise RefusedError(f"there are routes to unknown parties: {sorted(set(routes) - set(others) - {party})}")

    leftover = [
        f"{match.group()} in {name}"
        for name, (_, content) in sorted(package.members.items())
        for match in [
            re.search(
                rb"<(db_|jdbc|fateboard\.|path-to|party|rollsite|clustermanager|nodemanager)[^>]*>", content or b""
            )
        ]
        if match
    ]
    if leftover:
        raise RefusedError(f"placeholders are left: {leftover[0]!s}")


def routes_of(package: Package, settings: Settings) -> dict[str, str | None]:
    """Return the address of each party by the route table of the service between parties."""
    if settings["backend"] == "eggroll":
        directory = (
            "osx" if "confs/osx/conf/route_table.json" in {n.partition("/")[2] for n in package.members} else "eggroll"
        )
        path = f"confs/{directory}/conf/route_table.json"
        try:
            table = json.loads(package.text(path))["route_table"]
        except (ValueError, KeyError) as error:
            raise RefusedError(f"{path} is no route table") from error
        return {str(k): v["default"][0]["ip"] if "default" in v else None for k, v in table.items() if k != "default"}
    table = package.yaml("confs/nginx/route_table.yaml")
    return {str(k): v["proxy"][0]["host"] for k, v in table.items() if k != "default"}


def check_serving(package: Package, settings: Settings) -> None:
    """Refuse a package for serving without the password or the routes."""
    secret = settings["secrets"]["serving-admin"]
    package.require(
        "confs/serving-admin/conf/application.properties", f"admin.password={secret}", "password of serving-admin"
    )
    table = json.loads(package.text("confs/serving-proxy/conf/route_table.json"))["route_table"]
    for other, address in settings["parties"].items():
        expected = "serving-proxy" if other == settings["party"] else address
        if table.get(other, {}).get("default", [{}])[0].get("ip") != expected:
            raise RefusedError(f"serving-proxy's route to party {other} is not {expected}")


def adjust_configuration(package: Package, settings: Settings, flow: str) -> None:
    """Addresses that upstream writes into configuration files, and the passwords that it leaves at their defaults."""
    own, path = re.escape(settings["address"]), "confs/fate_flow/conf/service_conf.yaml"
    if package.name.startswith("serving-"):
        # Both talk to each other on their common network: no need for the host's ports.
        url = f"model.transfer.url=http://{flow}:9380/v1/model/transfer"
        package.edit("confs/serving-server/conf/serving-server.properties", r"^model\.transfer\.url=.*$", url)
        return
    package.set(path, re.sub(rf"^(\s*- ){own}:8000$", r"\1serving-server:8000", package.text(path), flags=re.MULTILINE))
    eggroll, default = "confs/eggroll/conf/eggroll.properties", "eggroll.security.login.password=admin"
    if f"{package.name}/{eggroll}" in package.members and default in package.text(eggroll):
        package.edit(eggroll, f"^{default}$", default.replace("admin", settings["secrets"]["eggroll"]))
    if settings["backend"] == "spark_rabbitmq":
        text = package.text(path)
        block = re.search(r"^  rabbitmq:\n(?:    .*\n)+", text, flags=re.MULTILINE)
        if not block or "password: fate\n" not in block.group():
            raise RefusedError("service_conf.yaml has no password of RabbitMQ to replace")
        changed = block.group().replace("password: fate\n", f"password: '{settings['secrets']['rabbitmq']}'\n")
        # 2.0.0 names Pulsar's route table here.
        changed = changed.replace("conf/pulsar_route_table.yaml", "conf/rabbitmq_route_table.yaml")
        package.set(path, text.replace(block.group(), changed))


def variables(text: str) -> dict[str, str]:
    """Return the variables of an .env file."""
    pairs = (line.partition("=") for line in text.splitlines() if re.match(r"[A-Za-z_]\w*=", line))
    return {name: value.strip().strip('"') for name, _, value in pairs}


def adjust_compose(
    package: Package, settings: Settings, subnet: ipaddress.IPv4Network, summary: dict[str, Any]
) -> None:
    """Images, ports, heaps, network, passwords and labels of a compose file."""
    compose = package.yaml("docker-compose.yml")
    environment = variables(package.text(".env"))
    for name, service in compose["services"].items():
        image = re.sub(r"\$\{(\w+)\}", lambda found: environment.get(found.group(1), ""), service["image"])
        service["image"] = f"{settings['registry']}/{image}" if settings["registry"] else image
        service["restart"] = "always"
        service["labels"] = {"federated-bench.party": settings["party"]}
        ports = [publish(name, str(port), settings, summary) for port in service.pop("ports", [])]
        if any(ports):
            service["ports"] = [port for port in ports if port]
        adjust_service(name, service, settings)
    for network in compose["networks"].values():
        for entry in network.get("ipam", {}).get("config", []):
            entry["subnet"] = subnet
    package.set("docker-compose.yml", yaml.safe_dump(compose, sort_keys=False, width=10_000))
    summary["images"] = sorted({*summary["images"], *(service["image"] for service in compose["services"].values())})
    summary["projects"].append({"name": package.name, "services": sorted(compose["services"])})


def publish(name: str, port: str, settings: Settings, summary: dict[str, Any]) -> str | None:
    """Return how a port is published, or None for those that upstream publishes at random ones (ZooKeeper's own)."""
    outside, colon, inside = port.rpartition(":")
    if not colon:
        return None
    number = int(outside.rpartition(":")[2])
    federation = number in FEDERATION_PORTS.get(name, ())
    summary["federation_ports" if federation else "local_ports"].append({"port": number})
    return f"{settings['federation_bind_address' if federation else 'bind_address']}:{number}:{inside}"


def adjust_service(name: str, service: dict[str, Any], settings: Settings) -> None:
    """Set what only some services have."""
    environment = service.setdefault("environment", {})
    if name == "mysql":
        # Upstream lets root in without a password.
        if environment.pop("MYSQL_ALLOW_EMPTY_PASSWORD", None) is None:
            raise RefusedError("the service mysql is not as expected")
        environment["MYSQL_ROOT_PASSWORD"] = settings["secrets"]["mysql-root"]
    elif name == "rabbitmq":
        for key in ("RABBITMQ_DEFAULT_PASS", "RABBITMQ_PASSWORD"):
            environment[key] = settings["secrets"]["rabbitmq"]
    elif name == "client":
        environment["FATE_SERVING_HOST"] = "serving-proxy:8059"
    elif name == "fateboard":
        # The image's own command line asks for 2 GB; Java lets this variable have the last word.
        environment["_JAVA_OPTIONS"] = "-Xms{0} -Xmx{0}".format(settings["fateboard_heap"])
    elif name == "osx":
        command = service["command"][-1]
        for option in ("-Xms", "-Xmx"):
            command, count = re.subn(rf"{option}\w+", f"{option}{settings['osx_heap']}", command)
            if count != 1:
                raise RefusedError(f"the command of osx has no {option}")
        service["command"][-1] = command
    elif name == "fateflow" and isinstance(service.get("command"), list):
        # 2.0.0 asks the package index at every start, which fails offline even where the package is there.
        install = "pip install cryptography"
        checked = "{ python -c 'import cryptography' || " + install + "; } &&"
        service["command"] = [part.replace(install + " &&", checked) for part in service["command"]]
    if not environment:
        del service["environment"]


def check_services(summary: dict[str, Any], settings: Settings) -> None:
    """Refuse a compose file that lacks what the backend needs (upstream cuts it by line numbers)."""
    services = set(summary["projects"][0]["services"])
    needed: list[set[str]] = [
        {"mysql"},
        {"fateboard"},
        {"python", "fateflow"},
        *FEDERATION_SERVICES[settings["backend"]],
    ]
    missing = [" or ".join(sorted(choice)) for choice in needed if not choice & services]
    if missing:
        raise RefusedError(f"docker-compose.yml has no service {missing[0]}")


def make(settings: Settings, outputs: Path, destination: Path) -> None:
    """Check, adjust and pack the packages of one party."""
    subnet = subnet_of(settings)
    kinds: dict[str, Callable[[Package, Settings], None]] = {"confs": check_training}
    if settings["serving"]:
        kinds["serving"] = check_serving
    summary: dict[str, Any] = {"projects": [], "images": [], "federation_ports": [], "local_ports": []}
    digests, flow = [], "fateflow"
    for kind, check in kinds.items():
        package = Package(outputs / f"{kind}-{settings['party']}.tar", f"{kind}-{settings['party']}")
        check(package, settings)
        package.replace_everywhere(UPSTREAM_SUBNET, str(subnet))
        package.replace_everywhere(UPSTREAM_FLOW_ADDRESS, str(subnet.network_address + 100))
        adjust_compose(package, settings, str(subnet), summary)
        if kind == "confs":
            check_services(summary, settings)
            flow = "python" if "python" in summary["projects"][0]["services"] else "fateflow"
        adjust_configuration(package, settings, flow)
        package.write(destination / f"{kind}.tar.gz")
        digests.append(package.digest())
    summary["digest"] = hashlib.sha256("".join(digests).encode()).hexdigest()
    (destination / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def main() -> None:
    """Take settings from standard input; say in one line what is wrong."""
    settings = json.load(sys.stdin)
    try:
        make(settings, Path(sys.argv[1]), Path(sys.argv[2]))
    except (RefusedError, OSError) as error:
        sys.exit(str(error))
    except (AttributeError, IndexError, KeyError, TypeError, UnicodeDecodeError, ValueError) as error:
        sys.exit(f"a file is not as expected ({type(error).__name__}: {error})")


if __name__ == "__main__":
    main()
