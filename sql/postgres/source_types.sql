-- Types of every server of this version, for which the log sends no type message.
SELECT oid, typname::text FROM pg_catalog.pg_type WHERE oid < 10000
