-- Publications whose names begin like dunlin's own, and the tables in them, as pg_dump numbers them.
WITH own AS (
    SELECT p.oid FROM pg_catalog.pg_publication AS p
    WHERE pg_catalog.starts_with(p.pubname::text, $1::text)
)
SELECT 'pg_catalog.pg_publication'::regclass::oid, own.oid FROM own
UNION ALL
SELECT 'pg_catalog.pg_publication_rel'::regclass::oid, r.oid
FROM pg_catalog.pg_publication_rel AS r JOIN own ON own.oid = r.prpubid
