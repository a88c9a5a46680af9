//! Files in lists of lists: each level of the lists is a leading axis.

use crate::error::{ErrorKind, FormatError, Result};

/// A file, a place without one, or a list of such; the lists of one level are equally long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nested {
    /// A file, `PATH` or `PATH::ITEM`.
    File(String),
    /// A place without a file, for stacks that may lack some.
    Nothing,
    /// Files, or lists of them, along an axis.
    List(Vec<Nested>),
}

impl From<&str> for Nested {
    fn from(path: &str) -> Nested {
        Nested::File(path.to_owned())
    }
}

impl From<String> for Nested {
    fn from(path: String) -> Nested {
        Nested::File(path)
    }
}

impl From<&String> for Nested {
    fn from(path: &String) -> Nested {
        Nested::File(path.clone())
    }
}

impl<T: Into<Nested>> From<Option<T>> for Nested {
    fn from(path: Option<T>) -> Nested {
        path.map_or(Nested::Nothing, Into::into)
    }
}

impl<T: Into<Nested>> From<Vec<T>> for Nested {
    fn from(list: Vec<T>) -> Nested {
        Nested::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Nested>, const N: usize> From<[T; N]> for Nested {
    fn from(list: [T; N]) -> Nested {
        Nested::List(list.into_iter().map(Into::into).collect())
    }
}

/// Lists may lie in lists so deep: an array has no more axes in practice.
const MAX_DEPTH: usize = 32;

impl Nested {
    /// The files in C order, and the lengths of the axes.
    ///
    /// # Errors
    /// If the lists of one level differ in length or depth; the error names one that does.
    pub(super) fn flatten(&self) -> Result<(Vec<Option<String>>, Vec<u64>)> {
        let mut lengths = Vec::new();
        let mut first = self;
        while let Nested::List(list) = first {
            lengths.push(list.len() as u64);
            if lengths.len() > MAX_DEPTH {
                let message = format!("lists of files lie more than {MAX_DEPTH} deep");
                return Err(FormatError::new(ErrorKind::Invalid, message));
            }
            match list.first() {
                Some(inner) => first = inner,
                None => break,
            }
        }
        let mut files = Vec::new();
        self.collect(&lengths, &mut Vec::new(), &mut files)?;
        Ok((files, lengths))
    }

    fn collect(
        &self,
        lengths: &[u64],
        at: &mut Vec<usize>,
        files: &mut Vec<Option<String>>,
    ) -> Result<()> {
        let ragged = |found: String, want: String| {
            let message =
                format!("the list of files is ragged: {at:?} is {found}, and others are {want}");
            Err(FormatError::new(ErrorKind::Mismatch, message))
        };
        let list_of = |len: u64| format!("a list of {len}");
        match (self, lengths.split_first()) {
            (Nested::List(list), Some((&len, inner))) if list.len() as u64 == len => {
                for (i, nested) in list.iter().enumerate() {
                    at.push(i);
                    nested.collect(inner, at, files)?;
                    at.pop();
                }
                Ok(())
            }
            (Nested::List(list), Some((&len, _))) => {
                ragged(list_of(list.len() as u64), list_of(len))
            }
            (Nested::List(list), None) => ragged(list_of(list.len() as u64), "files".into()),
            (_, Some((&len, _))) => ragged("no list".into(), list_of(len)),
            (Nested::File(path), None) => {
                files.push(Some(path.clone()));
                Ok(())
            }
            (Nested::Nothing, None) => {
                files.push(None);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_axes() {
        let nested = Nested::from([["a", "b", "c"], ["d", "e", "f"]]);
        let (files, lengths) = nested.flatten().unwrap();
        assert_eq!((files.len(), &lengths[..]), (6, &[2, 3][..]));
        assert_eq!(files[4].as_deref(), Some("e"));
        let holes = Nested::from(vec![Some("a"), None]);
        assert_eq!(holes.flatten().unwrap().0, [Some("a".to_owned()), None]);
        assert_eq!(Nested::from("a").flatten().unwrap().1, [0u64; 0]);
    }

    #[test]
    fn ragged_lists_are_told() {
        let says = |nested: Nested| nested.flatten().unwrap_err().to_string();
        let short = vec![vec!["a", "b"], vec!["c"]];
        assert_eq!(
            says(short.into()),
            "the list of files is ragged: [1] is a list of 1, and others are a list of 2"
        );
        let deep = Nested::List(vec!["a".into(), ["b"].into()]);
        assert_eq!(
            says(deep),
            "the list of files is ragged: [1] is a list of 1, and others are files"
        );
        let shallow = Nested::List(vec![["a"].into(), "b".into()]);
        assert_eq!(
            says(shallow),
            "the list of files is ragged: [1] is no list, and others are a list of 1"
        );
    }
}
