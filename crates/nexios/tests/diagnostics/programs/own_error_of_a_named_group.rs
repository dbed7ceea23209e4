//! says: `AppError` cannot be the error of a task group
//! says: write `impl From<nexios::Interrupted> for AppError`

struct AppError;

fn spawn(group: &nexios::TaskGroup<'_, AppError>) {
    group.spawn(async { Ok(1) });
}

fn main() {
    let _ = spawn;
}
