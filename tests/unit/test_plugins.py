"""How plug-ins are found: the kit's own below a package, other people's by the entry points of what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.plugins import Found, Plugin, discover

GROUP = "federated_bench.toys"
CONTRACT = "from bench.plugins import Plugin\nclass Toy(Plugin):\n    def __init__(self, name): self.name = name\n"


BROKEN = """
from bench.plugins import Plugin
from test_plugins import Ball
NUMBER = 7
class Nameless(Plugin):
    pass
class Raising(Plugin):
    @property
    def name(self): return 1 / 0
class Made(Plugin):
    name = "toy"
    def __init__(self): {}["x"]
"""


class Ball(Plugin):
    name = "ball"


class Kite(Plugin):
    name = "kite"
    order = 5


BALL = Ball()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, with a package ``toys`` of the kit's own."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"toys_{abs(hash(tmp_path))}"  # no module of another test
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    return tmp_path / name


def distribution(folder: Path, name: str, entries: dict[str, str]) -> None:
    """Lay out a distribution as an installer leaves it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{entry} = {value}\n" for entry, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")


def found(place: Path) -> Found[Plugin]:
    return discover(place.name, Plugin, GROUP)


def test_modules_below_a_package_in_their_order_each_instance_once(place: Path) -> None:
    (place / "a.py").write_text("from test_plugins import BALL\nTOYS = (BALL,)\n")
    (place / "b.py").write_text("from test_plugins import BALL, Kite\nMORE = [Kite()]\nOTHERS = 'text'\n")
    assert list(found(place)) == ["kite", "ball"]


def test_subpackages_are_looked_into_but_not_programs(place: Path) -> None:
    (place / "sub").mkdir()
    (place / "sub" / "__init__.py").write_text("from test_plugins import BALL\n")
    (place / "__main__.py").write_text("raise SystemExit(1)\n")
    assert list(found(place)) == ["ball"]


def test_two_of_the_kits_own_with_one_name_are_refused(place: Path) -> None:
    (place / "a.py").write_text("from test_plugins import Ball\nONE, TWO = Ball(), Ball()\n")
    with pytest.raises(UserError, match="'ball' is the name of two"):
        found(place)


def test_entry_points_join_as_instance_or_class(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.py").write_text("from test_plugins import BALL\n")
    (place.parent / f"other_{place.name}.py").write_text(
        "from test_plugins import Kite\n" + CONTRACT + "T = Toy('top')\n"
    )
    distribution(place.parent, "others", {"kite": f"other_{place.name}:Kite", "top": f"other_{place.name}:T"})
    assert list(found(place)) == ["ball", "kite", "top"]
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module_at_all:X", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("{module}:NOTHING", "has no attribute 'NOTHING'"),
        ("{module}:NUMBER", "is not an instance of bench.plugins.Plugin"),
        ("{module}:Ball", "has another name than its entry point"),
        ("{module}:Nameless", "AttributeError"),
        ("{module}:Raising", "ZeroDivisionError: division by zero"),
        ("{module}:Made", "KeyError"),
        ("leaving_{module}:X", "SystemExit: bye"),
    ],
)
def test_a_broken_plugin_is_left_out_with_a_warning_and_named_is_an_error(
    place: Path, capsys: pytest.CaptureFixture[str], value: str, why: str
) -> None:
    (place / "a.py").write_text("from test_plugins import BALL\n")
    (place.parent / f"broken_{place.name}.py").write_text(BROKEN)
    (place.parent / f"leaving_broken_{place.name}.py").write_text("import sys\nsys.exit('bye')\n")
    distribution(place.parent, "breaks", {"toy": value.format(module=f"broken_{place.name}")})
    toys = found(place)
    assert list(toys) == ["ball"]
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: plug-in toy of breaks 1.0 cannot be used: ")
    assert why in warning
    with pytest.raises(UserError) as refused:
        toys.choose("toy", "toy")
    assert "breaks 1.0" in str(refused.value)
    assert why in str(refused.value)


class Toy(Plugin):
    """A contract that asks for more than a name."""

    colour: str


def test_what_a_contract_declares_must_be_given(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = f"plain_{place.name}"
    (place.parent / f"{module}.py").write_text(
        "from test_plugins import Toy\nclass Grey(Toy):\n    name = 'grey'\n"
        "class Red(Toy):\n    name, colour = 'red', 'red'\n"
    )
    distribution(place.parent, "paint", {"grey": f"{module}:Grey", "red": f"{module}:Red"})
    assert list(discover(place.name, Toy, GROUP)) == ["red"]
    assert "plug-in grey of paint 1.0 cannot be used" in capsys.readouterr().err


def test_a_name_that_is_taken(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.py").write_text("from test_plugins import BALL\n")
    distribution(place.parent, "rival", {"ball": "test_plugins:Ball"})
    distribution(place.parent, "first", {"kite": "test_plugins:Kite"})
    distribution(place.parent, "second", {"kite": "test_plugins:Kite"})
    toys = found(place)
    assert list(toys) == ["ball"]
    assert toys.choose("ball", "toy") is BALL
    assert "ball of rival 1.0 cannot be used: 'ball' is the name of one of the kit's own" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"second 1\.0 cannot be used: another distribution brings one of this name"):
        toys.choose("kite", "toy")


def test_an_unknown_name_is_answered_with_the_choices(place: Path) -> None:
    (place / "a.py").write_text("from test_plugins import BALL, Kite\nKITE = Kite()\n")
    with pytest.raises(UserError, match="toy: 'train' is unknown; choose from kite, ball"):
        found(place).choose("train", "toy")
