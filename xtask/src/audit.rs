//! `cargo xtask oracle core --audit`: which sections of the reference and which `-ERR` texts no script pins.
//!
//! `parity/sections.tsv` lists them. A section is pinned by a `# pins:` line; an error by a script that waits for its text.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::{oracle, repo};

struct Row {
    kind: String,
    text: String,
    explained: String,
}

pub fn task() -> Result<ExitCode> {
    let rows = rows()?;
    let (pins, waits) = pinned()?;
    let mut unexplained = 0;
    let mut explained = 0;
    for row in &rows {
        let scripted = match row.kind.as_str() {
            "section" => pins.contains(&row.text),
            "err" => waits.iter().any(|wait| has_shape(wait, &row.text)),
            other => bail!("parity/sections.tsv: unknown kind {other:?}"),
        };
        match (scripted, row.explained.is_empty()) {
            (true, true) => {}
            (false, false) => {
                explained += 1;
                println!("no script: {} {:?}: {}", row.kind, row.text, row.explained);
            }
            (true, false) => {
                unexplained += 1;
                println!("scripted, yet explained as missing: {} {:?}", row.kind, row.text);
            }
            (false, true) => {
                unexplained += 1;
                println!("MISSING: {} {:?}", row.kind, row.text);
            }
        }
    }
    let unknown: Vec<&String> = pins
        .iter()
        .filter(|pin| !rows.iter().any(|row| row.kind == "section" && row.text == **pin))
        .collect();
    for pin in &unknown {
        println!("a script pins {pin:?}, which parity/sections.tsv does not list");
    }
    println!("{} entries, {explained} explained, {} unexplained", rows.len(), unexplained + unknown.len());
    Ok(if unexplained + unknown.len() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows() -> Result<Vec<Row>> {
    let text =
        std::fs::read_to_string(repo::root().join("parity/sections.tsv")).context("parity/sections.tsv")?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [kind, text, _title, explained] = columns[..] else {
            bail!("parity/sections.tsv:{}: not four columns", number + 1);
        };
        rows.push(Row { kind: kind.to_owned(), text: text.to_owned(), explained: explained.to_owned() });
    }
    Ok(rows)
}

/// Whether a wait contains an error text, whose `%q` stand for quoted words.
fn has_shape(wait: &str, text: &str) -> bool {
    let pattern: Vec<String> = format!("'{text}'").split("%q").map(regex_lite::escape).collect();
    regex_lite::Regex::new(&pattern.join("\"[^\"]*\"")).is_ok_and(|pattern| pattern.is_match(wait))
}

/// All sections that scripts name, and all texts that they wait for.
fn pinned() -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut pins, mut waits) = (BTreeSet::new(), BTreeSet::new());
    for path in repo::files(&oracle::scripts(), &|path| repo::has_extension(path, "txt"))? {
        for line in std::fs::read_to_string(&path)?.lines() {
            if let Some(list) = line.strip_prefix("# pins: ") {
                pins.extend(list.split(',').map(|pin| pin.trim().to_owned()));
            } else if let Some((_, wait)) = line.split_once('<') {
                waits.insert(wait.trim().to_owned());
            }
        }
    }
    Ok((pins, waits))
}

#[cfg(test)]
mod tests {
    use super::has_shape;

    #[test]
    fn quoted_words_are_any() {
        assert!(has_shape("-ERR 'No \"a.b\" here'", "No %q here"));
        assert!(!has_shape("-ERR 'No \"a.b\" here, too'", "No %q here"));
    }
}
