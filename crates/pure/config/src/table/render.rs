//! The table as reference text.

use std::fmt::Write as _;

use super::{Block, Reload, Row, Status, rows};

/// The options reference in Markdown, one table per block.
pub fn reference() -> String {
    let mut text =
        String::from("# Options\n\nGenerated from the options table. Keys are not case-sensitive.\n");
    for (block, heading) in Block::ALL {
        let _ = write!(
            text,
            "\n## {heading}\n\n| Key | Type | Default | Reload | Meaning |\n|---|---|---|---|---|\n"
        );
        for row in rows().filter(|row| row.block == *block) {
            line(&mut text, row);
        }
    }
    text
}

fn line(text: &mut String, row: &Row) {
    let keys: Vec<String> = row.names().map(|name| format!("`{name}`")).collect();
    let default = match row.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let reload = match row.reload {
        Reload::Live => "live",
        Reload::Refused(_) => "refused",
        Reload::NotCompared => "next start",
        Reload::Block => "",
    };
    let status = match row.status {
        Status::Supported => "",
        Status::NotYet => "**Not in this version yet.** ",
    };
    let (keys, kind) = (keys.join(", "), row.kind.word());
    let _ = writeln!(text, "| {keys} | {kind} | {default} | {reload} | {status}{} |", row.doc);
}
