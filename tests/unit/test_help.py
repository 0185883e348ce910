"""The kit's programs, as a user meets them first."""

from __future__ import annotations

import pytest

from bench.__main__ import PROGRAMS, load


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_of_every_program_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        load(name).main(["--help"])
    assert "example" in capsys.readouterr().out
