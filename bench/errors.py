"""Errors that a user can cause or mend."""


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one line.

    The command line prints it without a traceback and exits with status 2.
    """


class CaseError(Exception):
    """Why one case of a run failed (one line that names the party at fault). The other cases go on."""
