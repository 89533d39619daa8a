"""Certificates for tests: each signs itself, for 127.0.0.1 and localhost, with a name that tells it from others."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Pair:
    """The two files that a node is given; ``write`` puts a new certificate and key in their place."""

    def __init__(self, folder: Path, name: str = "first") -> None:
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self.write(name)

    def write(self, name: str, *, days: tuple[float, float] = (-1, 30), passphrase: bytes | None = None) -> None:
        """``days``: from when to when it is valid, in days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        self.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )

    def believed(self) -> ssl.SSLContext:
        """A client's context that believes the certificate as it is now, and no other."""
        return ssl.create_default_context(cafile=str(self.cert))

    @property
    def options(self) -> tuple[str, str, str, str]:
        """Of a node's command line."""
        return "--tls-cert", str(self.cert), "--tls-key", str(self.key)
