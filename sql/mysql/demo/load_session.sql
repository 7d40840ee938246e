-- What a session needs that makes rows from numbers; @per_mille says how many thousandths of the full
-- size. What is loaded was there before the binary log began.

SET NAMES utf8mb4;
SET SESSION sql_log_bin = 0, unique_checks = 0, foreign_key_checks = 0, time_zone = '+00:00',
    /*!80000 cte_max_recursion_depth = 4294967295, */
    /*M!100202 max_recursive_iterations = 4294967295, */
    sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'
