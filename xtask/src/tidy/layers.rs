//! `layers.toml` against every crate: its folder, its own dependencies, and external crates that belong to one folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::Table;

use super::Findings;
use crate::repo::{self, FOLDERS};

/// Prefix of this project's packages.
const OWN: &str = "midge-";

struct Layer {
    folder: String,
    own: Vec<String>,
}

/// A rule such as `edge_only`: external crates, and the folder or crate that may use them.
struct Ban {
    home: String,
    crates: Vec<String>,
}

struct Layers {
    crates: BTreeMap<String, Layer>,
    bans: Vec<Ban>,
}

pub fn check(findings: &mut Findings) -> Result<()> {
    let layers = read(&repo::root().join("layers.toml"), findings)?;
    check_order(&layers, findings);
    let mut seen = Vec::new();
    for folder in FOLDERS {
        let dir = repo::root().join("crates").join(folder);
        for path in crate_dirs(&dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            check_crate(&layers, folder, &name, &path, findings)?;
            seen.push(name);
        }
    }
    for name in layers.crates.keys().filter(|name| !seen.contains(name)) {
        findings.push(format!("layers.toml: crate {name} is listed and has no folder"));
    }
    Ok(())
}

/// Every folder that holds something counts, so that a crate cannot hide behind a missing manifest.
fn crate_dirs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut dirs: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("reading {}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    dirs.sort();
    Ok(dirs)
}

fn read(path: &Path, findings: &mut Findings) -> Result<Layers> {
    let text = std::fs::read_to_string(path).context("reading layers.toml")?;
    let table: Table = text.parse().context("layers.toml")?;
    let mut crates = BTreeMap::new();
    for (name, value) in table.get("crate").and_then(|value| value.as_table()).into_iter().flatten() {
        let folder = value.get("folder").and_then(|folder| folder.as_str()).unwrap_or_default().to_owned();
        if !FOLDERS.contains(&folder.as_str()) {
            findings.push(format!("layers.toml: crate {name} is in an unknown folder {folder:?}"));
        }
        crates.insert(name.clone(), Layer { folder, own: strings(value.get("own")) });
    }
    let mut bans = Vec::new();
    for (key, value) in table.get("external").and_then(|value| value.as_table()).into_iter().flatten() {
        match key.strip_suffix("_only") {
            Some(home) => bans.push(Ban { home: home.to_owned(), crates: strings(Some(value)) }),
            None => findings.push(format!("layers.toml: external.{key} does not end with _only")),
        }
    }
    Ok(Layers { crates, bans })
}

fn strings(value: Option<&toml::Value>) -> Vec<String> {
    let items = value.and_then(|value| value.as_array()).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The list itself only points downward, and edges do not see each other.
fn check_order(layers: &Layers, findings: &mut Findings) {
    for (name, layer) in &layers.crates {
        for own in &layer.own {
            let Some(other) = layers.crates.get(own) else {
                findings.push(format!("layers.toml: {name} may use {own}, which is not listed"));
                continue;
            };
            let (mine, theirs) = (rank(&layer.folder), rank(&other.folder));
            if theirs > mine {
                findings.push(format!(
                    "layers.toml: {name} ({}) points upward to {own} ({})",
                    layer.folder, other.folder
                ));
            }
            if layer.folder == "edge" && other.folder == "edge" {
                findings.push(format!("layers.toml: {name} and {own} are both edges"));
            }
        }
    }
}

fn rank(folder: &str) -> usize {
    FOLDERS.iter().position(|known| *known == folder).unwrap_or(FOLDERS.len())
}

fn check_crate(
    layers: &Layers,
    folder: &str,
    name: &str,
    path: &Path,
    findings: &mut Findings,
) -> Result<()> {
    let place = repo::shown(path);
    let Some(layer) = layers.crates.get(name) else {
        findings.push(format!("{place}: not listed in layers.toml"));
        return Ok(());
    };
    if layer.folder != folder {
        findings.push(format!("{place}: layers.toml puts {name} in {}", layer.folder));
    }
    let manifest = path.join("Cargo.toml");
    let Ok(text) = std::fs::read_to_string(&manifest) else {
        findings.push(format!("{place}: no Cargo.toml"));
        return Ok(());
    };
    let table: Table = text.parse().with_context(|| repo::shown(&manifest))?;
    let package = table.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    if package != Some(&format!("{OWN}{name}")) {
        findings.push(format!("{place}/Cargo.toml: the package is not named {OWN}{name}"));
    }
    for dependency in
        dependencies(&table, "dependencies").iter().chain(&dependencies(&table, "build-dependencies"))
    {
        check_dependency(layers, layer, folder, name, dependency, findings);
    }
    for dependency in dependencies(&table, "dev-dependencies") {
        let Some(own) = dependency.strip_prefix(OWN) else { continue };
        let helper = layers.crates.get(own).is_some_and(|other| other.folder == "dev");
        if own != name && !helper && !layer.own.iter().any(|allowed| allowed == own) {
            findings.push(format!("{place}/Cargo.toml: tests of {name} may not use {own}"));
        }
    }
    Ok(())
}

fn check_dependency(
    layers: &Layers,
    layer: &Layer,
    folder: &str,
    name: &str,
    dependency: &str,
    findings: &mut Findings,
) {
    let place = format!("crates/{folder}/{name}/Cargo.toml");
    if let Some(own) = dependency.strip_prefix(OWN) {
        if !layer.own.iter().any(|allowed| allowed == own) {
            findings.push(format!("{place}: {name} may not use {own} (layers.toml)"));
        }
        return;
    }
    for ban in &layers.bans {
        // What edges may meet is open to those above them, which assemble and test them.
        let home =
            ban.home == folder || ban.home == name || (ban.home == "edge" && rank(folder) > rank("edge"));
        if !home && ban.crates.iter().any(|banned| banned == dependency) {
            findings.push(format!("{place}: {dependency} belongs to {} only (layers.toml)", ban.home));
        }
    }
}

/// Names in one kind of dependency table, those for single targets included; a renamed package counts under its real name.
fn dependencies(manifest: &Table, kind: &str) -> Vec<String> {
    let mut tables: Vec<&Table> = manifest.get(kind).and_then(|table| table.as_table()).into_iter().collect();
    for target in
        manifest.get("target").and_then(|table| table.as_table()).into_iter().flat_map(Table::values)
    {
        tables.extend(target.get(kind).and_then(|table| table.as_table()));
    }
    let entries = tables.into_iter().flatten();
    entries
        .map(|(key, value)| value.get("package").and_then(|name| name.as_str()).unwrap_or(key).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        let layer = |folder: &str, own: &[&str]| Layer {
            folder: folder.into(),
            own: own.iter().map(|&own| own.into()).collect(),
        };
        Layers {
            crates: BTreeMap::from([
                ("low".into(), layer("pure", &[])),
                ("high".into(), layer("engine", &["low"])),
                ("socket".into(), layer("edge", &["low"])),
            ]),
            bans: vec![Ban { home: "edge".into(), crates: vec!["tokio".into()] }],
        }
    }

    fn findings(folder: &str, name: &str, dependency: &str) -> Findings {
        let layers = layers();
        let mut findings = Findings::new();
        check_dependency(&layers, &layers.crates[name], folder, name, dependency, &mut findings);
        findings
    }

    #[test]
    fn a_listed_dependency_passes_and_an_unlisted_one_does_not() {
        assert!(findings("engine", "high", "midge-low").is_empty());
        assert_eq!(findings("pure", "low", "midge-high").len(), 1);
    }

    #[test]
    fn an_external_crate_stays_in_its_folder() {
        assert!(findings("edge", "socket", "tokio").is_empty());
        assert_eq!(findings("engine", "high", "tokio").len(), 1);
    }

    #[test]
    fn the_list_may_not_point_upward() {
        let mut layers = layers();
        layers.crates.get_mut("low").expect("listed").own.push("high".into());
        let mut findings = Findings::new();
        check_order(&layers, &mut findings);
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn dependencies_of_single_targets_and_renamed_ones_are_seen() {
        let manifest: Table = "[dependencies]\na = '1'\n[target.'cfg(unix)'.dependencies]\nb = { package = 'c', version = '1' }\n"
            .parse()
            .expect("a manifest");
        assert_eq!(dependencies(&manifest, "dependencies"), ["a", "c"]);
    }
}
