//! Text of others, which may be as long as they like, as it is passed on.

/// The most characters of a text that is passed on with its middle left out.
const LONGEST: usize = 400;

/// The most characters of a method or a path in a line of the log.
const LONGEST_IN_THE_LOG: usize = 200;

/// Leaves out the middle of a long text: what was found is the client's, and may be all of its body; a cause may have
/// in it what a client has sent.
pub(crate) fn in_short(text: String) -> String {
    if text.len() <= LONGEST || text.chars().count() <= LONGEST {
        return text;
    }
    let beginning: String = text.chars().take(LONGEST / 2).collect();
    let end = text
        .char_indices()
        .rev()
        .nth(LONGEST / 2 - 1)
        .map_or(0, |(at, _)| at);
    format!("{beginning} … {}", &text[end..])
}

/// The beginning of a method or a path. Nothing is allocated: the line of each request has both.
pub(crate) fn for_the_log(text: &str) -> &str {
    if text.len() <= LONGEST_IN_THE_LOG {
        return text;
    }
    let end = text.char_indices().nth(LONGEST_IN_THE_LOG);
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::{for_the_log, in_short};

    #[test]
    fn a_long_text_loses_its_middle_and_a_short_one_nothing() {
        let text = format!("{}middle{}", "ä".repeat(400), "ö".repeat(400));
        let short = in_short(text);
        assert_eq!(short, format!("{} … {}", "ä".repeat(200), "ö".repeat(200)));
        assert_eq!(in_short("ä".repeat(400)), "ä".repeat(400));
    }

    #[test]
    fn a_path_in_the_log_is_its_first_two_hundred_characters() {
        assert_eq!(for_the_log(&"é".repeat(300)), "é".repeat(200));
        assert_eq!(for_the_log(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(for_the_log("/orders/7"), "/orders/7");
    }
}
