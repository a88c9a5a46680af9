use super::*;
use ndarray::{Array, ArrayD, Axis};
use proptest::prelude::*;

fn view_of(array: &ArrayD<i32>) -> ChunkView<'_> {
    let shape: Vec<u64> = array.shape().iter().map(|&n| n as u64).collect();
    ChunkView::of(array.as_slice().expect("C order"), &shape)
}

proptest! {
    #[test]
    fn copies_agree_with_ndarray(
        shape in proptest::collection::vec(1usize..40, 1..4),
        order in Just([0usize, 1, 2]).prop_shuffle(),
        flip in proptest::bool::ANY,
    ) {
        let count = shape.iter().product::<usize>();
        let array = Array::from_iter(0..count as i32).into_shape_with_order(IxDyn(&shape)).unwrap();
        let order: Vec<usize> = order.into_iter().filter(|&a| a < shape.len()).collect();
        let view = view_of(&array);
        let mut expected = array.view().permuted_axes(IxDyn(&order));
        let (mut offset, mut strides): (isize, Strides) =
            (0, order.iter().map(|&a| view.strides()[a]).collect());
        let turned: Dims = order.iter().map(|&a| shape[a] as u64).collect();
        if flip {
            expected.invert_axis(Axis(0));
            offset = (turned[0] as isize - 1) * strides[0];
            strides[0] = -strides[0];
        }
        let turned = view.restride(offset, turned, strides);
        let expected: Vec<i32> = expected.iter().copied().collect();
        prop_assert_eq!(&turned.to_vec::<i32>(), &expected);
        let start = count / 3;
        let mut run = vec![0i32; (count - start).min(50)];
        turned.copy_run(start, bytemuck::cast_slice_mut(&mut run));
        prop_assert_eq!(&run[..], &expected[start..start + run.len()]);
    }
}

#[test]
fn filling_a_part_leaves_the_rest() {
    let mut array = ArrayD::<i32>::zeros(IxDyn(&[4, 5]));
    let region = Region::new(vec![1, 2], vec![2, 2]);
    ChunkMut::of(array.as_slice_mut().unwrap(), &[4, 5]).sub(&region).fill(Scalar::U8(7));
    assert_eq!(array.sum(), 28);
    assert_eq!(array[[2, 3]], 7);
}

#[test]
fn runs_are_as_long_as_the_layout_allows() {
    let mut data = vec![0i32; 24];
    let mut view = ChunkMut::of(&mut data, &[2, 3, 4]);
    let mut runs = Vec::new();
    let mut count = |view: &mut ChunkMut<'_>| {
        runs.clear();
        let done: Result<(), ()> = view.try_for_each_run(|at, run| {
            runs.push((at.to_vec(), run.len() / 4));
            Ok(())
        });
        done.unwrap();
        runs.clone()
    };
    assert_eq!(count(&mut view), [(vec![0, 0, 0], 24)]);
    let mut part = view.sub(&Region::new(vec![0, 1, 0], vec![2, 2, 4]));
    assert_eq!(count(&mut part), [(vec![0, 0, 0], 8), (vec![1, 0, 0], 8)]);
}

#[test]
fn zero_strides_repeat() {
    let value = [5i32];
    let view = ChunkView::of(&value, &[]).restride(0, [2, 3].as_slice(), [0, 0].as_slice());
    assert_eq!(view.to_vec::<i32>(), [5; 6]);
}
