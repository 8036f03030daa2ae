"""Key pairs, identities and signatures (Ed25519)."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ._errors import BadSignature

_CONTEXT = b"polyrank-envelope\x00"  # so that a signature for another purpose is never one of ours


def identity_of(public_key: bytes) -> str:
    """Return a node's identity: the sha-256 of its 32-byte public key, in hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()


class KeyPair:
    """A node's Ed25519 key pair; the private half never leaves it but through ``private_bytes``."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key: bytes = private.public_key().public_bytes_raw()
        self.identity: str = identity_of(self.public_key)

    @classmethod
    def generate(cls) -> KeyPair:
        """Make a new pair from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, data: bytes) -> KeyPair:
        """Read the 32 raw bytes of a private key; raises BadSignature when they are not that."""
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(data))
        except ValueError as error:
            raise BadSignature(f"not a private key of 32 bytes: {error}") from error

    @property
    def private_bytes(self) -> bytes:
        """The 32 raw bytes of the private key, for the state directory alone."""
        return self._private.private_bytes_raw()

    def sign(self, envelope: bytes) -> bytes:
        """Sign an envelope's bytes; returns 64 bytes."""
        return self._private.sign(_CONTEXT + envelope)


def sign(key: KeyPair, envelope: bytes) -> bytes:
    """Sign an envelope's bytes with ``key``; returns 64 bytes."""
    return key.sign(envelope)


def verify(public_key: bytes, envelope: bytes, signature: bytes) -> None:
    """Check that ``signature`` over ``envelope`` was made by the owner of ``public_key``.

    Raises:
        BadSignature: when it was not, or when the key is not an Ed25519 public key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _CONTEXT + envelope)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature(
            "signature does not fit the envelope and public key: the reply was altered, or signed "
            "by another node"
        ) from error
