//! What a session takes a column of type TIMESTAMP for whose definition does not say everything.
//!
//! In: a definition and how it was meant, which is what `explicit_defaults_for_timestamp` was where it
//! was run. Out: a session in which it means the same. With that setting off, the first such column is
//! NOT NULL and has the time of each change for a default. Sessions are left as they are where nothing
//! depends on it, since to set it takes a privilege on MySQL, and it cannot be set on MariaDB before
//! 10.5.17, 10.6.9 and those of the same time.

use super::error::attempting;
use super::session::Session;
use crate::model::Failure;

/// The name of the type. Whatever character set a statement is in, these are its bytes.
const TYPE: &[u8] = b"TIMESTAMP";

/// Has the session take the columns of a definition for what they were meant to be.
pub(super) async fn settle(
    session: &mut Session,
    definition: &[u8],
    explicit: bool,
) -> Result<(), Failure> {
    if !definition.windows(TYPE.len()).any(|part| part.eq_ignore_ascii_case(TYPE)) {
        return Ok(());
    }
    let act = || attempting("have TIMESTAMP columns mean what they mean on the source");
    let wanted = u8::from(explicit);
    let differs = format!("SELECT 1 FROM DUAL WHERE @@explicit_defaults_for_timestamp <> {wanted}");
    if !session.rows(differs).await.map_err(act())?.is_empty() {
        let setting = format!("SET SESSION explicit_defaults_for_timestamp = {wanted}");
        session.execute(setting).await.map_err(act())?;
    }
    Ok(())
}
