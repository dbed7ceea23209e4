//! What changed between two looks at a page.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::pages::{Html, Region, Row};

/// Changes of one list that are told one by one; more of them are told as the whole list.
const MOST: usize = 40;

/// An event before it has a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) event: &'static str,
    /// JSON.
    pub(super) data: String,
}

/// `html` is how the element `target` looks now. One that may be new says where it belongs: in this list, behind this item, or as
/// the first one.
#[derive(Serialize)]
struct Replacement<'a> {
    target: &'a str,
    html: &'a str,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    list: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
}

#[derive(Serialize)]
struct Removal<'a> {
    target: &'a str,
}

#[derive(Serialize)]
struct Resync<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct Goodbye<'a> {
    phase: &'a str,
}

impl Change {
    fn new(event: &'static str, data: &impl Serialize) -> Self {
        // Texts alone, which always are JSON.
        Self {
            event,
            data: serde_json::to_string(data).unwrap_or_default(),
        }
    }

    pub(super) fn resync(reason: &str) -> Self {
        Self::new("resync", &Resync { reason })
    }

    pub(super) fn bye(phase: &str) -> Self {
        Self::new("bye", &Goodbye { phase })
    }

    /// A region as it looks now.
    pub(super) fn whole(region: &Region) -> Self {
        let html = maud::Render::render(region).into_string();
        Self::new(
            "html",
            &Replacement {
                target: &region.id,
                html: &html,
                list: None,
                after: None,
            },
        )
    }

    fn remove(id: &str) -> Self {
        Self::new("remove", &Removal { target: id })
    }

    fn row(row: &Row, list: Option<&str>, after: Option<&str>) -> Self {
        Self::new(
            "html",
            &Replacement {
                target: &row.id,
                html: &row.html,
                list,
                after,
            },
        )
    }
}

/// What leads from one look to the next.
pub(super) fn between(old: &[Region], new: &[Region]) -> Vec<Change> {
    let mut changes = Vec::new();
    for region in new {
        let before = old.iter().find(|before| before.id == region.id);
        match before {
            Some(before) if before == region => {}
            Some(before) => changes.extend(within(before, region)),
            None => changes.push(Change::whole(region)),
        }
    }
    changes
}

fn within(old: &Region, new: &Region) -> Vec<Change> {
    let (
        Html::Rows {
            open: before,
            rows: old,
            ..
        },
        Html::Rows { open, rows, .. },
    ) = (&old.html, &new.html)
    else {
        return vec![Change::whole(new)];
    };
    let known: BTreeMap<&str, &Row> = old.iter().map(|row| (row.id.as_str(), row)).collect();
    let now: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let stayed = old
        .iter()
        .filter(|row| now.contains(row.id.as_str()))
        .map(|row| &row.id);
    let keeps_order = stayed.eq(rows
        .iter()
        .filter(|row| known.contains_key(row.id.as_str()))
        .map(|row| &row.id));
    if before != open || !keeps_order {
        return vec![Change::whole(new)];
    }
    let gone = old.iter().filter(|row| !now.contains(row.id.as_str()));
    let mut changes: Vec<Change> = gone.map(|row| Change::remove(&row.id)).collect();
    let mut after = None;
    for row in rows {
        match known.get(row.id.as_str()) {
            Some(before) if before.html == row.html => {}
            Some(_) => changes.push(Change::row(row, None, None)),
            None => changes.push(Change::row(row, Some(&new.id), after)),
        }
        if changes.len() > MOST {
            return vec![Change::whole(new)];
        }
        after = Some(&row.id);
    }
    changes
}

#[cfg(test)]
mod tests {
    use maud::{PreEscaped, html};

    use super::*;

    fn list(rows: &[(&str, &str)]) -> Vec<Region> {
        let rows = rows
            .iter()
            .map(|(id, html)| Row::new((*id).to_owned(), PreEscaped((*html).to_owned())));
        vec![Region::table_body("list", rows.collect())]
    }

    fn told(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<String> {
        between(&list(old), &list(new))
            .into_iter()
            .map(|change| format!("{} {}", change.event, change.data))
            .collect()
    }

    #[test]
    fn what_stays_is_not_told() {
        assert_eq!(
            told(&[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "2")]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn rows_come_change_and_go_one_by_one() {
        let changes = told(
            &[("a", "1"), ("b", "2"), ("c", "3")],
            &[("a", "1"), ("x", "9"), ("c", "4")],
        );
        assert_eq!(
            changes,
            [
                r#"remove {"target":"b"}"#,
                r#"html {"target":"x","html":"9","in":"list","after":"a"}"#,
                r#"html {"target":"c","html":"4"}"#,
            ]
        );
    }

    #[test]
    fn a_row_at_the_top_is_behind_nothing() {
        assert_eq!(
            told(&[("a", "1")], &[("x", "9"), ("a", "1")]),
            [r#"html {"target":"x","html":"9","in":"list"}"#]
        );
    }

    #[test]
    fn another_order_is_told_as_the_whole_list() {
        let changes = told(&[("a", "1"), ("b", "2")], &[("b", "2"), ("a", "1")]);
        assert_eq!(
            changes,
            [r#"html {"target":"list","html":"<tbody id=\"list\">21</tbody>"}"#]
        );
    }

    #[test]
    fn many_changes_are_told_as_the_whole_list() {
        let ids: Vec<String> = (0..100).map(|id| format!("r{id}")).collect();
        let rows =
            |html: &'static str| ids.iter().map(|id| (id.as_str(), html)).collect::<Vec<_>>();
        assert_eq!(told(&rows("1"), &rows("2")).len(), 1);
    }

    #[test]
    fn an_element_is_told_as_it_is_now() {
        let old = [Region::whole("head", html! { p #head { "1" } })];
        let new = [Region::whole("head", html! { p #head { "2" } })];
        let changes = between(&old, &new);
        assert_eq!(
            changes,
            [Change {
                event: "html",
                data: r#"{"target":"head","html":"<p id=\"head\">2</p>"}"#.into()
            }]
        );
    }
}
