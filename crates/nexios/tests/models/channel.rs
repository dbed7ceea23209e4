//! One value from a thread to a future, on the model checker's lock.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use shuttle::sync::Mutex;

struct Letterbox<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

pub(crate) struct Sender<T>(Arc<Mutex<Letterbox<T>>>);

pub(crate) struct Receiver<T>(Arc<Mutex<Letterbox<T>>>);

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let letterbox = Arc::new(Mutex::new(Letterbox {
        value: None,
        waker: None,
    }));
    (Sender(letterbox.clone()), Receiver(letterbox))
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        let waker = {
            let mut letterbox = self.0.lock().expect("no panic under this lock");
            letterbox.value = Some(value);
            letterbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut letterbox = self.0.lock().expect("no panic under this lock");
        if let Some(value) = letterbox.value.take() {
            return Poll::Ready(value);
        }
        letterbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
