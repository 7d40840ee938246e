-- Foreign keys, with what happens to a row when the one that it refers to changes.
SELECT CONSTRAINT_SCHEMA,
       TABLE_NAME,
       CONSTRAINT_NAME,
       UNIQUE_CONSTRAINT_SCHEMA,
       REFERENCED_TABLE_NAME,
       UPDATE_RULE,
       DELETE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS
ORDER BY CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME
