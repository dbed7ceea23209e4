//! The OpenAPI document against the answers.

use std::collections::BTreeSet;

use nexios::{Drain, LazyState, ThreadPool};
use nexios_jobs::{JobContext, JobError, JobState, Jobs, Kind, Policy};

use super::*;
use crate::{
    api::schema::document,
    model::{Answer, Hedges, Lazies, Lazy, LazyError, OneHedge, Race, RaceKind, Races, State},
};

/// What is wrong with a value by a schema; the parts of JSON Schema that the document uses.
fn faults(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#'));
        return match schema {
            Some(schema) => faults(document, schema, value, place, found),
            None => found.push(format!("{place}: no {reference}")),
        };
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema[choice].as_array() {
            let fits = |schema: &&Value| {
                let mut found = Vec::new();
                faults(document, schema, value, place, &mut found);
                found.is_empty()
            };
            if schemas.iter().filter(fits).count() != 1 {
                found.push(format!("{place}: none or several of {choice}: {value}"));
            }
            return;
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let fits = kinds.iter().any(|kind| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        _ => false,
    });
    if !fits {
        found.push(format!("{place}: {value} is not {kinds:?}"));
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|values| !values.contains(value))
    {
        found.push(format!("{place}: {value} is not listed"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{place}: {value} is another"));
    }
    if schema["minimum"].as_u64() > value.as_u64() && value.is_number() {
        found.push(format!("{place}: {value} is too small"));
    }
    for (position, item) in value.as_array().into_iter().flatten().enumerate() {
        let schema = if schema.get("prefixItems").is_some() {
            &schema["prefixItems"][position]
        } else {
            &schema["items"]
        };
        faults(
            document,
            schema,
            item,
            &format!("{place}[{position}]"),
            found,
        );
    }
    let Some(fields) = value.as_object() else {
        return;
    };
    for required in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !fields.contains_key(required) {
            found.push(format!("{place}.{required}: is missing"));
        }
    }
    for (name, field) in fields {
        let place = format!("{place}.{name}");
        match (
            schema["properties"].get(name),
            &schema["additionalProperties"],
        ) {
            (Some(schema), _) => faults(document, schema, field, &place, found),
            (None, Value::Bool(false)) => found.push(format!("{place}: is not documented")),
            (None, schema @ Value::Object(_)) => faults(document, schema, field, &place, found),
            _ => {}
        }
    }
}

/// One that will be tried again, and one that went well.
async fn jobs() -> Arc<JobsSource> {
    let jobs = Jobs::memory();
    let work = |number: u64, job: JobContext| async move {
        job.progress(1, 2);
        job.message("secret");
        match number {
            1 => Ok("secret".to_owned()),
            _ => Err(JobError::retry_in(Duration::from_secs(3600), "secret")),
        }
    };
    let kind = Kind::new("described");
    let workers = jobs.workers().handle(kind, Policy::new(), work);
    let workers = workers.start().await.expect("a store in memory");
    for (number, state) in [(1, JobState::Completed), (2, JobState::Retrying)] {
        let job = jobs.task(kind).unique("secret").enqueue(&number).await;
        let job = job.expect("a store in memory");
        let is_there = async || {
            let info = job.status().await.expect("a store in memory");
            info.is_some_and(|info| info.state == state)
        };
        while !is_there().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let now = Drain {
        wait: Duration::ZERO,
        cancel: Duration::ZERO,
    };
    workers.drain(now).await;
    let source = Arc::<JobsSource>::default();
    source.show(jobs);
    source
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_as_the_document_says_and_has_every_field_of_it() {
    let pool = ThreadPool::builder().threads(1).name("described").build();
    pool.run(|| ()).await.expect("a job");

    let (feed, request) = busy().await;
    feed.store.updated(
        feed.started(WorkKind::Child, "slow", None),
        &Update::SlowPoll(Duration::from_secs(1)),
    );
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let expected = [
        "/background",
        "/lazies",
        "/lints",
        "/openapi.json",
        "/pools",
        "/races",
        "/requests",
        "/requests/{id}",
        "/requests/{id}/trace.json",
        "/running",
        "/status",
    ];
    assert_eq!(
        paths.keys().collect::<BTreeSet<_>>(),
        expected
            .iter()
            .map(|path| path.to_string())
            .collect::<Vec<_>>()
            .iter()
            .collect()
    );
    let cell = "/requests?route=GET%20/search&bucket=failed".to_owned();
    for path in paths.keys().cloned().chain([cell]) {
        let documented = path.split('?').next().unwrap_or_default();
        let answers = &paths[documented]["get"]["responses"];
        let asked = ask(
            &feed,
            &path.replace("{id}", &request.to_string()),
            Access::Act,
        )
        .await;
        assert_eq!(asked.status, StatusCode::OK, "{path}");
        let mut found = Vec::new();
        let schema = &answers["200"]["content"]["application/json"]["schema"];
        faults(&document, schema, &asked.json, &path, &mut found);
        assert_eq!(found, Vec::<String>::new(), "{path}: {}", asked.json);
        for list in [
            "work",
            "routes",
            "samples",
            "spans",
            "pools",
            "tasks",
            "schedules",
            "races",
            "lints",
        ] {
            let empty = asked.json[list].as_array().is_some_and(Vec::is_empty);
            assert!(
                !empty,
                "{path}: nothing in {list} to hold the document against"
            );
        }
        if let Some(problem) = answers.get("404") {
            let missing = ask(&feed, &path.replace("{id}", "9999"), Access::Act).await;
            let schema = &problem["content"]["application/problem+json"]["schema"];
            faults(&document, schema, &missing.json, &path, &mut found);
            assert_eq!(
                (missing.status, found),
                (StatusCode::NOT_FOUND, Vec::new()),
                "{path}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_are_as_the_document_says_and_hide_what_users_typed() {
    let (feed, jobs) = (Arc::new(Feed::new(8 << 20)), jobs().await);
    let document = document();
    let schema = &document["components"]["schemas"]["Background"];
    for (access, seen) in [(Access::Act, "secret"), (Access::View, "•••")] {
        let request = Request::get("/background").body(Body::empty());
        let request = request.expect("a request");
        let asked = ask_about(&feed, jobs.clone(), request, access).await;
        let mut found = Vec::new();
        faults(&document, schema, &asked.json, "background", &mut found);
        assert_eq!(found, Vec::<String>::new(), "{}", asked.json);
        let list = asked.json["jobs"].as_array().expect("a list");
        let [retrying, completed] = &list[..] else {
            panic!("{list:?}");
        };
        assert_eq!(
            (&retrying["state"], &completed["state"]),
            (&"retrying".into(), &"completed".into())
        );
        for text in [
            &retrying["key"],
            &retrying["error"],
            &retrying["progress"]["message"],
            &retrying["attempts"][0]["error"],
            &completed["result"],
        ] {
            let shows = text.as_str().is_some_and(|text| text.contains(seen));
            assert!(shows, "{text}");
        }
        let tells = asked.json.to_string().contains("secret");
        assert_eq!(tells, access == Access::Act, "{}", asked.json);
    }
}

#[test]
fn lazy_values_and_hedges_are_as_the_document_says() {
    let last_error = Some(LazyError {
        state: State::TimedOut,
        ended_unix_ms: 1,
    });
    let lazy = Lazy {
        id: 1,
        name: "daily stats".into(),
        state: LazyState::Stale,
        is_map: true,
        age_ms: Some(1.5),
        fresh_for_ms: None,
        hits: 1,
        waits: 2,
        misses: 3,
        stale: 4,
        computations: 5,
        failures: 6,
        last_error,
    };
    let hedges = Some(Hedges {
        started: 1,
        won: 0,
        wasted: 1,
        suppressed: 2,
    });
    let race = Race {
        name: "replica reads".into(),
        kind: RaceKind::Hedge,
        calls: 1,
        wins: [("attempt 1".to_owned(), 1)].into(),
        lost_ms: 0.1,
        nobody: 0,
        each: vec![OneHedge {
            id: 3,
            hedges: hedges.clone().expect("some"),
        }],
        hedges,
    };
    let document = document();
    let mut found = Vec::new();
    let lazies = serde_json::to_value(Answer::new(1, Lazies { lazies: vec![lazy] })).expect("JSON");
    let races = serde_json::to_value(Answer::new(1, Races { races: vec![race] })).expect("JSON");
    faults(
        &document,
        &document["components"]["schemas"]["Lazies"],
        &lazies,
        "lazies",
        &mut found,
    );
    faults(
        &document,
        &document["components"]["schemas"]["Races"],
        &races,
        "races",
        &mut found,
    );
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_field_of_the_document_has_to_be_there() {
    let document = document();
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .expect("schemas")
    {
        let Some(fields) = schema["properties"]
            .as_object()
            .filter(|_| name != "Problem")
        else {
            continue;
        };
        let required: BTreeSet<_> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(
            fields.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            required,
            "{name}"
        );
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
}
