//! Configuration files checked by both servers: same verdict, same words, same digest.

use std::path::Path;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};

use super::play::check_config;

/// How often the reference is asked again before its answer counts as different.
const GO_VARIES: usize = 12;

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

/// Compares the verdicts of two programs on every `.conf` file in a folder. `explained` names files that may differ.
pub async fn corpus(
    programs: (&Path, &Path),
    scratch: &Path,
    dir: &Path,
    explained: &[String],
    jobs: usize,
) -> Result<Vec<(String, Verdict)>> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .with_context(|| format!("reading {}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let dirs = (scratch.join("left"), scratch.join("right"));
    std::fs::create_dir_all(&dirs.0)?;
    std::fs::create_dir_all(&dirs.1)?;
    let checks = futures_util::stream::iter(names).map(|name| async {
        let found = check_config(programs.1, &dirs.1, dir, &name).await?;
        let mut expected = check_config(programs.0, &dirs.0, dir, &name).await?;
        // Go goes through its maps in random order, so which of several mistakes it meets first varies from run to run.
        for _ in 0..GO_VARIES {
            if expected == found {
                break;
            }
            expected = check_config(programs.0, &dirs.0, dir, &name).await?;
        }
        let verdict = judge(&expected, &found, explained.contains(&name));
        Ok((name, verdict))
    });
    checks.buffered(jobs.max(1)).try_collect().await
}

fn judge(expected: &(i32, Vec<String>), found: &(i32, Vec<String>), listed: bool) -> Verdict {
    match (expected == found, listed) {
        (true, false) => Verdict::Equal,
        (false, true) => Verdict::Explained,
        (true, true) => Verdict::Different("registered as different, and is not".to_owned()),
        (false, false) => {
            let lines = |(code, lines): &(i32, Vec<String>)| {
                let mut all = vec![format!("exit {code}")];
                all.extend(lines.iter().cloned());
                all
            };
            let text = super::unified("go", &lines(expected), "midge", &lines(found));
            Verdict::Different(text.unwrap_or_default())
        }
    }
}
