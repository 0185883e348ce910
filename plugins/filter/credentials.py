"""Tell whether a certificate on the controller can stay as it is, so that a run which changes nothing takes no time."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


def keeps(directory: str, name: str, issuer: str, renewal_days: int, address: str = "") -> bool:
    """Check a key and its certificate: they belong together, the issuer signed it, it lasts, it names the address.

    The authority's own key may be away: it is needed only for signing.
    """
    folder = Path(directory)
    try:
        certificate, authority = (_read(folder / f"{owner}.crt") for owner in (name, issuer))
        key = certificate.public_key()
        if name != issuer or (folder / f"{name}.key").exists():
            key = load_pem_private_key((folder / f"{name}.key").read_bytes(), None).public_key()
        certificate.verify_directly_issued_by(authority)
        names = _names(certificate)
    # Missing, cut short, edited, of other owners: whatever it is, it is made again.
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    expected = {f"party-{name}", str(ipaddress.ip_address(address))} if address else set()
    lasts = certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=int(renewal_days))
    return lasts and names == expected and _encoded(key) == _encoded(certificate.public_key())


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _encoded(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


class FilterModule:
    """How the tasks call these functions."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name each as the tasks do."""
        return {"credentials_keeps": keeps}
