//! Files placed in a grid by what each says of itself: fields of names, or cards of headers.
//!
//! Each field is an axis with sorted labels; every combination of labels must be the place
//! of exactly one file, or of at most one where holes are allowed. What is doubled or
//! missing is named in the error.

use crate::{
    error::{ErrorKind, FormatError, Result},
    source::Labels,
};
use std::{cmp::Ordering, collections::BTreeSet, path::PathBuf};

/// A part of file names, or a card, that differs between the files of a stack: one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in the pattern, or of the card; the name of the axis.
    pub name: String,
    /// What the field says at each position along the axis.
    pub labels: Labels,
}

/// Files in the order in which they are stacked: C order over the fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileList {
    /// `None` where no file has that combination of labels.
    pub(crate) paths: Vec<Option<PathBuf>>,
    /// The fields; empty for a plain list.
    pub(crate) fields: Vec<Field>,
}

impl FileList {
    /// Files along one axis without labels.
    pub(crate) fn plain(paths: Vec<PathBuf>) -> FileList {
        FileList { paths: paths.into_iter().map(Some).collect(), fields: Vec::new() }
    }
}

/// Compares as people sort: runs of digits by their value (`b2` before `b10`), the rest by
/// character. Names that differ in zero padding alone compare by length.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        let digits = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
        let (n, m) = (digits(x), digits(y));
        let order = if n > 0 && m > 0 {
            let significant = |s: &[u8], n: usize| {
                let zeros = s[..n].iter().take_while(|&&c| c == b'0').count();
                zeros..n
            };
            let (p, q) = (&x[significant(x, n)], &y[significant(y, m)]);
            (x, y) = (&x[n..], &y[m..]);
            p.len().cmp(&q.len()).then_with(|| p.cmp(q))
        } else {
            match (x.split_first(), y.split_first()) {
                (None, None) => return a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                (c, d) => {
                    let order = c.map(|c| c.0).cmp(&d.map(|d| d.0));
                    (x, y) = (c.map_or(x, |c| c.1), d.map_or(y, |d| d.1));
                    order
                }
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The distinct values of a field that holds text, in order: Stokes parameters as
/// I, Q, U, V, all else as people sort.
pub(crate) fn text_labels<'t>(values: impl Iterator<Item = &'t str>) -> Labels {
    const STOKES: [&str; 4] = ["I", "Q", "U", "V"];
    let distinct: BTreeSet<&str> = values.collect();
    let mut sorted: Vec<&str> = distinct.into_iter().collect();
    match sorted.iter().all(|label| STOKES.contains(label)) {
        true => sorted.sort_by_key(|label| STOKES.iter().position(|s| s == label)),
        false => sorted.sort_by(|a, b| natural(a, b)),
    }
    Labels::Text(sorted.into_iter().map(Box::from).collect())
}

/// How many missing or doubled combinations an error names.
const NAMED: usize = 3;
/// The most places of a grid with holes: what is listed of each takes memory.
const MAX_PLACES: u128 = 1 << 22;

/// The files in C order over `fields`; each comes with its position along every field.
/// `at` is what the user wrote, for errors.
///
/// # Errors
/// If two files have the same place, or if a place has no file and `holes` are not allowed.
pub(crate) fn arrange(
    at: &str,
    fields: Vec<Field>,
    files: impl IntoIterator<Item = (PathBuf, Vec<usize>)>,
    holes: bool,
) -> Result<FileList> {
    let total = fields
        .iter()
        .try_fold(1u128, |n, field| n.checked_mul(field.labels.len() as u128))
        .ok_or_else(|| {
            let message = "more combinations of labels than can be counted";
            FormatError::new(ErrorKind::Invalid, message).at(at)
        })?;
    let mut placed: Vec<(u128, PathBuf)> = files
        .into_iter()
        .map(|(path, positions)| {
            // Less than `total`, which was counted.
            let place = positions.iter().zip(&fields).fold(0u128, |place, (&position, field)| {
                place * field.labels.len() as u128 + position as u128
            });
            (place, path)
        })
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    check_doubled(at, &fields, &placed)?;
    if placed.len() as u128 == total {
        return Ok(FileList {
            paths: placed.into_iter().map(|(_, path)| Some(path)).collect(),
            fields,
        });
    }
    if !holes || total > MAX_PLACES {
        return Err(incomplete(at, &fields, &placed, total));
    }
    let mut paths = vec![None; total as usize];
    for (place, path) in placed {
        paths[place as usize] = Some(path);
    }
    Ok(FileList { paths, fields })
}

fn check_doubled(at: &str, fields: &[Field], placed: &[(u128, PathBuf)]) -> Result<()> {
    let mut doubled = placed.windows(2).filter(|two| two[0].0 == two[1].0);
    let Some(two) = doubled.next() else { return Ok(()) };
    let more = doubled.count();
    let message = format!(
        "{} is the place of two files, {} and {}{}",
        combination(fields, two[0].0),
        two[0].1.display(),
        two[1].1.display(),
        if more > 0 { format!(", and {more} more") } else { String::new() }
    );
    Err(FormatError::new(ErrorKind::Mismatch, message)
        .at(at)
        .help("add a field or card for what differs, or move one of them away"))
}

fn incomplete(at: &str, fields: &[Field], placed: &[(u128, PathBuf)], total: u128) -> FormatError {
    let missing = total - placed.len() as u128;
    let mut present = placed.iter().map(|p| p.0).peekable();
    let absent = (0..total).filter(|place| present.next_if_eq(place).is_none()).take(NAMED);
    let names: Vec<String> = absent.map(|place| combination(fields, place)).collect();
    let more = missing - names.len() as u128;
    let message = format!(
        "{missing} of {total} combinations {} no file: {}{}",
        if missing == 1 { "has" } else { "have" },
        names.join("; "),
        if more > 0 { format!("; and {more} more") } else { String::new() }
    );
    let help = match total > MAX_PLACES {
        true => "so few of them have a file that this is no grid of files".to_owned(),
        false => "every combination must be that of a file, unless missing files are allowed: \
                  `--missing nan`, or `mask`"
            .to_owned(),
    };
    FormatError::new(ErrorKind::Mismatch, message).at(at).help(help)
}

/// `stokes Q, raster 17`
pub(crate) fn combination(fields: &[Field], mut place: u128) -> String {
    let mut names = Vec::with_capacity(fields.len());
    for field in fields.iter().rev() {
        let len = field.labels.len() as u128;
        names.push(format!("{} {}", field.name, field.labels.get((place % len) as usize)));
        place /= len;
    }
    names.reverse();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order_is_that_of_people() {
        let sorted = [
            "",
            "a",
            "a1",
            "a01",
            "a2",
            "a10",
            "a10b2",
            "a10b10",
            "a18446744073709551616",
            "b",
            "é",
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(natural(a, b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn files_have_their_places_and_holes_are_told_or_kept() {
        let fields = || {
            let field = |name: &str, labels: &[&str]| Field {
                name: name.into(),
                labels: text_labels(labels.iter().copied()),
            };
            vec![field("s", &["V", "I", "I"]), field("n", &["n10", "n9"])]
        };
        let file = |name: &str, positions: [usize; 2]| (PathBuf::from(name), positions.to_vec());
        let three = || [file("c", [1, 1]), file("a", [0, 0]), file("b", [0, 1])];
        let error = arrange("x", fields(), three(), false).unwrap_err().to_string();
        assert!(error.starts_with("x: 1 of 4 combinations has no file: s V, n n9\n"), "{error}");
        let list = arrange("x", fields(), three(), true).unwrap();
        let names: Vec<Option<&str>> =
            list.paths.iter().map(|path| path.as_deref().and_then(|p| p.to_str())).collect();
        assert_eq!(names, [Some("a"), Some("b"), None, Some("c")]);
        let doubled = [file("a", [0, 0]), file("b", [0, 0])];
        let error = arrange("x", fields(), doubled, true).unwrap_err().to_string();
        assert!(error.starts_with("x: s I, n n9 is the place of two files, a and b\n"), "{error}");
        let wide = Labels::Numbers((0..1 << 40).step_by(1 << 20).collect());
        let sparse = vec![
            Field { name: "a".into(), labels: wide.clone() },
            Field { name: "b".into(), labels: wide },
        ];
        let error = arrange("x", sparse, [file("a", [0, 0])], true).unwrap_err().to_string();
        assert!(error.contains("and 1099511627772 more"), "{error}");
    }
}
