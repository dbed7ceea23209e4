//! Two parts of one answer at the same time: they borrow from the caller, and the first error drops the other one.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use nexios::{Interrupted, TaskGroup};

#[derive(Debug, PartialEq)]
enum Failure {
    NoSuchUser,
    /// What a group has to say for itself: cancelled, or out of time.
    Interrupted(Interrupted),
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

async fn user(name: &str) -> Result<usize, Failure> {
    let known = ["ada", "grace"].iter().position(|known| *known == name);
    known.ok_or(Failure::NoSuchUser)
}

async fn posts(name: &str) -> Result<Vec<String>, Failure> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(vec![format!("{name} writes")])
}

async fn page(name: &str) -> Result<String, Failure> {
    let group = TaskGroup::builder().timeout(Duration::from_secs(1)).build();
    let page = group.run(async {
        let (user, posts) = (group.spawn(user(name)), group.spawn(posts(name)));
        Ok(format!("user {}: {:?}", user.await?, posts.await?))
    });
    page.await
}

#[tokio::main]
async fn main() {
    println!("{:?}", page("grace").await);
    assert_eq!(page("nobody").await, Err(Failure::NoSuchUser)); // at once, without waiting for the posts
}
