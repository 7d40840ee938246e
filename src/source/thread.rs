//! Threads of their own for log readers.
//!
//! A log reader may nap, and decodes for long stretches; on a thread of its own it keeps nobody else
//! waiting.

use std::future::Future;
use std::io;

use crate::model::{Code, Disposition, Failure, Fault, Halt};

/// There is no thread for a log reader.
#[derive(Debug, thiserror::Error)]
#[error("start a thread for the log reader")]
pub struct ThreadError(#[source] io::Error);

impl Fault for ThreadError {
    fn disposition(&self) -> Disposition {
        Halt::with(Code::LocalFailed, "look at the limits of threads and open files")
    }
}

/// Runs a log reader on a thread of its own, with a runtime of its own.
///
/// # Errors
///
/// The reader's own, and where there is no thread to be had.
pub async fn on_own_thread(
    reading: impl Future<Output = Result<(), Failure>> + Send + 'static,
) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ThreadError)?;
    match tokio::task::spawn_blocking(move || runtime.block_on(reading)).await {
        Ok(ended) => ended,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
