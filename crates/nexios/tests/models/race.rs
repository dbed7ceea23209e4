//! Candidates that are woken from other threads.

use std::future::pending;

use nexios::{Candidate, run_until_first_complete};
use shuttle::{future::block_on, thread};

use crate::{
    channel::channel,
    check::{check, poll_once},
    witness::Witness,
};

#[test]
fn no_wake_of_a_candidate_is_lost() {
    check(|| {
        let witness = Witness::default();
        let ((first, to_first), (second, to_second)) = (channel(), channel());
        let race = run_until_first_complete([
            Candidate::new(
                "fails",
                witness.child(async move { Err::<u8, u8>(to_first.await) }),
            ),
            Candidate::new(
                "succeeds",
                witness.child(async move { Ok(to_second.await) }),
            ),
            Candidate::new("never", witness.child(pending())),
        ]);
        let threads = [
            thread::spawn(move || first.send(1)),
            thread::spawn(move || second.send(2)),
        ];
        assert_eq!(block_on(race).expect("one succeeds"), 2);
        witness.all_gone(3);
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn a_failure_from_another_thread_starts_the_reserve() {
    check(|| {
        let ((first, to_first), (second, to_second)) = (channel(), channel());
        let race = run_until_first_complete([
            Candidate::new("fails", async move { Err::<u8, u8>(to_first.await) }),
            Candidate::new("reserve", async move { Ok(to_second.await) }).on_failure(),
        ]);
        let threads = [
            thread::spawn(move || first.send(1)),
            thread::spawn(move || second.send(2)),
        ];
        assert_eq!(block_on(race).expect("the reserve succeeds"), 2);
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn a_race_that_moves_to_another_thread_is_woken_there() {
    check(|| {
        let (send, receive) = channel();
        let mut race = run_until_first_complete([
            Candidate::new("never", pending::<Result<u8, u8>>()),
            Candidate::new("succeeds", async move { Ok(receive.await) }),
        ]);
        let sender = thread::spawn(move || send.send(1));
        let value = match block_on(poll_once(&mut race)) {
            Some(outcome) => outcome.expect("it succeeds"),
            None => thread::spawn(move || block_on(race))
                .join()
                .expect("no panic")
                .expect("it succeeds"),
        };
        assert_eq!(value, 1);
        sender.join().expect("no panic");
    });
}
