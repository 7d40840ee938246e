-- Whether a table's primary key sorts by operators that are found by their bare names alone: those
-- of the server's own types. What extensions bring lies in other schemas, and may hide behind a
-- type that has such operators too (citext behind text); enums, arrays, ranges and composites
-- share operators that a literal or a domain does not always find.
SELECT COALESCE(bool_and(c.opcnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b'), false)
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indclass::oid[]) AS k (opclass)
JOIN pg_catalog.pg_opclass c ON c.oid = k.opclass
JOIN pg_catalog.pg_type t ON t.oid = c.opcintype
WHERE i.indrelid = $1 AND i.indisprimary AND i.indisvalid
