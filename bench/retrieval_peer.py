"""Answers the questions of bench/retrieval.py with PGVectorStore of langchain-postgres, in its own interpreter."""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
from langchain_core.embeddings import Embeddings
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex

K = 10
COLUMNS = ("entity_type", "user_id", "course_id", "visibility", "language")


class NoEmbeddings(Embeddings):
    """Vectors are given; nothing is embedded here."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError


def main(owner: str, file: str) -> None:
    """Fill both layouts from our rows, then answer the questions whose numbers come in, until figures are wanted."""
    asked = json.loads(Path(file).read_text())
    engine = PGEngine.from_connection_string(owner.replace("postgresql://", "postgresql+psycopg://"))
    layouts = {
        "PGVectorStore, JSON metadata": (prepared(owner, engine, "peer_json", columns=False), False),
        "PGVectorStore, columns and btrees": (prepared(owner, engine, "peer_columns", columns=True), True),
    }
    for store, columns in layouts.values():
        for question in asked[:: max(1, len(asked) // 60)]:  # warm
            ask(store, question, columns=columns)
    print("ready", flush=True)
    found: dict[tuple[str, str], list[tuple[float, float, bool]]] = {}
    for line in sys.stdin:
        if line.strip() == "figures":
            break
        question = asked[int(line)]
        for layout, (store, columns) in layouts.items():
            found.setdefault((layout, question["case"]), []).append(ask(store, question, columns=columns))
        print("done", flush=True)
    print(json.dumps([{"layout": layout, **summary(case, values)} for (layout, case), values in found.items()]))


def prepared(owner: str, engine: PGEngine, table: str, *, columns: bool) -> PGVectorStore:
    """Make the table as the library does, and copy our rows into it."""
    metadata = [*(Column(name, "TEXT", nullable=True) for name in COLUMNS), Column("validated", "BOOLEAN")]
    engine.init_vectorstore_table(
        table, 1536, id_column=Column("langchain_id", "TEXT"), metadata_columns=metadata if columns else []
    )
    with psycopg.connect(owner, autocommit=True) as connection:
        fields = ", ".join(f"{name}::text" for name in COLUMNS)
        if columns:
            connection.execute(
                f"INSERT INTO {table} (langchain_id, content, embedding, {', '.join(COLUMNS)}, validated)"
                f" SELECT entity_id, content, embedding, {fields}, validated FROM embeddings"
            )
            for name in ("user_id", "course_id", "entity_type"):
                connection.execute(f"CREATE INDEX ON {table} ({name})")
        else:
            pairs = ", ".join(f"'{name}', {name}" for name in (*COLUMNS, "validated"))
            connection.execute(
                f"INSERT INTO {table} (langchain_id, content, embedding, langchain_metadata)"
                f" SELECT entity_id, content, embedding, json_build_object({pairs}) FROM embeddings"
            )
    names = [*COLUMNS, "validated"] if columns else []
    store = PGVectorStore.create_sync(engine, NoEmbeddings(), table, id_column="langchain_id", metadata_columns=names)
    store.apply_vector_index(HNSWIndex(m=16, ef_construction=64))
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"VACUUM ANALYZE {table}")
    return store


def ask(store: PGVectorStore, question: dict[str, Any], *, columns: bool) -> tuple[float, float, bool]:
    """Answer a question; return milliseconds, recall, and whether the answer is too short."""
    where = filters(question, columns)
    started = time.perf_counter()
    documents = store.similarity_search_by_vector(question["vector"], k=K, filter=where)
    took = (time.perf_counter() - started) * 1000
    good = len({document.id for document in documents} & set(question["nearest"]))
    recall = good / question["available"] if question["available"] else 1.0
    return took, recall, len(documents) < question["available"]


def summary(case: str, values: list[tuple[float, float, bool]]) -> dict[str, Any]:
    """Boil the answers to one kind of question down."""
    times = sorted(value[0] for value in values)
    return {
        "case": case,
        "recall": statistics.fmean(value[1] for value in values),
        "short": sum(value[2] for value in values),
        "p50": statistics.median(times),
        "p95": times[int(len(times) * 0.95)],
    }


def filters(question: dict[str, Any], columns: bool) -> dict[str, Any]:
    """Say the scope in the library's filter language."""
    where: list[dict[str, Any]] = [{"entity_type": {"$in": question["types"]}}]
    if question["scope"] == "user":
        where.append({"user_id": {"$eq": question["user"]}})
    elif question["scope"] == "course":
        where += [{"course_id": {"$eq": question["course"]}}, {"visibility": {"$in": ["course", "global"]}}]
    else:
        where.append({"visibility": {"$eq": "global"}})
    if question["language"]:
        where.append({"language": {"$eq": question["language"]}})
    if question["validated"]:
        where.append({"validated": {"$eq": True if columns else "true"}})
    return {"$and": where}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
