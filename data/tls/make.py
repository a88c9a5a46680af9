"""Makes a root certificate, and the certificate and key of a server on the loopback, for the tests of
object stores. Nobody else trusts them: the root's key is not kept. Made with cryptography 50.
"""

import ipaddress
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = Path(__file__).resolve().parent


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, issuer, key, signer, serial, *extensions):
    begun = x509.CertificateBuilder(subject_name=name(subject), issuer_name=name(issuer), serial_number=serial)
    begun = begun.public_key(key.public_key())
    begun = begun.not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2120, 1, 1))
    for extension, critical in extensions:
        begun = begun.add_extension(extension, critical)
    return begun.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def main():
    root, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.BasicConstraints(ca=True, path_length=0)
    (HERE / "root.pem").write_bytes(certificate("freeboard's tests", "freeboard's tests", root, root, 1, (authority, True)))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = x509.BasicConstraints(ca=False, path_length=None)
    extensions = ((leaf, True), (usage, False), (names, False))
    (HERE / "server.pem").write_bytes(certificate("localhost", "freeboard's tests", server, root, 2, *extensions))
    key = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (HERE / "server.key").write_bytes(key)


if __name__ == "__main__":
    main()
