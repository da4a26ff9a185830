"""Access tokens: ours are accepted, and nothing else is."""

import base64
import hashlib
import hmac
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.auth import keys
from api.auth.tokens import Tokens
from api.errors import Problem
from store.principal import Principal
from store.types import Role
from tests.api.auth.test_keys import pem_of

FUZZED = int(os.environ.get("FUZZED_TOKENS", "20000"))
NOW = 1_800_000_000.0


@pytest.fixture
def tokens() -> Tokens:
    """A token desk whose clock stands still."""
    return Tokens(keys.table(pem_of(Ed25519PrivateKey.generate())), "issuer", "audience", clock=lambda: NOW)


@pytest.fixture
def signed(tokens: Tokens) -> Callable[..., str]:
    """Sign any claims with the service's own key: `signed(claim=value, header={...})`; None drops a claim."""

    def sign(header: dict[str, Any] | None = None, **changed: object) -> str:
        claims: dict[str, object] = {
            "iss": "issuer",
            "aud": "audience",
            "sub": "ada",
            "role": "learner",
            "iat": NOW,
            "exp": NOW + 600,
            "jti": "1",
        }
        claims = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        headers = {"typ": "at+jwt", "kid": tokens.keys.kid, **(header or {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        return jwt.encode(claims, tokens.keys.private, algorithm="EdDSA", headers=headers)

    return sign


async def test_an_issued_token_names_its_owner(tokens: Tokens) -> None:
    issued = tokens.issue(Principal("ada", Role.INSTRUCTOR))
    assert issued.expires_in == 900
    assert await tokens.verify(issued.access_token) == Principal("ada", Role.INSTRUCTOR)
    assert jwt.get_unverified_header(issued.access_token)["typ"] == "at+jwt"


async def test_the_signed_template_itself_is_accepted(tokens: Tokens, signed: Callable[..., str]) -> None:
    assert (await tokens.verify(signed())).user_id == "ada"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "somebody"},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": " ada"},
        {"sub": "a\u0000b"},
        {"sub": "a" * 256},
        {"role": "service"},
        {"role": "root"},
        {"exp": NOW - 1},
        {"exp": NOW + 86_400},
        {"exp": None},
        {"exp": True},
        {"iat": NOW + 600},
        {"iat": None},
        {"jti": None},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"header": {"kid": None}},
        {"header": {"kid": "../../etc/passwd"}},
        {"header": {"crit": ["exp"]}},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_refused(
    tokens: Tokens, signed: Callable[..., str], changed: dict[str, Any]
) -> None:
    with pytest.raises(Problem) as refused:
        await tokens.verify(signed(**changed))
    assert refused.value.status_code == 401


async def test_a_remembered_token_still_expires(tokens: Tokens, signed: Callable[..., str]) -> None:
    token = signed(exp=NOW + 60)
    await tokens.verify(token)
    tokens.clock = lambda: NOW + 61
    for _ in range(2):
        with pytest.raises(Problem):
            await tokens.verify(token)


async def test_a_closed_account_loses_its_tokens_at_once(tokens: Tokens) -> None:
    token = tokens.issue(Principal("ada", Role.LEARNER)).access_token
    other = tokens.issue(Principal("bob", Role.LEARNER)).access_token
    await tokens.verify(token)
    tokens.dismiss("ada")
    with pytest.raises(Problem):
        await tokens.verify(token)
    assert (await tokens.verify(other)).user_id == "bob"


async def test_closed_accounts_are_forgotten_once_their_tokens_have_run_out(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_crowd", 10)
    for number in range(10):
        tokens.dismiss(f"long ago {number}")
    now = tokens.clock()
    tokens.clock = lambda: now + 3600
    token = tokens.issue(Principal("ada", Role.LEARNER)).access_token
    tokens.dismiss("ada")
    assert tokens.dismissals == 1
    with pytest.raises(Problem):
        await tokens.verify(token)


async def test_a_key_of_another_service_is_not_ours(tokens: Tokens) -> None:
    stranger = replace(tokens, keys=keys.table(pem_of(Ed25519PrivateKey.generate())))
    with pytest.raises(Problem):
        await tokens.verify(stranger.issue(Principal("ada", Role.ADMIN)).access_token)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _forged(tokens: Tokens, claims: dict[str, Any]) -> list[str]:
    """Every classic: no signature, a public key used as a shared secret, keys carried by the token itself."""
    public = tokens.keys.private.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    own = Ed25519PrivateKey.generate()
    forged: list[str] = []
    for algorithm in ("none", "None", "NONE", "nOnE"):
        head = _part({"alg": algorithm, "typ": "at+jwt", "kid": tokens.keys.kid})
        forged += [f"{head}.{_part(claims)}.", f"{head}.{_part(claims)}.AAAA"]
    for secret in (pem, raw, b"", tokens.keys.kid.encode()):
        head = _part({"alg": "HS256", "typ": "at+jwt", "kid": tokens.keys.kid})
        message = f"{head}.{_part(claims)}"
        digest = hmac.new(secret, message.encode(), hashlib.sha256).digest()
        forged.append(f"{message}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}")
    for extra in (
        {"jwk": dict(keys.table(pem_of(own)).jwks()["keys"][0])},
        {"jku": "http://127.0.0.1/"},
        {"b64": False},
    ):
        headers = {"typ": "at+jwt", "kid": tokens.keys.kid, **extra}
        try:
            forged.append(jwt.encode(claims, own, algorithm="EdDSA", headers=headers))
        except (TypeError, ValueError):
            continue
    return forged


def _mutated(token: str, chance: random.Random) -> str:
    """One random wound: a changed, lost, doubled or foreign character, a swapped part, a strange header."""
    at = chance.randrange(len(token))
    head, body, signature = token.split(".")
    ends: list[object] = [1e308, -1, None, "x", [], {}]
    bodies = [{"sub": "ada", "exp": end} for end in ends]
    heads: list[object] = [None, 1, [], "x", {"alg": []}, {"kid": {}}, {"alg": None}]
    heads += [{"alg": "HS256"}, {"alg": "none"}, {"alg": 0}]
    return chance.choice(
        [
            lambda: token[:at] + chance.choice("ABCxyz019-_.=+/ \n\0é\ud800😀") + token[at + 1 :],
            lambda: token[:at] + token[at + 1 :],
            lambda: token[:at] + token[at:] * 2,
            lambda: ".".join(chance.sample([head, body, signature], 3)),
            lambda: f"{head}.{body}.",
            lambda: f"{head}.{body}",
            lambda: f"{head}.{_part(chance.choice(bodies))}.{signature}",
            lambda: f"{_part(chance.choice(heads))}.{body}.{signature}",
            lambda: "." * chance.randrange(9),
            lambda: base64.b64encode(chance.randbytes(60)).decode() + "." + body + "." + signature,
            lambda: token + "A" * 9000,
        ]
    )()


async def test_no_forged_token_is_accepted(tokens: Tokens, signed: Callable[..., str]) -> None:
    claims = {
        "iss": "issuer",
        "aud": "audience",
        "sub": "ada",
        "role": "admin",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "1",
    }
    for token in _forged(tokens, claims):
        with pytest.raises(Problem):
            await tokens.verify(token)


async def test_fuzzed_tokens_are_refused_and_never_break_anything(tokens: Tokens, signed: Callable[..., str]) -> None:
    chance = random.Random(20260101)
    good = signed()
    for _ in range(FUZZED):
        token = _mutated(good, chance)
        if token == good:
            continue
        # The last character of an Ed25519 signature carries padding bits, so a few spellings mean the same bytes.
        if token[:-1] == good[:-1] and _same_signature(token, good):
            continue
        with pytest.raises(Problem) as refused:
            await tokens.verify(token)
        assert refused.value.status_code == 401


def _same_signature(one: str, other: str) -> bool:
    try:
        return base64.urlsafe_b64decode(one.rpartition(".")[2] + "==") == base64.urlsafe_b64decode(
            other.rpartition(".")[2] + "=="
        )
    except ValueError:
        return False


def test_access_tokens_live_a_quarter_of_an_hour_by_default(tokens: Tokens) -> None:
    assert tokens.lifetime == timedelta(minutes=15)
