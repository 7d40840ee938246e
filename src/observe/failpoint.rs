//! Named points at which a test stops the real process, to kill it there.
//!
//! Built with the feature `failpoints`, a process whose environment holds
//! `DUNLIN_FAILPOINT=name` says `failpoint NAME reached` on stderr at that point and parks the
//! thread that came by for ever; with `name:3` at the third visit. Other threads go on, as they
//! would in a process about to be killed. Where `DUNLIN_FAILPOINT_GATE` names a file, the thread goes
//! on once that is there. Without the feature nothing is left of it.

/// Every point there is, in the order in which a migration comes by.
pub const NAMES: &[&str] = &[
    "migration-created",
    "taken-over",
    "tables-published",
    "published",
    "snapshot-low-read",
    "snapshot-held",
    "tables-listed",
    "snapshot-recorded",
    "tables-made",
    "chunks-planned",
    "tables-reset",
    "partitions-settled",
    "chunk-loaded",
    "chunk-committed",
    "snapshot-released",
    "built",
    "table-altered",
    "group-applied",
    "group-committed",
    "marks-awaited",
    "verification-begun",
    "unit-proven",
    "rows-mended",
    "definition-intended",
    "definition-run",
    "definition-recorded",
    "way-back-published",
    "way-back-armed",
    "cutover-begun",
    "hook-closed",
    "fence-closed",
    "log-drained",
    "sequences-carried",
    "changes-compared",
    "source-sealing",
    "lock-let-go",
    "source-sealed",
    "target-unsealed",
    "traffic-switching",
    "traffic-switched",
    "way-back-begun",
    "way-back-removed",
];

/// How often it is looked whether a thread may go on.
#[cfg(feature = "failpoints")]
const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(10);

/// Stops here where the environment asks for it.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reached(_name: &'static str) {}

/// Stops here where the environment asks for it.
///
/// # Panics
///
/// Where the name is not in [`NAMES`], or the environment's is not.
#[cfg(feature = "failpoints")]
pub fn reached(name: &'static str) {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);

    assert!(NAMES.contains(&name), "failpoint {name} is not listed");
    let wanted = WANTED.get_or_init(|| std::env::var("DUNLIN_FAILPOINT").ok().map(parse));
    let Some((wanted, nth)) = wanted else { return };
    if wanted == name && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *nth {
        let line = format!("failpoint {name} reached\n");
        let told = std::io::stderr().write_all(line.as_bytes());
        assert!(told.is_ok(), "nobody to announce failpoint {name} to");
        let gate = std::env::var_os("DUNLIN_FAILPOINT_GATE");
        while !gate.as_ref().is_some_and(|gate| std::path::Path::new(gate).exists()) {
            std::thread::park_timeout(LOOK_INTERVAL);
        }
    }
}

#[cfg(feature = "failpoints")]
fn parse(text: String) -> (String, u64) {
    let (name, nth) = match text.split_once(':') {
        Some((name, nth)) => (name.to_owned(), nth.parse().unwrap_or(0)),
        None => (text, 1),
    };
    assert!(NAMES.contains(&name.as_str()), "there is no failpoint {name}");
    assert!(nth > 0, "a failpoint's visit is a number from 1");
    (name, nth)
}

#[cfg(test)]
mod tests {
    use super::NAMES;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn visit(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = text.split("failpoint::reached(\"").skip(1);
                found.extend(calls.filter_map(|call| Some(call.split_once('"')?.0.to_owned())));
            }
        }
    }

    #[test]
    fn the_list_holds_exactly_the_points_in_the_code() {
        let mut found = BTreeSet::new();
        let rooms = [
            "source",
            "target",
            "snapshot",
            "stream",
            "verify",
            "cutover",
            "migration",
            "cli",
            "connect",
        ];
        for room in rooms {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
            if folder.exists() {
                visit(&folder, &mut found);
            }
        }
        let listed: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found, listed);
    }
}
