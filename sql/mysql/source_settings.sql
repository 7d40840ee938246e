-- The settings that decide whether and how the binary log can be read.
SHOW GLOBAL VARIABLES
WHERE Variable_name IN (
    'version', 'version_comment', 'server_id', 'server_uuid', 'server_uid', 'hostname', 'port',
    'log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_metadata',
    'binlog_row_value_options', 'binlog_annotate_row_events', 'binlog_expire_logs_seconds',
    'expire_logs_days', 'binlog_transaction_compression', 'log_bin_compress', 'binlog_checksum',
    'gtid_mode', 'enforce_gtid_consistency', 'gtid_strict_mode', 'log_slave_updates',
    'log_replica_updates', 'read_only', 'super_read_only', 'max_connections',
    'max_allowed_packet', 'lower_case_table_names', 'character_set_server', 'collation_server',
    'binlog_encryption', 'encrypt_binlog', 'explicit_defaults_for_timestamp',
    'innodb_native_foreign_keys'
)
