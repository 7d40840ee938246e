//! Where the applications' database is: at one server, and at the other once it is moved.
//!
//! Enters: two addresses, and the path of a file. Leaves: the address that holds now. The file stands
//! for what a pooler or a name server knows in earnest: whoever moves the traffic makes it, whoever
//! moves it back takes it away.

use std::path::PathBuf;

/// The addresses of a database that can be moved.
#[derive(Clone, Debug)]
pub(super) struct Whereabouts<A> {
    first: A,
    moved: Option<(PathBuf, A)>,
}

impl<A> Whereabouts<A> {
    /// A database that stays where it is.
    pub(super) fn fixed(address: A) -> Self {
        Whereabouts { first: address, moved: None }
    }

    /// A database that is at the second address while the file is there.
    pub(super) fn moving([first, second]: [A; 2], file: PathBuf) -> Self {
        Whereabouts { first, moved: Some((file, second)) }
    }

    /// Where it is now.
    pub(super) fn now(&self) -> &A {
        match &self.moved {
            Some((file, second)) if file.exists() => second,
            Some(_) | None => &self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_tells_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("moved");
        let places = Whereabouts::moving(["old", "new"], file.clone());
        assert_eq!(*places.now(), "old");
        std::fs::write(&file, "").unwrap();
        assert_eq!(*places.now(), "new");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(*places.now(), "old");
        assert_eq!(*Whereabouts::fixed("old").now(), "old");
    }
}
