//! dunlin moves a live database to another server while it is being written to.
//!
//! The map of rooms, and who may know whom:
//!
//! ```text
//! model                     nothing
//! observe                   model
//! config                    model
//! connect                   model config
//! source, target            model config connect   (never each other)
//! snapshot, stream          model + the Source and Target traits
//! migration                 all above; the only composer
//! cli                       migration config observe
//! ```
//!
//! Data flows one way: source → decode → stream → target. One edge returns: a watch of the
//! durable position, which the source may acknowledge.

pub mod config;
pub mod connect;
pub mod model;
pub mod source;
pub mod target;
