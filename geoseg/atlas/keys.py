"""Keys by which the processes of one run know each other, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Security

# Whatever the clock says meanwhile: it may be set while workers are replaced, and keys are gone with the run.
_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def own_keys() -> Security:
    """A key and a certificate that are kept in memory alone, for client, scheduler and workers alike."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from distributed import Security

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "geoseg")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, hiding = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret, shown = key.private_bytes(pem, form, hiding).decode(), certificate.public_bytes(pem).decode()
    given = {f"tls_{role}_key": secret for role in ("client", "scheduler", "worker")}
    given |= {f"tls_{role}_cert": shown for role in ("client", "scheduler", "worker")}
    return Security(require_encryption=True, tls_ca_file=shown, **given)
