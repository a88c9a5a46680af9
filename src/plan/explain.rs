//! Plans as text, for people who want to know before it happens, and as JSON, for programs.

use super::{
    Plan, Totals,
    stage::{Feed, Stage, Work},
};
use crate::memory::format_bytes;
use serde_json::{Value, json};
use std::fmt;

/// Names of fused stages can be of any length: more than this is cut.
const LONGEST_NAME: usize = 40;

impl Totals {
    /// As JSON: `tasks`, and in bytes `read`, `written`, `between`, `largest_task` and `peak`.
    pub fn to_json(&self) -> Value {
        json!({
            "tasks": self.tasks,
            "read": self.read,
            "written": self.written,
            "between": self.between,
            "largest_task": self.largest_task,
            "peak": self.peak,
        })
    }
}

impl Plan {
    /// One line: bytes in and out, the peak, and how many tasks there are.
    pub fn summary(&self) -> String {
        let Totals { read, written, peak, tasks, .. } = self.totals();
        let mut text = format!("read {} · write {}", format_bytes(read), format_bytes(written));
        if peak > 0 {
            text += &format!(" · peak {}", format_bytes(peak));
        }
        text + &format!(" · {tasks} {}", if tasks == 1 { "task" } else { "tasks" })
    }

    /// The plan as JSON: the keys of [`Totals::to_json`], and `stages`, each with its number
    /// (`stage`), its `name`, what it works on (`from`: numbers of stages, names of formats),
    /// its `tasks`, the shape of its largest `block`, and whether it is an `output`.
    pub fn to_json(&self) -> Value {
        let stages = self.stages.iter().enumerate().map(|(number, stage)| {
            let from: Vec<Value> = self.feeds(stage).into_iter().map(Value::from).collect();
            json!({
                "stage": number,
                "name": name_of(stage),
                "from": from,
                "tasks": self.tasks_of(stage),
                "block": self.block_of(stage),
                "output": stage.root.is_some(),
            })
        });
        let mut value = self.totals().to_json();
        value["stages"] = stages.collect();
        value
    }

    /// What a stage works on: other stages by number, sources by format.
    fn feeds(&self, stage: &Stage) -> Vec<Fed> {
        let mut from: Vec<Fed> = Vec::new();
        for input in &stage.inputs {
            let fed = match &input.feed {
                Feed::Port(port) => Fed::Stage(self.ports[*port as usize].stage),
                Feed::Source(source) => Fed::source(source.storage().format),
            };
            if !from.contains(&fed) {
                from.push(fed);
            }
        }
        match &stage.work {
            Work::Combine { fold, level } => {
                from.push(Fed::Stage(self.ports[fold.port(level - 1) as usize].stage));
            }
            Work::Read(source) => from.push(Fed::source(source.storage().format)),
            _ => {}
        }
        from
    }

    /// How many tasks of a stage run.
    pub(super) fn tasks_of(&self, stage: &Stage) -> u64 {
        match &stage.work {
            Work::Combine { .. } => stage.units,
            _ => stage.demanded.volume(),
        }
    }

    /// The shape of the largest block that a stage makes.
    fn block_of(&self, stage: &Stage) -> Vec<u64> {
        match &stage.work {
            Work::Combine { fold, .. } => fold.geometry.blocks.max_chunk().to_vec(),
            _ => stage.grid.max_chunk().to_vec(),
        }
    }
}

/// What a stage works on.
#[derive(PartialEq)]
enum Fed {
    Stage(u32),
    Source(String),
}

impl Fed {
    fn source(format: String) -> Fed {
        Fed::Source(if format.is_empty() { "memory".to_owned() } else { format })
    }
}

impl From<Fed> for Value {
    fn from(fed: Fed) -> Value {
        match fed {
            Fed::Stage(number) => number.into(),
            Fed::Source(format) => format.into(),
        }
    }
}

impl fmt::Display for Fed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fed::Stage(number) => write!(f, "{number}"),
            Fed::Source(format) => f.write_str(format),
        }
    }
}

/// What a stage is called; one that only moves elements has no name of its own.
pub(crate) fn name_of(stage: &Stage) -> &str {
    match &*stage.name {
        "" => "copy",
        name => name,
    }
}

impl fmt::Display for Plan {
    /// The summary, then a line a stage: its number and name, what it works on, how many tasks
    /// it has, and the shape of its largest block.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan   {}", self.summary())?;
        let rows: Vec<[String; 5]> = self
            .stages
            .iter()
            .enumerate()
            .map(|(number, stage)| {
                let mut name = name_of(stage).to_owned();
                if name.chars().count() > LONGEST_NAME {
                    name = name.chars().take(LONGEST_NAME - 1).collect::<String>() + "…";
                }
                let from: Vec<String> = self.feeds(stage).iter().map(Fed::to_string).collect();
                let mut from = from.join(", ");
                if !from.is_empty() {
                    from.insert_str(0, "of ");
                }
                let tasks = self.tasks_of(stage);
                let block = crate::expr::shape_text(&self.block_of(stage));
                let mut block = format!("of {block}");
                if stage.root.is_some() {
                    block += " → output";
                }
                let unit = if tasks == 1 { "task" } else { "tasks" };
                [number.to_string(), name, from, format!("{tasks} {unit}"), block]
            })
            .collect();
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (names, feeds, tasks) = (width(1), width(2), width(3));
        for [number, name, from, count, block] in &rows {
            let line =
                format!("{number:>4}   {name:<names$}   {from:<feeds$}   {count:>tasks$} {block}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
