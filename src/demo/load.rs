//! Makes the database that is moved: schema, rows by the million, then indexes and triggers.
//!
//! Enters: an empty database and a size. Leaves: the tables that [`super::writers`] write to. All
//! rows are made by the server itself, from numbers, so two loads of a size are equal.

use super::DemoError;
use super::server::connect;

const SCHEMA: &str = include_str!("../../sql/postgres/demo/schema.sql");
const LOAD_BANK: &str = include_str!("../../sql/postgres/demo/load_bank.sql");
const LOAD_SHOP: &str = include_str!("../../sql/postgres/demo/load_shop.sql");
const LOAD_EVENTS: &str = include_str!("../../sql/postgres/demo/load_events.sql");
const FINISH: &str = include_str!("../../sql/postgres/demo/finish.sql");

/// How much is loaded, in thousandths of about half a gigabyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    per_mille: u32,
}

impl Size {
    /// Some thousand rows: for tests of behaviour.
    pub const SMALL: Size = Size { per_mille: 1 };

    /// So many thousandths, at least one.
    #[must_use]
    pub fn per_mille(per_mille: u32) -> Size {
        Size { per_mille: per_mille.max(1) }
    }

    /// How many thousandths.
    #[must_use]
    pub fn thousandths(self) -> u32 {
        self.per_mille
    }

    /// The accounts of the bank.
    #[must_use]
    pub fn accounts(self) -> u32 {
        self.per_mille * 1000
    }

    /// The customers of the shop.
    #[must_use]
    pub fn customers(self) -> u32 {
        self.per_mille * 50
    }

    /// The orders of the shop.
    #[must_use]
    pub fn orders(self) -> u32 {
        self.per_mille * 300
    }

    /// The shop's large documents.
    #[must_use]
    pub fn documents(self) -> u32 {
        self.per_mille * 2
    }

    /// The rows with a value of every type.
    #[must_use]
    pub fn kinds(self) -> u32 {
        self.per_mille * 60
    }
}

/// Loads an empty database.
///
/// # Errors
/// When the server refuses a statement.
pub async fn load(url: &str, size: Size) -> Result<(), DemoError> {
    run(url, size, SCHEMA).await?;
    tokio::try_join!(
        run(url, size, LOAD_BANK),
        run(url, size, LOAD_SHOP),
        run(url, size, LOAD_EVENTS),
    )?;
    run(url, size, FINISH).await
}

async fn run(url: &str, size: Size, statements: &str) -> Result<(), DemoError> {
    let failed = || DemoError::statement("load the database");
    let client = connect(url).await?;
    let settings = format!(
        "SET demo.per_mille = {}; SET synchronous_commit = off; SET maintenance_work_mem = '256MB'; \
         SET timezone = 'UTC'",
        size.per_mille
    );
    client.batch_execute(&settings).await.map_err(failed())?;
    client.batch_execute(statements).await.map_err(failed())
}
