//! A data set among others: added to a file that exists, or put in place of one in it.
//!
//! The file is copied under the staging name, the copy is changed, and takes the file's name when it is
//! whole: until then nothing of the file is touched. `rust-hdf5`, which changes the copy, keeps what it does
//! not know byte for byte; all the same, what every other data set is (dtype, shape, chunks, attributes,
//! bytes) is noted before, and the copy is published only if it says the same.

use super::{
    attributes::{Role, role, scaled, scales},
    file::{Container, guarded},
    header::{Header, ObjectKind},
    index::{describe, known, read_index},
    links::Met,
    virtual_::Nesting,
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    source::Fingerprint,
    staging::{Mode, Staging},
};
use hdf5_reader::messages::link::{LinkMessage, LinkTarget};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What adding a data set to a file takes, and what must be left of the file.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// The file itself, where a symbolic link names it.
    path: PathBuf,
    /// What the file was when it was looked at.
    stamp: Stamp,
    /// What the data sets are that stay, by their paths.
    others: BTreeMap<String, Fingerprint>,
    /// How many of the groups on the way to the data set are there.
    pub(super) groups: usize,
    /// The paths of what goes: the data set that is replaced, and the scales that do nothing but name
    /// its axes.
    pub(super) removed: Vec<String>,
    /// Which names of axes are taken in the data set's group: of a scale of one axis, its length.
    pub(super) taken: BTreeMap<String, Option<u64>>,
}

impl Update {
    /// Looks at what is in the way of the data set with the path `names` and axes of the names
    /// `axes`.
    ///
    /// # Errors
    /// If it exists and is not to be replaced, or cannot be without harm to others.
    pub(super) fn plan(
        path: &Path,
        names: &[&str],
        axes: &[String],
        replace: bool,
    ) -> Result<Update> {
        let path = fs::canonicalize(path).map_err(|e| FormatError::io(e).at_path(path))?;
        guarded(&path, || {
            let container = Container::open(&path).map_err(|error| {
                error.help(
                    "a data set is added to an HDF5 file; without `::ITEM` the file is replaced",
                )
            })?;
            let way = Way::walk(&container, names)?;
            let removed = match way.there {
                Some(address) => way.removed(&container, names, address, replace)?,
                None => Vec::new(),
            };
            let group = format!("/{}", names[..names.len() - 1].join("/"));
            let within = |name: &str| format!("{}/{name}", group.trim_end_matches('/'));
            let mut taken = BTreeMap::new();
            for link in &way.beside {
                if axes.contains(&link.name) && !removed.contains(&within(&link.name)) {
                    taken.insert(link.name.clone(), scale_length(&container, &link.target));
                }
            }
            let mut others = summaries(&container)?;
            others.retain(|path, _| !removed.contains(path));
            let (stamp, groups) = (container.stamp, way.groups);
            Ok(Update { path: path.clone(), stamp, others, groups, removed, taken })
        })
    }

    /// The copy that is changed, under its staging name.
    pub(super) fn stage(&self, mode: Mode) -> Result<Staging> {
        let staging = Staging::create(&self.path, Mode { overwrite: true, ..mode })?;
        fs::copy(&self.path, staging.path()).map_err(|error| {
            FormatError::io(error)
                .at_path(&self.path)
                .help("a data set is added to a copy of its file, which needs room beside it")
        })?;
        self.check_unchanged()?;
        Ok(staging)
    }

    /// # Errors
    /// If the changed copy lacks a data set of the file, or has another of its name.
    pub(super) fn check(&self, copy: &Path) -> Result<()> {
        let after = guarded(copy, || summaries(&Container::open(copy)?))?;
        match self.others.iter().find(|(path, summary)| after.get(*path) != Some(*summary)) {
            None => Ok(()),
            Some((path, _)) => {
                let message = format!("adding a data set would have changed {path}");
                Err(FormatError::new(ErrorKind::Unsupported, message)
                    .at_path(&self.path)
                    .help("the file is as it was; write to a file of its own"))
            }
        }
    }

    /// # Errors
    /// [`ErrorKind::Changed`] if the file is not what was copied.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        match Stamp::at(&self.path)? == self.stamp {
            true => Ok(()),
            false => {
                let message = "the file was changed while a data set was added to a copy of it";
                let error = FormatError::new(ErrorKind::Changed, message).at_path(&self.path);
                Err(error.help("it stays as it is now; run the command again"))
            }
        }
    }
}

/// What lies on the way to a data set.
struct Way {
    /// How many of the groups are there.
    groups: usize,
    /// The address of the object that has the name already.
    there: Option<u64>,
    /// The links of the group that it is in, or comes into; none where there is no such group.
    beside: Vec<LinkMessage>,
}

impl Way {
    fn walk(container: &Container, names: &[&str]) -> Result<Way> {
        let mut way = Way { groups: 0, there: None, beside: Vec::new() };
        let mut address = container.root()?;
        for (depth, name) in names.iter().enumerate() {
            let header = container.header(address)?;
            if header.kind() != ObjectKind::Group {
                return Err(refused(&names[..depth], "is no group: nothing can be put into it"));
            }
            let links = container.links(&header)?;
            let target = links.iter().find(|link| link.name == *name).map(|link| &link.target);
            let last = depth + 1 == names.len();
            match target {
                Some(LinkTarget::Hard { address: there }) if last => way.there = Some(*there),
                Some(LinkTarget::Hard { address: there }) => address = *there,
                Some(_) => {
                    return Err(refused(&names[..=depth], "is a link: name what it leads to"));
                }
                None if last => {}
                None => return Ok(way),
            }
            if last { way.beside = links } else { way.groups += 1 }
        }
        Ok(way)
    }

    /// The paths of what goes where the data set at `address` is replaced.
    fn removed(
        &self,
        container: &Container,
        names: &[&str],
        address: u64,
        replace: bool,
    ) -> Result<Vec<String>> {
        let header = container.header(address)?;
        let path = format!("/{}", names.join("/"));
        if header.kind() != ObjectKind::Dataset {
            return Err(refused(names, "is no data set, and is not replaced"));
        }
        if !replace {
            let message = format!("the data set {path} exists already");
            return Err(FormatError::new(ErrorKind::Exists, message)
                .help("ask to overwrite it (--overwrite; what is beside it stays), or choose another name"));
        }
        if role(container, &header) != Role::Array {
            return Err(refused(names, "is a scale of other data sets' axes, and is not replaced"));
        }
        let mut removed = vec![path];
        for scale in scales(container, &header) {
            let named = self.beside.iter().find(
                |link| matches!(link.target, LinkTarget::Hard { address } if address == scale),
            );
            let header = container.header(scale)?;
            let alone = role(container, &header) == Role::Dimension
                && scaled(container, &header).is_some_and(|of| of.iter().all(|&of| of == address));
            let Some(LinkMessage { name, .. }) = named.filter(|_| alone) else {
                let why = "has dimension scales with coordinates, or that others share, which would refer to nothing";
                return Err(refused(names, why));
            };
            let mut path = names.to_vec();
            path.pop();
            path.push(name);
            let path = format!("/{}", path.join("/"));
            if !removed.contains(&path) {
                removed.push(path);
            }
        }
        Ok(removed)
    }
}

fn refused(names: &[&str], why: &str) -> FormatError {
    FormatError::new(ErrorKind::Exists, format!("/{} {why}", names.join("/")))
        .help("choose another name, or write to a file of its own")
}

/// The length of a scale of one axis.
fn scale_length(container: &Container, target: &LinkTarget) -> Option<u64> {
    let LinkTarget::Hard { address } = target else { return None };
    let header = container.header(*address).ok()?;
    if header.kind() != ObjectKind::Dataset || role(container, &header) == Role::Array {
        return None;
    }
    match known(container, &header).1?[..] {
        [len] if describe(container, &header).is_ok() => Some(len),
        _ => None,
    }
}

/// What all data sets of a file are, by their paths.
fn summaries(container: &Container) -> Result<BTreeMap<String, Fingerprint>> {
    let mut summaries = BTreeMap::new();
    container.walk(|met| {
        let (path, text) = match met {
            Met::Dataset { path, header } => (path, summary(container, &header)),
            Met::External { path, file, target } => (path, format!("{file}::{target}")),
            Met::Unreadable { path, error } => (path, format!("{:?}", error.kind())),
        };
        summaries.insert(path, Fingerprint::of(text.as_bytes()));
        Ok(())
    })?;
    Ok(summaries)
}

fn summary(container: &Container, header: &Header) -> String {
    match read_index(container, header, &Nesting::default()) {
        Ok(index) => format!("{:?} {:?} {}", index.meta, index.fill, index.stored),
        Err(error) => format!("{:?} {:?}", error.kind(), known(container, header)),
    }
}
