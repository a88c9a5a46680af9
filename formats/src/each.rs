//! One file for each chunk: names of a pattern, in a folder that appears as a whole.
//!
//! Owns names, folder and bookkeeping; a format's [`FrameWriter`] fills the files.

use crate::{
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    journal::ChunkSet,
    pattern::Pattern,
    source::{ChunkSink, Meta, ReadCx, Written},
    staging::{Mode, Staging},
    view::ChunkView,
};
use std::{
    fmt,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What fills one file with one frame.
pub(crate) trait FrameWriter: fmt::Debug + Send + Sync {
    /// Bytes of scratch that a frame takes.
    fn scratch(&self) -> u64;

    /// Fills an empty file, which can be read too; the bytes that were written. Errors do not
    /// name the file.
    fn write(&self, file: File, frame: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<u64>;
}

/// The folder and the names of the files that a pattern tells.
pub(crate) struct Names {
    folder: PathBuf,
    files: Pattern,
}

impl Names {
    /// The names that `path` stands for, if its last part has fields.
    pub(crate) fn of(path: &Path) -> Result<Option<Names>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !crate::pattern::is_pattern(name) {
            return Ok(None);
        }
        let refuse = |message: &str, help: &str| {
            Err(FormatError::new(ErrorKind::Invalid, message).at_path(path).help(help))
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        if folder.file_name().is_none() {
            let message = "files of a pattern get a folder of their own, and none is named";
            return refuse(message, &format!("for example out/{name}"));
        }
        if folder.to_str().is_some_and(crate::pattern::is_pattern) {
            return refuse("fields in the name of a folder", "all fields go into the files' names");
        }
        let files = Pattern::parse(name)?;
        if files.render(&vec![0; files.names().len()]).is_none() {
            return refuse("`*` and `?` in the name of an output", "name fields only");
        }
        Ok(Some(Names { folder: folder.to_owned(), files }))
    }

    /// The chunks: a file each.
    pub(crate) fn grid(&self, meta: &Meta, chunks: Option<&[u64]>) -> Result<Grid> {
        let fields = self.files.names().len();
        let message = match chunks {
            _ if fields > meta.grid.rank() => {
                format!("{fields} fields for an array of {} axes", meta.grid.rank())
            }
            Some(_) => "chunks where each file is one".to_owned(),
            None if !self.files.tells_apart(&meta.shape()) => {
                let message = "several files would have one name";
                return Err(FormatError::new(ErrorKind::Invalid, message).help(
                    "keep fields apart, as in {i}_{j}, or give them digits enough, as in {i:04d}",
                ));
            }
            None => {
                let axes =
                    meta.grid.axes().iter().enumerate().map(|(at, axis)| match at < fields {
                        true => AxisGrid::regular(axis.len(), 1),
                        false => AxisGrid::whole(axis.len()),
                    });
                return Ok(Grid::new(axes));
            }
        };
        Err(FormatError::new(ErrorKind::Invalid, message).help("each field is a leading axis"))
    }

    /// What each file holds, of an array like `meta`.
    pub(crate) fn frame(&self, meta: &Meta) -> Result<Meta> {
        if self.grid(meta, None)? != meta.grid {
            return Err(FormatError::new(ErrorKind::Invalid, "chunks that are no files"));
        }
        let fields = self.files.names().len();
        let mut frame = Meta::new(meta.dtype, Grid::whole(&meta.shape()[fields..]));
        frame.attributes = meta.attributes.clone();
        Ok(frame)
    }

    /// Creates the folder, under a staging name; `writer` fills the files with their
    /// [frames](Names::frame).
    pub(crate) fn create(
        self,
        mode: Mode,
        meta: &Meta,
        writer: Box<dyn FrameWriter>,
    ) -> Result<Arc<dyn ChunkSink>> {
        let fields = self.files.names().len();
        let staging = Staging::create(&self.folder, mode)?;
        staging.folder()?;
        let [begun, written] = [(); 2].map(|()| ChunkSet::new(meta.grid.len()));
        let meta = meta.clone();
        Ok(Arc::new(Folder { names: self, writer, meta, fields, begun, written, staging }))
    }
}

/// A folder of files being written.
#[derive(Debug)]
struct Folder {
    names: Names,
    writer: Box<dyn FrameWriter>,
    meta: Meta,
    /// The number of axes that count files.
    fields: usize,
    /// The chunks whose files are there, whole or not.
    begun: ChunkSet,
    written: ChunkSet,
    staging: Staging,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ChunkSink for Folder {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        self.writer.scratch()
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let name = self.names.files.render(&index[..self.fields]).unwrap_or_default();
        let here = |e: FormatError| e.at_path(&self.names.folder.join(&name));
        // A chunk that is written again begins anew; no other chunk has this name.
        let (chunk, mut options) = (self.meta.grid.linear_of(index), OpenOptions::new());
        match self.begun.contains(chunk) {
            true => options.truncate(true),
            false => options.create_new(true),
        };
        let file = options.read(true).write(true).open(self.staging.path().join(&name));
        let file = file.map_err(|e| here(e.into()))?;
        self.begun.insert(chunk);
        let frame = data.restride(0, &data.shape()[self.fields..], &data.strides()[self.fields..]);
        let bytes = self.writer.write(file, frame, cx).map_err(here)?;
        self.written.insert(chunk);
        Ok(Written { bytes })
    }

    fn seal(&self) -> Result<()> {
        self.written.check_whole(&self.meta.grid).map_err(|e| e.at_path(&self.names.folder))?;
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        self.staging.publish()
    }
}
