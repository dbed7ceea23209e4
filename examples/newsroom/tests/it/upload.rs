use std::time::Duration;

use image::{
    DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, codecs::jpeg::JpegEncoder,
    imageops::FilterType,
};
use image_compare::Algorithm;

use crate::{
    answer::Answer,
    pictures::{
        BLUE, RED, assert_color, colourful, encode, jpeg_for_printers, jpeg_in_scans, jpeg_turned,
        jpeg_with_preview, red_and_blue, red_and_nothing, scenery,
    },
    service::{Service, serve, url},
};

pub(crate) const FORM: &str = "multipart/form-data; boundary=frontier";
const MEGABYTE: usize = 1024 * 1024;

pub(crate) fn form(field: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--frontier\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"../../evil.jpg\"\r\n\
         Content-Type: image/jpeg\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--frontier--\r\n"].concat()
}

pub(crate) async fn upload(service: &Service, picture: &[u8]) -> Answer {
    service.post("/upload", FORM, form("image", picture)).await
}

/// Uploads a picture and gets its thumbnail.
pub(crate) async fn thumbnail(service: &Service, picture: &[u8]) -> RgbImage {
    let answer = upload(service, picture).await.ok(200);
    let jpeg = service.get(answer["thumbnail_url"].as_str().unwrap()).await;
    assert_eq!(jpeg.status, 200);
    assert_eq!(image::guess_format(&jpeg.body).unwrap(), ImageFormat::Jpeg);
    image::load_from_memory(&jpeg.body).unwrap().into_rgb8()
}

#[tokio::test]
async fn each_kind_of_picture_becomes_a_jpeg_that_fits_200_by_200() {
    let service = Service::new();
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let small = thumbnail(&service, &encode(&red_and_blue(800, 400), format)).await;
        assert_eq!(small.dimensions(), (200, 100), "{format:?}");
        assert_color(&small, (20, 50), RED);
        assert_color(&small, (180, 50), BLUE);
    }
    let tall = thumbnail(&service, &encode(&red_and_blue(300, 900), ImageFormat::Png)).await;
    assert_eq!(tall.dimensions(), (67, 200));
}

#[tokio::test]
async fn a_picture_is_turned_the_way_its_exif_says() {
    let service = Service::new();
    let picture = red_and_blue(400, 200);
    let upright = thumbnail(&service, &jpeg_turned(&picture, 1)).await;
    assert_eq!(upright.dimensions(), (200, 100));
    assert_color(&upright, (20, 50), RED);
    // 3: upside down, so red is on the right.
    let upside_down = thumbnail(&service, &jpeg_turned(&picture, 3)).await;
    assert_eq!(upside_down.dimensions(), (200, 100));
    assert_color(&upside_down, (180, 50), RED);
    // 6: to be turned clockwise by a quarter, so red is at the top.
    let portrait = thumbnail(&service, &jpeg_turned(&picture, 6)).await;
    assert_eq!(portrait.dimensions(), (100, 200));
    assert_color(&portrait, (50, 20), RED);
    assert_color(&portrait, (50, 180), BLUE);
}

#[tokio::test]
async fn what_is_transparent_becomes_white() {
    let service = Service::new();
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let small = thumbnail(&service, &encode(&red_and_nothing(400, 400), format)).await;
        assert_color(&small, (20, 100), RED);
        assert_color(&small, (180, 100), Rgb([255, 255, 255]));
    }
}

#[tokio::test]
async fn a_picture_that_is_small_already_keeps_its_size() {
    let small = thumbnail(
        &Service::new(),
        &encode(&red_and_blue(40, 30), ImageFormat::Png),
    )
    .await;
    assert_eq!(small.dimensions(), (40, 30));
}

#[tokio::test]
async fn the_name_is_made_from_the_content_and_never_the_clients() {
    let service = Service::new();
    let picture = encode(&red_and_blue(300, 300), ImageFormat::Png);
    let first = upload(&service, &picture).await.ok(200);
    let again = upload(&service, &picture).await.ok(200);
    let other = upload(&service, &encode(&red_and_blue(301, 200), ImageFormat::Png))
        .await
        .ok(200);
    assert_eq!(first, again);
    assert_ne!(first, other);
    let name = first["thumbnail_url"]
        .as_str()
        .unwrap()
        .strip_prefix("/thumbnails/")
        .unwrap();
    assert!(name.ends_with(".jpg") && !name.contains("evil"), "{name}");
    let files: Vec<_> = std::fs::read_dir(service.path("thumbnails"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.contains(&name.into()), "{files:?}");
}

#[tokio::test]
async fn a_thumbnail_is_served_as_a_jpeg_that_never_changes() {
    let service = Service::new();
    let answer = upload(
        &service,
        &encode(&red_and_blue(300, 300), ImageFormat::Jpeg),
    )
    .await
    .ok(200);
    let jpeg = service.get(answer["thumbnail_url"].as_str().unwrap()).await;
    assert_eq!(jpeg.header("content-type"), Some("image/jpeg"));
    assert_eq!(
        jpeg.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(jpeg.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder_of_thumbnails() {
    let service = Service::new();
    std::fs::write(service.path("thumbnails/notes.jpg"), "not one of ours").unwrap();
    for name in [
        "..%2Fnewsroom.db",
        "..%2F..%2F..%2Fetc%2Fpasswd",
        "%2e%2e%2freplica.db",
        "notes.jpg",
        "0123456789abcdef0123456789abcdef.jpg",
        "0123456789ABCDEF0123456789ABCDEF.jpg",
        "%00.jpg",
    ] {
        service
            .get(&format!("/thumbnails/{name}"))
            .await
            .problem(404);
    }
    service.get("/thumbnails/%ff").await.problem(400);
}

#[tokio::test]
async fn a_body_of_more_than_20_mb_is_413() {
    let service = Service::new();
    upload(&service, &vec![0; 21 * MEGABYTE]).await.problem(413);
    // Also when the picture itself is small.
    let picture = encode(&red_and_blue(300, 300), ImageFormat::Png);
    let first = form("image", &picture);
    let first = first.strip_suffix(b"--frontier--\r\n").unwrap();
    let two_fields = [first, &form("more", &vec![0; 21 * MEGABYTE])].concat();
    service.post("/upload", FORM, two_fields).await.problem(413);
}

#[tokio::test]
async fn a_body_of_less_than_20_mb_is_read() {
    // It is no picture, so it was read and looked at.
    upload(&Service::new(), &vec![0; 19 * MEGABYTE])
        .await
        .problem(415);
}

/// A client that is still sending must see the answer and not a broken connection.
#[tokio::test]
async fn a_client_on_a_real_socket_sees_the_413() {
    let service = Service::new();
    let address = serve(service.app.clone()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(url(address).join("upload").unwrap())
        .header("content-type", FORM);
    let answer = request
        .body(form("image", &vec![0; 40 * MEGABYTE]))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn more_than_50_megapixels_are_422_and_never_decoded() {
    let service = Service::new();
    let large = encode(
        &DynamicImage::ImageLuma8(GrayImage::new(10_000, 5_001)),
        ImageFormat::Png,
    );
    let problem = upload(&service, &large).await.problem(422);
    assert!(
        problem["detail"].as_str().unwrap().contains("10000x5001"),
        "{problem}"
    );
    // The header alone decides: the rest of the picture is not even there.
    let header_only = &large[..large.len() / 2];
    assert_eq!(
        upload(&service, header_only).await.problem(422)["detail"],
        problem["detail"]
    );
}

#[tokio::test]
async fn what_is_not_a_picture_is_415() {
    let service = Service::new();
    let gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00";
    for content in [
        &b"just a text"[..],
        b"",
        gif,
        b"%PDF-1.7",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ] {
        upload(&service, content).await.problem(415);
    }
}

#[tokio::test]
async fn a_damaged_picture_is_422() {
    let service = Service::new();
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let whole = encode(&red_and_blue(300, 300), format);
        let answer = upload(&service, &whole[..60]).await;
        assert_eq!(answer.status, 422, "{format:?}");
        answer.problem(422);
    }
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let whole = encode(&colourful(300, 300), format);
        let answer = upload(&service, &whole[..whole.len() / 2]).await;
        assert_eq!(answer.status, 422, "{format:?}");
    }
}

/// The bytes of an end marker do not make an end: a preview within the picture has some too.
#[tokio::test]
async fn a_jpeg_that_is_cut_off_behind_its_preview_is_422() {
    let service = Service::new();
    let whole = jpeg_with_preview(&colourful(300, 300));
    upload(&service, &whole).await.ok(200);
    upload(&service, &whole[..whole.len() / 2])
        .await
        .problem(422);
}

/// As browsers show it: all pixels are there. A few bytes more, and some are not.
#[tokio::test]
async fn a_jpeg_that_lacks_only_its_end_marker_is_a_picture() {
    let service = Service::new();
    let whole = jpeg_with_preview(&colourful(300, 300));
    let picture = thumbnail(&service, &whole).await;
    for missing in [1, 2] {
        let cut = &whole[..whole.len() - missing];
        assert_eq!(thumbnail(&service, cut).await, picture);
    }
    for missing in [20, 200] {
        let cut = &whole[..whole.len() - missing];
        let problem = upload(&service, cut).await.problem(422);
        assert_eq!(problem["detail"], "The picture is cut off before its end.");
    }
}

/// So it is with one that is not decoded as a whole.
#[tokio::test]
async fn a_large_jpeg_that_is_cut_off_is_422_unless_it_lacks_only_its_end_marker() {
    let service = Service::new();
    let whole = encode(&scenery(2_400, 1_600), ImageFormat::Jpeg);
    let picture = thumbnail(&service, &whole).await;
    let cut = &whole[..whole.len() - 2];
    assert_eq!(thumbnail(&service, cut).await, picture);
    for left in [whole.len() - 200, whole.len() / 2] {
        let problem = upload(&service, &whole[..left]).await.problem(422);
        assert_eq!(problem["detail"], "The picture is cut off before its end.");
    }
}

/// How alike a thumbnail is to one of a slower hand, both as JPEG, which takes away some of either. The measure is that of
/// Wang et al. (2004), where one is the same picture.
fn likeness(ours: &RgbImage, picture: &DynamicImage) -> f64 {
    let slow = picture.resize(200, 200, FilterType::Lanczos3).into_rgb8();
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, 85);
    slow.write_with_encoder(encoder).unwrap();
    let slow = image::load_from_memory(&jpeg).unwrap().into_rgb8();
    let alike = image_compare::rgb_similarity_structure(&Algorithm::MSSIMSimple, ours, &slow);
    alike.unwrap().score
}

#[tokio::test]
async fn a_thumbnail_is_like_one_of_a_slower_hand() {
    let service = Service::new();
    let picture = scenery(1_200, 800);
    let ours = thumbnail(&service, &encode(&picture, ImageFormat::Png)).await;
    let alike = likeness(&ours, &picture);
    assert!(alike >= 0.98, "{alike}");
}

/// A JPEG is not decoded as a whole; against one that is.
#[tokio::test]
async fn a_thumbnail_of_a_jpeg_of_any_kind_is_like_one_of_the_whole_picture() {
    let service = Service::new();
    let picture = scenery(2_401, 1_599);
    let gray = DynamicImage::from(picture.to_luma8());
    for (kind, jpeg) in [
        ("colours", encode(&picture, ImageFormat::Jpeg)),
        ("greys", encode(&gray, ImageFormat::Jpeg)),
        ("fewer colours, in several scans", jpeg_in_scans(&picture)),
        ("colours for printers", jpeg_for_printers(&picture)),
    ] {
        let whole = image::load_from_memory(&jpeg).unwrap();
        let ours = thumbnail(&service, &jpeg).await;
        assert_eq!(ours.dimensions(), (200, 133), "{kind}");
        let alike = likeness(&ours, &whole);
        assert!(alike >= 0.98, "{kind}: {alike}");
    }
}

#[tokio::test]
async fn what_a_camera_appends_behind_a_jpeg_does_no_harm() {
    let service = Service::new();
    let jpeg = encode(&colourful(300, 300), ImageFormat::Jpeg);
    upload(&service, &[&jpeg[..], b"and a film"].concat())
        .await
        .ok(200);
}

#[tokio::test]
async fn a_form_without_the_field_is_400() {
    let service = Service::new();
    let picture = encode(&red_and_blue(30, 30), ImageFormat::Png);
    service
        .post("/upload", FORM, form("picture", &picture))
        .await
        .problem(400);
    service
        .post("/upload", FORM, "--frontier--\r\n")
        .await
        .problem(400);
}

#[tokio::test]
async fn a_broken_form_or_none_is_400() {
    let service = Service::new();
    let whole = form("image", b"cut off");
    service
        .post("/upload", FORM, whole[..whole.len() - 10].to_vec())
        .await
        .problem(400);
    service
        .post("/upload", "application/json", "{}")
        .await
        .problem(400);
    service
        .post("/upload", "multipart/form-data", "x")
        .await
        .problem(400);
}

#[tokio::test]
async fn many_uploads_at_once_are_all_served_in_the_end() {
    let service = Service::new();
    let picture = encode(&red_and_blue(300, 300), ImageFormat::Png);
    let group = nexios::TaskGroup::<std::io::Error>::new();
    let served = group.map(0..48, |_| async {
        // On a slow machine some are told to come again.
        while upload(&service, &picture).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    });
    served.await.unwrap();
}

/// What a browser sends when nobody has chosen a file.
#[tokio::test]
async fn a_form_without_a_file_says_so() {
    let service = Service::new();
    let form = "--frontier\r\nContent-Disposition: form-data; name=\"image\"; filename=\"\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n\r\n--frontier--\r\n";
    let problem = service.post("/upload", FORM, form).await.problem(400);
    assert_eq!(problem["detail"], "No picture was chosen.");
    // A file that has nothing in it is another thing.
    assert_eq!(
        upload(&service, b"").await.problem(415)["detail"],
        "The file is empty."
    );
}
