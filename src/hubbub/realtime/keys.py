"""The keys that tokens are signed with: which key, and which algorithms, a token may name.

Each key has one family of algorithms, so a token cannot choose how its key is used: a public key is no HMAC secret.
PyJWT checks the signatures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from hubbub.errors import Misuse
from hubbub.logs import logger

__all__ = ["KeySet", "Keys", "Rejected", "Secret"]

HMAC, RSA = ("HS256", "HS384", "HS512"), ("RS256", "RS384", "RS512")
ECDSA, EDDSA = ("ES256", "ES384", "ES512"), ("EdDSA",)  # of ECDSA the key's curve decides which
_OF_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
MOST_KEYS = 100  # of a key set

Secret: TypeAlias = str | bytes
KeySet: TypeAlias = Mapping[str, Any] | str | Path


class Rejected(Exception):
    """A token that none of the keys has signed. Says why, and nothing of the token."""


class _Key(NamedTuple):
    algorithms: tuple[str, ...]
    key: Any


class Keys:
    """What tokens are checked with.

    Args:
        hmac: a secret, or several while one replaces another: the first is the one to sign with.
        rsa, ecdsa, eddsa: a public key in PEM.
        jwks: a JSON Web Key Set, or the path of a file with one; tokens name one of its RSA, EC or Ed25519 keys by
            `kid`. Other keys may not be given beside it.

    Raises: Misuse: no key, or one that is none of its kind; the package PyJWT is not installed.
    """

    def __init__(
        self,
        *,
        hmac: Secret | Sequence[Secret] | None = None,
        rsa: Secret | None = None,
        ecdsa: Secret | None = None,
        eddsa: Secret | None = None,
        jwks: KeySet | None = None,
    ) -> None:
        self._jws, self._error = _signatures()
        self._named: dict[str, _Key] | None = None
        self._keys = [self._secret(secret) for secret in _several(hmac)]
        for family, pem in ((RSA, rsa), (ECDSA, ecdsa), (EDDSA, eddsa)):
            if pem is not None:
                self._keys.append(self._public(family, pem))
        if jwks is not None:
            if self._keys:
                raise Misuse("with jwks all keys are in the set: give no other")
            self.replace(jwks)
        elif not self._keys:
            raise Misuse("tokens need a key: hmac, rsa, ecdsa, eddsa or jwks")

    def replace(self, jwks: KeySet) -> None:
        """Take the keys of this set from now on. Those that cannot check signatures are passed over.

        Raises: Misuse: it has no other.
        """
        named = dict(self._of_set(_set_of(jwks)))
        if not named:
            raise Misuse("a key set has RSA, EC or Ed25519 keys for signatures, each with a kid: there is none in this")
        self._named = named

    def payload(self, token: str) -> bytes:
        """What the token holds. Raises: Rejected: none of the keys has signed it."""
        try:
            header = self._jws.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
        except Exception:  # whatever a forged one makes a parser raise
            raise Rejected("it is no token") from None
        if self._named is None:
            keys = [key for key in self._keys if algorithm in key.algorithms]
        else:
            named = self._named.get(kid) if isinstance(kid, str) else None
            if named is None:
                raise Rejected("its kid is unknown")
            keys = [named] if algorithm in named.algorithms else []
        if not keys:
            raise Rejected("its algorithm is not that of a key")
        for key in keys:
            with suppress(Exception):
                payload: bytes = self._jws.decode(token, key.key, algorithms=[algorithm])
                return payload
        raise Rejected("its signature is wrong")

    def signed(self, payload: bytes) -> str:
        """A token with this payload. Raises: Misuse: there is no secret to sign with."""
        first = self._keys[0] if self._keys else None
        if first is None or first.algorithms != HMAC:
            raise Misuse("making tokens needs the key hmac: whoever has a private key signs with it")
        token: str = self._jws.encode(payload, first.key, algorithm="HS256")
        return token

    def _secret(self, secret: Secret) -> _Key:
        given: Any = secret
        if not isinstance(given, (str, bytes)) or not given:
            raise Misuse("an hmac secret is a text or bytes, not empty")
        try:
            key = self._jws.get_algorithm_by_name("HS256").prepare_key(secret)
        except self._error:
            raise Misuse("an hmac secret is not a public key: give that as rsa, ecdsa or eddsa") from None
        if len(key) < 32:
            logger.warning("an hmac secret of %d bytes can be guessed from a token: let it have 32", len(key))
        return _Key(HMAC, key)

    def _public(self, family: tuple[str, ...], pem: Secret) -> _Key:
        for name in family:
            algorithm = self._jws.get_algorithm_by_name(name)
            try:
                key = _public_half(algorithm.prepare_key(pem))
            except (self._error, ValueError, TypeError):
                continue
            return _Key((name,) if family is ECDSA else family, key)
        raise Misuse(f"this is no public key in PEM for {' or '.join(family)}")

    def _of_set(self, keys: Sequence[Any]) -> Iterator[tuple[str, _Key]]:
        for jwk in keys[:MOST_KEYS]:
            if not _checks_signatures(jwk):
                continue
            algorithms: tuple[str, ...] = RSA if jwk.get("kty") == "RSA" else (_OF_CURVE.get(str(jwk.get("crv")), ""),)
            if "alg" in jwk:
                algorithms = tuple(name for name in algorithms if name == jwk["alg"])
            if not algorithms or not algorithms[0]:
                continue
            try:
                key = self._jws.get_algorithm_by_name(algorithms[0]).from_jwk(jwk)
            except (self._error, ValueError, TypeError):
                continue
            yield jwk["kid"], _Key(algorithms, _public_half(key))


def _several(hmac: Any) -> Sequence[Any]:
    if hmac is None:
        return ()
    return cast(Sequence[Any], hmac) if isinstance(hmac, (list, tuple)) else (hmac,)


def _set_of(jwks: KeySet) -> Sequence[Any]:
    try:
        found: Any = jwks if isinstance(jwks, Mapping) else json.loads(Path(jwks).read_text())
        keys: Any = found["keys"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misuse(f"jwks is a JSON Web Key Set or the path of one: {error!r}") from None
    if not isinstance(keys, list):
        raise Misuse("the keys of a JSON Web Key Set are a list")
    return cast(list[Any], keys)


def _checks_signatures(jwk: Any) -> bool:
    if not isinstance(jwk, dict):
        return False
    said = cast(dict[str, Any], jwk)
    return isinstance(said.get("kid"), str) and said.get("use", "sig") == "sig"


def _public_half(key: Any) -> Any:
    return key.public_key() if hasattr(key, "public_key") else key


def _signatures() -> tuple[Any, type[Exception]]:
    """PyJWT's signatures, and the root of its errors."""
    try:
        jwt: Any = import_module("jwt")
        import_module("cryptography")
    except ImportError:
        raise Misuse("tokens need the package PyJWT: pip install 'hubbub[realtime]'") from None
    jws = jwt.PyJWS(algorithms=[*HMAC, *RSA, *ECDSA, *EDDSA])
    for name in jws.get_algorithms():
        # How long a key is has been looked at once, when it was given: no warning for every token.
        jws.get_algorithm_by_name(name).check_key_length = _no_complaint
    return jws, jwt.PyJWTError


def _no_complaint(_: Any) -> None:
    pass
