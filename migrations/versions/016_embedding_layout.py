"""Who may search what, how large each scope is, and how far the index has come."""

from alembic import op

revision = "016"
down_revision = "015"
branch_labels = None
depends_on = None

_BOOKKEEPING = """
-- The one model that searches use; another may be built beside it.
CREATE TABLE index_models (
    model      text PRIMARY KEY,
    state      text NOT NULL CHECK (state IN ('current', 'building')),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX index_models_current ON index_models (state) WHERE state = 'current';

-- Which version of an entity the index has seen, and what could not be embedded.
CREATE TABLE indexed_entities (
    model       text NOT NULL,
    entity_type text NOT NULL,
    entity_id   text NOT NULL,
    user_id     text NOT NULL,
    version     bigint NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    error       text,
    indexed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model, entity_type, entity_id)
);
CREATE INDEX indexed_entities_failed ON indexed_entities (model, indexed_at) WHERE error IS NOT NULL;
CREATE INDEX indexed_entities_user ON indexed_entities (user_id);

-- Rows of each scope, kept by triggers: the route of a search is chosen from these numbers, not by the planner.
CREATE TABLE embedding_counts (
    model       text NOT NULL,
    entity_type text NOT NULL,
    scope       text NOT NULL CHECK (scope IN ('user', 'course', 'global')),
    key         text NOT NULL,
    rows        bigint NOT NULL,
    PRIMARY KEY (model, entity_type, scope, key)
);

CREATE FUNCTION embedding_counts_add() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO embedding_counts AS c
    SELECT model, entity_type, scope, key, count(*) FROM added,
        LATERAL (VALUES ('user', user_id, true),
                        ('course', course_id, visibility <> 'private' AND course_id IS NOT NULL),
                        ('global', '', visibility = 'global')) AS part (scope, key, counts)
    WHERE counts GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (model, entity_type, scope, key) DO UPDATE SET rows = c.rows + excluded.rows;
    RETURN NULL;
END $$;
CREATE FUNCTION embedding_counts_take() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE embedding_counts AS c SET rows = c.rows - gone.rows FROM (
        SELECT model, entity_type, scope, key, count(*) AS rows FROM taken,
            LATERAL (VALUES ('user', user_id, true),
                            ('course', course_id, visibility <> 'private' AND course_id IS NOT NULL),
                            ('global', '', visibility = 'global')) AS part (scope, key, counts)
        WHERE counts GROUP BY 1, 2, 3, 4) AS gone
    WHERE (c.model, c.entity_type, c.scope, c.key) = (gone.model, gone.entity_type, gone.scope, gone.key);
    RETURN NULL;
END $$;
CREATE TRIGGER embedding_counts_insert AFTER INSERT ON embeddings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION embedding_counts_add();
CREATE TRIGGER embedding_counts_delete AFTER DELETE ON embeddings
    REFERENCING OLD TABLE AS taken FOR EACH STATEMENT EXECUTE FUNCTION embedding_counts_take();
CREATE TRIGGER embedding_counts_update_add AFTER UPDATE ON embeddings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION embedding_counts_add();
CREATE TRIGGER embedding_counts_update_take AFTER UPDATE ON embeddings
    REFERENCING OLD TABLE AS taken FOR EACH STATEMENT EXECUTE FUNCTION embedding_counts_take();
"""

_SECURITY = """
GRANT SELECT ON embeddings, index_models, indexed_entities, embedding_counts TO goals_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON embeddings, index_models, indexed_entities, embedding_counts TO goals_service;
-- The partitions are reached through their parent only; without a policy of their own they answer nobody.
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT relid FROM pg_partition_tree('embeddings') LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
        EXECUTE format('CREATE POLICY service ON %s TO goals_service USING (true) WITH CHECK (true)', part);
    END LOOP;
END $$;
-- The cheapest test first: it is made for every row that is looked at.
CREATE POLICY readable ON embeddings FOR SELECT TO goals_user USING (
    visibility = 'global'
    OR user_id = (SELECT app_user_id())
    OR (visibility = 'course' AND course_id = ANY ((SELECT my_courses())::text[])));

ALTER TABLE indexed_entities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY service ON indexed_entities TO goals_service USING (true) WITH CHECK (true);
CREATE POLICY own ON indexed_entities FOR SELECT TO goals_user USING (user_id = (SELECT app_user_id()));

ALTER TABLE embedding_counts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY service ON embedding_counts TO goals_service USING (true) WITH CHECK (true);
CREATE POLICY readable ON embedding_counts FOR SELECT TO goals_user USING (
    scope = 'global'
    OR (scope = 'user' AND key = (SELECT app_user_id()))
    OR (scope = 'course' AND key = ANY ((SELECT my_courses())::text[])));
"""

_QUERY_TERMS = r"""
-- A question as words, each with the lexemes it may be stored under; stop words of either language are left out.
CREATE FUNCTION search_terms(question text, most integer) RETURNS TABLE (word text, term text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, public AS $$
    WITH words AS (
        SELECT DISTINCT lower(token) AS word FROM ts_parse('default', search_words(left(question, 20000)))
        WHERE tokid <> 12 AND length(token) BETWEEN 2 AND 100
    ), lexemes AS (
        SELECT word, plain, ts_lexize('english_stem', plain) AS english, ts_lexize('spanish_stem', word) AS spanish
        FROM words, LATERAL (SELECT translate(word, 'áéíóúüñ', 'aeiouun') AS plain) AS spelled
    )
    SELECT word, (SELECT string_agg(DISTINCT quote_literal(lexeme), ' | ') FROM unnest(english || spanish) AS l (lexeme))
    FROM lexemes
    WHERE english <> '{}' AND spanish <> '{}'
    ORDER BY length(word) DESC, word LIMIT most
$$;
"""

# Full text runs with the background role's rights: under a policy that is not constant PostgreSQL may not use the
# text index (7 to 26 ms instead of 3 on 100,000 rows). So each function carries the scope itself, from the caller's
# own settings, and has no parameter that could widen it.
_LEXICAL = """
CREATE FUNCTION search_text_{scope}(
    p_model text, p_types text[], p_courses text[], p_terms text[], p_vector vector, p_rows bigint,
    p_language text, p_validated boolean, p_since timestamptz, p_limit integer
) RETURNS TABLE (
    entity_type text, entity_id text, chunk_no integer, user_id text, distance float8, matched integer[],
    documents integer[]
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    WITH terms AS MATERIALIZED (
        SELECT place::integer, term::tsquery FROM unnest(p_terms) WITH ORDINALITY AS t (term, place)
    ), allowed AS MATERIALIZED (
        {allowed}
    ), hits AS MATERIALIZED (
        SELECT place, hit.* FROM terms CROSS JOIN LATERAL (
            SELECT e.entity_type, e.entity_id, e.chunk_no FROM embeddings AS e
            WHERE e.model = p_model AND e.entity_type = ANY (p_types) AND e.words @@ term AND {predicate}
                AND (p_language IS NULL OR e.language = p_language) AND (NOT p_validated OR e.validated)
                AND (p_since IS NULL OR e.changed_at >= p_since)
            LIMIT 1001
        ) AS hit
    ), counts AS MATERIALIZED (
        -- Past the limit the true number is unknown; an eighth of the scope is what a common word has.
        SELECT place, CASE WHEN count(hits.place) > 1000 THEN greatest(1001, p_rows / 8) ELSE count(hits.place) END AS n
        FROM terms LEFT JOIN hits USING (place) GROUP BY place
    ), best AS (
        SELECT hits.entity_type, hits.entity_id, hits.chunk_no, sum(ln(1 + p_rows::float8 / n)) AS weight
        FROM hits JOIN counts USING (place) GROUP BY 1, 2, 3 ORDER BY weight DESC, 1, 2, 3 LIMIT p_limit
    )
    SELECT e.entity_type, e.entity_id, e.chunk_no, e.user_id, e.embedding <=> p_vector,
        ARRAY(SELECT place FROM terms WHERE e.words @@ term ORDER BY place),
        ARRAY(SELECT n::integer FROM counts ORDER BY place)
    FROM best JOIN embeddings AS e USING (entity_type, entity_id, chunk_no) WHERE e.model = p_model
$$;
"""
_SCOPES = {
    "user": (
        "SELECT app_user_id() AS key",
        "e.user_id = (SELECT key FROM allowed) AND (p_courses IS NULL OR e.course_id = ANY (p_courses))",
    ),
    "course": (
        "SELECT array_agg(key) AS keys FROM unnest(p_courses) AS key WHERE key = ANY (my_courses())",
        "e.course_id = ANY ((SELECT keys FROM allowed)::text[]) AND e.visibility <> 'private'",
    ),
    "global": (
        "SELECT NULL AS key",
        "e.visibility = 'global' AND (p_courses IS NULL OR e.course_id = ANY (p_courses))",
    ),
}
_ARGUMENTS = "text, text[], text[], text[], vector, bigint, text, boolean, timestamptz, integer"

_OPEN_COURSES = """
-- Courses of the caller whose content is open to them: a draft is open to its owner only, and a course this database
-- does not know is kept elsewhere, where the claim came from.
CREATE FUNCTION open_courses() RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
    SELECT coalesce(array_agg(key), '{}') FROM unnest(my_courses()) AS key
    LEFT JOIN courses AS c ON c.id = key
    WHERE c.id IS NULL OR c.status <> 'draft' OR c.owner_id = app_user_id()
$$;
"""
_FUNCTIONS = ("open_courses()", *(f"search_text_{scope}({_ARGUMENTS})" for scope in _SCOPES))


def upgrade() -> None:
    op.execute(_BOOKKEEPING)
    op.execute(_SECURITY)
    op.execute(_QUERY_TERMS)
    op.execute(_OPEN_COURSES)
    for scope, (allowed, predicate) in _SCOPES.items():
        op.execute(_LEXICAL.format(scope=scope, allowed=allowed, predicate=predicate))
    op.execute("GRANT CREATE ON SCHEMA public TO goals_service")  # for the next lines only
    for function in _FUNCTIONS:
        op.execute(f"""
        ALTER FUNCTION {function} OWNER TO goals_service;
        REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION {function} TO goals_user, goals_service;
        """)
    op.execute("REVOKE CREATE ON SCHEMA public FROM goals_service")


def downgrade() -> None:
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("""
    DROP FUNCTION search_terms(text, integer);
    DROP TRIGGER embedding_counts_insert ON embeddings;
    DROP TRIGGER embedding_counts_delete ON embeddings;
    DROP TRIGGER embedding_counts_update_add ON embeddings;
    DROP TRIGGER embedding_counts_update_take ON embeddings;
    DROP FUNCTION embedding_counts_add();
    DROP FUNCTION embedding_counts_take();
    DROP TABLE embedding_counts;
    DROP TABLE indexed_entities;
    DROP TABLE index_models;
    DROP POLICY readable ON embeddings;
    DO $$
    DECLARE part regclass;
    BEGIN
        FOR part IN SELECT relid FROM pg_partition_tree('embeddings') LOOP
            EXECUTE format('DROP POLICY service ON %s', part);
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', part);
        END LOOP;
    END $$;
    REVOKE ALL ON embeddings FROM goals_user, goals_service;
    """)
