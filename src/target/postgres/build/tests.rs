//! The plan of a build, from hand-made entries.

use super::*;

fn name(name: &str) -> TableName {
    TableName { schema: "public".into(), name: name.into() }
}

fn entry(toc_id: u32, oid: u32, kind: &str, dependencies: &[u32], sql: &str) -> Entry {
    Entry {
        toc_id,
        class: 0,
        oid,
        kind: kind.into(),
        schema: Some("public".into()),
        name: format!("e{toc_id}"),
        dependencies: dependencies.to_vec(),
        sql: sql.into(),
    }
}

fn definition(source_id: u64, bytes: u64, kind: DefinitionKind) -> Definition {
    Definition {
        source_id,
        table: name("t"),
        name: format!("n{source_id}"),
        partitioned: false,
        bytes,
        kind,
    }
}

fn outline(plan: &[BuildStep]) -> Vec<(&str, Stage)> {
    plan.iter().map(|step| (step.id.as_str(), step.stage)).collect()
}

#[test]
fn a_key_is_an_index_first_and_a_constraint_later() {
    let sql = "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT n1 PRIMARY KEY (id);\n\n\
               ALTER TABLE public.t CLUSTER ON n1;";
    let kind = DefinitionKind::Key {
        primary: true,
        identity: true,
        index_sql: Some("CREATE UNIQUE INDEX n1 ON public.t USING btree (id)".into()),
        deferrable: true,
        deferred: true,
    };
    let plan = plan(&[entry(5, 1, "CONSTRAINT", &[], sql)], &[definition(1, 10, kind)]);
    assert_eq!(outline(&plan), [("5", Stage::Identity), ("5.constraint", Stage::Constraint)]);
    assert_eq!(
        plan[1].sql,
        [
            "ALTER TABLE ONLY \"public\".\"t\" ADD CONSTRAINT \"n1\" PRIMARY KEY USING INDEX \
             \"n1\" DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE public.t CLUSTER ON n1",
        ]
    );
}

#[test]
fn a_key_that_cannot_be_split_is_made_when_its_index_would_be() {
    let sql = "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT n1 PRIMARY KEY (id, p WITHOUT OVERLAPS);\n\n\
               ALTER TABLE public.t CLUSTER ON n1;";
    let kind = DefinitionKind::Key {
        primary: true,
        identity: true,
        index_sql: None,
        deferrable: false,
        deferred: false,
    };
    let plan = plan(&[entry(5, 1, "CONSTRAINT", &[], sql)], &[definition(1, 10, kind)]);
    assert_eq!(outline(&plan), [("5", Stage::Identity), ("5.table", Stage::Constraint)]);
    assert!(plan[0].sql[0].ends_with("WITHOUT OVERLAPS)"));
}

#[test]
fn what_only_a_superuser_may_create_is_known_with_its_parts() {
    let named = |kind: &str, name: &str| {
        let entry = Entry { name: name.into(), ..entry(1, 0, kind, &[], "SELECT 1;") };
        is_privileged(&entry)
    };
    assert!(named("EVENT TRIGGER", "e") && named("PUBLICATION TABLE", "p t"));
    assert!(named("COMMENT", "PUBLICATION p") && named("COMMENT", "EVENT TRIGGER e"));
    assert!(!named("TRIGGER", "t EVENT TRIGGER") && !named("COMMENT", "TABLE PUBLICATION"));
}

#[test]
fn the_largest_index_comes_first_and_table_locks_wait() {
    let index = |identity| DefinitionKind::Index { identity };
    let plan = plan(
        &[
            entry(1, 1, "INDEX", &[], "CREATE INDEX a;"),
            entry(
                2,
                2,
                "INDEX",
                &[],
                "CREATE INDEX b;\nALTER INDEX b ALTER COLUMN 1 SET STATISTICS 7;\n\
                 ALTER TABLE public.t CLUSTER ON b;",
            ),
            entry(3, 3, "INDEX", &[], "CREATE UNIQUE INDEX c;"),
        ],
        &[
            definition(1, 10, index(false)),
            definition(2, 20, index(false)),
            definition(3, 1, index(true)),
        ],
    );
    assert_eq!(
        outline(&plan),
        [
            ("3", Stage::Identity),
            ("2", Stage::Index),
            ("1", Stage::Index),
            ("2.table", Stage::Constraint),
        ]
    );
    assert_eq!(plan[1].sql.len(), 2);
}

#[test]
fn foreign_keys_are_validated_apart() {
    let sql =
        "ALTER TABLE ONLY public.t ADD CONSTRAINT n1 FOREIGN KEY (a) REFERENCES public.u(id);";
    let mut partitioned = definition(2, 5, DefinitionKind::ForeignKey { validated: true });
    partitioned.partitioned = true;
    let plan = plan(
        &[
            entry(1, 1, "FK CONSTRAINT", &[], sql),
            entry(2, 2, "FK CONSTRAINT", &[], sql),
            entry(3, 3, "FK CONSTRAINT", &[], sql),
        ],
        &[
            definition(1, 5, DefinitionKind::ForeignKey { validated: true }),
            partitioned,
            definition(3, 5, DefinitionKind::ForeignKey { validated: false }),
        ],
    );
    assert_eq!(
        outline(&plan),
        [
            ("1", Stage::ForeignKey),
            ("2", Stage::ForeignKey),
            ("3", Stage::ForeignKey),
            ("1.validate", Stage::Validate),
        ]
    );
    assert!(plan[0].sql[0].ends_with("(id) NOT VALID"));
    assert!(plan[1].sql[0].ends_with("(id)"));
}

#[test]
fn what_depends_on_the_rest_is_built_with_the_rest() {
    let plan = plan(
        &[
            entry(1, 0, "MATERIALIZED VIEW", &[], "CREATE MATERIALIZED VIEW m;"),
            entry(2, 2, "INDEX", &[1], "CREATE INDEX i ON m;"),
            entry(3, 0, "INDEX ATTACH", &[], "ALTER INDEX p ATTACH PARTITION q;"),
            entry(4, 0, "ACL", &[], ""),
        ],
        &[definition(2, 1, DefinitionKind::Index { identity: false })],
    );
    assert_eq!(outline(&plan), [("3", Stage::Attach), ("1", Stage::Rest), ("2", Stage::Rest)]);
}
