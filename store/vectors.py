"""Embedding vectors: what an embedder is, and how vectors travel to PostgreSQL and back without becoming text."""

import struct
from collections.abc import Sequence
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import pgvector
from numpy.typing import NDArray
from psycopg import AsyncConnection, Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

DIMENSIONS = 1536

Vector: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors of one model. Vectors of different models are never compared."""

    @property
    def model(self) -> str:
        """The name the vectors are stored under; another name means other vectors."""
        ...

    @property
    def degraded(self) -> bool:
        """True when a better model would be in use if it were configured; shown wherever results are shown."""
        ...

    @property
    def chunk_chars(self) -> int:
        """About how many characters of a text this model still takes in."""
        ...

    def of(self, model: str) -> "Embedder | None":
        """Return the embedder for `model`, possibly this one, or None where this process cannot make such vectors."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector a text, 1536 long and of unit length, in order.

        Raises `EmbedderUnavailable` when trying again later is right, `TextRefused` when a text can never be embedded.
        """
        ...


class EmbeddingFailed(Exception):
    """Not every text could be embedded. What was answered travels along, so that nothing paid for is asked again."""

    def __init__(self, message: str, embedded: dict[int, Vector] | None = None) -> None:
        super().__init__(message)
        self.embedded = embedded or {}
        """The vectors that did arrive, by position in the request."""


class EmbedderUnavailable(EmbeddingFailed):
    """The embedding model does not answer at the moment; nothing is wrong with the texts."""


class TextRefused(EmbeddingFailed):
    """The model refuses some of the texts, and has answered all others."""

    def __init__(self, refused: dict[int, str], embedded: dict[int, Vector] | None = None) -> None:
        super().__init__(f"{len(refused)} texts refused: {next(iter(refused.values()), '')}", embedded)
        self.refused = refused
        """Why, by position in the request."""


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale each row to length one and pad it with zeros to 1536; a row without direction stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    padded = np.zeros((vectors.shape[0], DIMENSIONS), np.float32)
    padded[:, : vectors.shape[1]] = vectors / np.where(lengths == 0, 1, lengths)
    return padded


class VectorParameter:
    """A vector on its way into a statement: binary, because text costs the server and us ten times as much."""

    __slots__ = ("wire",)

    def __init__(self, vector: Vector) -> None:
        if vector.shape != (DIMENSIONS,) or not np.isfinite(vector).all():
            raise ValueError(f"A vector must have {DIMENSIONS} finite numbers.")
        self.wire = pgvector.Vector(vector).to_binary()


class BitsParameter:
    """The signs of a vector on their way into a statement: 1 above zero, as binary_quantize does."""

    __slots__ = ("wire",)

    def __init__(self, vector: Vector) -> None:
        self.wire = pgvector.Bit(vector > 0).to_binary()


# An element of a binary array of vectors, all of them written at once: one by one they cost five times as much.
_ELEMENT = np.dtype([("size", ">i4"), ("dimensions", ">i2"), ("unused", ">i2"), ("numbers", ">f4", (DIMENSIONS,))])


class VectorsParameter:
    """Many vectors as one array; `oid` is the vector type's in this very database (`vector_oid`)."""

    __slots__ = ("wire",)

    def __init__(self, vectors: Sequence[Vector], oid: int) -> None:
        matrix = np.stack(vectors)
        if matrix.shape[1:] != (DIMENSIONS,) or not np.isfinite(matrix).all():
            raise ValueError(f"Each vector must have {DIMENSIONS} finite numbers.")
        elements = np.zeros(len(vectors), _ELEMENT)
        elements["size"] = _ELEMENT.itemsize - 4
        elements["dimensions"] = DIMENSIONS
        elements["numbers"] = matrix
        self.wire = struct.pack("!iiIii", 1, 0, oid, len(vectors), 1) + elements.tobytes()


async def vector_oid(connection: AsyncConnection) -> int:
    """Return the number pgvector's type has in this database."""
    cursor = await connection.execute("SELECT 'vector'::regtype::oid::int8")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


class _WireDumper(Dumper):
    # No oid: pgvector's types have another one in every database, so statements cast the placeholder instead.
    format: ClassVar[Format] = Format.BINARY  # pyright: ignore[reportIncompatibleVariableOverride]
    oid: ClassVar[int] = 0  # pyright: ignore[reportIncompatibleVariableOverride]

    def dump(self, obj: VectorParameter | VectorsParameter | BitsParameter) -> bytes:
        return obj.wire


def register_parameters(connection: AsyncConnection | Connection) -> None:
    """Teach a connection the parameter types above; cheap enough to do before each use."""
    connection.adapters.register_dumper(VectorParameter, _WireDumper)
    connection.adapters.register_dumper(VectorsParameter, _WireDumper)
    connection.adapters.register_dumper(BitsParameter, _WireDumper)


def from_wire(sent: bytes) -> Vector:
    """Read what `vector_send` returns."""
    return pgvector.Vector.from_binary(sent).to_numpy().astype(np.float32)
