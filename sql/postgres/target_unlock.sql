-- As target_lock.sql takes it.
SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('dunlin ' || $1::text, 0))
