"""The report in Chinese: the same page with the same figures, and no word of English that is not a name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from fixture_run import note, write_run
from helpers import ROOT
from languages import NAMES, SPOKEN, WORDS, both, numbers, untranslated
from page_helpers import Page, change

from bench.data import kinds
from bench.engines.federated.arbiter import WENT_ON
from bench.engines.federated.contract import Shape
from bench.engines.federated.privacy.registry import MODES
from bench.engines.registry import ENGINES
from bench.i18n import language, messages
from bench.measure import environment
from bench.measure.spans import PHASES
from bench.report import __main__ as main_of_report
from bench.report import writer
from bench.results.record import STATES
from bench.run.session import RESUMED
from bench.suites import schema

CATALOGUE = ROOT / "bench" / "i18n" / "locale" / "zh" / "LC_MESSAGES"


def names_in(run: Path) -> list[str]:
    """What a page shows as the run and its suite call it: titles, errors, options, hardware and software."""
    content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    machine = content["environment"] or {}
    suite_facts = content["suite"] or {}
    names = [
        suite_facts["title"],
        suite_facts["description"],
        *(machine.get(key) for key in ("cpu", "os", "kernel")),
    ]
    names += machine.get("packages") or {}
    for case in content["cases"]:
        names += [case["title"], case["error"]]
    return [str(name) for name in names if name]


def troubled(content: dict[str, Any]) -> None:
    """Give a run all that speaks against relying on it."""
    content["revision"]["dirty"] = True
    content["finished"] = None
    content["environment"]["virtualised"] = True
    content["environment"]["warnings"] = [
        asdict(environment.BUSY.of(load=1.31, cores=2)),
        asdict(environment.SHARED.of(processes=11, cores=2)),
        "the machine is virtual: others on the same hardware can slow it down unseen",
        "the machine runs on battery: it may be throttled",
        asdict(RESUMED.of(facts="kernel")),
    ]
    federated, average = content["cases"][3:5]
    federated["time"]["epoch_seconds"]["high"] *= 2
    federated["dropped_out"] = [{"repeat": 2, "party": "9998"}]
    federated["notes"] = [note(WENT_ON, 2, party="9998", role="host", epoch=4)]
    federated["time"]["stages"] = {"start of FATE Flow": None, "HomoLR: epochs": federated["time"]["epoch_seconds"]}
    average["time"]["by_party"]["9998/host"]["attributed_share"]["low"] = 0.8
    average["bytes"] = None


def emptied(content: dict[str, Any]) -> None:
    """Leave of a run nothing but its cases."""
    for case in content["cases"]:
        case.update(metrics=None, models={}, time=None, bytes=None, resources=None, loss=None, notes=[])
        case.update(status="pending", repeats_done=[], epochs_run=[])
    content.update(datasets={}, command=None, revision=None, environment={}, measuring=None)


def runs(folder: Path) -> Iterator[Path]:
    yield write_run(folder / "protected", protected=True)
    yield write_run(folder / "single", repeats=1, synthetic=True)
    yield write_run(folder / "whole", repeats=5, unfinished=False, protected=True)
    yield change(write_run(folder / "troubled"), troubled)
    yield change(write_run(folder / "empty"), emptied)


def test_both_pages_have_the_same_figures_and_structure_and_one_has_no_english(tmp_path: Path) -> None:
    for run in runs(tmp_path):
        english, chinese = both(run)
        ours, theirs = Page(english), Page(chinese)
        for tag, other in zip(ours.tags, theirs.tags, strict=True):
            assert tag[0] == other[0]
            kept = [{key: value for key, value in attrs.items() if key not in SPOKEN} for _, attrs in (tag, other)]
            assert kept[0] == kept[1], run
        assert theirs.tags[0] == ("html", {"lang": "zh-CN"})
        for rows, others in zip(ours.tables.values(), theirs.tables.values(), strict=True):
            for row, other_row in zip(rows, others, strict=True):
                for (text, value), (other_text, other_value) in zip(row, other_row, strict=True):
                    assert value == other_value
                    assert numbers(text) == numbers(other_text)
        assert numbers(ours.text) == numbers(theirs.text)
        assert untranslated(chinese, names_in(run)) == []
        assert len(untranslated(english, names_in(run))) > 30  # so the search finds what it is for


def test_sentences_are_whole(tmp_path: Path) -> None:
    text = Page(both(write_run(tmp_path / "run", protected=True))[1]).text
    assert re.search(
        r"逐次重复相比，Federated, FedSGD 每个 epoch 的耗时是集中训练的 0\.\d+ 倍（3 次重复之比的几何平均值，", text
    )
    assert "在最大参与方 10000/host（45,695 行训练数据）的一个 epoch 中：计算 7" in text
    assert "所有参与方每个 epoch 共发送 1,206\N{NO-BREAK SPACE}B（3 次均相同）" in text
    assert "12 个用例中有 2 个失败或未完成：Federated, Paillier；Federated, DP。" in text
    assert "9 个完成、1 个失败、1 个跳过、1 个待运行" in text
    assert "第 1 次重复：参与方 9998 只有一个类别（Charged Off）" in text
    assert "party 9998/host did not answer within 10 s (epoch 3)" in text  # an error stays as it was recorded
    assert "python -m bench.report" in text
    assert " --lang zh" in text


# What is recorded in English


def check_translated(lines: list[messages.Line]) -> None:
    with language.spoken("zh"):
        for line in lines:
            said = messages.say(line)
            assert said != messages.english(line), line
            rest = said
            for name in NAMES:
                rest = rest.replace(name, "0")
            assert not WORDS.search(rest), said
    for line in lines:
        assert messages.say(line) == messages.english(line)


def test_what_the_kit_records_is_translated() -> None:
    shape = Shape(3, 37)
    lines: list[messages.Line] = [*PHASES, *STATES]
    for engine in ENGINES.values():
        for privacy in engine.privacy_modes.values():
            lines += asdict(privacy.visibility).values() if privacy.visibility else []
    for mode in MODES.values():
        for side in ("party", "arbiter"):
            lines += mode.operations(shape, {**mode.options, "threshold": 2}, side)
    for name in schema.available():
        description = yaml.safe_load((ROOT / "bench" / "suites" / f"{name}.yml").read_text())["description"]
        lines.append(" ".join(description.split()))
    lines += MODES["paillier"].notes({"key_bits": 1024})
    for protects in ("row", "party"):
        options = {"epsilon": 1.0, "delta": 1e-6, "protects": protects, "noise_multiplier": 23.1}
        lines += MODES["dp"].notes(options)
    check_translated(lines)


def test_the_preparation_of_data_is_translated(tmp_path: Path) -> None:
    options = {"kind": "synthetic", "rows": 2000, "charged_off_share": 0.3}
    steps = kinds.load(options, tmp_path).funnel
    assert len(steps) > 7
    check_translated([kinds.describe(options), *(step.step for step in steps)])
    check_translated([step.note for step in steps if " " in str(step.note) and "_d," not in str(step.note)])


def test_what_no_catalogue_has_stays_as_it_was_recorded() -> None:
    with language.spoken("zh"):
        assert messages.say("[Errno 28] {no} space left: 'x'") == "[Errno 28] {no} space left: 'x'"
        assert messages.say(messages.Message("odd", "{no} space", {"no": "{x}"})) == "{x} space"


# The catalogue


def catalogue() -> Catalog:
    with (CATALOGUE / "report.po").open("rb") as file:
        return read_po(file, locale="zh")


def forms(message: Message) -> list[tuple[str, ...]]:
    """The English forms of a message and the translated ones: singular and plural, or the only one."""
    return [(form,) if isinstance(form, str) else tuple(form) for form in (message.id, message.string)]


def placeholders(text: str) -> set[str]:
    named = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    return named | set(re.findall(r"%\((\w+)\)s", text))


def test_every_message_has_a_translation_with_the_same_placeholders() -> None:
    with (ROOT / "bench" / "i18n" / "locale" / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    keywords = {"gettext": None, "_": None, "ngettext": (1, 2), "gettext_noop": None}
    used = {found[2] for found in extract_from_dir(ROOT, methods, options, keywords)}
    known = [message for message in catalogue() if message.id]
    assert len(used) > 300
    assert used == {message.id for message in known}
    for message in known:
        english, translated = forms(message)
        assert not message.fuzzy
        assert all(translated), message.id
        for form in translated:
            assert placeholders(form) == placeholders(english[-1]), message.id


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    with (CATALOGUE / "report.mo").open("rb") as file:
        compiled = read_mo(file)
    both_ways = [dict(map(forms, (message for message in each if message.id))) for each in (compiled, catalogue())]
    assert both_ways[0] == both_ways[1]


# The command line


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_the_chinese_report_lies_beside_the_english_one(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_of_report.main([str(run)]) == 0
    before = (run / "report.html").read_bytes()
    assert main_of_report.main([str(run), "--lang", "zh"]) == 0
    assert capsys.readouterr().out.split() == [str(run / "report.html"), str(run / "report.zh.html")]
    assert (run / "report.html").read_bytes() == before
    assert main_of_report.main([str(run), "--lang", "en"]) == 0
    assert (run / "report.html").read_bytes() == before


def test_the_languages_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main_of_report.main([str(run), "--lang", "nl"])
    assert caught.value.code == 2
    assert "(choose from 'en', 'zh')" in capsys.readouterr().err


def test_a_report_that_is_there_in_another_language_is_not_left_old(run: Path) -> None:
    assert writer.render_all(run) == [run / "report.html"]
    (run / "report.zh.html").write_text("old")
    assert writer.render_all(run) == [run / "report.html", run / "report.zh.html"]
    assert "联邦训练与集中训练的对比" in (run / "report.zh.html").read_text(encoding="utf-8")


def test_a_missing_catalogue_is_named_in_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(language, "LOCALE", tmp_path)
    assert main_of_report.main([str(run), "--lang", "zh"]) == 2
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1
    assert "zh" in shown
    assert not (run / "report.zh.html").exists()
