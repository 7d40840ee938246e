SELECT s.relid, s.n_tup_ins, s.n_tup_upd, s.n_tup_del
FROM pg_catalog.unnest($1::oid[]) AS wanted (oid)
JOIN pg_catalog.pg_stat_all_tables s ON s.relid = wanted.oid
