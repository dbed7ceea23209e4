//! The console in the service; what it shows is tested where it is made.

use axum::{body::Body, http::Request};
use image::ImageFormat;
use newsroom::ConsoleAccess;
use serde_json::Value;

use crate::{
    answer::Answer,
    mail_server::{MailServer, Reply, Stage},
    newsletter::send,
    pictures::{encode, red_and_blue},
    service::{Service, eventually},
    upload::upload,
};

async fn ask(service: &Service, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.send(request.body(Body::empty()).unwrap()).await
}

const HERE: (&str, &str) = ("host", "localhost:8080");

#[tokio::test]
async fn it_is_at_nexios_with_and_without_a_slash_and_on_the_first_page() {
    let service = Service::new();
    let page = ask(&service, "/nexios", &[HERE]).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("data-field=\"service\">newsroom<"));
    let slash = ask(&service, "/nexios/", &[HERE]).await;
    assert_eq!(
        (slash.status.as_u16(), slash.header("location")),
        (307, Some("../nexios"))
    );
    assert_eq!(ask(&service, "/nexios/metrics", &[HERE]).await.status, 200);
    let first = service.get("/").await.text();
    assert!(first.contains("href=\"/nexios\""), "{first}");
}

#[tokio::test]
async fn switched_off_there_is_none_and_no_link_to_it() {
    let service = Service::with(|config| config.console = ConsoleAccess::Off);
    ask(&service, "/nexios", &[HERE]).await.problem(404);
    assert!(!service.get("/").await.text().contains("/nexios"));
}

#[tokio::test]
async fn by_default_it_is_for_this_machine() {
    let service = Service::with(|config| config.listen = "0.0.0.0:8080".to_owned());
    let elsewhere = [("host", "newsroom.example")];
    assert_eq!(ask(&service, "/nexios", &elsewhere).await.status, 403);
    let through_a_proxy = [HERE, ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(ask(&service, "/nexios", &through_a_proxy).await.status, 403);
}

#[tokio::test]
async fn with_a_password_the_user_is_newsroom() {
    let service = Service::with(|config| config.console = ConsoleAccess::Basic("letmein".into()));
    // newsroom:letmein, and ada:letmein
    let right = ("authorization", "Basic bmV3c3Jvb206bGV0bWVpbg==");
    let wrong = ("authorization", "Basic YWRhOmxldG1laW4=");
    assert_eq!(ask(&service, "/nexios", &[HERE]).await.status, 401);
    assert_eq!(ask(&service, "/nexios", &[HERE, wrong]).await.status, 401);
    assert_eq!(ask(&service, "/nexios", &[HERE, right]).await.status, 200);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_it() {
    let service = Service::new();
    let action = Request::post("/nexios/actions/cancel/1")
        .header("host", "localhost:8080")
        .header("sec-fetch-site", "cross-site");
    let answer = service.send(action.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn races_hedges_pools_and_lazy_values_are_there_by_name() {
    let service = Service::new();
    let picture = encode(&red_and_blue(40, 20), ImageFormat::Png);
    upload(&service, &picture).await.ok(200);
    service.get("/analytics/daily").await.ok(200);
    service
        .get("/search?q=rust&primary=fail&scan=fail")
        .await
        .ok(200);
    for (page, names) in [
        ("races", &["search", "replica reads"][..]),
        ("pools", &["thumbnails", "files", "analytics"]),
        ("lazies", &["daily totals"]),
    ] {
        let uri = format!("/nexios/api/v1/{page}");
        // What has ended is counted a moment later.
        eventually(async || {
            let shown: Value = ask(&service, &uri, &[HERE]).await.ok(200);
            let shown = shown[page].as_array().unwrap();
            let is_there = |name: &&str| shown.iter().any(|thing| thing["name"] == **name);
            names.iter().all(is_there).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_newsletter_is_a_background_task_with_how_far_it_is_and_is_counted() {
    let server = MailServer::that(|stage, address| match stage {
        Stage::Text if address.contains(".3@") => Reply::Nothing,
        _ => Reply::Fine,
    })
    .await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    send(&service, "seen").await;
    let shown = eventually(async || {
        let shown: Value = ask(&service, "/nexios/api/v1/background", &[HERE])
            .await
            .ok(200);
        let mut tasks = shown["tasks"].as_array().unwrap().iter();
        // Others send newsletters too: the console sees all of this process.
        let is_ours = |task: &&Value| {
            task["name"] == "send newsletter"
                && task["progress"]["message"] == "2 sent, 0 failed, 1 on its way"
        };
        tasks.find(is_ours).cloned()
    })
    .await;
    assert_eq!(
        (&shown["owner"], &shown["state"], &shown["attempt"]),
        (&"jobs".into(), &"running".into(), &1.into()),
        "{shown}"
    );
    assert_eq!(
        (&shown["progress"]["done"], &shown["progress"]["total"]),
        (&2.into(), &12.into()),
        "{shown}"
    );
    let metrics = ask(&service, "/nexios/metrics", &[HERE]).await.text();
    let is_counted = |line: &str| {
        line.starts_with("nexios_background_active")
            && line.contains("send newsletter")
            && !line.ends_with(" 0")
    };
    assert!(metrics.lines().any(is_counted), "{metrics}");
}
