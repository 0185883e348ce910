from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixture_run import write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.engines.federated.contract import Shape
from bench.engines.federated.privacy.registry import MODES
from bench.predict import __main__ as cli_of_predict
from bench.predict import cost
from bench.predict.cost import Model, Work
from bench.results.view import open_run

PARTS = ("computing", "party", "arbiter", "messages", "network", "sharing")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("predict") / "run", protected=True)


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    """The model of mode masked."""
    return next(model for model in cost.calibrated(open_run(run))[0] if model.privacy == "masked")


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli_of_predict.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli_of_predict.main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    return shown.err


def column(text: str, case: str) -> dict[str, float]:
    """A column of the table of predictions."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:1] == ["federated"])
    place = lines[start].split().index(case)
    rows = {}
    for line in lines[start + 1 : lines.index("", start)]:
        name, *cells = re.split(r"\s{2,}", line.strip())
        rows[name] = float(cells[place].replace(",", ""))
    return rows


def test_it_prints_what_an_epoch_is_made_of(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, run)
    for case, mode in (("federated", "plain"), ("masked", "masked"), ("paillier", "paillier")):
        found = column(text, case)
        epoch, *parts = [value for name, value in found.items() if "(B)" not in name]
        assert epoch == pytest.approx(sum(parts), rel=0.02)
        sizes = MODES[mode].sizes(Shape(3, 37), MODES[mode].options)
        assert [found[f"{way} a party (B)"] for way in ("sent", "received")] == list(sizes)
    assert "91,389 rows x 37 features, 3 parties (25/25/50)" in text
    assert "all processes on one machine with 2 cores" in text


def test_it_prints_its_error_on_held_out_cases(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_run(tmp_path / "slow", protected=True, pace=3.0, seed=2)
    text = printed(capsys, run, "--against", other, "--privacy", "masked")
    found = {}
    for line in text.split("Held-out")[1].splitlines()[2:-1]:
        name, calibrated_on, measured, predicted, error = re.split(r"\s{2,}", line.strip())
        assert calibrated_on == "masked"
        found[name] = float(measured), float(predicted)
        percent = float(error.split()[0].replace("\N{MINUS SIGN}", "-"))
        assert percent == pytest.approx(100 * (found[name][1] / found[name][0] - 1), abs=1.5)
    slow = open_run(other)
    name = slow.record.run_id
    assert set(found) == {"masked-5", f"{name}: masked", f"{name}: masked-5"}
    assert found[f"{name}: masked-5"][0] == pytest.approx(1e3 * slow.case("masked-5").epoch.median, rel=0.01)
    # Calibrated on a machine three times as fast.
    assert "Off by more than 20\N{NO-BREAK SPACE}% in" in text.splitlines()[-1]
    assert f"{name}: masked (" in text.splitlines()[-1]


def test_it_takes_the_newest_run_of_several_modes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "python -m bench.run --suite privacy" in refused(capsys)
    for name, created, protected in (("a", "2026-11-24", True), ("b", "2026-11-25", True), ("c", "2026-11-26", False)):
        folder = write_run(tmp_path / "results" / name, protected=protected)
        content = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**content, "created": created, "run_id": name}))
    (tmp_path / "results" / "damaged").mkdir()
    (tmp_path / "results" / "damaged" / "run.json").write_text("{")
    assert printed(capsys).startswith("Calibrated on b,")


def test_a_network_is_taken_at_its_word(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Masked: two round trips, and all parties' bytes both ways through the arbiter's link."""
    near = column(printed(capsys, run, "--rtt", 0), "masked")
    far = column(printed(capsys, run, "--rtt", 100, "--bandwidth", 0.1), "masked")
    wire = 3 * (near["sent a party (B)"] + near["received a party (B)"]) * 8 / 0.1e6
    assert far["network"] == pytest.approx(2 * 100 + 1e3 * wire, rel=0.01)
    assert far["waiting for a core"] == near["network"] == 0


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--rows", "0"], "--rows: 0"),
        (["--rows", "-5"], "--rows: -5"),
        (["--features", "0"], "--features: 0"),
        (["--parties", "0"], "--parties: 0"),
        (["--rows", "5", "--parties", "10"], "--rows: 5 rows are not enough for 10 parties"),
        (["--bandwidth", "0"], "--bandwidth: 0"),
        (["--bandwidth", "nan"], "--bandwidth: nan"),
        (["--rtt", "-1"], "--rtt: -1"),
        (["--privacy", "dp"], "--privacy: 'dp' cannot be predicted from"),
        (["--against", "nowhere"], "nowhere: not a run folder"),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], names: str
) -> None:
    assert names in refused(capsys, run, *arguments)


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    def edit(case: dict[str, Any]) -> None:
        for facts in case["time"]["by_party"].values():
            facts.pop(key)

    return edit


def _counted_otherwise(case: dict[str, Any]) -> None:
    case["time"]["by_party"]["9998/host"]["operations"]["seal or open"]["count"]["median"] = 5.0


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (_without("cpu_phases"), "CPU seconds by phase are not measured"),
        (_counted_otherwise, "was done 5 times an epoch where 4 were expected"),
        (lambda case: case.update(status="failed"), "it has plain, paillier"),
    ],
)
def test_a_mode_that_cannot_be_calibrated_says_why(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Callable[[Any], object], why: str
) -> None:
    content = json.loads((run / "run.json").read_text())
    for case in content["cases"]:
        if case["id"] == "masked":
            edit(case)
        elif case["id"] == "masked-5":
            case["status"] = "failed"
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert why in refused(capsys, tmp_path, "--privacy", "masked")


def test_a_run_without_federated_cases_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((run / "run.json").read_text())
    content["cases"] = content["cases"][:3]
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert "nothing to predict from: no case of engine federated has finished" in refused(capsys, tmp_path)


rows = st.lists(st.integers(1, 10**7), min_size=2, max_size=40).map(lambda parts: tuple(map(float, parts)))


@given(rows, st.integers(1, 500), st.integers(1, 64))
def test_an_epoch_is_no_shorter_than_what_must_be_done(
    model: Model, rows: tuple[float, ...], features: int, cores: int
) -> None:
    shared = cost.predict(model, Work(rows, features, cores))
    apart = cost.predict(model, Work(rows, features, None))
    for found in (shared, apart):
        assert found.epoch == pytest.approx(sum(getattr(found, part) for part in PARTS))
        assert min(getattr(found, part) for part in PARTS) >= 0
    loads = [model.host.computing(n, features) + shared.party + model.steps * model.host.step for n in rows]
    assert shared.epoch >= max(*loads, sum(loads) / cores) * (1 - 1e-9)
    assert apart.sharing == 0


@given(st.floats(0, 1), st.floats(1e-12, 1e-6), st.lists(st.floats(1, 1e6), min_size=2, max_size=6))
@settings(max_examples=50)
def test_the_computing_of_parties_on_a_line_is_found_again(fixed: float, rate: float, sizes: list[float]) -> None:
    apart = [*sizes, 2 * max(sizes)]
    found = cost.line(apart, [fixed + rate * size for size in apart])
    for size in apart:
        assert found[0] + found[1] * size == pytest.approx(fixed + rate * size, rel=1e-6)
