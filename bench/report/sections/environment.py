"""The report's section on what the run was measured on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.i18n.language import gettext, listed
from bench.pages import elements
from bench.report.section import Block, Section
from bench.results.view import RunView


class Environment(Section):
    """The machine and its software."""

    name, order = "environment", 120

    def title(self) -> str:
        """Return its heading."""
        return gettext("Environment")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Environment")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return one table."""
        facts = run.environment
        logical, physical = (elements.text(cores).text for cores in (facts.cores_logical, facts.cores_physical))
        memory = facts.memory_bytes
        values = {
            "CPU": facts.cpu,
            gettext("Cores, logical and physical"): gettext(
                "{logical} and {physical}", logical=logical, physical=physical
            ),
            gettext("Memory"): None if memory is None else f"{memory / 1e9:.1f} GB",
            gettext("Operating system"): facts.os,
            gettext("Kernel"): facts.kernel,
            gettext("Virtualisation"): _yes_or_no(facts.virtualised),
            gettext("CPU governor"): facts.cpu_governor,
            gettext("CPU boost"): _yes_or_no(facts.cpu_boost),
            "Python": facts.python,
            gettext("Threads per process"): facts.threads_per_process,
            "BLAS": facts.blas,
            gettext("Kit"): run.record.kit_version,
            gettext("Packages"): listed(f"{name} {version}" for name, version in facts.packages.items()) or None,
        }
        return [elements.facts(gettext("Environment"), values)]


SECTION = Environment()


def _yes_or_no(value: object) -> object:
    return (gettext("yes") if value else gettext("no")) if isinstance(value, bool) else value
