//! What the tests against the C libraries have in common.

use freeboard_formats::{Cancel, ChunkMut, ChunkSource, FileCache, ReadCx, Region};
use std::path::{Path, PathBuf};

/// The files with this ending in a folder of `data/`, sorted.
pub fn fixtures(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    files.sort();
    files
}

/// Lends a call so much scratch.
pub fn with_cx<T>(scratch: u64, call: impl FnOnce(&mut ReadCx<'_>) -> T) -> T {
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut words = vec![0u64; (scratch.div_ceil(64) * 8) as usize];
    let scratch = bytemuck::cast_slice_mut(&mut words);
    call(&mut ReadCx { scratch, limit: 1 << 30, files: &files, cancel: &cancel })
}

/// All elements, as they lie in a chunk.
pub fn ours(source: &dyn ChunkSource) -> Vec<u8> {
    let meta = source.meta();
    let region = Region::whole(&meta.shape());
    let mut out = vec![0u64; (meta.bytes().unwrap() as usize).div_ceil(8)];
    let out = &mut bytemuck::cast_slice_mut(&mut out)[..meta.bytes().unwrap() as usize];
    with_cx(source.cost(&region).scratch, |cx| {
        source.read(&region, ChunkMut::new(meta.dtype, out, &region.shape), cx)
    })
    .unwrap();
    out.to_vec()
}
