//! Pictures that are small to send and large to decode.

use std::{io::Write, time::Duration};

use flate2::{Compression, Crc, write::ZlibEncoder};
use futures_util::future::join_all;
use image::{DynamicImage, ImageBuffer, ImageFormat, LumaA, Rgb, Rgba};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::{
    binary::{Running, start},
    pictures::{colourful, encode, red_and_blue},
    service::Service,
    upload::{FORM, form, thumbnail, upload},
};

const GRAY: u8 = 0;
const RGB: u8 = 2;
const RGBA: u8 = 6;

/// A PNG of nothing but zeros, with chunks ahead of its pixels.
fn black_png(width: u32, height: u32, depth: u8, color: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let channels = match color {
        GRAY => 1,
        RGB => 3,
        _ => 4,
    };
    let row = 1 + usize::try_from(width).unwrap() * channels * usize::from(depth) / 8;
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[depth, color, 0, 0, 0],
    ]
    .concat();
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunks.concat(),
        chunk(b"IDAT", &zeros(row * usize::try_from(height).unwrap())),
        chunk(b"IEND", b""),
    ]
    .concat()
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut sum = Crc::new();
    sum.update(name);
    sum.update(content);
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[..], name, content, &sum.sum().to_be_bytes()].concat()
}

/// So many zeros, compressed.
fn zeros(count: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    for begin in (0..count).step_by(1 << 20) {
        encoder
            .write_all(&vec![0; (count - begin).min(1 << 20)])
            .unwrap();
    }
    encoder.finish().unwrap()
}

/// A colour profile of 400 MB in a picture of a few pixels.
fn profile_bomb() -> Vec<u8> {
    let profile = chunk(b"iCCP", &[&b"icc\0\0"[..], &zeros(400 << 20)].concat());
    black_png(10, 10, 8, RGB, &[profile])
}

/// A lossless WebP of 16 pixels with 65,536 sets of tables to decompress them by: 4 MB that become 1.3 GB.
fn tables_bomb() -> Vec<u8> {
    let number = |value: u32, bits: usize| {
        (0..bits)
            .map(move |bit| value >> bit & 1 == 1)
            .collect::<Vec<_>>()
    };
    let only = |symbol| [number(0b101, 3), number(symbol, 8)].concat();
    // A table for codes of 1 to 10 bits: how long the codes of these lengths are, and the lengths.
    let order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10];
    let length_codes = order.iter().flat_map(|length| {
        number(
            match length {
                5..=10 => 3,
                1..=4 => 4,
                _ => 0,
            },
            3,
        )
    });
    let mut table = number(10 << 1, 5);
    table.extend(length_codes);
    table.extend([number(0b0011, 4), number(9, 4)].concat());
    for length in [1_u32, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10] {
        let (code, bits) = if length >= 5 {
            (length - 5, 3)
        } else {
            (0b1100 + length - 1, 4)
        };
        table.extend((0..bits).rev().map(|bit| code >> bit & 1 == 1));
    }
    // The size, no transformations, and one pixel that says how many sets there are.
    let mut bits = [
        number(0x2f, 8),
        number(3, 14),
        number(3, 14),
        number(0, 6),
        number(1, 1),
    ]
    .concat();
    bits.extend(
        [
            number(0, 4),
            only(255),
            only(255),
            only(0),
            only(0),
            only(0),
        ]
        .concat(),
    );
    (0..65_536 * 5).for_each(|_| bits.extend(&table));
    bits.extend([false; 800]);
    let byte = |bits: &[bool]| {
        bits.iter()
            .rev()
            .fold(0, |byte, bit| byte << 1 | u8::from(*bit))
    };
    let mut coded: Vec<u8> = bits.chunks(8).map(byte).collect();
    coded.resize(coded.len().next_multiple_of(2), 0);
    let length = u32::try_from(coded.len()).unwrap();
    [
        &b"RIFF"[..],
        &(length + 12).to_le_bytes(),
        b"WEBPVP8L",
        &length.to_le_bytes(),
        &coded,
    ]
    .concat()
}

async fn send(client: &Client, running: &Running, picture: &[u8]) -> (StatusCode, Value) {
    let request = client
        .post(running.url.join("upload").unwrap())
        .header("content-type", FORM);
    let answer = request.body(form("image", picture)).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The most memory that the process ever had, in megabytes.
fn peak(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1_000
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_take_no_memory_and_leave_honest_uploads_alone() {
    let running = start(&[]);
    let client = Client::builder().no_proxy().build().unwrap();
    let honest = encode(&red_and_blue(300, 300), ImageFormat::Png);
    let bombs = [
        ("wide", black_png(50_000_000, 1, 8, GRAY, &[])),
        ("tall", black_png(1, 25_000_000, 8, GRAY, &[])),
        ("deep", black_png(7_000, 7_000, 16, RGBA, &[])),
        ("profile", profile_bomb()),
        ("tables", tables_bomb()),
    ];
    for (name, bomb) in &bombs {
        assert!(
            bomb.len() < 5_000_000,
            "{name} is small to send: {}",
            bomb.len()
        );
        let sent = join_all((0..6).map(|_| send(&client, &running, bomb)));
        let others = async {
            for _ in 0..5 {
                assert_eq!(
                    send(&client, &running, &honest).await.0,
                    200,
                    "beside {name}"
                );
            }
        };
        let (answers, ()) = tokio::join!(sent, others);
        for (status, answer) in answers {
            // Who only has an odd profile gets a thumbnail without it.
            let wanted = if *name == "profile" { 200 } else { 422 };
            assert_eq!(status, wanted, "{name}: {answer}");
        }
    }
    let peak = peak(&running);
    assert!(peak < 150, "{peak} MB");
    running.stop("TERM").await;
}

/// As large as pictures may be: they are decoded, one after the other, and small ones need not wait for them.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_pictures_go_one_by_one_and_small_ones_pass_them() {
    let running = start(&[]);
    let client = Client::builder().no_proxy().build().unwrap();
    let largest = black_png(7_000, 7_000, 8, RGB, &[]);
    let honest = encode(&red_and_blue(300, 300), ImageFormat::Png);
    let sent = join_all((0..6).map(|_| send(&client, &running, &largest)));
    let others = async {
        for _ in 0..10 {
            assert_eq!(send(&client, &running, &honest).await.0, 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (answers, ()) = tokio::join!(sent, others);
    assert!(
        answers
            .iter()
            .all(|(status, _)| *status == 200 || *status == 503),
        "{answers:?}"
    );
    assert!(
        answers.iter().any(|(status, _)| *status == 200),
        "{answers:?}"
    );
    let peak = peak(&running);
    assert!(
        peak < 300,
        "one takes 150 MB, so this is more than one: {peak} MB"
    );
    running.stop("TERM").await;
}

#[tokio::test]
async fn a_side_of_more_than_30_000_pixels_is_422() {
    let service = Service::new();
    for (width, height) in [(30_001, 1), (1, 30_001)] {
        let problem = upload(&service, &black_png(width, height, 8, GRAY, &[]))
            .await
            .problem(422);
        assert!(
            problem["detail"].as_str().unwrap().contains("30,000"),
            "{problem}"
        );
    }
    upload(&service, &black_png(30_000, 10, 8, GRAY, &[]))
        .await
        .ok(200);
}

/// What counts is what it takes to decode, and not the pixels alone.
#[tokio::test]
async fn a_picture_that_takes_too_much_memory_is_422_and_told_how_much() {
    let service = Service::new();
    // Only the header is looked at: the pixels are those of one row.
    let header_of = |width, height, depth, color| {
        let mut picture = black_png(width, 1, depth, color, &[]);
        let header = [
            &picture[16..20],
            &u32::to_be_bytes(height),
            &picture[24..29],
        ]
        .concat();
        picture.splice(8..33, chunk(b"IHDR", &header));
        picture
    };
    let problem = upload(&service, &header_of(7_000, 7_000, 16, RGBA))
        .await
        .problem(422);
    assert!(
        problem["detail"].as_str().unwrap().contains("392 MB"),
        "{problem}"
    );
    // A JPEG in several scans is kept as coefficients until the last one: here nine bytes a pixel.
    let mut jpeg = encode(&colourful(16, 16), ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 1] = 0xc2;
    jpeg[frame + 5..frame + 9]
        .copy_from_slice(&[&6_000_u16.to_be_bytes()[..], &7_000_u16.to_be_bytes()].concat());
    let problem = upload(&service, &jpeg).await.problem(422);
    assert!(
        problem["detail"].as_str().unwrap().contains("MB to decode"),
        "{problem}"
    );
    assert!(
        problem["detail"].as_str().unwrap().contains("7000x6000"),
        "{problem}"
    );
}

/// As much as the tables of a picture could take.
#[tokio::test]
async fn a_large_lossless_webp_is_422_and_told_what_to_do() {
    let service = Service::new();
    upload(&service, &encode(&colourful(400, 400), ImageFormat::WebP))
        .await
        .ok(200);
    let problem = upload(&service, &encode(&colourful(600, 600), ImageFormat::WebP))
        .await
        .problem(422);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("kB that are compressed without loss"),
        "{problem}"
    );
}

/// Each scan is a pass over all pixels, and has next to no bytes.
#[tokio::test]
async fn a_jpeg_of_many_scans_is_422_and_not_decoded() {
    let service = Service::new();
    let jpeg = encode(&red_and_blue(64, 64), ImageFormat::Jpeg);
    let scan = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xda])
        .unwrap();
    let (head, scan) = jpeg[..jpeg.len() - 2].split_at(scan);
    let many = [head, &scan.repeat(33), b"\xff\xd9"].concat();
    let problem = upload(&service, &many).await.problem(422);
    assert!(
        problem["detail"].as_str().unwrap().contains("scans"),
        "{problem}"
    );
}

/// The header that was believed is not the one that the decoder sees.
#[tokio::test]
async fn a_picture_that_says_two_things_is_422() {
    let service = Service::new();
    let webp = encode(&colourful(300, 300), ImageFormat::WebP);
    let canvas = [&b"VP8X\x0a\0\0\0\0\0\0\0"[..], &[9, 0, 0, 9, 0, 0]].concat();
    let length = u32::try_from(webp.len() - 8 + canvas.len())
        .unwrap()
        .to_le_bytes();
    let lying = [&b"RIFF"[..], &length, b"WEBP", &canvas, &webp[12..]].concat();
    upload(&service, &lying).await.problem(422);
    let mut png = black_png(10, 10, 8, RGB, &[]);
    let second = black_png(6_000, 6_000, 8, RGB, &[])[8..33].to_vec();
    png.splice(33..33, second);
    upload(&service, &png).await.problem(422);
}

#[tokio::test]
async fn deep_colours_and_greys_become_thumbnails_on_white_as_well() {
    let service = Service::new();
    let left = |x: u32| x < 200;
    let deep = ImageBuffer::from_fn(400, 400, |x, _| {
        if left(x) {
            Rgba([60_000_u16, 5_000, 5_000, u16::MAX])
        } else {
            Rgba([0, 0, 0, 0])
        }
    });
    let small = thumbnail(
        &service,
        &encode(&DynamicImage::ImageRgba16(deep), ImageFormat::Png),
    )
    .await;
    crate::pictures::assert_color(&small, (20, 100), Rgb([233, 19, 19]));
    crate::pictures::assert_color(&small, (180, 100), Rgb([255, 255, 255]));
    let grey = ImageBuffer::from_fn(400, 400, |x, _| {
        if left(x) {
            LumaA([90_u8, 255])
        } else {
            LumaA([0, 128])
        }
    });
    let small = thumbnail(
        &service,
        &encode(&DynamicImage::ImageLumaA8(grey), ImageFormat::Png),
    )
    .await;
    crate::pictures::assert_color(&small, (20, 100), Rgb([90, 90, 90]));
    crate::pictures::assert_color(&small, (180, 100), Rgb([127, 127, 127]));
}
