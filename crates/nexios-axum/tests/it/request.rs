//! The request layer: who ends a request, and what becomes of its handler.

mod body;
mod counting;
mod deadline;
mod disconnect;
mod policy;
mod scope;
mod shutdown;
mod traps;
