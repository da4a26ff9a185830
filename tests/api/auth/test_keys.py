"""Keys: made once, kept private, named by their content."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from api.auth import keys
from api.auth.keys import PrivateKey, UnusableKey
from api.settings import given


def pem_of(key: PrivateKey | rsa.RSAPrivateKey) -> str:
    """The PEM text of a private key."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem_of(key: PrivateKey) -> str:
    """The PEM text of the public half."""
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_the_embedded_default_makes_one_key_and_keeps_it(tmp_path: Path) -> None:
    first = keys.load(given(data_dir=tmp_path))
    second = keys.load(given(data_dir=tmp_path))
    assert first.kid == second.kid
    assert first.algorithm == "EdDSA"
    assert (tmp_path / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["signing.pem"]


def test_a_key_from_the_environment_wins_and_nothing_is_written(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    table = keys.load(given(data_dir=tmp_path, jwt_private_key=pem_of(key).replace("\n", "\\n")))
    assert table.algorithm == "ES256"
    assert not (tmp_path / "keys").exists()


def test_keys_that_are_being_rotated_out_are_still_accepted(tmp_path: Path) -> None:
    old, new = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    table = keys.load(given(data_dir=tmp_path, jwt_private_key=pem_of(new), jwt_public_keys=public_pem_of(old) * 2))
    assert set(table.verifying) == {keys.table(pem_of(old)).kid, keys.table(pem_of(new)).kid}


def test_the_published_set_holds_no_private_part(tmp_path: Path) -> None:
    table = keys.load(given(data_dir=tmp_path))
    (published,) = table.jwks()["keys"]
    assert set(published) == {"kty", "crv", "x", "alg", "use", "kid"}


@pytest.mark.parametrize(
    "text", ["", "not a key", pem_of(ec.generate_private_key(ec.SECP384R1())), "-----BEGIN PRIVATE KEY-----\nAAAA\n"]
)
def test_an_unusable_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(UnusableKey) as refused:
        keys.table(text)
    assert not text or text not in str(refused.value)
    assert refused.value.__cause__ is None


def test_rsa_is_not_used_for_our_own_tokens() -> None:
    with pytest.raises(UnusableKey, match="Ed25519"):
        keys.table(pem_of(rsa.generate_private_key(65537, 2048)))
