//! What a request waited for: the critical path, by Jaeger's rule.
//!
//! From the end of a span back to its start: the part that ended last is critical; then the one that ended last before that
//! began; and so on. In each of them the same again. What ends after its parent, and what has no length, is waited for by nobody.

use crate::store::moment::Moment;

/// A span in a list of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    /// Its parent's place in the list.
    pub(super) parent: Option<usize>,
    pub(super) made: Moment,
    pub(super) ended: Moment,
    /// Nobody waits for losers, and for those that end because others have.
    pub(super) awaited: bool,
}

/// Which of them are critical, if the one at `root` is.
pub(super) fn critical(bars: &[Bar], root: usize) -> Vec<bool> {
    let mut parts = vec![Vec::new(); bars.len()];
    for (place, bar) in bars.iter().enumerate() {
        if let Some(parent) = bar.parent.filter(|_| bar.awaited && bar.made < bar.ended) {
            parts[parent].push(place);
        }
    }
    let mut critical = vec![false; bars.len()];
    let mut open = vec![root];
    while let Some(place) = open.pop() {
        critical[place] = true;
        let parts = &mut parts[place];
        // Last end first; of those that end together the one that began first.
        parts.sort_by_key(|&part| (std::cmp::Reverse(bars[part].ended), bars[part].made));
        let mut until = bars[place].ended;
        for &part in &*parts {
            if bars[part].ended <= until {
                until = bars[part].made;
                open.push(part);
            }
        }
    }
    critical
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(tick: u64) -> Moment {
        Moment::after(Duration::from_nanos(tick))
    }

    fn bar(parent: Option<usize>, made: u64, ended: u64) -> Bar {
        Bar {
            parent,
            made: at(made),
            ended: at(ended),
            awaited: true,
        }
    }

    /// Tick by tick backwards: whoever of the parts ends at this tick is waited for until the tick it began at.
    fn by_ticks(bars: &[Bar], place: usize, critical: &mut [bool]) {
        critical[place] = true;
        let parts = |tick: u64| {
            let parts = bars.iter().enumerate().filter(move |(_, bar)| {
                bar.parent == Some(place)
                    && bar.awaited
                    && bar.ended == at(tick)
                    && bar.made != bar.ended
            });
            parts
                .min_by_key(|(_, bar)| bar.made)
                .map(|(place, _)| place)
        };
        let ticks = |moment: Moment| moment.since(Moment::FIRST).as_nanos() as u64;
        let mut tick = ticks(bars[place].ended);
        loop {
            match parts(tick) {
                Some(part) => {
                    by_ticks(bars, part, critical);
                    tick = ticks(bars[part].made);
                }
                None if tick == 0 => return,
                None => tick -= 1,
            }
        }
    }

    /// Numbers that are the same each time.
    struct Dice(u64);
    impl Dice {
        fn throw(&mut self, below: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % below
        }
    }

    #[test]
    fn the_path_is_that_of_a_search_tick_by_tick() {
        let mut dice = Dice(1);
        for _ in 0..20_000 {
            let mut bars = vec![bar(None, 0, 1 + dice.throw(40))];
            for _ in 0..dice.throw(12) {
                let parent = dice.throw(bars.len() as u64) as usize;
                let made = dice.throw(40);
                let mut part = bar(Some(parent), made, made + dice.throw(20));
                part.awaited = dice.throw(5) > 0;
                bars.push(part);
            }
            let mut expected = vec![false; bars.len()];
            by_ticks(&bars, 0, &mut expected);
            assert_eq!(critical(&bars, 0), expected, "{bars:?}");
        }
    }

    #[test]
    fn of_two_that_run_together_the_later_end_is_critical() {
        let bars = [
            bar(None, 0, 100),
            bar(Some(0), 0, 90),
            bar(Some(0), 0, 60),
            bar(Some(1), 10, 80),
        ];
        assert_eq!(critical(&bars, 0), [true, true, false, true]);
    }

    #[test]
    fn those_that_follow_each_other_are_all_critical() {
        let bars = [
            bar(None, 0, 100),
            bar(Some(0), 0, 50),
            bar(Some(0), 50, 100),
        ];
        assert_eq!(critical(&bars, 0), [true, true, true]);
    }

    #[test]
    fn what_ends_after_its_parent_is_not_critical() {
        let bars = [
            bar(None, 0, 100),
            bar(Some(0), 0, 50),
            bar(Some(0), 60, 101),
        ];
        assert_eq!(critical(&bars, 0), [true, true, false]);
    }

    #[test]
    fn a_chain_of_any_depth_has_one() {
        let mut bars = vec![bar(None, 0, 10)];
        bars.extend((0..100_000).map(|parent| bar(Some(parent), 0, 10)));
        assert!(critical(&bars, 0).iter().all(|critical| *critical));
    }
}
