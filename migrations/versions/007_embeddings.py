"""Embeddings, partitioned by entity type and model, with a cosine HNSW index and their sign bits."""

from alembic import op

revision = "007"
down_revision = "006"
branch_labels = None
depends_on = None

_LEAF = """
CREATE TABLE embeddings_{type} PARTITION OF embeddings FOR VALUES IN ('{type}') PARTITION BY LIST (model);
-- A second model gets leaves of its own when it is built; vectors of two models never share a graph.
CREATE TABLE embeddings_{type}_any PARTITION OF embeddings_{type} DEFAULT WITH (toast_tuple_target = 512);
-- Only what everybody may see is in the graph: no private row can slow, starve or colour a global search. It belongs to
-- the leaf alone, not to the parent, so that a rebuild may load first and build the graph afterwards.
CREATE INDEX embeddings_{type}_any_nearest ON embeddings_{type}_any USING hnsw (embedding vector_cosine_ops)
    WITH (m = 16, ef_construction = 64) WHERE visibility = 'global';
"""


def upgrade() -> None:
    op.execute(r"""
    -- Identifiers fall into their words (parseJSONBody, http_client), and a path is not mistaken for a host name.
    CREATE FUNCTION search_words(content text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        RETURN regexp_replace(regexp_replace(content, '([a-z0-9])([A-Z])', '\1 \2', 'g'),
                              '[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+', ' ', 'g');
    -- Both languages at once, English without accents too, so that "funcion" finds "función"; positions are not used.
    CREATE FUNCTION search_vector(content text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    DECLARE
        words text := public.search_words(content);
    BEGIN
        RETURN strip(to_tsvector('english', translate(words, 'áéíóúüñÁÉÍÓÚÜÑ', 'aeiouunAEIOUUN')))
            || strip(to_tsvector('spanish', words));
    END $$;

    CREATE TABLE embeddings (
        entity_type  text NOT NULL,
        model        text NOT NULL,
        entity_id    text NOT NULL,
        chunk_no     integer NOT NULL CHECK (chunk_no >= 0),
        user_id      text NOT NULL,
        course_id    text,
        -- What may be shared at most; the live row has the last word at every search.
        visibility   visibility NOT NULL,
        validated    boolean NOT NULL,
        language     text,
        changed_at   timestamptz NOT NULL,
        line_start   integer,
        line_end     integer,
        content_hash bytea NOT NULL,
        heading      text NOT NULL,
        content      text NOT NULL,
        embedding    vector(1536) NOT NULL,
        -- 192 bytes beside the row, while the vector itself lies out of line: a scope is scanned by its signs.
        bits         bit(1536) STORAGE PLAIN GENERATED ALWAYS AS (binary_quantize(embedding)::bit(1536)) STORED,
        words        tsvector GENERATED ALWAYS AS (search_vector(heading || ' ' || content)) STORED,
        PRIMARY KEY (entity_type, model, entity_id, chunk_no)
    ) PARTITION BY LIST (entity_type);
    """)
    for entity_type in ("goal", "task", "code_snapshot", "course"):
        op.execute(_LEAF.format(type=entity_type))
    op.execute("""
    CREATE INDEX embeddings_by_user ON embeddings (user_id);
    CREATE INDEX embeddings_by_course ON embeddings (course_id) WHERE visibility <> 'private';
    CREATE INDEX embeddings_content ON embeddings (content_hash);
    CREATE INDEX embeddings_words ON embeddings USING gin (words);
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE embeddings;
    DROP FUNCTION search_vector(text);
    DROP FUNCTION search_words(text);
    """)
