//! `cargo xtask oracle core --audit`: which sections of the reference and which `-ERR` texts no script pins.
//!
//! `parity/sections.tsv` lists them. A section is pinned by a `# pins:` line; an error by a script that waits for its text.
//! `cargo xtask oracle jetstream --audit` does the same for the second floor, with `parity/sections-jetstream.tsv` and the table of error
//! codes; a code is shown by a script whose `# codes:` line, which every run checks, lists it.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::{oracle, repo};

struct Row {
    kind: String,
    text: String,
    explained: String,
}

const CORE: &str = "parity/sections.tsv";
const JETSTREAM: &str = "parity/sections-jetstream.tsv";
/// One line `NAME CODE STATUS "text";` per error.
const ERRORS: &str = "crates/pure/jsapi/src/errors/table.rs";

pub fn task() -> Result<ExitCode> {
    let (pins, waits) = pinned(false)?;
    report(CORE, &rows(CORE)?, &pins, &|row| match row.kind.as_str() {
        "err" => Ok(waits.iter().any(|wait| has_shape(wait, &row.text))),
        other => bail!("{CORE}: unknown kind {other:?}"),
    })
}

/// The audit of the second floor.
pub fn jetstream() -> Result<ExitCode> {
    let (pins, shown) = pinned(true)?;
    let mut rows = rows(JETSTREAM)?;
    let table = std::fs::read_to_string(repo::root().join(ERRORS)).context(ERRORS)?;
    for line in table.lines() {
        let mut words = line.split_whitespace().skip(1);
        let Some(code) = words.next().filter(|code| code.len() == 5 && code.starts_with("10")) else {
            continue;
        };
        if !rows.iter().any(|row| row.kind == "code" && row.text == code) {
            rows.push(Row { kind: "code".to_owned(), text: code.to_owned(), explained: String::new() });
        }
    }
    report(JETSTREAM, &rows, &pins, &|row| match row.kind.as_str() {
        "code" => Ok(shown.contains(&row.text)),
        other => bail!("{JETSTREAM}: unknown kind {other:?}"),
    })
}

fn report(
    file: &str,
    rows: &[Row],
    pins: &BTreeSet<String>,
    is_shown: &dyn Fn(&Row) -> Result<bool>,
) -> Result<ExitCode> {
    let mut unexplained = 0;
    let mut explained = 0;
    for row in rows {
        let scripted = if row.kind == "section" { pins.contains(&row.text) } else { is_shown(row)? };
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
        println!("a script pins {pin:?}, which {file} does not list");
    }
    println!("{} entries, {explained} explained, {} unexplained", rows.len(), unexplained + unknown.len());
    Ok(if unexplained + unknown.len() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows(file: &str) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(repo::root().join(file)).with_context(|| file.to_owned())?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [kind, text, _title, explained] = columns[..] else {
            bail!("{file}:{}: not four columns", number + 1);
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

/// All sections that scripts name, and all texts that they wait for; of scripts about JetStream, the codes that they list.
fn pinned(jetstream: bool) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut pins, mut waits) = (BTreeSet::new(), BTreeSet::new());
    for path in repo::files(&oracle::scripts(), &|path| repo::has_extension(path, "txt"))? {
        if path.starts_with(oracle::jetstream_scripts()) != jetstream {
            continue;
        }
        for line in std::fs::read_to_string(&path)?.lines() {
            if let Some(list) = line.strip_prefix("# pins: ") {
                pins.extend(list.split(',').map(|pin| pin.trim().to_owned()));
            } else if let Some(codes) = line.strip_prefix("# codes: ").filter(|_| jetstream) {
                waits.extend(codes.split_whitespace().map(str::to_owned));
            } else if let Some((_, wait)) = line.split_once('<').filter(|_| !jetstream) {
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
