//! One folder, one service.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    process, thread,
    time::Duration,
};

use anyhow::{Context, bail};

const LOCK: &str = "newsroom.lock";
/// An owner that has only just locked may not have written its number yet.
const A_MOMENT: Duration = Duration::from_millis(50);

/// The data folder as long as this lives: two services would delete each other's half-made files.
/// Services that send newsletters together have a folder each, and share the jobs.
///
/// The lock goes with the process, however that ends; the file stays and means nothing.
#[derive(Debug)]
pub struct OwnFolder(#[expect(dead_code, reason = "held, not read")] File);

impl OwnFolder {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    ///
    /// Another process has it, named by its number, or it cannot be written.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("creating the folder {}", folder.display()))?;
        let path = folder.join(LOCK);
        let open = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let mut lock = open.with_context(|| format!("opening {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                thread::sleep(A_MOMENT);
                let mut owner = String::new();
                let named = lock.read_to_string(&mut owner).is_ok() && !owner.trim().is_empty();
                let owner = if named {
                    format!("process {}", owner.trim())
                } else {
                    "another process".to_owned()
                };
                let folder = folder.display();
                bail!(
                    "the data folder {folder} is in use by {owner}: stop that, or give this one a folder of its own \
                     with --data"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
        let mut write = || {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", process::id())
        };
        write().with_context(|| format!("writing {}", path.display()))?;
        Ok(OwnFolder(lock))
    }
}
