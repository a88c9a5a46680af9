//! Names and numbers of the positions along an axis.

use std::fmt;

/// What the positions along an axis are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Names: `I`, `Q`, `U`, `V`.
    Text(Box<[Box<str>]>),
    /// Numbers, increasing.
    Numbers(Box<[u64]>),
}

impl Labels {
    /// The length of the axis.
    pub fn len(&self) -> usize {
        match self {
            Labels::Text(labels) => labels.len(),
            Labels::Numbers(labels) => labels.len(),
        }
    }

    /// Whether the axis has no position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label at the position `at`.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn get(&self, at: usize) -> String {
        match self {
            Labels::Text(labels) => labels[at].to_string(),
            Labels::Numbers(labels) => labels[at].to_string(),
        }
    }
}

impl fmt::Display for Labels {
    /// All where they are few, else the first and the last: `I Q U V`, `0…399`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.len();
        if len > 8 || (len > 4 && matches!(self, Labels::Numbers(_))) {
            return write!(f, "{}…{}", self.get(0), self.get(len - 1));
        }
        for at in 0..len {
            write!(f, "{}{}", if at > 0 { " " } else { "" }, self.get(at))?;
        }
        Ok(())
    }
}
