//! Five first-in-first-out lists of jobs over one set of nodes, with removal from the middle.
//!
//! # Invariants
//!
//! 1. A job is in at most one list; while it is in one, its `place` is the index of its node, otherwise
//!    [`NOWHERE`].
//! 2. Every operation but the release of memory after a crowd takes constant time.

use std::sync::Arc;

use super::work::Work;

/// The `place` of a job that is in no list.
pub(super) const NOWHERE: usize = usize::MAX;

/// A set of nodes larger than this is given back once it is empty.
const KEPT_NODES: usize = 1_024;

/// Where a job is on its way through the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// A regular thread is free for it and on its way.
    Assigned,
    /// A nested job that an overflow thread is on its way for.
    Overflow,
    /// Accepted, no thread yet.
    Queue,
    /// Its caller waits for a place in the queue.
    Waiting,
    /// Its closure was handed to a thread and has not ended.
    Running,
}

const LANES: usize = 5;

struct Node {
    /// Empty while the node is free.
    job: Option<Arc<dyn Work>>,
    lane: Lane,
    previous: usize,
    next: usize,
}

#[derive(Clone, Copy)]
struct List {
    head: usize,
    tail: usize,
    len: usize,
}

pub(super) struct Lanes {
    nodes: Vec<Node>,
    /// Indices of the nodes without a job.
    free: Vec<usize>,
    /// One list a lane, by the lane's discriminant.
    lists: [List; LANES],
}

impl Lanes {
    pub(super) fn new() -> Self {
        let empty = List { head: NOWHERE, tail: NOWHERE, len: 0 };
        Self { nodes: Vec::new(), free: Vec::new(), lists: [empty; LANES] }
    }

    pub(super) fn len(&self, lane: Lane) -> usize {
        self.lists[lane as usize].len
    }

    pub(super) fn is_empty(&self, lane: Lane) -> bool {
        self.len(lane) == 0
    }

    /// The place of the oldest job of a lane.
    pub(super) fn oldest(&self, lane: Lane) -> Option<usize> {
        let place = self.lists[lane as usize].head;
        (place != NOWHERE).then_some(place)
    }

    /// The place of the newest job of a lane.
    pub(super) fn newest(&self, lane: Lane) -> Option<usize> {
        let place = self.lists[lane as usize].tail;
        (place != NOWHERE).then_some(place)
    }

    /// The lane of a job, if it is in one.
    pub(super) fn lane_of(&self, job: &dyn Work) -> Option<Lane> {
        self.nodes.get(job.head().place()).map(|node| node.lane)
    }

    pub(super) fn job(&self, place: usize) -> Option<&Arc<dyn Work>> {
        self.nodes.get(place)?.job.as_ref()
    }

    /// All jobs of a lane, oldest first.
    pub(super) fn jobs(&self, lane: Lane) -> Vec<Arc<dyn Work>> {
        let mut jobs = Vec::with_capacity(self.len(lane));
        let mut place = self.lists[lane as usize].head;
        while let Some(node) = self.nodes.get(place) {
            jobs.extend(node.job.clone());
            place = node.next;
        }
        jobs
    }

    /// Puts a job that is in no lane at the end of one.
    pub(super) fn push(&mut self, job: Arc<dyn Work>, lane: Lane) {
        let place = self.free.pop().unwrap_or(self.nodes.len());
        job.head().set_place(place);
        let node = Node { job: Some(job), lane, previous: NOWHERE, next: NOWHERE };
        if place == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[place] = node;
        }
        self.link(place, lane);
    }

    /// Moves a job to the end of another lane.
    pub(super) fn shift(&mut self, place: usize, lane: Lane) {
        self.unlink(place);
        self.link(place, lane);
    }

    /// Takes a job out of the lane it is in.
    pub(super) fn remove(&mut self, place: usize) -> Option<Arc<dyn Work>> {
        let job = self.nodes.get_mut(place)?.job.take()?;
        self.unlink(place);
        job.head().set_place(NOWHERE);
        self.free.push(place);
        if self.free.len() == self.nodes.len() && self.nodes.len() > KEPT_NODES {
            self.nodes = Vec::new();
            self.free = Vec::new();
        }
        Some(job)
    }

    fn link(&mut self, place: usize, lane: Lane) {
        let list = &mut self.lists[lane as usize];
        let tail = list.tail;
        list.tail = place;
        list.len += 1;
        if tail == NOWHERE {
            list.head = place;
        } else {
            self.nodes[tail].next = place;
        }
        let node = &mut self.nodes[place];
        (node.lane, node.previous, node.next) = (lane, tail, NOWHERE);
    }

    fn unlink(&mut self, place: usize) {
        let Node { lane, previous, next, .. } = self.nodes[place];
        let list = &mut self.lists[lane as usize];
        list.len -= 1;
        if previous == NOWHERE {
            list.head = next;
        }
        if next == NOWHERE {
            list.tail = previous;
        }
        if let Some(node) = self.nodes.get_mut(previous) {
            node.next = next;
        }
        if let Some(node) = self.nodes.get_mut(next) {
            node.previous = previous;
        }
    }
}
