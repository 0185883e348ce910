"""The kit as a package: built, installed into an environment of its own, and used outside of any checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from helpers import LIMIT, ROOT, only_run
from page_helpers import Page

BROUGHT = ("pyproject.toml", "README.md", "LICENSE", "bench", "templates", "tests/plugin")


def built(source: Path, folder: Path) -> Path:
    """Build a wheel from a folder that nothing else uses; no index is asked."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, timeout=LIMIT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the kit as they are, away from the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    for name in BROUGHT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copyfile(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(sources, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def installed(wheel: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the kit, the toy plug-in, and what both need."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    site = next(place.glob("lib/python*/site-packages"))
    # What the kit needs is where these tests found it; a line in a .pth file does not bring the checkout along.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    plugin = built(sources / "tests" / "plugin", tmp_path_factory.mktemp("plugin"))
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet", "--no-deps"]
    # Versions of the kit that the other folder may hold are hidden, not removed.
    subprocess.run([*pip, "--no-index", "--ignore-installed", str(wheel), str(plugin)], check=True, timeout=LIMIT)
    return place / "bin"


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(installed / "federated-bench"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)


def test_the_wheel_carries_what_the_kit_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    read = [path for path in (ROOT / "templates").rglob("*") if path.is_file()]
    assert {f"bench/templates/{path.relative_to(ROOT / 'templates')}" for path in read} <= names
    for folder, pattern in (("suites", "*.yml"), ("i18n", "*.mo"), ("engines", "*.proto"), ("engines/fate", "*.py")):
        assert {str(path.relative_to(ROOT)) for path in (ROOT / "bench" / folder).rglob(pattern)} <= names
    assert not [name for name in names if not name.startswith(("bench/", "federated_bench-"))]


def test_it_runs_outside_of_a_checkout_to_its_report(installed: Path, tmp_path: Path) -> None:
    # In somebody's own git repository, whose revision is not that of the kit.
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    done = run(installed, tmp_path, "run", "--repeats", "1", "--lang", "zh")
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path / "results")
    record = json.loads((folder / "run.json").read_text())
    assert record["command"][:2] == ["federated-bench", "run"]
    assert record["revision"] is None
    assert record["kit_version"] == run(installed, tmp_path, "version").stdout.split()[1].rstrip(",")
    assert {"gmpy2", "cryptography", "numpy", "toy-plugin"} <= set(record["environment"]["packages"])
    assert "openblas" in record["environment"]["blas"].lower() or record["environment"]["blas"]
    for name in ("report.html", "report.zh.html"):
        assert len(Page((folder / name).read_text(encoding="utf-8")).tables) > 5
    again = run(installed, tmp_path, "report", str(folder))
    assert (again.returncode, again.stdout.strip()) == (0, str(folder / "report.html"))


def test_shells_complete_its_programs_and_options(installed: Path, tmp_path: Path) -> None:
    script = run(installed, tmp_path, "completion", "bash")
    assert script.returncode == 0, script.stderr
    ask = f"""{script.stdout}
    COMP_WORDS=(federated-bench run --pri); COMP_CWORD=2; COMP_LINE='federated-bench run --pri'
    _shtab_federated_bench; printf '%s\\n' "${{COMPREPLY[@]}}" """
    answer = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=LIMIT)
    assert answer.stdout.split() == ["--privacy"], answer.stderr
    for words in (["--help"], ["run", "--help"]):
        assert "federated-bench run" in run(installed, tmp_path, *words).stdout
    assert run(installed, tmp_path, "fly").returncode == 2


SUITE = {
    "title": "Toys",
    "repeats": 3,
    "warmup_epochs": 1,
    "datasets": {"points": {"kind": "blobs", "rows": 900}},
    "defaults": {"balance": {"method": "none"}, "training": {"epochs": 6, "learning_rate": 0.1}},
    "cases": [
        {"id": "centralised", "title": "All rows", "engine": "centralised"},
        {"id": "federated", "title": "In plain", "engine": "federated"},
        {"id": "rounded", "title": "Rounded", "engine": "federated", "privacy": "rounded"},
        {"id": "fragile", "title": "Fragile", "engine": "fragile"},
        {"id": "once", "title": "One shot", "engine": "one_shot", "training": {"aggregation": "fedavg"}},
    ],
}


def test_a_plug_in_is_listed_run_and_shown(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "run", "--list").stdout
    for name in ("one_shot", "rounded", "brier", "blobs"):
        assert f"  {name} " in listed
    (tmp_path / "toys.yml").write_text(yaml.safe_dump(SUITE))
    done = run(installed, tmp_path, "run", "--suite", "toys.yml")
    assert done.returncode == 1, done.stderr
    folder = only_run(tmp_path / "results")
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert {"Rounded", "One shot"} <= set(page.column("Scores over both classes", "Brier score"))
    seen = {row[0][0]: [text for text, _ in row[1:]] for row in page.table("What each party can see")[1:]}
    assert seen["rounded"][0] == "every party's rounded gradient"
    assert "900 made-up points" in page.text
    # A bug of its own ends the plug-in's case, and no other.
    cases = {case["id"]: case for case in json.loads((folder / "run.json").read_text())["cases"]}
    assert [name for name, case in cases.items() if case["status"] != "ok"] == ["fragile"]
    assert "RuntimeError: a bug of somebody else's" in cases["fragile"]["error"]
    assert "toy_plugin/engine.py" in (folder / "logs" / "fragile.1" / "traceback.txt").read_text()
    wrong = {**SUITE, "defaults": {**SUITE["defaults"], "split": "quantity:11:1"}}
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(wrong))
    refused = run(installed, tmp_path, "run", "--suite", "wrong.yml")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "engine one_shot trains with 2 to 10 parties, not 11" in refused.stderr
