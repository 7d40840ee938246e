-- The types that a column can have and that are neither among the names $1 nor those left out, $2.
SELECT t.oid::regtype::text
FROM pg_type t
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE t.typisdefined
  AND (t.typtype IN ('b', 'r', 'm', 'd', 'e') OR (t.typtype = 'c' AND c.relkind = 'c'))
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
  AND t.oid <> ALL ($1::text[]::regtype[]::oid[])
  AND t.typname <> ALL ($2)
ORDER BY 1
