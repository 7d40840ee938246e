-- Foreign keys rest; unique keys do not. Whoever writes at the same time goes first. Literals of keys
-- are text; rows come as bytes by LOAD DATA, which says so itself.
SET SESSION foreign_key_checks = 0, unique_checks = 1, innodb_lock_wait_timeout = 1, lock_wait_timeout = 5;
SET NAMES utf8mb4
