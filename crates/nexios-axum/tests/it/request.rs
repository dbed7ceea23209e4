//! The request layer: who ends a request, and what becomes of its handler.

mod access;
mod answers;
mod body;
mod busy;
mod counting;
mod deadline;
mod destructors;
mod disconnect;
mod nested;
mod policy;
mod readiness;
mod scope;
mod shutdown;
mod silent_log;
mod traps;
mod upload;
mod warnings;
