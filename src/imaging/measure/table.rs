//! What was measured, as columns with names.

use crate::{
    array::AnyArray,
    error::{Error, ErrorKind, Result},
};
use freeboard_formats::{Element, with_dtype};
use ndarray::{ArrayD, Axis};
use std::fmt;

/// What was measured in regions: columns with names, a row for each region.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    labels: Vec<i64>,
    columns: Vec<(&'static str, AnyArray)>,
}

impl Table {
    pub(super) fn new(labels: Vec<i64>, columns: Vec<(&'static str, AnyArray)>) -> Table {
        Table { labels, columns }
    }

    /// The labels of the regions, row by row; none where all elements are one.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// The columns, in the order in which they were asked for.
    pub fn columns(&self) -> &[(&'static str, AnyArray)] {
        &self.columns
    }

    /// The elements of a column, of which the first axis counts regions.
    ///
    /// # Errors
    /// If it was not measured, or holds another dtype.
    pub fn column<T: Element>(&self, name: &str) -> Result<ArrayD<T>> {
        let found = self.columns.iter().find(|(own, _)| *own == name);
        let Some((_, values)) = found else {
            let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
            let message = format!("{name:?} was not measured, but {}", names.join(", "));
            return Err(Error::new(ErrorKind::Expression, message));
        };
        values.clone().into_typed()
    }
}

impl fmt::Display for Table {
    /// A line for each region, below the names of the columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns: Vec<Vec<String>> = Vec::new();
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(i64::to_string);
            columns.push([String::from("label")].into_iter().chain(labels).collect());
        }
        for (name, values) in &self.columns {
            let cells = match self.labels.is_empty() {
                true => vec![values.to_string()],
                false => with_dtype!(values.dtype(), T => match values.clone().into_typed::<T>() {
                    Ok(values) => values.axis_iter(Axis(0)).map(|cell| shown(&cell.to_string())).collect(),
                    Err(_) => Vec::new(),
                }),
            };
            columns.push([String::from(*name)].into_iter().chain(cells).collect());
        }
        let widths: Vec<usize> = columns
            .iter()
            .map(|column| column.iter().map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        for row in 0..columns.first().map_or(0, Vec::len) {
            let cells = columns.iter().zip(&widths).map(|(column, &width)| {
                let cell = column.get(row).map_or("", String::as_str);
                format!("{cell:>width$}")
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  "))?;
        }
        Ok(())
    }
}

/// A cell on one line.
fn shown(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
