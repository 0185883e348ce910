"""Keeps the broker's password out of FATE's logs.

FATE Flow logs the parameters of every task, and the password is among them. Every Python of the image loads this.
"""

import logging
import re
from pathlib import Path


def hide(secret):
    """Make every log record that is made from now on without the secret."""
    make = logging.getLogRecordFactory()

    def make_without(*args, **kwargs):
        record = make(*args, **kwargs)
        try:
            message = record.getMessage()
        except Exception:  # a record that cannot be formatted is logging's own affair
            return record
        if secret in message:
            record.msg, record.args = message.replace(secret, "***"), ()
        return record

    logging.setLogRecordFactory(make_without)


try:
    _found = re.search(r"^    password: (\S+)$", Path("/etc/fate/service_conf.yaml").read_text(), re.MULTILINE)
except OSError:  # not FATE Flow's container
    _found = None
if _found:
    hide(_found[1])
