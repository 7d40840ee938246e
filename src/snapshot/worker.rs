//! Copies chunks in parallel, each straight through from source to target.
//!
//! Workers take chunks from one queue. A chunk's rows pass in the buffers in which they were read;
//! memory is bounded by those buffers, never by the table. A worker that fails ends the others;
//! what they had not committed is not there.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::model::{Bracket, Chunk, Failure, HeldSnapshot, RowForm, Table, TableId};
use crate::observe::progress::Progress;
use crate::source::{ChunkReader, ChunkRows, Opened, Source};
use crate::target::{ChunkLoader, Target};

/// What is to be copied.
#[derive(Debug, Clone)]
pub struct Work {
    /// All tables.
    pub tables: Vec<Table>,
    /// How each one's rows travel, in the order of `tables`.
    pub forms: Vec<RowForm>,
    /// The chunks, in the order in which to begin them.
    pub chunks: Vec<Chunk>,
    /// The snapshot to read under.
    pub held: HeldSnapshot,
    /// Grows with every chunk that is committed.
    pub committed: watch::Sender<u64>,
}

/// What the workers share.
struct Shared {
    tables: HashMap<TableId, (usize, Table, RowForm)>,
    queue: Mutex<VecDeque<Chunk>>,
    read: Bracket,
    /// Tables that cannot be read under the snapshot any more.
    outdated: Mutex<BTreeSet<TableId>>,
    committed: watch::Sender<u64>,
    stop: watch::Receiver<bool>,
    progress: Progress,
}

/// How a copy ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// Every chunk is done.
    All,
    /// Every chunk is done but those of these tables, which were emptied, rewritten, renamed or
    /// dropped since the snapshot: they have to be copied again under a later one.
    AllBut(Vec<TableId>),
    /// The operator stopped it; the chunks in hand were finished.
    Stopped,
}

/// Copies all chunks with `workers` at once.
///
/// # Errors
///
/// The first error of any worker.
pub async fn copy<S: Source, T: Target>(
    source: &S,
    target: &T,
    work: Work,
    workers: usize,
    (stop, progress): (watch::Receiver<bool>, Progress),
) -> Result<Copied, Failure> {
    let tables = work.tables.into_iter().zip(work.forms).enumerate();
    let workers = workers.min(work.chunks.len());
    let shared = Arc::new(Shared {
        tables: tables.map(|(index, (table, form))| (table.id, (index, table, form))).collect(),
        queue: Mutex::new(work.chunks.into()),
        read: work.held.bracket(),
        outdated: Mutex::default(),
        committed: work.committed,
        stop,
        progress,
    });
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let (source, target) = (source.clone(), target.clone());
        let (shared, held) = (Arc::clone(&shared), work.held.clone());
        running.spawn(async move { copy_chunks(&source, &target, &held, &shared).await });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    let left = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let outdated = std::mem::take(&mut *outdated(&shared));
    Ok(match (left, outdated.is_empty()) {
        (0, true) => Copied::All,
        (0, false) => Copied::AllBut(outdated.into_iter().collect()),
        (_, _) => Copied::Stopped,
    })
}

fn outdated(shared: &Shared) -> MutexGuard<'_, BTreeSet<TableId>> {
    shared.outdated.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn copy_chunks<S: Source, T: Target>(
    source: &S,
    target: &T,
    held: &HeldSnapshot,
    shared: &Shared,
) -> Result<(), Failure> {
    let mut reader = source.reader(held).await?;
    let mut loader = target.loader().await?;
    while !*shared.stop.borrow() {
        let next = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(chunk) = next else { break };
        if outdated(shared).contains(&chunk.table) {
            continue;
        }
        copy_chunk(&mut reader, &mut loader, &chunk, shared).await?;
    }
    Ok(())
}

async fn copy_chunk<R: ChunkReader, L: ChunkLoader>(
    reader: &mut R,
    loader: &mut L,
    chunk: &Chunk,
    shared: &Shared,
) -> Result<(), Failure> {
    let known = shared.tables.get(&chunk.table);
    assert!(known.is_some(), "the ledger holds chunks of known tables only");
    let Some((index, table, form)) = known else {
        return Ok(());
    };
    let rows = match reader.open(table, chunk, *form).await? {
        Opened::Rows(mut rows) => {
            loader.open(table, *form).await?;
            while let Some(buffer) = rows.next().await? {
                shared.progress.table_rows(*index, 0, buffer.len() as u64);
                loader.write(buffer).await?;
            }
            rows.rows()
        }
        Opened::Outdated => {
            tracing::warn!(
                table = %table.name,
                "was emptied, rewritten, renamed or dropped since the snapshot"
            );
            outdated(shared).insert(table.id);
            return Ok(());
        }
        Opened::Gone => {
            tracing::warn!(
                table = %table.name,
                "was dropped on the source before it was copied: on the target it stays, empty"
            );
            // Nothing at all is no stream of binary rows, but one of text.
            loader.open(table, RowForm::Text).await?;
            0
        }
    };
    loader.finish(chunk, &shared.read, rows).await?;
    shared.committed.send_modify(|committed| *committed += 1);
    shared.progress.table_rows(*index, rows, 0);
    shared.progress.chunk_done(*index);
    tracing::debug!(table = %table.name, chunk = chunk.number, rows, "copied");
    Ok(())
}
