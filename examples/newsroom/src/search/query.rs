//! What a reader typed, as data and never as syntax.

use std::fmt;

const LONGEST: usize = 200;

/// Each word is one more pass over what is searched.
const MOST_WORDS: usize = 10;

/// The words of a search, at least one and each of them once.
#[derive(Debug, Clone)]
pub(crate) struct SearchQuery {
    terms: Vec<String>,
}

impl SearchQuery {
    /// Splits the text into words; what has neither letter nor digit finds nothing and is left out.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        if text.chars().count() > LONGEST {
            return Err(QueryError::TooLong);
        }
        let words = text.split(|c: char| c.is_whitespace() || c.is_control());
        let mut terms = Vec::new();
        let mut parts = 0;
        for word in words {
            // The index takes `rock'n'roll` apart, so it is as dear as three words.
            parts += word
                .split(|c: char| !c.is_alphanumeric())
                .filter(|part| !part.is_empty())
                .count();
            if word.contains(char::is_alphanumeric) && !terms.iter().any(|term| term == word) {
                terms.push(word.to_owned());
            }
        }
        if terms.is_empty() {
            return Err(QueryError::Empty);
        }
        if parts > MOST_WORDS {
            return Err(QueryError::TooManyWords);
        }
        Ok(SearchQuery { terms })
    }

    /// Every word as a quoted FTS5 string: in one, nothing but the quote itself means anything.
    pub(crate) fn full_text(&self) -> String {
        let quoted = self
            .terms
            .iter()
            .map(|term| format!("\"{}\"", term.replace('"', "\"\"")));
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// Every word as a `LIKE` pattern that matches it anywhere, with `\` as the escape.
    pub(crate) fn like_patterns(&self) -> Vec<String> {
        let escaped = |term: &String| {
            let term = term
                .replace('\\', r"\\")
                .replace('%', r"\%")
                .replace('_', r"\_");
            format!("%{term}%")
        };
        self.terms.iter().map(escaped).collect()
    }
}

/// What is wrong with a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueryError {
    Empty,
    TooLong,
    TooManyWords,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::Empty => {
                f.write_str("`q` is what to search for: at least one letter or digit.")
            }
            QueryError::TooLong => write!(f, "`q` has at most {LONGEST} characters."),
            QueryError::TooManyWords => write!(f, "`q` has at most {MOST_WORDS} words."),
        }
    }
}
