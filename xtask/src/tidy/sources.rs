//! Rules for source files: sizes, empty crates, unsafe code, leftovers, sleeps in tests, documented limits.

use std::path::Path;

use anyhow::{Context, Result};

use super::Findings;
use crate::repo::{self, FOLDERS};

/// No source file is longer.
const WALL: usize = 800;

/// Marks of unfinished or skipped work. They are written in pieces, so that this file does not find itself.
const LEFTOVERS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[ig", "nore"),
];

const SLEEPS: [&str; 2] = [concat!("thread::", "sleep"), concat!("time::", "sleep")];

pub fn check(findings: &mut Findings) -> Result<()> {
    for dir in ["crates", "xtask", "fuzz"] {
        for path in repo::files(&repo::root().join(dir), &|path| repo::has_extension(path, "rs"))? {
            let text = std::fs::read_to_string(&path).with_context(|| repo::shown(&path))?;
            check_source(&path, &text, findings);
        }
    }
    check_roots(findings)
}

fn check_source(path: &Path, text: &str, findings: &mut Findings) {
    let place = repo::shown(path);
    let lines = text.lines().count();
    if lines > WALL {
        findings.push(format!("{place}: {lines} lines, the wall is {WALL}"));
    }
    let whole_file_is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs");
    let mut in_tests = whole_file_is_test;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        for leftover in LEFTOVERS.iter().filter(|leftover| line.contains(**leftover)) {
            findings.push(format!("{place}:{number}: {leftover}"));
        }
        // By custom the tests of a file stand at its end.
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        if in_tests && SLEEPS.iter().any(|sleep| line.contains(sleep)) {
            findings.push(format!("{place}:{number}: a test waits for a condition, it does not sleep"));
        }
    }
    if path.file_name().is_some_and(|name| name == "limits.rs") {
        for (number, name) in undocumented_constants(text) {
            findings.push(format!("{place}:{number}: {name} has no doc comment"));
        }
    }
}

/// Named constants without a doc comment right above them; attributes may stand between.
fn undocumented_constants(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut documented = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let declared = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        if line.starts_with("///") {
            documented = true;
        } else if let Some(rest) = declared.strip_prefix("const ") {
            let name = rest.split(':').next().unwrap_or_default().trim();
            if !documented && name != "_" && !name.starts_with("fn ") {
                found.push((number + 1, name.to_owned()));
            }
            documented = false;
        } else if !line.starts_with("#[") {
            documented = false;
        }
    }
    found
}

/// The root file of each crate: it has contents, and it forbids unsafe code or is registered.
fn check_roots(findings: &mut Findings) -> Result<()> {
    let register = std::fs::read_to_string(repo::root().join("UNSAFE.md")).unwrap_or_default();
    for folder in FOLDERS {
        let dir = repo::root().join("crates").join(folder);
        for entry in std::fs::read_dir(&dir).with_context(|| repo::shown(&dir))? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            let place = repo::shown(&path);
            let library = path.join("src/lib.rs");
            let program = path.join("src/main.rs");
            for file in [&library, &program].into_iter().filter(|file| file.exists()) {
                let text = std::fs::read_to_string(file)?;
                if is_empty(&text) {
                    findings.push(format!("{}: an empty room", repo::shown(file)));
                }
                if !text.contains("#![forbid(unsafe_code)]") && !register.contains(&place) {
                    findings.push(format!(
                        "{}: neither #![forbid(unsafe_code)] nor an entry for {place} in UNSAFE.md",
                        repo::shown(file)
                    ));
                }
            }
            if !library.exists() && !program.exists() {
                findings.push(format!("{place}: neither src/lib.rs nor src/main.rs"));
            }
        }
    }
    Ok(())
}

/// Whether a root file holds nothing but comments, attributes of the crate and an empty `main`.
fn is_empty(text: &str) -> bool {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("#!["));
    lines.all(|line| line == "fn main() {}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Findings {
        let mut findings = Findings::new();
        check_source(Path::new(path), text, &mut findings);
        findings
    }

    #[test]
    fn leftovers_are_found() {
        assert_eq!(
            findings("a.rs", &format!("// {} later\n", LEFTOVERS[0])),
            [format!("a.rs:1: {}", LEFTOVERS[0])]
        );
    }

    #[test]
    fn sleeping_is_found_in_tests_alone() {
        let line = format!("{}(d);\n", SLEEPS[0]);
        assert!(findings("src/a.rs", &line).is_empty());
        assert_eq!(findings("src/a.rs", &format!("#[cfg(test)]\n{line}")).len(), 1);
        assert_eq!(findings("tests/a.rs", &line).len(), 1);
    }

    #[test]
    fn long_files_are_found() {
        assert!(findings("a.rs", &"x\n".repeat(WALL)).is_empty());
        assert_eq!(findings("a.rs", &"x\n".repeat(WALL + 1)).len(), 1);
    }

    #[test]
    fn limits_need_words() {
        let text = "/// Most.\n#[rustfmt::skip]\npub const A: usize = 1;\npub const B: usize = 2;\nconst _: () = assert!(A < B);\n";
        assert_eq!(undocumented_constants(text), [(4, "B".to_owned())]);
    }

    #[test]
    fn a_room_with_a_sign_only_is_empty() {
        assert!(is_empty("//! Words.\n#![forbid(unsafe_code)]\n"));
        assert!(is_empty("//! Words.\nfn main() {}\n"));
        assert!(!is_empty("pub mod a;\n"));
    }
}
