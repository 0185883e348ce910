"""Words and lines of English that are no part of a page: what run.json holds, and the verdicts of a comparison.

Runs are recorded in English. To say in another language what was recorded, a line is matched with the templates below;
one that matches none, such as an error of some library, is shown as it is. A line that the kit no longer records stays
in the list, for the runs that hold it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from bench.i18n.language import gettext, gettext_noop

Value = str | int | float


@dataclass(frozen=True)
class Message:
    """A line that is recorded: a ``code`` for programs, and for readers its English ``text`` with ``values``.

    ``text`` is a template of str.format, marked with gettext_noop where it is written, so that the line can be said in
    another language later. A template is made once, as a constant of the module whose line it is:
    ``ITERATIONS = Message("scikit_learn_iterations", gettext_noop("the solver took {n} iterations"))``; its lines are
    ``ITERATIONS.of(n=7)``.
    """

    code: str
    text: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def of(self, **values: Value) -> Message:
        """Return the line of this template with ``values``."""
        return Message(self.code, self.text, values)

    def __str__(self) -> str:
        """Say the line in the language spoken."""
        return gettext(self.text).format(**self.values) if self.values else gettext(self.text)


# A placeholder takes any text that is no line of its own, but for {line}, which is translated too.
LINES = (
    # Phases (bench/measure/spans.py)
    gettext_noop("compute"),
    gettext_noop("encrypt"),
    gettext_noop("decrypt"),
    gettext_noop("aggregate"),
    gettext_noop("serialise"),
    gettext_noop("transfer"),
    gettext_noop("wait"),
    gettext_noop("framework"),
    gettext_noop("evaluate"),
    gettext_noop("unattributed"),
    # States of a case
    gettext_noop("ok"),
    gettext_noop("failed"),
    gettext_noop("pending"),
    gettext_noop("skipped"),
    # Verdicts (bench/compare/runs.py)
    gettext_noop("no difference beyond the spread"),
    gettext_noop("cannot tell (fewer than {least} values on a side)"),
    gettext_noop("cannot tell (not measured in {side})"),
    gettext_noop("identical"),
    gettext_noop("differs (no spread on either side)"),
    gettext_noop("differs (by the same in every repeat)"),
    # Operations that protections are made of
    gettext_noop("add"),
    gettext_noop("multiply"),
    gettext_noop("agree on a secret"),
    gettext_noop("make a key pair"),
    gettext_noop("mask, a number"),
    gettext_noop("share, a term"),
    gettext_noop("seal or open"),
    gettext_noop("join shares, a term"),
    # Load tests (bench/load)
    gettext_noop("errors"),
    gettext_noop("no requests"),
    gettext_noop("p99 above bound"),
    gettext_noop("too few answers"),
    gettext_noop("connection failed"),
    gettext_noop("no answer in time"),
    gettext_noop("answer unreadable"),
    # Stages of a job of FATE
    gettext_noop("start of FATE Flow"),
    gettext_noop("upload of the rows"),
    gettext_noop("reading the table"),
    gettext_noop("HomoLR: FATE Flow around its worker"),
    gettext_noop("HomoLR: start of its worker"),
    gettext_noop("HomoLR: set-up"),
    gettext_noop("HomoLR: epochs"),
    gettext_noop("HomoLR: prediction and output"),
    gettext_noop("evaluation"),
    gettext_noop("scheduling between tasks"),
    # Splits and their balancing (bench/suites/schema.py)
    gettext_noop("{split}, SMOTE in each party"),
    gettext_noop("{split}, SMOTE before the split"),
    # Data and the steps of its preparation
    gettext_noop("{rows} synthetic loans"),
    gettext_noop("Lending Club loans from {file}"),
    gettext_noop("{file} (label {label})"),
    gettext_noop("raw file"),
    gettext_noop("{n} raw files"),
    gettext_noop("drop columns with fewer than 2/3 of their values"),
    gettext_noop("drop single-valued columns"),
    gettext_noop("convert formats"),
    gettext_noop("keep Fully Paid and Charged Off"),
    gettext_noop("keep the 17 features"),
    gettext_noop("keep the features"),
    gettext_noop("drop incomplete rows"),
    gettext_noop("one-hot encode 3 categories"),
    gettext_noop("subsample"),
    gettext_noop("{n} more than the public file"),
    gettext_noop("percent signs, months, years of employment"),
    gettext_noop("beside the label {label} and the identifier {identifier}"),
    gettext_noop("beside the label {label}"),
    gettext_noop("fixed lists of 6, 3 and 14 categories"),
    gettext_noop("drawn at random so that Charged Off is {share}"),
    # Warnings of the environment (bench/measure/environment.py, bench/run/runner.py)
    gettext_noop("the machine was busy before the run (load {load} on {cores} cores): times may be too long"),
    gettext_noop("the CPU governor is {governor}: clock rates change during the run"),
    gettext_noop(
        "{processes} processes (parties and arbiter) share {cores} cores: on machines of their own the parties would "
        "wait less for each other"
    ),
    gettext_noop("the machine is virtual: others on the same hardware can slow it down unseen"),
    gettext_noop("the machine runs on battery: it may be throttled"),
    gettext_noop("the run was resumed with another {facts}: its repeats are not alike"),
    # Why a load test ended early (bench/load)
    gettext_noop("interrupted"),
    gettext_noop("the service stopped answering"),
    # Notes on cases
    gettext_noop("repeat {repeat}: {line}"),
    gettext_noop("party {party} holds one class only ({name}); it was not balanced"),
    gettext_noop("party {party} holds one class only ({name})"),
    gettext_noop("party {party} holds one row of the smaller class; it was balanced by repeating that row"),
    gettext_noop("scikit-learn's solver took {n} iterations"),
    gettext_noop(
        "({epsilon}, {delta})-differential privacy of a row over all rounds, noise multiplier {noise} a round; the "
        "columns' means and deviations and the number of rows are shared exactly and are not covered"
    ),
    gettext_noop(
        "({epsilon}, {delta})-differential privacy of a party over all rounds, noise multiplier {noise} a round; the "
        "columns' means and deviations and the number of rows are shared exactly and are not covered"
    ),
    gettext_noop("{who}: delta {delta} is not below 1 / {rows} rows: a row could be given away whole"),
    gettext_noop("a key of {bits} bits is too short to protect data; use {least} or more"),
    gettext_noop("{who} was lost in epoch {epoch}; the others went on without it"),
    gettext_noop("{who} was lost during the set-up; the others went on without it"),
    gettext_noop("{who} ended without a result"),
    # Who could learn what (bench/engines)
    gettext_noop(
        "every party's gradient (or weights) and loss of each round, its number of rows, and the sums and squares of "
        "its columns"
    ),
    gettext_noop("the sum over all parties, so the common model of each round"),
    gettext_noop("everybody trusts the arbiter with what gradients tell of rows"),
    gettext_noop(
        "the sum over all parties of each round. When a party is lost, two sums that differ by it tell its share of "
        "the rows, and roughly its gradient"
    ),
    gettext_noop("the sum over all parties; of two that are left, each can take away its own part"),
    gettext_noop(
        "the arbiter follows the protocol, and fewer than the threshold of the parties collude with it; those that do "
        "learn the sum of the others"
    ),
    gettext_noop("ciphertexts and their sums, which it cannot read: it never holds the private key"),
    gettext_noop("the sum over all parties; of two parties, each can take away its own part"),
    gettext_noop(
        "the arbiter follows the protocol, and no party gives it the private key: the arbiter and one party together "
        "could read what every party sends"
    ),
    gettext_noop(
        "every party's weights of each round, for it holds the private key, and the sums of each for the scaling. With "
        "full batches the weights of some rounds give it each host's products of columns, X'X"
    ),
    gettext_noop(
        "the guest the average of all weights of each round; hosts never a weight, but the loss on the guest's rows"
    ),
    gettext_noop("everybody trusts the arbiter with what weights tell of rows, and it gives no host the key"),
    gettext_noop(
        "every party's gradients under noise: of what one row (or one party) holds, no more than epsilon and delta "
        "allow. Exactly: sums and squares of each party's columns, once, and its number of rows"
    ),
    gettext_noop(
        "the sum of the gradients under noise, so the common model of each round. Exactly: the common means and "
        "deviations"
    ),
    gettext_noop("nobody is trusted with a row in the rounds; the sums for the scaling are not covered"),
    gettext_noop("the sum of all parties' weights and losses of each round, and each party's number of rows"),
    gettext_noop("the average of the weights; of two parties, each can take away its own part"),
    gettext_noop("the arbiter colludes with nobody, and no party is lost: the job ends there"),
    # What the kit's suites are for (bench/suites)
    gettext_noop(
        "The same logistic regression, three parties of 25, 25 and {half} of the rows: one holder of all rows and the "
        "kit's own processes on the controller, FATE 2.2 on one machine (after make fate), and FATE 2.2 between the "
        "parties' hosts."
    ),
    gettext_noop(
        "The same logistic regression on about 170,000 training rows of 37 features, three parties of 25, 25 and 50 %: "
        "one holder of all rows, the kit's own processes that average weights every epoch, and FATE 2.2's HomoLR, "
        "which does the same behind a real FATE Flow on this machine."
    ),
    gettext_noop(
        "The same logistic regression on about 170,000 training rows of 37 features, three parties of 25, 25 and 50 %: "
        "in plain, with masks that cancel in the sum, with Paillier encryption of what the parties send, with hosts "
        "that train on an encrypted model as in FATE 1.8, with noise for differential privacy, and with FATE's own "
        "secure aggregation where FATE is installed (make fate). Cases of other shapes check the cost model."
    ),
    gettext_noop(
        "The same logistic regression on the same loans, trained by one holder of all rows, by each of three parties "
        "alone, and by the three together (25, 25 and {half} of the rows) without showing each other a row."
    ),
    gettext_noop(
        "The experiments of the thesis that the kit began from: logistic regression on loans balanced with SMOTE; "
        "centralised; three parties of 25, 25 and 50 % together and each alone; two parties of 1/99 to 50/50 per cent "
        "of the same rows; the loss by epoch; the cost of Paillier's encryption. And beyond it: two parties whose "
        "classes are spread unequally, and two that lent in different years, for where parties hold alike there is "
        "little to gain."
    ),
    gettext_noop(
        "About 170,000 training rows of 37 features, three parties of 25, 25 and 50 %, full batch, nothing balanced: "
        "enough rows that computing outweighs talking."
    ),
)


def say(recorded: object) -> str:
    """Return a recorded line in the language spoken."""
    if isinstance(recorded, Message):
        return str(recorded)
    text = str(recorded).strip()
    for pattern, template in _patterns():
        found = pattern.fullmatch(text)
        if found:
            values = {name: say(value) if name == "line" else value for name, value in found.groupdict().items()}
            return gettext(template, **values)
    return text


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return what each line looks like, and the line."""
    return [(re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(line))), line) for line in LINES]
