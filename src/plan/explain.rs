//! Plans as text, for people who want to know before it happens.

use super::{Plan, stage::{Feed, Work}};
use crate::memory::format_bytes;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals();
        writeln!(
            f,
            "plan   read {} · write {} · {} tasks",
            format_bytes(totals.read),
            format_bytes(totals.written),
            totals.tasks
        )?;
        for (number, stage) in self.stages.iter().enumerate() {
            let mut from: Vec<String> = Vec::new();
            for input in &stage.inputs {
                from.push(match &input.feed {
                    Feed::Port(port) => format!("{}", self.ports[*port as usize].stage),
                    Feed::Source(source) => source.storage().format,
                });
            }
            if let Work::Combine { fold, level } = &stage.work {
                from.push(format!("{}", self.ports[fold.port(level - 1) as usize].stage));
            }
            let name = match (&*stage.name, stage.root) {
                ("", _) => "copy",
                (name, _) => name,
            };
            let to = match stage.root {
                Some(root) => format!(" → root {root}"),
                None => String::new(),
            };
            let from = if from.is_empty() { String::new() } else { format!(" of {}", from.join(", ")) };
            writeln!(f, "{number:>4}   {name}{from}{to} · {} tasks of {}", stage.units, stage.grid)?;
        }
        Ok(())
    }
}
