"""The page templates: where they are, and how they are loaded."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jinja2

from bench.errors import UserError
from bench.i18n import language

TEMPLATES = Path(str(resources.files("bench") / "templates"))


def template(name: str) -> jinja2.Template:
    """Return the page template of this name; UserError where it is not there."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(language.gettext, language.ngettext)  # type: ignore[attr-defined]
    try:
        return environment.get_template(name)
    except jinja2.TemplateNotFound as error:
        raise UserError(f"{TEMPLATES / name}: not found; install the kit again") from error
