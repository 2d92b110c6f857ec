//! Configuration files checked by both servers: same verdict, same words, same digest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::play::check_config;

/// What became of one file.
#[derive(Debug)]
pub enum Verdict {
    /// Both said the same.
    Equal,
    /// They differ, as registered.
    Explained,
    /// They differ.
    Different(String),
}

/// Compares the verdicts on every `.conf` file in a folder. `explained` names files that may differ.
pub async fn corpus(
    left: &Path,
    right: &Path,
    scratch: &Path,
    dir: &Path,
    explained: &[String],
) -> Result<Vec<(String, Verdict)>> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("reading {}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    names.sort();
    let (left_dir, right_dir) = (scratch.join("left"), scratch.join("right"));
    std::fs::create_dir_all(&left_dir)?;
    std::fs::create_dir_all(&right_dir)?;
    let mut verdicts = Vec::new();
    for path in names {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let expected = check_config(left, &left_dir, dir, &name).await?;
        let found = check_config(right, &right_dir, dir, &name).await?;
        let listed = explained.contains(&name);
        let verdict = match (expected == found, listed) {
            (true, false) => Verdict::Equal,
            (false, true) => Verdict::Explained,
            (true, true) => Verdict::Different("registered as different, and is not".to_owned()),
            (false, false) => {
                let lines = |(code, lines): &(i32, Vec<String>)| {
                    let mut all = vec![format!("exit {code}")];
                    all.extend(lines.iter().cloned());
                    all
                };
                let text = super::unified("go", &lines(&expected), "midge", &lines(&found));
                Verdict::Different(text.unwrap_or_default())
            }
        };
        verdicts.push((name, verdict));
    }
    Ok(verdicts)
}
