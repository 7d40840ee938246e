//! Connections to servers, as source and target both need them.
