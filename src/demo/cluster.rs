//! Makes the data folder of a Postgres server: a cluster with a system identifier of its own.
//!
//! Enters: the programs of one version. Leaves: a data folder, made by `initdb` once per version
//! and copied since (`template`).

use std::fs;
use std::path::Path;
use std::process::Command;

use super::DemoError;
use super::process::run;
use super::programs::Programs;
use super::template;
use super::user::{ServerUser, as_user};

/// Bump when the arguments of `initdb` change, so that older templates are not used.
const REVISION: u32 = 1;
/// Where the system identifier lies in a WAL segment: behind the page header, in the long form
/// that the first page of each segment has (`src/include/access/xlog_internal.h`).
const WAL_IDENTIFIER_OFFSET: usize = 24;

/// Makes `data`, which must not exist yet, inside a folder that `user` owns.
pub(super) fn create_data(
    programs: &Programs,
    user: Option<ServerUser>,
    data: &Path,
) -> Result<(), DemoError> {
    let name = format!("{}-{REVISION}", programs.version());
    template::create_data(&name, user, data, || initdb(programs, user, data))?;
    replace_identity(data, rand::random())
}

fn initdb(programs: &Programs, user: Option<ServerUser>, data: &Path) -> Result<(), DemoError> {
    let mut command = Command::new(programs.path("initdb"));
    command
        .args(["--no-sync", "--username=postgres", "--auth=trust"])
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--pgdata"])
        .arg(data)
        .current_dir("/");
    run(as_user(&mut command, user)).map(drop)
}

/// Gives the copied cluster an identity of its own.
///
/// Copies of one template share its system identifier, and whoever compares identifiers (dunlin
/// does) would take two servers for one. It stands at the start of `pg_control`, which ends in a
/// checksum (`src/include/catalog/pg_control.h`), and in the first page of each WAL segment.
fn replace_identity(data: &Path, identifier: u64) -> Result<(), DemoError> {
    let control = data.join("global/pg_control");
    rewrite(&control, |bytes| set_control_identity(bytes, identifier))?;
    let wal = data.join("pg_wal");
    for entry in fs::read_dir(&wal).map_err(DemoError::file(&wal))? {
        let path = entry.map_err(DemoError::file(&wal))?.path();
        if path.is_file() {
            rewrite(&path, |bytes| set_wal_identity(bytes, identifier))?;
        }
    }
    Ok(())
}

fn rewrite(path: &Path, change: impl FnOnce(&mut [u8]) -> bool) -> Result<(), DemoError> {
    let mut bytes = fs::read(path).map_err(DemoError::file(path))?;
    if !change(&mut bytes) {
        return Err(DemoError::Layout { path: path.to_owned() });
    }
    fs::write(path, bytes).map_err(DemoError::file(path))
}

fn set_wal_identity(segment: &mut [u8], identifier: u64) -> bool {
    let place = segment.get_mut(WAL_IDENTIFIER_OFFSET..WAL_IDENTIFIER_OFFSET + 8);
    place.is_some_and(|place| {
        place.copy_from_slice(&identifier.to_ne_bytes());
        true
    })
}

/// The structure's length differs between versions, so the checksum is found by its value.
fn set_control_identity(control: &mut [u8], identifier: u64) -> bool {
    let checksum_at = (8..control.len().saturating_sub(4)).step_by(4).find(|&at| {
        let (covered, rest) = control.split_at(at);
        rest.starts_with(&crc32c(covered).to_ne_bytes())
    });
    let Some(at) = checksum_at else { return false };
    control[..8].copy_from_slice(&identifier.to_ne_bytes());
    let checksum = crc32c(&control[..at]);
    control[at..at + 4].copy_from_slice(&checksum.to_ne_bytes());
    true
}

/// The Castagnoli checksum that Postgres puts on its control file.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |register, &byte| {
        (0..8).fold(register ^ u32::from(byte), |register, _| {
            (register >> 1) ^ (0x82F6_3B78 & (register & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_control_file_keeps_a_valid_checksum() {
        let mut control = vec![7u8; 512];
        let checksum = crc32c(&control[..288]);
        control[288..292].copy_from_slice(&checksum.to_ne_bytes());
        assert!(set_control_identity(&mut control, 42));
        assert_eq!(control[..8], 42u64.to_ne_bytes());
        assert_eq!(control[288..292], crc32c(&control[..288]).to_ne_bytes());
    }
}
