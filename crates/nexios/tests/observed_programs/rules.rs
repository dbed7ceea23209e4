//! What holds of all that is told, whatever the program is.

use std::collections::HashMap;

use nexios::observe::{WorkId, WorkKind};

use crate::recorder::{Kept, Told};

struct Life {
    parent: Option<WorkId>,
    kind: WorkKind,
    started: usize,
    cancelling: usize,
    waits: usize,
    adopted: bool,
    ended: Option<String>,
    /// Parts that must end before it does.
    parts: Vec<WorkId>,
}

/// Whether the observer was there from the beginning, and so knows all parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    All,
    FromSomewhereOn,
}

/// One line for each rule that is broken.
pub(crate) fn broken(told: &[Told], heard: Heard) -> Vec<String> {
    let mut rules = Rules {
        lives: HashMap::new(),
        heard,
        broken: Vec::new(),
    };
    for told in told {
        rules.hear(told);
    }
    for (id, life) in &rules.lives {
        if life.ended.is_none() {
            rules.broken.push(format!("{id}: never ended"));
        }
    }
    rules.broken
}

struct Rules {
    lives: HashMap<WorkId, Life>,
    heard: Heard,
    broken: Vec<String>,
}

impl Rules {
    fn holds(&mut self, holds: bool, rule: &str, told: &Told) {
        if !holds {
            self.broken.push(format!("{rule}: {told:?}"));
        }
    }

    fn hear(&mut self, told: &Told) {
        match told {
            Told::Made {
                id,
                parent,
                link,
                kind,
                name,
            } => {
                self.holds(!name.is_empty(), "without a name", told);
                self.holds(id.0 != 0, "a number is 0", told);
                let new = !self.lives.contains_key(id);
                self.holds(new, "made twice", told);
                for relative in [parent, link].into_iter().flatten() {
                    let known = self.lives.get(relative);
                    let alive = known.is_some_and(|life| life.ended.is_none());
                    let unknown = known.is_none() && self.heard == Heard::FromSomewhereOn;
                    self.holds(alive || unknown, "its parent or link is not alive", told);
                }
                if let Some(life) = parent.and_then(|parent| self.lives.get_mut(&parent)) {
                    life.parts.push(*id);
                }
                self.lives.insert(
                    *id,
                    Life {
                        parent: *parent,
                        kind: *kind,
                        started: 0,
                        cancelling: 0,
                        waits: 0,
                        adopted: false,
                        ended: None,
                        parts: Vec::new(),
                    },
                );
            }
            Told::Started(id) => self.said(*id, told, |life| {
                life.started += 1;
                (life.started == 1, "started twice")
            }),
            Told::Updated(id, Kept::Cancelling) => self.said(*id, told, |life| {
                life.cancelling += 1;
                (life.cancelling == 1, "cancelling twice")
            }),
            Told::Updated(id, Kept::Waiting) => self.said(*id, told, |life| {
                life.waits += 1;
                (true, "")
            }),
            Told::Updated(id, Kept::Resumed) => self.said(*id, told, |life| {
                let waited = life.waits > 0;
                life.waits = life.waits.saturating_sub(1);
                (waited, "resumed without waiting")
            }),
            Told::Updated(id, Kept::Adopted) => self.said(*id, told, |life| {
                let twice = std::mem::replace(&mut life.adopted, true);
                (!twice, "adopted twice")
            }),
            Told::Updated(id, Kept::Other) => self.said(*id, told, |_| (true, "")),
            Told::Ended(id, outcome) => self.end(*id, outcome, told),
        }
    }

    /// Something is said of live work.
    fn said(
        &mut self,
        id: WorkId,
        told: &Told,
        rule: impl FnOnce(&mut Life) -> (bool, &'static str),
    ) {
        let Some(life) = self.lives.get_mut(&id) else {
            return self.holds(false, "said before it was made", told);
        };
        let over = life.ended.is_some();
        let (holds, rule) = rule(life);
        self.holds(!over, "said after its end", told);
        self.holds(holds, rule, told);
    }

    fn end(&mut self, id: WorkId, outcome: &str, told: &Told) {
        self.said(id, told, |_| (true, ""));
        let Some(life) = self.lives.get_mut(&id) else {
            return;
        };
        life.ended = Some(outcome.to_owned());
        let refused = outcome == "Refused";
        // A candidate is refused for its value.
        let in_vain = refused && life.kind != WorkKind::Candidate && life.started > 0;
        let is_root = matches!(
            life.kind,
            WorkKind::Request | WorkKind::Background | WorkKind::Computation
        );
        // What is refused is a part of whoever tried.
        let root_with_parent = is_root && !refused && life.parent.is_some();
        let parts = std::mem::take(&mut life.parts);
        self.holds(!in_vain, "started and refused", told);
        self.holds(!root_with_parent, "a root has a parent", told);
        for part in parts {
            let left = self
                .lives
                .get(&part)
                .is_some_and(|part| part.ended.is_none() && !part.adopted);
            self.holds(!left, &format!("its part {part} outlives it"), told);
        }
    }
}

#[test]
fn every_rule_is_seen_to_be_broken() {
    let made = |id: u64, parent: Option<u64>, kind| Told::Made {
        id: WorkId(id),
        parent: parent.map(WorkId),
        link: None,
        kind,
        name: "work".to_owned(),
    };
    let ended = |id: u64| Told::Ended(WorkId(id), "Completed".to_owned());
    let updated = |id: u64, kept| Told::Updated(WorkId(id), kept);
    let custom = |id| made(id, None, WorkKind::Custom);
    let part = made(2, Some(1), WorkKind::Custom);
    let root = made(2, Some(1), WorkKind::Request);
    let refused = Told::Ended(WorkId(1), "Refused".to_owned());
    let started = Told::Started(WorkId(1));
    for (told, rule) in [
        (vec![custom(1)], "never ended"),
        (vec![custom(0), ended(0)], "a number is 0"),
        (vec![custom(1), ended(1), custom(1), ended(1)], "made twice"),
        (vec![custom(1), ended(1), ended(1)], "said after its end"),
        (vec![ended(1)], "said before it was made"),
        (vec![part.clone(), ended(2)], "is not alive"),
        (
            vec![custom(1), part.clone(), ended(1), ended(2)],
            "outlives",
        ),
        (
            vec![custom(1), root, ended(2), ended(1)],
            "a root has a parent",
        ),
        (
            vec![custom(1), started.clone(), started.clone(), ended(1)],
            "started twice",
        ),
        (vec![custom(1), started, refused], "started and refused"),
        (
            vec![custom(1), updated(1, Kept::Resumed), ended(1)],
            "without waiting",
        ),
        (
            vec![
                custom(1),
                updated(1, Kept::Cancelling),
                updated(1, Kept::Cancelling),
                ended(1),
            ],
            "cancelling twice",
        ),
    ] {
        let broken = broken(&told, Heard::All);
        assert!(
            broken.iter().any(|line| line.contains(rule)),
            "{rule}: {broken:?}"
        );
    }
    let adopted = updated(2, Kept::Adopted);
    let well = [custom(1), part, adopted, ended(1), ended(2)];
    assert!(broken(&well, Heard::All).is_empty());
}
