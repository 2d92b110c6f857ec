//! `cargo xtask dist`: a release archive.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{oracle, repo};

/// Files of `xtask/dist` that go into the archive.
const TEMPLATES: [&str; 3] = ["midge.service", "Containerfile", "midge.conf"];
/// Files of the repository that go with them.
const DOCUMENTS: [&str; 2] = ["LICENSE", "README.md"];

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    ensure!(arguments.is_empty(), "dist takes no arguments");
    let program = oracle::build_midge()?;
    let version = version()?;
    let name = format!("midge-{version}-{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let dist = repo::target().join("dist");
    let dir = dist.join(&name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    std::fs::copy(&program, dir.join("midge"))?;
    for file in TEMPLATES {
        copy(&repo::root().join("xtask/dist").join(file), &dir.join(file))?;
    }
    for file in DOCUMENTS {
        copy(&repo::root().join(file), &dir.join(file))?;
    }
    std::fs::write(dir.join("THIRD-PARTY-LICENSES.txt"), third_party()?)?;
    let archive = dist.join(format!("{name}.tar.gz"));
    repo::check(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&dist).arg(&name))
        .context("tar")?;
    let size = std::fs::metadata(&archive)?.len();
    println!("{} ({size} bytes)", repo::shown(&archive));
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| repo::shown(from))?;
    Ok(())
}

fn version() -> Result<String> {
    let manifest: toml::Table = std::fs::read_to_string(repo::root().join("Cargo.toml"))?.parse()?;
    let version = manifest["workspace"].get("package").and_then(|package| package.get("version"));
    Ok(version.and_then(|version| version.as_str()).context("a workspace version")?.to_owned())
}

/// Name, version, licence and licence texts of everything that is linked into the program.
fn third_party() -> Result<String> {
    let mut tree = repo::cargo();
    tree.args([
        "tree",
        "--package",
        "midge-cli",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ]);
    let mut packages: Vec<String> = repo::capture(&mut tree)?
        .lines()
        .filter(|line| !line.starts_with("midge-"))
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect();
    packages.sort();
    packages.dedup();
    let mut metadata = repo::cargo();
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: serde_json::Value = serde_json::from_str(&repo::capture(&mut metadata)?)?;
    let mut text = String::from("midge contains the following packages.\n");
    for package in &packages {
        let (title, licence) = package.split_once('|').unwrap_or((package, ""));
        let title = title.split(" (").next().unwrap_or(title);
        text.push_str(&format!("\n== {title}: {licence}\n"));
        let Some(dir) = package_dir(&metadata, title) else { continue };
        let named = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            ["LICENSE", "LICENCE", "COPYING", "NOTICE"].iter().any(|start| name.starts_with(start))
        };
        let mut files: Vec<_> =
            std::fs::read_dir(&dir)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        files.retain(|path| path.is_file() && named(path));
        files.sort();
        for file in files {
            text.push_str(&format!("\n{}", String::from_utf8_lossy(&std::fs::read(&file)?)));
        }
    }
    Ok(text)
}

/// Where the source of a package, given as `name vVERSION`, is.
fn package_dir(metadata: &serde_json::Value, title: &str) -> Option<std::path::PathBuf> {
    let (name, version) = title.split_once(" v")?;
    let package = metadata["packages"]
        .as_array()?
        .iter()
        .find(|package| package["name"] == name && package["version"] == version)?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_path_buf())
}
