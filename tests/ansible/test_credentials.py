"""Passwords and certificates on the controller, by real runs of the role into a directory of the test's own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_helpers import ROOT, Run, load, local_parties, run_play, write_inventory, write_playbook
from cryptography import x509

PARTIES = ("10000", "9999")
BOTH = ("certificates", "password")
PASSWORDS = [f"{party}-rabbitmq" for party in PARTIES]

rules = load(ROOT / "plugins" / "filter" / "credentials.py")


@dataclass
class Controller:
    """A controller's home with one deployment of two parties."""

    home: Path

    @property
    def directory(self) -> Path:
        return self.home / "credentials" / "here"

    @property
    def passwords(self) -> Path:
        return self.directory / "passwords"

    def run(self, *entries: str, options: Sequence[str] = (), **changes: Any) -> Run:
        """Run entry points of the role in one play; `changes` are variables of party 9999."""
        number = len(list(self.home.glob("run-*")))
        hosts = {f"party-{party}": dict(local_parties()[f"party-{party}"]) for party in PARTIES}
        hosts["party-9999"] |= changes
        inventory = write_inventory(
            self.home / f"run-{number}",
            hosts,
            credentials_directory=str(self.directory),
            credentials_password_name="{{ party_id }}-rabbitmq",
        )
        roles = [
            {"name": name, "ansible.builtin.import_role": {"name": "credentials", "tasks_from": name}}
            for name in entries
        ]
        playbook = write_playbook(inventory.parent / "play.yml", roles)
        return run_play(playbook, inventory, *options, home=self.home)

    def digests(self) -> dict[str, str]:
        return {
            path.relative_to(self.directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        }

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.directory / f"{name}.crt").read_bytes())

    def is_signed(self, party: str) -> bool:
        """Let OpenSSL say whether the authority signed the party's certificate, for both directions of TLS."""
        return all(
            openssl(
                "verify", "-CAfile", self.directory / "ca.crt", "-purpose", purpose, self.directory / f"{party}.crt"
            )
            for purpose in ("sslserver", "sslclient")
        )


def openssl(*arguments: str | Path) -> bool:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Controller, Run]:
    """Run the role once, as loudly as Ansible can, for all tests that only read what it leaves."""
    controller = Controller(tmp_path_factory.mktemp("controller"))
    return controller, controller.run(*BOTH, options=["-vvv"])


@pytest.fixture
def controller(installed: tuple[Controller, Run], tmp_path: Path) -> Controller:
    """Give a copy of the finished deployment, to be damaged."""
    home = tmp_path / "home"
    subprocess.run(["cp", "-a", str(installed[0].home), str(home)], check=True)
    return Controller(home)


def test_everything_is_generated_for_its_owner_only(installed: tuple[Controller, Run]) -> None:
    controller, run = installed
    assert run.code == 0, run.output
    keys = [f"{name}.{kind}" for name in ("ca", *PARTIES) for kind in ("crt", "key")]
    assert set(controller.digests()) == {*keys, *(f"passwords/{name}" for name in PASSWORDS)}
    for path in [controller.directory, *controller.directory.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_passwords_are_long_and_different(installed: tuple[Controller, Run]) -> None:
    passwords = [(installed[0].passwords / name).read_text() for name in PASSWORDS]
    assert all(len(password) == 32 and password.isascii() and password.isalnum() for password in passwords)
    assert len(set(passwords)) == len(passwords)


def test_openssl_accepts_the_certificates(installed: tuple[Controller, Run]) -> None:
    controller, _ = installed
    for party, address in zip(PARTIES, ("127.0.0.2", "127.0.0.3"), strict=True):
        assert controller.is_signed(party)
        path = controller.directory / f"{party}.crt"
        authority = ["-CAfile", controller.directory / "ca.crt"]
        assert openssl("verify", *authority, "-verify_hostname", f"party-{party}", path)
        assert openssl("verify", *authority, "-verify_ip", address, path)
        assert not openssl("verify", *authority, "-verify_hostname", "party-9998", path)
        certificate = controller.certificate(party)
        assert certificate.subject.rfc4514_string() == f"CN=party-{party}"
        now = datetime.now(UTC)
        # Valid a while back already: the other parties' clocks may be slow.
        assert certificate.not_valid_before_utc < now - timedelta(hours=12)
        assert timedelta(days=824) < certificate.not_valid_after_utc - now < timedelta(days=826)


def test_the_authority_can_sign_parties_and_nothing_else_can(installed: tuple[Controller, Run]) -> None:
    controller, _ = installed
    authority = controller.certificate("ca").extensions.get_extension_for_class(x509.BasicConstraints)
    assert (authority.critical, authority.value.ca, authority.value.path_length) == (True, True, 0)
    assert controller.certificate("ca").subject.rfc4514_string() == "CN=federated-bench here"
    with pytest.raises(x509.ExtensionNotFound):
        controller.certificate("9999").extensions.get_extension_for_class(x509.BasicConstraints)


def test_no_secret_is_shown_however_loud_ansible_is(installed: tuple[Controller, Run]) -> None:
    controller, run = installed
    for name in PASSWORDS:
        assert (controller.passwords / name).read_text() not in run.output
    for path in controller.directory.glob("*.key"):
        # The private number lies in the first line; the last ones hold the public key, which may be seen.
        assert path.read_text().splitlines()[1] not in run.output
    assert "PRIVATE KEY" not in run.output


def test_a_second_run_changes_nothing_nor_does_check_mode(controller: Controller) -> None:
    before = controller.digests()
    for options in ([], ["--check"]):
        run = controller.run(*BOTH, options=options)
        assert run.code == 0, run.output
        assert run.total("changed") == 0
        assert controller.digests() == before


def test_check_mode_before_the_first_run_makes_nothing(tmp_path: Path) -> None:
    run = Controller(tmp_path).run(*BOTH, options=["--check"])
    assert run.code == 0, run.output
    assert run.total("changed") > 0
    assert not (tmp_path / "credentials").exists()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def test_a_run_issues_again_what_does_not_fit_and_nothing_else(controller: Controller) -> None:
    before = controller.digests()
    cut_short(controller.directory / "9999.crt")
    run = controller.run("certificates", party_address="10.1.2.3")
    assert run.code == 0, run.output
    after = controller.digests()
    assert [name for name in sorted(after) if after[name] != before[name]] == ["9999.crt"]
    assert all(controller.is_signed(party) for party in PARTIES)
    path = controller.directory / "9999.crt"
    assert openssl("verify", "-CAfile", controller.directory / "ca.crt", "-verify_ip", "10.1.2.3", path)


def test_the_authoritys_key_may_be_away_until_something_is_to_be_signed(controller: Controller) -> None:
    before = controller.digests()
    (controller.directory / "ca.key").unlink()
    kept = {name: digest for name, digest in before.items() if name != "ca.key"}
    run = controller.run("certificates")
    assert (run.code, run.total("changed")) == (0, 0), run.output
    assert controller.digests() == kept

    run = controller.run("certificates", party_address="10.1.2.3")
    assert run.code != 0
    directory = controller.directory
    assert run.messages == {
        "party-9999": [
            f"party 9999 needs a certificate, but {directory}/ca.key, which would sign it, is missing: put it back, or "
            f"delete {directory}/ca.crt for a new authority (the certificates of all parties are then made anew)"
        ]
    }
    assert controller.digests() == kept

    (directory / "ca.crt").unlink()
    assert controller.run("certificates", options=["--check"]).code == 0
    run = controller.run("certificates")
    assert run.code == 0, run.output
    after = controller.digests()
    changed = [name for name in sorted(after) if after[name] != before[name]]
    assert changed == ["10000.crt", "9999.crt", "ca.crt", "ca.key"]
    assert all(controller.is_signed(party) for party in PARTIES)


def test_a_certificate_is_kept_while_it_lasts_and_fits(installed: tuple[Controller, Run], tmp_path: Path) -> None:
    directory = str(installed[0].directory)
    assert rules.keeps(directory, "ca", "ca", 30)
    assert rules.keeps(directory, "9999", "ca", 30, "127.0.0.3")
    assert not rules.keeps(directory, "9999", "ca", 826, "127.0.0.3"), "too near its end"
    assert not rules.keeps(directory, "9999", "ca", 30, "127.0.0.2"), "another address"
    assert not rules.keeps(directory, "9999", "10000", 30, "127.0.0.3"), "another issuer"
    assert not rules.keeps(directory, "9998", "ca", 30, "127.0.0.4"), "no such files"
    other = shutil.copytree(directory, tmp_path / "other")
    shutil.copy(other / "10000.key", other / "9999.key")
    assert not rules.keeps(str(other), "9999", "ca", 30, "127.0.0.3"), "another key"
    shutil.copy(other / "10000.key", other / "ca.key")
    assert not rules.keeps(str(other), "ca", "ca", 30), "another key of the authority"
    (other / "ca.key").unlink()
    assert rules.keeps(str(other), "ca", "ca", 30), "the authority's key is away"
    assert not rules.keeps(str(other), "ca", "ca", 3660), "too near its end"
    (other / "9999.key").unlink()
    assert not rules.keeps(str(other), "9999", "ca", 30, "127.0.0.3"), "a party's key is never away"


def test_a_key_that_cannot_be_read_is_reported_and_kept(controller: Controller) -> None:
    cut_short(controller.directory / "9999.key")
    before = controller.digests()
    run = controller.run("certificates")
    assert run.code != 0
    assert "Traceback" not in run.output
    assert any("Unable to read the key" in line for line in run.lines)
    assert controller.digests() == before


def test_passwords_of_a_persons_own_and_spoilt_ones(controller: Controller) -> None:
    """One party's password is encrypted with ansible-vault and good; the other's was left empty."""
    vault = controller.home / "vault-password"
    vault.write_text("of the vault\n")
    encrypt = Path(sys.executable).parent / "ansible-vault"
    secret = controller.passwords / PASSWORDS[0]
    subprocess.run(
        [str(encrypt), "encrypt", "--vault-password-file", str(vault), str(secret)], check=True, capture_output=True
    )
    assert secret.read_text().startswith("$ANSIBLE_VAULT")
    spoilt = controller.passwords / PASSWORDS[1]
    spoilt.write_text("")
    spoilt.chmod(0o644)
    before = controller.digests()
    run = controller.run("password", options=["--vault-password-file", str(vault)])
    assert run.code != 0
    assert run.messages == {
        "party-9999": [
            f"the password in {spoilt} is empty, too short (16 characters are needed) or has other characters than A-Z "
            "a-z 0-9 _ and -: correct it, or delete the file for a new one to be made"
        ]
    }
    assert controller.digests() == before
    assert spoilt.stat().st_mode & 0o777 == 0o600


def test_reset_keeps_what_a_party_outside_the_run_still_needs(controller: Controller) -> None:
    before = controller.digests()
    run = controller.run("reset", options=["--limit", "party-10000"])
    assert (run.code, run.total("changed")) == (0, 0), run.output
    kept = f"{controller.directory} is kept for party-9999: left out, unreachable or failed in this run; reset all"
    assert kept in " ".join(run.output.split())
    assert controller.digests() == before
    # A party that failed in the same play.
    (controller.passwords / PASSWORDS[1]).write_text("")
    before = controller.digests()
    run = controller.run("password", "reset")
    assert list(run.messages) == ["party-9999"]
    assert kept in " ".join(run.output.split())
    assert controller.digests() == before


def test_reset_deletes_what_was_generated_and_nothing_else(controller: Controller) -> None:
    own = controller.directory / "notes.txt"
    own.write_text("keep me")
    assert controller.run("reset").code == 0
    assert set(controller.digests()) == {"notes.txt"}
    own.unlink()
    # The second time in the same play there is nothing left to be deleted.
    run = controller.run("reset", "reset")
    assert (run.code, controller.directory.exists()) == (0, False), run.output
    assert run.total("changed") == 1
