//! Words that look like a newsroom's, the same ones in every copy of the demo.

use fastrand::Rng;

const SUBJECTS: [&str; 24] = [
    "Rust",
    "Tokio",
    "The city council",
    "A quiet harbour",
    "The night train",
    "An old compiler",
    "Cancellation",
    "The weather service",
    "A small team",
    "Structured concurrency",
    "The library",
    "A thread pool",
    "The river",
    "Bread",
    "The football club",
    "A background task",
    "The observatory",
    "Open data",
    "The last cinema",
    "A mountain village",
    "The orchestra",
    "An async runtime",
    "The ferry",
    "A shared garden",
];
const VERBS: [&str; 16] = [
    "rewrites",
    "surprises",
    "saves",
    "questions",
    "opens",
    "measures",
    "forgets",
    "celebrates",
    "waits for",
    "outlives",
    "repairs",
    "explains",
    "follows",
    "joins",
    "doubles",
    "protects",
];
const OBJECTS: [&str; 20] = [
    "its own history",
    "the morning market",
    "a million readers",
    "the slow queue",
    "every deadline",
    "the winter timetable",
    "its best idea",
    "a forgotten archive",
    "the budget",
    "the northern line",
    "three hundred students",
    "its neighbours",
    "the error handling",
    "a long drought",
    "the new bridge",
    "the old rules",
    "a record harvest",
    "the borrow checker",
    "its last secret",
    "the evening news",
];
const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Alan",
    "Barbara",
    "Dennis",
    "Edsger",
    "Frances",
    "Grace",
    "Joan",
    "John",
    "Katherine",
    "Ken",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Radia",
    "Tony",
];
const LAST_NAMES: [&str; 16] = [
    "Almeida", "Bauer", "Castro", "Dubois", "Eriksen", "Fischer", "Garcia", "Hansen", "Ivanova",
    "Jansen", "Kowalski", "Lindgren", "Moreau", "Novak", "Okafor", "Petrov",
];

pub(crate) fn headline(random: &mut Rng) -> String {
    format!(
        "{} {} {}",
        pick(&SUBJECTS, random),
        pick(&VERBS, random),
        pick(&OBJECTS, random)
    )
}

pub(crate) fn story(random: &mut Rng) -> String {
    let sentences = random.usize(12..=24);
    (0..sentences)
        .map(|_| headline(random) + ".")
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn person(random: &mut Rng) -> (&'static str, &'static str) {
    (pick(&FIRST_NAMES, random), pick(&LAST_NAMES, random))
}

fn pick(words: &[&'static str], random: &mut Rng) -> &'static str {
    words[random.usize(..words.len())]
}
