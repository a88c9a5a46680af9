//! From bytes in a file to elements: byte order, unsigned offsets and scales, by the adapters, out
//! of the page cache and on one thread.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freeboard::{
    Array, Element, Fits, Npy, Session, Zarr,
    array::Kind,
    formats::{Cancel, ChunkMut, FileCache, ReadCx, Region, Writer, registry},
};
use freeboard_bench::data;
use serde_json::json;

fn layouts(c: &mut Criterion) {
    let session = data::session();
    let folder = tempfile::tempdir().expect("a folder");
    let (counts, calibrated) = (data::counts(1), data::calibrated(1));
    let path = |name: &str| folder.path().join(name);
    stored(&session, &calibrated, Fits::create(path("floats.fits")));
    stored(&session, &counts, Fits::create(path("unsigned.fits")));
    stored(&session, &calibrated, Npy::create(path("floats.npy")));
    stored(&session, &calibrated, Zarr::create(path("floats.zarr")).uncompressed());
    // Of signed integers, since unsigned ones have a BZERO of their own.
    let scaled = Fits::create(path("scaled.fits")).card("BSCALE", json!(0.5));
    stored(&session, &counts.cast::<i16>(), scaled.card("BZERO", json!(10.0)));

    let mut group = c.benchmark_group("layouts");
    for (name, file) in [
        ("FITS f32: swapped", "floats.fits"),
        ("FITS u16: swapped, the first bit turned", "unsigned.fits"),
        ("FITS i16 with BSCALE: swapped, widened, scaled", "scaled.fits"),
        ("npy f32: as it is", "floats.npy"),
        ("Zarr f32: as it is", "floats.zarr"),
    ] {
        let location = path(file).display().to_string();
        let source = registry::open(&location).expect("opened");
        let meta = source.meta();
        let region = Region::whole(&meta.shape());
        let mut out = vec![0; region.volume() as usize * meta.dtype.size()];
        let mut scratch = vec![0; source.cost(&region).scratch as usize];
        let (files, cancel) = (FileCache::default(), Cancel::default());
        group.throughput(Throughput::Bytes(out.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let out = ChunkMut::new(meta.dtype, &mut out, &region.shape);
                let scratch = &mut scratch[..];
                let mut cx = ReadCx { scratch, limit: 1 << 30, files: &files, cancel: &cancel };
                source.read(&region, out, &mut cx).expect("read");
            });
        });
    }
    group.finish();
}

fn stored<T: Element + Kind>(session: &Session, array: &Array<T>, writer: impl Writer) {
    session.store(array, writer).expect("stored");
}

criterion_group!(benches, layouts);
criterion_main!(benches);
