"""Tokens of another service: by published keys or a shared secret, and never by what the token itself suggests."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api.auth import keys
from api.auth.external import ExternalIssuer, Trust
from api.auth.tokens import Tokens
from api.errors import Problem
from store.principal import Principal
from store.types import Role
from tests.api.auth.test_keys import pem_of

SECRET = "a shared secret of more than thirty-two bytes"
JWKS_URL = "https://school.example/jwks.json"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def claims(**changed: object) -> dict[str, object]:
    """Claims as the school's own service would make them."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": "https://school.example",
        "aud": "goals",
        "sub": "pupil-7",
        "iat": now,
        "exp": now + 3600,
        "role": "instructor",
        "courses": ["algebra", "music"],
    }
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def tokens_with(trust: Trust, client: httpx.AsyncClient | None = None) -> Tokens:
    """A token desk that also trusts the school."""
    own = keys.table(pem_of(Ed25519PrivateKey.generate()))
    return Tokens(own, "issuer", "audience", external=ExternalIssuer(trust, client))


def school(answer: Callable[[httpx.Request], httpx.Response]) -> Tokens:
    """A token desk that reads the school's keys from `answer`."""
    trust = Trust("https://school.example", "goals", jwks_url=JWKS_URL)
    return tokens_with(trust, httpx.AsyncClient(transport=httpx.MockTransport(answer)))


def published(_: httpx.Request) -> httpx.Response:
    """The school's key set, with one entry nobody should use."""
    sets: list[dict[str, Any]] = [
        {**json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": "r1", "alg": "RS256", "use": "sig"},
        {**json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())), "kid": "e1", "alg": "ES256", "use": "sig"},
        {"kty": "oct", "kid": "o1", "k": "c2VjcmV0", "alg": "HS256"},
    ]
    return httpx.Response(200, json={"keys": sets})


async def test_a_shared_secret_brings_identity_and_courses() -> None:
    tokens = tokens_with(Trust("https://school.example", "goals", secret=SECRET))
    token = jwt.encode(claims(), SECRET, algorithm="HS256")
    expected = Principal("pupil-7", Role.INSTRUCTOR, ("algebra", "music"))
    assert await tokens.verify(token) == expected


@pytest.mark.parametrize(("erased", "day_after"), [(False, True), (True, False)], ids=["closed", "erased"])
async def test_a_closed_account_stays_closed_and_an_erased_one_is_a_stranger_again(
    erased: bool, day_after: bool
) -> None:
    tokens = tokens_with(Trust("https://school.example", "goals", secret=SECRET))

    async def refused() -> bool:
        now = int(tokens.clock())
        fresh = jwt.encode(claims(iat=now, exp=now + 60), SECRET, algorithm="HS256")
        try:
            await tokens.verify(fresh)
        except Problem:
            return True
        return False

    assert not await refused()
    tokens.dismiss("pupil-7", erased=erased)
    assert await refused()
    now = time.time()
    tokens.clock = lambda: now + 86_400
    assert await refused()
    tokens.clock = lambda: now + 2 * 86_400
    assert await refused() is day_after


@pytest.mark.parametrize(("kid", "key", "algorithm"), [("r1", RSA_KEY, "RS256"), ("e1", EC_KEY, "ES256")])
async def test_published_keys_bring_identity(
    kid: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str
) -> None:
    token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})
    assert (await school(published).verify(token)).user_id == "pupil-7"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example"},
        {"aud": "audience"},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 10 * 86_400},
        {"nbf": int(time.time()) + 600},
        {"sub": None},
        {"role": "service"},
        {"courses": [str(number) for number in range(501)]},
    ],
    ids=["iss", "aud", "expired", "too long", "not yet", "nobody", "service", "courses"],
)
async def test_a_wrong_claim_is_refused(changed: dict[str, Any]) -> None:
    tokens = tokens_with(Trust("https://school.example", "goals", secret=SECRET))
    with pytest.raises(Problem) as refused:
        await tokens.verify(jwt.encode(claims(**changed), SECRET, algorithm="HS256"))
    assert refused.value.status_code == 401


async def test_another_algorithm_than_the_key_is_for_is_refused() -> None:
    for token in (
        jwt.encode(claims(), RSA_KEY, algorithm="RS512", headers={"kid": "r1"}),
        jwt.encode(claims(), b"secret" * 8, algorithm="HS256", headers={"kid": "o1"}),
        jwt.encode(claims(), b"secret" * 8, algorithm="HS256", headers={"kid": "r1"}),
        jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "unknown"}),
        jwt.encode(claims(), RSA_KEY, algorithm="RS256"),
    ):
        with pytest.raises(Problem) as refused:
            await school(published).verify(token)
        assert refused.value.status_code == 401


async def test_our_own_issuer_cannot_be_claimed_by_the_other_service() -> None:
    tokens = tokens_with(Trust("https://school.example", "goals", secret=SECRET))
    forged = claims(iss="issuer", aud="audience", jti="1")
    with pytest.raises(Problem):
        await tokens.verify(jwt.encode(forged, SECRET, algorithm="HS256", headers={"kid": tokens.keys.kid}))


async def test_strangers_cannot_make_us_fetch_keys_again_and_again() -> None:
    asked: list[httpx.Request] = []

    def counting(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return published(request)

    tokens = school(counting)
    for number in range(20):
        with pytest.raises(Problem):
            await tokens.verify(jwt.encode(claims(), EC_KEY, algorithm="ES256", headers={"kid": f"x{number}"}))
    assert len(asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"location": "http://169.254.169.254/"}),
        httpx.Response(200, content=b"not json"),
        httpx.Response(200, content=b" " * 300_000),
        httpx.Response(200, json=["keys"]),
        httpx.Response(200, json={"keys": 5}),
        httpx.Response(200, json={"keys": [5, {"kid": "e1", "kty": "RSA", "n": 5, "e": 5}, {"kid": "e1", "kty": []}]}),
        httpx.Response(200, json={"keys": [{"kid": "e1", "kty": "EC", "crv": "P-256", "x": {}, "y": 1}]}),
    ],
    ids=["error", "redirect", "not json", "huge", "a list", "no list", "no keys", "no point"],
)
async def test_an_issuer_that_cannot_be_asked_means_try_again_later(answer: httpx.Response) -> None:
    token = jwt.encode(claims(), EC_KEY, algorithm="ES256", headers={"kid": "e1"})
    tokens = school(lambda _: answer)
    for _ in range(2):
        with pytest.raises(Problem) as refused:
            await tokens.verify(token)
        assert refused.value.status_code == 503
        assert refused.value.headers == {"Retry-After": "30"}


@pytest.mark.parametrize(
    "values", [{}, {"secret": "short"}, {"secret": SECRET, "jwks_url": JWKS_URL}], ids=["none", "short", "both"]
)
def test_a_half_configured_issuer_stops_the_start(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="JWT_EXTERNAL"):
        Trust("https://school.example", "goals", **values)
