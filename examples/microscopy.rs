//! Cells in a stack of microscope images: each plane is smoothed and thresholded, bright regions are
//! labelled, and measured in one pass.
//!
//! ```text
//! cargo run --release --example microscopy [STACK]
//! ```
//!
//! A stack is three axes: planes, rows, columns. Without one it makes up six planes with 36 cells.

use freeboard::{
    Array, Result, Session, Zarr,
    array::{fromfunction, keepdims, random},
    formats::FormatError,
    imaging::{Boundary, Footprint, gaussian_filter, generate_binary_structure, label, measure},
    open,
};
use ndarray::{Array3, Axis};
use std::path::Path;

/// Planes, rows and columns of the stack that is made up.
const STACK: [u64; 3] = [6, 256, 320];
/// Regions of fewer pixels are noise.
const SMALLEST: i64 = 40;

fn main() -> Result<()> {
    let session = Session::builder().memory("512MiB").build()?;
    if let Some(stack) = std::env::args().nth(1) {
        return cells(&session, &open(&stack)?.cast());
    }
    let folder = std::env::temp_dir().join(format!("freeboard-cells-{}", std::process::id()));
    let stored = make_stack(&session, &folder.join("stack.zarr"));
    let result = stored.and_then(|stack| cells(&session, &stack));
    std::fs::remove_dir_all(&folder).ok();
    result
}

fn cells(session: &Session, stack: &Array<f32>) -> Result<()> {
    println!("{stack}");
    // Smoothed within planes, not between them; bright is what stands out of its own plane.
    let smooth = gaussian_filter(stack, [0.0, 2.0, 2.0], Boundary::Reflect);
    let plane = keepdims([1, 2]);
    let threshold = smooth.mean(plane.clone()) + smooth.std(plane) * 2.0;
    let bright = smooth.greater(&threshold);

    // Pixels are neighbours within a plane: the structure is empty before and behind it.
    let mut structure = Array3::from_elem((3, 3, 3), false);
    let cross = generate_binary_structure(2, 1);
    structure.index_axis_mut(Axis(0), 1).into_dyn().assign(&cross);
    let (labels, count) = label(&bright, Some(Footprint::from(&structure)));

    // How many there are is known when all planes were seen: labels are kept for the pass that measures.
    let labels = session.persist(&labels)?;
    let count = session.compute(count.item())?;
    let regions = measure(stack, &labels, count).area().mean().maximum().center_of_mass();
    let table = session.compute(&regions)?;

    let (areas, centres) = (table.column::<i64>("area")?, table.column::<f64>("center_of_mass")?);
    let means = table.column::<f64>("mean")?;
    let is_cell: Vec<usize> = (0..areas.len()).filter(|&i| areas[[i]] >= SMALLEST).collect();
    for &i in is_cell.iter().take(3) {
        let [z, y, x] = [0, 1, 2].map(|axis| centres[[i, axis]]);
        println!(
            "plane {z:.0}: {} pixels around ({y:.1}, {x:.1}), mean {:.1}",
            areas[[i]],
            means[[i]]
        );
    }
    let planes = stack.shape()?[0];
    let in_plane =
        |plane: usize| is_cell.iter().filter(|&&i| centres[[i, 0]] as usize == plane).count();
    let counts: Vec<usize> = (0..planes).map(in_plane).collect();
    println!("{} cells in {count} bright regions; by plane: {counts:?}", is_cell.len());
    Ok(())
}

/// Plane `p` has a row of three cells, two rows of three, or three of them, over noise; chunks
/// cut through them.
fn make_stack(session: &Session, path: &Path) -> Result<Array<f32>> {
    let cells = fromfunction(STACK, |at: &[u64]| {
        let rows = at[0] % 3 + 1;
        let near = |at: u64, step: u64| (at % step) as f64 - step as f64 / 2.0;
        let (y, x) = (near(at[1], STACK[1] / rows), near(at[2], STACK[2] / 3));
        let wide = rows as f64 + 3.0;
        200.0 * (-(y * y + x * x) / (2.0 * wide * wide)).exp()
    });
    let noise = random(11).normal(STACK) * 10.0;
    let stack = (cells + noise).cast::<f32>().rechunk([1, 100, 128]);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(FormatError::io)?;
    }
    session.store(&stack, Zarr::create(path).zstd(1))?;
    Ok(open(path.to_string_lossy())?.cast())
}
