-- The rows satisfied their constraints on the source, and all of them come.
SET SESSION foreign_key_checks = 0, unique_checks = 0
