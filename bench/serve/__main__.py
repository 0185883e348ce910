"""The command line of the service: ``python -m bench.serve``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import cli
from bench.serve.service import _serve

EXAMPLES = """\
examples:
  python -m bench.serve results/20261124-140501-quick --case federated
  python -m bench.serve results/20261124-140501-quick --case local --model 9998 --port 8060
  python -m bench.serve results/20261124-140501-quick --case federated --host 0.0.0.0 --token-file token.txt

  curl http://127.0.0.1:8059/federation/v1/inference --data \\
    '{"head": {"serviceId": "federated"}, "body": {"featureData": {"loan_amnt": 5000, "term": " 36 months", ...}}}'

Paths: /federation/v1/inference, /federation/v1/batchInference, /health, /metrics, /openapi.json.
Exit status: 0 after Ctrl-C or SIGTERM, or 2 with one line where there is nothing to serve.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = cli.argument_parser(
        "serve",
        "Serve a model of a run over HTTP, the way FATE-Serving answers.",
        EXAMPLES,
    )
    add = made.add_argument
    add("run", metavar="RUN", type=Path, help="a run folder")
    add("--case", metavar="ID", required=True, help="the case whose model is served, and the serviceId of requests")
    add("--repeat", type=int, metavar="N", help="the repeat it was trained in; default: the first that is finished")
    add("--model", metavar="NAME", help="which one, where the case has several (engine local: a party's id)")
    add("--host", default="127.0.0.1", help="address to listen on; any but a loopback address needs --token-file")
    add("--port", type=int, default=8059, help="default: 8059, as FATE-Serving's proxy; 0: any free one")
    add("--token-file", type=Path, metavar="F", help="a file whose one line callers must send as a bearer token")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    chosen = parser().parse_args(arguments)
    return cli.exit_status(lambda: _serve(chosen))


if __name__ == "__main__":
    sys.exit(main())
