//! The error type of a group: what is converted into it, and from where.

use std::{error::Error, io, num::ParseIntError, sync::LazyLock};

use nexios::{AsyncLazy, CancelReason, Interrupted, LazyError, TaskGroup};

type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Debug, PartialEq)]
enum AppError {
    Parse(ParseIntError),
    Interrupted(Interrupted),
}
impl From<ParseIntError> for AppError {
    fn from(error: ParseIntError) -> Self {
        Self::Parse(error)
    }
}
impl From<Interrupted> for AppError {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

#[tokio::test]
async fn a_child_with_an_error_of_its_own_fails_the_group_with_the_groups() {
    let group = TaskGroup::<AppError>::new();
    let ended = group
        .run(async {
            let good = group.spawn_into(async { "80".parse::<u16>() });
            let bad = group.spawn_into(async { "eighty".parse::<u16>() });
            Ok(good.await? + bad.await?)
        })
        .await;
    assert!(matches!(ended, Err(AppError::Parse(_))), "{ended:?}");
}

#[tokio::test]
async fn a_child_with_a_name_may_have_an_error_of_its_own_as_well() {
    let group = TaskGroup::<AppError>::new();
    let spawner = group.spawner();
    let ended = group
        .run(async {
            let good = group.spawn_named_into("good", async { "80".parse::<u16>() });
            let bad = spawner.spawn_named_into("bad", async { "eighty".parse::<u16>() });
            assert_eq!(good.name(), "good");
            assert_eq!(bad.name(), "bad");
            Ok(good.await? + bad.await?)
        })
        .await;
    assert!(matches!(ended, Err(AppError::Parse(_))), "{ended:?}");
}

#[tokio::test]
async fn a_spawner_takes_the_same_children() {
    let group = TaskGroup::<AppError>::new();
    let sum = group
        .run(async {
            let spawner = group.spawner();
            let child = group.spawn(async move {
                let port = spawner.spawn_into(async { "80".parse::<u16>() });
                let more = spawner.spawn_value(async { 1_u16 });
                Ok(port.await? + more.await?)
            });
            child.await
        })
        .await;
    assert_eq!(sum, Ok(81));
}

#[tokio::test]
async fn a_child_that_cannot_fail_can_be_interrupted() {
    let group = TaskGroup::infallible();
    let one = group.spawn_value(async { 1 });
    let never = group.spawn_value(std::future::pending::<u8>());
    assert_eq!(one.await, Ok(1));
    group.cancel();
    let why = never.await;
    assert_eq!(why, Err(Interrupted::Cancelled(CancelReason::Requested)));
}

/// The names of such children are the places of their spawns, as those of others.
#[tokio::test]
async fn a_child_of_any_kind_is_named_by_its_place() {
    let group = TaskGroup::<AppError>::new();
    let value = group.spawn_value(async {});
    let into = group.spawn_into(async { "80".parse::<u16>() });
    assert!(value.name().starts_with(file!()), "{}", value.name());
    assert!(into.name().starts_with(file!()), "{}", into.name());
    group.join().await.unwrap();
}

#[tokio::test]
async fn a_call_of_a_lazy_value_is_a_child_as_it_stands() {
    static USERS: LazyLock<AsyncLazy<u32, io::Error>> =
        LazyLock::new(|| AsyncLazy::new(|| async { Ok(3) }));

    let group = TaskGroup::new();
    let (one, other) = (group.spawn(USERS.get()), group.spawn(USERS.get()));
    assert_eq!(*one.await.unwrap() + *other.await.unwrap(), 6);
    group.cancel();
    let late = group.spawn(USERS.get()).await;
    let expected = Interrupted::Cancelled(CancelReason::Requested);
    assert!(
        matches!(&late, Err(LazyError::Interrupted(why)) if *why == expected),
        "{late:?}"
    );
    assert_eq!(
        late.unwrap_err().to_string(),
        expected.to_string(),
        "in the words of the interruption"
    );
}

#[tokio::test]
async fn errors_of_any_kind_go_into_a_boxed_one() {
    let group = TaskGroup::<BoxError>::new();
    let lost = group.spawn_into(async { Err::<u8, _>(io::Error::from(io::ErrorKind::NotFound)) });
    let ended = group.run(lost).await;
    let error = ended.unwrap_err().downcast::<io::Error>().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// What is never told its error is a group of interruptions, where a type is written at all.
#[tokio::test]
async fn the_error_of_a_group_is_an_interruption_unless_it_is_said() {
    let group: TaskGroup<'_> = TaskGroup::builder().build();
    let task = group.spawn(async { Ok(1) });
    assert_eq!(task.await, Ok(1));
}
