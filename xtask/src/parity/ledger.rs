//! The rows of `parity/ledger.tsv`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const HEADER: &str = "area\tupstream file\tupstream test\tstatus\tby\tnote";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Covered,
    NotApplicable,
    Deferred,
}

/// What pins a behaviour.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// An oracle script, `area/name`.
    Script(String),
    /// A cargo test.
    Cargo(CargoTest),
}

/// A test of one of our crates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CargoTest {
    /// The crate, without the prefix of the package.
    pub krate: String,
    /// The integration test target; none for unit tests.
    pub target: Option<String>,
    /// The path that the test harness prints.
    pub path: String,
}

pub struct Row {
    pub area: String,
    pub file: String,
    pub test: String,
    pub status: Status,
    pub by: Vec<Proof>,
    pub note: String,
}

impl Row {
    /// The first three columns.
    pub fn key(&self) -> String {
        format!("{}\t{}\t{}", self.area, self.file, self.test)
    }
}

impl Proof {
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(script) = text.strip_prefix("oracle:") {
            return Ok(Self::Script(script.to_owned()));
        }
        let (place, path) =
            text.split_once("::").with_context(|| format!("{text:?} is neither a script nor a test"))?;
        let (krate, target) = match place.split_once('/') {
            Some((krate, target)) => (krate, Some(target.to_owned())),
            None => (place, None),
        };
        Ok(Self::Cargo(CargoTest { krate: krate.to_owned(), target, path: path.to_owned() }))
    }

    pub fn cargo_test(&self) -> Option<CargoTest> {
        match self {
            Self::Cargo(test) => Some(test.clone()),
            Self::Script(_) => None,
        }
    }

    /// As it is written in the ledger.
    pub fn shown(&self) -> String {
        match self {
            Self::Script(script) => format!("oracle:{script}"),
            Self::Cargo(test) => test.shown(),
        }
    }
}

impl CargoTest {
    pub fn shown(&self) -> String {
        match &self.target {
            Some(target) => format!("{}/{target}::{}", self.krate, self.path),
            None => format!("{}::{}", self.krate, self.path),
        }
    }
}

pub fn read(path: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Row>> {
    ensure!(text.lines().next() == Some(HEADER), "the ledger does not begin with {HEADER:?}");
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        rows.push(row(line).with_context(|| format!("line {} of the ledger", number + 1))?);
    }
    Ok(rows)
}

fn row(line: &str) -> Result<Row> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [area, file, test, status, by, note] = columns[..] else { bail!("not six columns") };
    let status = match status {
        "covered" => Status::Covered,
        "not-applicable" => Status::NotApplicable,
        "deferred" => Status::Deferred,
        other => bail!("unknown status {other:?}"),
    };
    let by = by.split_whitespace().map(Proof::parse).collect::<Result<_>>()?;
    Ok(Row { area: area.into(), file: file.into(), test: test.into(), status, by, note: note.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let text = format!(
            "{HEADER}\ncore\ta_test.go\tTestA\tcovered\toracle:grammar/x wire::parse::tests::y server/core::z\t\n"
        );
        let rows = parse(&text).expect("a ledger");
        let by: Vec<String> = rows[0].by.iter().map(Proof::shown).collect();
        assert_eq!(by, ["oracle:grammar/x", "wire::parse::tests::y", "server/core::z"]);
        assert!(rows[0].status == Status::Covered);
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(parse(&format!("{HEADER}\ncore\ta\tb\tperhaps\t\t\n")).is_err());
        assert!(parse("something else\n").is_err());
        assert!(Proof::parse("nothing").is_err());
    }
}
