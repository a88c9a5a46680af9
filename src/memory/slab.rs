//! The file that scratch lies in: without a name, and opened for direct I/O too where that works.

use freeboard_formats::wait::wait;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// The file, and the same one opened for direct I/O where that works.
#[derive(Debug)]
pub(super) struct Slab {
    pub(super) file: File,
    pub(super) direct: Option<File>,
    /// Set when the file system opened the file for direct I/O and then refused it.
    pub(super) refused: AtomicBool,
}

impl Slab {
    /// A new slab in `dir`.
    pub(super) fn create(dir: &Path) -> io::Result<Slab> {
        let file = create(dir)?;
        let direct = open_direct(&file);
        tracing::debug!(dir = %dir.display(), direct = direct.is_some(), "created scratch");
        Ok(Slab { file, direct, refused: AtomicBool::new(false) })
    }

    /// Runs `io` on the descriptor for direct I/O if `aligned` allows it, telling it so; then,
    /// or where that is refused, on the ordinary one, from the start.
    pub(super) fn transfer(
        &self,
        aligned: bool,
        mut io: impl FnMut(&File, bool) -> io::Result<()>,
    ) -> io::Result<()> {
        let direct = self.direct.as_ref().filter(|_| aligned && !self.refused.load(Relaxed));
        let mut io = |file: &File, direct| wait(|| io(file, direct));
        match direct.map(|file| io(file, true)) {
            // Also what is said to the rest of a transfer that was cut short at an odd place.
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                let result = io(&self.file, false);
                if result.is_ok() {
                    self.refused.store(true, Relaxed);
                }
                result
            }
            Some(done) => done,
            None => io(&self.file, false),
        }
    }
}

/// Fills `out` as far as the file goes, and at least its first `len` bytes.
pub(super) fn read_at_least(
    file: &File,
    out: &mut [u8],
    len: usize,
    offset: u64,
) -> io::Result<()> {
    let mut got = 0;
    while got < len {
        match file.read_at(&mut out[got..], offset + got as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A new file in `dir` that has no name.
pub(super) fn create(dir: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::OFlags;
        let nameless = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlags::TMPFILE.bits() as i32)
            .open(dir);
        // File systems without nameless files say EOPNOTSUPP or EISDIR; whatever it was, the
        // attempt by name says what is wrong with the folder.
        if nameless.is_ok() {
            return nameless;
        }
    }
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Relaxed);
        let path = dir.join(format!(".freeboard-{}-{number}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return std::fs::remove_file(&path).map(|()| file),
            // Of another host that shares the folder: take the next name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same file, opened again for direct I/O: a descriptor's own flag would hold for buffered
/// transfers, too.
fn open_direct(file: &File) -> Option<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::OFlags;
        use std::os::fd::AsRawFd;
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::DIRECT.bits() as i32)
            .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        None
    }
}
