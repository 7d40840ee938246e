//! dunlin moves a live database to another server while it is being written to.
//!
//! The map of rooms, and who may know whom:
//!
//! ```text
//! model                     nothing
//! observe                   model
//! config                    model
//! connect                   model config
//! source, target            model config connect observe   (never each other)
//! snapshot, stream, verify  model observe + the Source and Target traits
//! cutover                   model observe + the Source, Fence and Target traits
//! migration                 all above; the only composer
//! demo                      model config connect observe
//! cli                       migration config observe demo
//! ```
//!
//! Data flows one way: source → decode → stream → target. One edge returns: a watch of the
//! durable position, which the source may acknowledge.

pub mod cli;
pub mod config;
pub mod connect;
pub mod cutover;
pub mod demo;
pub mod migration;
pub mod model;
pub mod observe;
pub mod snapshot;
pub mod source;
pub mod stream;
pub mod target;
pub mod verify;
