//! The documents say what the program says.

use std::collections::BTreeSet;
use std::path::Path;

use dunlin::config;
use dunlin::model::Code;

const ERRORS: &str = include_str!("../docs/errors.md");
const CONFIGURATION: &str = include_str!("../docs/configuration.md");

#[test]
fn every_code_is_explained_and_no_other() {
    let headings = ERRORS.lines().filter_map(|line| line.strip_prefix("### "));
    let listed: Vec<&str> = headings.collect();
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(unique, codes);
    assert_eq!(listed.len(), codes.len(), "a code is explained twice");
}

#[test]
fn every_code_stands_under_its_exit_status() {
    let mut status = None;
    for line in ERRORS.lines() {
        if let Some(title) = line.strip_prefix("## Exit status ") {
            status = title.split(':').next().and_then(|number| number.parse::<u8>().ok());
        }
        let code = line.strip_prefix("### ");
        if let Some(code) = Code::ALL.iter().find(|known| code == Some(known.as_str())) {
            assert_eq!(status, Some(code.exit_status()), "{}", code.as_str());
        }
    }
}

/// Findings that block nothing have names of their own, which scripts may depend on too.
#[test]
fn every_finding_is_explained_and_no_other() {
    let mut made = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let calls = ["Finding::warn(", "Finding::info("];
            for behind in calls.iter().flat_map(|call| source.split(call).skip(1)) {
                let name =
                    behind.trim_start().strip_prefix('"').and_then(|it| it.split('"').next());
                made.extend(name.map(str::to_owned));
            }
        }
    }
    let (_, tables) = ERRORS.split_once("## What `dunlin check` finds besides").unwrap();
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let mut explained: BTreeSet<String> =
        rows.filter(|id| *id != "id").map(str::to_owned).collect();
    for code in Code::ALL {
        // These are explained where they block.
        made.remove(code.as_str());
        explained.remove(code.as_str());
    }
    assert_eq!(explained, made);
}

#[test]
fn the_reference_of_settings_is_the_table_of_keys() {
    let (_, reference) = CONFIGURATION.split_once("<!-- settings -->\n\n").unwrap();
    let expected = config::reference();
    assert!(
        reference.trim_end() == expected.trim_end(),
        "put this below <!-- settings --> in docs/configuration.md:\n\n{expected}"
    );
}
