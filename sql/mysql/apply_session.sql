-- Foreign keys rest; unique keys do not: what meets one is a clash. Long lists of keys are looked
-- up key by key, never by reading the whole table.
SET SESSION foreign_key_checks = 0, unique_checks = 1;
SET SESSION /*!80000 range_optimizer_max_mem_size = 0, */ /*M!100300 in_predicate_conversion_threshold = 0, */
    eq_range_index_dive_limit = 1
