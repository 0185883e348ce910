"""Gives FATE Flow a home of its own, for every process of it that loads this.

FATE Flow keeps the paths of its home inside its package (`fate_flow init` writes them there), so that one environment
has one home. Here the module that holds them, fate_flow.settings, is made before anybody imports it: the package's own,
with paths in a folder that belongs to one benchmark.
"""

import importlib.util
import sys
import types
from pathlib import Path


def settle(home: Path) -> None:
    """Let FATE Flow in this process live in ``home``, and read its configuration in ``home/conf``."""
    package = importlib.util.find_spec("fate_flow")
    if package is None or not package.submodule_search_locations:
        return  # another Python than FATE's
    source = Path(package.submodule_search_locations[0], "settings.py")
    module = types.ModuleType("fate_flow.settings")
    module.__file__ = str(source)
    exec(compile(source.read_text(), str(source), "exec"), module.__dict__)  # noqa: S102
    folders = {"LOG_DIR": "logs", "DATA_DIR": "data", "MODEL_DIR": "model", "JOB_DIR": "jobs"}
    vars(module).update({name: str(home / folder) for name, folder in folders.items()})
    vars(module).update(DEFAULT_SERVER_CONF_PATH=str(home / "conf"), SQLITE_FILE_DIR=str(home))
    sys.modules["fate_flow.settings"] = module
