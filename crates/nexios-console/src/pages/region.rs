//! The parts of a page that change while it is open.

use std::hash::{DefaultHasher, Hash, Hasher};

use maud::{Markup, Render};

/// An element with an id, as it stands in the page and in the events that replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) id: String,
    pub(crate) html: Html,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Html {
    Whole(String),
    /// A list, whose items come and go one by one.
    Rows {
        open: String,
        rows: Vec<Row>,
        close: &'static str,
    },
}

/// An item with an id of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) html: String,
}

impl Row {
    pub(crate) fn new(id: String, html: Markup) -> Self {
        Self {
            id,
            html: html.into_string(),
        }
    }
}

impl Region {
    /// `html` is one element with this id.
    pub(crate) fn whole(id: impl Into<String>, html: Markup) -> Self {
        Self {
            id: id.into(),
            html: Html::Whole(html.into_string()),
        }
    }

    pub(crate) fn table_body(id: &str, rows: Vec<Row>) -> Self {
        let open = format!("<tbody id=\"{id}\">");
        Self {
            id: id.to_owned(),
            html: Html::Rows {
                open,
                rows,
                close: "</tbody>",
            },
        }
    }

    /// `open` and `close` are the tags around the rows.
    pub(crate) fn list(id: &str, open: &str, rows: Vec<Row>, close: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            html: Html::Rows {
                open: open.to_owned(),
                rows,
                close,
            },
        }
    }
}

impl Render for Region {
    fn render_to(&self, page: &mut String) {
        match &self.html {
            Html::Whole(html) => page.push_str(html),
            Html::Rows { open, rows, close } => {
                page.push_str(open);
                rows.iter().for_each(|row| page.push_str(&row.html));
                page.push_str(close);
            }
        }
    }
}

/// An id has no blanks in it, and a name may have.
pub(super) fn digest(name: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
