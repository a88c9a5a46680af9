//! What commands share: inputs opened, a session made, an output stored.

use crate::{
    args::{Input, Run, Shading, Stacking, Writing},
    interrupt, output,
    progress::Progress,
};
use freeboard::{
    Array, DType, Memory, Plan, Report, Result, Session,
    array::{AnyVec, Compute, Settle},
    expr::Expr,
    formats::{
        ChunkSource, ErrorKind, FormatError, WriteOptions, Writer,
        registry::{self, OpenOptions},
    },
    open_masked,
    picture::Picture,
};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The time before a read that failed is tried again; each further time it is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// What the registry is told of several files.
pub fn options(stacking: &Stacking) -> OpenOptions {
    OpenOptions {
        stacked: stacking.stack.clone(),
        keep_axes: stacking.keep_axes,
        cards: stacking.stack_by.clone(),
        missing: stacking.missing,
        blank: stacking.blank,
        decode_cf: stacking.decode_cf,
    }
}

/// The array at `paths`.
pub fn source(paths: &[String], stacking: &Stacking) -> Result<Arc<dyn ChunkSource>> {
    Ok(registry::open_with(paths, &options(stacking))?)
}

/// The array at `paths`, or the part of it that is asked for.
pub fn open(paths: &[String], input: &Input) -> Result<Array> {
    part(whole(paths, input)?, input)
}

/// The array at `paths`, all of it.
pub fn whole(paths: &[String], input: &Input) -> Result<Array> {
    Ok(match input.mask {
        true => open_masked(paths, &options(&input.stacking))?.1.to_dyn(),
        false => Array::from_source(source(paths, &input.stacking)?),
    })
}

/// The part of `array` that is asked for.
pub fn part(array: Array, input: &Input) -> Result<Array> {
    let array = match &input.slice {
        Some(slice) => array.slice_numpy(slice),
        None => array,
    };
    array.meta()?;
    Ok(array)
}

/// A command's session, what it asks for, and whom it tells.
pub struct Job<'a> {
    session: Arc<Session>,
    progress: Progress,
    run: &'a Run,
}

impl<'a> Job<'a> {
    /// For the command `name`.
    pub fn new(name: &'static str, run: &'a Run) -> Result<Job<'a>> {
        let progress = Progress::new(name, run.quiet);
        let mut builder = Session::builder()
            .observer(progress.clone())
            .retries(run.retries, FIRST_WAIT)
            .reproducible(run.reproducible);
        if let Some(bytes) = run.memory {
            builder = builder.memory(Memory::bytes(bytes));
        }
        if let Some(threads) = run.threads {
            builder = builder.threads(threads.get());
        }
        if let Some(folder) = &run.scratch {
            if !folder.is_dir() {
                let (kind, message) = match folder.exists() {
                    true => (ErrorKind::Invalid, "what is named for scratch is no folder"),
                    false => (ErrorKind::NotFound, "the folder for scratch does not exist"),
                };
                let error = FormatError::new(kind, message).at_path(folder);
                return Err(error.help("name another one with --scratch, or create it").into());
            }
            builder = builder.scratch(folder);
        }
        if let Some(quota) = run.scratch_quota {
            builder = builder.scratch_quota(quota);
        }
        Ok(Job { session: Arc::new(builder.build()?), progress, run })
    }

    /// Tells the plan; whether the work is to be done.
    fn shall_run(&self, plan: &Plan) -> Result<bool> {
        if self.run.plan {
            match self.run.json {
                true => output::print_json(&plan.to_json())?,
                false => output::print_text(&plan.to_string())?,
            }
            return Ok(false);
        }
        self.progress.tell("plan", &plan.summary());
        Ok(true)
    }

    /// Tells what was done, and what was wrong with files that were taken as missing.
    fn tell_end(&self, report: &Report) {
        self.progress.tell("done", &report.to_string());
        for reason in &report.missing_reasons {
            self.progress.tell("lacks", reason);
        }
        let more = report.missing.saturating_sub(report.missing_reasons.len() as u64);
        if more > 0 && !report.missing_reasons.is_empty() {
            self.progress.tell("lacks", &format!("and {more} more"));
        }
    }

    /// Whether only the plan was asked for, so that nothing is to be read.
    pub fn is_plan(&self) -> bool {
        self.run.plan
    }

    /// Computes `what`; `None` if only the plan was asked for.
    pub fn compute<C: Compute>(&self, what: C) -> Result<Option<C::Output>> {
        if !self.shall_run(&self.session.plan(&what)?)? {
            return Ok(None);
        }
        let result =
            interrupt::cancellable(&self.session, |session| session.compute_reported(&what));
        self.progress.end(result.is_ok());
        let (result, report) = result?;
        self.tell_end(&report);
        Ok(Some(result))
    }

    /// Stores `array`, or shows the plan.
    pub fn store(&self, array: &Array, output: &Output) -> Result<()> {
        let (array, writer) = (&output.shown(array)?, &*output.writer);
        if !self.shall_run(&self.session.plan_store(array, writer)?)? {
            return Ok(());
        }
        let result =
            interrupt::cancellable(&self.session, |session| session.store_dyn(array, writer));
        self.progress.end(result.is_ok());
        let report = result?;
        self.tell_end(&report);
        if self.run.json {
            output::print_json(&report.to_json())?;
        }
        Ok(())
    }
}

impl Settle for Job<'_> {
    fn elements(&self, question: &Expr) -> Result<AnyVec> {
        interrupt::cancellable(&self.session, |session| session.elements(question))
    }
}

/// An output that is to be made.
pub struct Output {
    writer: Arc<dyn Writer>,
    /// How elements are shown, of a picture.
    shading: Option<Shading>,
}

impl Output {
    /// What is stored of `array`: of a picture its shades, unless it has some already.
    fn shown(&self, array: &Array) -> Result<Array> {
        let Some(shading) = &self.shading else { return Ok(array.clone()) };
        if *shading == Shading::default() && matches!(array.dtype()?, DType::U8 | DType::U16) {
            return Ok(array.clone());
        }
        let picture = Picture::new()
            .limits(shading.limits.unwrap_or_default())
            .stretch(shading.stretch.unwrap_or_default())
            .colormap(shading.colormap.unwrap_or_default())
            .nan(shading.nan_color.unwrap_or_default());
        Ok(picture.of(array).to_dyn())
    }
}

/// The output `path`, which is none of the `inputs`.
pub fn output(path: &Path, writing: &Writing, run: &Run, inputs: &[String]) -> Result<Output> {
    // For writers, 0 is the whole axis.
    let lengths = |lengths: &Option<Vec<i64>>| -> Option<Vec<u64>> {
        Some(lengths.as_ref()?.iter().map(|&n| u64::try_from(n).unwrap_or(0)).collect())
    };
    let options = WriteOptions {
        chunks: lengths(&writing.chunks),
        shards: lengths(&writing.shards),
        codec: writing.codec.clone(),
        overwrite: writing.overwrite,
        overwrite_in_place: writing.overwrite_in_place,
        resume: writing.resume,
        durable: writing.durable,
        ..WriteOptions::default()
    };
    let writer = registry::writer(path, &options)?;
    let (folder, item) = registry::split_output(path);
    let is_picture = folder.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if !is_picture && writing.shading != Shading::default() {
        let message = "--limits, --stretch, --colormap and --nan-color are of pictures";
        let error = FormatError::new(ErrorKind::Invalid, message).at_path(path);
        return Err(error.help("leave them out, or write a .png file").into());
    }
    let output = Output { writer, shading: is_picture.then(|| writing.shading.clone()) };
    if let Some(url) = path.to_str().filter(|text| text.contains("://")) {
        // What is there is not known without a request: the writer makes it.
        return match inputs.iter().find(|input| is_within(input, url)) {
            Some(input) => Err(replaces(input, path).into()),
            None => Ok(output),
        };
    }
    if run.plan {
        return Ok(output);
    }
    // What would be replaced: the array in a folder, a file's data set, or the file.
    let (path, there) = &match &item {
        Some(item) if folder.is_dir() => {
            let path = folder.join(item.trim_start_matches('/'));
            let there = path.symlink_metadata().is_ok();
            (path, there)
        }
        Some(item) if folder.is_file() => (path.to_owned(), holds(folder, item)?),
        _ => (folder.to_owned(), folder.symlink_metadata().is_ok()),
    };
    if *there {
        if !writing.overwrite {
            // A file that may hold more than what would be replaced.
            let of_many = item.is_none()
                && folder.is_file()
                && registry::format_of(folder).is_ok_and(|format| format.name() == "hdf5");
            let help = match of_many {
                true => {
                    "give --overwrite to replace the whole file, or ::ITEM behind its name to add to it"
                }
                false => "give --overwrite, or choose another name",
            };
            let error = FormatError::new(ErrorKind::Exists, "the output exists already");
            return Err(error.at_path(path).help(help).into());
        }
        let input = match &item {
            Some(item) if folder.is_file() => overwritten_item(folder, item, inputs)?,
            _ => overwritten(path, inputs)?,
        };
        if let Some(input) = input {
            return Err(replaces(&input.display(), path).into());
        }
    }
    Ok(output)
}

/// The refusal of an output that would replace an input.
fn replaces(input: &dyn fmt::Display, path: &Path) -> FormatError {
    let message = format!("the output would replace the input {input}");
    let error = FormatError::new(ErrorKind::Invalid, message).at_path(path);
    error.help("write to another name, and move it there afterwards")
}

/// Whether one URL is another one, or lies below it.
fn is_within(inner: &str, outer: &str) -> bool {
    let node = |url: &str| format!("{}/", url.replace("::", "/").trim_end_matches('/'));
    node(inner).starts_with(&node(outer))
}

/// Whether there is something of the name `item` in a file of several arrays.
fn holds(file: &Path, item: &str) -> Result<bool> {
    match registry::format_of(file)?.open(file, Some(item)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        // What cannot be read is there all the same.
        _ => Ok(true),
    }
}

/// The file of `inputs` that is the output's, if the data set `item` of it is asked for, or any.
fn overwritten_item(file: &Path, item: &str, inputs: &[String]) -> Result<Option<PathBuf>> {
    let Ok(output) = fs::canonicalize(file) else { return Ok(None) };
    let name = |item: &str| item.trim_matches('/').to_owned();
    let same = |(path, of): &(PathBuf, Option<String>)| {
        of.as_deref().is_none_or(|of| name(of) == name(item))
            && fs::canonicalize(path).is_ok_and(|input| input == output)
    };
    Ok(registry::files(inputs)?.into_iter().find(same).map(|(path, _)| path))
}

/// The file of `inputs` that is the output, or lies in it.
fn overwritten(path: &Path, inputs: &[String]) -> Result<Option<PathBuf>> {
    let Ok(output) = fs::canonicalize(path) else { return Ok(None) };
    let inside =
        |input: &PathBuf| fs::canonicalize(input).is_ok_and(|input| input.starts_with(&output));
    Ok(registry::files(inputs)?.into_iter().map(|(path, _)| path).find(inside))
}
