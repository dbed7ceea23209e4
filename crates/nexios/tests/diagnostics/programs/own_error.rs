//! says: `AppError` cannot be the error of a task group
//! says: write `impl From<nexios::Interrupted> for AppError`

struct AppError;

async fn user() -> Result<u32, AppError> {
    Ok(1)
}

async fn page() -> Result<u32, AppError> {
    let group = nexios::TaskGroup::new();
    group.run(async { Ok(group.spawn(user()).await?) }).await
}

fn main() {
    drop(page());
}
