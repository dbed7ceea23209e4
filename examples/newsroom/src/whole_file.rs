//! Files that are there whole or not at all.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// What a file that is not complete is called at its beginning.
const PARTIAL: &str = ".partial-";

/// Writes a file: it gets its name when it is complete, and what is not is removed. Until then it is in `folder`, on
/// the same disk.
pub(crate) fn write(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut partial = NamedTempFile::with_prefix_in(PARTIAL, folder)?;
    partial.write_all(content)?;
    partial.persist(path)?;
    Ok(())
}

/// Removes what a process that was killed left half-written, from a folder that nobody writes to.
pub(crate) fn remove_partial(folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}
