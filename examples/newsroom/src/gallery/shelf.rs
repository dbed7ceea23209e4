//! Which thumbnails there are, oldest first, and which have to go.

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    path::Path,
    time::SystemTime,
};

use super::is_content_name;

/// The most thumbnails in the folder.
const MOST_FILES: usize = 10_000;
/// The most bytes in the folder; a thumbnail has 10 kB or so.
const MOST_BYTES: u64 = 200_000_000;

/// The thumbnails of a folder.
pub(super) struct Shelf {
    /// Oldest first.
    names: VecDeque<String>,
    sizes: HashMap<String, u64>,
    bytes: u64,
}

impl Shelf {
    /// Looks up what is in a folder that nobody writes to.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for file in fs::read_dir(folder)? {
            let file = file?;
            let Ok(name) = file.file_name().into_string() else {
                continue;
            };
            if is_content_name(&name) {
                let metadata = file.metadata()?;
                let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((written, name, metadata.len()));
            }
        }
        files.sort_unstable();
        let mut shelf = Shelf {
            names: VecDeque::new(),
            sizes: HashMap::new(),
            bytes: 0,
        };
        for (_, name, size) in files {
            shelf.add(name, size);
        }
        Ok(shelf)
    }

    /// Adds a thumbnail, or makes it the newest, and returns those that have to go for it.
    pub(super) fn put(&mut self, name: String, size: u64) -> Vec<String> {
        self.add(name, size);
        let mut gone = Vec::new();
        while self.names.len() > MOST_FILES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.names.pop_front() else {
                break;
            };
            self.bytes -= self.sizes.remove(&oldest).unwrap_or_default();
            gone.push(oldest);
        }
        gone
    }

    fn add(&mut self, name: String, size: u64) {
        if let Some(before) = self.sizes.insert(name.clone(), size) {
            self.bytes -= before;
            self.names.retain(|other| *other != name);
        }
        self.names.push_back(name);
        self.bytes += size;
    }
}
