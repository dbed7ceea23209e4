//! Names of work for a line of the log.

use std::collections::HashMap;

/// So many different names fit a line.
const MOST: usize = 64;

/// Each name once, in the order of its first appearance, with how often it is there.
pub(super) fn counted<N: AsRef<str>>(names: &[N]) -> Vec<String> {
    let mut places = HashMap::new();
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        let place = *places.entry(name).or_insert(counts.len());
        match counts.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let more: usize = counts.iter().skip(MOST).map(|(_, count)| count).sum();
    let mut texts: Vec<String> = counts
        .iter()
        .take(MOST)
        .map(|(name, count)| {
            if *count == 1 {
                (*name).to_owned()
            } else {
                format!("{name} x {count}")
            }
        })
        .collect();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn a_name_is_said_once_with_its_count() {
        let mut names = vec!["newsletter"; 312];
        names.insert(1, "import");
        assert_eq!(counted(&names), ["newsletter x 312", "import"]);
        assert!(counted::<&str>(&[]).is_empty());
    }

    #[test]
    fn more_names_than_fit_a_line_are_only_counted() {
        let names: Vec<String> = (0..100).map(|number| format!("task {number}")).collect();
        let texts = counted(&names);
        assert_eq!(
            (texts.len(), texts[63].as_str(), texts[64].as_str()),
            (65, "task 63", "and 36 more")
        );
    }
}
