//! The folder of thumbnails on the disk.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use image::ImageFormat;
use newsroom::prepare;

use crate::{
    pictures::{encode, red_and_blue},
    service::{Service, empty},
    upload::{FORM, form, upload},
};

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A thumbnail that was stored so many seconds after 1970.
fn stored(folder: &Path, number: u64, bytes: u64) {
    let file = File::create(folder.join(format!("{number:032x}.jpg"))).unwrap();
    // It takes no room on the disk.
    file.set_len(bytes).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(number))
        .unwrap();
}

#[tokio::test]
async fn the_oldest_thumbnails_make_room_for_new_ones() {
    let service = Service::new();
    let folder = service.path("thumbnails");
    (0..10_000).for_each(|number| stored(&folder, number, 10));
    let answer = upload(&service, &encode(&red_and_blue(300, 300), ImageFormat::Png))
        .await
        .ok(200);
    service.get(answer["thumbnail_url"].as_str().unwrap()).await;
    let now = names(&folder);
    assert_eq!(now.len(), 10_000);
    assert_eq!(now[0], format!("{:032x}.jpg", 1), "the oldest is gone");
}

#[tokio::test]
async fn the_folder_is_bounded_in_bytes_as_well() {
    let service = Service::new();
    let folder = service.path("thumbnails");
    (0..3).for_each(|number| stored(&folder, number, 90_000_000));
    upload(&service, &encode(&red_and_blue(300, 300), ImageFormat::Png))
        .await
        .ok(200);
    let now = names(&folder);
    assert_eq!(now.len(), 3, "{now:?}");
    assert_eq!(now[0], format!("{:032x}.jpg", 1), "the oldest is gone");
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_is_removed_and_other_files_are_not() {
    let service = Service::new();
    for folder in ["thumbnails", "outbox"].map(|folder| service.path(folder)) {
        fs::write(folder.join(".partial-x1y2z3"), "half").unwrap();
        fs::write(folder.join("notes.txt"), "not one of ours").unwrap();
        prepare(&service.config).unwrap();
        assert_eq!(names(&folder), ["notes.txt"]);
    }
}

#[tokio::test]
async fn a_thumbnail_that_was_cut_off_with_the_machine_is_written_again() {
    let service = Service::new();
    let picture = encode(&red_and_blue(300, 300), ImageFormat::Png);
    let answer = upload(&service, &picture).await.ok(200);
    let url = answer["thumbnail_url"].as_str().unwrap();
    let path = service.path(url.trim_start_matches('/'));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, "").unwrap();
    upload(&service, &picture).await.ok(200);
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[tokio::test]
async fn a_folder_that_is_gone_is_500_and_leaves_nothing() {
    let service = Service::new();
    let folder = service.path("thumbnails");
    fs::remove_dir(&folder).unwrap();
    let picture = encode(&red_and_blue(300, 300), ImageFormat::Png);
    upload(&service, &picture).await.problem(500);
    fs::create_dir(&folder).unwrap();
    upload(&service, &picture).await.ok(200);
}

/// On a disk of one page, where a process may have one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_507_and_leaves_no_half_file() {
    let (config, folder) = empty();
    newsroom::prepare(&config).unwrap();
    let thumbnails = config.data.join("thumbnails");
    // A file tells when the folder is mounted; it is in the way of every thumbnail.
    let script =
        r#"mount -t tmpfs -o size=4k tmpfs "$0" && head -c 4096 /dev/zero >"$0/full" && exec "$@""#;
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(&thumbnails)
            .arg(program);
        command
    };
    if !unshare("true")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        println!("no mounts of one's own here");
        return;
    }
    let mut process = unshare(env!("CARGO_BIN_EXE_newsroom"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--accepting",
            "0",
            "--data",
            config.data.to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(process.stdout.as_mut().unwrap()),
        &mut line,
    )
    .unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let picture = form("image", &encode(&red_and_blue(300, 300), ImageFormat::Png));
    for _ in 0..3 {
        let request = client
            .post(format!("{url}/upload"))
            .header("content-type", FORM);
        let answer = request.body(picture.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 507);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    let inside = format!("/proc/{}/root{}", process.id(), thumbnails.display());
    assert_eq!(names(Path::new(&inside)), ["full"]);
    process.kill().unwrap();
    process.wait().unwrap();
    drop(folder);
}
