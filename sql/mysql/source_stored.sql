-- Views, triggers, routines and events, with the accounts under which they run. Triggers of one
-- table and moment come in the order in which they fire.
SELECT 'view', TABLE_SCHEMA, TABLE_NAME, NULL, DEFINER, NULL, 0, NULL
FROM information_schema.VIEWS
UNION ALL
SELECT 'trigger', TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_OBJECT_TABLE, DEFINER, ACTION_TIMING,
       ACTION_ORDER, NULL
FROM information_schema.TRIGGERS
UNION ALL
SELECT LOWER(ROUTINE_TYPE), ROUTINE_SCHEMA, ROUTINE_NAME, NULL, DEFINER, NULL, 0, NULL
FROM information_schema.ROUTINES
UNION ALL
SELECT 'event', EVENT_SCHEMA, EVENT_NAME, NULL, DEFINER, NULL, 0, STATUS
FROM information_schema.EVENTS
ORDER BY 2, 4, 6, 7, 1, 3
