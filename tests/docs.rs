//! The documents say what the program says.

use std::collections::BTreeSet;

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

#[test]
fn the_reference_of_settings_is_the_table_of_keys() {
    let (_, reference) = CONFIGURATION.split_once("<!-- settings -->\n\n").unwrap();
    let expected = config::reference();
    assert!(
        reference.trim_end() == expected.trim_end(),
        "put this below <!-- settings --> in docs/configuration.md:\n\n{expected}"
    );
}
