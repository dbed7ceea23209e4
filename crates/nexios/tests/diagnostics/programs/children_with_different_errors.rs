//! says: work in this group returns `Result<_, AppError>`, and this returns `Result<u16, ParseIntError>`
//! says: a child with an error of its own: `group.spawn_into(work)` or `group.spawn_named_into(name, work)`

use std::num::ParseIntError;

use nexios::{Interrupted, TaskGroup};

struct AppError;
impl From<Interrupted> for AppError {
    fn from(_: Interrupted) -> Self {
        Self
    }
}
impl From<ParseIntError> for AppError {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

async fn port() -> Result<u16, ParseIntError> {
    "80".parse()
}

fn main() {
    let group = TaskGroup::<AppError>::new();
    group.spawn(port());
}
