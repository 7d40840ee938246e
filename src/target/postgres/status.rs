//! Where a migration stands, from its state alone.
//!
//! In: a session and the migration's name. Out: the state with the latest figures and their age.
//! It takes no lock and writes nothing, so it works beside a run and without one.

use tokio_postgres::Client;

use super::{TargetError, state};
use crate::connect::attempting;
use crate::model::Failure;
use crate::target::Standing;

/// Reads where the migration `name` stands.
pub(super) async fn read(client: &Client, name: &str) -> Result<Standing, Failure> {
    let missing = || TargetError::MigrationMissing { name: name.to_owned() };
    if !state::is_installed(client).await? {
        return Err(missing().into());
    }
    // Who is at work comes first: what a process recorded before it ended is then read after its end.
    let row = client
        .query_opt(include_str!("../../../sql/postgres/target_status.sql"), &[&name])
        .await
        .map_err(attempting("read the migration's latest figures"))?
        .ok_or_else(missing)?;
    let migration = state::load(client, name).await?.ok_or_else(missing)?;
    let holder: Option<i32> = row.get("holder");
    Ok(Standing {
        deferred: Vec::new(),
        migration,
        epoch: row.get::<_, i64>("epoch").cast_unsigned(),
        figures: state::parse_optional(&row, "report")?,
        figures_seconds_ago: row.get("reported_seconds_ago"),
        committed_seconds_ago: row.get("committed_seconds_ago"),
        updated_seconds_ago: row.get::<_, f64>("updated_seconds_ago").max(0.0),
        running: holder.is_some(),
        ends_it: holder.map(|pid| format!("SELECT pg_terminate_backend({pid})")),
    })
}
