//! What the compiler says of programs that people write first: a binary of its own, as it runs the compiler.
//!
//! Each program says in its first lines which sentences have to be among the compiler's.

use std::{env, fs, path::Path, process::Command};

const MANIFEST: &str = r#"
[package]
name = "programs"
edition = "2024"

[workspace]

[dependencies]
nexios = { path = PATH, default-features = false }
"#;

#[test]
fn what_does_not_compile_is_told_what_to_write() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(package.join("tests/diagnostics/programs")).unwrap();
    let programs: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(programs.len() >= 6, "{programs:?}");

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("diagnostics");
    let _ = fs::remove_dir_all(folder.join("src"));
    fs::create_dir_all(folder.join("src/bin")).unwrap();
    let path = format!("{:?}", package.display().to_string());
    fs::write(folder.join("Cargo.toml"), MANIFEST.replace("PATH", &path)).unwrap();
    // The versions that are there already; a package on its own has no such file, and takes what it finds.
    let _ = fs::copy(package.join("../../Cargo.lock"), folder.join("Cargo.lock"));

    for program in programs {
        let name = program.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&program).unwrap();
        fs::write(folder.join(format!("src/bin/{name}.rs")), &text).unwrap();
        let checked = Command::new(env::var_os("CARGO").unwrap())
            .args(["check", "--offline", "--quiet", "--bin", name])
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(!checked.status.success(), "{name} compiles");
        let sentences: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("//! says: "))
            .collect();
        assert!(!sentences.is_empty(), "{name} expects nothing");
        for sentence in sentences {
            assert!(
                said.contains(sentence),
                "{name} is not told {sentence:?}, but:\n{said}"
            );
        }
    }
}
