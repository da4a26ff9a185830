"""The keys this service signs with: from the environment, or made once and kept under the data directory."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from api.settings import Settings

PrivateKey: TypeAlias = Ed25519PrivateKey | EllipticCurvePrivateKey
PublicKey: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class UnusableKey(ValueError):
    """A key in the settings cannot be used."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and the one algorithm it may be used with (RFC 8725, 3.1)."""

    algorithm: str
    public: PublicKey
    jwk: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The signing key, and every key tokens are accepted from, by key id."""

    kid: str
    algorithm: str
    private: PrivateKey
    verifying: Mapping[str, VerifyingKey]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public half, for other services."""
        return {"keys": [dict(key.jwk) for key in self.verifying.values()]}


def load(settings: Settings) -> KeyTable:
    """Return the keys of this deployment, making one under `DATA_DIR/keys` if the environment names none."""
    others = _PEM.findall(settings.jwt_public_keys.replace("\\n", "\n"))
    if settings.jwt_private_key is not None:
        return table(settings.jwt_private_key.get_secret_value().replace("\\n", "\n"), others)
    return table(_kept_or_new(kept_at(settings)), others)


def kept_at(settings: Settings) -> Path:
    """Where the key lies that is made when the environment names none."""
    return settings.data_dir / "keys" / "signing.pem"


def table(private_pem: str, public_pems: Iterable[str] = ()) -> KeyTable:
    """Build the table from PEM texts; raises `UnusableKey` without ever quoting the key."""
    try:
        private = serialization.load_pem_private_key(private_pem.encode(), password=None)
        publics = [serialization.load_pem_public_key(pem.encode()) for pem in public_pems]
    except (ValueError, TypeError):
        raise UnusableKey("JWT_PRIVATE_KEY or JWT_PUBLIC_KEYS is not a readable PEM key without a password.") from None
    if not isinstance(private, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise UnusableKey("JWT_PRIVATE_KEY must be an Ed25519 or a P-256 key.")
    own = _verifying(private.public_key())
    verifying = {key.jwk["kid"]: key for key in (own, *map(_verifying, publics))}
    return KeyTable(own.jwk["kid"], own.algorithm, private, MappingProxyType(verifying))


def _verifying(public: object) -> VerifyingKey:
    if isinstance(public, Ed25519PublicKey):
        algorithm, jwk = "EdDSA", OKPAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        algorithm, jwk = "ES256", ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        raise UnusableKey("Only Ed25519 and P-256 keys are used for tokens.")
    members = {name: str(jwk[name]) for name in ("crv", "kty", "x", "y") if name in jwk}
    # RFC 7638: the hash of the required members in alphabetical order names a key the same way everywhere.
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).hexdigest()
    return VerifyingKey(algorithm, public, {**members, "alg": algorithm, "use": "sig", "kid": thumbprint[:32]})


def _kept_or_new(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        # A link either creates the whole file or fails: of two processes that start together, one key wins.
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
