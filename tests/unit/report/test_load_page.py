"""The report's section on load: its numbers are those of load.json and load.csv, in both languages."""

from __future__ import annotations

import json
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fixture_run import write_run
from languages import both, numbers, untranslated
from page_helpers import Page

from bench.load import knee
from bench.load.memory_trend import growth
from bench.report import __main__ as main_of_report
from bench.report import writer
from bench.results import load_tests
from bench.stats import formatting

CALLS = {"calls": ["POST /federation/v1/inference"], "bytes": 900}


def percentiles(p50: float, times: float = 3) -> dict[str, float]:
    return {"p50": p50, "p90": 2 * p50, "p99": times * p50, "max": 9 * p50}


def step(number: int, rate: float | None, users: int, p50: float, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "loop": "closed" if rate is None else "open",
        "rate": rate,
        "users": users,
        "requests": 1000 + number,
        "unsent": 0,
        "rate_offered": rate,
        "rate_achieved": 0.99 * (rate or 700 * users),
        "from_due": percentiles(p50),
        "from_sent": percentiles(p50, 2.5),
        "late": percentiles(1e-4),
        "errors": {},
        "failed": None,
        "generator_limited": False,
        "server": {"cpu_percent": 10.5 * number, "rss_bytes": 45.6e6 + number},
        "generator": {"cpu_percent": 8.25 * number, "rss_bytes": 60e6},
        **more,
    }


def test_of(name: str, kind: str, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    loop = steps[0]["loop"]
    return {
        "name": name,
        "url": "http://127.0.0.1:8059",
        "target": "serving",
        "model": "federated",
        "loop": loop,
        "kind": kind,
        "request": {**CALLS, "rows": 1, "raw": False},
        "bound_seconds": 0.05 if loop == "open" else None,
        "ramp_seconds": 2.0,
        "steady_seconds": 5.0,
        "server_measured": "processes",
        "generator_here": True,
        "complete": True,
        "stopped": None,
        "steps": steps,
        "repeat": None,
        "knee": None,
        "memory": None,
        "jobs": None,
        **more,
    }


test_of.__test__ = False  # type: ignore[attr-defined]

SEARCH = [
    step(1, 400, 40, 0.001),
    step(2, 800, 80, 0.002),
    step(3, 1600, 160, 0.03, failed="p99 above bound"),
    step(4, 1600, 160, 0.9, failed="errors", errors={"retcode 110": 7, "no answer in time": 2}),
    step(5, 1131, 113, 0.04, failed="p99 above bound", generator_limited=True, server=None),
]
FOUND = {"held": 800.0, "failed": 1131.0, "unclear": None, "ended": "service", "precision": 0.1}


def write(run: Path, *tests: dict[str, Any]) -> Path:
    for each in tests:
        rows = [
            {
                **dict.fromkeys(load_tests.COLUMNS[1:]),
                "step": 1,
                "second": second,
                "phase": "ramp" if second < 0 else "steady",
                "due": 100,
                "answered": 100 + second % 3,
                "errors": second % 2,
                "server_cpu_percent": 20.0,
                "server_rss_bytes": 45e6 + 4096 * second,
            }
            for second in range(-2, 60)
        ]
        load_tests.save(run, each, rows)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    seconds = [float(second) for second in range(60)]
    closed = [step(number, None, users, 0.0005 * users) for number, users in enumerate((1, 2, 4), start=1)]
    flow = {"calls": ["GET /v2/server/fateflow"], "rows": None, "raw": None, "bytes": 0}
    jobs = [{"job_id": "1", "status": "success", "seconds": 0.1}, {"error": "HTTP 500", "seconds": 0.1}]
    return write(
        write_run(tmp_path_factory.mktemp("load") / "run"),
        test_of("a", "knee", SEARCH, knee=FOUND),
        test_of("b", "users", closed, repeat=2, request={**CALLS, "rows": 100, "raw": True}),
        test_of("c", "hold", [step(1, 100, 16, 0.001)], memory=growth(seconds, [45e6 + 4096 * t for t in seconds])),
        test_of(
            "d",
            "rates",
            [step(1, 10, 16, 0.01)],
            target="flow",
            request=flow,
            jobs=jobs,
            complete=False,
            stopped="the service stopped answering",
        ),
    )


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(writer.render(run).read_text(encoding="utf-8"))


def steps_of(page: Page, title: str, heading: str) -> dict[str, tuple[str, float | None]]:
    """A column of a table of steps, by the step's number."""
    return {row.split(":")[0]: cell for row, cell in page.column(title, heading).items()}


def facts(run: Path) -> list[dict[str, Any]]:
    return list(json.loads((run / "load.json").read_text())["measurements"])


TITLES = (
    "Steps of Model federated, one record a request, open loop, 127.0.0.1:8059; each",
    "Steps of Model federated, repeat 2, 100 records a request, raw columns, closed loop, 127.0.0.1:8059; each",
    "Steps of Model federated, one record a request, open loop, held for 5\N{NO-BREAK SPACE}s, 127.0.0.1:8059; each",
    "Steps of FATE Flow, open loop, 127.0.0.1:8059; each",
)


def test_steps_are_those_of_load_json(page: Page, run: Path) -> None:
    for title, found in zip(TITLES, facts(run), strict=True):
        is_open = found["loop"] == "open"
        columns = {
            heading: steps_of(page, title, heading)
            for heading in (
                "Requests",
                "Answered",
                "p50",
                "p99 (",
                "Errors",
                "Service's",
                "Its",
                "Generator's",
            )
        }
        load = steps_of(page, title, "Due" if is_open else "Callers")
        assert len(load) == len(found["steps"])
        for made in found["steps"]:
            row = {heading: column[str(made["number"])] for heading, column in columns.items()}
            assert load[str(made["number"])][1] == (made["rate"] if is_open else made["users"])
            assert row["Requests"] == (formatting.count(made["requests"]), made["requests"])
            assert row["Answered"][1] == made["rate_achieved"]
            for heading, key in (("p50", "p50"), ("p99 (", "p99")):
                assert row[heading][1] == made["from_due"][key]
                assert float(row[heading][0].replace(",", "")) == pytest.approx(1e3 * made["from_due"][key], rel=6e-3)
            assert row["Errors"][1] == sum(made["errors"].values())
            server = made["server"] or {"cpu_percent": None, "rss_bytes": None}
            assert row["Service's"][1] == server["cpu_percent"]
            assert row["Its"][1] == server["rss_bytes"]
            assert row["Generator's"][1] == made["generator"]["cpu_percent"]
            if is_open:
                sent = steps_of(page, title, "p99 from sending")[str(made["number"])]
                assert sent[1] == made["from_sent"]["p99"]
    assert list(page.column(TITLES[0], "Errors")) == [
        "1: held",
        "2: held",
        "3: p99 above bound",
        "4: errors; 7 times retcode 110, 2 times no answer in time",
        "5: generator at its limit",
    ]
    assert steps_of(page, TITLES[0], "Service's")["5"] == (formatting.NOT_MEASURED, None)


def test_every_load_test_is_summed_up(page: Page, run: Path) -> None:
    knees = page.column("Every load test", "Maximum sustainable")
    assert list(knees.values()) == [("800", 800.0), *[("not searched", None)] * 3]
    answered = page.column("Every load test", "Answered")
    shown = [found["steps"][place] for found, place in zip(facts(run), (1, 2, 0, 0), strict=True)]
    assert [value for _, value in answered.values()] == [made["rate_achieved"] for made in shown]
    p99 = page.column("Every load test", "p99")
    assert [value for _, value in p99.values()] == [made["from_due"]["p99"] for made in shown]
    assert (
        "800 requests/s were held with p99 within 50\N{NO-BREAK SPACE}ms and no errors; 1,130 requests/s were not"
        in page.text
    )
    assert "not complete: it ended after 1 step (the service stopped answering)." in page.text
    assert "2 toy jobs were submitted" in page.text and "1 success, 1 refused" in page.text


def test_memory_over_time_is_that_of_load_csv(page: Page, run: Path) -> None:
    column = page.column("The same in stretches of 5 s", "Memory")
    assert [(row, value) for row, (_, value) in column.items()] == [
        (str(start), 45e6 + 4096 * (start + 4)) for start in range(0, 60, 5)
    ]
    assert (
        "memory changed from 45.0\N{NO-BREAK SPACE}MB to 45.2\N{NO-BREAK SPACE}MB, the fitted slope is 246 kB a minute"
        in page.text
    )


def test_every_plot_has_its_table_and_the_knee_is_marked(page: Page, run: Path) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")
    section = html[html.index('<section id="load">') :]
    section = section[: section.index("</section>")]
    # Latency, CPU and memory of the two that have steps at several loads, and memory over time.
    assert section.count("<figure>") == 2 * 3 + 1
    assert section.count("<table") == 1 + 4 + 1
    assert section.count("maximum sustainable throughput <small>800</small>") == 1
    assert "further up, above 4 times the bound" not in section  # the better of two tries is drawn
    assert 'href="#load"' in html


def test_a_run_without_load_has_no_section(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert 'id="load"' not in writer.render(run).read_text(encoding="utf-8")
    load_tests.save(run, test_of("a", "knee", SEARCH, knee=FOUND), [])
    assert 'id="load"' in writer.render(run).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("found", "said", "cell"),
    [
        (
            knee.Knee(800, None, 870, "generator"),
            "the generator was at its limit, so the maximum is there or higher",
            "800 or more",
        ),
        (
            knee.Knee(800, 1600, 870, "generator"),
            "1,600 requests/s were not, and between them the generator was at its limit",
            "800 to 1,600",
        ),
        (knee.Knee(None, None, 400, "generator"), "at the lowest, 400 requests/s, the generator", "not found"),
        (knee.Knee(None, 6.25, None, "none"), "the lowest tried was 6.25 requests/s", "not found"),
        (knee.Knee(800, None, None, "most"), "the highest rate that is tried", "800 or more"),
        (knee.Knee(800, None, None, "gone"), "the service stopped answering", "not found"),
        (None, "the search for the maximum sustainable throughput did not end", "not found"),
    ],
)
def test_why_there_is_no_knee(tmp_path: Path, found: knee.Knee | None, said: str, cell: str) -> None:
    run = write(
        write_run(tmp_path / "run"), test_of("a", "knee", SEARCH, knee=None if found is None else found._asdict())
    )
    page = Page(writer.render(run).read_text(encoding="utf-8"))
    assert said in page.text
    (shown,) = page.column("Every load test", "Maximum sustainable").values()
    assert shown == (cell, None)


def test_a_damaged_load_csv_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(run, tmp_path / "run"))
    path = run / "load.csv"
    path.write_text(path.read_text().replace("45008192.0", "much"))
    assert main_of_report.main([str(run)]) == 2
    said = capsys.readouterr().err
    assert "load.csv" in said and said.count("\n") == 1


def test_in_chinese_it_has_the_same_numbers_and_no_english(run: Path) -> None:
    cut = [page[page.index('<section id="load">') :].split("</section>")[0] for page in both(run)]
    assert untranslated(cut[1], ["federated", "retcode", "FATE Flow", "toy", "success"]) == []
    assert numbers(unescape(cut[0])) == numbers(unescape(cut[1]))


def test_of_a_rate_that_was_measured_twice_the_step_that_held_is_drawn(tmp_path: Path) -> None:
    """Not the one whose errors came quickly."""
    refused = step(2, 800, 80, 0.0001, failed="errors", errors={"HTTP 503": 300})
    steps = [step(1, 400, 40, 0.001), refused, step(3, 800, 80, 0.012)]
    found = {"held": 800.0, "failed": None, "unclear": None, "ended": "most", "precision": 0.1}
    run = write(write_run(tmp_path / "run"), test_of("a", "knee", steps, knee=found))
    html = writer.render(run).read_text(encoding="utf-8")
    figure = html[html.index('<section id="load">') :].split("<figure>")[1].split("</figure>")[0]
    assert ">40<" in figure  # the axis of milliseconds reaches to p99 of the third step


def test_what_is_said_of_a_load_test_is_its_step_that_held(tmp_path: Path) -> None:
    """Not the step with most answers, where that failed."""
    steps = [step(1, 200, 20, 0.002), step(2, 3000, 300, 2.6, failed="p99 above bound")]
    run = write(write_run(tmp_path / "run"), test_of("a", "rates", steps))
    page = Page(writer.render(run).read_text(encoding="utf-8"))
    assert "198 requests/s were answered at the most without a failure of the step, with p50 2.00" in page.text
    assert "2,970 requests/s were" not in page.text


WRONG = [
    {"steps": [{**step(1, 10, 16, 0.01), "errors": None}]},
    {"steps": [{**step(1, 10, 16, 0.01), "from_due": {"p50": 1.0}}]},
    {"steps": [{**step(1, 10, 16, 0.01), "rate": None}]},
    {"kind": "knee", "knee": {"held": 3.0}},
    {"memory": {"bytes_per_minute": 1.0}},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_load_json_with_a_wrong_part_is_one_line(
    tmp_path: Path, wrong: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(write_run(tmp_path / "run"), {**test_of("a", "rates", [step(1, 10, 16, 0.01)]), **wrong})
    assert main_of_report.main([str(run)]) == 2
    said = capsys.readouterr().err
    assert "load.json: measurements[0] is not as it was written" in said and said.count("\n") == 1
