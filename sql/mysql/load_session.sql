-- The rows satisfied their constraints on the source, and all of them come. Every warning is read.
SET SESSION foreign_key_checks = 0, unique_checks = 0, max_error_count = 65535
