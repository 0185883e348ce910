"""A made-up ``loan.csv`` in the raw shape of Lending Club's public 2007-2015 file, from a seed.

The 74 columns, their order, their messy formats, their missing values and the rough shape of their distributions follow
the public file; no row of it is copied. A logistic regression on the 37 features of the funnel reaches an AUC near
0.695, as on real loans. Figures measured on this data say what training costs, not who repays a loan.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bench.data import lending_club
from bench.data.kind import DatasetKind, Option
from bench.data.table import Dataset
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message

TITLE = Message("synthetic_loans", gettext_noop("{rows} synthetic loans"))

CHUNK_ROWS = 50_000

# Rough shape of the public file: how many loans were issued in each year, and which share of them has ended.
YEARS = np.arange(2007, 2016)
LOANS_ISSUED = np.array([0.6, 2.4, 5.3, 12.5, 21.7, 53.4, 134.8, 235.6, 421.1])
SHARE_FINISHED = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.85, 0.55, 0.27, 0.07])

OPEN_STATUSES = ["Current", "Late (31-120 days)", "Issued", "In Grace Period", "Late (16-30 days)", "Default"]
OPEN_SHARES = [0.949, 0.018, 0.013, 0.010, 0.004, 0.006]
EMPLOYMENT = ["10+ years", "2 years", "< 1 year", "3 years", "1 year", "5 years", "4 years", "7 years", "8 years"]
EMPLOYMENT += ["6 years", "9 years", "n/a"]
EMPLOYMENT_SHARES = [0.328, 0.089, 0.080, 0.079, 0.064, 0.063, 0.059, 0.050, 0.050, 0.049, 0.039, 0.050]
HOMES = ["MORTGAGE", "RENT", "OWN", "OTHER", "NONE", "ANY"]
HOME_SHARES = [0.4998, 0.4010, 0.0985, 0.0004, 0.0002, 0.0001]
VERIFICATION = ["Source Verified", "Verified", "Not Verified"]
VERIFICATION_SHARES = [0.37, 0.33, 0.30]
PURPOSES = ["debt_consolidation", "credit_card", "home_improvement", "other", "major_purchase", "small_business", "car"]
PURPOSES += ["medical", "moving", "vacation", "house", "wedding", "renewable_energy", "educational"]
PURPOSE_SHARES = [0.590, 0.230, 0.058, 0.048, 0.020, 0.012, 0.011, 0.010, 0.006, 0.005, 0.004, 0.003, 0.002, 0.001]
# What a purpose adds to the log odds of being charged off.
PURPOSE_RISK = [0.05, -0.1, -0.05, 0.1, -0.15, 0.65, -0.15, 0.15, 0.1, 0.0, 0.05, -0.2, 0.1, 0.1]
STATES = (
    "CA NY TX FL IL NJ PA OH GA VA NC MI MD MA AZ WA CO MN MO IN CT TN NV WI AL SC OR LA KY OK KS AR UT NM HI WV NH RI "
    "MS MT DE DC AK WY SD VT NE ME ND ID IA"
).split()
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
JOB_LEVELS = ["", "Senior ", "Assistant ", "Lead ", "Associate ", "Director of "]
JOBS = [
    "Teacher",
    "Registered Nurse",
    "Sales, West",
    "Driver",
    "Office Manager",
    "Engineer",
    "Technician",
    "Operations",
]
JOBS += ["Accountant", "Supervisor", "Analyst", 'Mechanic "A"', "Cook", "Paralegal", "Electrician", "Customer Service"]
PHRASES = [
    "I plan to pay off two cards with high rates, and close them.",
    "My income is steady; I have never missed a payment.",
    'My family calls it the "fresh start" loan.',
    "The roof needs work before winter, the kitchen can wait.",
    "Thank you for considering my request!",
    "One single payment a month would make my budget simpler.",
    "I have worked for the same employer for years.",
    "The money goes into equipment, stock and a small van.",
]

# Log odds of being charged off per standard unit of each cause, and the level that gives 14.6 % charged off.
RISK_BASE = -2.18
RISK_RATE, RISK_TERM, RISK_INCOME, RISK_DTI, RISK_INQUIRIES, RISK_USE = 0.49, 0.45, -0.33, 0.13, 0.13, 0.13
RISK_NO_EMPLOYMENT = 0.45

# The raw columns in the public file's order, each as an SQL expression over the arrays that _draw makes. Lists are
# spelt ``{name}`` and filled in from the constants above. The formats differ by the year of issue, as if
# several downloads had been joined: plain numbers up to 2011, '.0' after it, '%' from 2014 on.
ONLY_LATE_2015 = "CASE WHEN detailed THEN {} END"
COLUMNS: dict[str, str] = {
    "id": "id",
    "member_id": "id + 221000",
    "loan_amnt": "CASE WHEN plain THEN amount::BIGINT::VARCHAR ELSE amount::VARCHAR END",
    "funded_amnt": "CASE WHEN plain THEN amount::BIGINT::VARCHAR ELSE amount::VARCHAR END",
    "funded_amnt_inv": "round(amount - investor_gap, 10)",
    "term": "CASE WHEN long_term THEN ' 60 months' ELSE ' 36 months' END",
    "int_rate": "CASE WHEN percent THEN ' ' || rate || '%' ELSE rate::VARCHAR END",
    "installment": "installment",
    "grade": "substr('ABCDEFG', grade + 1, 1)",
    "sub_grade": "substr('ABCDEFG', grade + 1, 1) || sub_grade",
    "emp_title": "CASE WHEN employment <> 12 THEN {job_levels}[job_level] || {jobs}[job] END",
    "emp_length": "CASE WHEN employment = 12 AND percent THEN NULL ELSE {employment}[employment] END",
    "home_ownership": "{homes}[home]",
    "annual_inc": "CASE WHEN before_2008 AND word < 20 THEN NULL ELSE income END",
    "verification_status": "{verification}[verification]",
    "issue_d": "{months}[month] || '-' || year",
    "loan_status": "CASE WHEN finished THEN CASE WHEN outside_policy THEN 'Does not meet the credit policy. Status:' "
    "ELSE '' END || CASE WHEN charged_off THEN 'Charged Off' ELSE 'Fully Paid' END ELSE {open_statuses}[status] END",
    "pymnt_plan": "CASE WHEN word = 7 AND status = 2 THEN 'y' ELSE 'n' END",
    "url": "'https://loans.example.org/browse/loanDetail.action?loan_id=' || id",
    "desc": "CASE WHEN described THEN '  Borrower added on ' || lpad(month::VARCHAR, 2, '0') || '/22/' || "
    "right(year::VARCHAR, 2) || ' > ' || {phrases}[phrase] || ' ' || {phrases}[phrase_2] || '<br> ' || "
    "{phrases}[phrase_3] || '<br>' END",
    "purpose": "{purposes}[purpose]",
    "title": "CASE WHEN word > 2 THEN upper(substr({purposes}[purpose], 1, 1)) || "
    "replace(substr({purposes}[purpose], 2), '_', ' ') END",
    "zip_code": "lpad(word::VARCHAR, 3, '0') || 'xx'",
    "addr_state": "{states}[state]",
    "dti": "dti",
    "delinq_2yrs": "CASE WHEN NOT before_2008 THEN delinquencies END",
    "earliest_cr_line": "{months}[job % 12 + 1] || '-' || (year - 5 - history)",
    "inq_last_6mths": "CASE WHEN NOT before_2008 THEN inquiries END",
    "mths_since_last_delinq": "CASE WHEN word % 100 < 49 THEN months_since END",
    "mths_since_last_record": "CASE WHEN public_records > 0 THEN months_since + 12 END",
    "open_acc": "CASE WHEN NOT before_2008 THEN open_accounts END",
    "pub_rec": "CASE WHEN NOT before_2008 THEN public_records END",
    "revol_bal": "CASE WHEN plain THEN revolving::BIGINT::VARCHAR ELSE revolving::VARCHAR END",
    "revol_util": "CASE WHEN word = 500 AND sub_grade = 5 THEN NULL "
    "WHEN percent THEN used || '%' ELSE used::VARCHAR END",
    "total_acc": "CASE WHEN NOT before_2008 THEN accounts END",
    "initial_list_status": "CASE WHEN word % 2 = 0 THEN 'f' ELSE 'w' END",
    "out_prncp": "outstanding",
    "out_prncp_inv": "outstanding",
    "total_pymnt": "paid",
    "total_pymnt_inv": "round(paid, 2)",
    "total_rec_prncp": "round(amount - outstanding, 2)",
    "total_rec_int": "round(paid * 0.17, 2)",
    "total_rec_late_fee": "CASE WHEN charged_off AND word % 9 = 0 THEN 15.0 ELSE 0.0 END",
    "recoveries": "CASE WHEN finished AND charged_off THEN round(paid * 0.08, 2) ELSE 0.0 END",
    "collection_recovery_fee": "CASE WHEN finished AND charged_off THEN round(paid * 0.008, 4) ELSE 0.0 END",
    "last_pymnt_d": "CASE WHEN word > 3 THEN {months}[job % 12 + 1] || '-2016' END",
    "last_pymnt_amnt": "round(installment * (1 + word % 5), 2)",
    "next_pymnt_d": "CASE WHEN NOT finished THEN 'Feb-2016' END",
    "last_credit_pull_d": "'Jan-2016'",
    "collections_12_mths_ex_med": "CASE WHEN word > 0 THEN (word % 80 = 1)::INT::DOUBLE END",
    "mths_since_last_major_derog": "CASE WHEN word % 4 = 0 THEN months_since + 5 END",
    "policy_code": "1.0",
    "application_type": "CASE WHEN joint THEN 'JOINT' ELSE 'INDIVIDUAL' END",
    "annual_inc_joint": "CASE WHEN joint THEN income * 1.6 END",
    "dti_joint": "CASE WHEN joint THEN round(dti * 0.7, 2) END",
    "verification_status_joint": "CASE WHEN joint THEN {verification}[verification] END",
    "acc_now_delinq": "(word = 100)::INT::DOUBLE",
    "tot_coll_amt": "CASE WHEN NOT plain THEN CASE WHEN word % 8 = 0 THEN word * 3.0 ELSE 0.0 END END",
    "tot_cur_bal": "CASE WHEN NOT plain THEN round(income * (1 + word % 4)) END",
    "open_acc_6m": ONLY_LATE_2015.format("word % 4"),
    "open_il_6m": ONLY_LATE_2015.format("word % 5"),
    "open_il_12m": ONLY_LATE_2015.format("word % 3"),
    "open_il_24m": ONLY_LATE_2015.format("word % 4"),
    "mths_since_rcnt_il": ONLY_LATE_2015.format("months_since"),
    "total_bal_il": ONLY_LATE_2015.format("word * 55"),
    "il_util": ONLY_LATE_2015.format("used"),
    "open_rv_12m": ONLY_LATE_2015.format("word % 4"),
    "open_rv_24m": ONLY_LATE_2015.format("word % 6"),
    "max_bal_bc": ONLY_LATE_2015.format("word * 11"),
    "all_util": ONLY_LATE_2015.format("used"),
    "total_rev_hi_lim": "CASE WHEN NOT plain THEN round(revolving * 1.8) END",
    "inq_fi": ONLY_LATE_2015.format("word % 3"),
    "total_cu_tl": ONLY_LATE_2015.format("word % 5"),
    "inq_last_12m": ONLY_LATE_2015.format("word % 6"),
}


def write(path: Path, rows: int, seed: int = 0) -> None:
    """Write ``rows`` made-up loans to ``path``, a ``.csv`` or ``.csv.gz`` file; the same seed gives the same file.

    Memory stays bounded: rows are drawn and written in chunks. Raises UserError for another suffix, for fewer than one
    row, and when the file cannot be written; the file appears only once it is complete.
    """
    if not path.name.endswith((".csv", ".csv.gz")):
        raise UserError(f"Cannot write {path}: the name must end in .csv or .csv.gz.")
    if rows < 1:
        raise UserError(f"Synthetic data needs at least one row, not {rows}.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".synthetic-") as folder:
            whole = Path(folder) / "whole"
            with whole.open("wb") as raw:
                if path.suffix == ".gz":
                    with gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0) as packed:
                        _write_chunks(packed, Path(folder) / "part.csv", rows, seed)
                else:
                    _write_chunks(raw, Path(folder) / "part.csv", rows, seed)
            whole.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error


def _write_chunks(target: IO[bytes] | gzip.GzipFile, part: Path, rows: int, seed: int) -> None:
    import duckdb

    select = _select()
    with duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = '{_quoted(str(part.parent))}'")
        for chunk, first in enumerate(range(0, rows, CHUNK_ROWS)):
            rng = np.random.default_rng([seed, chunk])
            connection.register("loans", _draw(rng, first, min(CHUNK_ROWS, rows - first)))
            header = "true" if chunk == 0 else "false"
            connection.execute(f"COPY ({select}) TO '{_quoted(str(part))}' (FORMAT csv, HEADER {header})")
            connection.unregister("loans")
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)


def _select() -> str:
    lists = {
        "open_statuses": OPEN_STATUSES,
        "employment": EMPLOYMENT,
        "homes": HOMES,
        "verification": VERIFICATION,
        "purposes": PURPOSES,
        "states": STATES,
        "months": MONTHS,
        "job_levels": JOB_LEVELS,
        "jobs": JOBS,
        "phrases": PHRASES,
    }
    literals = {
        name: "[" + ", ".join(f"'{_quoted(value)}'" for value in values) + "]" for name, values in lists.items()
    }
    columns = [f'{expression.format(**literals)} AS "{name}"' for name, expression in COLUMNS.items()]
    return "SELECT " + ", ".join(columns) + " FROM loans"  # noqa: S608 - our own constants only


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _choose(rng: np.random.Generator, shares: list[float], n: int) -> NDArray[np.int64]:
    """Draw 1-based positions (SQL lists count from 1) with these shares."""
    return np.searchsorted(np.cumsum(shares) / sum(shares), rng.random(n), side="right").astype(np.int64) + 1


def _draw(rng: np.random.Generator, first: int, n: int) -> dict[str, NDArray[Any]]:
    """Draw ``n`` loans as arrays of numbers and positions; ``COLUMNS`` turns them into text."""
    year_index = _choose(rng, LOANS_ISSUED.tolist(), n) - 1
    year, month = YEARS[year_index], rng.integers(1, 13, n)
    risk, size = rng.normal(size=n), rng.normal(size=n)
    rate = np.round(np.clip(13.0 + 4.3 * risk, 5.32, 28.99), 2)
    grade = np.searchsorted([8.5, 11.8, 14.9, 18.0, 21.2, 24.3], rate).astype(np.int64)
    long_term = rng.random(n) < 1 / (1 + np.exp(1.2 - 0.8 * risk - 0.5 * size))
    amount = np.clip(np.round(np.exp(9.4 + 0.62 * size) / 25) * 25, 500, 35000)
    months, monthly = np.where(long_term, 60, 36), rate / 1200
    income_unit = 0.45 * size + 0.89 * rng.normal(size=n)
    debt_unit, use_unit = rng.normal(size=n), 0.36 * risk + 0.93 * rng.normal(size=n)
    inquiries = rng.poisson(0.75 * np.exp(0.2 * risk))
    open_accounts = 1 + rng.poisson(rng.gamma(5.0, 2.0, n))
    employment, purpose = _choose(rng, EMPLOYMENT_SHARES, n), _choose(rng, PURPOSE_SHARES, n)
    log_odds = (
        RISK_BASE
        + RISK_RATE * risk
        + RISK_TERM * long_term
        + RISK_INCOME * income_unit
        + RISK_DTI * debt_unit
        + RISK_INQUIRIES * inquiries
        + RISK_USE * use_unit
        + RISK_NO_EMPLOYMENT * (employment == len(EMPLOYMENT))
        + np.array(PURPOSE_RISK)[purpose - 1]
    )
    charged_off = rng.random(n) < 1 / (1 + np.exp(-log_odds))
    finished = rng.random(n) < SHARE_FINISHED[year_index]
    progress = np.where(finished, np.where(charged_off, rng.random(n), 1.0), rng.random(n))
    return {
        "id": 54_734 + 77 * np.arange(first, first + n),
        "year": year,
        "month": month,
        "plain": year <= 2011,
        "percent": year >= 2014,
        "before_2008": (year == 2007) & (month < 6),
        "detailed": (year == 2015) & (month == 12) & (rng.random(n) < 0.6),
        "joint": (year == 2015) & (rng.random(n) < 0.0012),
        "amount": amount,
        "investor_gap": np.where(year <= 2011, np.round(rng.exponential(60.0, n) / 25) * 25 * 0.5, 0.0),
        "long_term": long_term,
        "rate": rate,
        "installment": np.round(amount * monthly / (1 - (1 + monthly) ** -months), 2),
        "grade": grade,
        "sub_grade": rng.integers(1, 6, n),
        "employment": employment,
        "job_level": rng.integers(1, len(JOB_LEVELS) + 1, n),
        "job": rng.integers(1, len(JOBS) + 1, n),
        "home": _choose(rng, HOME_SHARES, n),
        "income": np.clip(np.round(np.exp(11.08 + 0.5 * income_unit), -2), 4000, 9_000_000),
        "verification": _choose(rng, VERIFICATION_SHARES, n),
        "finished": finished,
        "outside_policy": (year <= 2010) & (rng.random(n) < 0.13),
        "charged_off": charged_off,
        "status": _choose(rng, OPEN_SHARES, n),
        "described": rng.random(n) < np.where(year <= 2013, 0.42, 0.05),
        "phrase": rng.integers(1, len(PHRASES) + 1, n),
        "phrase_2": rng.integers(1, len(PHRASES) + 1, n),
        "phrase_3": rng.integers(1, len(PHRASES) + 1, n),
        "purpose": purpose,
        "word": rng.integers(0, 1000, n),
        "state": _choose(rng, [1 / (position + 2) for position in range(len(STATES))], n),
        "dti": np.round(np.clip(17.0 + 8.0 * debt_unit, 0.0, 39.99), 2),
        "delinquencies": rng.poisson(rng.gamma(0.4, 0.75, n)),
        "history": rng.poisson(11.0, n),
        "inquiries": inquiries,
        "months_since": rng.integers(0, 82, n),
        "public_records": rng.poisson(0.17, n),
        "open_accounts": open_accounts,
        "revolving": np.round(np.exp(9.3 + 0.9 * rng.normal(size=n) + 0.35 * size)),
        "used": np.round(np.clip(54.0 + 24.0 * use_unit, 0.0, 120.0), 1),
        "accounts": open_accounts + rng.poisson(13.5, n),
        "outstanding": np.where(finished, 0.0, np.round(amount * (1 - progress), 2)),
        "paid": amount * progress * (1 + 0.9 * monthly * months / 2),
    }


class Synthetic(DatasetKind):
    """Made-up loans in the format of Lending Club's file."""

    name, order = "synthetic", 20
    description = "made-up loans in the same raw format: rows, seed, charged_off_share"
    options = {"rows": Option(int, required=True), "seed": Option(int), "charged_off_share": Option((int, float))}

    def check(self, where: str, options: Mapping[str, Any]) -> None:
        """Check the options and their bounds."""
        super().check(where, options)
        if options["rows"] < 1:
            raise UserError(f"{where}: rows must be at least 1, not {options['rows']}")
        if options.get("seed", 0) < 0:
            raise UserError(f"{where}: seed must be at least 0, not {options['seed']}")

    def describe(self, options: Mapping[str, Any]) -> Message:
        """Say how many there are."""
        return TITLE.of(rows=f"{options['rows']:,}")

    def load(self, options: Mapping[str, Any], cache: Path) -> Dataset:
        """Write the file into ``cache``, and read it as a file of Lending Club's is read."""
        path = cache / "loan.csv"
        write(path, options["rows"], options.get("seed", 0))
        loaded = lending_club.load(path, options.get("charged_off_share"))
        path.unlink()
        return replace(loaded, name=self.name, source=self.describe(options), synthetic=True)


KIND = Synthetic()
