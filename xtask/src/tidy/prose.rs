//! Rules for documents and for text in general: links lead somewhere, and nothing names the machine it was written on.

use std::path::Path;

use anyhow::Result;

use super::Findings;
use crate::repo;

/// Absolute paths of one person's machine. In pieces, so that this file does not find itself.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/")];

const TEXT: [&str; 12] =
    ["rs", "md", "toml", "txt", "tsv", "conf", "sh", "py", "js", "json", "service", "yml"];

pub fn check(findings: &mut Findings) -> Result<()> {
    let root = repo::root();
    for path in repo::files(&root, &is_text)? {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            for found in MACHINE_PATHS.iter().filter(|found| names_machine(line, found)) {
                findings.push(format!(
                    "{}:{}: a path of somebody's machine ({found})",
                    repo::shown(&path),
                    number + 1
                ));
            }
        }
        if repo::has_extension(&path, "md") {
            check_links(&path, &text, findings);
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    TEXT.contains(&extension.as_ref())
        || path.parent().and_then(Path::file_name).is_some_and(|dir| dir == ".ci")
}

/// The path counts where it begins a word: `artwork/` does not name a machine.
fn names_machine(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at]
            .ends_with(|before: char| before.is_alphanumeric() || matches!(before, '.' | '}' | '_' | '-'))
    })
}

fn check_links(path: &Path, text: &str, findings: &mut Findings) {
    let dir = path.parent().unwrap_or(path);
    for (number, line) in text.lines().enumerate() {
        for target in link_targets(line) {
            let file = target.split('#').next().unwrap_or_default();
            let external = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !external && !dir.join(file).exists() {
                findings.push(format!(
                    "{}:{}: the link to {target} leads nowhere",
                    repo::shown(path),
                    number + 1
                ));
            }
        }
    }
}

fn link_targets(line: &str) -> Vec<&str> {
    let parts = line.split("](").skip(1);
    parts.filter_map(|part| part.split(')').next()).filter(|target| !target.contains(' ')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_targets_are_read() {
        assert_eq!(link_targets("see [a](a.md) and [b](docs/b.md#part)."), ["a.md", "docs/b.md#part"]);
        assert!(link_targets("no link (here)").is_empty());
    }

    #[test]
    fn a_path_counts_at_the_start_of_a_word() {
        assert!(names_machine("cd /x/y", "/x/"));
        assert!(!names_machine("cd art/x/y", "/x/"));
    }
}
