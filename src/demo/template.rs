//! Data folders of new servers: made once per version, then copied.
//!
//! Enters: the version's name, and what makes such a folder. Leaves: the folder. Two processes
//! that need the first template at once each make one, and the rename of the first to finish
//! wins; so no lock is needed and no half-written template is ever seen.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::DemoError;
use super::process::run;
use super::user::ServerUser;

/// Makes `data`, which must not exist yet, inside a folder that `user` owns: by `make`, or as a
/// copy of what it made before under this name.
pub(super) fn create_data(
    name: &str,
    user: Option<ServerUser>,
    data: &Path,
    make: impl FnOnce() -> Result<(), DemoError>,
) -> Result<(), DemoError> {
    // Without a home folder nothing is cached: a shared folder could hold somebody else's.
    let Some(cache) = cache_folder() else {
        return make();
    };
    let owner = user.map_or("self".to_owned(), |user| user.uid.to_string());
    let template = cache.join(format!("dunlin/template-{name}-{owner}"));
    if template.is_dir() {
        return copy(&template, data);
    }
    make()?;
    keep(data, &template)
}

/// The user's folder of caches, by the XDG base directory specification.
pub(super) fn cache_folder() -> Option<PathBuf> {
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
}

fn copy(from: &Path, to: &Path) -> Result<(), DemoError> {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).args([from, to])).map(drop)
}

fn keep(data: &Path, template: &Path) -> Result<(), DemoError> {
    let parent = template.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(DemoError::file(parent))?;
    let partial = tempfile::tempdir_in(parent).map_err(DemoError::file(parent))?;
    let copied = partial.path().join("data");
    copy(data, &copied)?;
    match fs::rename(&copied, template) {
        Err(error) if !template.is_dir() => Err(DemoError::file(template)(error)),
        _ => Ok(()),
    }
}
