"""The documentation: its links lead somewhere, and what it lists is what there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from helpers import ROOT

from bench.data.kinds import KINDS
from bench.engines.federated.privacy.registry import MODES
from bench.engines.registry import ENGINES
from bench.model.scoring import metrics
from bench.results import record

FOLDERS = "bench|docs|inventory|playbooks|plugins|roles|templates|tests"
# What a reader of an example is to write.
EXAMPLES = (
    "bench/data/breast_cancer.py",
    "bench/engines/federated/privacy/rounded.py",
    "bench/engines/one_shot.py",
    "bench/model/metrics/brier.py",
    "bench/model/metrics/matthews.py",
    "bench/report/sections/descent.py",
    "roles/greeting/",
)
FILES = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True).stdout.split() or [
    str(path.relative_to(ROOT)) for folder in (".", "docs", "results") for path in (ROOT / folder).glob("*.md")
]


def content(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.lower())) for heading in headings]
    return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize("file", FILES)
def test_links_lead_to_files_and_headings(file: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(content(file))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        found = (ROOT / file).parent / path if path else ROOT / file
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("file", [file for file in FILES if file != "CHANGELOG.md"])
def test_files_that_are_named_are_there(file: str) -> None:
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w/.-]+)`", content(file)))
    assert not [name for name in named if not (ROOT / name).exists() and not name.startswith(EXAMPLES)]


@pytest.mark.parametrize(
    ("file", "names"),
    [("engines", ENGINES), ("privacy", MODES), ("data", KINDS), ("metrics", metrics())],
)
def test_tables_list_all_that_comes_with_the_kit(file: str, names: dict[str, object]) -> None:
    rows = [line.split("|")[1] for line in content(f"docs/{file}.md").splitlines() if line.startswith("|")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    own = {name for name, found in names.items() if type(found).__module__.startswith("bench.")}
    assert own <= listed


def test_metrics_say_which_way_is_better() -> None:
    lines = [line for line in content("docs/metrics.md").splitlines() if line.startswith("| `")]
    better = {
        name: line.split("|")[-2].strip() for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    for name, metric in metrics().items():
        if type(metric).__module__.startswith("bench."):
            assert better[name] == ("higher" if metric.higher_is_better else "lower")


def test_every_word_of_a_record_is_explained() -> None:
    text = content("docs/results.md")
    structs = [value for value in vars(record).values() if hasattr(value, "__struct_fields__")]
    missing = {name for struct in structs for name in struct.__struct_fields__ if not re.search(rf"\b{name}\b", text)}
    assert not missing


def test_both_languages_of_the_readme_have_the_same_sections_and_commands() -> None:
    english, chinese = content("README.md"), content("README.zh-CN.md")
    assert len(re.findall(r"^## ", english, re.MULTILINE)) == len(re.findall(r"^## ", chinese, re.MULTILINE))
    links = [
        {
            link
            for link in re.findall(r"\]\(([^)\s]+)\)", text)
            if not Path(link).name.startswith(("README", "report", "time"))
        }
        for text in (english, chinese)
    ]
    assert links[0] == links[1]
