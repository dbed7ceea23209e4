//! What a handler can ask for in its arguments.

mod background;
mod deadline;
mod group;
mod or_problem;
mod token;

pub use background::BackgroundTasks;
pub use group::RequestGroup;
pub use or_problem::OrProblem;
pub use token::RequestToken;
