"""Keys to sign tokens with, and tokens of any kind, good and forged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "a secret of sixty-four bytes, as long as what HS512 makes of it: "


class Pair(NamedTuple):
    private: Any
    public: str


def _pair(private: Any) -> Pair:
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Pair(private, public.decode())


@cache
def pair(algorithm: str) -> Pair:
    """A key of the kind that this algorithm needs."""
    if algorithm.startswith("RS"):
        return _pair(rsa.generate_private_key(65537, 2048))
    if algorithm == "EdDSA":
        return _pair(ed25519.Ed25519PrivateKey.generate())
    curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}[algorithm]
    return _pair(ec.generate_private_key(curve()))


def jwk(algorithm: str, kid: str, **more: Any) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    import jwt

    public = pair(algorithm).private.public_key()
    made: dict[str, Any] = jwt.PyJWS().get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    return {**made, "kid": kid, **more}


def part(value: Any) -> str:
    """A part of a token: bytes as they are, all else as JSON."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: Any, payload: Any, secret: str | None = None) -> str:
    """A token by hand: with an HMAC of that secret, or no signature."""
    signed = f"{part(header)}.{part(payload)}"
    if secret is None:
        return f"{signed}."
    return f"{signed}.{part(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"
