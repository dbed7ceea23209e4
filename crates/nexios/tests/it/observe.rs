//! What those are told who look.

mod custom;
mod lazies;
mod observers;
mod pools;
mod races;
mod recorder;
